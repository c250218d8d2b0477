"""A matrix of synthetic users as tensors: dense or CSR, whichever is smaller."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, issparse
from torch import Tensor

from multidd.card_schema import COUNT, POSITIVE, card_schema
from multidd.recsys.data.ids import KINDS, NAMES, unpack
from multidd.storage.fields import Field, FreeJSON, Maybe, Number, Record, Text
from multidd.storage.schema import INTEGER, Fields, Forms, TensorField

DENSE = 0.5
"""From this density on an entry of CSR (its value and its column) takes more bytes."""

SPARSE = ("indptr", "indices", "values")
SOURCE = ("users", "train", "item_type")


def as_matrix(matrix: Any) -> csr_array:
    """Rows of users in any form, as canonical CSR.

    Args:
        matrix: `[m, I]`, a scipy sparse array, a tensor or an array.

    Returns:
        `[m, I]` float32, sorted, duplicates summed, without stored zeros; a copy.

    Raises:
        ValueError: not two axes, entries that are negative or not finite, or none.

    Example:
        >>> as_matrix(torch.tensor([[0.0, 2.0]])).data
        array([2.], dtype=float32)
    """
    if isinstance(matrix, Tensor):
        matrix = matrix.detach().cpu().to_dense().numpy()
    if not issparse(matrix):
        matrix = np.asarray(matrix)
    if matrix.ndim != 2:
        raise ValueError(f"a matrix of users must be [m, I]; got {list(matrix.shape)}")
    rows = csr_array(matrix, dtype=np.float32, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    _check_entries("an entry of the matrix", rows.data)
    return rows


def bytes_of(rows: int, entries: int) -> int:
    """Bytes of a sparse matrix and of its rows' weights, stored as below.

    Example:
        >>> stored = store(as_matrix(np.eye(4)))
        >>> bytes_of(4, 4) == sum(t.numel() * t.element_size() for t in stored.values())
        True
    """
    return 4 * rows + 8 * (rows + 1) + 8 * entries


def store(matrix: csr_array, weight: Any = None) -> dict[str, Tensor]:
    """The tensors of a matrix and of its rows' weights.

    Args:
        matrix: `[m, I]`, of `as_matrix`.
        weight: `[m]`, positive; None for ones.

    Returns:
        `weight` `[m]` and either `x` `[m, I]` or `indptr` `[m + 1]`, `indices` and
        `values` `[nnz]`.

    Raises:
        ValueError: weights that are not positive, or not one for each row.

    Example:
        >>> sorted(store(as_matrix(np.eye(4))))
        ['indices', 'indptr', 'values', 'weight']
    """
    rows, items = matrix.shape
    parts = {"weight": torch.ones(rows)}
    if weight is not None:
        array = weight.detach().cpu() if isinstance(weight, Tensor) else weight
        parts["weight"] = torch.tensor(np.asarray(array, dtype=np.float32))
    _check_weight(parts["weight"], rows)
    if matrix.nnz >= DENSE * rows * items:
        return parts | {"x": torch.from_numpy(matrix.toarray())}
    arrays = {
        "indptr": matrix.indptr.astype(np.int64),
        "indices": matrix.indices.astype(np.int32),
        "values": matrix.data.copy(),
    }
    return parts | {name: torch.from_numpy(part) for name, part in arrays.items()}


def restore(tensors: Mapping[str, Tensor], items: int) -> csr_array:
    """The matrix that `store` kept.

    Args:
        tensors: those of `store`.
        items: I.

    Returns:
        `[m, I]` float32, a new one.

    Example:
        >>> restore(store(as_matrix(np.eye(4))), 4).nnz
        4
    """
    if "x" in tensors:
        return csr_array(tensors["x"].numpy().copy())
    indptr, indices, values = (tensors[name].numpy().copy() for name in SPARSE)
    shape = (len(indptr) - 1, items)
    return csr_array((values, indices, indptr), shape=shape)


def check(tensors: Mapping[str, Tensor], source: Mapping[str, Any]) -> np.ndarray:
    """Refuse tensors that are no matrix of synthetic users.

    Args:
        tensors: as of a `RecsysSummary`.
        source: of its card.

    Returns:
        `[I]`, the item ids.

    Raises:
        ValueError: says which tensor, and what is wrong with it.

    Example:
        >>> check({}, {"users": 3})
        Traceback (most recent call last):
        ...
        ValueError: card.source lacks train, item_type
    """
    if missing := [name for name in SOURCE if name not in source]:
        raise ValueError(f"card.source lacks {', '.join(missing)}")
    required = ("weight", "x") if "x" in tensors else ("weight", *SPARSE)
    if missing := [name for name in required if name not in tensors]:
        raise ValueError(f"there is no tensor {', '.join(missing)}")
    ids = unpack(tensors, source["item_type"])
    if len(ids) != source.get("items", len(ids)):
        raise ValueError(
            f"there are {len(ids)} item ids, and card.source tells of "
            f"{source['items']} items; give the ids of all items of the log"
        )
    rows = (_check_dense if "x" in tensors else _check_sparse)(tensors, len(ids))
    _check_weight(tensors["weight"], rows)
    return ids


def _check_dense(tensors: Mapping[str, Tensor], items: int) -> int:
    x = tensors["x"]
    _check_type("x", x, torch.float32, 2)
    if x.shape[1] != items:
        raise ValueError(f"x is {list(x.shape)}, and there are {items} item ids")
    _check_entries("an entry of x", x.numpy())
    return len(x)


def _check_sparse(tensors: Mapping[str, Tensor], items: int) -> int:
    for name, dtype in zip(
        SPARSE, (torch.int64, torch.int32, torch.float32), strict=True
    ):
        _check_type(name, tensors[name], dtype, 1)
    indptr, indices, values = (tensors[name].numpy() for name in SPARSE)
    sound = len(indptr) and indptr[0] == 0 and indptr[-1] == len(indices)
    if not sound or (np.diff(indptr) < 0).any():
        raise ValueError(f"indptr must rise from 0 to the {len(indices)} entries")
    if len(values) != len(indices):
        raise ValueError(f"there are {len(values)} values for {len(indices)} indices")
    if len(indices) and not 0 <= indices.min() <= indices.max() < items:
        raise ValueError(
            f"indices run from {indices.min()} to {indices.max()}, and there are "
            f"{items} item ids"
        )
    starts = np.zeros(len(indices), dtype=bool)
    starts[indptr[:-1][np.diff(indptr) > 0]] = True
    if not (starts[1:] | (np.diff(indices) > 0)).all():
        raise ValueError("the indices of a row must rise, each item once")
    _check_entries("one of values", values)
    return len(indptr) - 1


def _check_type(name: str, tensor: Tensor, dtype: torch.dtype, axes: int) -> None:
    if tensor.dtype != dtype or tensor.dim() != axes:
        raise ValueError(
            f"{name} must be {dtype} with {axes} axes; got {tensor.dtype} "
            f"{list(tensor.shape)}"
        )


def _check_entries(name: str, values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{name} is NaN or infinite; entries must be 0 or more")
    if not values.any():
        raise ValueError("every entry is 0; a summary holds at least one interaction")
    if values.min() < 0:
        raise ValueError(f"{name} is {values.min()}; entries must be 0 or more")


def _check_weight(weight: Tensor, rows: int) -> None:
    _check_type("weight", weight, torch.float32, 1)
    if len(weight) != rows:
        raise ValueError(f"there are {len(weight)} weights for {rows} rows")
    if not bool(torch.isfinite(weight).all()) or bool((weight <= 0).any()):
        raise ValueError(
            f"weights must be positive numbers; the least is {weight.min()}"
        )


# --- the schema of files ------------------------------------------------------

_SOURCE: dict[str, Field] = {
    "users": POSITIVE,
    "train": POSITIVE,
    "items": POSITIVE,
    "item_type": Text(choices=KINDS),
    "columns": Record(others=Text(max_length=1000)),
}
_CUT = Record(
    {"length": COUNT, "how": Text(max_length=100)},
    frozenset({"length", "how"}),
    FreeJSON(max_items=1000),
)


def _tensors(info: Mapping[str, Any], forms: Forms) -> Fields:
    items = _num_items(forms)
    ids = f"there are {items} item ids"
    if "x" in forms:
        fields = {"x": TensorField(("m", items), low=0, note=ids)}
    else:
        rows = max(_size(forms, "indptr", 1) - 1, 1)
        fields = {
            "indptr": TensorField((rows + 1,), INTEGER, rises="nnz"),
            "indices": TensorField(
                ("nnz?",), ("I32",), low=0, high=items - 1, note=ids
            ),
            "values": TensorField(
                ("nnz?",),
                low=0,
                note="values for all indices; entries must be 0 or more",
            ),
        }
    fields["weight"] = TensorField(
        ("m",), positive=True, note="weights must be positive"
    )
    if info["card"]["source"]["item_type"] != "str":
        return fields | {"items": TensorField((items,), INTEGER)}
    return fields | {
        "items.bytes": TensorField(("items.bytes?",), ("U8",)),
        "items.offsets": TensorField((items + 1,), INTEGER, rises="items.bytes"),
    }


def _num_items(forms: Forms) -> int:
    """I, by the ids in a file."""
    strings = "items.offsets" in forms
    return max(_size(forms, "items.offsets", 1) - 1 if strings else _size(forms), 1)


def _size(forms: Forms, name: str = "items", least: int = 0) -> int:
    shape = forms[name].shape if name in forms else ()
    return max(shape[0], least) if shape else least


def _agreement(info: Mapping[str, Any], forms: Forms) -> str | None:
    """Ids or rows that are not as many as there must be."""
    source = info["card"]["source"]
    kind, expected, items = source["item_type"], source.get("items"), _num_items(forms)
    names = NAMES[1:] if kind == "str" else NAMES[:1]
    if missing := [name for name in names if name not in forms]:
        return f"the item ids, which are of kind {kind!r}, lack {', '.join(missing)}"
    if expected not in (None, items):
        return (
            f"there are {items} item ids in tensor {names[-1]!r}, and "
            f"card.source.items tells of {expected} items"
        )
    name = "x" if "x" in forms else "indptr"
    one_more = name == "indptr"
    rows, weights = _size(forms, name) - one_more, _size(forms, "weight")
    shapes = [forms[n].shape if n in forms else () for n in (name, "weight")]
    if [len(shape) for shape in shapes] != [2 - one_more, 1] or rows == weights:
        return None
    ends = "; indptr must rise from 0, with an end for each row" if one_more else ""
    return (
        f"tensors 'weight' and {name!r} differ: there are {weights} weights for {rows} "
        f"rows{ends}"
    )


def _relation(info: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str | None:
    """Ids that are not each once, and rows that are not canonical."""
    source, names = info["card"]["source"], "'items'"
    try:
        unpack(tensors, source["item_type"])
        names = "'indices' or 'indptr'"
        check(tensors, source)
    except (TypeError, ValueError) as error:
        return f"{names} is wrong: {error}"
    return None


SCHEMA = card_schema(
    _SOURCE,
    {
        "ridge": Maybe(Number(low=0, high=1e12)),
        "temperature": Maybe(Number(low=0, high=1e6)),
        "binarize": _CUT,
    },
    optional=("items", "columns"),
    tensors=_tensors,
    agreement=_agreement,
    relation=_relation,
)
"""What a file of synthetic users holds."""
