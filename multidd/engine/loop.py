"""`distill`: the one loop. `select`: the same without a loop.

All state is explicit and all randomness is keyed by the step, so a run that is
killed and repeated ends with the same bits as one that was not.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.splitting import check_count
from multidd.engine.callbacks import Progress
from multidd.engine.card import CardInfo, card_without_loop
from multidd.engine.checkpoint import Resume, Signals
from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.run import OWN, Run
from multidd.engine.schedules import Always, Schedule
from multidd.errors import RunInterrupted, StorageError, warn_caller
from multidd.learning.compiling import check_compiler, compiling, takes_compiling
from multidd.learning.optim import Adam, Optimizer
from multidd.learning.precision import (
    Precision,
    computing_in,
    takes_lower_precision,
)
from multidd.numerics import num_threads, usable_cores
from multidd.parallel.rank_group import Ranks, current
from multidd.parallel.sharing import nothing_to_share, way_of
from multidd.parameterizations.few_bits import FewBits
from multidd.protocols import (
    Callback,
    Objective,
    Parameterization,
    Selection,
    Task,
    decoder_info,
    decodes,
    learned_tensors,
)
from multidd.settings import describe, versions
from multidd.storage.atomic import PathLike
from multidd.summary import DataSummary

__all__ = ["distill", "select"]

S = TypeVar("S")

_ADAM, _ALWAYS = Adam(lr=1e-2), Always()


@public_function
def distill(
    task: Task[S],
    objective: Objective,
    parameterization: Parameterization,
    *,
    steps: int,
    optimizer: Optimizer | Mapping[str, Optimizer] = _ADAM,
    schedule: Schedule = _ALWAYS,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
    card: CardInfo = CardInfo(),
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
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder; the same call again goes on where the last one stopped and
            ends with the same bits. A finished run is returned from it.
        run: further settings of the run: time limit, best iterate, callbacks.
        card: what the card says of the method: its name, its settings.

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
        >>> from multidd.selection import Random
        >>> task = NodeTask.of(multidd.samples.cora())
        >>> free = Free(Random(), (2,) * 7)
        >>> distill(task, GradientMatching(), free, steps=2).num_nodes
        14
    """
    steps = check_count("steps", steps, minimum=0)
    task = task.to(device)
    if run.bits is not None:
        parameterization = FewBits(
            parameterization,
            run.bits,
            getattr(task, "codec_of", DataSummary.codec_of),
            after=steps // 2,
            decoded=decodes(task) and bool(decoder_info(parameterization)),
        )
    optimizers = _optimizers(optimizer, parameterization, objective)
    # Not by the load of a moment: the last bits would be other ones each time.
    most = 1 if task.vectorize_models else usable_cores()
    threads = run.threads or min(torch.get_num_threads(), most)
    settings = {
        "task": task.describe(),
        "objective": describe(objective),
        "parameterization": describe(parameterization),
        "optimizer": describe(optimizers),
        "schedule": describe(schedule),
        "select_best": describe(run.select_best),
        "steps": steps,
        "seed": seed,
        "versions": versions(),
        "threads": threads,
        "device": torch.device(device).type,
    }
    parts = {k: settings[k] for k in ("objective", "parameterization", "optimizer")}
    if run.precision != "float32":
        settings["precision"] = run.precision
    if run.compile:
        settings["compile"] = True
    settings["recipe"] = parts if card.settings is None else describe(card.settings)
    method, group = card.method or "distill", current()
    _check_precision(run.precision, method, task, objective, settings["device"])
    if run.compile:
        _check_compiling(method, task, objective, device)
    _check_ranks(group, method, task, objective, settings)
    state = Run(
        task=task,
        objective=objective,
        parameterization=parameterization,
        optimizers=optimizers,
        schedule=schedule,
        select_best=run.select_best,
        settings=settings,
        seed=seed,
        device=device,
        steps=steps,
        method=method,
        ranks=group,
    )
    watchers = [*run.callbacks, Progress(method, progress, run.timeout)]
    if not group.is_first:
        watchers = [one for one in watchers if getattr(one, "on_all_ranks", False)]
    with (
        Resume(checkpoint, settings, group) as folder,
        Signals() as signals,
        num_threads(threads),
        computing_in(run.precision, device),
        compiling(run.compile),
    ):
        if not folder.restore(state):
            began = time.perf_counter()
            state.start()
            state.seconds = card.seconds + time.perf_counter() - began
        try:
            _each(watchers, "on_start", state)
            _go(state, watchers, folder, signals, run)
        finally:
            _each(watchers, "on_end", state)
        return state.summary()


def _go(
    run: Run,
    watchers: Sequence[Callback],
    folder: Resume,
    signals: Signals,
    options: RunOptions,
) -> None:
    """Steps until the run is finished, out of time or stopped by a signal."""
    started, before = time.perf_counter(), run.seconds
    limit, every = options.timeout, options.checkpoint_every

    def notices() -> tuple[int, int]:
        late = limit is not None and time.perf_counter() - started >= limit
        return int(late), signals.received

    while run.step < run.steps and not run.finished:
        noticed = run.advance(notices)
        run.seconds = before + time.perf_counter() - started
        stop = any(_each(watchers, "on_step", run))
        run.finished |= run.ranks.any(stop) if options.callbacks else stop
        # Ranks act on what they told each other in the step, so that all stop at once.
        late, signum = notices() if run.ranks.is_alone else noticed
        if run.finished or late or signum or run.step % every == 0:
            _save(run, folder)
        if signum and not run.finished:
            _interrupted(run, signum, folder)
        if late:
            break


@public_function
def select(
    task: Task[S],
    selection: Selection,
    counts: Sequence[int],
    *,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
    card: CardInfo = CardInfo(),
) -> S:
    """Choose or average real records by `selection`, without a loop.

    Args:
        task: the task whose training records are chosen from.
        selection: how.
        counts: how many records of each class.
        seed: seed of the draws.
        device: where records are compared.
        progress: there is no bar to show, whatever it says.
        run: further settings of the run; those of a loop are refused.
        card: what the card says of the method: its name, its settings.

    Returns:
        The modality's summary.

    Raises:
        TypeError: a setting of `run` that is for loops only.
        ValueError: a class holds fewer records than asked for.
        OutOfTimeError: the time was over before the selection.

    Example:
        >>> import multidd
        >>> data = multidd.samples.cora()
        >>> multidd.graph.herding(data, per_class=2).num_nodes
        14
    """
    started = time.perf_counter()
    method = card.method or type(selection).__name__.lower()
    # No line for a part that takes no time; what is asked for is checked all the same.
    stages = RunSettings(progress=False, options=run).stages(method, card.seconds)
    task = task.to(device)
    records = task.records()
    records.check(counts)
    with stages("selection"):
        rng = seeds.at(seed, "selection", device=device)
        draw = task.from_selection(selection.pick(records, counts, rng))
    made_by = selection if card.settings is None else card.settings
    facts = card_without_loop(
        method,
        made_by,
        task.describe()["data"],
        seed=seed,
        started=started,
        seconds=card.seconds,
    )
    return task.summary(draw, facts)


def _check_precision(
    precision: Precision, method: str, task: Task[Any], objective: Objective, kind: str
) -> None:
    """Refuse fewer digits where they would be lost, or where there are none to save."""
    if precision == "float32":
        return
    if not takes_lower_precision(objective, task):
        raise ValueError(
            f"{method} solves in closed form or runs no network, which needs float32; "
            f"got precision={precision!r}: leave it out"
        )
    if precision == "tf32" and kind == "cpu":
        raise ValueError(
            "precision='tf32' is a format of NVIDIA's GPUs, and this run computes on "
            "the CPU; leave it out, or take 'bf16'"
        )


def _check_compiling(
    method: str, task: Task[Any], objective: Objective, device: str
) -> None:
    """Refuse to compile what compiled code cannot do."""
    if not takes_compiling(objective, task):
        raise ValueError(
            f"{method} runs no network that could be compiled, or differentiates it "
            "twice, which compiled code cannot; leave compile out"
        )
    check_compiler(device)


def _check_ranks(
    group: Ranks,
    method: str,
    task: Task[Any],
    objective: Objective,
    settings: Mapping[str, Any],
) -> None:
    """Refuse ranks that make other calls; say so where there is nothing to share."""
    if group.is_alone:
        return
    parts = {name: part for name, part in settings.items() if name != "threads"}
    digests = {name: json.dumps(part, sort_keys=True) for name, part in parts.items()}
    group.check_alike("call", digests)
    if way_of(objective, task, group) is None:
        nothing_to_share(method)


def _save(run: Run, folder: Resume) -> None:
    """Keep the state; what is finished is not lost to a disk that does not take it."""
    try:
        folder.save(run)
    except StorageError as error:
        if not run.finished:
            raise
        if not run.ranks.is_first:
            return
        warn_caller(
            f"the run is finished and its summary is returned, but its last checkpoint "
            f"is not kept: {error}"
        )


def _optimizers(
    optimizer: Optimizer | Mapping[str, Optimizer],
    parameterization: Parameterization,
    objective: Objective,
) -> dict[str, Optimizer]:
    learned = learned_tensors(objective)
    groups = [*parameterization.groups, *(f"{OWN}{name}" for name in learned)]
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
