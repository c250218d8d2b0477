"""Small seeded images: a bright corner for each of three classes, on noise."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import multidd
from multidd.images.data.benchmarks import Splits
from multidd.images.data.images import Images
from multidd.images.models.autoencoder import Autoencoder
from multidd.learning.experts import Experts, Trainer
from multidd.seeds import at

SMALL = {"channels": 1, "hidden": 1, "shrink": 2}
CODED: dict[str, Any] = {
    "kfs": SMALL | {"fit": 2},
    "linba": {"bases": 4, "rows": 4, "inner_steps": 2},
    "haba": {"hidden": 1, "shrink": 8, "hallucinators": 2},
    "gtn": SMALL | {"noise": 2, "images": 4, "inner": 2, "rows": 4},
    "itgan": {"invert": 2, "autoencoder": Autoencoder(width=2, steps=2)},
    "latent": {"autoencoder": Autoencoder(width=2, steps=2)},
}
"""Codes and decoders that fit into the bytes of two images of 8 x 8 per class."""

EXPERTS = Experts(Trainer(epochs=2, steps=2), count=2)
SIZES = (24, 20, 16)
CORNERS = ((0, 0), (0, 1), (1, 0))


def corners(
    sizes: tuple[int, ...] = SIZES, channels: int = 1, side: int = 8, seed: int = 0
) -> Images:
    """`sizes[i]` images of class i, uint8, in random order."""
    rng = at(seed, "corners")
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=rng)]
    x = torch.randint(90, (len(labels), channels, side, side), generator=rng)
    half = side // 2
    for place, label in enumerate(labels.tolist()):
        down, right = (half * step for step in CORNERS[label])
        x[place, :, down : down + half, right : right + half] += 120
    names = ("cat", "dog", "owl")[: len(sizes)]
    return Images(x.to(torch.uint8), labels, names, tuple(range(len(sizes))))


@pytest.fixture(scope="session")
def make() -> Callable[..., Images]:
    """The maker of small images, for tests that need several sets."""
    return corners


@pytest.fixture
def small() -> Images:
    """60 images of 1 x 8 x 8: 24 cats, 20 dogs, 16 owls."""
    return corners()


@pytest.fixture(scope="session")
def fashion() -> Splits:
    """The shipped sample; tests leave it as it is."""
    return multidd.samples.fashion()


@pytest.fixture(scope="session")
def run() -> Callable[..., Any]:
    """Any method by name on small images: few steps, narrow networks, no bar."""
    from multidd.images.methods.registry import LEARNED, METHODS

    def run(name: str, train: Any, **options: Any) -> Any:
        if not {"ipc", "budget_bytes"} & set(options):
            options["ipc"] = 2
        few: dict[str, Any] = {"epochs": 2, "width": 4} if name == "forgetting" else {}
        few |= {"width": 4, "teacher_steps": 3} if name == "rded" else {}
        if name in LEARNED:
            few = {"steps": 3, "width": 4, "batch_size": 6, "progress": False}
            pools = ("idm", "iid", "ncfm", "frepo")
            few |= {"pool": 2} if name in pools else {}
            few |= {"teacher_steps": 3} if name == "sre2l" else {}
            few |= {"width": (4, 4, 4)} if name == "frepo" else {}
            few |= {"inner": 2} if name in ("dc", "dsa", "dcc") else {}
            few |= {"inner_steps": 2} if name in ("dd", "sldd", "ld") else {}
            few |= CODED.get(name, {})
            few |= {"window": 2, "longest": 3} if name == "rat_bptt" else {}
        if name in ("mtt", "tesla", "ftd", "datm", "haba"):
            few |= {"experts": EXPERTS, "start": (0, 1), "epochs": 1, "inner": 2}
            few |= {"first": 0, "growing": 2} if name == "datm" else {}
        return METHODS[name](train, **(few | options))

    return run
