r"""Losses of regressions on a growing set of points, with every candidate scored.

Letters: n records, N candidates, m points picked of them; c classes. P is the kernel
of candidates with records, each column times the root of the weight of its record, so
that $P P^\top$ sums over records. Points enter and leave by updates of rank one: of all
candidates at once, at the cost of one product of a matrix `[m, N]` and a vector.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["CandidateColumn", "HardLabelLoss", "PursuitLoss", "SoftLabelLoss"]

_MIN_RESIDUAL = {torch.float32: 1e-6, torch.float64: 1e-12}
"""A candidate whose part outside the span of the picks is a smaller share than this
of its length: rounding in the precision of its kernel, not a part."""


@dataclass(frozen=True)
class CandidateColumn:
    """Kernel columns of a candidate that is picked.

    Attributes:
        row: which candidate.
        kernel: `[N]`, its kernel with every candidate.
        product: `[N]`, its column of $P P^\\top$.
    """

    row: int
    kernel: Tensor
    product: Tensor


class PursuitLoss(Protocol):
    """A loss that knows the picks so far."""

    cost: float
    """Of the picks."""

    def gains(self) -> Tensor:
        """`[N]`, by how much each candidate would lower the loss."""

    def swapped(self, place: int, rows: Tensor) -> Tensor:
        """The loss with each candidate of `rows` instead of the pick at a place."""

    def add(self, column: CandidateColumn) -> None:
        """Append a pick."""

    def drop(self, place: int) -> None:
        """Take a pick away; those behind it move up."""


class SoftLabelLoss:
    r"""Kernel ridge regression with the best labels that the points can carry.

    $$\min_\alpha \lVert T - P_S^\top \alpha \rVert^2 + \lambda\, \alpha^\top K_{SS}
    \alpha,$$

    which orthogonal matching pursuit lowers, candidate by candidate: with
    $M = P P^\top + \lambda K$ and $V = P T$, candidate j gains $\lVert r_j \rVert^2 /
    s_j$, where $r = V - M_{:S} \alpha$ and $s_j$ is the Schur complement of j.

    Args:
        reach: P, `[N, n]`.
        targets: T, `[n, c]`, each row times the root of its weight.
        diagonal: `[N]`, of the kernel.
        ridge: $\lambda$, absolute.
    """

    def __init__(
        self, reach: Tensor, targets: Tensor, diagonal: Tensor, ridge: float
    ) -> None:
        self.ridge = ridge
        self.r = (reach @ targets).double()
        self.s = reach.square().sum(1).double() + ridge * diagonal.double()
        self.floor = _MIN_RESIDUAL[reach.dtype] * self.s
        self.cost = float(targets.double().square().sum())
        none = self.s.new_zeros(0, len(self.s))
        self.columns, self.u = none, none
        self.dual, self.inverse = self.r[:0], none[:, :0]

    def gains(self) -> Tensor:
        """See `Loss`."""
        return self.r.square().sum(1) / self.s.clamp(min=self.floor)

    def swapped(self, place: int, rows: Tensor) -> Tensor:
        """See `Loss`."""
        b, u = self.inverse[place, place], self.u[place, rows]
        left = self.dual[place] / b
        r = self.r[rows] + u[:, None] * left
        s = (self.s[rows] + u.square() / b).clamp(min=self.floor[rows])
        return self.cost + b * left.square().sum() - r.square().sum(1) / s

    def add(self, column: CandidateColumn) -> None:
        """See `Loss`."""
        p, whole = column.row, column.product + self.ridge * column.kernel
        u, s = self.u[:, p].clone(), self.s[p].clamp(min=self.floor[p])
        v = (whole - u @ self.columns) / s
        gain = self.r[p] / s
        self.cost -= float(s * gain.square().sum())
        self.r = self.r - torch.outer(s * v, gain)
        self.s = self.s - s * v.square()
        self.dual = torch.cat([self.dual - torch.outer(u, gain), gain[None]])
        self.columns = torch.cat([self.columns, whole[None]])
        self.u = _grown(self.u, u, v)
        self.inverse = _bordered(self.inverse, u, s)

    def drop(self, place: int) -> None:
        """See `Loss`."""
        mine = self.inverse[:, place].clone()
        b, u = mine[place], self.u[place].clone()
        left = self.dual[place] / b
        self.cost += float(b * left.square().sum())
        self.r = self.r + torch.outer(u, left)
        self.s = self.s + u.square() / b
        self.dual = _without(self.dual - torch.outer(mine, left), place)
        self.columns = _without(self.columns, place)
        self.u = _without(self.u - torch.outer(mine, u / b), place)
        inverse = self.inverse - torch.outer(mine, mine / b)
        self.inverse = _without(_without(inverse, place).mT, place)


class HardLabelLoss:
    r"""Kernel ridge regression on the picks' own labels: what plain training sees.

    $$\lVert T - P_S^\top (K_{SS} + \mu I)^{-1} Y_S \rVert^2$$

    With $d_j = P_j - P_S^\top (K_{SS} + \mu I)^{-1} K_{Sj}$, what candidate j adds to
    the span, and $\beta_j$ the error at j over its Schur complement, the error R on the
    records becomes $R - d_j \beta_j^\top$. Of $d_j$ only products are kept.

    Args:
        reach: P, `[N, n]`.
        targets: T, `[n, c]`, each row times the root of its weight.
        diagonal: `[N]`, of the kernel.
        labels: `[N, c]`, Y of the candidates.
        ridge: $\mu$, absolute.
    """

    def __init__(
        self,
        reach: Tensor,
        targets: Tensor,
        diagonal: Tensor,
        labels: Tensor,
        ridge: float,
    ) -> None:
        self.slope = (reach @ targets).double()  # d_j' R
        self.length = reach.square().sum(1).double()  # d_j' d_j
        self.s = diagonal.double() + ridge
        self.miss = labels.double()
        self.cost = float(targets.double().square().sum())
        none = self.s.new_zeros(0, len(self.s))
        self.columns, self.products, self.u, self.reached = none, none, none, none
        self.dual, self.inverse, self.within = self.miss[:0], none[:, :0], none[:, :0]
        self.fit = self.miss[:0]  # [m, c], P_S R

    def gains(self) -> Tensor:
        """See `Loss`."""
        beta = self.miss / self.s[:, None]
        return _fall(self.slope, self.length, beta)

    def swapped(self, place: int, rows: Tensor) -> Tensor:
        """See `Loss`."""
        cost, slope, length, s, miss = self._left(place, rows)
        return cost - _fall(slope, length, miss / s[:, None])

    def _left(
        self, place: int, rows: Tensor | slice
    ) -> tuple[float, Tensor, Tensor, Tensor, Tensor]:
        """Cost, slopes, lengths, Schur complements and errors without a pick."""
        mine = self.inverse[:, place]
        b, u = mine[place], self.u[place, rows]
        left = self.dual[place] / b
        along, share = mine @ self.reached[:, rows], u / b  # h' d_j, h = P_S' mine
        width = mine @ self.within @ mine  # h' h
        slope = mine @ self.fit  # h' R
        cost = self.cost + float(2 * left @ slope + width * left.square().sum())
        return (
            cost,
            self.slope[rows]
            + torch.outer(along + share * width, left)
            + torch.outer(share, slope),
            self.length[rows] + 2 * share * along + share.square() * width,
            self.s[rows] + u * share,
            self.miss[rows] + torch.outer(u, left),
        )

    def add(self, column: CandidateColumn) -> None:
        """See `Loss`."""
        p, (m, _) = column.row, self.u.shape
        u, s = self.u[:, p].clone(), self.s[p].clone()
        v = (column.kernel - u @ self.columns) / s
        beta = self.miss[p] / s
        near = column.product - self.products[:, p] @ self.u  # P_p d_j
        along = near - u @ self.reached  # d_p' d_j
        width, slope = self.length[p].clone(), self.slope[p].clone()
        self.cost -= float(2 * slope @ beta - width * beta.square().sum())
        self.slope = (
            self.slope - torch.outer(along, beta) - torch.outer(v, slope - width * beta)
        )
        self.length = self.length - 2 * v * along + v.square() * width
        self.miss = self.miss - torch.outer(s * v, beta)
        self.s = self.s - s * v.square()
        ours = self.reached[:, p]  # P_S d_p
        # P_p R = d_p' R + u' P_S R before beta is taken off.
        theirs = slope + u @ self.fit - near[p] * beta
        self.fit = torch.cat([self.fit - torch.outer(ours, beta), theirs[None]])
        reached = self.reached - torch.outer(ours, v)
        self.reached = torch.cat([reached, (near - v * near[p])[None]])
        row = self.products[:, p]
        self.within = torch.cat(
            [
                torch.cat([self.within, row[:, None]], 1),
                torch.cat([row, column.product[p : p + 1]])[None],
            ]
        ).reshape(m + 1, m + 1)
        self.dual = torch.cat([self.dual - torch.outer(u, beta), beta[None]])
        self.columns = torch.cat([self.columns, column.kernel[None]])
        self.products = torch.cat([self.products, column.product[None]])
        self.u = _grown(self.u, u, v)
        self.inverse = _bordered(self.inverse, u, s)

    def drop(self, place: int) -> None:
        """See `Loss`."""
        mine = self.inverse[:, place].clone()
        b, u = mine[place], self.u[place].clone()
        left, across = self.dual[place] / b, self.within @ mine  # P_S h
        self.cost, self.slope, self.length, self.s, self.miss = self._left(
            place, slice(None)
        )
        self.fit = _without(self.fit + torch.outer(across, left), place)
        self.reached = _without(self.reached + torch.outer(across, u / b), place)
        self.within = _without(_without(self.within, place).mT, place)
        self.dual = _without(self.dual - torch.outer(mine, left), place)
        self.columns = _without(self.columns, place)
        self.products = _without(self.products, place)
        self.u = _without(self.u - torch.outer(mine, u / b), place)
        inverse = self.inverse - torch.outer(mine, mine / b)
        self.inverse = _without(_without(inverse, place).mT, place)


def _fall(slope: Tensor, length: Tensor, beta: Tensor) -> Tensor:
    """By how much the squared error falls with steps beta along directions."""
    return 2 * (slope * beta).sum(1) - length * beta.square().sum(1)


def _grown(u: Tensor, mine: Tensor, v: Tensor) -> Tensor:
    """$M_{SS}^{-1} M_{S:}$ with one more row in S."""
    return torch.cat([u - torch.outer(mine, v), v[None]])


def _bordered(inverse: Tensor, u: Tensor, s: Tensor) -> Tensor:
    """The inverse of a matrix with one more row and column."""
    inner = inverse + torch.outer(u, u / s)
    side = -u / s
    last = torch.cat([side, (1 / s)[None]])
    return torch.cat([torch.cat([inner, side[:, None]], 1), last[None]])


def _without(rows: Tensor, place: int) -> Tensor:
    return torch.cat([rows[:place], rows[place + 1 :]])
