"""What each way of keeping a learner's steps costs, and how exact its gradient is.

A narrow ConvNet trains for N steps on ten images of the shipped Fashion sample; the
gradient of its loss on real images is taken with each `memory` of
`multidd.learning.unroll.InnerLoop`, each in a fresh process (a fork: Linux and macOS).
Printed are the peak memory beyond that of one step, the seconds, the cosine to the
exact gradient and the distance from it in units of its norm; below, a learner of
150 steps with momentum. The last table is of trajectory matching (MTT): TESLA's
gradient, which is that of first order, beside the exact one. Offline, in a minute:

python examples/memory_table.py --steps 5 10 20 40 80
"""

import argparse
import multiprocessing
import resource
import sys
import time
from typing import Any

import torch

import multidd
from multidd.images.models.backbone import Backbone
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD
from multidd.learning.states import Fresh
from multidd.learning.unroll import InnerLoop
from multidd.objectives import TrajectoryMatching, Unroll
from multidd.seeds import at

MEMORIES = ("exact", "checkpointed", "stored", "truncated", "first_order")
LONG = 150
WAYS = ((1, 0.01), (5, 0.01), (10, 0.01), (20, 0.01), (10, 0.02), (20, 0.02))
"""Steps and rates at which trajectory matching is looked at."""

MIB = 2**20 if sys.platform == "darwin" else 2**10
"""Units of `ru_maxrss` in a MiB."""


def inner_of(memory: Any, steps: int, momentum: float) -> InnerLoop:
    """The learner; a truncated one differentiates its last five steps."""
    window = min(5, steps) if memory == "truncated" else None
    sgd = SGD(lr=0.01, momentum=momentum)
    return InnerLoop(steps, sgd, backprop=memory, window=window)


def pictures(task: ImageTask) -> torch.Tensor:
    """The first image of each class."""
    records = task.records()
    first = [int((records.labels == label).nonzero()[0]) for label in range(10)]
    return records.features[first].view(10, *task.images.shape)


def gradient(task: ImageTask, images: torch.Tensor, inner: InnerLoop) -> torch.Tensor:
    """Of the real loss after the learner's steps, in ten images."""
    x = images.clone().requires_grad_()
    batch = task.synthetic({"x": x, "y": torch.arange(10)})
    objective = Unroll(inner, Fresh())
    state = objective.init(task, at(0, "init"))
    loss = objective.loss(task, state, batch, at(0, "loss"))
    return torch.autograd.grad(loss, x)[0]


def measure(
    task: ImageTask, images: torch.Tensor, inner: InnerLoop, connection: Any
) -> None:
    """One gradient; a fork's peak begins at what it holds, after a short one here."""
    gradient(task, images, inner_of("exact", 1, 0.0))  # loads what is loaded once
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    gradients = gradient(task, images, inner)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    extra = (after.ru_maxrss - before.ru_maxrss) / MIB
    connection.send((extra, seconds, gradients.flatten().tolist()))


def apart(
    task: ImageTask, images: torch.Tensor, inner: InnerLoop
) -> tuple[float, float, torch.Tensor]:
    """`measure` in a process of its own."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    child = fork.Process(target=measure, args=(task, images, inner, there))
    child.start()
    there.close()
    extra, seconds, result = here.recv()
    child.join()
    return extra, seconds, torch.tensor(result, dtype=torch.float64)


def compared(
    task: ImageTask, images: torch.Tensor, steps: int, momentum: float, memories: Any
) -> None:
    """Rows of the table: each memory beside the exact one, which comes first."""
    exact = torch.zeros(0)
    for memory in memories:
        extra, seconds, ours = apart(task, images, inner_of(memory, steps, momentum))
        exact = ours if memory == "exact" else exact
        cosine = torch.nn.functional.cosine_similarity(ours, exact, dim=0)
        gap = (ours - exact).norm() / exact.norm()
        print(
            f"{steps:5} {momentum:8} {memory:>13} {extra:9.1f} {seconds:8.2f} "
            f"{cosine:9.5f} {gap:9.1e}",
            flush=True,
        )


def matched(task: ImageTask, images: torch.Tensor) -> None:
    """TESLA's gradient of the distance from an expert, beside the exact one."""
    print("\n    N     rate  cosine to MTT  norm ratio")
    experts = Experts(Trainer(epochs=3, steps=20, optimizer=SGD(lr=0.01)), count=1)
    x = images.clone().requires_grad_()
    batch = task.synthetic({"x": x, "y": torch.arange(10)})
    for steps, lr in WAYS:
        inner = InnerLoop(steps, SGD(lr=lr), backprop="first_order")
        objective = TrajectoryMatching(
            experts, inner, start_epochs=(0, 0), expert_epochs=3
        )
        state = objective.init(task, at(0, "init"))
        learned = {"learned": objective.learned()}
        comparison = objective.probe(task, {**state, **learned}, batch, at(0, "probe"))
        print(
            f"{steps:5} {lr:8} {comparison.cosine:14.4f} {comparison.ratio:11.3f}",
            flush=True,
        )


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 20, 80])
    parser.add_argument("--width", type=int, default=8, help="of the ConvNet")
    parser.add_argument("--long", type=int, default=LONG, help="0 leaves it out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    train, _ = multidd.samples.fashion()
    sizes: dict[str, Any] = {"batch_size": 10, "sampler": "uniform"}
    task = ImageTask.of(train, backbone=Backbone(width=args.width), **sizes)
    images = pictures(task)
    print("    N momentum        memory  peak MiB  seconds    cosine  distance")
    for steps in args.steps:
        compared(task, images, steps, 0.0, MEMORIES)
    if args.long:
        compared(task, images, args.long, 0.9, ("exact", "checkpointed", "stored"))
    matched(task, images)


if __name__ == "__main__":
    main()
