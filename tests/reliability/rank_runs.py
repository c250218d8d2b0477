"""Runs that several processes share, and how they are started: one child a rank."""

import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import multidd
from multidd.engine.callbacks import Every
from multidd.errors import LockedError
from multidd.graph import GraphSetTask, NodeTask
from multidd.graph.models.backbones import GCN
from multidd.images.data.augment import parse
from multidd.images.models.backbone import Backbone
from multidd.images.tasks.image_task import ImageTask
from multidd.kernels import RBF
from multidd.learning.kernel_sources import Features, Infinite, Plain
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Bank, Fresh, Online, Pool
from multidd.learning.unroll import InnerLoop
from multidd.objectives import (
    Contrast,
    DistributionMatching,
    GradientMatching,
    KernelRidge,
    Mix,
    Representative,
    Unroll,
)
from multidd.objectives.distances import MSE
from multidd.objectives.mix import Part
from multidd.objectives.terms import (
    MMD,
    Centralization,
    Characteristic,
    Covariance,
    CrossEntropy,
    Discrimination,
    Means,
)
from multidd.parallel import ranks
from multidd.parallel.rank_group import Way
from multidd.parameterizations import Free, Labels
from multidd.recsys.methods.kernel import DistillCFOptions
from multidd.selection import Random
from multidd.summary import DataSummary
from multidd.text import as_texts
from multidd.text.tasks.embedding_task import TextTask
from tests.golden import tiny
from tests.images.conftest import corners
from tests.reliability.load import command

Calls = Mapping[str, tuple[Way | None, Callable[[], DataSummary]]]
"""Name of a run -> how it is shared, and the run."""

Numbers = tuple[dict[str, np.ndarray], Sequence[float]]


@cache
def images(batch_size: int | None = 7, **settings: Any) -> ImageTask:
    """Seven real images of each of three classes at a step."""
    sides = {"backbone": Backbone(width=4, depth=2), "augment": parse("flip_crop")}
    return ImageTask.of(corners(), batch_size=batch_size, **(sides | settings))


def matched(
    task: Any, objective: Any, lr: float = 1.0, steps: int = 2, **settings: Any
) -> DataSummary:
    """A few steps of plain descent: how far records move is the gradient."""
    form: Any = Free(Random(), (2,) * task.num_classes)
    if settings.pop("soft", False):
        form = Labels(form, "onehot")
    optimizer = {name: SGD(lr=lr) for name in form.groups}
    optimizer |= {"objective.log_temperature": SGD(lr=lr)} if "T" in settings else {}
    settings.pop("T", None)
    return multidd.distill(
        task,
        objective,
        form,
        steps=steps,
        optimizer=optimizer,
        progress=False,
        **settings,
    )


TRAINED = Pool(2, 1, "real", 1, 50, 2, Adam(lr=1e-3), batch_size=5)
RELATIONS = (
    Means(),
    CrossEntropy(),
    Covariance(weight=0.1),
    Centralization(weight=0.05),
)
ALIGNED = (Means("all"), Discrimination(0.1))


def image_calls() -> Calls:
    """Every objective on images, in each way that it can be shared."""
    dm, online = DistributionMatching, Online(steps=1)
    ridge = KernelRidge(Plain(RBF()), ridge=1e-2)
    uniform: dict[str, Any] = {"sampler": "uniform"}
    both: dict[str, tuple[Any, Any]] = {
        "means": (images(), dm()),
        "moments": (images(), dm((MMD(),))),
        "relations": (images(), dm(RELATIONS, TRAINED)),
        "functions": (images(), dm((Characteristic(8, weight=1.0),))),
        "class gradients": (images(), GradientMatching(MSE(), online)),
        "cosines": (images(), GradientMatching(states=Fresh(2))),
        "mixed": (images(), Mix((Part(dm()), Part(Contrast(2), 0.3)))),
        "representative": (images(), Representative(dm(), per_class=3, every=1)),
    }
    rows: dict[str, tuple[Any, Any]] = {
        "aligned": (images(), dm(ALIGNED)),
        "one gradient": (images(), GradientMatching(class_wise=False)),
        "both gradients": (images(), GradientMatching(inter_class=True)),
        "ridge": (images(), ridge),
        "few rows": (images(2, **uniform), ridge),
        "infinite": (images(5, **uniform), KernelRidge(Infinite(), ridge=1e-3)),
        "features": (images(), KernelRidge(Features(Fresh(2)), ridge=1e-2)),
        "unrolled": (images(), Unroll(InnerLoop(3, SGD(lr=0.1)), Fresh(2))),
    }
    calls: dict[str, tuple[Way | None, Callable[[], DataSummary]]] = {}
    for name, (task, objective) in both.items():
        calls[f"{name}, by classes"] = "classes", partial(matched, task, objective)
        calls[f"{name}, by rows"] = "rows", partial(matched, task, objective)
    for name, (task, objective) in rows.items():
        calls[name] = None, partial(matched, task, objective)
    learned = KernelRidge(Plain(RBF()), "cross_entropy", 1e-2)
    margin = KernelRidge(Plain(RBF()), ridge=1e-2, margin=True)
    calls["temperature"] = None, partial(matched, images(), learned, T=True)
    calls["margin"] = None, partial(matched, images(), margin, soft=True)
    scored = multidd.SelectBest(every=1)
    judged = images(val=corners(seed=1))
    options = multidd.RunOptions(select_best=scored)
    calls["scored"] = "classes", partial(matched, judged, dm(), run=options)
    return calls


def other_calls() -> Calls:
    """Nodes, sets of graphs, texts and users."""
    graph = tiny.nodes()
    two_classes: Way = "rows" if os.environ.get("WORLD_SIZE") == "3" else "classes"
    gcn = NodeTask.of(graph, backbone=GCN(2, width=8), batch_size=5)
    sets = GraphSetTask.of(tiny.graphs(), batch_size=5)
    texts, labels = tiny.texts()
    some = as_texts(texts, labels)
    generator = torch.Generator().manual_seed(0)
    heads = TextTask(some, torch.randn(len(texts), 6, generator=generator), 10)
    dm, fresh = DistributionMatching, GradientMatching(MSE(), Fresh(2), biases=True)
    options = DistillCFOptions(batch_size=9)
    users = partial(
        multidd.recsys.distill_cf,
        tiny.log(),
        users=4,
        steps=2,
        options=options,
        progress=False,
    )
    return {
        "nodes": (None, partial(matched, gcn, dm((Means("all"),)))),
        "node gradients": (None, partial(matched, gcn, fresh)),
        "graphs": ("rows", partial(matched, sets, dm())),
        "graphs, by classes": (two_classes, partial(matched, sets, dm())),
        "heads": ("rows", partial(matched, heads, fresh)),
        "heads, by classes": ("classes", partial(matched, heads, fresh)),
        "users": (None, users),
    }


def numbers_of(summary: DataSummary) -> Numbers:
    """Tensors and losses, in a form that goes from process to process."""
    tensors = {name: tensor.numpy() for name, tensor in summary.tensors.items()}
    return tensors, summary.card.history


def shared(calls: Calls) -> dict[str, Numbers]:
    """Tensors and losses of each run."""
    results, ways = {}, {share for share, _ in calls.values()}
    for way in sorted(ways, key=str):
        with ranks(timeout=60, share=way):
            for name, (share, call) in calls.items():
                if share == way:
                    results[name] = numbers_of(call())
    return results


def losses_of_methods() -> dict[str, Sequence[float]]:
    """The first losses of every method with a loop, on tiny sets."""
    from tests.methods.cases import CASES

    with ranks(timeout=60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            f"{case.kind}.{case.name}": case.run(steps=2).card.history
            for case in CASES
            if case.has_loop
        }


# --- runs that are stopped ------------------------------------------------------------


def long_run(folder: Path | None = None, **settings: Any) -> DataSummary:
    """Matching with models that train on real rows, saved every second step."""
    options = {"steps": 8} | settings
    run = {"checkpoint_every": 2, "callbacks": options.pop("callbacks", ())}
    place = None if folder is None else str(folder)
    objective = DistributionMatching(RELATIONS, TRAINED)
    return matched(
        images(),
        objective,
        checkpoint=place,
        run=multidd.RunOptions(**run, timeout=options.pop("late", None)),
        **options,
    )


def interrupted(folder: Path, step: int) -> DataSummary:
    """The long run, which a signal stops after a step."""
    stop = at_step(step, lambda run: signal.raise_signal(signal.SIGTERM))
    return long_run(folder, callbacks=[stop])


def ended(call: Callable[[], Any], timeout: float = 60.0, **block: Any) -> Any:
    """What a run in a block of ranks gives, or the class and text of its error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = time.monotonic()
        try:
            with ranks(timeout=timeout, **block) as group:
                result = call(group)
        except (Exception, KeyboardInterrupt) as error:
            result = type(error).__name__, str(error)
        seconds = time.monotonic() - started
    texts = [f"{type(w.message).__name__}: {w.message}" for w in caught]
    if isinstance(result, DataSummary):
        result = numbers_of(result)
    return result, texts, seconds


def bank_run() -> DataSummary:
    """Real gradients are taken once: there is nothing to share."""
    return matched(images(), GradientMatching(states=Bank(1, 2)))


# --- children -------------------------------------------------------------------------


def child(
    rank: int, world: int, port: int, attempt: int, pipe: Any, work: Any, *args: Any
) -> None:
    """One rank: told by the environment, as `torchrun` does."""
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(world),
        LOCAL_RANK=str(rank),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
        TORCHELASTIC_RESTART_COUNT=str(attempt),
    )
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    pipe.send(work(*args))


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Group:
    """The children of one run."""

    def __init__(self, children: Any, world: int, work: Any, *args: Any) -> None:
        port, self.pipes, self.processes = free_port(), [], []
        for rank in range(world):
            here, there = children.Pipe(duplex=False)
            process = children.Process(
                target=child, args=(rank, world, port, 0, there, work, *args)
            )
            process.start()
            there.close()
            self.pipes.append(here)
            self.processes.append(process)

    def results(self, timeout: float = 120.0) -> list[Any]:
        """What each rank gave; None of one that was killed."""
        results = []
        for pipe in self.pipes:
            try:
                assert pipe.poll(timeout), "a rank hangs"
                results.append(pipe.recv())
            except EOFError:
                results.append(None)
        self.end()
        return results

    def end(self) -> None:
        """No child is left."""
        for process in self.processes:
            if process.exitcode is None:
                process.join(5)
            if process.exitcode is None:
                process.kill()
            process.join()


def at_step(step: int, action: Callable[[Any], Any]) -> Every:
    """A callback that acts once, after a step."""
    return Every(1, lambda run: action(run) if run.step == step else None)


def close(results: Sequence[Numbers], expected: Numbers) -> float:
    """Largest gap of tensors and losses, relative to the largest number of each."""
    tensors, losses = expected
    gaps = [0.0]
    for other, history in results:
        pairs = [(other[name], tensor) for name, tensor in tensors.items()]
        pairs.append((np.array(history), np.array(losses)))
        for ours, theirs in pairs:
            if theirs.size:
                gap = np.abs(ours.astype(float) - theirs.astype(float)).max()
                gaps.append(float(gap / max(np.abs(theirs).max(), 1e-30)))
    return max(gaps)


# --- what ranks do in the tests -------------------------------------------------------


def rank_of() -> int:
    """This child's number."""
    return int(os.environ["RANK"])


def killed(folder: Path, victim: int, step: int) -> Any:
    """A rank kills itself in the middle of a step."""
    advance = DistributionMatching.advance

    def dying(self: Any, task: Any, state: Any, synthetic: Any, rng: Any) -> Any:
        steps.append(1)
        if len(steps) == step and rank_of() == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        return advance(self, task, state, synthetic, rng)

    steps: list[int] = []
    DistributionMatching.advance = dying  # type: ignore[method-assign]
    return ended(lambda group: long_run(folder))


def signalled(folder: Path) -> Any:
    """One rank alone gets a signal."""
    reached: list[int] = []
    loss = DistributionMatching.loss

    def counting(*args: Any) -> Any:
        reached.append(1)
        if len(reached) == 3 and rank_of() == 1:
            signal.raise_signal(signal.SIGTERM)
        return loss(*args)

    DistributionMatching.loss = counting  # type: ignore[method-assign]
    return ended(lambda group: long_run(folder)), len(reached)


def diverging() -> Any:
    """The loss of one rank is not a number."""
    loss = DistributionMatching.loss

    def broken(*args: Any) -> Any:
        return loss(*args) * (float("nan") if rank_of() == 1 else 1.0)

    DistributionMatching.loss = broken  # type: ignore[method-assign]
    return ended(lambda group: long_run())


def silent(pipe_timeout: float) -> Any:
    """One rank stops without ending; the other waits no longer than it was told."""

    def work(group: Any) -> Any:
        if group.rank == 1:
            time.sleep(2.5 * pipe_timeout)
        return long_run()

    return ended(work, timeout=pipe_timeout)


def apart() -> dict[str, Any]:
    """What ranks find out about each other, and what they say of it."""

    def drifting(run: Any) -> None:
        run.params["x"].add_(1.0)

    moved = [at_step(3, drifting)]
    results = {
        "drift": ended(lambda group: long_run(callbacks=moved)),
        "call": ended(lambda group: long_run(seed=group.rank)),
        "nothing": ended(lambda group: bank_run()),
        "no loop": ended(lambda group: multidd.images.random(corners(), ipc=1)),
        "stopped": ended(lambda group: long_run(callbacks=[at_step(3, bool)])),
        "late": ended(lambda group: len(long_run(late=1e-9).card.history)),
        "way": ended(lambda group: matched(images(), KERNEL), share="classes"),
        "twice": ended(lambda group: ranks().__enter__()),
        "failed first": ended(lambda group: group.first(lambda: 1 / 0)),
        "refused": ended(lambda group: group.first(_refused)),
    }
    return results


KERNEL = KernelRidge(Plain(RBF()), ridge=1e-2)


def _refused() -> None:
    raise LockedError("in use")


def files_of(folder: Path) -> Any:
    """Paths of the folder, or above, that this rank opened, made or removed."""
    touched: list[str] = []
    events = ("open", "os.mkdir", "os.rename", "os.remove", "os.listdir", "os.scandir")

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event in events and str(args[0]).startswith(str(folder)):
            touched.append(f"{event} {args[0]}")

    sys.addaudithook(note)
    result = ended(lambda group: long_run(folder))
    return result, touched


def by_command(folder: Path, *words: str) -> Any:
    """The command line in this rank: exit code, what it prints, files it opened."""
    touched: list[str] = []

    def note(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and str(args[0]).startswith(str(folder)):
            touched.append(str(args[0]))

    sys.addaudithook(note)
    return (*command("distill", *words, "--out", folder, "--ranks"), touched)
