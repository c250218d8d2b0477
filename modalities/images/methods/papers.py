"""What the papers for images set, by budget and by data.

Values are those of the papers and of their authors' code and scripts, for CIFAR-10,
CIFAR-100, (Fashion-)MNIST and images of 64 pixels and more; other data take those of
the most like. What neither says stays at the default.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from multidd.arguments import is_whole
from multidd.images.data.images import as_images
from multidd.images.methods.budget import item_bytes
from multidd.images.methods.options import DSA
from multidd.learning.experts import GSAM, Experts, Trainer
from multidd.learning.optim import SGD

__all__ = ["ImageFacts", "facts_of"]

Settings = Mapping[str, Any]

WIDE = {"width": 128, "init": "random", "labels": "hard"}
"""The ConvNet of the field, from real images with their classes."""


@dataclass(frozen=True)
class ImageFacts:
    """What the settings of papers depend on.

    Attributes:
        ipc: images per class.
        images: training images.
        classes: c.
        shape: `(ch, h, w)`.
        name: of the dataset; empty where unknown.
    """

    ipc: int = 10
    images: int = 50_000
    classes: int = 10
    shape: tuple[int, int, int] = (3, 32, 32)
    name: str = "cifar10"

    @property
    def has_colour(self) -> bool:
        """Papers whiten images of three channels alone."""
        return self.shape[0] == 3

    def epoch(self, batch_size: int) -> int:
        """Steps in which each image is seen once."""
        return math.ceil(self.images / batch_size)


def facts_of(data: Any, budget: Settings) -> tuple[Any, ImageFacts]:
    """The images, checked, and what the settings of papers depend on.

    Args:
        data: training images; None takes the facts of CIFAR-10.
        budget: `ipc` or `budget_bytes`, by name; what is none the recipe refuses.

    Example:
        >>> facts_of(None, {"ipc": 50})[1].ipc
        50
    """
    ipc, limit = budget.get("ipc", 10), budget.get("budget_bytes")
    ipc = max(1, int(ipc or 1)) if is_whole(ipc) else 1
    if data is None:
        return data, ImageFacts(ipc)
    images = as_images(data)
    if is_whole(limit) and "ipc" not in budget:
        ipc = max(1, int(limit or 0) // (images.num_classes * item_bytes(images.shape)))
    sizes = len(images), images.num_classes, images.shape
    return images, ImageFacts(ipc, *sizes, images.name)


# --- distribution matching --------------------------------------------------------


def dm(facts: ImageFacts) -> Settings:
    return WIDE | {
        "steps": 20_000,
        # The authors raise the rate for hundreds of images per class alone.
        "lr": 1.0 if facts.ipc < 100 else 10.0,
        "momentum": 0.5,
        "batch_size": 256,
        "augment": DSA,
        "matches_per_net": 1,
    }


def m3d(facts: ImageFacts) -> Settings:
    # The authors' repository holds no code: the protocol that the paper shares with DM.
    return WIDE | {
        "steps": 20_000,
        "momentum": 0.5,
        "batch_size": 256,
        "augment": DSA,
        "factor": 2,
    }


def cafe(facts: ImageFacts) -> Settings:
    return WIDE | {
        "steps": 20_000,  # 2,000 networks, with ten matches each
        "init": "noise",
        "lr": 0.1,
        "momentum": 0.5,
        "batch_size": 256,
        "augment": "none",
        "matches_per_net": 10,
        "discrimination": 0.01,
        "layer_weights": (1.0, 1.0, 0.1, 0.1),
    }


def idm(facts: ImageFacts) -> Settings:
    many = facts.ipc > 10 or (facts.ipc > 1 and facts.classes >= 100)
    return WIDE | {
        "steps": 20_000,
        "lr": 0.2,
        "momentum": 0.5,
        "batch_size": 5000 if facts.ipc == 1 else 256,
        "augment": DSA,
        "factor": 2,
        "pool_size": 100,
        "cross_entropy": 0.1 if many else 0.5,
    }


def iid(facts: ImageFacts) -> Settings:
    settings = {**idm(facts)}
    del settings["cross_entropy"]
    # The authors' code has 0.01 on top of DM and 0.03 on top of IDM, which this is.
    return settings | {"covariance": 0.03, "centralization": 0.05}


def ncfm(facts: ImageFacts) -> Settings:
    return WIDE | {
        "steps": 20_000,
        "lr": 0.01,
        "batch_size": 1024,
        "augment": "color_crop_cutout",
        "factor": 2,
        "pool_size": 20,
        "frequencies": 4096,
        "cross_entropy": 1.0,
    }


# --- gradient matching ------------------------------------------------------------


def _loops(ipc: int) -> tuple[int, int]:
    """Matches with a network, and its training steps between two."""
    return (1, 1) if ipc == 1 else (10, 50) if ipc <= 10 else (50, 10)


def dc(facts: ImageFacts) -> Settings:
    matches, net_steps = _loops(facts.ipc)
    return WIDE | {
        "steps": 1000 * matches,  # 1,000 networks
        "init": "noise",
        "lr": 0.1,
        "momentum": 0.5,
        "batch_size": 256,
        "augment": "none",
        "matches_per_net": matches,
        "net_steps": net_steps,
        "distance": "cosine",
    }


def dsa(facts: ImageFacts) -> Settings:
    return {**dc(facts), "init": "random", "augment": DSA}


def dcc(facts: ImageFacts) -> Settings:
    # 250 of the 1,000 networks match class by class.
    return {**dc(facts), "warmup_steps": 250 * _loops(facts.ipc)[0]}


def idc(facts: ImageFacts) -> Settings:
    gray = not facts.has_colour
    # The rates are of pixels from 0 to 1; here images are divided by the deviation of
    # their pixels, about a quarter in colour and a third in gray, so by its square.
    rate = 1e-4 * 9 if gray else 5e-3 * 16
    return WIDE | {
        "steps": 200_000,  # 2,000 networks, with 100 matches each
        "lr": rate * facts.ipc / 10,
        "momentum": 0.5,
        "batch_size": 64,
        "augment": "color_crop_cutout",
        "factor": 2,
        "matches_per_net": 100,
        "net_steps": 4 if gray else 16,  # an epoch of 500 or 2,000 images, by 128
        "distance": "l1" if gray else "mse",
    }


# --- trajectories -----------------------------------------------------------------


def _experts(facts: ImageFacts, epochs: int = 50, gsam: GSAM | None = None) -> Experts:
    """A hundred, on all images in each epoch."""
    trainer = Trainer(epochs, facts.epoch(256), SGD(lr=0.01), gsam=gsam)
    return Experts(trainer, count=100)


def mtt(facts: ImageFacts) -> Settings:
    ipc, hundreds = facts.ipc, facts.classes >= 100
    # N, M, the last start and the rate of the images: by the authors' page, and by the
    # scripts of those who took their settings over.
    if hundreds:
        row = (20, 3, 20) if ipc == 1 else (20, 2, 40) if ipc <= 10 else (80, 2, 40)
    else:
        row = (50, 2, 2) if ipc == 1 else (30, 2, 20) if ipc <= 10 else (30, 2, 40)
    rows = 125 if hundreds and ipc > 10 else None
    whitened = facts.has_colour and (hundreds or ipc <= 10)
    return WIDE | {
        "steps": 5000,
        "experts": _experts(facts),
        "syn_steps": row[0],
        "expert_epochs": row[1],
        "start_epochs": (0, row[2]),
        "lr": 1000.0 if hundreds or ipc > 10 else 100.0,
        "momentum": 0.5,
        "lr_net": 0.001 if not hundreds and ipc > 1 else 0.01,
        "batch_syn": rows,
        "batch_size": 256,
        "augment": DSA,
        "zca": whitened,
    }


def tesla(facts: ImageFacts) -> Settings:
    if facts.ipc > 1 or facts.classes >= 100:
        return {**mtt(facts), "lr": 1000.0}
    more = {"start_epochs": (0, 5), "lr": 1000.0, "lr_net": 0.01, "zca": False}
    return {**mtt(facts)} | more


def ftd(facts: ImageFacts) -> Settings:
    flat = GSAM(0.01, 0.3 if facts.classes < 100 else 1.0)
    return {**mtt(facts), "experts": _experts(facts, 50, flat), "ema": 0.9995}


def datm(facts: ImageFacts) -> Settings:
    ipc = facts.ipc
    # First and last start, the last of the first step, and the steps until it is that.
    if ipc == 1:
        start, first, growth = (0, 4), 4, 1
    elif ipc <= 10:
        start, first, growth = (0, 20), 10, 1000
    elif ipc < 500:
        start, first, growth = (0, 40), 20, 2000
    else:
        start, first, growth = (40, 60), 60, 1
    flat = GSAM(0.01, 0.3 if facts.classes < 100 else 1.0)
    return {
        **mtt(facts),
        "steps": 10_000,
        "experts": _experts(facts, 100, flat),
        "syn_steps": 80,
        "expert_epochs": 2,
        "start_epochs": start,
        "first_end": first,
        "growth_steps": growth,
        "lr": 1000.0 if 10 < ipc < 500 else 100.0,
        "lr_net": 0.01,
        "batch_syn": {1: None, 10: 100, 50: 500}.get(ipc, 1000 if ipc > 50 else 100),
        "labels": "teacher",
        "ema": 0.9995 if 1 < ipc <= 10 else 0.995,
        "zca": facts.has_colour,
    }


# --- unrolled training ------------------------------------------------------------


def dd(facts: ImageFacts) -> Settings:
    return {
        "steps": 400 * facts.epoch(1024),
        "init": "noise",
        "labels": "hard",
        "lr": 0.01,
        "syn_steps": 30,  # ten steps, three times
        "lr_net": 0.02,
        "net_momentum": 0.0,
        "batch_size": 1024,
        "model": "alexnet" if facts.has_colour else "lenet",
        "width": None,
        "norm": "none",
    }


def sldd(facts: ImageFacts) -> Settings:
    return {**dd(facts), "labels": "onehot", "lr_labels": 0.01}


def ld(facts: ImageFacts) -> Settings:
    return {
        "steps": 400 * facts.epoch(1024),
        "init": "random",
        "labels": "onehot",
        "syn_steps": 10,
        "lr_net": 0.01,
        "net_momentum": 0.0,
        "batch_size": 1024,
        "width": 128,
    }


def rat_bptt(facts: ImageFacts) -> Settings:
    hundreds = facts.classes >= 100
    return WIDE | {
        "steps": 60_000,
        "init": "noise",
        "labels": "hard",
        "lr": 0.001,
        "window": 100 if hundreds else 60,
        "max_unroll": 300 if hundreds else 200,
        "lr_net": 0.001,
        "clip": 2.0,
        "batch_size": 5000,
        "augment": "flip_rotate",
        "zca": facts.has_colour,
    }


def linba(facts: ImageFacts) -> Settings:
    return {
        "steps": 500_000,
        "width": 128,
        "lr": 0.1,
        "momentum": 0.5,
        "bases": 16,
        "shrink": 2,
        "weight_decay": 1e-4,
        "syn_steps": 150,
        "lr_net": 0.01,
        "net_momentum": 0.9,
        "augment": "flip_rotate",
    }


# --- kernels ----------------------------------------------------------------------


def kip(facts: ImageFacts) -> Settings:
    return {
        "steps": 50_000,
        "init": "random",
        "architecture": "fc",
        "kernel": "ntk",
        "depth": 1,
        "ridge": 1e-6,
        "lr": 0.04,
        "labels": "centered",  # the paper's table has fixed labels; LS learns them
        "batch_size": 5000,
        "zca": facts.has_colour,
    }


def rfad(facts: ImageFacts) -> Settings:
    return {
        "steps": 100_000,
        "init": "random",
        "model": "cnn",
        "width": 256,
        "num_models": 8,
        "loss": "cross_entropy",
        "ridge": 0.005,
        "lr": 0.001,
        "lr_temperature": 0.01,
        "labels": "onehot",
        "batch_size": 5120,  # four batches of 1,280
        "augment": "none",
        "zca": facts.has_colour,
    }


def frepo(facts: ImageFacts) -> Settings:
    return {
        "steps": 500_000,
        "init": "random",
        "width": (128, 256, 512),
        "norm": "batch",
        "pool_size": 10,
        "ridge": 1e-6,
        "lr": 3e-4,
        "labels": "onehot",
        "batch_size": 1024,
        "augment": "flip" if facts.has_colour else "none",
        "zca": facts.has_colour,
    }


# --- a teacher, codes, generators ---------------------------------------------------


def sre2l(facts: ImageFacts) -> Settings:
    return {
        "steps": 1000 if facts.shape[1] <= 64 else 4000,
        "init": "noise",
        "model": "resnet18",
        "width": None,
        "norm": "batch",
        "lr": 0.25,
        "statistics_weight": 0.01,
        "first_layer_weight": 10.0,
        "teacher_steps": 200 * facts.epoch(128),
        "label_temperature": 20.0,
        "augment": "crop_flip",
    }


def rded(facts: ImageFacts) -> Settings:
    small = facts.shape[1] <= 32
    return {
        "factor": 1 if small else 2,  # the scripts tile from 64 pixels on
        "candidates": 300,
        "crops": 5,
        "crop_area": (0.08, 1.0),
        "label_temperature": 20.0,
        "width": 128,
    }


def kfs(facts: ImageFacts) -> Settings:
    return {"steps": 20_000, "width": 128, "batch_size": 256, "augment": DSA}


def gtn(facts: ImageFacts) -> Settings:
    return {"steps": 2000, "noise_size": 64, "syn_steps": 32, "batch_syn": 128}


def haba(facts: ImageFacts) -> Settings:
    row = mtt(facts)
    few: dict[str, Any] = {}
    if facts.classes < 100 and facts.ipc > 10:
        few = {"start_epochs": (0, 20), "lr_net": 0.01}
    return {
        **row,
        "lr": 100.0,
        "lr_hallucinators": 100.0,
        "hallucinators": 5,
        "contrast": 0.1,
        "zca": facts.has_colour,
    } | few


def itgan(facts: ImageFacts) -> Settings:
    return {"width": 128, "batch_size": 256, "augment": DSA}


def latent(facts: ImageFacts) -> Settings:
    return {"steps": 20_000, "width": 128, "batch_size": 256, "match_space": "latents"}


def forgetting(facts: ImageFacts) -> Settings:
    return {"epochs": 200, "width": 128}
