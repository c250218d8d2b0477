"""Arrays by name in a file of others: .npz and safetensors, nothing unpickled."""

import io
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.data.sources import sha256_of
from multidd.errors import CorruptFileError, StorageError, first_line
from multidd.storage.limits import Limits, advice, read_regular

__all__ = [
    "array_by_name",
    "is_path",
    "native_tensor",
    "numbers",
    "origin_of",
    "read_arrays",
]

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".t7")
"""Endings of files whose tensors lie in a pickle."""


def is_path(value: Any) -> bool:
    """Whether it names a file.

    Example:
        >>> is_path("set.npz"), is_path([1])
        (True, False)
    """
    return isinstance(value, str | os.PathLike)


def origin_of(value: Any, name: str = "") -> dict[str, Any]:
    """What a card says of where the arrays of an external summary came from.

    Args:
        value: a path, or what holds them in memory.
        name: what the caller says of it.

    Returns:
        `origin`, that name, the name of a file or the type of an object, and of a file
        `sha256`; of a path without a file, which its reader refuses, the name alone.

    Example:
        >>> origin_of(np.zeros(3))
        {'origin': 'numpy.ndarray'}
    """
    said = {"origin": name} if name else {}
    if is_path(value):
        path = pathlib.Path(value)
        facts = (
            {"origin": path.name, "sha256": sha256_of(path)} if path.exists() else {}
        )
        return facts | said
    kind = type(value)
    return {"origin": f"{kind.__module__.split('.')[0]}.{kind.__name__}"} | said


def read_arrays(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The arrays of an .npz or a .safetensors file, by name.

    Args:
        path: the file.

    Returns:
        NumPy arrays of .npz, tensors of .safetensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a file of another kind; of a pickle it says how to convert it.
        CorruptFileError: a damaged file.

    Example:
        >>> np.savez("two.npz", x=np.zeros((2, 3)), y=[0, 1])
        >>> {name: part.shape for name, part in read_arrays("two.npz").items()}
        {'x': (2, 3), 'y': (2,)}
        >>> read_arrays("images_best.pt")
        Traceback (most recent call last):
        ...
        ValueError: images_best.pt is a pickle, which runs code when it is read; ...
    """
    path = pathlib.Path(path)
    ending = path.suffix.lower()
    if ending in PICKLES:
        raise ValueError(_pickle(path))
    if ending not in (".npz", ".safetensors"):
        raise ValueError(
            f"{path.name} is none of .npz and .safetensors; save the arrays by name, "
            "for example numpy.savez('summary.npz', x=x, y=y)"
        )
    content = read_regular(path, Limits.current().file_bytes)
    if ending == ".safetensors":
        return _tensors(path, content)
    return _archive(path, content)


def numbers(name: str, value: Any) -> Tensor:
    """An array of numbers of any library as a tensor of its own.

    Args:
        name: what messages call it.
        value: a tensor, an array in any order of memory or bytes, or nested lists.

    Raises:
        TypeError: no numbers, or complex ones.
        ValueError: rows of several lengths.

    Example:
        >>> numbers("x", np.arange(3, dtype=">u2")[::-1]).tolist()
        [2, 1, 0]
    """
    if isinstance(value, Tensor):
        if value.is_complex():
            raise TypeError(f"{name} must hold real numbers; got {value.dtype}")
        wide = value.dtype in (torch.uint16, torch.uint32, torch.uint64)
        return (value.to(torch.int64) if wide else value).detach().cpu().clone()
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{name} must be an array of one shape; its rows have several lengths"
        ) from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers; got {array.dtype}")
    return native_tensor(array)


def native_tensor(array: np.ndarray) -> Tensor:
    """An array of real numbers as a tensor of its own, of a type torch computes in.

    Args:
        array: of whole numbers, floats or booleans, in any order of memory or bytes.

    Example:
        >>> native_tensor(np.ones(1, ">u4")).dtype
        torch.int64
    """
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    elif array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(native)


def _pickle(path: pathlib.Path) -> str:
    """Why it is refused, and the command that converts it."""
    return (
        f"{path.name} is a pickle, which runs code when it is read; convert it where "
        'you trust whoever wrote it: python -c "import numpy, torch; t = '
        f"torch.load('{path.name}', weights_only=True); "
        f"numpy.savez('{path.stem}.npz', x=t.numpy())\", with an array by name for "
        "each tensor that it holds, and pass the new file"
    )


def _tensors(path: pathlib.Path, content: bytes) -> dict[str, Any]:
    import safetensors.torch
    from safetensors import SafetensorError

    try:
        tensors: dict[str, Any] = safetensors.torch.load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CorruptFileError(
            f"{path} is no safetensors file, or damaged: {first_line(error)}; use "
            "another copy, or save it again"
        ) from error
    if b'"multidd":' in content[: 8 + int.from_bytes(content[:8], "little")]:
        raise ValueError(
            f"{path.name} is a file of multidd itself; read it by multidd.load"
        )
    return tensors


def _archive(path: pathlib.Path, content: bytes) -> dict[str, Any]:
    try:
        _check_size(path, content)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file}
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CorruptFileError(
            f"{path} is damaged ({first_line(error)}); use another copy, or save it "
            "again"
        ) from error
    except (ValueError, TypeError, AttributeError) as error:
        if "pickle" in str(error):
            raise ValueError(
                f"{path.name} holds Python objects, which are never unpickled; save "
                "plain arrays of numbers or text"
            ) from None
        raise CorruptFileError(f"{path} is no .npz: {first_line(error)}") from error
    odd = [name for name, part in arrays.items() if not isinstance(part, np.ndarray)]
    if odd:  # a zip of something else, such as a .pt by another name
        raise ValueError(
            f"{path.name} holds {odd[0]!r}, which is no array; save arrays with "
            "numpy.savez"
        )
    return arrays


def _check_size(path: pathlib.Path, content: bytes) -> None:
    """Refuse an archive that unpacks to more than the limits."""
    limit = Limits.current().decoded_bytes
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > limit:
        raise StorageError(
            f"cannot read {path}: its arrays take {size:,} bytes, more than {limit:,}; "
            + advice("decoded_bytes")
        )


def array_by_name(
    arrays: Mapping[str, Any],
    names: Sequence[str],
    label: str,
    *,
    required: bool = True,
) -> Any:
    """The array of one of some names.

    Args:
        arrays: by name.
        names: that it may have, the first that is there.
        label: what messages call the file.
        required: whether there must be one; else None is returned.

    Raises:
        ValueError: there is none; names those that are there.

    Example:
        >>> array_by_name({"images": 1}, ("x", "images"), "set.npz")
        1
    """
    present = [name for name in names if name in arrays]
    if present:
        return arrays[present[0]]
    if required:
        raise ValueError(
            f"{label} has no array {' or '.join(map(repr, names))}; it holds "
            f"{', '.join(map(repr, sorted(arrays))) or 'none'}: save it under that name"
        )
    return None
