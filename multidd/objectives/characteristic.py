"""NCFM's distance: characteristic functions of embeddings."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from multidd import seeds
from multidd.objectives.statistics import Embedded

__all__ = ["Characteristic"]


@dataclass(frozen=True)
class Characteristic:
    r"""Distance of empirical characteristic functions, amplitude and phase.

    With $\Phi(t) = \frac1n \sum_i e^{i \langle t, f_i \rangle}$ over the rows of a
    class, f scaled to unit length, and frequencies $t \sim N(0, \sigma^2 I)$:

    $$\sum_c w_c \frac1T \sum_t \sqrt{\alpha (|\Phi_S| - |\Phi_T|)^2
      + (1 - \alpha)\, 2 (|\Phi_S||\Phi_T| - \mathrm{Re}\, \Phi_S \bar\Phi_T)}.$$

    The frequencies are fixed by `seed` and the width of the layer. (The paper learns a
    network that proposes them; its released configurations turn that off.)

    Attributes:
        frequencies: T.
        scale: $\sigma$.
        amplitude: $\alpha$; the rest is phase.
        seed: of the frequencies.
        weight: factor on the term.

    Reference:
        Wang et al., "Dataset Distillation with Neural Characteristic Function: A
        Minmax Perspective", CVPR 2025.

    Example:
        >>> Characteristic(frequencies=64).amplitude
        0.5
    """

    frequencies: int = 1024
    scale: float = 1.0
    amplitude: float = 0.5
    seed: int = 0
    weight: float = 300.0

    def __call__(self, ours: Embedded, theirs: Embedded) -> Tensor:
        """Weighted mean distance over the frequencies."""
        s, t = self._function(ours), self._function(theirs)  # each two [k, c, T]
        sizes = [(re.square() + im.square() + _TINY).sqrt() for re, im in (s, t)]
        along = s[0] * t[0] + s[1] * t[1]
        phase = 2 * (sizes[0] * sizes[1] - along)
        size = (sizes[0] - sizes[1]).square()
        inside = self.amplitude * size + (1 - self.amplitude) * phase
        # The root has an infinite slope at zero: equal sets would give NaN.
        apart = (inside.clamp(min=0) + _TINY).sqrt().mean(-1)
        return self.weight * (apart @ ours.share(apart))

    def _function(self, batch: Embedded) -> tuple[Tensor, Tensor]:
        rows = batch.layers[-2]  # [k, b, h]
        length = (rows.square().sum(-1, keepdim=True) + _TINY).sqrt()
        angles = (rows / length) @ self._grid(rows)
        return batch.classes.mean(angles.cos()), batch.classes.mean(angles.sin())

    def _grid(self, rows: Tensor) -> Tensor:
        width = rows.shape[-1]
        rng = seeds.at(self.seed, "frequencies", width)
        grid = torch.randn(width, self.frequencies, generator=rng, dtype=torch.float64)
        return (self.scale * grid).to(rows)


_TINY = math.ulp(1.0)
