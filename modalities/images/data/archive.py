""".npz files with images and labels."""

import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from multidd.images.data.files import open_image
from multidd.images.data.found import PARTS, Found
from multidd.images.data.pixels import as_pixels, stack

# Names of images and labels, where {} stands for train, test, val, ...
LAYOUTS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"))
WHOLE = (("x", "y"), ("images", "labels"))


def read_npz(path: pathlib.Path, part: str = "train") -> Found | None:
    """One part of an .npz file, or None where it lacks that part.

    Arrays `x, y`, or `x_train, y_train, x_test, y_test`, or JPEG or PNG bytes end to
    end as `train_bytes`, `train_offsets`, `train_labels`; `classes` where there.

    Args:
        path: of the file.
        part: `"train"` or `"test"`.

    Raises:
        ValueError: broken, or without such arrays; names the file.

    Example:
        >>> path = pathlib.Path("two.npz")
        >>> np.savez(path, x=np.zeros((2, 8, 8), np.uint8), y=[0, 1])
        >>> read_npz(path).x.shape
        torch.Size([2, 1, 8, 8])
    """
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise ValueError("it holds one array; pass images and labels, (x, y)")
        with opened as file:
            return _found(file, part)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is broken ({error}); get it again") from error
    except ValueError as error:
        objects = "it is no .npz, or holds Python objects, which are never unpickled"
        told = objects if "allow_pickle" in str(error) else error
        raise ValueError(f"{path}: {told}") from error


def _found(file: Mapping[str, Any], part: str) -> Found | None:
    names = tuple(map(str, file["classes"])) if "classes" in file else None
    values = None if names is None else tuple(range(len(names)))
    for word in PARTS[part]:
        if f"{word}_bytes" in file:
            x = _decoded(file, word)
            return Found(x, file[f"{word}_labels"], names, values, "")
    found = _pair(file, part)
    if found is None and part == "train":
        raise ValueError(
            f"it holds {sorted(file)}; images and labels are looked for as x and y, or "
            "x_train and y_train"
        )
    if found is None:
        return None
    return Found(as_pixels(file[found[0]]), file[found[1]], names, values, "")


def _pair(file: Mapping[str, Any], part: str) -> tuple[str, str] | None:
    layouts = [(a.format(w), b.format(w)) for w in PARTS[part] for a, b in LAYOUTS]
    for x, y in (*layouts, *(WHOLE if part == "train" else ())):
        if x in file and y in file:
            return x, y
    return None


def _decoded(file: Mapping[str, Any], word: str) -> Tensor:
    raw, offsets = file[f"{word}_bytes"].tobytes(), file[f"{word}_offsets"].tolist()
    count = len(offsets) - 1

    def name(i: int) -> str:
        return f"image {i} of {word}"

    images = (
        open_image(raw[offsets[i] : offsets[i + 1]], name(i)) for i in range(count)
    )
    return stack(images, count, name)
