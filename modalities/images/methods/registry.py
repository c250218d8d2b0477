"""Every method of the modality by name, which have a loop, and `distill`."""

from collections.abc import Callable
from typing import Any

from multidd.arguments import public_function
from multidd.engine.recipe import call, call_named
from multidd.images.data.images import as_images
from multidd.images.methods.budget import unpacked_bytes
from multidd.images.methods.composition import compose
from multidd.images.methods.decoupled import rded, sre2l
from multidd.images.methods.distribution import cafe, dm, idm, iid, m3d, ncfm
from multidd.images.methods.factorized import gtn, haba, kfs, linba
from multidd.images.methods.gradient import dc, dcc, dsa, idc
from multidd.images.methods.kernel import frepo, kip, rfad
from multidd.images.methods.latent import itgan, latent
from multidd.images.methods.relabeling import relabel
from multidd.images.methods.selection import (
    forgetting,
    herding,
    kcenter,
    kmeans,
    random,
)
from multidd.images.methods.trajectory import datm, ftd, mtt, tesla
from multidd.images.methods.unroll import dd, ld, rat_bptt, sldd
from multidd.images.summary.summary import ImageSummary
from multidd.storage.packing import check_bits

METHODS: dict[str, Callable[..., ImageSummary]] = {
    "dm": dm,
    "m3d": m3d,
    "cafe": cafe,
    "idm": idm,
    "iid": iid,
    "ncfm": ncfm,
    "dc": dc,
    "dsa": dsa,
    "dcc": dcc,
    "idc": idc,
    "kip": kip,
    "rfad": rfad,
    "frepo": frepo,
    "mtt": mtt,
    "tesla": tesla,
    "ftd": ftd,
    "datm": datm,
    "dd": dd,
    "sldd": sldd,
    "ld": ld,
    "rat_bptt": rat_bptt,
    "linba": linba,
    "sre2l": sre2l,
    "rded": rded,
    "kfs": kfs,
    "haba": haba,
    "gtn": gtn,
    "itgan": itgan,
    "latent": latent,
    "random": random,
    "herding": herding,
    "kcenter": kcenter,
    "kmeans": kmeans,
    "forgetting": forgetting,
}


SELECTED = ("rded", "random", "herding", "kcenter", "kmeans", "forgetting")

LEARNED = tuple(name for name in METHODS if name not in SELECTED)
"""Methods with a loop: they take `steps`, `checkpoint` and the like."""


@public_function
def distill(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    method: str | None = None,
    labels: str | None = None,
    bits: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> ImageSummary:
    """Distill images: the best of several methods on held-out images, or one by name.

    Without a method candidates are made, small plain networks and a logistic regression
    are trained on each, and the one whose trainings score best in the mean on held-out
    training images is returned. `"ridge"` is `rfad` for plain models of several kinds:
    it starts from real images with the labels of a teacher, and learns images and
    probabilities; `"medoids"` are these real images, and `"halfway"` is the middle
    between both. `"dm"`, `dm` with a teacher's labels, is made where
    `candidates=("ridge", "dm", "medoids")` asks for it. The card tells what each scored
    and took, the teacher too.

    Args:
        data: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class; or
        budget_bytes: bytes in all, labels counted. Give exactly one of the two.
        method: one of `multidd.images.METHODS`; None holds the tournament.
        labels: `"hard"`, classes alone; `"teacher"`, the probabilities of a network
            that is trained on the images, at a temperature chosen on held-out ones;
            None takes those of the method, or what scored best. A method by name takes
            those of its options too, but for their `"teacher"`, which is given in
            `options=`.
        bits: of a stored number, 2 to 8, by `summary.compress`; a budget in bytes then
            holds more images. Without a method None tries 2, 3 and 4 where the budget
            is in bytes, and tiles of images in half their size. A method by name that
            has a loop learns the set as it is stored.
        seed: seed of every draw of the run.
        **settings: of the method by name, those of its `options` and `run` among them,
            such as `model`, a module of one's own. Without a method those of
            `multidd.images.DistillOptions` and of the run: `device`, `progress`,
            `checkpoint`, `timeout`.

    Returns:
        An `ImageSummary`.

    Raises:
        TypeError: a setting that the method does not have, or a preset of none.
        ValueError: no such method; bad images, budget, labels or setting.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> distill(train, 1, method="dm", steps=2, width=4, batch_size=8).card.method
        'dm'
    """
    settings |= {"seed": seed}
    if method is None and settings.get("preset") is not None:
        raise TypeError(
            f"preset={settings['preset']!r} is of a method: give method=, such as 'dm'"
        )
    if method is None:
        budget = {"ipc": ipc, "budget_bytes": budget_bytes}
        chosen: ImageSummary
        chosen = call(compose, data, **budget, labels=labels, bits=bits, **settings)
        return chosen
    if bits is not None and budget_bytes is not None:
        data, bits = as_images(data), check_bits(bits)
        budget_bytes = unpacked_bytes(budget_bytes, bits, data.shape, data.num_classes)
    budget = {"ipc": ipc, "budget_bytes": budget_bytes}
    summary: ImageSummary
    # A teacher's labels come after the run, and are stored in few bits too.
    learns = bits is not None and method in LEARNED and labels != "teacher"
    settings |= {"bits": bits} if learns else {}
    if labels is not None and labels != "teacher":
        settings |= {"labels": labels}
    summary = call_named(METHODS, method, method, data, budget, settings)
    if labels == "teacher":
        run = {name: settings[name] for name in ("seed", "device") if name in settings}
        summary = relabel(summary, data, label_temperature=None, **run)
    return summary if bits is None or learns else summary.compress(bits)
