"""What a sketch loses of rare items, by the number of users that it keeps."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array

from multidd import seeds
from multidd.recsys.data.benchmarks import SEED
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.data.sketch import sketch
from multidd.recsys.methods.kernel import distill_cf
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.metrics import measure

__all__ = ["tail_lines"]

RARE_SHARE = 0.2
"""Of events: the least popular items that have so many are the tail."""

JUDGED_SHARE = 0.2
MAX_JUDGED = 2000


def tail_lines(
    log: InteractionLog,
    keeps: Sequence[int | None],
    *,
    users: int = 200,
    steps: int | None = None,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Scores of `distill_cf` on sketches of a log, and what they lose of rare items.

    Some users are set aside, whom no sketch sees: part of their items is known, the
    rest is to be found. Items that a sketch has not met score below all others. The
    tail are the least popular items that have a fifth of the events.

    Args:
        log: its parts are not used; it is not changed.
        keeps: users of each sketch; None: all that are not set aside.
        users: synthetic users.
        steps: of `distill_cf`; None: as many as it takes by itself.
        seed: of the users set aside, of the sketch and of the run.

    Returns:
        A line for each sketch: `kept_users`, `unmet_items` of how many `items`,
        `unmet_events` (their share of all events), `unmet_targets` (share of the judged
        users' targets), `hr@10`, `hr@100`, and `tail_recall@100`, the share of targets
        of the tail among the first hundred.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> (line,) = tail_lines(log, [20], users=5, steps=2)
        >>> line["kept_users"], 0 <= line["hr@10"] <= 1
        (20, True)
    """
    rng = np.random.default_rng(seeds.key(seed, "judged"))
    count = min(MAX_JUDGED, int(JUDGED_SHARE * log.num_users))
    judged = np.zeros(log.num_users, bool)
    judged[rng.choice(log.num_users, count, replace=False)] = True
    exam = log.users(judged).split("user-random", seed=SEED)
    pool = log.users(~judged)
    rare = _rare_items(pool)
    targets = exam.test
    tail_targets = csr_array(targets.multiply(rare.astype(np.float32)[None, :]))
    tail_targets.eliminate_zeros()
    for keep in keeps:
        sample = sketch(_table(pool), keep or pool.num_users, seed)
        budget: dict[str, Any] = {} if steps is None else {"steps": steps}
        summary = distill_cf(
            sample.split("user-random", seed=SEED),
            min(users, sample.num_users),
            seed=seed,
            progress=False,
            **budget,
        )
        place = log.item_index(sample.item_ids)
        met = np.zeros(log.num_items, bool)
        met[place] = True
        scorer = _Widened(InfiniteAE().fit(summary), place, log.num_items)
        known = exam.context
        yield {
            "kept_users": sample.num_users,
            "items": int((np.bincount(pool.items, minlength=log.num_items) > 0).sum()),
            "unmet_items": sample.sketch["unmet_items"],
            "unmet_events": sample.sketch["unmet_events"],
            "unmet_targets": float((~met[targets.indices]).mean()),
            "hr@10": measure(scorer, known, targets, "hr@10"),
            "hr@100": measure(scorer, known, targets, "hr@100"),
            "tail_recall@100": measure(scorer, known, tail_targets, "recall@100"),
        }


def _rare_items(log: InteractionLog) -> np.ndarray:
    """`[I]` bool: the least popular items, with `RARE_SHARE` of the events together."""
    counts = np.bincount(log.items, minlength=log.num_items)
    order = np.argsort(counts, kind="stable")
    rare = np.zeros(log.num_items, bool)
    below = np.cumsum(counts[order]) <= RARE_SHARE * counts.sum()
    rare[order[below]] = True
    return rare


def _table(log: InteractionLog) -> Any:
    import pyarrow

    columns = {"user_id": log.user_ids[log.rows], "item_id": log.item_ids[log.items]}
    return pyarrow.table(columns)


class _Widened:
    """Scores of a recommender for all items: those it does not know come last."""

    def __init__(self, recommender: Any, place: np.ndarray, items: int) -> None:
        self.recommender, self.place, self.items = recommender, place, items

    def __call__(self, histories: csr_array) -> torch.Tensor:
        scores = self.recommender.scores(csr_array(histories[:, self.place]))
        result = torch.full((scores.shape[0], self.items), float(scores.min()) - 1)
        result[:, torch.from_numpy(self.place)] = scores
        return result
