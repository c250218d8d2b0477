"""HF datasets: the image and the class column, found by their types."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from multidd.data.sources import check_no_stream, is_saved, part_of
from multidd.errors import require
from multidd.images.data.files import open_image
from multidd.images.data.found import PARTS, Found
from multidd.images.data.pixels import stack

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label")
ROWS = 256  # decoded at a time


def read_hf(data: Any) -> Found:
    """Images and labels of a `datasets.Dataset`; formats and transforms are left out.

    Args:
        data: with one image column, or one named image or img, and one class column,
            or one named label, labels or fine_label.

    Raises:
        TypeError: several splits, or a stream.
        ValueError: no such columns, or several; a broken image.

    Example:
        >>> import PIL.Image
        >>> from datasets import Dataset
        >>> image = PIL.Image.new("RGB", (8, 8))
        >>> read_hf(Dataset.from_dict({"img": [image], "label": [3]})).x.shape
        torch.Size([1, 3, 8, 8])
    """
    datasets = require("datasets")
    if isinstance(data, dict):
        raise TypeError(
            f"data holds the splits {sorted(data)}; pass one, data['train']"
        )
    check_no_stream(data)
    of = data.features
    image = _column(of, [n for n in of if _is(of[n], "Image")], IMAGE_NAMES, "image")
    typed = [n for n in of if _is(of[n], "ClassLabel")]
    label = _column(of, typed, LABEL_NAMES, "class", untyped=True)
    raw = data.with_format(None).cast_column(image, datasets.Image(decode=False))
    x = stack(_decoded(raw, image), len(raw), _named)
    names = tuple(of[label].names) if _is(of[label], "ClassLabel") else None
    values = None if names is None else tuple(range(len(names)))
    return Found(x, list(raw[label]), names, values, data.info.dataset_name or "")


def read_saved(folder: pathlib.Path, part: str = "train") -> Found | None:
    """One part of what `save_to_disk` wrote, or None where it lacks that part.

    Example:
        >>> read_saved(pathlib.Path("nowhere")) is None
        True
    """
    if not is_saved(folder):
        return None
    data = require("datasets").load_from_disk(str(folder))
    if isinstance(data, dict):
        chosen = part_of(data, PARTS[part])
        return None if chosen is None else read_hf(chosen)
    return read_hf(data) if part == "train" else None


def _is(feature: Any, kind: str) -> bool:
    return type(feature).__name__ == kind


def _column(
    features: Any,
    typed: Sequence[str],
    preferred: Sequence[str],
    what: str,
    *,
    untyped: bool = False,
) -> str:
    """The preferred name of that type, the only one, or (untyped) a plain column."""
    named = [name for name in preferred if name in typed]
    if named or len(typed) == 1:
        return [*named, *typed][0]
    plain = [name for name in preferred if untyped and name in features]
    if plain and not typed:
        return plain[0]
    got = ", ".join(f"{name} ({type(f).__name__})" for name, f in features.items())
    problem = f"has several {what} columns" if typed else f"has no {what} column"
    raise ValueError(
        f"the dataset {problem}: {got}; rename the right one to {preferred[0]!r} with "
        "data.rename_column, or cast it with data.cast_column"
    )


def _named(i: int) -> str:
    return f"image {i}"


def _decoded(raw: Any, column: str) -> Iterator[Any]:
    for start in range(0, len(raw), ROWS):
        for i, cell in enumerate(raw[start : start + ROWS][column], start):
            if cell is None:
                raise ValueError(f"image {i} is missing; drop the row")
            source = cell["bytes"] or pathlib.Path(cell["path"])
            yield open_image(source, _named(i))
