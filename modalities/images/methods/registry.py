"""Every method of the modality by name, which have a loop, and `distill`."""

from collections.abc import Callable
from typing import Any

from multidd.arguments import public_function
from multidd.engine.recipe import call_named
from multidd.images.methods.decoupled import rded, sre2l
from multidd.images.methods.distribution import cafe, dm, idm, iid, m3d, ncfm
from multidd.images.methods.factorized import gtn, haba, kfs, linba
from multidd.images.methods.gradient import dc, dcc, dsa, idc
from multidd.images.methods.kernel import frepo, kip, rfad
from multidd.images.methods.latent import itgan, latent
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

DEFAULT = "rfad"
"""What `distill` takes unless a method is named."""


@public_function
def distill(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    method: str | None = None,
    seed: int = 0,
    **settings: Any,
) -> ImageSummary:
    """Distill images: by `rfad`, or by any other method.

    `rfad` unless another is named: with ten images of each class of Fashion-MNIST it is
    the best under a ConvNet, and above `frepo`, the next one, under all but one of four
    other kinds of networks (see the page of image benchmarks). `dm` is quicker; `kip`
    is for its own kernel, and below random images under a ConvNet.

    Args:
        data: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class; or
        budget_bytes: bytes in all, labels counted. Give exactly one of the two.
        method: one of `multidd.images.METHODS`; None takes `"rfad"`.
        seed: seed of every draw of the run.
        **settings: of the method by name, those of its `options` and `run` among them,
            such as `model`, a module of one's own.

    Returns:
        An `ImageSummary`.

    Raises:
        TypeError: a setting that the method does not have.
        ValueError: no such method; bad images, budget or setting.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> distill(train, 1, steps=2, width=4, batch_size=50).card.method
        'rfad'
    """
    budget = {"ipc": ipc, "budget_bytes": budget_bytes}
    settings |= {"seed": seed}
    summary: ImageSummary
    summary = call_named(METHODS, method, DEFAULT, data, budget, settings)
    return summary
