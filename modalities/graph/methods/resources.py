"""Memory estimate for condensing a graph."""

from dataclasses import dataclass
from typing import Any

import torch

from multidd.graph.models.propagated_features import SAMPLE
from multidd.learning.memory import available_memory, format_bytes

COLUMNS = 16
"""Features that are propagated at a time where the hops lie in files, at least."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes beside the graph that was given, by what they are for.

    Attributes:
        reading: at the peak of building the adjacency.
        adjacency: afterwards.
        hops: two propagations of the features.
        columns: of propagating one feature, both hops.
        beliefs: a teacher's probabilities while they are smoothed.
        parts: of rows that are worked on at a time.
        features: d.
    """

    reading: int
    adjacency: int
    hops: int
    columns: int
    beliefs: int
    parts: int
    features: int

    @classmethod
    def of(cls, n: int, entries: int, d: int, c: int) -> "MemoryEstimate":
        """Of n nodes, d features, c classes and so many entries of the adjacency.

        Example:
            >>> MemoryEstimate.of(1000, 8000, 16, 4).hops
            128000
        """
        entry, node = 8 * entries + 8 * n, 4 * n
        parts = 4 * min(n, SAMPLE) * (6 * d + 8 * c + 128)
        reading = 17 * entries + 8 * n
        return cls(reading, entry, 2 * node * d, 2 * node, 3 * node * c, parts, d)

    @property
    def whole(self) -> int:
        """With everything in RAM."""
        late = self.adjacency + self.hops + self.beliefs + self.parts
        return max(self.reading, late)

    def filed(self, columns: int) -> int:
        """With the hops in files, `columns` features propagated at a time."""
        work = max(self.columns * columns, self.beliefs)
        return max(self.reading, self.adjacency + work + self.parts)

    def choose(self, memory: int | None) -> int | None:
        """Features to propagate at a time with the hops in files; None for RAM.

        Args:
            memory: bytes that may be taken; None asks the machine.

        Raises:
            ValueError: too little for any way; says what it takes and what would fit.

        Example:
            >>> MemoryEstimate.of(1000, 8000, 160, 4).choose(10**9) is None
            True
        """
        free = available_memory() if memory is None else memory
        if free is None or self.whole <= free:
            return None
        min_columns = min(COLUMNS, self.features)
        if (smallest := self.filed(min_columns)) > free:
            limit = "are free" if memory is None else "were given as max_memory="
            raise ValueError(
                f"condensing this graph takes about {format_bytes(self.whole)} beside "
                f"the data, {format_bytes(smallest)} with propagated features "
                f"in files; {format_bytes(free)} {limit}; give at least "
                f"max_memory={smallest}, or condense a part of the graph"
            )
        fit = (free - self.adjacency - self.parts) // self.columns
        return max(min(int(fit), self.features), min_columns)


def as_bytes(memory: int | float | str | None) -> int | None:
    """A number of bytes, given as one or as text with a unit.

    Raises:
        ValueError: neither, or not above 0.

    Example:
        >>> as_bytes("1.5 GB"), as_bytes(100), as_bytes(None)
        (1500000000, 100, None)
    """
    if memory is None:
        return None
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    wrong = ValueError(
        f"max_memory must be bytes above 0 or text such as '8 GB', got {memory!r}"
    )
    try:
        if isinstance(memory, str):
            number, unit = memory.strip()[:-2], memory.strip()[-2:].upper()
            count = float(number) * units[unit]
        else:
            count = float(memory)
    except (KeyError, ValueError):
        raise wrong from None
    if not 0 < count < float("inf"):
        raise wrong
    return int(count)


def entries_of(data: Any) -> int | None:
    """Entries that the adjacency of a `Data` has at most; None where edges are not an
    edge list. Both directions of an edge are there when as many go up as down."""
    edges = getattr(data, "edge_index", None)
    if not isinstance(edges, torch.Tensor) or edges.layout != torch.strided:
        return None
    if edges.dim() != 2 or len(edges) != 2:
        return None
    up = down = 0
    for part in edges.split(2**24, dim=1):
        up += int((part[0] < part[1]).sum())
        down += int((part[0] > part[1]).sum())
    return up + down if up == down else 2 * (up + down)
