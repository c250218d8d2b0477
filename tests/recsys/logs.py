"""Small logs for the tests, and what `read_log` must make of events, by hand."""

from collections import Counter

import numpy as np
import pandas
from hypothesis import strategies as st
from scipy.sparse import csr_array

from multidd.recsys.data.log import InteractionLog

ARRAYS = ("indptr", "items", "user_ids", "item_ids", "part", "rating", "time")


def same(one, other):
    """Whether two logs hold the same, types of arrays included."""
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype, (name, a.dtype, b.dtype)
            assert a.tolist() == b.tolist(), name
    assert one.fingerprint == other.fingerprint
    return True


def triples(log):
    """{(user id, item id): (rating, time, part)} of a log."""
    results = {}
    users, items = log.user_ids[log.rows].tolist(), log.item_ids[log.items].tolist()
    for at, pair in enumerate(zip(users, items, strict=True)):
        results[pair] = tuple(
            None if values is None else values[at].item()
            for values in (log.rating, log.time, log.part)
        )
    return results


def by_hand(rows, min_rating=None, min_user=1, min_item=1):
    """What should be left of (user, item, rating, time) rows, and what should not."""
    dropped, stored = Counter(), {}
    for user, item, rating, time in rows:
        if min_rating is not None and rating < min_rating:
            dropped["below min_rating"] += 1
            continue
        pair = (user, item)
        dropped["duplicates"] += pair in stored
        if pair not in stored or time >= stored[pair][1]:
            stored[pair] = (rating, time, None)
    while True:
        of_user = Counter(user for user, _ in stored)
        of_item = Counter(item for _, item in stored)
        left = {
            (u, i): value
            for (u, i), value in stored.items()
            if of_user[u] >= min_user and of_item[i] >= min_item
        }
        if len(left) == len(stored):
            return stored, dropped
        stored = left


def frame_of(rows, names=("user_id", "item_id", "rating", "time")):
    """Rows as a pandas frame."""
    return pandas.DataFrame(list(rows), columns=list(names)[: len(rows[0])])


def random_log(seed=0, users=30, items=20, density=0.3):
    """A log with times and ratings, every user with an item at least."""
    rng = np.random.default_rng(seed)
    x = rng.random((users, items)) < density
    x[np.arange(users), rng.integers(items, size=users)] = True
    log = InteractionLog.from_csr(csr_array(x.astype(np.float32)))
    return InteractionLog(
        log.indptr,
        log.items,
        log.user_ids,
        log.item_ids,
        rating=rng.integers(1, 6, log.num_interactions).astype(np.float32),
        time=rng.integers(0, 50, log.num_interactions),
        columns=log.columns,
    )


IDS = {
    "numbers": st.integers(-5, 5),
    "hashes": st.integers(2**63 - 2, 2**64 - 1),
    "texts": st.text("aZ0é ", min_size=1, max_size=3).filter(str.strip),
}


def events(kind="numbers", least=1):
    """Lists of (user, item, rating, time)."""
    ids, rating, time = IDS[kind], st.integers(0, 10), st.integers(0, 6)
    return st.lists(st.tuples(ids, ids, rating, time), min_size=least, max_size=40)
