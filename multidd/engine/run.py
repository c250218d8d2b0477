"""The state of a run, and one step of it: draw, loss, update, redraw, advance."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multidd import seeds
from multidd.engine.options import SelectBest
from multidd.engine.schedules import Schedule
from multidd.errors import DivergedError
from multidd.learning.optim import Optimizer, RunningClip
from multidd.parallel.rank_group import ALONE, Ranks
from multidd.parallel.sharing import loss_part, sharing_by
from multidd.parameterizations.few_bits import FewBits
from multidd.protocols import (
    Batch,
    Draw,
    Objective,
    Parameterization,
    Params,
    Task,
    Tree,
    decoder_info,
    decodes,
    label_kind,
    learned_tensors,
)
from multidd.storage.content import flatten, in_rows
from multidd.summary import Card

__all__ = ["Run"]

Notices: TypeAlias = Callable[[], Sequence[int]]
"""What a process noticed since: whole numbers, 0 where there is nothing."""


@dataclass
class Run:
    """The state of a run, as callbacks see it and as checkpoints keep it.

    Attributes:
        task, objective, parameterization: what is composed.
        optimizers, schedule, select_best: how it moves and what is kept.
        settings: everything the run was asked for, as JSON.
        steps: steps in all.
        step: steps done.
        params: learned tensors.
        moments: the optimizers' state, by name.
        state: the objective's state.
        history: loss of each step done.
        best: params of the best iterate so far, with `select_best`.
        best_score: its score.
        stale: scores since then.
        finished: whether there is nothing left to do.
        seconds: wall time, earlier parts of a resumed run included.
        ranks: the processes that share it.
    """

    task: Task[Any]
    objective: Objective
    parameterization: Parameterization
    optimizers: Mapping[str, Optimizer]
    schedule: Schedule
    select_best: SelectBest | None
    settings: dict[str, Any]
    seed: int
    device: str
    steps: int
    method: str
    step: int = 0
    params: Params = field(default_factory=dict)
    moments: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    state: Tree = field(default_factory=dict)
    history: list[float] = field(default_factory=list)
    best: Params = field(default_factory=dict)
    best_score: float | None = None
    stale: int = 0
    finished: bool = False
    seconds: float = 0.0
    ranks: Ranks = ALONE

    def rng(self, stream: str) -> torch.Generator:
        """The generator of a named stream at this step."""
        return seeds.at(self.seed, stream, self.step, self.device)

    def draw(self) -> Draw:
        """The finished form of the best iterate, or of the last."""
        params = _records(self.best or self.averaged())
        rng = seeds.at(self.seed, "final", device=self.device)
        with torch.no_grad():
            return self.parameterization.final(params, rng)

    def averaged(self) -> Params:
        """The params, running means in place of tensors that have one."""
        means = {name: m["ema"] for name, m in self.moments.items() if "ema" in m}
        return self.params | means

    def summary(self) -> Any:
        """The summary as far as the run has come."""
        card = Card(
            method=self.method,
            settings=self.settings["recipe"] | self._learned_numbers() | self._format(),
            seed=self.seed,
            source=self.settings["task"]["data"],
            versions=self.settings["versions"],
            labels=label_kind(self.parameterization),
            decoder=decoder_info(self.parameterization),
            steps=self.step,
            seconds=round(self.seconds, 3),
            threads=self.settings["threads"],
            history=tuple(self.history),
        )
        summary: Any = self.task.summary(*self._materialized(self.draw(), card))
        few = self.parameterization
        return summary.compress(few.bits) if isinstance(few, FewBits) else summary

    def _materialized(self, draw: Draw, card: Card) -> tuple[Draw, Card]:
        """What the summary keeps: of a task whose summaries cannot decode, what models
        run on."""
        kind = card.decoder.get("kind", "materialized")
        if kind == "materialized" or decodes(self.task):
            return draw, card
        decoder = {"kind": "materialized", "by": type(self.parameterization).__name__}
        return self.parameterization.decode(draw), replace(card, decoder=decoder)

    def _learned_numbers(self) -> dict[str, Any]:
        """Numbers that the objective learned, for the card: a rate, a temperature."""
        numbers = [
            _plain(n.removeprefix(OWN), t)
            for n, t in self.averaged().items()
            if n.startswith(OWN)
        ]
        return {"learned": dict(numbers)} if numbers else {}

    def _format(self) -> dict[str, Any]:
        """Precision and compiling, where they are not the usual ones."""
        names = ("precision", "compile")
        return {name: self.settings[name] for name in names if name in self.settings}

    def start(self) -> None:
        """The first params, moments and state; the start is scored too."""
        with sharing_by(self.ranks, None):
            self._begin()
        self._judge()

    def fresh(self, finished: bool = False) -> dict[str, Tensor]:
        """The tensors of a fresh start, named as in a checkpoint.

        Args:
            finished: without the state, which a finished run does not keep.
        """
        start = replace(self, step=0, history=[], best={}, state={})
        with sharing_by(self.ranks, None):
            start._begin(with_state=not finished)
        names = ("params", "moments", "state")
        return flatten({name: getattr(start, name) for name in names})

    def _begin(self, with_state: bool = True) -> None:
        draws = seeds.at(self.seed, "start", device=self.device)
        learned = learned_tensors(self.objective)
        self.params = self.parameterization.init(self.task, draws) | {
            f"{OWN}{name}": tensor.to(self.device) for name, tensor in learned.items()
        }
        self.moments = {
            name: self.optimizers[_group(name)].init(tensor)
            for name, tensor in self.params.items()
            if _group(name) in self.optimizers
        }
        if with_state:
            self.state = self.objective.init(self.task, self.rng("init"))
        self._lay_out()

    def advance(self, notices: Notices = lambda: NOTHING) -> Sequence[int]:
        """One step: draw, loss, update, detached redraw, advance.

        Args:
            notices: what this process noticed, read before the ranks put their parts
                of the step together.

        Returns:
            The most of each notice on any rank: all act on it after the same step.
        """
        with sharing_by(self.ranks, None):
            noticed = self._advance(notices)
        self._judge()
        self.finished = self.step == self.steps or self._worn_out()
        return noticed

    def _advance(self, notices: Notices) -> Sequence[int]:
        leaves = {
            name: self.params[name].detach().requires_grad_()
            for name in self.moments
            if self.schedule.moves(_group(name), self.step)
        }
        loss, whole, noticed = self._whole_gradients(leaves, notices)
        gradients, norms, means = self._clipped(whole)
        moved = self._moved(gradients, means)
        values = {"loss": loss, **norms}
        values |= {f"update of {n}": t.abs().max() for n, (t, _) in moved.items()}
        value = self._check_finite(values)
        self.params = self.params | {n: tensor for n, (tensor, _) in moved.items()}
        self.moments = self.moments | {n: state for n, (_, state) in moved.items()}
        with torch.no_grad():
            again = self._synthetic(self.params, "redraw")
        rng = self.rng("advance")
        self.state = self.objective.advance(self.task, self.state, again, rng)
        self._lay_out()
        self.history.append(value)
        self.step += 1
        return noticed

    def _moved(
        self, gradients: Params, means: Params
    ) -> dict[str, tuple[Tensor, dict[str, Tensor]]]:
        """Each tensor after its step, and its moments; `means` are running norms."""
        moments = self.moments | {
            name: self.moments[name] | {"norm": mean} for name, mean in means.items()
        }
        return {
            name: self.optimizers[_group(name)].step(
                self.params[name].detach(), gradient, moments[name]
            )
            for name, gradient in gradients.items()
        }

    def _lay_out(self) -> None:
        """Tensors in memory as a checkpoint would give them back."""
        self.params, self.moments = in_rows(self.params), in_rows(self.moments)
        self.state = in_rows(self.state)

    def _synthetic(self, params: Params, stream: str) -> Batch:
        records, rng = _records(params), self.rng(stream)
        return self.task.synthetic(self.parameterization.draw(records, rng, self.step))

    def _loss(self, leaves: Params) -> Tensor:
        params = self.params | leaves
        synthetic, rng = self._synthetic(params, "draw"), self.rng("loss")
        names = [name for name in params if name.startswith(OWN)]
        learned = {name.removeprefix(OWN): params[name] for name in names}
        state = {**self.state, "learned": learned} if learned else self.state
        return loss_part(self.objective, self.task, state, synthetic, rng)

    def _whole_gradients(
        self, leaves: Params, notices: Notices
    ) -> tuple[Tensor, Params, Sequence[int]]:
        """Loss, gradients by name and notices: of all ranks, by one collective."""
        loss = self._loss(leaves)
        gradients: Sequence[Tensor | None] = ()
        if leaves:  # at some steps of a schedule none may move
            tensors = list(leaves.values())
            try:
                gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
            except RuntimeError:
                if self.ranks.is_alone:
                    self._check_finite({"loss": loss})
                if bool(loss.detach().isfinite()):
                    raise
                gradients = [None] * len(leaves)  # all ranks raise, after they met
        untouched = [gradient is None for gradient in gradients]
        # What the objective learns stands still at steps that do not use it; records
        # that a step does not touch go on by their moments.
        whole = {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True)
        }
        noticed = notices()
        if not self.ranks.is_alone:
            loss, whole, untouched, noticed = self._summed(
                loss, whole, untouched, noticed
            )
        gradients_by_name = {
            name: gradient
            for (name, gradient), idle in zip(whole.items(), untouched, strict=True)
            if not (idle and name.startswith(OWN))
        }
        return loss, gradients_by_name, noticed

    def _summed(
        self,
        loss: Tensor,
        gradients: Params,
        untouched: Sequence[bool],
        noticed: Sequence[int],
    ) -> tuple[Tensor, Params, list[bool], list[int]]:
        """The sums over ranks: finite checks come after them, so that all raise."""
        ranks = self.ranks
        marks = loss.new_zeros(len(noticed), ranks.world)
        marks[:, ranks.rank] = loss.new_tensor([float(n) for n in noticed])
        touched = loss.new_tensor([float(not idle) for idle in untouched])
        parts = [*gradients.values(), loss.detach(), touched, marks]
        *sums, value, uses, marks = ranks.sum(parts)
        whole = dict(zip(gradients, sums, strict=True))
        most = marks.amax(1).tolist() if len(noticed) else []
        return value, whole, (uses == 0).tolist(), [int(n) for n in most]

    def _clipped(self, gradients: Params) -> tuple[Params, Params, Params]:
        """Clipped gradients by name, each group's norm before that, and the running
        means of norms, where the limit depends on them."""
        checked = dict(gradients)
        norms: Params = {}
        means: Params = {}
        for group in sorted({_group(name) for name in checked}):
            names = [name for name in checked if _group(name) == group]
            norm = torch.stack([checked[n].square().sum() for n in names]).sum().sqrt()
            norms[f"gradient of {group}"] = norm
            clip = self.optimizers[group].clip
            limit: Any = clip
            if isinstance(clip, RunningClip):
                limit, mean = clip.step(norm, self.moments[names[0]]["norm"])
                means |= dict.fromkeys(names, mean)
            if limit is not None:
                factor = torch.where(norm > limit, limit / norm, 1.0)
                checked |= {name: checked[name] * factor for name in names}
        return checked, norms, means

    def _check_finite(self, values: Mapping[str, Tensor]) -> float:
        """The first of some numbers, which must all be finite; read at once, as each
        read waits for the device."""
        numbers = torch.stack([value.detach() for value in values.values()]).tolist()
        for name, number in zip(values, numbers, strict=True):
            if not math.isfinite(number):
                raise DivergedError(
                    f"the {name} is {number} at step {self.step}; the summary of the "
                    "step before is kept (error.summary). Try a smaller learning rate "
                    "or clip=1.0",
                    step=self.step,
                    summary=self.summary(),
                )
        return float(numbers[0])

    def _judge(self) -> None:
        """Score the iterate when it is due; keep it if it is the best so far."""
        if self.select_best is None or self.step % self.select_best.every:
            return
        draw = self.parameterization.decode(replace(self, best={}).draw())
        rng = seeds.at(self.seed, "score", device=self.device)
        score = self.ranks.first(lambda: self.task.score(draw, rng))
        self.stale += 1
        if self.best_score is None or score > self.best_score:
            self.best, self.best_score, self.stale = self.averaged(), score, 0

    def _worn_out(self) -> bool:
        patience = None if self.select_best is None else self.select_best.patience
        return patience is not None and self.stale >= patience


NOTHING: tuple[int, ...] = ()
"""No notices."""

OWN = "objective."
"""Before the names of tensors that the objective learns."""


def _plain(name: str, tensor: Tensor) -> tuple[str, Any]:
    """A number and its name for the card: for a logarithm, what it is one of."""
    before, _, last = name.rpartition("log_")
    log = last != name and (not before or before.endswith("."))
    return (before + last, tensor.exp().tolist()) if log else (name, tensor.tolist())


def _group(name: str) -> str:
    return name.split("/")[0]


def _records(params: Params) -> Params:
    """The tensors of the synthetic set, without those of the objective."""
    return {name: t for name, t in params.items() if not name.startswith(OWN)}
