"""Trajectory matching: MTT, TESLA, FTD, DATM."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from multidd.errors import CheckpointMismatchError
from multidd.learning.experts import Experts, check_expert
from multidd.learning.memory import check_memory
from multidd.learning.optim import SGD
from multidd.learning.unroll import InnerLoop, train
from multidd.objectives import trajectory_diagnostics
from multidd.protocols import Batch, Objective, Params, Task, Tree
from multidd.seeds import host


@dataclass(frozen=True)
class TrajectoryMatching(Objective):
    r"""Trajectory matching: N steps on S against M epochs of an expert trained on T.

    $$\frac{\lVert \hat\theta_{t+N} - \theta^*_{t+M} \rVert^2}
           {\lVert \theta^*_t - \theta^*_{t+M} \rVert^2}$$

    with $\theta^*$ an expert, drawn anew at each step of the run, as is the epoch t,
    and $\hat\theta$ a learner that starts from $\theta^*_t$ and takes N steps on S, at
    a rate that is learned too. One means that the learner has not come nearer than the
    start.

    The gradient is that of `inner.backprop`; `"first_order"` is TESLA.

    Attributes:
        experts: which experts; they are recorded at the start of a run where missing.
        inner: the N steps on S; its rate is where the learned one starts.
        start_epochs: the first and the last t.
        expert_epochs: M, epochs of the expert that the learner is to reach.
        growth: the last t at the start of the run, and the steps of the run in which
            it grows to that of `start_epochs` (DATM's difficulty-aligned window); None
            has all from the start.
        learn_lr: learn the rate. It is learned as a logarithm, so that it stays
            positive, in the group `objective.log_rate`.
        max_memory: bytes that backpropagation may take; None asks the machine.

    Raises:
        ValueError: a setting that is out of range, or does not fit another.

    Reference:
        Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching
        Training Trajectories", CVPR 2022; Cui, Wang, Si, Hsieh, "Scaling Up Dataset
        Distillation to ImageNet-1K with Constant Memory", ICML 2023; Du, Jiang, Tan,
        Zhou, Li, "Minimizing the Accumulated Trajectory Error to Improve Dataset
        Distillation", CVPR 2023; Guo, Wang, Cazenavette, Li, Zhang, You, "Towards
        Lossless Dataset Distillation via Difficulty-Aligned Trajectory Matching", ICLR
        2024.

    Example:
        >>> from multidd.learning import Trainer
        >>> experts = Experts(Trainer(epochs=8), count=3)
        >>> inner = InnerLoop(10, backprop="first_order")
        >>> TrajectoryMatching(experts, inner, start_epochs=(0, 4)).expert_epochs
        2
    """

    lower_precision: ClassVar[bool] = True

    experts: Experts = Experts()
    inner: InnerLoop = InnerLoop(
        steps=10, optimizer=SGD(lr=0.01), backprop="checkpointed"
    )
    start_epochs: tuple[int, int] = (0, 2)
    expert_epochs: int = 2
    growth: tuple[int, int] | None = None
    learn_lr: bool = True
    max_memory: int | None = None

    def __post_init__(self) -> None:
        low, high = self.start_epochs
        last = self.experts.trainer.epochs
        if (
            not 0 <= low <= high
            or self.expert_epochs < 1
            or high + self.expert_epochs > last
        ):
            raise ValueError(
                f"start_epochs={self.start_epochs} and expert_epochs="
                f"{self.expert_epochs} ask for epochs {low} to "
                f"{high + self.expert_epochs} of experts that have 0 to {last}; start "
                "earlier, or train them longer (Trainer(epochs=...))"
            )
        if self.growth is not None and not (
            low <= self.growth[0] <= high and self.growth[1] >= 1
        ):
            raise ValueError(
                f"growth must be a last epoch from {low} to {high} and 1 step or more, "
                f"got {self.growth}"
            )
        if self.learn_lr and not self.inner.optimizer.lr > 0:
            raise ValueError(
                "the learned rate starts from the optimizer's, which must be above 0; "
                f"got lr={self.inner.optimizer.lr}"
            )

    def learned(self) -> Params:
        r"""$\log \eta$, where it is learned."""
        if not self.learn_lr:
            return {}
        return {"log_rate": torch.tensor(self.inner.optimizer.lr).log()}

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """Which experts there are, and the first of them.

        Raises:
            ValueError: there are no experts that fit.
            StorageError: they cannot be recorded.
        """
        key, checksums = self.experts.checksums(task)
        state = {
            "key": torch.tensor(list(bytes.fromhex(key)), dtype=torch.uint8),
            "seals": torch.tensor(checksums),
            "step": torch.tensor(0),
        }
        return self._turn(state, rng)

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """How far from the expert the learner ends, relative to the expert's path.

        Raises:
            ValueError: at the first step, N steps do not fit into memory.
            CheckpointMismatchError: the expert is not the one the run began with.
        """
        start, goal = self.ends(state, rng.device)
        rate = self.rate(state)
        if int(state["step"]) == 0 and torch.is_grad_enabled():
            fixed = torch.Generator(rng.device).manual_seed(0)
            limit = self.max_memory
            check_memory(task, start, synthetic, self.inner, fixed, rate, limit)
        end = train(task, start, synthetic, self.inner, rng, rate)
        return _apart(end, goal) / _apart(start, goal).clamp(min=1e-20)

    def advance(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tree:
        """Another expert and another epoch."""
        identity = {name: state[name] for name in ("key", "seals")}
        return self._turn({**identity, "step": state["step"] + 1}, rng)

    def ends(self, state: Tree, device: Any = "cpu") -> tuple[Params, Params]:
        r"""$\theta^*_t$ and $\theta^*_{t+M}$, each `[1, ...]`, read from their file.

        Raises:
            CheckpointMismatchError: the expert is not the one the run began with.
        """
        store = self.experts.at(bytes(state["key"].tolist()).hex())
        number, epoch = int(state["expert"]), int(state["epoch"])
        last = self.experts.trainer.epochs - self.expert_epochs
        ranges = {"expert": (number, len(state["seals"]) - 1), "epoch": (epoch, last)}
        for name, (value, most) in ranges.items():
            if not 0 <= value <= most:
                raise CheckpointMismatchError(
                    f"tensor 'state::{name}' is {value}; it must be 0..{most}; begin "
                    "again in another checkpoint folder"
                )
        check_expert(store, number, int(state["seals"][number]))
        return (
            store.weights(number, epoch, device),
            store.weights(number, epoch + self.expert_epochs, device),
        )

    def rate(self, state: Tree) -> Tensor | None:
        r"""$\eta$, where it is learned."""
        return state["learned"]["log_rate"].exp() if self.learn_lr else None

    def last(self, step: int) -> int:
        """The last t at a step of the run."""
        low, high = self.start_epochs
        if self.growth is None:
            return high
        first, steps = self.growth
        return min(high, first + (high - first) * step // steps)

    def probe(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> trajectory_diagnostics.GradientProbe:
        """How near the gradient of `inner.backprop` comes to the exact one.

        Args:
            task, state, synthetic, rng: as for `loss`; the synthetic batch must be one
                that gradients flow into.

        Returns:
            A `Probe`.
        """
        return trajectory_diagnostics.probe(self, task, state, synthetic, rng)

    def diagnose(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> tuple[str, ...]:
        """What is the matter with a run, if anything.

        Args:
            task, state, synthetic, rng: as for `loss`.

        Returns:
            A sentence for each of: a learner that diverges, a rate that vanishes or is
            not positive, a window that lies too late; none for a run that is well.
        """
        return trajectory_diagnostics.diagnose(self, task, state, synthetic, rng)

    def _turn(self, state: Tree, rng: torch.Generator) -> Tree:
        """The expert and the epoch whose turn it is."""
        present = (state["seals"] > 0).nonzero().flatten()
        low, high = self.start_epochs[0], self.last(int(state["step"]))
        drawn = torch.rand(2, generator=host(rng), dtype=torch.float64)
        place, epoch = (drawn * torch.tensor([len(present), high - low + 1])).long()
        return {**state, "expert": present[place].clone(), "epoch": low + epoch}


def _apart(one: Params, other: Params) -> Tensor:
    return torch.stack([(one[n] - other[n]).square().sum() for n in other]).sum()
