"""Ranking metrics of all users, in one pass over blocks of scores.

The numbers of a list (`hr@10`, ...) are means over the users who have a target; items
of the context are never listed. All of them are shares in 0..1.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from multidd.arguments import public_function
from multidd.recsys.models.ranking import (
    areas,
    auc,
    first_ranks,
    sorted_rows,
    top_lists,
)
from multidd.recsys.models.scoring import Exam, Scorer

__all__ = ["LISTS", "measure", "propensity_weights", "rank"]

LISTS = ("hr", "hit", "recall", "ndcg", "psp", "psp_jain", "coverage", "gini")
"""Metrics of a list of k items, each named `<metric>@<k>`."""


@public_function
def rank(
    scorer: Scorer,
    context: csr_array,
    target: csr_array,
    *,
    popularity: NDArray,
    num_train: int,
    ks: Sequence[int] = (10, 100),
    negatives: int = 50,
    batch: int | None = None,
    rng: torch.Generator,
    train: csr_array | None = None,
) -> dict[str, float]:
    r"""Every metric of a scorer on users whose targets are known.

    With $P_u$ the targets of user u, $T_u^k$ the list and
    $w_i = 1 + (\ln N - 1)(B + 1)^A (n_i + B)^{-A}$, A = 0.55, B = 1.5:

    - `hr@k` $= |T_u^k \cap P_u| / \min(k, |P_u|)$, truncated recall: what the papers
      on infinite autoencoders call HR;
    - `hit@k`: share of users with a hit; `recall@k` $= |T_u^k \cap P_u| / |P_u|$;
    - `ndcg@k`: gain 1 for a target, ideal list of $\min(k, |P_u|)$ targets;
    - `psp_jain@k`: $\sum_{T_u^k \cap P_u} w_i$ over the largest value it can have;
      `psp@k`: the papers', divided by $\min(k, |P_u|)$ once more;
    - `mrr`: one over the place of the first target in the whole ranking;
    - `auc`: the papers', pooled over users: targets against `negatives` random items
      of each user, on scores that are not masked; `auc_user`: mean over users, exact,
      targets against all items that are neither target nor context;
    - `coverage@k`: share of items in any list; `gini@k`: how unequally the items are
      listed (0: all alike).

    Args:
        scorer: histories `[b, I]` to scores `[b, I]`.
        context: `[U, I]`, what is known of each user; never recommended.
        target: `[U, I]`, what is to be found; users without any do not count.
        popularity: `[I]`, training interactions of each item.
        num_train: N, training interactions.
        ks: lengths of lists.
        negatives: random items of a user in the pooled AUC.
        batch: users scored at once; as many as make four million scores unless given.
        rng: draws the negatives, the same for every batch size.
        train: `[U, I]`, items never drawn as negatives, besides the targets; the
            context unless given. The papers give the training part alone, so that
            validation items count as negatives in the test.

    Returns:
        Metric to value, in 0..1.

    Raises:
        ValueError: no user has a target; shapes that do not fit; targets inside the
            context; scores that are not finite.

    Example:
        >>> context, target = csr_array([[1, 0, 0]]), csr_array([[0, 1, 0]])
        >>> scorer = lambda rows: torch.tensor([[3.0, 2.0, 1.0]])
        >>> scores = rank(scorer, context, target, popularity=np.ones(3), num_train=3,
        ...     ks=(1,), rng=torch.Generator())
        >>> scores["hr@1"], scores["auc_user"]
        (1.0, 1.0)

    Reference:
        Sachdeva et al., "Infinite Recommendation Networks: A Data-Centric Approach",
        NeurIPS 2022 (`hr`, `psp`, `auc`); Jain et al., "Extreme Multi-label Loss
        Functions for Recommendation, Tagging, Ranking & Other Missing Label
        Applications", KDD 2016 (`psp_jain`).
    """
    exam = Exam(csr_array(context), csr_array(target), tuple(ks), batch)
    if len(popularity) != exam.num_items or negatives < 0:
        raise ValueError(
            f"popularity must be [{exam.num_items}], one number an item, and negatives "
            f"0 or more; got {len(popularity)} and {negatives}"
        )
    weights = propensity_weights(np.asarray(popularity), num_train)
    shape = (len(exam.users), negatives)
    draws = torch.rand(*shape, generator=rng, device=rng.device).cpu().numpy()
    drawn = exam.negatives(exam.context if train is None else csr_array(train), draws)
    blocks = _examined(exam, scorer, drawn)
    lists, firsts, each, above, below = map(np.concatenate, zip(*blocks, strict=True))
    metrics = exam.counted(lists, weights)
    metrics["mrr"] = float((1.0 / firsts).mean())
    metrics["auc"] = auc(above, below)
    each = each[~np.isnan(each)]  # who has seen everything else has none
    metrics["auc_user"] = float(each.mean()) if len(each) else 0.5
    return metrics


def _examined(
    exam: Exam, scorer: Scorer, drawn: tuple[NDArray, NDArray, NDArray]
) -> Iterator[tuple[NDArray, ...]]:
    """Of each block: lists, first ranks, AUC of users, scores of targets, of drawn."""
    rows, items, starts = drawn
    done = 0
    for block in exam.scored(scorer):
        ascending = sorted_rows(block.masked)
        here = slice(starts[done], starts[done + len(block.raw)])
        yield (
            top_lists(block.masked, max(exam.ks), ascending),
            first_ranks(block.masked, ascending, block.rows, block.items),
            areas(block.masked, ascending, block.rows, block.items),
            block.raw[block.rows, block.items],
            block.raw[rows[here] - done, items[here]],
        )
        done += len(block.raw)


def measure(
    scorer: Scorer,
    context: csr_array,
    target: csr_array,
    metric: str = "hr@100",
    *,
    popularity: NDArray | None = None,
    num_train: int | None = None,
    batch: int | None = None,
) -> float:
    """One metric of lists, such as `"hr@100"`, faster than `rank`.

    Args:
        scorer: histories `[b, I]` to scores `[b, I]`.
        context: `[U, I]`, as in `rank`.
        target: `[U, I]`, as in `rank`.
        metric: `<name>@<k>` with a name of `LISTS`.
        popularity: `[I]`, for `psp` and `psp_jain`.
        num_train: N, for `psp` and `psp_jain`.
        batch: users scored at once.

    Returns:
        The value, in 0..1.

    Raises:
        ValueError: another metric, or what `rank` refuses.

    Example:
        >>> scorer = lambda rows: torch.tensor([[3.0, 2.0, 1.0]])
        >>> measure(scorer, csr_array((1, 3)), csr_array([[0, 1, 0]]), "ndcg@1")
        0.0
    """
    name, _, length = metric.partition("@")
    if name not in LISTS or not length.isdecimal():
        raise ValueError(
            f"metric must be one of {', '.join(LISTS)}, then @ and the length of the "
            f"list, such as 'hr@100'; got {metric!r}"
        )
    exam = Exam(csr_array(context), csr_array(target), (int(length),), batch)
    if name.startswith("psp") and (popularity is None or num_train is None):
        raise ValueError(f"{metric} needs popularity= and num_train=")
    weights = np.ones(exam.num_items)
    if popularity is not None and num_train is not None:
        weights = propensity_weights(np.asarray(popularity), num_train)
    blocks = exam.scored(scorer)
    lists = [top_lists(block.masked, int(length)) for block in blocks]
    return exam.counted(np.concatenate(lists), weights)[metric]


def propensity_weights(popularity: NDArray, num_train: int) -> NDArray[np.float64]:
    r"""Weight of a hit on each item: rare items count more.

    $$w_i = 1 + (\ln N - 1)(B + 1)^A (n_i + B)^{-A}, \quad A = 0.55,\ B = 1.5$$

    Args:
        popularity: `[I]`, $n_i$, training interactions of each item.
        num_train: N, at least 3, or weights would turn around.

    Returns:
        `[I]`, each above 1.

    Raises:
        ValueError: N below 3.

    Example:
        >>> propensity_weights(np.array([0, 10]), 1000).round(2).tolist()
        [8.82, 3.55]

    Reference:
        Jain et al., "Extreme Multi-label Loss Functions for Recommendation, Tagging,
        Ranking & Other Missing Label Applications", KDD 2016.
    """
    a, b = 0.55, 1.5
    if num_train < 3:
        raise ValueError(f"num_train must be at least 3, got {num_train}")
    scale = (np.log(num_train) - 1) * (b + 1) ** a
    return 1 + scale * (popularity.astype(np.float64) + b) ** -a
