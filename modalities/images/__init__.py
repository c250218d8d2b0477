"""Image distillation for classification.

Methods: `dm`, `m3d`, `cafe`, `idm`, `iid`, `ncfm` (distributions), `dc`, `dsa`, `dcc`,
`idc` (gradients), `kip`, `rfad`, `frepo` (kernels), `mtt`, `tesla`, `ftd`, `datm`
(trajectories); `sre2l` (a
teacher); selections: `rded` (a teacher's), `random`, `herding`, `kcenter`, `kmeans`,
`forgetting`. All take labelled images in any form and give an
`ImageSummary`. `load` reads benchmark images.
"""

from collections.abc import Callable

from multidd.images._bptt import rat_bptt
from multidd.images._datm import datm
from multidd.images._dc import dc, dcc, dsa
from multidd.images._dm import dm, m3d
from multidd.images._factorized import gtn, kfs, linba
from multidd.images._haba import haba
from multidd.images._idc import idc
from multidd.images._kernels import frepo, kip, rfad
from multidd.images._latent import itgan, latent
from multidd.images._mtt import ftd, mtt, tesla
from multidd.images._pools import cafe, idm, iid, ncfm
from multidd.images._rded import rded
from multidd.images._selections import forgetting, herding, kcenter, kmeans, random
from multidd.images._sre2l import sre2l
from multidd.images._unroll import dd, ld, sldd
from multidd.images.augment import Augmentation
from multidd.images.data import given, load, long_tailed
from multidd.images.images import Images, as_images
from multidd.images.judge import Judge
from multidd.images.models import MODELS
from multidd.images.preprocessing import Preprocessing
from multidd.images.relabelling import relabel
from multidd.images.settings import Settings
from multidd.images.summary import ImageSummary
from multidd.images.task import ImageTask

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
