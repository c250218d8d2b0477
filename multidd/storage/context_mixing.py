"""Context mixing: symbols coded by what several contexts expect of each.

A tensor is read as steps of lanes, such as the pixels of all images, one pixel at a
step. Bits of a symbol are coded from the highest on: each context (the symbol before,
the one above, the mean of the lane, ...) has counted zeros and ones, a mixer that
learns weighs the logits of these counts, and rANS codes the bit by the probability.
Reader and writer learn the same from what was coded before, by whole numbers alone:
every machine decodes the same symbols.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np

__all__ = ["MAX_DECISIONS", "decode", "encode"]

Array: TypeAlias = "np.ndarray[Any, Any]"
Code: TypeAlias = Callable[[Array, slice], Array]

MAX_DECISIONS = 2**22
"""Bits of all symbols, at most: eight seconds of coding, also of a hostile file."""
CHUNK, MAX_CHUNK = 32, 256
"""Lanes between two moments of learning: at the start of a step, and later."""
ONE = 2**16
"""The probability of one: those that are coded are whole numbers below."""
LOGITS = 2047
"""The largest logit, in 256ths: probabilities stay above 1 / 3000."""
MEANS, COARSE = 64, 16
"""Classes of the mean of a lane, alone and beside another context."""
MAX_COUNT = 1000
"""Bits that a context counts before it halves what it knows."""
RATE, STEADY = 1024, 256
"""Of the mixer, in 2 ** -18, and how many bits it would take for a whole step."""
START = ONE // 6
"""Weight of each context at the start, in 2 ** -16."""
WORD, MAX_STATES = 16, 64
"""Bits that leave a state of rANS at once, and states side by side."""


@cache
def _tables() -> tuple[Array, Array]:
    """Probability by logit, and logit by the 12 high bits of a probability.

    Odds are powers of 257 / 256, whose logarithm is nearly 1 / 256: exact in whole
    numbers.
    """
    squashed = np.zeros(2 * LOGITS + 1, np.int64)
    above, below = 1, 1
    for logit in range(LOGITS + 1):
        share = ONE * above // (above + below)
        squashed[LOGITS + logit], squashed[LOGITS - logit] = share, ONE - share
        above, below = 257 * above, 256 * below
    middles = (squashed[:-1] + squashed[1:] + 1) // 2
    places = np.arange(ONE >> 4) * 16 + 8
    return squashed, np.searchsorted(middles, places, side="right") - LOGITS


@dataclass(frozen=True)
class _Layout:
    """How symbols stand.

    Attributes:
        steps: sizes of the axes that are walked along.
        lanes: symbols of a step.
        bits: of a symbol.
    """

    steps: tuple[int, ...]
    lanes: int
    bits: int

    @classmethod
    def of(cls, shape: Sequence[int], axis: int, bits: int) -> "_Layout":
        """That of a tensor, with the lanes along one axis."""
        steps = tuple(size for n, size in enumerate(shape) if n != axis)
        return cls(steps, shape[axis], bits)

    @property
    def count(self) -> int:
        """Steps in all."""
        return int(np.prod(self.steps, dtype=np.int64))

    @property
    def offsets(self) -> tuple[int, int, int]:
        """Steps back to the symbol above, to that before it, and to the last plane; 0
        where there is none."""
        if len(self.steps) < 2:
            return 0, 0, 0
        width = self.steps[-1]
        plane = int(np.prod(self.steps[1:], dtype=np.int64))
        return width, width + 1, plane if len(self.steps) > 2 else 0

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Lanes between two moments of learning: few at the start of a step."""
        spans, start, size = [], 0, CHUNK
        while start < self.lanes:
            spans.append(slice(start, min(start + size, self.lanes)))
            start += size
            size = min(2 * size, MAX_CHUNK)
        return tuple(spans)

    @property
    def states(self) -> int:
        """States of rANS: few where few symbols would have to pay for them."""
        decisions = self.count * self.lanes * self.bits
        return max(1, min(MAX_STATES, decisions >> 11))


class _Model:
    """What is expected of each symbol, learned from those before."""

    def __init__(self, layout: _Layout) -> None:
        self.layout = layout
        self.squashed, self.logits = _tables()
        self.symbols = np.zeros((layout.count, layout.lanes), np.int64)
        self.sums = np.zeros(layout.lanes, np.int64)
        # A mean that forgets, in 256ths: halfway between all symbols at first.
        self.recent = np.full(layout.lanes, 2**layout.bits << 7, np.int64)
        self.drop = max(layout.bits - 4, 0)  # neighbours by their high bits
        few = 1 << (layout.bits - self.drop)
        sizes = [1, COARSE, MEANS, COARSE * few, MEANS, few**2]
        if len(layout.steps) > 1:
            sizes += [few**2, few**3]
        if len(layout.steps) > 2 and layout.steps[0] > 1:
            sizes += [few**2]
        self.few = few
        # Tables of all contexts stand behind each other; the first two are of a step.
        self.starts = np.cumsum([0, *sizes[:-1]])[:, None]
        self.of_step = 1 + COARSE
        slots = sum(sizes) << layout.bits
        self.ones, self.totals = np.zeros((2, slots), np.int64)
        self.weights = np.full((1 << layout.bits, len(sizes) + 1), START, np.int64)

    def contexts(self, step: int, span: slice) -> Array:
        """`[k, n]`, the place of each context's table for some lanes of a step."""
        layout, drop, few = self.layout, self.drop, self.few
        zeros = np.zeros(len(self.sums[span]), np.int64)

        def back(offset: int) -> Array:
            there = 0 < offset <= step
            return self.symbols[step - offset, span] >> drop if there else zeros

        scale = max(step, 1) << layout.bits
        mean = self.sums[span] * MEANS // scale
        coarse = mean * COARSE // MEANS
        recent = self.recent[span] * MEANS >> (8 + layout.bits)
        last, above = back(1), back(layout.offsets[0])
        places = [zeros, coarse, mean, coarse * few + last, recent]
        places += [last * few + back(2)]
        if len(layout.steps) > 1:
            both = last * few + above
            places += [both, both * few + back(layout.offsets[1])]
        if len(self.starts) > len(places):
            places += [last * few + back(layout.offsets[2])]
        return (np.stack(places) + self.starts) << layout.bits

    def walk(self, code: Code) -> Array:
        """`[steps, lanes]`, all symbols, by a coder of bits with given probabilities.

        Args:
            code: probabilities of ones `[n]`, of 2 ** 16, and the lanes -> bits `[n]`.
        """
        layout = self.layout
        for step in range(layout.count):
            self.ones[: self.of_step << layout.bits] = 0
            self.totals[: self.of_step << layout.bits] = 0
            for span in layout.spans:
                tables = self.contexts(step, span)
                nodes = np.ones(tables.shape[1], np.int64)
                for _ in range(layout.bits):
                    nodes = 2 * nodes + self._bits(tables + nodes, nodes, span, code)
                symbols = nodes - (1 << layout.bits)
                self.symbols[step, span] = symbols
                self.sums[span] += symbols
                self.recent[span] += ((symbols << 8) - self.recent[span]) >> 2
        return self.symbols

    def _bits(self, slots: Array, nodes: Array, span: slice, code: Code) -> Array:
        """`[n]` bits of some lanes, and what they teach.

        Args:
            slots: `[k, n]`, the counts that each context has for the bit.
            nodes: `[n]`, the bits of each symbol before, behind a one.
        """
        ones, totals = self.ones[slots], self.totals[slots]
        # One half of a bit more of each: what was never seen is not impossible.
        shares = (2 * ones + 1) * (ONE >> 1) // (totals + 1)
        inputs = np.empty((len(slots) + 1, len(nodes)), np.int64)
        inputs[:-1], inputs[-1] = self.logits[shares >> 4], 256
        mixed = (inputs * self.weights[nodes].T).sum(0) >> 16
        probabilities = self.squashed[mixed.clip(-LOGITS, LOGITS) + LOGITS]
        bits = code(probabilities, span)
        self._learn(inputs, bits * ONE - probabilities, nodes)
        flat = slots.ravel()
        np.add.at(self.totals, flat, 1)
        np.add.at(self.ones, flat, np.tile(bits, len(slots)))
        full = np.unique(flat[self.totals[flat] > MAX_COUNT])
        while full.size:
            self.ones[full] >>= 1
            self.totals[full] >>= 1
            full = full[self.totals[full] > MAX_COUNT]
        return bits

    def _learn(self, inputs: Array, errors: Array, nodes: Array) -> None:
        """A step of the weights of each node, by its mean gradient: shorter where that
        is the mean of few."""
        counts = np.bincount(nodes, minlength=len(self.weights))
        sums = np.zeros_like(self.weights)
        np.add.at(sums, nodes, (inputs * errors).T)
        self.weights += sums * RATE // ((counts[:, None] + STEADY) << 18)


# --- rANS ---------------------------------------------------------------------


def _freeze(bits: Array, probabilities: Array) -> tuple[Array, Array]:
    """Width and start of each bit's part of `0 .. 2 ** 16`: ones first."""
    widths = np.where(bits == 1, probabilities, ONE - probabilities)
    return widths.astype(np.uint64), np.where(bits == 1, 0, probabilities)


def encode(symbols: Array, axis: int, bits: int) -> bytes:
    """The stream of some symbols.

    Args:
        symbols: whole numbers below `2 ** bits`, in the shape of their tensor, which
            has two axes or more.
        axis: along which lanes stand side by side: the others are walked along.
        bits: of a symbol, 1 to 8.

    Example:
        >>> ramp = np.arange(64).reshape(1, 8, 8).repeat(50, axis=0) // 8
        >>> stream = encode(ramp, 0, 3)
        >>> len(stream) < 300, np.array_equal(decode(stream, (50, 8, 8), 0, 3), ramp)
        (True, True)
    """
    layout = _Layout.of(symbols.shape, axis, bits)
    rows = np.moveaxis(symbols, axis, -1).reshape(layout.count, layout.lanes)
    coded: list[tuple[Array, Array]] = []

    def code(probabilities: Array, span: slice) -> Array:
        number = len(coded) // layout.bits
        step = number // len(layout.spans)
        place = layout.bits - 1 - len(coded) % layout.bits
        ones = (rows[step, span].astype(np.int64) >> place) & 1
        coded.append(_freeze(ones, probabilities))
        return ones

    _Model(layout).walk(code)
    states = np.full(layout.states, ONE, np.uint64)
    words: list[Array] = []
    for widths, starts in reversed(coded):
        for first in reversed(range(0, len(widths), layout.states)):
            width = widths[first : first + layout.states]
            start = starts[first : first + layout.states].astype(np.uint64)
            state = states[: len(width)]
            large = state >= width << np.uint64(WORD)
            words.append(state[large].astype("<u2"))  # the low bits
            state[large] >>= np.uint64(WORD)
            state[:] = (state // width << np.uint64(WORD)) + state % width + start
    stream = np.concatenate([*words[::-1], np.zeros(0, "<u2")]).astype("<u2")
    return states.astype("<u4").tobytes() + stream.tobytes()


def decode(stream: bytes, shape: Sequence[int], axis: int, bits: int) -> Array:
    """The symbols of a stream, in the shape of their tensor.

    Args:
        stream: of `encode`.
        shape: of the tensor; no more symbols than it has are decoded.
        axis, bits: as of `encode`.

    Raises:
        ValueError: the stream is damaged, or of another shape.
    """
    layout = _Layout.of(shape, axis, bits)
    head = 4 * layout.states
    if len(stream) < head or len(stream) % 2:
        raise ValueError("its stream is damaged: it ends too early")
    states = np.frombuffer(stream[:head], "<u4").astype(np.uint64)
    words = np.frombuffer(stream[head:], "<u2").astype(np.uint64)
    read = 0

    def code(probabilities: Array, span: slice) -> Array:
        nonlocal read
        ones = np.empty(len(probabilities), np.int64)
        for first in range(0, len(ones), layout.states):
            share = probabilities[first : first + layout.states]
            state = states[: len(share)]
            place = (state & np.uint64(ONE - 1)).astype(np.int64)
            bit = (place < share).astype(np.int64)
            ones[first : first + layout.states] = bit
            width, start = _freeze(bit, share)
            state[:] = width * (state >> np.uint64(WORD)) + (place - start).astype(
                np.uint64
            )
            small = state < ONE
            count = int(small.sum())
            if read + count > len(words):
                raise ValueError("its stream is damaged: it ends too early")
            state[small] = state[small] << np.uint64(WORD) | words[read : read + count]
            read += count
        return ones

    rows = _Model(layout).walk(code)
    if read != len(words) or bool((states != ONE).any()):
        raise ValueError("its stream is damaged: it does not end where it must")
    inner = [size for n, size in enumerate(shape) if n != axis]
    return np.moveaxis(rows.reshape(*inner, layout.lanes), -1, axis)
