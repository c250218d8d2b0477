"""Decoupled recovery: SRe2L's statistics of a trained model."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ulp
from typing import Any, ClassVar

import torch
from torch import Tensor

from multidd import seeds
from multidd.learning.functional import embed
from multidd.learning.states import Frozen
from multidd.protocols import Batch, Objective, Params, Task, Tree


@dataclass(frozen=True)
class Recovery(Objective):
    r"""Decoupled recovery (SRe2L): cross-entropy and feature statistics of a model.

    $$\frac1m \sum_i \mathrm{CE}(f_\theta(s_i), y_i) + r \sum_l a_l \big(
      \lVert \mu^S_l - \mu_l \rVert + \lVert v^S_l - v_l \rVert \big)$$

    with mean and variance of each channel of a hidden layer, over the rows of a batch
    and the places of a map. Those of the real set are recorded once, through
    `task.features`, so that the model needs no batch norm; a paper that reads them off
    batch norms looks in front of each norm, here it is what each layer puts out. The
    real set takes no further part. Statistics are under views, as the models were
    trained; one view of the task is drawn at each step.

    Attributes:
        states: the models, trained on the real set and frozen.
        weight: r.
        first_layer_weight: $a_l$ of the first layer; 1 for the others.
        channels: of each hidden layer, whose entries lie channel by channel; None
            takes each entry for a channel.
        batches: real batches over which the statistics are recorded.

    Reference:
        Yin, Xing, Shen, "Squeeze, Recover and Relabel: Dataset Condensation at
        ImageNet Scale From A New Perspective", NeurIPS 2023.

    Example:
        >>> Recovery(Frozen(steps=100), weight=0.1).first_layer_weight
        10.0
    """

    lower_precision: ClassVar[bool] = True
    differentiates_once: ClassVar[bool] = True

    states: Frozen = Frozen()
    weight: float = 0.01
    first_layer_weight: float = 10.0
    channels: tuple[int, ...] | None = None
    batches: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.states, Frozen):
            raise TypeError(
                "states must be Frozen: statistics are recorded once, of models that "
                f"stay as they are; got {self.states!r}"
            )
        if not (self.weight >= 0 and self.first_layer_weight >= 0):
            raise ValueError(
                "weight and first_layer_weight must be 0 or more, got "
                f"{self.weight} and {self.first_layer_weight}"
            )
        if self.batches < 1:
            raise ValueError(f"batches must be 1 or more, got {self.batches}")

    def init(self, task: Task[Any], rng: torch.Generator) -> Tree:
        """The trained models and the real set's statistics.

        Raises:
            ValueError: channels that do not fit the model's hidden layers.
        """
        self._check(task, rng.device)
        state = self.states.init(task, rng)
        parts = []
        with torch.no_grad():
            for _ in range(self.batches):
                batch = task.view(rng)(task.batch(rng))
                for rows in torch.arange(_size(task, batch)).split(CHUNK):
                    part = task.take(batch, rows.to(rng.device))
                    hidden = embed(task, state["weights"], part)[:-1]
                    parts.append((len(rows), self._moments(hidden)))
        return {**state, "moments": _merged(parts)}

    def loss(
        self, task: Task[Any], state: Tree, synthetic: Batch, rng: torch.Generator
    ) -> Tensor:
        """Mean over the models of cross-entropy and distance of statistics."""
        shown = task.view(rng)(synthetic)
        *hidden, logits = embed(task, state["weights"], shown)  # [k, m, h] each
        targets = task.targets(shown).to(logits.dtype)
        total = -(logits.log_softmax(-1) * targets).sum(-1).mean(-1)
        real = state["moments"]
        for name, moment in self._moments(hidden).items():
            size = self.first_layer_weight if name in ("mean/0", "variance/0") else 1.0
            gap = (moment - real[name].to(moment)).square().sum(-1)
            # The root has an infinite slope at zero: equal sets would give NaN.
            total = total + self.weight * size * (gap + ulp(1.0)).sqrt()
        return total.mean()

    def _moments(self, hidden: Sequence[Tensor]) -> Params:
        """`[k, ch]`, mean and variance of each channel of each layer."""
        moments = {}
        for place, layer in enumerate(hidden):
            channels = (
                layer.shape[-1] if self.channels is None else self.channels[place]
            )
            maps = layer.unflatten(-1, (channels, -1))  # [k, b, ch, places]
            mean = maps.mean((1, 3))
            apart = maps - mean[:, None, :, None]
            moments[f"mean/{place}"] = mean
            moments[f"variance/{place}"] = apart.square().mean((1, 3))
        return moments

    def _check(self, task: Task[Any], device: torch.device) -> None:
        """Refuse channels that do not fit, before any model is trained."""
        if self.channels is None:
            return
        rng = seeds.at(0, "channels", device=device)
        batch = task.batch(rng)
        batch = task.take(
            batch, torch.arange(min(2, _size(task, batch))).to(rng.device)
        )
        with torch.no_grad():
            hidden = embed(task, task.weights(rng, 1), batch)[:-1]
        sizes = [layer.shape[-1] for layer in hidden]
        fits = len(sizes) == len(self.channels) and all(
            0 < c and size % c == 0
            for c, size in zip(self.channels, sizes, strict=True)
        )
        if not fits:
            raise ValueError(
                f"channels must be one number for each hidden layer, which divides "
                f"its size; layers of {sizes}, got {self.channels}"
            )


CHUNK = 256
"""Real records whose layers are kept at a time."""


def _size(task: Task[Any], batch: Batch) -> int:
    return len(task.targets(batch))


def _merged(parts: Sequence[tuple[int, Params]]) -> Params:
    """Moments of all parts together: means of means, and what they are apart."""
    total = sum(size for size, _ in parts)
    names = [n.removeprefix("mean/") for n in parts[0][1] if n.startswith("mean/")]
    merged: Params = {}
    for name in names:
        means, spreads = (
            torch.stack([part[f"{moment}/{name}"] for _, part in parts])
            for moment in ("mean", "variance")
        )
        share = torch.tensor([size / total for size, _ in parts]).to(means)
        share = share[:, None, None]
        mean = (share * means).sum(0)
        merged[f"mean/{name}"] = mean
        apart = spreads + (means - mean).square()
        merged[f"variance/{name}"] = (share * apart).sum(0)
    return merged
