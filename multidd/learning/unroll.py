r"""Differentiable training on the synthetic set: unrolled inner-loop optimization.

$\theta_N$ is what N steps from $\theta_0$ reach. How the gradient of $\theta_N$ is
computed, and so what is held in memory, is one setting, `backprop`:

| backprop | gradient | held in memory |
|---|---|---|
| `"exact"` | exact | the graph of all steps |
| `"checkpointed"` | exact | $\sqrt N$ states; graphs of $\sqrt N$ steps at a time |
| `"stored"` | exact | every state; the graph of one step at a time |
| `"truncated"` | of the last `window` steps | the graph of these |
| `"first_order"` | states are constants | one state; the graph of one step at a time |

The backward passes run the steps again. Each step draws its rows and its view by a
generator of its own, so they are the same the second time.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multidd import seeds
from multidd.learning.functional import map_tensors, tensors_with_grad
from multidd.learning.inner_loop import Backprop, InnerLoop, InnerLoopRun, State
from multidd.learning.optim import SGD
from multidd.protocols import Batch, Params, Task

__all__ = ["Backprop", "InnerLoop", "ReplayedLoop", "train"]


class ReplayedLoop(torch.autograd.Function):
    """Forward without a graph; backward by running segment after segment again."""

    @staticmethod
    def forward(
        ctx: Any, loop: InnerLoopRun, start: Params, rates: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        inner, synthetic = loop.inner, loop.synthetic
        rate = tensors[0].detach() if rates else None
        state, states = loop.begin(start), []
        for first in range(0, inner.steps, inner.segment):
            if inner.backprop != "first_order" or first == 0:
                states.append(state)
            part = range(first, min(first + inner.segment, inner.steps))
            state = loop.run(state, part, synthetic, rate, graph=False)
        ctx.loop, ctx.states, ctx.rates = loop, states, rates
        ctx.save_for_backward(*tensors)
        return tuple(state[0].values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *ends: Tensor) -> tuple[Tensor | None, ...]:
        leaves = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        rate = leaves[0] if ctx.rates else None
        synthetic = _with_tensors(ctx.loop.synthetic, leaves[ctx.rates :])
        first_order = ctx.loop.inner.backprop == "first_order"
        backward = _first_order if first_order else _segments
        total = [torch.zeros_like(leaf) for leaf in leaves]
        with torch.enable_grad():
            for parts in backward(ctx.loop, ctx.states, ends, synthetic, rate, leaves):
                for sum_, part in zip(total, parts, strict=True):
                    if part is not None:
                        sum_ += part
        return None, None, None, *total


LeafGradients: TypeAlias = Iterator[list[Tensor | None]]


def _segments(
    loop: InnerLoopRun,
    states: list[State],
    ends: tuple[Tensor, ...],
    synthetic: Batch,
    rate: Tensor | None,
    leaves: list[Tensor],
) -> LeafGradients:
    """Gradients of the leaves, from the last segment to the first."""
    steps, size = loop.inner.steps, loop.inner.segment
    above: list[Tensor] = list(ends)
    for place in reversed(range(len(states))):
        start = _map_state(states[place], lambda t: t.detach().requires_grad_())
        part = range(place * size, min((place + 1) * size, steps))
        after = _floats(loop.run(start, part, synthetic, rate, graph=True))
        before = _floats(start)
        # Moments at the very end lead nowhere.
        outs = [(t, a) for t, a in zip(after, above, strict=False) if t.requires_grad]
        gradients = torch.autograd.grad(
            [t for t, _ in outs],
            [*before, *leaves],
            [a for _, a in outs],
            allow_unused=True,
        )
        above = [
            torch.zeros_like(t) if g is None else g
            for t, g in zip(before, gradients[: len(before)], strict=True)
        ]
        yield list(gradients[len(before) :])


def _first_order(
    loop: InnerLoopRun,
    states: list[State],
    ends: tuple[Tensor, ...],
    synthetic: Batch,
    rate: Tensor | None,
    leaves: list[Tensor],
) -> LeafGradients:
    r"""Gradients of the leaves where $\theta_i$ is a constant in $\nabla L(\theta_i)$:
    each step moves the end by its gradient times what later steps make of it."""
    state, optimizer = states[0], loop.inner.optimizer
    assert isinstance(optimizer, SGD)
    steps = range(loop.inner.steps)
    rates = [optimizer.lr] * len(steps) if rate is None else _each(rate, len(steps))
    reaches = [0.0] * (len(steps) + 1)
    for step in reversed(steps):
        reaches[step] = rates[step] + optimizer.momentum * reaches[step + 1]
    for step in steps:
        # Of the rate of this step alone, by the velocity that it moves along.
        gradients = loop.gradients(state[0], step, synthetic, graph=True)
        flat = [gradients[name] for name in state[0]]
        upstream = [-reaches[step] * end for end in ends]
        outs = [(g, u) for g, u in zip(flat, upstream, strict=True) if g.requires_grad]
        inputs = leaves[1:] if rate is not None else leaves
        parts: list[Tensor | None] = list(
            torch.autograd.grad(
                [g for g, _ in outs], inputs, [u for _, u in outs], allow_unused=True
            )
            if outs and inputs
            else [None] * len(inputs)
        )
        with torch.no_grad():
            state = loop.moved(state, gradients, step, rate, graph=False)
        if rate is not None:
            velocities = [state[1][name]["velocity"] for name in state[0]]
            slope = -sum((v * e).sum() for v, e in zip(velocities, ends, strict=True))
            rate_gradient = torch.zeros_like(rate)
            rate_gradient[() if rate.dim() == 0 else step] = slope
            parts = [rate_gradient, *parts]
        yield parts


def _each(rate: Tensor, steps: int) -> list[float]:
    """The rate of each step, read at once: each read waits for the device."""
    values: Any = rate.detach().tolist()
    return [values] * steps if rate.dim() == 0 else values[:steps]


def _with_tensors(batch: Batch, tensors: list[Tensor]) -> Batch:
    """The batch with these in the place of the tensors that moved."""
    new = iter(tensors)
    return map_tensors(batch, lambda old: next(new) if old.requires_grad else old)


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
    inner: InnerLoop,
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
        inner: steps, optimizer, and how the gradient is computed.
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
        >>> from multidd.classes import by_class
        >>> from multidd.learning import SGD
        >>> task = SimpleNamespace(
        ...     vectorize_models=False,
        ...     linear_features=lambda batch: None,
        ...     view=lambda rng: lambda batch: batch,
        ...     classes=lambda batch: by_class(torch.zeros(1, dtype=torch.int64), 1),
        ...     losses=lambda weights, batch: 0.5 * (weights["w"] - batch["x"]) ** 2,
        ... )
        >>> x, start = torch.ones(1, requires_grad=True), {"w": torch.zeros(1, 1)}
        >>> inner = InnerLoop(2, SGD(lr=0.5))
        >>> end = train(task, start, {"x": x}, inner, seeds.at(0, "inner"))["w"]
        >>> end.item(), torch.autograd.grad(end.sum(), x)[0].item()
        (0.75, 0.75)
    """
    loop = InnerLoopRun(task, synthetic, inner, seeds.child(rng), rng.device)
    start = {name: w.detach() for name, w in weights.items()}
    if not torch.is_grad_enabled():
        steps = range(inner.steps)
        return loop.run(loop.begin(start), steps, synthetic, rate, graph=False)[0]
    if inner.backprop in ("exact", "truncated"):
        state = loop.begin(start)
        first = inner.steps - inner.segment  # the first step that has a graph
        state = loop.run(state, range(first), synthetic, rate, graph=False)
        return loop.run(state, range(first, inner.steps), synthetic, rate, True)[0]
    rates = [] if rate is None else [rate]
    ends = ReplayedLoop.apply(
        loop, start, len(rates), *rates, *tensors_with_grad(synthetic)
    )
    return dict(zip(start, ends, strict=True))
