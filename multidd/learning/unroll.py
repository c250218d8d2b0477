r"""A learner that trains on the synthetic set, differentiable in the set.

$\theta_N$ is what N steps from $\theta_0$ reach. How much of the way is kept for the
gradient of $\theta_N$ is one setting, `memory`:

| memory | gradient | kept |
|---|---|---|
| `"exact"` | exact | the graph of all steps |
| `"checkpointed"` | exact | $\sqrt N$ states; graphs of $\sqrt N$ steps at a time |
| `"stored"` | exact | every state; the graph of one step at a time |
| `"truncated"` | of the last `window` steps | the graph of these |
| `"first_order"` | states are constants | one state; the graph of one step at a time |

The ways back run the steps again. Each step draws its rows and its view by a generator
of its own, so they are the same the second time.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multidd import seeds
from multidd.learning.functional import mapped, moving
from multidd.learning.inner_loop import Inner, Memory, State, Way
from multidd.learning.optim import SGD
from multidd.protocols import Batch, Params, Task

__all__ = ["Inner", "Memory", "Trained", "train"]


class Trained(torch.autograd.Function):
    """The way there without a graph, the way back segment by segment."""

    @staticmethod
    def forward(
        ctx: Any, way: Way, start: Params, rates: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        inner, synthetic = way.inner, way.synthetic
        rate = tensors[0].detach() if rates else None
        state, kept = way.begin(start), []
        for first in range(0, inner.steps, inner.segment):
            if inner.memory != "first_order" or first == 0:
                kept.append(state)
            part = range(first, min(first + inner.segment, inner.steps))
            state = way.run(state, part, synthetic, rate, graph=False)
        ctx.way, ctx.kept, ctx.rates = way, kept, rates
        ctx.save_for_backward(*tensors)
        return tuple(state[0].values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *ends: Tensor) -> tuple[Tensor | None, ...]:
        leaves = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        rate = leaves[0] if ctx.rates else None
        synthetic = _holding(ctx.way.synthetic, leaves[ctx.rates :])
        back = _first_order if ctx.way.inner.memory == "first_order" else _segments
        total = [torch.zeros_like(leaf) for leaf in leaves]
        with torch.enable_grad():
            for found in back(ctx.way, ctx.kept, ends, synthetic, rate, leaves):
                for sum_, part in zip(total, found, strict=True):
                    if part is not None:
                        sum_ += part
        return None, None, None, *total


Found: TypeAlias = Iterator[list[Tensor | None]]


def _segments(
    way: Way,
    kept: list[State],
    ends: tuple[Tensor, ...],
    synthetic: Batch,
    rate: Tensor | None,
    leaves: list[Tensor],
) -> Found:
    """Gradients of the leaves, from the last segment to the first."""
    steps, size = way.inner.steps, way.inner.segment
    above: list[Tensor] = list(ends)
    for place in reversed(range(len(kept))):
        start = _map_state(kept[place], lambda t: t.detach().requires_grad_())
        part = range(place * size, min((place + 1) * size, steps))
        after = _floats(way.run(start, part, synthetic, rate, graph=True))
        before = _floats(start)
        # Moments at the very end lead nowhere.
        outs = [(t, a) for t, a in zip(after, above, strict=False) if t.requires_grad]
        found = torch.autograd.grad(
            [t for t, _ in outs],
            [*before, *leaves],
            [a for _, a in outs],
            allow_unused=True,
        )
        above = [
            torch.zeros_like(t) if g is None else g
            for t, g in zip(before, found[: len(before)], strict=True)
        ]
        yield list(found[len(before) :])


def _first_order(
    way: Way,
    kept: list[State],
    ends: tuple[Tensor, ...],
    synthetic: Batch,
    rate: Tensor | None,
    leaves: list[Tensor],
) -> Found:
    r"""Gradients of the leaves where $\theta_i$ is a constant in $\nabla L(\theta_i)$:
    each step moves the end by its gradient times what later steps make of it."""
    state, optimizer = kept[0], way.inner.optimizer
    assert isinstance(optimizer, SGD)
    steps = range(way.inner.steps)
    rates = [optimizer.lr if rate is None else _at(rate, step) for step in steps]
    reaches = [0.0] * (len(steps) + 1)
    for step in reversed(steps):
        reaches[step] = rates[step] + optimizer.momentum * reaches[step + 1]
    for step in steps:
        # Of the rate of this step alone, by the velocity that it moves along.
        gradients = way.gradients(state[0], step, synthetic, graph=True)
        flat = [gradients[name] for name in state[0]]
        wanted = [-reaches[step] * end for end in ends]
        moves = [(g, w) for g, w in zip(flat, wanted, strict=True) if g.requires_grad]
        held = leaves[1:] if rate is not None else leaves
        found: list[Tensor | None] = list(
            torch.autograd.grad(
                [g for g, _ in moves], held, [w for _, w in moves], allow_unused=True
            )
            if moves and held
            else [None] * len(held)
        )
        with torch.no_grad():
            state = way.moved(state, gradients, step, rate, graph=False)
        if rate is not None:
            along = [state[1][name]["velocity"] for name in state[0]]
            slope = -sum((v * e).sum() for v, e in zip(along, ends, strict=True))
            moved = torch.zeros_like(rate)
            moved[() if rate.dim() == 0 else step] = slope
            found = [moved, *found]
        yield found


def _at(rate: Tensor, step: int) -> float:
    return float((rate if rate.dim() == 0 else rate[step]).detach())


def _holding(batch: Batch, tensors: list[Tensor]) -> Batch:
    """The batch with these in the place of the tensors that moved."""
    given = iter(tensors)
    return mapped(batch, lambda old: next(given) if old.requires_grad else old)


def _map_state(state: State, change: Callable[[Tensor], Tensor]) -> State:
    weights, moments = state
    return (
        {name: change(w) for name, w in weights.items()},
        {
            name: {k: change(t) if t.is_floating_point() else t for k, t in m.items()}
            for name, m in moments.items()
        },
    )


def _floats(state: State) -> list[Tensor]:
    """Weights, then moments that are no counts."""
    weights, moments = state
    inside = [t for m in moments.values() for t in m.values()]
    return [*weights.values(), *(t for t in inside if t.is_floating_point())]


def train(
    task: Task[Any],
    weights: Params,
    synthetic: Batch,
    inner: Inner,
    rng: torch.Generator,
    rate: Tensor | None = None,
) -> Params:
    r"""The weights that training on a synthetic batch reaches.

    $$\theta_{i+1} = \theta_i - \eta_i\, \nabla_\theta L^S(\theta_i)$$

    or the step of another optimizer.

    Args:
        task: the task.
        weights: $\theta_0$, each `[k, ...]`; a constant.
        synthetic: what they train on; differentiable.
        inner: steps, optimizer, and what is kept for the gradient.
        rng: of the rows and views of each step.
        rate: $\eta$, `[]`, or one for each step `[N]`; differentiable. The optimizer's
            unless given.

    Returns:
        $\theta_N$, each `[k, ...]`, differentiable once in the synthetic batch and the
        rate (with `"exact"` and `"truncated"` any number of times).

    Reference:
        Wang, Zhu, Torralba, Efros, "Dataset Distillation", arXiv 1811.10959, 2018; Cui,
        Wang, Si, Hsieh, "Scaling Up Dataset Distillation to ImageNet-1K with Constant
        Memory", ICML 2023; Chen, Xu, Zhang, Guestrin, "Training Deep Nets with
        Sublinear Memory Cost", arXiv 1604.06174, 2016.

    Example:
        >>> from types import SimpleNamespace
        >>> from multidd.protocols import by_class
        >>> from multidd.learning.optim import SGD
        >>> task = SimpleNamespace(
        ...     side_by_side=False,
        ...     linear_features=lambda batch: None,
        ...     view=lambda rng: lambda batch: batch,
        ...     classes=lambda batch: by_class(torch.zeros(1, dtype=torch.int64), 1),
        ...     losses=lambda weights, batch: 0.5 * (weights["w"] - batch["x"]) ** 2,
        ... )
        >>> x, start = torch.ones(1, requires_grad=True), {"w": torch.zeros(1, 1)}
        >>> inner = Inner(2, SGD(lr=0.5))
        >>> end = train(task, start, {"x": x}, inner, seeds.at(0, "inner"))["w"]
        >>> end.item(), torch.autograd.grad(end.sum(), x)[0].item()
        (0.75, 0.75)
    """
    way = Way(task, synthetic, inner, seeds.child(rng), rng.device)
    start = {name: w.detach() for name, w in weights.items()}
    if not torch.is_grad_enabled():
        steps = range(inner.steps)
        return way.run(way.begin(start), steps, synthetic, rate, graph=False)[0]
    if inner.memory in ("exact", "truncated"):
        state = way.begin(start)
        free = inner.steps - inner.segment
        state = way.run(state, range(free), synthetic, rate, graph=False)
        return way.run(state, range(free, inner.steps), synthetic, rate, True)[0]
    given = [] if rate is None else [rate]
    found = Trained.apply(way, start, len(given), *given, *moving(synthetic))
    return dict(zip(start, found, strict=True))
