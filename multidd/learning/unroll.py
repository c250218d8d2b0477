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

from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.functional import moving
from multidd.learning.inner_loop import Inner, Memory, Way
from multidd.learning.reverse import Trained
from multidd.protocols import Batch, Params, Task

__all__ = ["Inner", "Memory", "train"]


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
        >>> from multidd.classes import by_class
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
