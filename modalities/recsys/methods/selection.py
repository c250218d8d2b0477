"""Selections: random, head, herding, kcenter, kmeans, svp, interactions."""

import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function
from multidd.engine.card import CardInfo, card_without_loop
from multidd.engine.loop import select
from multidd.engine.options import RunOptions, RunSettings
from multidd.protocols import Draw, Picks, Selection
from multidd.recsys.data.log import InteractionLog, check_log, masked_indptr, ones
from multidd.recsys.methods.setup import check_users
from multidd.recsys.models.bpr import Proxy
from multidd.recsys.summary.storage import bytes_of
from multidd.recsys.summary.summary import RecsysSummary
from multidd.recsys.tasks.user_task import UserTask
from multidd.selection.basic import Herding, KCenter, KMeans, Random, Scored

WIDTH = 64
"""Numbers of a user where users are compared."""


@public_function
def random(
    data: Any,
    users: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    """Real users drawn uniformly, with the items of their training part.

    Args:
        data: an `InteractionLog`; validation and test items are never read.
        users: how many, at most as many as have training items.
        seed: seed of the draw.
        device: where users are compared, such as `"cpu"` or `"cuda"`.
        progress: show a line for each part that takes time; None on
            terminals and in notebooks.
        run: a time limit; settings of a loop are refused.

    Returns:
        A `RecsysSummary` of real histories.

    Raises:
        TypeError: not a log.
        ValueError: no number of users, or more than there are; says how many.
        OutOfTimeError: the time was over before the selection.

    Example:
        >>> import multidd
        >>> random(multidd.recsys.power_law(60, 40, 600), users=5).num_users
        5
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _select("random", Random(), UserTask(data), users, run_settings)


@public_function
def head(
    data: Any,
    users: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    """Users with the longest training histories; the first of equally long ones.

    Args, returns and errors as `multidd.recsys.random`; the seed changes nothing.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> head(log, users=5).nnz > random(log, users=5).nnz
        True
    """
    count = check_users(check_log(data), users)
    lengths = np.diff(data.train.indptr)
    filled = lengths[lengths > 0]
    scores = filled - np.arange(len(filled)) / len(filled)  # no ties
    run_settings = RunSettings(seed, device, progress, None, run)
    scored = Scored(tuple(scores.tolist()))
    return _select("head", scored, UserTask(data), count, run_settings)


@public_function
def herding(
    data: Any,
    users: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    """Users whose running mean stays near the mean of all, in a space of 64 factors.

    Users are compared by singular vectors of their histories scaled to length one.
    Args, returns and errors as `multidd.recsys.random`; the seed changes nothing.

    Reference:
        Welling, "Herding Dynamical Weights to Learn", ICML 2009.

    Example:
        >>> import multidd
        >>> herding(multidd.recsys.power_law(60, 40, 600), users=5).num_users
        5
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _compared("herding", data, users, run_settings)


@public_function
def kcenter(
    data: Any,
    users: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    """Users who lie far apart, compared as in `herding`: greedy k-center.

    Args, returns and errors as `multidd.recsys.random`; the seed changes nothing.

    Reference:
        Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
        Approach", ICLR 2018.

    Example:
        >>> import multidd
        >>> kcenter(multidd.recsys.power_law(60, 40, 600), users=5).num_users
        5
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _compared("kcenter", data, users, run_settings)


@public_function
def kmeans(
    data: Any,
    users: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    """Means of the histories of like users, who are compared as in `herding`.

    Rows are fractional and longer than a real history, so they hold more numbers than
    as many real users; each counts as many users as it is the mean of. Args and errors
    as `multidd.recsys.random`.

    Returns:
        A `RecsysSummary` with the number of users of each cluster as weights.

    Reference:
        Lloyd, "Least Squares Quantization in PCM", IEEE Trans. Inf. Theory, 1982.

    Example:
        >>> import multidd
        >>> summary = kmeans(multidd.recsys.power_law(60, 40, 600), users=5)
        >>> float(summary.weight.sum())
        60.0
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _compared("kmeans", data, users, run_settings)


@public_function
def svp(
    data: Any,
    users: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    r"""The users whose items a cheap model ranks worst while it learns (SVP-CF).

    The importance of a user is one minus the AUC of matrix factorization trained by
    BPR, averaged over its epochs (`multidd.recsys.models.bpr.Proxy`). Made to keep the
    *ranking* of models that a sample gives, not their quality: the users it keeps are
    those who are hard to predict, and few of them train a worse model than random ones.

    Args, returns and errors as `multidd.recsys.random`; the seed is of the proxy, which
    learns on the CPU.

    Reference:
        Sachdeva, Wu, McAuley, "On Sampling Collaborative Filtering Datasets", WSDM
        2022.

    Example:
        >>> import multidd
        >>> svp(multidd.recsys.power_law(60, 40, 600), users=5).num_users
        5
    """
    started = time.perf_counter()
    run_settings = RunSettings(seed, device, progress, None, run)
    count, proxy = check_users(check_log(data), users), Proxy()
    with run_settings.stages("svp")("training"):
        importance = proxy.importance(data.train, seeds.at(seed, "proxy"))
    filled = np.diff(data.train.indptr) > 0
    settings = {"users": count, "proxy": proxy}
    card = CardInfo("svp", settings, time.perf_counter() - started)
    scored = Scored(tuple(importance[filled].tolist()))
    rest = run_settings.without_loop("svp")
    return select(UserTask(data), scored, (count,), card=card, **rest)


@public_function
def interactions(
    data: Any,
    users: int | None = None,
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    """Training interactions drawn uniformly, as many as `users` users have on average.

    Rows are the users who keep any: more rows than `users`, each with few items. Args
    and errors as `multidd.recsys.random`; `device` is where they are drawn.

    Returns:
        A `RecsysSummary` of parts of real histories.

    Example:
        >>> import multidd
        >>> interactions(multidd.recsys.power_law(60, 40, 600), users=6).nnz
        60
    """
    started = time.perf_counter()
    run_settings = RunSettings(seed, device, False, None, run)
    count, train = check_users(check_log(data), users), data.train
    with run_settings.stages("interactions")("selection"):
        total = round(count * train.nnz / np.count_nonzero(np.diff(train.indptr)))
        chosen = np.zeros(train.nnz, bool)
        chosen[_drawn(train.nnz, total, seed, device)] = True
    indptr, items = masked_indptr(train.indptr, chosen), train.indices[chosen]
    some = ones(indptr, items, train.shape)
    card = card_without_loop(
        "interactions",
        {"users": count, "interactions": total},
        data.describe(),
        seed=seed,
        started=started,
    )
    rows = some[np.flatnonzero(np.diff(some.indptr))]
    return RecsysSummary.of(rows, card, item_ids=data.item_ids)


def _drawn(entries: int, count: int, seed: int, device: str) -> Any:
    """`[count]` places among so many entries, none twice."""
    if device == "cpu":
        rng = np.random.default_rng(seeds.key(seed, "selection"))
        return rng.choice(entries, count, replace=False, shuffle=False)
    draws = seeds.at(seed, "selection", device=device)
    order = torch.randperm(entries, generator=draws, device=draws.device)
    return order[:count].cpu().numpy()


SELECTIONS: dict[str, Callable[..., RecsysSummary]] = {
    "random": random,
    "head": head,
    "herding": herding,
    "kcenter": kcenter,
    "kmeans": kmeans,
    "svp": svp,
    "interactions": interactions,
}


def embedding(log: InteractionLog, width: int = WIDTH) -> Tensor:
    """`[n, width]`, users as `herding`, `kcenter` and `kmeans` compare them.

    Args:
        log: the interactions.
        width: numbers of a user, as many as there are items at most.

    Example:
        >>> import multidd
        >>> embedding(multidd.recsys.power_law(60, 40, 600)).shape
        torch.Size([60, 40])
    """
    return UserTask(log, width=width).records().features


def of_count(
    name: str,
    log: InteractionLog,
    users: int,
    seed: int,
    features: Callable[[], Tensor] | None = None,
) -> RecsysSummary:
    """The selection of that name with the budget of `users` users.

    A log with fewer users who have training items gives all that it has.

    Args:
        name: one of `SELECTIONS`.
        log: the interactions.
        users: how many.
        seed: of the draws.
        features: gives the `embedding` of the log where it is known already.

    Returns:
        A `RecsysSummary`.

    Raises:
        ValueError: another name, or what the selection refuses.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> of_count("random", log, 1000, 0).num_users
        60
    """
    if name not in SELECTIONS:
        raise ValueError(f"name must be one of {', '.join(SELECTIONS)}; got {name!r}")
    have = int(np.count_nonzero(np.diff(check_log(log).train.indptr)))
    count = min(users, have)
    if name in COMPARING and features is not None:
        return _compared(name, log, count, RunSettings(seed), features())
    return SELECTIONS[name](log, count, seed=seed)


def of_bytes(log: InteractionLog, num_bytes: int, seed: int) -> RecsysSummary:
    """Random users, as many as their bytes allow; one at least.

    Args:
        log: the interactions.
        num_bytes: at most so many, as `RecsysSummary.num_bytes` counts them.
        seed: of the draw.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> 4000 < of_bytes(log, 4200, 0).num_bytes <= 4200
        True
    """
    lengths = np.diff(check_log(log).train.indptr)
    rng = seeds.at(seed, "selection")
    order = torch.randperm(int(np.count_nonzero(lengths)), generator=rng).numpy()
    entries = np.cumsum(lengths[lengths > 0][order])
    places = range(len(entries))
    fits = bisect_right(
        places, num_bytes, key=lambda n: bytes_of(n + 1, int(entries[n]))
    )
    count = max(1, fits)
    rank = np.empty(len(order))
    rank[order] = -np.arange(len(order))
    scored, run = Scored(tuple(rank.tolist())), RunSettings(seed)
    return _select("random_bytes", scored, UserTask(log), count, run)


class _Counted(UserTask):
    """Rows count as many users as they are the mean of."""

    def from_selection(self, picks: Picks) -> Draw:
        """Histories, and how many real ones are behind each."""
        rows = picks.weights.coalesce().indices()[0]
        members = torch.bincount(rows, minlength=len(picks.labels))
        return super().from_selection(picks) | {"weight": members}


COMPARING: dict[str, tuple[Selection, type[UserTask]]] = {
    "herding": (Herding(), UserTask),
    "kcenter": (KCenter(), UserTask),
    "kmeans": (KMeans(), _Counted),
}
"""Selections that compare users, and the tasks that they run on."""


def _compared(
    method: str,
    log: Any,
    users: Any,
    run: RunSettings,
    features: Tensor | None = None,
) -> RecsysSummary:
    how, kind = COMPARING[method]
    return _select(method, how, kind(log, width=WIDTH, embedding=features), users, run)


def _select(
    method: str, how: Selection, task: UserTask, users: Any, run: RunSettings
) -> RecsysSummary:
    count = check_users(check_log(task.log), users)
    settings = {"users": count} | ({"width": task.width} if task.width else {})
    card, rest = CardInfo(method, settings), run.without_loop(method)
    return select(task, how, (count,), card=card, **rest)
