"""`distill`: the one loop. `select`: the same without a loop.

All state is explicit and all randomness is keyed by the step, so a run that is
killed and repeated ends with the same bits as one that was not.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import torch

from multidd import seeds
from multidd.engine.callbacks import Progress
from multidd.engine.checkpoint import Resume, Signals
from multidd.engine.run import OWN, Best, Run
from multidd.engine.schedules import Always, Schedule
from multidd.errors import RunInterrupted
from multidd.learning.optim import Adam, Optimizer
from multidd.protocols import Callback, Objective, Parameterization, Selection, Task
from multidd.settings import describe, versions
from multidd.summary import Card

__all__ = ["RunOptions", "check_counts", "distill", "select"]

S = TypeVar("S")

_ADAM, _ALWAYS = Adam(lr=1e-2), Always()


class RunOptions(TypedDict, total=False):
    """Arguments of `distill` that every recipe hands on as they are."""

    select_best: Best | None
    device: str
    callbacks: Sequence[Callback]
    checkpoint: str | None
    checkpoint_every: int
    timeout: float | None
    progress: bool | None


def check_counts(steps: int, checkpoint_every: int = 1) -> None:
    """Refuse what no run can do; recipes that work before their run ask first.

    Raises:
        ValueError: fewer than no steps, or a checkpoint more often than each step.

    Example:
        >>> check_counts(0)
    """
    if steps < 0:
        raise ValueError(f"steps must be 0 or more, got {steps}")
    if checkpoint_every < 1:
        raise ValueError(f"checkpoint_every must be 1 or more, got {checkpoint_every}")


def distill(
    task: Task[S],
    objective: Objective,
    parameterization: Parameterization,
    *,
    steps: int,
    optimizer: Optimizer | Mapping[str, Optimizer] = _ADAM,
    schedule: Schedule = _ALWAYS,
    select_best: Best | None = None,
    seed: int = 0,
    device: str = "cpu",
    callbacks: Sequence[Callback] = (),
    checkpoint: str | None = None,
    checkpoint_every: int = 50,
    timeout: float | None = None,
    progress: bool | None = None,
    method: str = "distill",
    recipe: Mapping[str, Any] | None = None,
    spent: float = 0.0,
) -> S:
    """Learn a synthetic set: the one loop behind every method that has a loop.

    Args:
        task: what the modality supplies.
        objective: what is matched.
        parameterization: how the synthetic set is stored and drawn.
        steps: updates of the synthetic set.
        optimizer: one for all learned groups, or one for each group by name; groups
            that are not named stay as they start.
        schedule: which groups move at which step.
        select_best: keep the best iterate by validation instead of the last.
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        callbacks: objects with `on_start`, `on_step`, `on_end`.
        checkpoint: a folder; the same call again goes on where the last one stopped and
            ends with the same bits. A finished run is returned from it.
        checkpoint_every: steps between two checkpoints.
        timeout: seconds after which the run stops, its result usable.
        progress: show the bar; None shows it on a terminal only.
        method: name for the card.
        recipe: settings for the card; those of the parts unless given.
        spent: seconds of preparing that the card counts too.

    Returns:
        The modality's `DataSummary`.

    Raises:
        ValueError: settings that do not fit.
        DivergedError: the loss or a gradient is not finite; nothing was updated.
        CheckpointMismatchError: the folder belongs to a run with other settings.
        RunInterrupted: Ctrl-C or SIGTERM; the state was saved first.

    Example:
        >>> import multidd
        >>> from multidd.graph import NodeTask
        >>> from multidd.objectives import GradientMatching
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection.basic import Random
        >>> task = NodeTask.of(multidd.samples.cora())
        >>> free = Free(Random(), (2,) * 7)
        >>> distill(task, GradientMatching(), free, steps=2).num_nodes
        14
    """
    check_counts(steps, checkpoint_every)
    task = task.to(device)
    optimizers = _optimizers(optimizer, parameterization, objective)
    settings = {
        "task": task.describe(),
        "objective": describe(objective),
        "parameterization": describe(parameterization),
        "optimizer": describe(optimizers),
        "schedule": describe(schedule),
        "select_best": describe(select_best),
        "steps": steps,
        "seed": seed,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "device": torch.device(device).type,
    }
    parts = {k: settings[k] for k in ("objective", "parameterization", "optimizer")}
    settings["recipe"] = parts if recipe is None else describe(recipe)
    run = Run(
        task=task,
        objective=objective,
        parameterization=parameterization,
        optimizers=optimizers,
        schedule=schedule,
        select_best=select_best,
        settings=settings,
        seed=seed,
        device=device,
        steps=steps,
        method=method,
    )
    watchers = [*callbacks, Progress(method, progress)]
    with Resume(checkpoint, settings) as folder, Signals() as signals:
        if not folder.restore(run):
            began = time.perf_counter()
            run.start()
            run.seconds = spent + time.perf_counter() - began
        try:
            _each(watchers, "on_start", run)
            _go(run, watchers, folder, signals, checkpoint_every, timeout)
        finally:
            _each(watchers, "on_end", run)
        return run.summary()


def _go(
    run: Run,
    watchers: Sequence[Callback],
    folder: Resume,
    signals: Signals,
    every: int,
    timeout: float | None,
) -> None:
    """Steps until the run is finished, out of time or stopped by a signal."""
    started, before = time.perf_counter(), run.seconds
    while run.step < run.steps and not run.finished:
        run.advance()
        run.seconds = before + time.perf_counter() - started
        run.finished |= any(_each(watchers, "on_step", run))
        late = timeout is not None and run.seconds - before >= timeout
        if run.finished or late or signals.received or run.step % every == 0:
            folder.save(run)
        if signals.received and not run.finished:
            _interrupted(run, signals.received, folder)
        if late:
            break


def select(
    task: Task[S],
    selection: Selection,
    counts: Sequence[int],
    *,
    seed: int = 0,
    method: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    spent: float = 0.0,
) -> S:
    """A summary of records chosen, or averaged, by `selection`, without a loop.

    Args:
        task: the task whose training records are chosen from.
        selection: how.
        counts: how many records of each class.
        seed: seed of the draws.
        method: name for the card; the selection's own unless given.
        recipe: settings for the card; the selection's own unless given.
        spent: seconds of preparing that the card counts too.

    Returns:
        The modality's summary.

    Raises:
        ValueError: a class holds fewer records than asked for.

    Example:
        >>> import multidd
        >>> data = multidd.samples.cora()
        >>> multidd.graph.herding(data, per_class=2).num_nodes
        14
    """
    started = time.perf_counter()
    records = task.records()
    records.check(counts)
    draw = task.collect(selection.pick(records, counts, seeds.at(seed, "selection")))
    card = Card(
        method=method or type(selection).__name__.lower(),
        settings=describe(selection if recipe is None else recipe),
        seed=seed,
        source=task.describe()["data"],
        versions=versions(),
        threads=torch.get_num_threads(),
        seconds=round(spent + time.perf_counter() - started, 3),
    )
    return task.summary(draw, card)


def _optimizers(
    optimizer: Optimizer | Mapping[str, Optimizer],
    parameterization: Parameterization,
    objective: Objective,
) -> dict[str, Optimizer]:
    own: Mapping[str, Any] = getattr(objective, "learned", dict)()
    groups = [*parameterization.groups, *(f"{OWN}{name}" for name in own)]
    if not isinstance(optimizer, Mapping):
        return dict.fromkeys(groups, optimizer)
    unknown = sorted(set(optimizer) - set(groups))
    if unknown:
        raise ValueError(
            f"no group is called {', '.join(unknown)}; this run learns "
            f"{', '.join(groups)}"
        )
    return dict(optimizer)


def _each(watchers: Sequence[Callback], hook: str, run: Run) -> list[Any]:
    return [getattr(watcher, hook)(run) for watcher in watchers]


def _interrupted(run: Run, signum: int, folder: Resume) -> None:
    saved = (
        f"repeat the call to go on from {folder.path}"
        if folder.path
        else "give checkpoint= a folder to be able to go on"
    )
    raise RunInterrupted(
        f"stopped by signal {signum} after step {run.step} of {run.steps}; {saved}",
        signum=signum,
        summary=run.summary(),
    )
