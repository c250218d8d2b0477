"""idx files, the form MNIST was published in, plain or gzipped."""

import gzip
import pathlib
import zlib

import numpy as np

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
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            raw = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is broken ({error}); get it again") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in TYPES or not raw[3]:
        raise ValueError(f"{path} is not an idx file: it starts with {raw[:4].hex()}")
    kind, start = np.dtype(TYPES[raw[2]]), 4 + 4 * raw[3]
    shape = tuple(int(size) for size in np.frombuffer(raw[4:start], ">u4"))
    wanted = start + kind.itemsize * int(np.prod(shape, dtype=np.int64))
    if len(shape) != raw[3] or len(raw) != wanted:
        raise ValueError(
            f"{path} is broken: {len(raw)} bytes, but its header promises {wanted} "
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
    for found in (images.with_name(name), images.with_name(f"{name}.gz")):
        if name != plain and found.is_file():
            return found
    raise ValueError(f"{images} has no {name}(.gz) beside it")


def find_images(folder: pathlib.Path, prefixes: tuple[str, ...]) -> pathlib.Path | None:
    """The images file of one part of a dataset in a folder, or None.

    Example:
        >>> find_images(pathlib.Path(), ("train",)) is None
        True
    """
    found: dict[str, pathlib.Path] = {}
    for path in sorted(folder.glob("*images*idx3-ubyte*"), reverse=True):
        stem = path.name.removesuffix(".gz")
        words = stem.split("images")[0].strip("-_.").split("-")
        if path.suffix in ("", ".gz", ".idx3-ubyte") and words[-1] in prefixes:
            found[stem] = path  # the plain file comes last, and stays
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise ValueError(f"{folder} holds several sets ({names}); pass the file of one")
    return next(iter(found.values()), None)
