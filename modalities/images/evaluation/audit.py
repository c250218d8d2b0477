"""The space in which distilled images are audited: pixels after preprocessing."""

from functools import partial
from typing import Any

from torch import Tensor

from multidd.evaluation.audit.labelled import (
    Answer,
    LabelledSpace,
    Learner,
    Records,
    centered_targets,
    mlp,
)
from multidd.images.data.images import Images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.models.kernel_predictor import kernel_model
from multidd.images.summary.summary import ImageSummary

__all__ = ["image_space"]

SPACE = "pixels after preprocessing"


def image_space(
    summary: ImageSummary,
    train: Images,
    test: Images,
    split_rows: tuple[Tensor, Tensor],
    kernel: dict[str, Any],
    seed: int = 0,
    device: str = "cpu",
) -> LabelledSpace:
    """Images in the space of a summary, the summary's kernel predictor and an MLP.

    Args:
        summary: distilled images, decoded.
        train: training images.
        test: held-out images.
        split_rows: rows of the training images to train on, and of those held out.
        kernel: settings of the kernel predictor.
        seed: of what is drawn.
        device: where learners are trained.

    Raises:
        ValueError: too few images.

    Example:
        >>> import multidd, torch
        >>> train, test = multidd.samples.fashion()
        >>> ten = multidd.images.random(train, ipc=1)
        >>> split = torch.arange(2000), torch.arange(2000, 2500)
        >>> kernel = {"kind": "infinite", "ridge": 0.01}
        >>> image_space(ten, train, test, split, kernel).held_out.shape
        torch.Size([990, 784])
    """
    preprocessing, classes = summary.preprocessing, train.num_classes
    x, y = summary.to_tensors()
    real, held_out = (_records(images, preprocessing) for images in (train, test))
    rest, chosen_on = (real.some(rows) for rows in split_rows)
    regressed = partial(_regressed, kernel, classes)
    # Other kernels are of networks that a seed draws, and that some of them train.
    exact = kernel.get("kind", "infinite") == "infinite"
    learners = {
        "kernel": Learner(regressed, "squared error", exact),
        "mlp": mlp(classes, rest, chosen_on),
    }
    records = Records(lambda rows: x[rows], y)
    parts = (records, real, held_out)
    return LabelledSpace(SPACE, classes, *parts, learners, seed, device)


def _records(images: Images, space: Preprocessing) -> Records:
    return Records(lambda rows: space.apply(images.pixels(rows)), images.labels)


def _regressed(
    kernel: dict[str, Any], classes: int, records: Records, seed: int
) -> Answer:
    targets = centered_targets(records.y, classes)
    return kernel_model(records.x, targets, kernel, seed=seed)
