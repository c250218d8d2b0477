"""Read labelled images from arrays, datasets, files and folders."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch.utils.data import Dataset, IterableDataset, TensorDataset

from multidd.data.sources import (
    check_no_stream,
    is_saved,
    load_saved,
    part_of,
    several_splits,
)
from multidd.errors import require
from multidd.images.data.files import (
    PARTS,
    RawImages,
    find_images,
    labels_of,
    open_image,
    part_folders,
    read_annotated,
    read_folder,
    read_idx,
    read_npz,
)
from multidd.images.data.pixels import as_pixels, length, stack

FORMS = (
    "a pair (x, y), a datasets.Dataset, a torch Dataset, or the path of an .npz file, "
    "of idx files or of an image folder"
)


def read(data: Any) -> RawImages:
    """Images and labels of any of the forms that `as_images` takes.

    Args:
        data: as of `as_images`.

    Returns:
        What it holds; pixels are checked, labels are not.

    Raises:
        TypeError: another form.
        ValueError: a file or an image that cannot be read; says which.

    Example:
        >>> read(([[[0, 9], [9, 0]]], [1])).x.shape
        torch.Size([1, 1, 2, 2])
    """
    if isinstance(data, str | os.PathLike):
        raw = read_path(pathlib.Path(data))
        if raw is None:
            raise ValueError(
                f"{data} holds test images only; for these pass the files or the "
                "folder themselves"
            )
        return raw
    # By its methods, too: many projects have a module called datasets of their own.
    library = type(data).__module__.split(".")[0]
    if library == "datasets" and hasattr(data, "cast_column"):
        return read_hf(data)
    if isinstance(data, Dataset):
        return read_torch(data)
    if not isinstance(data, tuple | list) or len(data) != 2:
        size = f" of {len(data)}" if isinstance(data, tuple | list) else ""
        raise TypeError(f"images must be {FORMS}; got {type(data).__name__}{size}")
    if all(isinstance(part, str | os.PathLike) for part in data):
        return _idx(*map(pathlib.Path, data))
    return RawImages(as_pixels(data[0]), data[1])


def read_path(path: pathlib.Path, part: str = "train") -> RawImages | None:
    """One part of what a file or folder holds, or None where it has no test part.

    Args:
        path: an .npz file, an idx file of images, or a folder: of idx files, of what
            `datasets` saved, or of class folders, below train/ and test/ if there, by
            any name that `part_words` knows.
        part: `"train"` or `"test"`.

    Raises:
        ValueError: not there, or none of these.

    Example:
        >>> read_path(pathlib.Path("nowhere"))
        Traceback (most recent call last):
        ...
        ValueError: there is no file or folder nowhere; ...
    """
    if path.is_dir():
        return _in_folder(path, part)
    if not path.exists():
        raise ValueError(
            f"there is no file or folder {path}; benchmarks are read by name with "
            "multidd.images.load"
        )
    if path.suffix == ".npz":
        return read_npz(path, part)
    if "idx" in path.name and "images" in path.name:
        return _idx(path, labels_of(path)) if part == "train" else None
    raise ValueError(
        f"{path.name} is neither .npz nor the images of an idx pair (such as "
        "train-images-idx3-ubyte.gz); for other files pass the pair (x, y)"
    )


def _idx(images: pathlib.Path, labels: pathlib.Path) -> RawImages:
    x, y = read_idx(images), read_idx(labels)
    if x.ndim < 3 or y.ndim != 1:
        raise ValueError(
            f"{images} and {labels} must hold images and labels, in this order; got "
            f"shapes {list(x.shape)} and {list(y.shape)}"
        )
    return RawImages(as_pixels(x), y)


def _in_folder(folder: pathlib.Path, part: str) -> RawImages | None:
    if (saved := read_saved(folder, part)) is not None:
        return saved
    if (images := find_images(folder, PARTS[part])) is not None:
        return _idx(images, labels_of(images))
    places = part_folders(folder)
    has_parts = places or any(find_images(folder, names) for names in PARTS.values())
    if not has_parts and not is_saved(folder):
        return _of_classes(folder) if part == "train" else None
    if part not in places:
        return None
    place = places[part]
    if (annotated := read_annotated(place)) is not None:
        return RawImages(*annotated)
    # What is left out beside the parts is said once, with the training images.
    root, apart = (folder, places.get("test")) if part == "train" else (None, None)
    return _of_classes(place, root, apart)


def _of_classes(
    folder: pathlib.Path,
    root: pathlib.Path | None = None,
    apart: pathlib.Path | None = None,
) -> RawImages:
    x, y, classes = read_folder(folder, root, apart)
    return RawImages(x, y, classes, classes)


def named(raw: RawImages, name: str, classes: Sequence[str] | None = None) -> RawImages:
    """The same with the name and the class names of a benchmark.

    Example:
        >>> import torch
        >>> named(RawImages(torch.zeros(1, 1, 2, 2), [1]), "two", ["a", "b"]).classes
        ('a', 'b')
    """
    if classes is None or raw.classes is not None:
        return replace(raw, name=name)
    values: tuple[int | str, ...] = tuple(range(len(classes)))
    return replace(raw, name=name, classes=tuple(classes), values=values)


# --- datasets -------------------------------------------------------------------------

IMAGE_NAMES = ("image", "img")
LABEL_NAMES = ("label", "labels", "fine_label")
DECODED_ROWS = 256  # at a time


def read_hf(data: Any) -> RawImages:
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
        raise TypeError(several_splits(data))
    check_no_stream(data)
    of = data.features
    image = _column(of, [n for n in of if _is(of[n], "Image")], IMAGE_NAMES, "image")
    typed = [n for n in of if _is(of[n], "ClassLabel")]
    label = _column(of, typed, LABEL_NAMES, "class", untyped=True)
    raw = data.with_format(None).cast_column(image, datasets.Image(decode=False))
    x = stack(_decoded(raw, image), len(raw), _named)
    names = tuple(of[label].names) if _is(of[label], "ClassLabel") else None
    values = None if names is None else tuple(range(len(names)))
    return RawImages(x, list(raw[label]), names, values, data.info.dataset_name or "")


def read_saved(folder: pathlib.Path, part: str = "train") -> RawImages | None:
    """One part of what `save_to_disk` wrote, or None where it lacks that part.

    Example:
        >>> read_saved(pathlib.Path("nowhere")) is None
        True
    """
    if not is_saved(folder):
        return None
    data = load_saved(folder)
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
    noun: str,
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
    problem = f"has several {noun} columns" if typed else f"has no {noun} column"
    raise ValueError(
        f"the dataset {problem}: {got}; rename the right one to {preferred[0]!r} with "
        "data.rename_column, or cast it with data.cast_column"
    )


def _named(i: int) -> str:
    return f"image {i}"


def _decoded(raw: Any, column: str) -> Iterator[Any]:
    for start in range(0, len(raw), DECODED_ROWS):
        for i, cell in enumerate(raw[start : start + DECODED_ROWS][column], start):
            if cell is None:
                raise ValueError(f"image {i} is missing; drop the row")
            data, path = cell["bytes"], cell["path"]
            if data is None and path is None:
                raise ValueError(f"image {i} is missing; drop the row")
            name = _named(i) if path is None else f"{_named(i)} ({path})"
            yield open_image(pathlib.Path(path) if data is None else data, name)


def read_torch(data: Any) -> RawImages:
    """Every item of a map-style torch `Dataset` of `(image, label)`.

    Args:
        data: items are PIL images, arrays or tensors, with a label each; a transform
            of it must not normalize.

    Raises:
        TypeError: no length, or items of another form.

    Example:
        >>> import torch
        >>> x, y = torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 1])
        >>> read_torch(TensorDataset(x, y)).x.shape
        torch.Size([3, 1, 8, 8])
    """
    if isinstance(data, TensorDataset) and len(data.tensors) == 2:
        return RawImages(as_pixels(data.tensors[0]), data.tensors[1])
    if isinstance(data, IterableDataset):
        raise TypeError("a torch IterableDataset has no order; pass a map-style one")
    labels: list[Any] = []
    count = length(data, "a torch Dataset")
    x = stack(_items(data, count, labels), count)
    classes = _names(getattr(data, "classes", None), labels)
    values = None if classes is None else tuple(range(len(classes)))
    return RawImages(x, labels, classes, values)


def _names(names: Any, labels: Sequence[Any]) -> tuple[str, ...] | None:
    """The class names that torchvision's datasets carry, where they fit the labels."""
    if not isinstance(names, Sequence) or isinstance(names, str) or not labels:
        return None
    fits = all(isinstance(y, int) and 0 <= y < len(names) for y in labels)
    return tuple(map(str, names)) if fits else None


def _items(data: Any, count: int, labels: list[Any]) -> Iterator[Any]:
    for i in range(count):
        item = data[i]
        if not isinstance(item, tuple | list) or len(item) < 2:
            raise TypeError(
                f"item {i} of the torch Dataset must be (image, label), got "
                f"{type(item).__name__}"
            )
        label = item[1]
        labels.append(label.item() if hasattr(label, "item") else label)
        yield item[0]
