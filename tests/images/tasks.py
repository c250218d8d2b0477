"""Small image tasks, and what their numbers are by hand."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd import seeds
from multidd.images.data.images import Images
from multidd.images.models.backbone import Backbone
from multidd.images.tasks.image_task import ImageTask


def rng(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return seeds.at(seed, "test")


def task_of(images: Any, zca: bool = False, **settings: Any) -> ImageTask:
    """A task with a narrow network."""
    return ImageTask.of(images, zca=zca, **({"backbone": Backbone(width=4)} | settings))


def by_hand(images: Images) -> Tensor:
    """Standardized by the mean and deviation of each channel over all pixels."""
    x = images.x.numpy().astype(np.float64) / 255
    mean, std = (f(x, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    return torch.from_numpy((x - mean) / std).float()
