"""Small logs of users of two tastes, and short runs on them."""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from multidd.engine.recipe import call
from multidd.recsys import distill_cf
from multidd.recsys.data.log import InteractionLog
from tests.recsys.worlds import two_tastes

ITEMS = 24


def make_log(seed=0, names=None, users=60):
    whole = InteractionLog.from_csr(two_tastes(users, ITEMS, seed), item_ids=names)
    return whole.split(seed=1)


def run(log, users=5, **options):
    """A short run that has something to learn: few draws, so that nothing is full."""
    quick = {"steps": 3, "draws": 6, "gumbel_temperature": 1.0, "batch_size": 20}
    quick |= {"init": "random", "progress": False}
    return call(distill_cf, log, users=users, **quick | options)


def rows(summary):
    return summary.to_csr().toarray()


def changed(log, part):
    """The same training part, as many other items of each user in another one."""
    parts = [m.toarray() for m in (log.train, log.val, log.test)]
    for user, row in enumerate(sum(parts)):
        count = int(parts[part][user].sum())
        parts[part][user] = 0
        parts[part][user, np.flatnonzero(row == 0)[:count]] = 1
    whole = InteractionLog.from_csr(csr_array(sum((i + 1) * x for i, x in
                                                  enumerate(parts))))  # fmt: skip
    other = replace(whole, part=(whole.rating - 1).astype(np.int8), rating=None)
    return replace(other, divided=log.divided)
