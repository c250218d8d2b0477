"""Kernel ridge regression on histories: DISTILL-CF."""

import math
import time
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch

from multidd.arguments import is_whole
from multidd.data.splitting import check_count
from multidd.engine.card import CardInfo
from multidd.engine.loop import distill
from multidd.engine.options import RunOptions, RunSettings, SelectBest
from multidd.engine.recipe import Setup, learn
from multidd.learning.kernel_sources import Infinite
from multidd.learning.optim import Adam
from multidd.objectives import KernelRidge
from multidd.objectives.kernel import RidgeSearch
from multidd.parameterizations import GumbelHistories, TopHistories
from multidd.parameterizations.free import FromTensors
from multidd.parameterizations.histories import Sampler
from multidd.protocols import Selection
from multidd.recsys.data.log import check_log
from multidd.recsys.methods.presets import PRESETS
from multidd.recsys.methods.setup import check_users, validated
from multidd.recsys.methods.warm_start import (
    FrozenRows,
    SubsampledFree,
    merged,
    replayed,
)
from multidd.recsys.summary.binarize import mean_length
from multidd.recsys.summary.summary import RecsysSummary
from multidd.recsys.tasks.user_task import UserTask
from multidd.selection.basic import Herding, KCenter, KMeans, Random
from multidd.storage.atomic import PathLike

RIDGES = (1e-5, 1e-3, 0.1, 1.0, 5.0, 50.0)
"""The grid of the paper's code."""

FRACTIONAL = 75
"""Steps of fractional users, by default, and before histories of set length."""

COMPARED = 50_000
"""Users of a log among whom those to start from are looked for."""

STARTS: dict[str, Selection] = {
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
    "kmeans": KMeans(restarts=1),
}


@dataclass(frozen=True, kw_only=True)
class DistillCFOptions:
    r"""Settings of `distill_cf`.

    Attributes:
        draws: $\gamma$, items drawn for each user, with replacement; None takes 200,
            or a quarter of the items where that is less (more would fill every row).
        gumbel_temperature: $\tau$ of the draws.
        sampler: `"shared"`, `"independent"`, `"expected"` or `"mean"`; see
            `multidd.parameterizations.GumbelHistories`.
        lr: of Adam on the logits; None takes 0.04, or 0.15 for up to a fiftieth as
            many users as the log has, and 0.1 falling to zero with `length`.
        batch_size: real users at a step; None takes all.
        holdout: share of a real user's items to be predicted from the others; 0
            predicts all from all.
        popularity_weight: w, by which the items of users of long histories weigh less:
            each of the n items to predict counts $n^{-w}$.
        scale: s, which predictions are multiplied by before the softmax; None takes
            20, and 5 with `length`.
        depth: hidden layers of the autoencoder.
        init: users to start from: `"random"`, `"herding"`, `"kcenter"`, or means of
            them: `"kmeans"`. Of a larger log 50,000 users, drawn uniformly, are looked
            at for that.
        rank: of the logits of fractional rows, for large catalogues; None learns every
            entry.
        warm_start: an older summary, such as that of last month's log. Its rows are
            kept, with equal weights, new ones are learned beside them, and histories
            made of them are predicted along with those of the log. Items of either are
            items of the result.
        validate_every: steps between two looks at validation items, of which the best
            is kept where `run.select_best` does not say how; None keeps the last step.

    Raises:
        ValueError: a setting that is out of range.

    Example:
        >>> DistillCFOptions(holdout=0.0).gumbel_temperature
        10.0
    """

    draws: int | None = None
    gumbel_temperature: float = 10.0
    sampler: Sampler = "shared"
    lr: float | None = None
    batch_size: int | None = 1000
    holdout: float = 0.5
    popularity_weight: float = 0.5
    scale: float | None = None
    depth: int = 1
    init: str = "kmeans"
    rank: int | None = None
    warm_start: RecsysSummary | None = None
    validate_every: int | None = 25

    def __post_init__(self) -> None:
        if self.init not in STARTS:
            raise ValueError(
                f"init must be one of {', '.join(STARTS)}; got {self.init!r}"
            )
        if self.sampler not in get_args(Sampler):
            raise ValueError(
                f"sampler must be one of {', '.join(get_args(Sampler))}; got "
                f"{self.sampler!r}"
            )
        for name in ("draws", "batch_size", "depth", "rank", "validate_every"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        if not self.gumbel_temperature > 0:
            raise ValueError(
                f"gumbel_temperature must be above 0, got {self.gumbel_temperature}"
            )
        if not 0 <= self.holdout < 1:
            raise ValueError(
                f"holdout must be 0 or more and below 1, got {self.holdout}"
            )
        if not 0 <= self.popularity_weight < math.inf:
            raise ValueError(
                f"popularity_weight must be 0 or more, got {self.popularity_weight}"
            )


@PRESETS
def distill_cf(
    data: Any,
    users: int = 500,
    *,
    length: int | Literal["mean"] | None = None,
    steps: int | None = None,
    options: DistillCFOptions = DistillCFOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> RecsysSummary:
    r"""Distill a log to a few synthetic users (DISTILL-CF).

    Histories are drawn from learned logits, an infinitely wide autoencoder is solved
    on them in closed form, and the logits move until it predicts real users:

    $$\min_Z \sum_u \mathrm{CE}\big(X_u,\; s K_{uS} (K_{SS} + \lambda \bar k I)^{-1} S
      \big), \quad S = \min\Big(1, \sum_t \mathrm{softmax}((Z + g_t) / \tau)\Big)$$

    Differs from the paper: real users see half of their items and predict the other
    half (`holdout`), as they will have to in use, where the paper predicts all from
    all, which rewards learning users by heart; users of long histories are held back
    (`popularity_weight`); predictions, which lie between zero and one, are multiplied
    by 20 before the softmax, which is nearly flat without (`scale`); a thousand real
    users at a step instead of all of them; the start is means of users, not users; the
    noise of the draws is shared by the users; no penalty on the number of items, which
    is constant wherever nothing is cut off. The paper is `DistillCFOptions(holdout=0,
    popularity_weight=0, scale=1, batch_size=None, init="random",
    sampler="independent")`. Under `preset="paper"`: no penalty on the number of items;
    the best step is that of the validation score here; `length=` is none of the
    paper's.

    The rows are dense and fractional: few rows, not few numbers (`summary` prints
    both). `length=` gives histories of so many items instead, zeros and ones, that any
    model can be trained on.

    Args:
        data: an `InteractionLog`. Validation items choose the ridge and the step; where
            there are none, a tenth of the training items is kept for that. Test items
            are never read.
        users: synthetic users.
        length: items of each synthetic user, `"mean"` for as many as a real user has;
            None for fractional rows. Histories start from the largest entries of
            fractional rows that are learned first, for 75 steps at most.
        steps: updates; unless given 75, or 150 for up to a fiftieth as many users as
            the log has and with `length`.
        options: further settings of the method.
        preset: `"paper"` takes the settings of the paper, which `multidd.recsys.preset`
            tells; what is named beats them one by one, `options` all of the options.
        seed: seed of the run.
        device: where it computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: further settings of the run, such as `timeout` and `select_best`.

    Returns:
        A `RecsysSummary`.

    Raises:
        TypeError: not a log.
        ValueError: more users than the log has, or a bad setting.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Sachdeva, Dhaliwal, Wu, McAuley, "Infinite Recommendation Networks: A
        Data-Centric Approach", NeurIPS 2022, arXiv 2206.02626.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> distill_cf(log, users=5, steps=2, length=8).nnz
        40
    """
    started = time.perf_counter()
    log = validated(check_log(data), seed)
    users = check_users(log, users)
    warm_start, depth = options.warm_start, options.depth
    older = None
    if warm_start is not None:
        log, older = merged(log, warm_start)
    older_rows = None if older is None else torch.from_numpy(older.toarray())
    task = UserTask(
        log,
        batch_size=options.batch_size,
        holdout=options.holdout,
        balance=options.popularity_weight,
        depth=depth,
        width=0 if options.init == "random" else 64,
        extra=None if older is None else replayed(older, log),
    )
    size = None if length is None else _length(task, length)
    # A few rows have far to go, and little to lose on the way.
    small_budget = length is None and 50 * users <= log.num_users
    if steps is None:
        steps = 150 if small_budget or length is not None else FRACTIONAL
    draws, lr, scale = options.draws, options.lr, options.scale
    if draws is None:
        draws = min(200, max(1, log.num_items // 4))
    if scale is None:
        scale = 20.0 if length is None else 5.0
    if lr is None:
        lr = 0.1 if length is not None else 0.15 if small_budget else 0.04
    start = SubsampledFree(STARTS[options.init], (users,), max_users=COMPARED)
    form: Any = GumbelHistories(
        start, draws, options.gumbel_temperature, options.sampler, options.rank
    )
    rate = Adam(lr)
    if run.select_best is None and options.validate_every is not None:
        run = replace(run, select_best=SelectBest(every=options.validate_every))
    run_settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    recipe = {
        "users": users,
        "length": length,
        "draws": draws,
        "temperature": options.gumbel_temperature,
        "sampler": options.sampler,
        "steps": steps,
        "lr": lr,
        "batch_size": options.batch_size,
        "holdout": options.holdout,
        "balance": options.popularity_weight,
        "scale": scale,
        "depth": depth,
        "init": options.init,
        "rank": options.rank,
        "warm_start": None if warm_start is None else warm_start.digest(),
    }
    objective = KernelRidge(
        Infinite(depth), "multinomial", RidgeSearch(RIDGES), scale=scale
    )
    if size is not None:
        first = form if older_rows is None else FrozenRows(form, older_rows)
        logits, whole = _fractional(task, objective, first, users, steps, run_settings)
        if not whole:  # the next call goes on with the fractional rows, not with these
            run_settings = replace(run_settings, checkpoint=None)
        rows = {"x": logits, "y": torch.zeros(len(logits), dtype=torch.int64)}
        form = TopHistories(FromTensors(rows), size, noise=0.2)
        rate = Adam(lr, cosine=max(steps, 1))
    form = form if older_rows is None else FrozenRows(form, older_rows)
    summary = learn(
        "distill_cf",
        Setup(task, form, recipe, time.perf_counter() - started),
        objective,
        steps=steps,
        optimizer={"x": rate},
        run=run_settings,
    )
    return _with_ridge(summary, task)


def _fractional(
    task: UserTask,
    objective: KernelRidge,
    form: GumbelHistories | FrozenRows,
    users: int,
    steps: int,
    run: RunSettings,
) -> tuple[torch.Tensor, bool]:
    """Logits to start histories from: those of fractional users, learned first; and
    whether there was time for all of their steps."""
    # Callbacks and patience are of the steps that are asked for, not of these.
    run_options = replace(run.options, callbacks=())
    if run.select_best is not None:
        best = replace(run.select_best, patience=None)
        run_options = replace(run_options, select_best=best)
    folder = None if run.checkpoint is None else f"{run.checkpoint}-fractional"
    steps = min(steps, FRACTIONAL)
    summary = distill(
        task,
        objective,
        form,
        steps=steps,
        optimizer={"x": Adam(0.04)},
        card=CardInfo("distill_cf, fractional"),
        **replace(run, checkpoint=folder, options=run_options).keywords(),
    )
    learned = summary.to_csr().toarray()[-users:]
    logs = torch.from_numpy(learned).clamp(min=1e-6).log()
    spread = logs.std(1, keepdim=True).clamp(min=1e-6)
    logits = 0.5 * (logs - logs.mean(1, keepdim=True)) / spread
    return logits, summary.card.steps == steps


def _with_ridge(summary: RecsysSummary, task: UserTask) -> RecsysSummary:
    """The summary, with the ridge by which it does best on validation items."""
    x = torch.from_numpy(summary.to_csr().toarray())
    ridge = task.choose_ridge(Infinite(task.depth), task.synthetic({"x": x}), RIDGES)
    settings = summary.card.settings | {"ridge": ridge}
    return replace(summary, card=replace(summary.card, settings=settings))


def _length(task: UserTask, length: Any) -> int:
    """Items of each synthetic user."""
    if length == "mean":
        return mean_length(len(task.rows.indices), len(task.rows), task.num_items)
    if not is_whole(length) or length < 1:
        raise ValueError(
            f"length must be a whole number from 1, or 'mean'; got {length!r}"
        )
    if length >= task.num_items:
        raise ValueError(
            f"length must be below the {task.num_items} items of the log, got {length}"
        )
    return int(length)
