"""Image distillation for classification.

Methods: `dm`, `m3d`, `cafe`, `idm`, `iid`, `ncfm` (distributions), `dc`, `dsa`, `dcc`,
`idc` (gradients), `kip`, `rfad`, `frepo` (kernels), `mtt`, `tesla`, `ftd`, `datm`
(trajectories); `sre2l` (a
teacher); selections: `rded` (a teacher's), `random`, `herding`, `kcenter`, `kmeans`,
`forgetting`. All take labelled images in any form and give an
`ImageSummary`. `load` reads benchmark images.
"""

from collections.abc import Callable

from multidd.images.data.augment import Augmentation
from multidd.images.data.benchmarks import given, load, long_tailed
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.evaluation.evaluator import Judge
from multidd.images.methods.bptt import rat_bptt
from multidd.images.methods.datm import datm
from multidd.images.methods.decoupled import sre2l
from multidd.images.methods.distribution import dm, m3d
from multidd.images.methods.factorized import gtn, kfs, linba
from multidd.images.methods.gradient import dc, dcc, dsa
from multidd.images.methods.haba import haba
from multidd.images.methods.idc import idc
from multidd.images.methods.kernel import frepo, kip, rfad
from multidd.images.methods.latent import itgan, latent
from multidd.images.methods.options import Settings
from multidd.images.methods.pools import cafe, idm, iid, ncfm
from multidd.images.methods.rded import rded
from multidd.images.methods.relabeling import relabel
from multidd.images.methods.selection import (
    forgetting,
    herding,
    kcenter,
    kmeans,
    random,
)
from multidd.images.methods.trajectory import ftd, mtt, tesla
from multidd.images.methods.unroll import dd, ld, sldd
from multidd.images.models.models import MODELS
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask

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

__all__ = [
    "MODELS",
    "Augmentation",
    "ImageSummary",
    "ImageTask",
    "Images",
    "Judge",
    "Preprocessing",
    "Settings",
    "as_images",
    "cafe",
    "datm",
    "dc",
    "dcc",
    "dd",
    "dm",
    "dsa",
    "forgetting",
    "frepo",
    "ftd",
    "given",
    "gtn",
    "haba",
    "herding",
    "idc",
    "idm",
    "iid",
    "itgan",
    "kcenter",
    "kfs",
    "kip",
    "kmeans",
    "latent",
    "ld",
    "linba",
    "load",
    "long_tailed",
    "m3d",
    "mtt",
    "ncfm",
    "random",
    "rat_bptt",
    "rded",
    "relabel",
    "rfad",
    "sldd",
    "sre2l",
    "tesla",
]
