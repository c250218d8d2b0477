"""Small histories that tests train on, and the real ones."""

import numpy as np
import torch
from scipy.sparse import csr_array

ML100K = "recsys/ml-100k/ml100k_split_seed42.parquet"


def rng(seed=0):
    """A new generator."""
    return torch.Generator().manual_seed(seed)


def two_tastes(users=60, items=24, seed=0, share=0.5):
    """Histories `[users, items]`: the first half likes the first items, and so on."""
    rng = np.random.default_rng(seed)
    taste = np.arange(users)[:, None] * 2 // users == np.arange(items) * 2 // items
    dense = (rng.random((users, items)) < np.where(taste, share, 0.03)).astype("f4")
    return csr_array(dense)


def held_out(matrix, seed=0):
    """The same without one item of each user who has two, and that item."""
    rng = np.random.default_rng(seed)
    known, target = matrix.toarray(), np.zeros(matrix.shape, dtype=np.float32)
    for user in np.flatnonzero(known.sum(1) > 1):
        item = rng.choice(np.flatnonzero(known[user]))
        known[user, item], target[user, item] = 0, 1
    return csr_array(known), csr_array(target)


def ml100k(root):
    """Train, validation and test `[943, 1682]` of MovieLens-100k."""
    import pyarrow.parquet as pq

    table = pq.read_table(root / ML100K)
    columns = [table.column(name).to_numpy() for name in ("user_id", "item_id")]
    users, items = (np.unique(c, return_inverse=True)[1] for c in columns)
    split = table.column("split").to_numpy()
    shape = (users.max() + 1, items.max() + 1)

    def part(number):
        of = split == number
        ones = np.ones(int(of.sum()), dtype=np.float32)
        return csr_array((ones, (users[of], items[of])), shape=shape)

    return part(0), part(1), part(2)
