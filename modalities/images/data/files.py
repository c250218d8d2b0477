"""Image files: class folders, .npz archives, idx pairs."""

import gzip
import io
import pathlib
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
from torch import Tensor

from multidd.data.listing import (
    has_part_word,
    list_files,
    part_words,
    sub_folders,
    suffix_counts,
)
from multidd.images.data.pixels import as_pixels, stack
from multidd.storage.limits import check_regular

# Part of a dataset -> what files and folders call it, the first that is there.
PARTS = {
    "train": ("train", "training"),
    "test": ("test", "t10k", "testing", "val", "valid", "validation"),
}


@dataclass(frozen=True, eq=False)
class RawImages:
    """Labelled images as read, not validated yet.

    Attributes:
        x: `[n, ch, h, w]`, checked.
        y: labels of any kind, unchecked.
        classes: their names, where the source has them.
        values: the label value of each class, where the source has `classes`.
        name: of the dataset; empty where unknown.
    """

    x: Tensor
    y: Any
    classes: tuple[str, ...] | None = None
    values: tuple[int | str, ...] | None = None
    name: str = ""


# --- folders --------------------------------------------------------------------------

SUFFIXES = (
    ".png .apng .jpg .jpeg .jpe .jfif .webp .bmp .tif .tiff .gif"  # in any letters
).split()

ANNOTATIONS = "val_annotations.txt"


def part_folders(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The sub-folders that hold the training and the test part, by their names.

    A part holds class folders, or Tiny-ImageNet's table; a folder of images alone is a
    class, whatever its name.

    Args:
        folder: to look into.

    Returns:
        `"train"` and `"test"` -> folder, of the parts that are there. Where there are
        both test and validation images, the former.

    Raises:
        ValueError: several folders for one part.

    Example:
        >>> part_folders(pathlib.Path("nowhere"))
        {}
    """
    inside = {path.name: path for path in sub_folders(folder) if _is_divided(path)}
    words = part_words(inside, PARTS)
    results = {}
    for part, of_part in PARTS.items():
        ranked = sorted(
            (not (inside[name] / ANNOTATIONS).is_file(), word.startswith("val"), name)
            for name, word in words.items()
            if word in of_part
        )
        first = [name for *rank, name in ranked if rank == list(ranked[0][:2])]
        if len(first) > 1:
            raise ValueError(
                f"{folder} holds the folders {', '.join(first)} for one part; keep one "
                "of them, or pass one"
            )
        if first:
            results[part] = inside[first[0]]
    return results


def _is_divided(folder: pathlib.Path) -> bool:
    return (folder / ANNOTATIONS).is_file() or bool(sub_folders(folder))


def read_folder(
    folder: pathlib.Path,
    root: pathlib.Path | None = None,
    apart: pathlib.Path | None = None,
) -> tuple[Tensor, list[str], tuple[str, ...]]:
    """Images below each class folder, at any depth; a warning names what is left out.

    Args:
        folder: with one sub-folder for each class.
        root: the folder that was asked for, where that is one of its parts.
        apart: another part, which is not left out but read by itself.

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
    images, classes = list_images(folder, root, apart)
    return *_labelled(images), classes


def list_images(
    folder: pathlib.Path,
    root: pathlib.Path | None = None,
    apart: pathlib.Path | None = None,
) -> tuple[list[tuple[pathlib.Path, str]], tuple[str, ...]]:
    """Files below each class folder and their classes, and all classes.

    Args:
        folder: as of `read_folder`.
        root: as of `read_folder`.
        apart: as of `read_folder`.

    Raises:
        ValueError: no class folders, or no images.

    Example:
        >>> path = pathlib.Path("animals/dog/1.png")
        >>> path.parent.mkdir(parents=True)
        >>> _ = path.write_bytes(b"")
        >>> files, _ = list_images(pathlib.Path("animals"))
        >>> [(file.name, name) for file, name in files]
        [('1.png', 'dog')]
    """
    listing = list_files(root or folder)
    classes = tuple(path.name for path in sub_folders(folder))
    _check_no_parts(folder, classes)
    depth = len(folder.parts)
    images = [
        (path, path.parts[depth])
        for path in listing.of_suffix(SUFFIXES)
        if len(path.parts) > depth + 1 and path.is_relative_to(folder)
    ]
    if not images:
        raise ValueError(
            f"{folder} holds no images: it needs one sub-folder for each class with "
            f"{', '.join(SUFFIXES)} files; its sub-folders are {list(classes)[:10]}, "
            f"its files {suffix_counts(listing.files) or 'none'}"
        )
    read = [path for path, _ in images]
    read += [p for p in listing.files if apart and p.is_relative_to(apart)]
    listing.warn(
        read,
        f"images ({' '.join(SUFFIXES)}) below class folders",
        [
            *_classes_like_parts(folder),
        ],
    )
    return images, classes


def _check_no_parts(folder: pathlib.Path, classes: tuple[str, ...]) -> None:
    """Refuse two parts without class folders: they would become the classes."""
    words = part_words(classes, PARTS)
    parts = {p for p, of_part in PARTS.items() if set(of_part) & set(words.values())}
    if len(parts) > 1:
        raise ValueError(
            f"{folder} holds the parts {', '.join(words)} without class folders in "
            "them, so there are no labels; make one sub-folder for each class in each"
        )


def _classes_like_parts(folder: pathlib.Path) -> list[str]:
    """What to say of class folders that hold class folders, as parts do."""
    inside = {
        path.name: {p.name for p in sub_folders(path)} for path in sub_folders(folder)
    }
    alike = [
        name
        for name, names in inside.items()
        if names
        and (
            has_part_word(name, PARTS)
            or any(len(names & inside[other]) > 1 for other in inside if other != name)
        )
    ]
    if not alike:
        return []
    return [
        f"the folders {', '.join(alike[:10])} are read as classes and look like parts; "
        "if they are, call them train and test, or pass one of them"
    ]


def read_annotated(
    folder: pathlib.Path,
) -> tuple[Tensor, list[str]] | None:
    """Tiny-ImageNet's validation part: images in one folder, classes in a table.

    Example:
        >>> read_annotated(pathlib.Path("nowhere")) is None
        True
    """
    table = folder / ANNOTATIONS
    if not table.is_file():
        return None
    rows = [line.split("\t") for line in table.read_text().splitlines() if line]
    odd = next((row for row in rows if len(row) < 2 or not _is_plain(row[0])), None)
    if odd is not None:
        raise ValueError(
            f"{table} has the line {odd!r:.80}; each must be the name of a file in "
            "images/, a tab and its class: mend the line, or drop it"
        )
    images = [(folder / "images" / row[0], row[1]) for row in rows]
    read = [table, *(path for path, _ in images)]
    list_files(folder).warn(read, f"images that {ANNOTATIONS} names")
    return _labelled(images)


def _is_plain(name: str) -> bool:
    """Whether it names a file in the folder itself, and none elsewhere."""
    return name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)


FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that PIL decodes by itself, without starting another program."""


def open_image(source: pathlib.Path | bytes, name: str) -> Any:
    """A decoded PIL image, upright as its EXIF tag says; of several frames the first.

    Every file and all bytes become pixels here: no other format than `FORMATS` is
    tried, whatever the name of the file.

    Args:
        source: a file, or what it holds.
        name: what messages call it.

    Raises:
        ValueError: broken, or of another format; says which by `name`.

    Example:
        >>> open_image(b"not an image", "row 7")
        Traceback (most recent call last):
        ...
        ValueError: row 7 is not a readable image (UnidentifiedImageError); ...
    """
    try:
        if isinstance(source, pathlib.Path) and not source.is_file():
            raise FileNotFoundError(f"{source} is no file")
        opened = io.BytesIO(source) if isinstance(source, bytes) else source
        with PIL.Image.open(opened, formats=FORMATS) as image:
            image.load()
            if image.getexif().get(PIL.ExifTags.Base.Orientation) is not None:
                return PIL.ImageOps.exif_transpose(image)
            return image
    except Exception as error:  # every decoder has errors of its own
        raise ValueError(
            f"{name} is not a readable image ({type(error).__name__}); replace or drop "
            f"it: images are {', '.join(FORMATS)}"
        ) from error


def _labelled(files: list[tuple[pathlib.Path, str]]) -> tuple[Tensor, list[str]]:
    paths = [path for path, _ in files]
    decoded = (open_image(path, str(path)) for path in paths)
    x = stack(decoded, len(paths), lambda i: str(paths[i]))
    return x, [name for _, name in files]


# --- .npz archives --------------------------------------------------------------------

# Names of images and labels, where {} stands for train, test, val, ...
LAYOUTS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"))
WHOLE = (("x", "y"), ("images", "labels"))


def read_npz(path: pathlib.Path, part: str = "train") -> RawImages | None:
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
    check_regular(path)  # a pipe would wait for ever, a device has no end
    try:
        opened = np.load(path, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise ValueError("it holds one array; pass images and labels, (x, y)")
        with opened as file:
            return _of_arrays(file, part)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is broken ({error}); get it again") from error
    except ValueError as error:
        objects = "it is no .npz, or holds Python objects, which are never unpickled"
        problem = objects if "allow_pickle" in str(error) else error
        raise ValueError(f"{path}: {problem}") from error


def _of_arrays(file: Mapping[str, Any], part: str) -> RawImages | None:
    names = tuple(map(str, file["classes"])) if "classes" in file else None
    values = None if names is None else tuple(range(len(names)))
    for word in PARTS[part]:
        if f"{word}_bytes" in file:
            x = _decoded(file, word)
            return RawImages(x, file[f"{word}_labels"], names, values, "")
    pair = _pair(file, part)
    if pair is None and part == "train":
        raise ValueError(
            f"it holds {sorted(file)}; images and labels are looked for as x and y, or "
            "x_train and y_train"
        )
    if pair is None:
        return None
    return RawImages(as_pixels(file[pair[0]]), file[pair[1]], names, values, "")


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


# --- idx files ------------------------------------------------------------------------

# Third byte of the header -> type of the numbers, which are big-endian.
TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: pathlib.Path) -> np.ndarray:
    """The array in an idx file.

    Args:
        path: of the file; one that ends in .gz is unpacked.

    Returns:
        The array, in the machine's byte order.

    Raises:
        ValueError: not an idx file, cut short or otherwise broken; names it.

    Example:
        >>> path = pathlib.Path("labels-idx1-ubyte")
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 9]))
        >>> read_idx(path).tolist()
        [5, 0, 9]

    Reference:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits", 1998.
    """
    check_regular(path)
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            raw = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is broken ({error}); get it again") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES or not raw[3]:
        raise ValueError(f"{path} is not an idx file: it starts with {raw[:4].hex()}")
    kind, start = np.dtype(TYPES[raw[2]]), 4 + 4 * raw[3]
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    size = start + kind.itemsize * int(np.prod(shape, dtype=np.int64))
    if len(shape) != raw[3] or len(raw) != size:
        raise ValueError(
            f"{path} is broken: {len(raw)} bytes, but its header promises {size} "
            f"for shape {list(shape)}; get it again"
        )
    array = np.frombuffer(raw, kind, offset=start).reshape(shape)
    return array.astype(kind.newbyteorder("="), copy=False)


def labels_of(images: pathlib.Path) -> pathlib.Path:
    """The labels file that belongs to an images file, plain or gzipped.

    Example:
        >>> labels_of(pathlib.Path("train-images-idx3-ubyte"))
        Traceback (most recent call last):
        ...
        ValueError: train-images-idx3-ubyte has no train-labels-idx1-ubyte(.gz) beside it
    """  # noqa: E501
    plain = images.name.removesuffix(".gz")
    name = plain.replace("images", "labels").replace("idx3", "idx1")
    for path in (images.with_name(name), images.with_name(f"{name}.gz")):
        if name != plain and path.is_file():
            return path
    raise ValueError(f"{images} has no {name}(.gz) beside it")


def find_images(folder: pathlib.Path, prefixes: tuple[str, ...]) -> pathlib.Path | None:
    """The images file of one part of a dataset in a folder, or None.

    Example:
        >>> find_images(pathlib.Path(), ("train",)) is None
        True
    """
    files: dict[str, pathlib.Path] = {}
    for path in sorted(folder.glob("*images*idx3-ubyte*"), reverse=True):
        stem = path.name.removesuffix(".gz")
        words = stem.split("images")[0].strip("-_.").split("-")
        if path.suffix in ("", ".gz", ".idx3-ubyte") and words[-1] in prefixes:
            files[stem] = path  # the plain file comes last, and stays
    if len(files) > 1:
        names = ", ".join(sorted(files))
        raise ValueError(f"{folder} holds several sets ({names}); pass the file of one")
    return next(iter(files.values()), None)
