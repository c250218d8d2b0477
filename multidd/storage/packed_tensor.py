"""A tensor in few bytes: its codec, its stream, and what it lost."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.storage.codecs import (
    CODECS,
    Array,
    Codec,
    cheaper_symbols,
    exact_levels,
)
from multidd.storage.context_mixing import MAX_DECISIONS
from multidd.storage.fields import Field, Flag, Items, Number, Record, Text
from multidd.storage.lossless import (
    CODERS,
    MAX_CONTEXT,
    Stream,
    expand,
    lane_axis,
    shrink,
    shrink_tensor,
)
from multidd.storage.schema import DTYPES

__all__ = ["BYTES", "RECORD", "PackedTensor", "pack_tensor", "rounded"]

BYTES = Number(low=0, high=2**48, whole=True)
"""A size of tensors."""
_FIELDS: dict[str, Field] = {
    "codec": Text(choices=("whole", "palette", *CODECS)),
    "dtype": Text(choices=tuple(sorted(DTYPES))),
    "shape": Items(BYTES, max_count=16),
    "bits": Number(low=0, high=8, whole=True),
    "planes": Number(low=1, high=8, whole=True),
    "steps": Flag(),
    "axes": Items(Number(low=0, high=15, whole=True), max_count=16),
    "levels": Number(low=1, high=256, whole=True),
    "columns": Flag(),
    "coder": Text(choices=CODERS),
    "group": Number(low=1, high=8, whole=True),
    "context": Number(low=0, high=MAX_CONTEXT, whole=True),
    "max_error": Number(low=0, high=1e300),
    "lanes": Number(low=0, high=15, whole=True),
}
MIN_MIXED, MIN_LANES = 256, 8
"""Symbols, and lanes at a step, from which on contexts have something to learn from."""
RECORD = Record(_FIELDS, optional=frozenset({"lanes"}))
"""How a packed tensor is decoded."""


@dataclass(frozen=True)
class PackedTensor:
    """A tensor in few bytes.

    Attributes:
        codec: `"whole"` (whole numbers or bit patterns, exact), `"palette"` (the few
            different bit patterns, exact), or a kind of `multidd.storage.codecs`.
        dtype: as safetensors calls it.
        shape: sizes.
        bits: of a symbol.
        planes: symbols of a number; the lowest bytes of all numbers come first.
        steps: whether steps from one number to the next are stored, of `"whole"`.
        axes: each place along them has levels of its own.
        levels: entries of a table for a group, of `"palette"`; else 1.
        columns: whether symbols of one place in all groups stand side by side.
        coder, group, context: of the stream; see `multidd.storage.lossless`.
        max_error: the largest difference from the number before.
        data: `[bytes]` uint8, the table and then the stream.
        lanes: axis of the lanes of a stream of `"mixed"` contexts, whose symbols stand
            in the tensor's order.
    """

    codec: str
    dtype: str
    shape: tuple[int, ...]
    bits: int
    planes: int
    steps: bool
    axes: tuple[int, ...]
    levels: int
    columns: bool
    coder: str
    group: int
    context: int
    max_error: float
    data: Tensor
    lanes: int = 0

    @property
    def num_bytes(self) -> int:
        """Of table and stream."""
        return self.data.numel()

    @property
    def count(self) -> int:
        """Numbers of the decoded tensor."""
        return math.prod(self.shape)

    @property
    def decoded_bytes(self) -> int:
        """Of the decoded tensor."""
        return self.count * DTYPES[self.dtype].itemsize

    def record(self) -> dict[str, Any]:
        """What the JSON says of it."""
        fields = {name: getattr(self, name) for name in _FIELDS}
        return fields | {"shape": list(self.shape), "axes": list(self.axes)}

    def fault(self) -> str | None:
        """What of the record does not fit together."""
        axes, rank = self.axes, len(self.shape)
        if list(axes) != sorted(set(axes)) or (axes and axes[-1] >= rank):
            return f"axes are {list(axes)}; they must rise and be below {rank}"
        itemsize = DTYPES[self.dtype].itemsize
        if self.planes > itemsize or (self.planes > 1 and self.codec != "whole"):
            return f"planes are {self.planes} of {self.dtype} by {self.codec!r}"
        if self.planes > 1 and self.bits != 8:
            return f"bits are {self.bits}; several planes have symbols of 8 bits"
        if self.codec == "palette" and self.levels > 2**self.bits:
            return f"levels are {self.levels}, more than symbols of {self.bits} bits"
        if self.codec in CODECS and not 1 <= self.bits <= 8:
            return f"bits are {self.bits}; {self.codec!r} has 1 to 8"
        if self.codec in CODECS and not DTYPES[self.dtype].is_floating_point:
            return f"codec is {self.codec!r}, which {self.dtype} cannot have"
        if self.coder == "mixed" and (fault := self._mixed_fault()):
            return fault
        if self.table_bytes > self.data.numel():
            return (
                f"its table takes {self.table_bytes:,} bytes, and there are "
                f"{self.data.numel():,}"
            )
        return None

    def _mixed_fault(self) -> str | None:
        """What mixed contexts cannot be of."""
        if self.planes > 1 or self.columns or not 1 <= self.bits <= 8:
            return f"coder is 'mixed', of {self.planes} planes of {self.bits} bits"
        if self.lanes >= len(self.shape) or len(self.shape) < 2:
            return f"lanes are axis {self.lanes} of {list(self.shape)}"
        if (decisions := self.count * self.bits) > MAX_DECISIONS:
            return (
                f"coder is 'mixed', of {decisions:,} bits; it decodes at most "
                f"{MAX_DECISIONS:,}"
            )
        return None

    @property
    def groups(self) -> int:
        """Tables of levels."""
        return math.prod(self.shape[axis] for axis in self.axes)

    @property
    def table_bytes(self) -> int:
        """Bytes in front of the stream."""
        if self.codec == "whole":
            return 8
        if self.codec == "palette":
            return self.levels * DTYPES[self.dtype].itemsize
        return 4 * self.groups * CODECS[self.codec].width(self.bits)

    def decode(self) -> Tensor:
        """The tensor.

        Raises:
            ValueError: table or stream are damaged.
        """
        raw = self.data.numpy().tobytes()
        table, data = raw[: self.table_bytes], raw[self.table_bytes :]
        stream = Stream(self.coder, self.group, self.context, data, self.lanes)
        symbols = expand(stream, self.count * self.planes, self.bits, self.shape)
        if self.codec == "whole":
            return self._whole(table, symbols)
        if self.codec == "palette":
            values = np.frombuffer(table, _unsigned(self.dtype))
            if self.count and int(symbols.max()) >= len(values):
                raise ValueError(f"its stream has symbols beyond {len(values)} levels")
            return _as_tensor(values[symbols], self.dtype, self.shape)
        return self._levelled(table, symbols)

    def _whole(self, table: bytes, symbols: Array) -> Tensor:
        """Whole numbers of their bytes, from the least one on."""
        numbers = np.zeros(self.count, np.uint64)
        planes = symbols.reshape(self.planes, self.count)
        for place in range(self.planes):
            numbers |= planes[place].astype(np.uint64) << np.uint64(8 * place)
        if self.steps:
            numbers = _from_steps(numbers)
        dtype = DTYPES[self.dtype]
        start = np.frombuffer(table, "<u8")
        if dtype.is_floating_point or dtype.is_complex:
            narrow = numbers.astype(_unsigned(self.dtype))
            return _as_tensor(narrow, self.dtype, self.shape)
        numbers = numbers + start  # modulo 2 ** 64, as the difference was taken
        narrow = numbers.astype(_unsigned(self.dtype))
        signed = narrow.view(f"i{narrow.itemsize}") if dtype.is_signed else narrow
        if not np.array_equal(signed.astype(np.int64).view(np.uint64), numbers):
            raise ValueError(f"it holds numbers that are no {dtype}")
        if dtype == torch.bool and self.count and int(narrow.max()) > 1:
            raise ValueError("it holds numbers that are neither true nor false")
        return _as_tensor(narrow, self.dtype, self.shape)

    def _levelled(self, table: bytes, symbols: Array) -> Tensor:
        """The level of each symbol."""
        codec = CODECS[self.codec]
        stored = np.frombuffer(table, "<f4").astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # the schema refuses these
            levels = codec.expand(stored.reshape(self.groups, -1), self.bits)
            levels = levels.astype(np.float32)
        places = self._places(symbols).astype(np.intp)
        values = torch.from_numpy(np.take_along_axis(levels, places, axis=1))
        return _ungrouped(values, self.shape, self.axes).to(DTYPES[self.dtype])

    def _places(self, symbols: Array) -> Array:
        """`[groups, n]` symbols in the order of the groups."""
        groups = max(self.groups, 1)
        if self.coder == "mixed":
            return _grouped(
                torch.from_numpy(symbols).view(self.shape), self.axes
            ).numpy()
        if self.columns:
            return symbols.reshape(-1, groups).T
        return symbols.reshape(groups, -1)


# --- packing ------------------------------------------------------------------


def pack_tensor(
    tensor: Tensor, codec: Codec, bits: int, rate: float = 0.0
) -> PackedTensor:
    """One tensor: exactly, where that takes no more bits than its codec.

    Args:
        tensor: on the CPU, contiguous.
        codec: how it is to be coded.
        bits: of a number.
        rate: squared error that a bit of the stream is worth; see `cheaper_symbols`.
    """
    levelled = codec.kind in CODECS and tensor.is_floating_point()
    bits = codec.bits(bits) if levelled else 8
    raw = _patterns(tensor)
    few = exact_levels(raw, 2**bits)
    whole = _exact(tensor, raw, few)
    if not levelled or few is not None or not tensor.numel():
        return whole
    return _by_levels(tensor, codec, bits, rate)


def _exact(tensor: Tensor, raw: Array, few: tuple[Array, Array] | None) -> PackedTensor:
    """The shorter of its different numbers with the place of each, and its bytes."""
    tries = [_whole(tensor, raw, steps) for steps in (False, True)]
    if few is not None and tensor.numel():
        levels, places = few
        fields: dict[str, Any] = {"levels": levels.size}
        fields["bits"] = (levels.size - 1).bit_length()
        table = levels.tobytes()
        tries.append(_coded(tensor, places, table, codec="palette", **fields))
    return min(tries, key=lambda packed: packed.num_bytes)


def _whole(tensor: Tensor, raw: Array, steps: bool) -> PackedTensor:
    """Whole numbers from their least on, or bit patterns."""
    start = 0
    if tensor.is_floating_point() or tensor.is_complex() or not tensor.numel():
        numbers = raw.astype(np.uint64)
    else:
        array = tensor.numpy().reshape(-1)
        start = int(array.min())
        wide = array.astype(np.int64).view(np.uint64)
        numbers = wide - np.array([start]).astype(wide.dtype, casting="unsafe")
    if steps:
        numbers = _steps(numbers)
    width = int(numbers.max(initial=0)).bit_length()
    planes = max(-(-width // 8), 1)
    bits = width if planes == 1 else 8
    symbols = np.concatenate(
        [(numbers >> np.uint64(8 * place)).astype(np.uint8) for place in range(planes)]
    )
    table = np.array([start]).astype("<i8").tobytes()
    fields: dict[str, Any] = {"planes": planes, "steps": steps, "bits": bits}
    return _coded(tensor, symbols, table, codec="whole", **fields)


@dataclass(frozen=True, eq=False)
class _Levelled:
    """A tensor as places of levels.

    Attributes:
        kind: of the levels.
        axes: each place along them has levels of its own.
        table: `[groups, k]`, what the levels come from.
        levels: `[groups, 2 ** bits]`.
        symbols: `[groups, n]`, the level of each number.
    """

    kind: str
    axes: tuple[int, ...]
    table: Array
    levels: Array
    symbols: Array

    @classmethod
    def of(
        cls, tensor: Tensor, codec: Codec, bits: int, rate: float = 0.0
    ) -> "_Levelled":
        """The levels of a tensor on the CPU: the nearest ones, or cheaper ones."""
        name = codec.kind_of(bits, signed=bool((tensor < 0).any()))
        kind = CODECS[name]
        axes = tuple(axis for axis in codec.axes if axis < tensor.dim())
        values = _grouped(tensor, axes).double().numpy()
        table = kind.fit(values, bits).astype("<f4")
        levels = kind.expand(table.astype(np.float64), bits).astype(np.float32)
        rounded_levels = levels.astype(np.float64)
        symbols = kind.symbols(values, rounded_levels)
        if rate:
            symbols = cheaper_symbols(values, rounded_levels, symbols, rate)
        return cls(name, axes, table, levels, symbols)


def rounded(tensor: Tensor, codec: Codec, bits: int) -> Tensor:
    """A tensor as it is after packing, without the stream.

    Args:
        tensor: on any device.
        codec: of the tensor.
        bits: of a number.

    Example:
        >>> x = torch.tensor([0.0, 0.1, 0.4, 0.6, 0.9, 1.0])
        >>> rounded(x, Codec("linear"), 2).unique().numel()
        4
    """
    values = tensor.detach().cpu().contiguous()
    bits = codec.bits(bits)
    levelled = codec.kind in CODECS and values.is_floating_point() and values.numel()
    if not levelled or exact_levels(_patterns(values), 2**bits) is not None:
        return tensor.detach()
    few = _Levelled.of(values, codec, bits)
    nearest = np.take_along_axis(few.levels, few.symbols.astype(np.intp), axis=1)
    shaped = _ungrouped(torch.from_numpy(nearest), tuple(tensor.shape), few.axes)
    return shaped.to(tensor.device, tensor.dtype)


def _by_levels(tensor: Tensor, codec: Codec, bits: int, rate: float) -> PackedTensor:
    """Its levels, in the order that takes fewer bytes."""
    few = _Levelled.of(tensor, codec, bits, rate)
    name, axes, table, symbols = few.kind, few.axes, few.table, few.symbols
    shape = tuple(tensor.shape)
    shaped = _ungrouped(torch.from_numpy(symbols), shape, axes).numpy()
    tries = []
    for columns in (False, True) if len(symbols) > 1 else (False,):
        ordered = symbols.T if columns else symbols
        flat = np.ascontiguousarray(ordered).reshape(-1)
        stream = shrink(flat, bits)
        fields: dict[str, Any] = {"bits": bits, "axes": axes, "columns": columns}
        tries.append(_stored(tensor, stream, table.tobytes(), codec=name, **fields))
    if (mixed := _mixed(shaped, bits)) is not None:
        fields |= {"columns": False}
        tries.append(_stored(tensor, mixed, table.tobytes(), codec=name, **fields))
    best = min(tries, key=lambda packed: packed.num_bytes)
    # What decoding gives, without the time that the stream would take.
    nearest = np.take_along_axis(few.levels, symbols.astype(np.intp), axis=1)
    stored = _ungrouped(torch.from_numpy(nearest), shape, axes).to(tensor.dtype)
    error = float((stored.double() - tensor.double()).abs().max())
    return replace(best, max_error=error)


def _coded(
    tensor: Tensor,
    symbols: Array,
    table: bytes,
    *,
    codec: str,
    bits: int,
    **fields: Any,
) -> PackedTensor:
    """Symbols in the tensor's order by the shortest stream."""
    streams = [shrink(symbols, bits)]
    if len(symbols) == tensor.numel():
        mixed = _mixed(symbols.reshape(tuple(tensor.shape)), bits)
        streams += [] if mixed is None else [mixed]
    best = min(streams, key=lambda stream: len(stream.data))
    return _stored(tensor, best, table, codec=codec, bits=bits, **fields)


def _mixed(shaped: Array, bits: int) -> Stream | None:
    """The stream by mixed contexts; None of what is too small or too large for them."""
    if shaped.ndim < 2 or shaped.size < MIN_MIXED or not bits:
        return None
    lanes = lane_axis(shaped.shape)
    if shaped.shape[lanes] < MIN_LANES or shaped.size * bits > MAX_DECISIONS:
        return None
    return shrink_tensor(shaped, bits)


def _stored(
    tensor: Tensor,
    stream: Stream,
    table: bytes,
    *,
    codec: str,
    bits: int,
    **fields: Any,
) -> PackedTensor:
    data = np.frombuffer(table + stream.data, np.uint8).copy()
    usual: dict[str, Any] = {
        "planes": 1,
        "steps": False,
        "axes": (),
        "levels": 1,
        "columns": False,
        "max_error": 0.0,
    }
    return PackedTensor(
        codec=codec,
        dtype=_code(tensor),
        shape=tuple(tensor.shape),
        bits=bits,
        coder=stream.coder,
        group=stream.group,
        context=stream.context,
        lanes=stream.lanes,
        data=torch.from_numpy(data),
        **(usual | fields),
    )


# --- forms --------------------------------------------------------------------


def _code(tensor: Tensor) -> str:
    return next(code for code, dtype in DTYPES.items() if dtype == tensor.dtype)


def _unsigned(code: str) -> "np.dtype[Any]":
    """Little-endian whole numbers as wide as a type."""
    return np.dtype(f"<u{DTYPES[code].itemsize}")


def _patterns(tensor: Tensor) -> Array:
    """`[n]`, the bit patterns of a tensor."""
    if not tensor.numel():
        return np.zeros(0, _unsigned(_code(tensor)))
    return tensor.reshape(-1).view(torch.uint8).numpy().view(_unsigned(_code(tensor)))


def _as_tensor(patterns: Array, code: str, shape: tuple[int, ...]) -> Tensor:
    if not len(patterns):
        return torch.empty(shape, dtype=DTYPES[code])
    raw = torch.from_numpy(np.ascontiguousarray(patterns).view(np.uint8).copy())
    return raw.view(DTYPES[code]).reshape(shape)


def _steps(numbers: Array) -> Array:
    """From each to the next, small ones of either sign as small whole numbers."""
    steps = np.diff(numbers, prepend=np.uint64(0)).view(np.int64)
    return ((steps << 1) ^ (steps >> 63)).view(np.uint64)


def _from_steps(numbers: Array) -> Array:
    back = (numbers >> np.uint64(1)) ^ (np.uint64(0) - (numbers & np.uint64(1)))
    return np.cumsum(back, dtype=np.uint64)


def _grouped(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    """`[groups, n]`, with the axes in front."""
    rest = [axis for axis in range(tensor.dim()) if axis not in axes]
    groups = math.prod(tensor.shape[axis] for axis in axes)
    return tensor.permute(*axes, *rest).reshape(groups, -1)


def _ungrouped(values: Tensor, shape: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    rest = [axis for axis in range(len(shape)) if axis not in axes]
    order = [*axes, *rest]
    moved = values.reshape([shape[axis] for axis in order])
    return moved.permute(*np.argsort(order).tolist()).contiguous()
