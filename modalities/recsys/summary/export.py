"""Synthetic users as tables and logs, and back."""

import base64
import hashlib
import io
import json
import pathlib
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from scipy.sparse import csr_array
from torch import Tensor

from multidd.errors import (
    CorruptFileError,
    NonFiniteError,
    SchemaError,
    StorageError,
    WrongKindError,
)
from multidd.recsys.data.ids import NAMES, as_table, unpack
from multidd.recsys.summary.storage import SCHEMA, as_matrix, store
from multidd.storage import files
from multidd.storage.fields import Record, Text
from multidd.storage.limits import Limits, advice, open_regular, parse_json
from multidd.storage.schema import forms_of, refuse
from multidd.summary import Card, card_of

if TYPE_CHECKING:
    from multidd.recsys.data.log import InteractionLog
    from multidd.recsys.summary.summary import RecsysSummary

WEIGHT, ROW_WEIGHT = "weight", "user_weight"
MARK = b"multidd.recsys"
MAX_TABLE_BYTES = 2**30  # bytes of an id table in a parquet file


def names(source: Mapping[str, Any]) -> tuple[str, str]:
    """Names of the user and of the item column of the log a summary was made from.

    Example:
        >>> names({"columns": {"user": "u"}})
        ('u', 'item')
    """
    columns = source.get("columns") or {}
    return str(columns.get("user", "user")), str(columns.get("item", "item"))


def to_frame(summary: "RecsysSummary") -> Any:
    """See `RecsysSummary.to_frame`."""
    import pandas

    return pandas.DataFrame(_columns(summary))


def _columns(summary: "RecsysSummary") -> dict[str, np.ndarray]:
    user, item = names(summary.card.source)
    if len({user, item, WEIGHT, ROW_WEIGHT}) < 4:
        raise ValueError(
            f"the columns {user!r} and {item!r} must differ, and not be called "
            f"{WEIGHT!r} or {ROW_WEIGHT!r}; read the log with others"
        )
    matrix, weight = summary.to_csr(), summary.weight
    rows = np.repeat(np.arange(len(weight)), np.diff(matrix.indptr))
    columns = {user: rows, item: summary.item_ids[matrix.indices], WEIGHT: matrix.data}
    if bool((weight == 1).all()):
        return columns
    # The product of two float32 is exact in float64, so the value comes back whole.
    each = weight.astype(np.float64)[rows]
    return columns | {WEIGHT: matrix.data * each, ROW_WEIGHT: weight[rows]}


def from_frame(
    frame: Any, source: Mapping[str, Any], item_ids: Any = None
) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Matrix, weights and item ids of a table; see `RecsysSummary.from_frame`."""
    import pandas

    frame = frame if isinstance(frame, pandas.DataFrame) else frame.to_pandas()
    user, item = names(source)
    _check_columns(frame, user, item)
    if item_ids is None:
        ids = as_table(frame[item].unique())
        item_ids = ids[np.argsort(ids, kind="stable")]
    ids = as_table(item_ids)
    rows = pandas.factorize(frame[user], sort=True)[0]
    columns = _places(frame[item].to_numpy(), ids)
    shape = (int(rows.max()) + 1, len(ids))
    return *_matrix(frame, rows, columns, shape), ids


def _check_columns(frame: Any, user: str, item: str) -> None:
    there = ", ".join(map(repr, frame.columns))
    for name in (user, item):
        if name not in frame:
            raise ValueError(
                f"the table has no column {name!r}, but {there}; rename one, or say "
                'in source["columns"] what they are called'
            )
    known = [c for c in (user, item, WEIGHT, ROW_WEIGHT) if c in frame]
    for name in known:
        if frame[name].isna().any():
            raise ValueError(f"the column {name!r} has missing values; drop these rows")
        if name in (WEIGHT, ROW_WEIGHT) and frame[name].dtype.kind not in "iufb":
            raise ValueError(
                f"the column {name!r} must hold numbers, not {frame[name].dtype}"
            )
    if not len(frame):
        raise ValueError("the table is empty; a summary has at least one interaction")
    if (twice := frame.duplicated([user, item])).any():
        row = [int(twice.to_numpy().argmax())]  # each column by itself keeps its type
        first = [frame[name].iloc[row].tolist()[0] for name in (user, item)]
        raise ValueError(f"user {first[0]!r} has item {first[1]!r} twice; keep one")


def _places(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Column of each item."""
    table = {item: place for place, item in enumerate(ids.tolist())}
    places = [table.get(item, -1) for item in values.tolist()]
    if -1 in places:
        first = values[places.index(-1)]
        raise ValueError(
            f"item {first!r} ({type(first).__name__}) is not among the "
            f"{len(ids)} item_ids; give all items of the log"
        )
    return np.array(places, dtype=np.int64)


def _matrix(
    frame: Any, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]
) -> tuple[csr_array, np.ndarray]:
    """The matrix and the weights of its rows, which the table's values contain."""
    values = np.ones(len(frame)) if WEIGHT not in frame else frame[WEIGHT].to_numpy()
    weight = np.ones(shape[0], dtype=np.float32)
    if ROW_WEIGHT in frame:
        each = frame[ROW_WEIGHT].to_numpy(dtype=np.float64)
        weight[rows] = each
        if not (each > 0).all() or (weight[rows] != each.astype(np.float32)).any():
            raise ValueError(f"{ROW_WEIGHT!r} must be one positive number for a user")
        values = values / each
    values = np.asarray(values, dtype=np.float32)
    return csr_array((values, (rows, columns)), shape=shape), weight


def to_log(summary: "RecsysSummary") -> "InteractionLog":
    """See `RecsysSummary.to_log`."""
    from multidd.recsys.data.log import InteractionLog

    if "x" in summary.tensors and not summary.binary:
        raise ValueError(
            f"{summary.density:.0%} of the matrix is not zero, so nearly every item "
            "would be in every history; call binarize() first"
        )
    matrix = summary.to_csr()
    matrix.eliminate_zeros()
    matrix.data[:] = 1
    log = InteractionLog.from_csr(matrix, item_ids=summary.item_ids)
    user, item = names(summary.card.source)
    return replace(log, columns={"user": user, "item": item})


def to_parquet(summary: "RecsysSummary", path: str | pathlib.Path) -> pathlib.Path:
    """See `RecsysSummary.to_parquet`."""
    import pyarrow
    from pyarrow import parquet

    path = pathlib.Path(path)
    SCHEMA.check(path, {"card": asdict(summary.card)}, summary.tensors)
    files.check_writable(path.parent)
    tensors = store(as_matrix(summary.to_csr()), summary.weight)
    ids = {n: t for n, t in summary.tensors.items() if n in NAMES}
    packable = ids | {"weight": tensors["weight"]}
    packed = base64.b64encode(zlib.compress(safetensors.torch.save(packable)))
    about: dict[str, Any] = {"card": asdict(summary.card), "tables": packed.decode()}
    about["seal"] = _seal(tensors | ids, about["card"])
    table = pyarrow.table(_columns(summary))
    table = table.replace_schema_metadata({MARK: json.dumps(about, allow_nan=False)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    files.write_bytes(path, buffer.getvalue())
    return path


def from_parquet(
    path: str | pathlib.Path,
) -> tuple[csr_array, np.ndarray, np.ndarray, Card]:
    """Matrix, weights, item ids and card; see `RecsysSummary.from_parquet`."""
    frame, metadata = _table(pathlib.Path(path))
    if metadata is None:
        raise WrongKindError(
            f"{path} is a parquet file, but not of a recsys summary; read a table of "
            "others with pandas and RecsysSummary.from_frame"
        )
    try:
        return _parse(path, frame, parse_json(metadata.decode()))
    except SchemaError as error:
        raise SchemaError(f"{error}; or it was changed by another program") from None
    except (ValueError, KeyError, TypeError, SafetensorError, zlib.error) as error:
        raise CorruptFileError(
            f"{path} is damaged, or was changed by another program: {error}; use "
            "another copy, or read it with pandas and RecsysSummary.from_frame"
        ) from error


def _table(path: pathlib.Path) -> tuple[Any, bytes | None]:
    """The table, and what was written beside it."""
    from pyarrow import lib, parquet

    limits = Limits.current()
    try:
        with open_regular(path) as opened, parquet.ParquetFile(opened) as file:
            _check_columns_of_file(path, file, limits)
            table = file.read()
        return table.to_pandas(), (table.schema.metadata or {}).get(MARK)
    except (FileNotFoundError, StorageError):
        raise
    except (lib.ArrowException, ValueError, OSError, MemoryError) as error:
        raise CorruptFileError(
            f"{path} is no parquet file, or damaged: {error}; use another copy, or "
            "make it again"
        ) from error


def _check_columns_of_file(path: pathlib.Path, file: Any, limits: Limits) -> None:
    """Refuse a table that would take more than the limits: runs of equal values take
    next to nothing in a file."""
    from pyarrow import types

    about, schema = file.metadata, file.schema_arrow
    if MARK not in (schema.metadata or {}):
        return
    needed = 8 * about.num_rows * max(len(schema), 1)
    if needed > limits.decoded_bytes:
        raise StorageError(
            f"cannot read {path}: its {about.num_rows:,} rows of {len(schema)} columns "
            f"take {needed:,} bytes, more than {limits.decoded_bytes:,}; "
            + advice("decoded_bytes")
        )
    flat = (types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    for column in schema:
        if not any(is_kind(column.type) for is_kind in flat):
            refuse(
                path,
                f"column {column.name!r} is of type {column.type}; it must be "
                "numbers or text",
            )


def _parse(
    path: str | pathlib.Path, frame: Any, about: dict[str, Any]
) -> tuple[csr_array, np.ndarray, np.ndarray, Card]:
    refuse(path, ABOUT.fault(about, ""))
    card = card_of(about["card"])
    unpacked = safetensors.torch.load(_unpacked(path, about["tables"]))
    for name, tensor in unpacked.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise NonFiniteError(f"{path}: tensor {name!r} holds NaN or infinity")
    ids, weight = _tables(path, unpacked, card)
    user, item = names(card.source)
    if not len(frame):
        refuse(path, f"columns {', '.join(map(repr, frame))} are empty")
    _check_columns(frame, user, item)
    for column in (WEIGHT, ROW_WEIGHT):
        if column in frame and not (frame[column] < np.inf).all():
            refuse(path, f"column {column!r} holds infinity; it must be finite")
        if column in frame and not (frame[column] > 0).all():
            least = frame[column].min()
            refuse(path, f"column {column!r} holds {least}; it must be above 0")
    others = sorted(set(frame) - {user, item, WEIGHT, ROW_WEIGHT})
    if others:
        refuse(path, f"there is an unknown column {others[0]!r}")
    if frame[user].dtype.kind not in "iu":
        refuse(path, f"column {user!r} is of {frame[user].dtype}; it must be int64")
    rows = frame[user].to_numpy(dtype=np.int64)
    if rows.min() < 0 or rows.max() >= len(weight):
        refuse(
            path,
            f"column {user!r} holds {rows.min()}..{rows.max()}; it must be "
            f"0..{len(weight) - 1}, as there are {len(weight)} weights",
        )
    try:
        places = _places(frame[item].to_numpy(), ids)
        matrix, _ = _matrix(frame, rows, places, (len(weight), len(ids)))
    except (TypeError, ValueError) as error:
        refuse(path, f"columns {user!r}, {item!r} and weights: {error}")
    tables = {n: t for n, t in unpacked.items() if n in NAMES}
    tensors = store(as_matrix(matrix), weight) | tables
    extra = sorted(set(unpacked) - {*NAMES, "weight"})
    if extra:
        refuse(path, f"there is an unknown tensor {extra[0]!r}")
    SCHEMA.check(path, {"card": about["card"]}, tensors)
    if _seal(tensors, about["card"]) != about["seal"]:
        raise ValueError("its content is not what was written")
    return matrix, weight, ids, card


def _tables(
    path: str | pathlib.Path, unpacked: Mapping[str, Tensor], card: Card
) -> tuple[np.ndarray, np.ndarray]:
    """Item ids and weights."""
    try:
        ids = unpack(unpacked, card.source["item_type"])
    except (TypeError, ValueError) as error:
        refuse(path, f"tensor 'items' is wrong: {error}")
    if "weight" not in unpacked:
        refuse(path, "there is no tensor 'weight'")
    weight = unpacked["weight"]
    if weight.dim() != 1 or weight.dtype != torch.float32:
        form = forms_of({"weight": weight})["weight"]
        refuse(path, f"tensor 'weight' is {form}; it must be F32 [m]")
    return ids, weight.numpy()


def _unpacked(path: str | pathlib.Path, packed: str) -> bytes:
    """The id table and the weights, inflated within the limits."""
    most = min(MAX_TABLE_BYTES, Limits.current().decoded_bytes)
    inflater = zlib.decompressobj()
    content = inflater.decompress(base64.b64decode(packed, validate=True), most)
    if inflater.unconsumed_tail:
        refuse(
            path, f"tables takes more than {most:,} bytes; {advice('decoded_bytes')}"
        )
    return content


ABOUT = Record(
    {
        "card": SCHEMA.info.fields["card"],
        "tables": Text(max_length=2**30),
        "seal": Text(pattern="[0-9a-f]{64}"),
    }
)
"""What a parquet file says beside its table: the card, the ids and a checksum."""


def _seal(tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    text = files.digest(tensors) + json.dumps(card, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
