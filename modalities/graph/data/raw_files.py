"""Raw files of a benchmark: opened if they are plain files, read within bounds.

Nothing here unpickles, and no size that a file claims is believed before the bytes for
it are there. Each file is read whole, once, and known by its SHA-256.
"""

import gzip
import hashlib
import io
import json
import math
import os
import pathlib
import stat
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from multidd.errors import CorruptFileError, MultiddError
from multidd.graph.data.pickled_arrays import MAX_PICKLE_BYTES
from multidd.storage.atomic import naming

__all__ = ["ZIP_FAULTS", "RawFolder"]

MAX_FILE_BYTES = 2**31
"""Largest raw file; 89,250 nodes of 500 doubles, as Flickr's, are 0.4 GB."""

MAX_UNPACKED_BYTES = 2**30
"""Most that the arrays of one archive may unpack to, and that a plain table takes."""

MAX_TEXT_BYTES = 2**29
"""Most text that a compressed table may hold; its numbers may take four times more."""

ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,  # a kind of compression that is not known
    RuntimeError,  # encrypted
    ValueError,
)


class RawFolder:
    """The raw files of a benchmark in one folder.

    Attributes:
        folder: that holds `raw/`.
        digests: SHA-256 of each file by its name; an optional file may be absent.

    Args:
        folder: the same.
        names: of the files, below `folder`.
        optional: names of files that may be absent.

    Raises:
        MultiddError: a file is absent, or is no plain file.
    """

    def __init__(
        self, folder: pathlib.Path, names: Sequence[str], optional: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        absent = [name for name in names if not os.path.lexists(folder / name)]
        if absent:
            raise MultiddError(
                f"{folder} lacks {', '.join(absent)}; put the raw files there, or use "
                "multidd.samples.cora(), which ships with the library"
            )
        present = [name for name in optional if os.path.lexists(folder / name)]
        self.digests = {name: self._digest(name) for name in (*names, *present)}

    def __contains__(self, name: str) -> bool:
        return name in self.digests

    def refusal(self, name: str, fault: str) -> CorruptFileError:
        """The error that names a file and its fault.

        Args:
            name: of the file.
            fault: what is wrong with it.
        """
        return CorruptFileError(
            f"{self.folder / name} is damaged: {fault}; use another copy"
        )

    def content(self, name: str, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """A file whole.

        Args:
            name: of the file.
            max_bytes: a larger one is refused before it is read.

        Raises:
            CorruptFileError: it is larger, or changed since its digest was taken.
        """
        path = self.folder / name
        with naming(path, "read"), _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise self.refusal(name, f"it takes {size} bytes of {max_bytes}")
            content = file.read(max_bytes + 1)
        if hashlib.sha256(content).hexdigest() != self.digests[name]:
            raise self.refusal(name, "it changed while it was read")
        return content

    def pickle(self, name: str) -> bytes:
        """The bytes of a pickle, which are few."""
        return self.content(name, MAX_PICKLE_BYTES)

    def table(self, name: str, dtype: type = np.int64) -> np.ndarray:
        """`[rows, columns]` of the numbers in a text file, perhaps with commas."""
        return _table(self, name, self.content(name, MAX_UNPACKED_BYTES), dtype)

    def gzip_table(self, name: str, dtype: type = np.int64) -> np.ndarray:
        """`[rows, columns]` of the numbers in a compressed text file with commas."""
        with gzip.open(io.BytesIO(self.content(name))) as file:
            try:
                text = file.read(MAX_TEXT_BYTES + 1)
            except (OSError, EOFError, zlib.error) as error:
                raise self.refusal(name, f"it cannot be unpacked ({error})") from error
        if len(text) > MAX_TEXT_BYTES:
            raise self.refusal(name, f"it unpacks to more than {MAX_TEXT_BYTES} bytes")
        return _table(self, name, text, dtype)

    def json(self, name: str) -> dict[str, Any]:
        """The object in a JSON file."""
        try:
            value = json.loads(self.content(name, MAX_UNPACKED_BYTES))
        except (ValueError, RecursionError) as error:
            raise self.refusal(name, f"it is no JSON ({error})") from error
        if not isinstance(value, dict):
            raise self.refusal(name, "it is no JSON object")
        return value

    def npy(self, name: str) -> np.ndarray:
        """The array of numbers in an `.npy` file."""
        return _array(self, name, self.content(name))

    def npz(self, name: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
        """Some of the arrays in an `.npz` file, by their names."""
        content = self.content(name)
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                infos = [archive.getinfo(f"{key}.npy") for key in keys]
                size = sum(info.file_size for info in infos)
                if size > MAX_UNPACKED_BYTES:
                    raise self.refusal(name, f"it unpacks to {size} bytes")
                members = [archive.read(info) for info in infos]
        except CorruptFileError:
            raise
        except (*ZIP_FAULTS, OSError) as error:
            raise self.refusal(name, f"it is no whole .npz ({error})") from error
        places = [f"{name}, {key}" for key in keys]
        pairs = zip(places, members, strict=True)
        arrays = [_array(self, place, member) for place, member in pairs]
        return dict(zip(keys, arrays, strict=True))

    def _digest(self, name: str) -> str:
        path = self.folder / name
        with naming(path, "read"), _opened(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                raise self.refusal(name, f"it takes more than {MAX_FILE_BYTES} bytes")
            return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: pathlib.Path) -> io.BufferedReader:
    """A plain file, open; a pipe would wait for ever, a device has no end."""
    if path.is_file():
        file = open(path, "rb")
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise MultiddError(f"{path} is not a plain file; put the raw file there")


def _array(raw: RawFolder, name: str, content: bytes) -> np.ndarray:
    """The array in the bytes of an `.npy`, which claims no more than is there."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_columns, dtype = read(file)
    except (ValueError, KeyError) as error:
        raise raw.refusal(name, f"it is no array ({error})") from error
    if dtype.kind not in "biuf" or dtype.hasobject:
        raise raw.refusal(name, f"it holds {dtype}, not numbers")
    rest = content[file.tell() :]
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or size != len(rest):
        raise raw.refusal(name, f"{list(shape)} of {dtype} are not {len(rest)} bytes")
    flat = np.frombuffer(rest, dtype).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if by_columns else "C")


def _table(raw: RawFolder, name: str, content: bytes, dtype: type) -> np.ndarray:
    if not content.strip():
        raise raw.refusal(name, "it is empty")
    import pandas  # loads slowly, used only here

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a column of several kinds
            frame = pandas.read_csv(
                io.BytesIO(content),
                header=None,
                dtype=dtype,
                skipinitialspace=True,
                compression=None,
            )
    except (ValueError, Warning, OverflowError) as error:
        kind = "whole numbers" if dtype is np.int64 else "numbers"
        raise raw.refusal(name, f"it is no table of {kind} ({error})") from error
    return np.array(frame.to_numpy(), order="C")  # pandas' own may be read-only
