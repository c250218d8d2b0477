"""Every method of the modality by name, and which of them have a loop."""

from collections.abc import Callable

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
