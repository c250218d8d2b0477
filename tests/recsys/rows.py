"""Small synthetic users, with every kind of id and of matrix."""

from typing import Any

import numpy as np

from multidd.recsys.summary.summary import RecsysSummary

USERS, ITEMS = 6, 40
SOURCE = {
    "users": 30,
    "items": ITEMS,
    "train": 240,
    "columns": {"user": "who", "item": "what"},
}

_TOP = 2**63 - 1
IDS: dict[str, Any] = {
    "int": np.arange(ITEMS)[::-1] * 10**16 - 3,
    "negative": [-_TOP - 1, _TOP, *range(ITEMS - 2)],
    "uint": np.arange(ITEMS, dtype=np.uint64) + np.uint64(2**64 - ITEMS),
    "str": [
        "",
        "é",
        "0",
        "a\x00",
        "a",
        "日本",
        *map("item {}".format, range(ITEMS - 6)),
    ],
}


def matrix(kind: str = "sparse", seed: int = 0) -> np.ndarray:
    """`[USERS, ITEMS]` float32: `dense` and fractional, `sparse` and fractional with an
    empty row and an empty column, or `binary`."""
    rng = np.random.default_rng(seed)
    rows = rng.random((USERS, ITEMS), dtype=np.float32) * 0.98 + 0.01
    if kind != "dense":
        rows *= rng.random(rows.shape) < 0.2
        rows[3], rows[:, 7] = 0, 0
    return np.ceil(rows) if kind == "binary" else rows


def weights(seed: int = 0) -> np.ndarray:
    """`[USERS]` float32 whose products with the entries are not exact in float32."""
    rng = np.random.default_rng(seed + 1)
    return rng.random(USERS, dtype=np.float32) * 7 + 0.1


def make(kind: str = "sparse", ids: str = "int", weight: Any = None) -> RecsysSummary:
    """A summary of `matrix(kind)`."""
    return RecsysSummary.from_csr(
        matrix(kind), source=SOURCE, method="mine", item_ids=IDS[ids], weight=weight
    )
