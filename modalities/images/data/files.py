"""Image folders: one sub-folder for each class, PNG or JPEG files inside."""

import io
import pathlib
from collections.abc import Iterator
from typing import Any

import PIL.Image
from torch import Tensor

from multidd.images.data.pixels import stack

SUFFIXES = (".png", ".jpg", ".jpeg")


def class_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """Sub-folders in the order of their names, hidden ones left out.

    Example:
        >>> class_folders(pathlib.Path("nowhere"))
        []
    """
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")


def read_folder(folder: pathlib.Path) -> tuple[Tensor, list[str], tuple[str, ...]]:
    """Images below each class folder, at any depth.

    Args:
        folder: with one sub-folder for each class.

    Returns:
        `[n, ch, h, w]`, the class of each image, all classes.

    Raises:
        ValueError: no class folders, no images, a broken file, several sizes.

    Example:
        >>> path = pathlib.Path("pets/cat/1.png")
        >>> path.parent.mkdir(parents=True)
        >>> PIL.Image.new("L", (8, 8)).save(path)
        >>> read_folder(pathlib.Path("pets"))[1]
        ['cat']
    """
    classes = tuple(path.name for path in class_folders(folder))
    files = [(f, name) for name in classes for f in _images_in(folder / name)]
    if not files:
        raise ValueError(
            f"{folder} holds no images: it needs one sub-folder for each class with "
            f"{', '.join(SUFFIXES)} files; its sub-folders are {list(classes)[:10]}"
        )
    return *_labelled(files), classes


def read_annotated(folder: pathlib.Path) -> tuple[Tensor, list[str]] | None:
    """Tiny-ImageNet's validation part: images in one folder, classes in a table.

    Example:
        >>> read_annotated(pathlib.Path("nowhere")) is None
        True
    """
    table = folder / "val_annotations.txt"
    if not table.is_file():
        return None
    rows = [line.split("\t") for line in table.read_text().splitlines() if line]
    return _labelled([(folder / "images" / row[0], row[1]) for row in rows])


def open_image(source: pathlib.Path | bytes, name: str) -> Any:
    """A decoded PIL image.

    Raises:
        ValueError: broken; says which by `name`.

    Example:
        >>> open_image(b"not an image", "row 7")
        Traceback (most recent call last):
        ...
        ValueError: row 7 is not a readable image (UnidentifiedImageError); ...
    """
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with PIL.Image.open(opened) as image:
            image.load()
            return image
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as e:
        raise ValueError(
            f"{name} is not a readable image ({type(e).__name__}); replace or drop it"
        ) from e


def _images_in(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file():
            yield path


def _labelled(files: list[tuple[pathlib.Path, str]]) -> tuple[Tensor, list[str]]:
    paths = [path for path, _ in files]
    decoded = (open_image(path, str(path)) for path in paths)
    x = stack(decoded, len(paths), lambda i: str(paths[i]))
    return x, [name for _, name in files]
