"""Distilled images as a Hugging Face dataset."""

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from multidd.images.summary.summary import ImageSummary


def to_dataset(summary: "ImageSummary") -> Any:
    """See `ImageSummary.to_dataset`."""
    from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value
    from PIL import Image as Pillow

    shades = (summary.pictures() * 255).round().to(torch.uint8)
    hard = summary.tensors["y"].repeat_interleave(
        summary.num_images // len(summary.tensors["y"])
    )
    columns: dict[str, Any] = {
        "image": [Pillow.fromarray(_pixels(image)) for image in shades],
        "label": hard.tolist(),
    }
    kinds: dict[str, Any] = {
        "image": Image(),
        "label": ClassLabel(names=list(summary.classes)),
    }
    if "y_soft" in summary.tensors:
        columns["soft_label"] = summary.to_tensors()[1].tolist()
        kinds["soft_label"] = Sequence(Value("float32"))
    return Dataset.from_dict(columns, features=Features(kinds))


def _pixels(image: torch.Tensor) -> Any:
    """`[h, w]` of a gray image, `[h, w, 3]` of a colored one."""
    return image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()
