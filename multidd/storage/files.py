"""The file format: tensors and JSON in one file, with a SHA-256 of the whole.

The file is plain safetensors, so any tool can open it, and nothing in it is ever
unpickled. What safetensors lets through is refused here: a flipped bit in the data,
NaN, a file of another kind. A file is written aside and renamed, so that at any
moment the old one or the new one is whole.

The digest covers every byte, its own 64 digits counted as zeros. Later formats keep
this, so that a newer file and a damaged one can be told apart.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from multidd.errors import (
    CorruptFileError,
    FileVersionError,
    StorageError,
    WrongKindError,
)
from multidd.storage.atomic import (
    PathLike,
    check_writable,
    replace,
    write_bytes,
    write_text,
)
from multidd.storage.content import (
    Tree,
    check_finite,
    digest,
    flatten,
    from_json,
    plain,
    to_json,
    unflatten,
)
from multidd.storage.limits import Limits, advice, json_fault, open_regular
from multidd.storage.packing import DecodedTensors, Packing, header_fault
from multidd.storage.schema import Form, Schema, refuse

__all__ = [
    "FORMAT",
    "JSON",
    "MAX_BYTES",
    "Limits",
    "Tree",
    "check_writable",
    "digest",
    "flatten",
    "peek",
    "read",
    "unflatten",
    "write",
    "write_bytes",
    "write_text",
]

JSON: TypeAlias = Any  # None, bool, int, finite float, str, and lists and dicts of them

FORMAT = 2
"""The newest that is read. Files without packed tensors are written as format 1."""
PACKED = "compression"
"""Key of the info, from format 2 on, that says how tensors are packed."""
MAX_BYTES = Limits().file_bytes  # a larger file is refused unless the limit is raised
_MAX_HEADER = 100_000_000  # the bound of safetensors itself
_MARK = b'"sha256":"'  # inside a JSON string its quotes would be escaped
_ZEROS = b"0" * 64
_KEYS = {"sha256", "format", "kind", "multidd"}
_LOOKS = {b"PK": "a zip (.pt, .npz)", b"\x80": "a pickle", b"\x93NUMPY": "an .npy"}


def write(
    path: PathLike,
    tensors: Mapping[str, Tensor],
    info: Mapping[str, JSON],
    *,
    kind: str,
    allow_nonfinite: bool = False,
    packing: Packing | None = None,
) -> int:
    """Write tensors and their description as one file, whole or not at all.

    The same content gives the same bytes, whatever the order of the dicts. The
    caller's tensors are copied (to the CPU, contiguous) and left as they were.

    Args:
        path: the file; its folder must exist.
        tensors: strided tensors by name.
        info: plain JSON; numbers finite, keys strings. Tuples come back as lists.
        kind: what the file holds, such as `"summary"`; `read` checks it.
        allow_nonfinite: let NaN and infinity through in the tensors.
        packing: of the tensors, which is then what the file holds of them.

    Returns:
        Bytes written.

    Raises:
        NonFiniteError: a tensor holds NaN or infinity.
        StorageError: the file could not be written; the old one is whole.
        TypeError: a tensor that no file can hold (sparse, complex128, ...).
        ValueError: `info` is not plain JSON, or a name is not usable.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write(f"{folder}/a", {"x": torch.ones(2)}, {"seed": 0}, kind="note")
        ...     read(f"{folder}/a", kind="note")
        ({'x': tensor([1., 1.])}, {'seed': 0})
    """
    path, number = Path(path), 1
    copies = {name: plain(name, tensor) for name, tensor in tensors.items()}
    if not allow_nonfinite:
        check_finite(path, copies)
    if packing is not None:
        info, number = {**info, PACKED: packing.record()}, 2
        copies = {name: plain(name, data) for name, data in packing.data().items()}
    text = to_json(path, info)
    meta = {
        "sha256": _ZEROS.decode(),
        "format": str(number),
        "kind": kind,
        "multidd": text,
    }
    header, body = _serialize(copies, meta)
    if len(header) - 8 > _MAX_HEADER:
        raise ValueError(
            f"cannot write {path}: its header would take {len(header)} bytes of at "
            f"most {_MAX_HEADER}; keep long lists as tensors, not in info"
        )
    replace(path, header, body)
    return len(header) + len(body)


def _serialize(
    tensors: dict[str, Tensor], meta: dict[str, str]
) -> tuple[bytes, memoryview]:
    """Header (with its length before it) and data, the digest filled in."""
    raw = memoryview(safetensors.torch.save(tensors))
    end = 8 + int.from_bytes(raw[:8], "little")
    # safetensors writes the metadata in an order that differs between processes.
    header = {"__metadata__": meta, **json.loads(bytes(raw[8:end]))}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    seal = _seal(head, raw[end:])
    return head.replace(_MARK + _ZEROS, _MARK + seal, 1), raw[end:]


def _seal(*parts: bytes | memoryview) -> bytes:
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest().encode()


def read(
    path: PathLike,
    *,
    kind: str | None = None,
    schema: Schema | None = None,
    allow_nonfinite: bool = False,
    max_bytes: int | None = None,
    limits: Limits | None = None,
) -> tuple[dict[str, Tensor], dict[str, JSON]]:
    """Read a file that `write` made, after checking every bit of it.

    Args:
        path: the file.
        kind: the kind wanted; None takes any.
        schema: what a file of that kind holds. The info, and names, types and shapes of
            the tensors are checked before a tensor is read, their values after.
        allow_nonfinite: let NaN and infinity through in the tensors.
        max_bytes: refuse a larger file before reading it; `limits.file_bytes` unless
            given.
        limits: what reading may take; `Limits.current()` unless given.

    Returns:
        The tensors, on the CPU, and the info. Packed ones are decoded; they come as
        `multidd.storage.packing.DecodedTensors`, which know their packing.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptFileError: the file is truncated, altered or not one of multidd's.
        SchemaError: it is whole, and does not hold what a file of its kind holds.
        FileVersionError: the file is of a newer format.
        WrongKindError: the file is sound and holds something else.
        NonFiniteError: a tensor holds NaN or infinity.
        StorageError: the file cannot be read, or is larger than `max_bytes`.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write(f"{folder}/a", {"x": torch.ones(2)}, {}, kind="summary")
        ...     tensors, info = read(f"{folder}/a", kind="summary")
        >>> tensors["x"]
        tensor([1., 1.])
    """
    path, limits = Path(path), limits or Limits.current()
    data = _bytes(path, max_bytes or limits.file_bytes, limits)
    header, meta = _header(path, data, limits)
    _check_seal(path, data)
    if int(meta["format"]) > FORMAT:
        raise FileVersionError(
            f"{path} has format {meta['format']}; this multidd reads up to format "
            f"{FORMAT}; upgrade multidd"
        )
    if kind not in (None, meta["kind"]):
        raise WrongKindError(f"{path} holds a {meta['kind']!r}, not a {kind!r}")
    info, sizes = from_json(path, meta["multidd"], limits), {}
    forms, record = _forms(path, header), None
    if int(meta["format"]) > 1:
        record = info.pop(PACKED, None)
        refuse(path, header_fault(record, forms, limits))
        forms = Packing.forms_of(record)
    if schema is not None:
        sizes = schema.check_header(path, info, forms, limits)
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CorruptFileError(f"{path} is damaged: {error}") from error
    if record is not None:
        tensors = _decoded(path, record, tensors)
    if not allow_nonfinite:
        check_finite(path, tensors)
    if schema is not None:
        schema.check_values(path, info, tensors, sizes)
    return tensors, info


def _decoded(
    path: Path, record: Mapping[str, JSON], data: Mapping[str, Tensor]
) -> DecodedTensors:
    try:
        return Packing.of(record, data).decode()
    except ValueError as error:
        refuse(path, str(error))
        raise


def peek(
    path: PathLike, *, limits: Limits | None = None
) -> tuple[str, int, dict[str, JSON]]:
    """Kind, format and info of a file, from its header alone.

    Cheap, and no proof that the file is whole: only `read` checks that.

    Args:
        path: the file.
        limits: what reading may take; `Limits.current()` unless given.

    Raises:
        FileNotFoundError, CorruptFileError, WrongKindError, StorageError: as `read`.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write(f"{folder}/a", {}, {"seed": 0}, kind="summary")
        ...     peek(f"{folder}/a")
        ('summary', 1, {'seed': 0})
    """
    path, limits = Path(path), limits or Limits.current()
    _, meta = _header(path, _bytes(path, None, limits), limits)
    return meta["kind"], int(meta["format"]), from_json(path, meta["multidd"], limits)


def _bytes(path: Path, max_bytes: int | None, limits: Limits) -> bytes:
    """The file, or its header where no limit is given; a bomb allocates nothing."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise StorageError(
                f"cannot read {path}: it takes {size} bytes, more than {max_bytes}; "
                "if that is right, raise max_bytes"
            )
        start = file.read(8)
        end = _header_end(path, start, size, limits)
        return start + file.read((end if max_bytes is None else size) - 8)


def _header_end(path: Path, start: bytes, size: int, limits: Limits) -> int:
    length = int.from_bytes(start, "little")
    if len(start) == 8 and length <= min(size - 8, _MAX_HEADER):
        if length > limits.header_bytes:
            raise CorruptFileError(
                f"cannot read {path}: its header takes {length} bytes, more than "
                f"{limits.header_bytes}; {advice('header_bytes')}"
            )
        return 8 + length
    looks = [text for magic, text in _LOOKS.items() if start.startswith(magic)]
    claim = f"it takes {size} bytes and claims {length} bytes of header"
    raise CorruptFileError(
        f"{path} is truncated, damaged or not a multidd file: "
        f"{f'it looks like {looks[0]}' if looks else claim}; use another copy, or "
        "make it again"
    )


def _header(
    path: Path, data: bytes, limits: Limits
) -> tuple[dict[str, JSON], dict[str, str]]:
    """A header and its metadata; of a foreign file a refusal that says so."""
    end = 8 + int.from_bytes(data[:8], "little")
    try:
        text = data[8:end].decode()
        if fault := json_fault(text, limits):
            raise ValueError(fault)
        header = json.loads(text)
        meta = header.get("__metadata__", {})
        present = _KEYS & meta.keys()
        texts = all(isinstance(value, str) for value in meta.values())
    except (ValueError, AttributeError) as error:
        raise CorruptFileError(
            f"{path} is damaged or not a multidd file: its header is no JSON object: "
            f"{error}"
        ) from error
    if not present:
        raise WrongKindError(
            f"{path} is not a multidd file: its header has no 'multidd' entry; read "
            "a safetensors file of others with safetensors.torch.load_file"
        )
    if present != _KEYS or not texts or not re.fullmatch("[0-9]{1,9}", meta["format"]):
        raise CorruptFileError(f"{path} is damaged: its metadata are incomplete")
    return header, dict(meta)


def _forms(path: Path, header: Mapping[str, JSON]) -> dict[str, Form]:
    """Type and shape of each tensor, as the header claims them."""
    forms = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        entry = entry if isinstance(entry, dict) else {}
        shape, dtype = entry.get("shape"), entry.get("dtype")
        sound = isinstance(shape, list) and all(
            type(size) is int and 0 <= size < 2**63 for size in shape
        )
        if not sound or shape is None or not isinstance(dtype, str):
            raise CorruptFileError(
                f"{path} is damaged: tensor {name!r} has no type or shape"
            )
        forms[name] = Form(dtype, tuple(shape))
    return forms


def _check_seal(path: Path, data: bytes) -> None:
    """Compare the SHA-256 of the whole with the one in the header."""
    end = 8 + int.from_bytes(data[:8], "little")
    at = data.find(_MARK, 8, end) + len(_MARK)
    view = memoryview(data)
    digest = _seal(view[:at], _ZEROS, view[at + len(_ZEROS) :])
    if data[at : at + len(_ZEROS)] != digest:
        raise CorruptFileError(
            f"{path} is damaged: its SHA-256 is {digest.decode()[:12]}..., not the one "
            "written in it; use another copy, or make it again"
        )
