"""LSTM and GRU in both directions, with weights passed in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from multidd.protocols import Params
from multidd.text.models.layers import (
    Shapes,
    check,
    dropped,
    linear,
    max_over,
    mean_over,
    uniform,
)

__all__ = ["Recurrent"]

GATES = {"lstm": 4, "gru": 3}
ENDS = ("", "_reverse")
"""The two directions, as `torch.nn` names their weights."""


@dataclass(frozen=True)
class Recurrent:
    r"""LSTM or GRU over the words in both directions, pooled over time, linear layer.

    Equal to `nn.LSTM` and `nn.GRU` with `bidirectional=True` on the words without the
    padding. Written step by step, so that second derivatives exist on every device.

    Attributes:
        cell: `"lstm"` or `"gru"`.
        hidden: units of each direction.
        pool: `"mean"` or `"max"` over the words.
        dropout: share of the pooled features that are dropped in training.

    Reference:
        Hochreiter, Schmidhuber, "Long Short-Term Memory", Neural Computation 1997;
        Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
        Statistical Machine Translation", EMNLP 2014.

    Example:
        >>> from multidd.seeds import at
        >>> net = Recurrent("gru", hidden=8)
        >>> weights = net.weights(at(0, "net"), 1, dim=50, classes=6)
        >>> one = {name: w[0] for name, w in weights.items()}
        >>> x, mask = torch.zeros(2, 9, 50), torch.ones(2, 9)
        >>> [f.shape[1] for f in net.features(one, x, mask)]
        [16, 6]
    """

    cell: Literal["lstm", "gru"] = "lstm"
    hidden: int = 64
    pool: Literal["mean", "max"] = "mean"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.cell not in GATES:
            raise ValueError(f"cell must be 'lstm' or 'gru'; got {self.cell!r}")
        if self.pool not in ("mean", "max"):
            raise ValueError(f"pool must be 'mean' or 'max'; got {self.pool!r}")
        if self.hidden < 1:
            raise ValueError(f"hidden must be 1 or more; got {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1); got {self.dropout}")

    def weights(
        self, rng: torch.Generator, models: int, dim: int, classes: int
    ) -> Params:
        """`rnn.weight_ih_l0` `[k, gates * h, d]` and so on, as `torch.nn` has them."""
        h, rows = self.hidden, GATES[self.cell] * self.hidden
        shapes: Shapes = {}
        for end in ENDS:
            shapes[f"rnn.weight_ih_l0{end}"] = (rows, dim), h
            shapes[f"rnn.weight_hh_l0{end}"] = (rows, h), h
            shapes[f"rnn.bias_ih_l0{end}"] = (rows,), h
            shapes[f"rnn.bias_hh_l0{end}"] = (rows,), h
        shapes["head.weight"] = (classes, 2 * h), 2 * h
        shapes["head.bias"] = (classes,), 2 * h
        return uniform(rng, models, shapes)

    def features(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        rng: torch.Generator | None = None,
    ) -> list[Tensor]:
        """`[b, 2 * hidden]`, and logits `[b, c]`; see `Learner`."""
        check(x, mask, weights["rnn.weight_ih_l0"].shape[1])
        both, kept = _both_ways(x, mask)
        states = _CELLS[self.cell](*_directions(weights), both)  # L of [2, b, h]
        over = mean_over if self.pool == "mean" else max_over
        ahead, back = torch.stack(states, 2)  # [b, L, h] each
        hidden = torch.cat([over(ahead, kept), over(back, kept)], 1)
        return [hidden, linear(weights, "head", dropped(hidden, self.dropout, rng))]


def _both_ways(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`[2, b, L, d]`, the words forwards and backwards, padding last; and its mask.

    With the padding last no step has to look at the mask: what comes after the words
    is not pooled.
    """
    kept = mask != 0
    order = (~kept).to(torch.int8).argsort(dim=1, stable=True)  # [b, L], words first
    counts = kept.sum(1, keepdim=True)
    places = torch.arange(x.shape[1], device=x.device)
    inside = places < counts
    mirror = torch.where(inside, counts - 1 - places, places)
    orders = torch.stack([order, order.gather(1, mirror)])
    ways = x.expand(2, *x.shape)
    return ways.gather(2, orders[..., None].expand(ways.shape)), inside


def _directions(weights: Params) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Input and state weights, transposed, and their biases, of both directions."""
    names = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"
    into, onto, bias_in, bias_on = (
        torch.stack([weights[f"rnn.{name}{end}"] for end in ENDS]) for name in names
    )
    return into.mT, onto.mT, bias_in[:, None], bias_on[:, None]


def _inputs(into: Tensor, bias: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    """What every step adds to its gates: L of `[2, b, gates * h]`.

    Unbound, since the derivative of an index would fill the whole at each step.
    """
    steps_first = x.transpose(1, 2).contiguous()
    return (steps_first @ into[:, None] + bias[:, None]).unbind(1)


def _lstm(
    into: Tensor, onto: Tensor, bias_in: Tensor, bias_on: Tensor, x: Tensor
) -> list[Tensor]:
    steps = _inputs(into, bias_in + bias_on, x)
    state = cell = x.new_zeros(2, x.shape[1], onto.shape[1])
    states = []
    for step in steps:
        write, keep, new, show = torch.baddbmm(step, state, onto).chunk(4, -1)
        cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
        state = show.sigmoid() * cell.tanh()
        states.append(state)
    return states


def _gru(
    into: Tensor, onto: Tensor, bias_in: Tensor, bias_on: Tensor, x: Tensor
) -> list[Tensor]:
    steps = _inputs(into, bias_in, x)
    width = onto.shape[1]
    state = x.new_zeros(2, x.shape[1], width)
    states = []
    for step in steps:
        from_state = state @ onto + bias_on
        gates = (step[..., : 2 * width] + from_state[..., : 2 * width]).sigmoid()
        reset, keep = gates.chunk(2, -1)
        new = (step[..., 2 * width :] + reset * from_state[..., 2 * width :]).tanh()
        state = new + keep * (state - new)
        states.append(state)
    return states


_CELLS: dict[str, Callable[..., list[Tensor]]] = {"lstm": _lstm, "gru": _gru}
