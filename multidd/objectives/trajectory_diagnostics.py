"""Diagnostics of trajectory matching: its gradient, its rate and its window."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.errors import MultiddError, MultiddWarning
from multidd.learning.functional import tensors_with_grad
from multidd.protocols import Batch, Params, Task, Tree

__all__ = ["GradientProbe", "TrajectoryMonitor", "diagnose", "probe"]

OWN = "objective."
"""Before the names of tensors that an objective learns, among those of a run."""

MIN_EXPERT_MOTION = 0.2
"""Share of an expert's first movement below which it no longer learns."""

DIVERGED_LOSS = 4.0
"""A loss above this: the learner is twice as far from the goal as it began."""

MIN_PROGRESS = 0.01
"""Share of the expert's path below which the learner stands still."""


@dataclass(frozen=True)
class GradientProbe:
    """The gradient by `inner.backprop` beside the exact one.

    Attributes:
        cosine: of the two, over all tensors of the synthetic set.
        norm_ratio: of their norms, ours to the exact one.
        lr_ratio: our gradient of the learned rate to the exact one; None where it is
            not learned.
        loss: the loss of both.
    """

    cosine: float
    norm_ratio: float
    lr_ratio: float | None
    loss: float


def probe(
    objective: Any,
    task: Task[Any],
    state: Tree,
    synthetic: Batch,
    rng: torch.Generator,
) -> GradientProbe:
    """See `multidd.objectives.TrajectoryMatching.probe`.

    Raises:
        ValueError: no gradient flows into the synthetic batch.
    """
    tensors, seed = tensors_with_grad(synthetic), seeds.child(rng)
    if not tensors:
        raise ValueError(
            "no gradient flows into the synthetic batch; draw it of tensors that "
            "require one"
        )
    exact = replace(objective.inner, backprop="stored", window=None)
    gradients = []
    for inner in (objective.inner, exact):
        now, leaves = _leaves(state, objective.learn_lr)
        one = replace(objective, inner=inner)
        again = seeds.at(seed, "probe", device=rng.device)
        loss = one.loss(task, now, synthetic, again)
        slopes = torch.autograd.grad(loss, [*tensors, *leaves], allow_unused=True)
        flat = [
            torch.zeros_like(t).flatten() if g is None else g.flatten()
            for t, g in zip([*tensors, *leaves], slopes, strict=True)
        ]
        gradients.append((torch.cat(flat[: len(tensors)]), flat[len(tensors) :], loss))
    (ours, slope, _), (theirs, other, loss) = gradients
    return GradientProbe(
        float(torch.cosine_similarity(ours, theirs, dim=0)),
        float(ours.norm() / theirs.norm()),
        float(slope[0] / other[0]) if other else None,
        float(loss.detach()),
    )


def diagnose(
    objective: Any,
    task: Task[Any],
    state: Tree,
    synthetic: Batch,
    rng: torch.Generator,
) -> tuple[str, ...]:
    """See `multidd.objectives.TrajectoryMatching.diagnose`."""
    findings: list[str] = []
    rate = objective.rate(state)
    value = objective.inner.optimizer.lr if rate is None else float(rate.detach())
    start, goal = objective.ends(state, rng.device)
    with torch.no_grad():
        loss = float(objective.loss(task, state, synthetic, rng))
    if not value > 0 or not math.isfinite(value):
        findings.append(
            f"the learned step size is {value}, not positive: give its group "
            "(objective.log_rate) a smaller rate"
        )
    elif not math.isfinite(loss):
        findings.append(
            f"the loss is {loss}: the learner diverges in its {objective.inner.steps} "
            f"steps of size {value:.3g}; start from a smaller one "
            "(InnerLoop(optimizer=SGD(lr=...))), take fewer steps, or set clip=1.0 on "
            "the optimizer of x"
        )
    elif loss > DIVERGED_LOSS:
        findings.append(
            f"the learner ends {math.sqrt(loss):.3g} times as far from the goal as it "
            f"began, in {objective.inner.steps} steps of size {value:.3g}: start from "
            "a smaller step size, or take an earlier window"
        )
    elif 1 - math.sqrt(loss) < MIN_PROGRESS and _vanishing(objective, value):
        findings.append(
            f"the learned step size has fallen from {objective.inner.optimizer.lr:.3g} "
            f"to {value:.3g} and the learner hardly moves: give its group "
            "(objective.log_rate) a smaller rate, or take an earlier window"
        )
    first, last = _moves(objective, state, rng.device)
    if not last > MIN_EXPERT_MOTION * first:
        low, high = objective.start_epochs
        share = last / first if first else 0.0
        findings.append(
            f"the window lies too late: from epoch {high} to "
            f"{high + objective.expert_epochs} "
            f"the expert goes {share:.0%} of its way from {low} to "
            f"{low + objective.expert_epochs}, and what is left is noise of its "
            "batches; "
            f"lower the last of start_epochs={objective.start_epochs}, or train "
            "experts for a shorter time between epochs"
        )
    return tuple(findings)


@dataclass
class TrajectoryMonitor:
    """A callback that probes and diagnoses a run of trajectory matching.

    Attributes:
        every: steps between two looks; 0 looks at the start and the end only.
        probe_gradient: probe the gradient too, at these looks.
        probes: results of `probe`, by step.
        findings: sentences of `diagnose`, by step; each new one is a warning too.

    Example:
        >>> TrajectoryMonitor(every=100).probes
        {}
    """

    every: int = 0
    probe_gradient: bool = True
    probes: dict[int, GradientProbe] = field(default_factory=dict)
    findings: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def on_start(self, run: Any) -> None:
        """Look."""
        self.look(run)

    def on_step(self, run: Any) -> None:
        """Look when the turn has come."""
        if self.every and run.step % self.every == 0:
            self.look(run)

    def on_end(self, run: Any) -> None:
        """Look, also where the run broke off."""
        self.look(run)

    def look(self, run: Any) -> None:
        """Probe and diagnose at the run's last good state."""
        if run.step in self.findings or not hasattr(run.objective, "diagnose"):
            return
        try:
            findings = _at(run, run.objective.diagnose, False)
            if self.probe_gradient and not findings:
                self.probes[run.step] = _at(run, run.objective.probe, True)
        except MultiddError:
            return  # such as a missing expert: the run itself says so
        self.findings[run.step] = findings
        for text in findings:
            warnings.warn(f"step {run.step}: {text}", MultiddWarning, stacklevel=2)


def _at(run: Any, function: Callable[..., Any], moved: bool) -> Any:
    """A function of task, state, synthetic batch and generator, at a run's state."""
    params = {
        name: tensor.detach().requires_grad_(moved and tensor.is_floating_point())
        for name, tensor in run.averaged().items()
    }
    learned = {n[len(OWN) :]: t for n, t in params.items() if n.startswith(OWN)}
    records = {n: t for n, t in params.items() if not n.startswith(OWN)}
    rng = run.rng("watch")
    draw = run.parameterization.draw(records, rng, run.step)
    state = {**run.state, "learned": learned} if learned else run.state
    return function(run.task, state, run.task.synthetic(draw), rng)


def _leaves(state: Tree, learned: bool) -> tuple[Tree, list[Tensor]]:
    tensors = state["learned"] if learned else {}
    leaves: Params = {
        n: t.detach().clone().requires_grad_() for n, t in tensors.items()
    }
    return {**state, "learned": leaves}, list(leaves.values())


def _vanishing(objective: Any, rate: float) -> bool:
    return rate < 0.1 * objective.inner.optimizer.lr


def _moves(objective: Any, state: Tree, device: Any) -> tuple[float, float]:
    """How far the expert goes in M epochs from the first t, and from the last."""
    lengths = []
    for epoch in objective.start_epochs:
        at = {**state, "epoch": torch.tensor(epoch)}
        one, other = objective.ends(at, device)
        gap = torch.stack([(one[n] - other[n]).square().sum() for n in one])
        lengths.append(float(gap.sum().sqrt()))
    return lengths[0], lengths[1]
