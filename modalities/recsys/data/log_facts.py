"""What an interaction log says of itself: fingerprint, description, one line."""

import hashlib
from typing import Any

import numpy as np

from multidd.recsys.data.ids import kind_of, to_bytes
from multidd.recsys.data.splits import TEST, TRAIN, VAL

NAMES = {"train": TRAIN, "val": VAL, "test": TEST}


def fingerprint(log: Any) -> str:
    """SHA-256 of the training part and the ids of the items.

    Equal for equal data, whatever file, order of rows or machine they came from.

    Args:
        log: an `InteractionLog`.

    Example:
        >>> from scipy.sparse import csr_array
        >>> from multidd.recsys.log import InteractionLog
        >>> fingerprint(InteractionLog.from_csr(csr_array([[1, 0, 1]])))[:8]
        'ac807fad'
    """
    train = log.train
    parts = [
        f"{log.num_users} {log.num_items} {kind_of(log.item_ids)} ".encode(),
        train.indptr.astype("<i8").tobytes(),
        train.indices.astype("<i4").tobytes(),
        to_bytes(log.item_ids),
    ]
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()


def describe(log: Any) -> dict[str, Any]:
    """Sizes, parts, columns, what was dropped and the fingerprint, as plain JSON.

    `users_without_val` and `users_without_test` count the users that have none.

    Args:
        log: an `InteractionLog`.

    Example:
        >>> from scipy.sparse import csr_array
        >>> from multidd.recsys.log import InteractionLog
        >>> told = describe(InteractionLog.from_csr(csr_array([[1, 0, 1]])))
        >>> told["users"], told["items"], told["train"], told["test"]
        (1, 3, 2, 0)
    """
    return {
        "name": log.name,
        "users": log.num_users,
        "items": log.num_items,
        "interactions": log.num_interactions,
        "density": density(log),
        **{name: log.count(part) for name, part in NAMES.items()},
        "users_without_val": _users_without(log, VAL),
        "users_without_test": _users_without(log, TEST),
        "split": log.divided,
        "columns": dict(log.columns),
        "item_type": kind_of(log.item_ids),
        "dropped": {reason: int(count) for reason, count in log.dropped.items()},
        "sha256": log.fingerprint,
    }


def one_line(log: Any) -> str:
    """The log in a line.

    Example:
        >>> from scipy.sparse import csr_array
        >>> from multidd.recsys.log import InteractionLog
        >>> one_line(InteractionLog.from_csr(csr_array([[1, 0, 1, 0]])))
        'InteractionLog(users=1, items=4, interactions=2, density=50 %)'
    """
    facts = [log.name] if log.name else []
    facts += [f"users={log.num_users:,}", f"items={log.num_items:,}"]
    facts += [f"interactions={log.num_interactions:,}"]
    facts += [f"density={100 * density(log):.3g} %"]
    if log.part is not None:
        counts = [f"{log.count(part):,}" for part in NAMES.values()]
        facts.append(f"{'/'.join(NAMES)}={'/'.join(counts)}")
    gone = sum(v for k, v in log.dropped.items() if k.split()[0] not in COUNTED)
    if gone:
        facts.append(f"dropped={gone:,}")
    return f"InteractionLog({', '.join(facts)})"


COUNTED = ("users", "items")
"""Reasons for dropping that begin so count these, not rows."""


def density(log: Any) -> float:
    """Interactions over the cells of the matrix; 0 where it has none.

    Example:
        >>> from scipy.sparse import csr_array
        >>> from multidd.recsys.log import InteractionLog
        >>> density(InteractionLog.from_csr(csr_array([[1, 0]])))
        0.5
    """
    return log.num_interactions / max(1, log.num_users * log.num_items)


def _users_without(log: Any, part: int) -> int:
    """Users that have no interaction of this part."""
    if log.part is None:
        return int(log.num_users)
    with_some = np.unique(log.rows[log.part == part])
    return int(log.num_users - len(with_some))
