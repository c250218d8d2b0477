"""Label regimes of images: what a teacher says of images and of their views."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from multidd.evaluation.protocol import Protocol
from multidd.images.data.augment import parse
from multidd.images.data.preprocessing import Preprocessing
from multidd.numerics import flush_denormals
from multidd.settings import tensor_digest

__all__ = ["ViewLabels", "probabilities", "shown_to", "teacher_labels"]

ViewLabels = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""Rows `[b]` and a generator to images `[b, ch, h, w]` and labels `[b, c]`."""

BATCH_SIZE = 256
"""Images that a teacher labels at a time."""


def probabilities(net: nn.Module, x: Tensor) -> Tensor:
    """`[b, c]` of a network for images `[b, ch, h, w]`, without gradients.

    Example:
        >>> probabilities(nn.Flatten(), torch.zeros(3, 1, 2, 2)).sum(1).tolist()
        [1.0, 1.0, 1.0]
    """
    with torch.no_grad(), flush_denormals():
        parts: list[Tensor] = [net(part).softmax(1) for part in x.split(BATCH_SIZE)]
    return torch.cat(parts)


def shown_to(
    whole: Preprocessing, summary: Preprocessing, device: str
) -> Callable[[Tensor], Tensor]:
    """Takes images from the space of a summary to that of whole data.

    Args:
        whole: the space that a teacher was trained in.
        summary: the space of the images.
        device: where they are.
    """

    def digests(space: Preprocessing) -> list[str]:
        return [tensor_digest(tensor) for tensor in space.tensors().values()]

    if digests(whole) == digests(summary):
        return lambda x: x
    back, forth = summary.to(device), whole.to(device)
    return lambda x: forth.apply(back.invert(x))


def teacher_labels(
    x: Tensor,
    protocol: Protocol,
    mirror: bool,
    label: Callable[[Any], Tensor],
) -> ViewLabels:
    """Views of images as a training sees them, each labelled by a teacher.

    Args:
        x: `[m, ch, h, w]`, decoded images of a summary, on any device.
        protocol: its augmentation draws the views.
        mirror: whether a mirrored image keeps its class.
        label: images in the summary's space to probabilities `[b, c]`.
    """
    augment = parse(protocol.augment)
    augment = augment if mirror else augment.without("flip")

    def show(rows: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        view = augment.draw(rng, len(rows))(x[rows])
        return view, label(view)

    return show
