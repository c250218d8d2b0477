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
from safetensors import SafetensorError
from scipy.sparse import csr_array
from torch import Tensor

from multidd.errors import CorruptFileError, WrongKindError
from multidd.recsys.data.ids import NAMES, as_table, unpack
from multidd.recsys.summary.storage import as_matrix, store
from multidd.storage import files
from multidd.summary import Card

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
        first = frame.loc[twice, [user, item]].iloc[0].tolist()
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
        return _parse(frame, json.loads(metadata))
    except (ValueError, KeyError, TypeError, SafetensorError, zlib.error) as error:
        raise CorruptFileError(
            f"{path} is damaged, or was changed by another program: {error}; use "
            "another copy, or read it with pandas and RecsysSummary.from_frame"
        ) from error


def _table(path: pathlib.Path) -> tuple[Any, bytes | None]:
    """The table, and what was written beside it."""
    from pyarrow import lib, parquet

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; check the path")
    try:
        with parquet.ParquetFile(path) as file:
            table = file.read()
        return table.to_pandas(), (table.schema.metadata or {}).get(MARK)
    except (lib.ArrowException, ValueError, OSError, MemoryError) as error:
        raise CorruptFileError(
            f"{path} is no parquet file, or damaged: {error}; use another copy, or "
            "make it again"
        ) from error


def _parse(
    frame: Any, about: dict[str, Any]
) -> tuple[csr_array, np.ndarray, np.ndarray, Card]:
    packed = base64.b64decode(about["tables"], validate=True)
    unpacked = safetensors.torch.load(
        zlib.decompressobj().decompress(packed, MAX_TABLE_BYTES)
    )
    fields = dict(about["card"])
    fields["history"] = tuple(fields.get("history", ()))
    card = Card(**fields)
    ids = unpack(unpacked, card.source["item_type"])
    weight = unpacked["weight"].numpy()
    user, item = names(card.source)
    _check_columns(frame, user, item)
    rows = frame[user].to_numpy(dtype=np.int64)
    if rows.min() < 0 or rows.max() >= len(weight):
        raise ValueError(f"users must be 0..{len(weight) - 1}")
    places = _places(frame[item].to_numpy(), ids)
    matrix, _ = _matrix(frame, rows, places, (len(weight), len(ids)))
    tables = {n: t for n, t in unpacked.items() if n in NAMES}
    tensors = store(as_matrix(matrix), weight) | tables
    if _seal(tensors, about["card"]) != about["seal"]:
        raise ValueError("its content is not what was written")
    return matrix, weight, ids, card


def _seal(tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> str:
    text = files.digest(tensors) + json.dumps(card, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
