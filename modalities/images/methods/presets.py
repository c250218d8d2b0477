"""Presets for images: what `preset="paper"` takes, and what it leaves different."""

from typing import Any

from multidd.engine.presets import PAPER, Preset, Presets
from multidd.images.methods import papers

__all__ = ["PRESETS", "preset"]

AS_DM = "one operation of the augmentation serves all classes of a step"
AS_DC = "the network's SGD has momentum and a weight decay"
RATE = "the learned rate moves as a logarithm, by Adam"

PRESETS = Presets(
    {
        "dm": Preset(papers.dm, f"{AS_DM}."),
        "m3d": Preset(
            papers.m3d,
            "there is no code of the authors; the rate is the default, and networks "
            "are random.",
        ),
        "cafe": Preset(
            papers.cafe,
            "loops end after so many steps, not by thresholds; the rate does not fall.",
        ),
        "idm": Preset(papers.idm, "embeddings are not averaged over places."),
        "iid": Preset(papers.iid, "embeddings are not averaged over places."),
        "ncfm": Preset(
            papers.ncfm,
            "one network at a time, no mixture of two, and its cross-entropy for "
            "calibration; frequencies are fixed, as in the released configurations.",
        ),
        "dc": Preset(papers.dc, f"{AS_DC}."),
        "dsa": Preset(papers.dsa, f"{AS_DC}; {AS_DM}."),
        "dcc": Preset(papers.dcc, f"{AS_DC}."),
        "idc": Preset(
            papers.idc, "no CutMix, pixels are not clamped, and rates are converted."
        ),
        "mtt": Preset(papers.mtt, f"{RATE}."),
        "tesla": Preset(
            papers.tesla,
            f"{RATE}; but for one image per class settings are those of MTT.",
        ),
        "ftd": Preset(papers.ftd, f"{RATE}."),
        "datm": Preset(
            papers.datm,
            f"{RATE}; labels are probabilities, learned by Adam at its default.",
        ),
        "dd": Preset(
            papers.dd, "every step sees all images; the rate does not fall by halves."
        ),
        "sldd": Preset(papers.sldd, "as `dd`; labels stay probabilities."),
        "ld": Preset(
            papers.ld, "networks are fresh at each step, not trained on along the run."
        ),
        "rat_bptt": Preset(
            papers.rat_bptt, "the running norm takes clipped gradients."
        ),
        "linba": Preset(
            papers.linba,
            "the rows of an inner step are the default, and bases start from singular "
            "vectors of real images.",
        ),
        "kip": Preset(
            papers.kip,
            "the rate falls along a cosine; the number of updates is not the paper's, "
            "which stops by the test score.",
        ),
        "rfad": Preset(
            papers.rfad,
            "Adam along a cosine, no stop by validation, no learned linear map.",
        ),
        "frepo": Preset(papers.frepo, "Adam along a cosine instead of LAMB."),
        "sre2l": Preset(
            papers.sre2l,
            "all images are one batch, the teacher normalizes by each batch, and views "
            "of the student are the protocol's.",
        ),
        "rded": Preset(papers.rded, "views of the student are the protocol's."),
        "kfs": Preset(
            papers.kfs,
            "the matching alone is the paper's; codes and decoders are smaller.",
        ),
        "gtn": Preset(
            papers.gtn,
            "sizes are not checked against the authors' code; a small generator.",
        ),
        "haba": Preset(papers.haba, f"{RATE}; one term keeps images of a base apart."),
        "itgan": Preset(
            papers.itgan,
            "no pretrained GAN: give `generator=`; the rate is the default.",
        ),
        "latent": Preset(
            papers.latent, "no pretrained autoencoder: give `encoder=` and `decoder=`."
        ),
        "forgetting": Preset(papers.forgetting, "a ConvNet forgets, not a ResNet-18."),
    },
    papers.facts_of,
)
"""The paper of each method."""


def preset(
    method: str,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    data: Any = None,
    name: str = PAPER,
) -> dict[str, Any]:
    """The settings that a preset takes, by flat name.

    Args:
        method: one of `multidd.images.METHODS` that has a paper.
        ipc: images per class; 10 unless given.
        budget_bytes: bytes in all, in its place.
        data: training images; CIFAR-10 unless given, where papers report most.
        name: of the preset.

    Returns:
        Name -> value of each parameter and option that the preset sets.

    Raises:
        ValueError: a method without a paper, or no such preset.

    Example:
        >>> paper = preset("dm", ipc=10)
        >>> paper["steps"], paper["width"], paper["batch_size"], paper["lr"]
        (20000, 128, 256, 1.0)
    """
    budget = {"ipc": ipc, "budget_bytes": budget_bytes}
    return PRESETS.settings(method, data, budget, name)
