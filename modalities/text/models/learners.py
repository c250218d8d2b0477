"""Learners on token vectors: `[b, L, d]` and a mask to features and logits.

Each is frozen settings. Weights are passed in, so that they may be learned through,
and every operation has a second derivative.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
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

__all__ = ["LEARNERS", "Learner", "MeanVectors", "Recurrent", "TextCNN", "learner"]


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
        both, present = _both_ways(x, mask)
        states = _CELLS[self.cell](*_directions(weights), both)  # L of [2, b, h]
        over = mean_over if self.pool == "mean" else max_over
        ahead, back = torch.stack(states, 2)  # [b, L, h] each
        hidden = torch.cat([over(ahead, present), over(back, present)], 1)
        return [hidden, linear(weights, "head", dropped(hidden, self.dropout, rng))]


def _both_ways(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`[2, b, L, d]`, the words forwards and backwards, padding last; and its mask.

    With the padding last no step has to look at the mask: what comes after the words
    is not pooled.
    """
    present = mask != 0
    order = (~present).to(torch.int8).argsort(dim=1, stable=True)  # [b, L], words first
    counts = present.sum(1, keepdim=True)
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


class Learner(Protocol):
    """Any frozen settings with these two."""

    def weights(
        self, rng: torch.Generator, models: int, dim: int, classes: int
    ) -> Params:
        """Fresh weights `[k, ...]` of `models` models for vectors of width `dim`."""

    def features(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        rng: torch.Generator | None = None,
    ) -> list[Tensor]:
        """`[b, h]` that the last layer sees, and logits `[b, c]`, under one model.

        Padding changes nothing. `rng` draws dropout, and is left out in evaluation.
        """


@dataclass(frozen=True)
class TextCNN:
    r"""Convolutions over words, ReLU, the largest value over time, a linear layer.

    Feature f of width w is $\max_t \mathrm{relu}(b_f + \sum_{i<w} W_{fi} \cdot
    x_{t+i})$ over all windows that hold a word; beyond a text lie zeros, so that a
    text shorter than a window has its features too.

    Attributes:
        filters: of each width.
        widths: of the windows, in words.
        dropout: share of the features that are dropped in training.

    Reference:
        Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014.

    Example:
        >>> from multidd.seeds import at
        >>> net = TextCNN(filters=8)
        >>> weights = net.weights(at(0, "net"), 1, dim=50, classes=6)
        >>> one = {name: w[0] for name, w in weights.items()}
        >>> x, mask = torch.zeros(2, 9, 50), torch.ones(2, 9)
        >>> [f.shape[1] for f in net.features(one, x, mask)]
        [24, 6]
    """

    filters: int = 100
    widths: tuple[int, ...] = (3, 4, 5)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.filters < 1 or not self.widths or min(self.widths) < 1:
            raise ValueError(
                "filters must be 1 or more, and widths at least one, each 1 or more; "
                f"got {self.filters} and {self.widths}"
            )
        _check_share(self.dropout)

    def weights(
        self, rng: torch.Generator, models: int, dim: int, classes: int
    ) -> Params:
        """`conv<w>.weight` `[k, filters, d, w]` and so on, as `nn.Conv1d` has them."""
        shapes: Shapes = {}
        for width in self.widths:
            fan_in = dim * width
            shapes[f"conv{width}.weight"] = (self.filters, dim, width), fan_in
            shapes[f"conv{width}.bias"] = (self.filters,), fan_in
        total = self.filters * len(self.widths)
        return uniform(rng, models, shapes | _head(total, classes))

    def features(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        rng: torch.Generator | None = None,
    ) -> list[Tensor]:
        """`[b, filters * widths]`, and logits `[b, c]`; see `Learner`."""
        check(x, mask, weights[f"conv{self.widths[0]}.weight"].shape[1])
        present = (mask != 0).to(x.dtype)
        x = x * present[..., None]
        features = [_largest(weights, width, x, present) for width in self.widths]
        hidden = torch.cat(features, 1)
        return [hidden, linear(weights, "head", dropped(hidden, self.dropout, rng))]


def _largest(weights: Params, width: int, x: Tensor, present: Tensor) -> Tensor:
    """`[b, f]`, the largest of each filter over the windows that hold a word."""
    edge = width - 1
    windows = F.pad(x, (0, 0, edge, edge)).unfold(1, width, 1)  # [b, L', d, w]
    weight = weights[f"conv{width}.weight"].flatten(1)
    values = (windows.flatten(2) @ weight.mT + weights[f"conv{width}.bias"]).relu()
    held = F.pad(present, (edge, edge)).unfold(1, width, 1).amax(2)  # [b, L']
    return (values * held[..., None]).amax(1)  # relu leaves nothing below zero


@dataclass(frozen=True)
class MeanVectors:
    """The mean of the word vectors, ReLU layers, a linear layer.

    Attributes:
        hidden: widths of the layers between; none for a linear model.
        dropout: share of the last features that are dropped in training.

    Reference:
        Iyyer, Manjunatha, Boyd-Graber, Daume III, "Deep Unordered Composition Rivals
        Syntactic Methods for Text Classification", ACL 2015.

    Example:
        >>> from multidd.seeds import at
        >>> weights = MeanVectors().weights(at(0, "net"), 1, dim=50, classes=6)
        >>> sorted(weights)
        ['head.bias', 'head.weight']
    """

    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.hidden and min(self.hidden) < 1:
            raise ValueError(f"hidden widths must be 1 or more; got {self.hidden}")
        _check_share(self.dropout)

    def weights(
        self, rng: torch.Generator, models: int, dim: int, classes: int
    ) -> Params:
        """`layer<i>.weight` `[k, o, i]` and so on, as `nn.Linear` has them."""
        shapes: Shapes = {}
        sizes = (dim, *self.hidden)
        for i, width in enumerate(self.hidden):
            shapes[f"layer{i}.weight"] = (width, sizes[i]), sizes[i]
            shapes[f"layer{i}.bias"] = (width,), sizes[i]
        return uniform(rng, models, shapes | _head(sizes[-1], classes))

    def features(
        self,
        weights: Params,
        x: Tensor,
        mask: Tensor,
        rng: torch.Generator | None = None,
    ) -> list[Tensor]:
        """`[b, h]`, and logits `[b, c]`; see `Learner`."""
        first = "layer0" if self.hidden else "head"
        check(x, mask, weights[f"{first}.weight"].shape[1])
        hidden = mean_over(x, mask)
        for i in range(len(self.hidden)):
            hidden = linear(weights, f"layer{i}", hidden).relu()
        return [hidden, linear(weights, "head", dropped(hidden, self.dropout, rng))]


def _head(width: int, classes: int) -> Shapes:
    return {
        "head.weight": ((classes, width), width),
        "head.bias": ((classes,), width),
    }


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise ValueError(f"dropout must be in [0, 1); got {share}")


LEARNERS: dict[str, Callable[..., Any]] = {
    "textcnn": TextCNN,
    "lstm": lambda **settings: Recurrent("lstm", **settings),
    "gru": lambda **settings: Recurrent("gru", **settings),
    "linear": MeanVectors,
    "mlp": lambda hidden=(128,), **settings: MeanVectors(hidden, **settings),
}


def learner(name: str, **settings: Any) -> Learner:
    """A learner by name.

    Args:
        name: `"textcnn"`, `"lstm"`, `"gru"`, `"mlp"` or `"linear"`.
        settings: of `TextCNN`, `Recurrent` or `MeanVectors`.

    Raises:
        ValueError: no such learner.

    Example:
        >>> learner("textcnn", filters=10)
        TextCNN(filters=10, widths=(3, 4, 5), dropout=0.0)
    """
    if name not in LEARNERS:
        raise ValueError(f"learner must be one of {', '.join(LEARNERS)}; got {name!r}")
    return LEARNERS[name](**settings)
