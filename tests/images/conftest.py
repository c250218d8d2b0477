"""Small seeded images: a bright corner for each of three classes, on noise."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import multidd
from multidd.engine.recipe import call
from multidd.images.data.benchmarks import Splits
from multidd.images.data.images import Images
from multidd.images.methods.registry import METHODS
from multidd.seeds import at
from tests.methods.cases import IMAGES

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

    def run(name: str, train: Any, **options: Any) -> Any:
        if not {"ipc", "budget_bytes"} & set(options):
            options["ipc"] = 2
        return call(METHODS[name], train, **(IMAGES[name] | options))

    return run
