"""The public names of `multidd.images`, where they load on first use."""

from multidd.images.data.augment import Augmentation
from multidd.images.data.benchmarks import load, load_for_evaluation, long_tailed
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.data.sketch import sketch
from multidd.images.evaluation.evaluator import Evaluator
from multidd.images.methods.candidates import DistillOptions
from multidd.images.methods.decoupled import RDEDOptions, SRe2LOptions, rded, sre2l
from multidd.images.methods.distribution import (
    CAFEOptions,
    DMOptions,
    IDMOptions,
    IIDOptions,
    M3DOptions,
    NCFMOptions,
    cafe,
    dm,
    idm,
    iid,
    m3d,
    ncfm,
)
from multidd.images.methods.factorized import (
    GTNOptions,
    HaBaOptions,
    KFSOptions,
    LinBaOptions,
    gtn,
    haba,
    kfs,
    linba,
)
from multidd.images.methods.gradient import (
    DCCOptions,
    DCOptions,
    DSAOptions,
    IDCOptions,
    dc,
    dcc,
    dsa,
    idc,
)
from multidd.images.methods.kernel import (
    FRePoOptions,
    KIPOptions,
    RFADOptions,
    frepo,
    kip,
    rfad,
)
from multidd.images.methods.latent import ITGANOptions, LatentOptions, itgan, latent
from multidd.images.methods.options import (
    ImageOptions,
    ImageSelectionOptions,
    SGDOptions,
)
from multidd.images.methods.presets import preset
from multidd.images.methods.registry import LEARNED, METHODS, distill
from multidd.images.methods.relabeling import relabel
from multidd.images.methods.selection import (
    ForgettingOptions,
    forgetting,
    herding,
    kcenter,
    kmeans,
    random,
)
from multidd.images.methods.trajectory import (
    DATMOptions,
    FTDOptions,
    MTTOptions,
    TESLAOptions,
    datm,
    ftd,
    mtt,
    tesla,
)
from multidd.images.methods.unroll import (
    DDOptions,
    LDOptions,
    RaTBPTTOptions,
    SLDDOptions,
    UnrollOptions,
    dd,
    ld,
    rat_bptt,
    sldd,
)
from multidd.images.models.networks import MODELS
from multidd.images.summary.external import from_arrays
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask

given = load_for_evaluation  # its name before
Judge = Evaluator  # its name before
Settings = ImageOptions  # its name before

__all__ = [
    "LEARNED",
    "METHODS",
    "MODELS",
    "Augmentation",
    "CAFEOptions",
    "DATMOptions",
    "DCCOptions",
    "DCOptions",
    "DDOptions",
    "DMOptions",
    "DSAOptions",
    "DistillOptions",
    "Evaluator",
    "FRePoOptions",
    "FTDOptions",
    "ForgettingOptions",
    "GTNOptions",
    "HaBaOptions",
    "IDCOptions",
    "IDMOptions",
    "IIDOptions",
    "ITGANOptions",
    "ImageOptions",
    "ImageSelectionOptions",
    "ImageSummary",
    "ImageTask",
    "Images",
    "Judge",
    "KFSOptions",
    "KIPOptions",
    "LDOptions",
    "LatentOptions",
    "LinBaOptions",
    "M3DOptions",
    "MTTOptions",
    "NCFMOptions",
    "Preprocessing",
    "RDEDOptions",
    "RFADOptions",
    "RaTBPTTOptions",
    "SGDOptions",
    "SLDDOptions",
    "SRe2LOptions",
    "Settings",
    "TESLAOptions",
    "UnrollOptions",
    "as_images",
    "cafe",
    "datm",
    "dc",
    "dcc",
    "dd",
    "distill",
    "dm",
    "dsa",
    "forgetting",
    "frepo",
    "from_arrays",
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
    "load_for_evaluation",
    "long_tailed",
    "m3d",
    "mtt",
    "ncfm",
    "preset",
    "random",
    "rat_bptt",
    "rded",
    "relabel",
    "rfad",
    "sketch",
    "sldd",
    "sre2l",
    "tesla",
]
