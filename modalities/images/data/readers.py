"""Images and labels found in whatever holds them."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch.utils.data import Dataset, IterableDataset, TensorDataset

from multidd.data.sources import is_saved
from multidd.images.data.archive import read_npz
from multidd.images.data.columns import read_hf, read_saved
from multidd.images.data.files import class_folders, read_annotated, read_folder
from multidd.images.data.found import PARTS, Found
from multidd.images.data.idx import find_images, labels_of, read_idx
from multidd.images.data.pixels import as_pixels, length, stack

FORMS = (
    "a pair (x, y), a datasets.Dataset, a torch Dataset, or the path of an .npz file, "
    "of idx files or of an image folder"
)


def read(data: Any) -> Found:
    """Images and labels of any of the forms that `as_images` takes.

    Args:
        data: as of `as_images`.

    Returns:
        What was found; pixels are checked, labels are not.

    Raises:
        TypeError: another form.
        ValueError: a file or an image that cannot be read; says which.

    Example:
        >>> read(([[[0, 9], [9, 0]]], [1])).x.shape
        torch.Size([1, 1, 2, 2])
    """
    if isinstance(data, str | os.PathLike):
        found = read_path(pathlib.Path(data))
        if found is None:
            raise ValueError(
                f"{data} holds test images only; for these pass the files or the "
                "folder themselves"
            )
        return found
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
    return Found(as_pixels(data[0]), data[1])


def read_path(path: pathlib.Path, part: str = "train") -> Found | None:
    """One part of what a file or folder holds, or None where it has no test part.

    Args:
        path: an .npz file, an idx file of images, or a folder: of idx files, of what
            `datasets` saved, or of class folders, below train/ and test/ if there.
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


def read_torch(data: Any) -> Found:
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
        return Found(as_pixels(data.tensors[0]), data.tensors[1])
    if isinstance(data, IterableDataset):
        raise TypeError("a torch IterableDataset has no order; pass a map-style one")
    labels: list[Any] = []
    count = length(data, "a torch Dataset")
    x = stack(_items(data, count, labels), count)
    names = getattr(data, "classes", None)
    known = _names(names, labels)
    values = None if known is None else tuple(range(len(known)))
    return Found(x, labels, known, values)


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


def _idx(images: pathlib.Path, labels: pathlib.Path) -> Found:
    x, y = read_idx(images), read_idx(labels)
    if x.ndim < 3 or y.ndim != 1:
        raise ValueError(
            f"{images} and {labels} must hold images and labels, in this order; got "
            f"shapes {list(x.shape)} and {list(y.shape)}"
        )
    return Found(as_pixels(x), y)


def _in_folder(folder: pathlib.Path, part: str) -> Found | None:
    if (saved := read_saved(folder, part)) is not None:
        return saved
    if (images := find_images(folder, PARTS[part])) is not None:
        return _idx(images, labels_of(images))
    if _is_whole(folder):
        return _of_classes(folder) if part == "train" else None
    for name in PARTS[part]:
        if (annotated := read_annotated(folder / name)) is not None:
            return Found(*annotated)
    inside = [folder / name for name in PARTS[part] if class_folders(folder / name)]
    return _of_classes(inside[0]) if inside else None


def _is_whole(folder: pathlib.Path) -> bool:
    """Whether nothing in the folder is set apart for training or testing."""
    every = [name for names in PARTS.values() for name in names]
    parts = any(class_folders(folder / name) for name in every)
    files = any(find_images(folder, names) for names in PARTS.values())
    return not (parts or files or is_saved(folder))


def _of_classes(folder: pathlib.Path) -> Found:
    x, y, classes = read_folder(folder)
    return Found(x, y, classes, classes)


def named(found: Found, name: str, classes: Sequence[str] | None = None) -> Found:
    """The same with the name and the class names of a benchmark.

    Example:
        >>> import torch
        >>> named(Found(torch.zeros(1, 1, 2, 2), [1]), "two", ["a", "b"]).classes
        ('a', 'b')
    """
    if classes is None or found.classes is not None:
        return replace(found, name=name)
    values: tuple[int | str, ...] = tuple(range(len(classes)))
    return replace(found, name=name, classes=tuple(classes), values=values)
