"""Lossless coding of small numbers: the shortest of several coders.

Symbols of a few bits are packed, deflated, or coded by LZMA, one or several to a byte.
Several make bytes that codes of whole bits lose little on; LZMA looks at the high bits
of the byte before, in which the symbol before lies. Symbols of a tensor of two axes or
more are coded by mixed contexts too, which know where each stands. A stream does not
say its length: who reads it knows how many symbols there are, and nothing longer is
ever expanded.
"""

import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from multidd.storage import context_mixing

__all__ = ["CODERS", "MAX_CONTEXT", "Stream", "expand", "shrink", "shrink_tensor"]

CODERS = ("packed", "deflate", "lzma", "mixed")
MAX_CONTEXT = 4
"""Bits of the byte before that LZMA can look at."""
DICTIONARY_BYTES = 2**20
"""Memory of an LZMA decoder, whatever a file says."""

Bytes: TypeAlias = "np.ndarray[Any, np.dtype[np.uint8]]"


@dataclass(frozen=True)
class Stream:
    """Coded symbols.

    Attributes:
        coder: one of `CODERS`.
        group: symbols in a byte.
        context: bits of the byte before that the coder looks at.
        data: the bytes.
        lanes: axis of the tensor along which lanes stand, of `"mixed"`.
    """

    coder: str
    group: int
    context: int
    data: bytes
    lanes: int = 0


def shrink(symbols: Bytes, bits: int) -> Stream:
    """The shortest stream of some symbols.

    Args:
        symbols: `[n]` uint8, below `2 ** bits`.
        bits: of a symbol, 0 to 8.

    Example:
        >>> stream = shrink(np.zeros(1000, np.uint8), 3)
        >>> len(stream.data) < 20, int(expand(stream, 1000, 3).sum())
        (True, 0)
    """
    streams = [Stream("packed", 1, 0, _packed(symbols, bits))]
    if not bits or not len(symbols):
        return streams[0]
    for group in sorted({1, 8 // bits}):
        raw = _grouped(symbols, bits, group)
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
            coder = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
            data = coder.compress(raw) + coder.flush()
            streams.append(Stream("deflate", group, 0, data))
        for context in sorted({0, min(bits, MAX_CONTEXT), MAX_CONTEXT}):
            data = lzma.compress(raw, lzma.FORMAT_RAW, filters=_filters(context))
            streams.append(Stream("lzma", group, context, data))
    return min(streams, key=lambda stream: len(stream.data))


def lane_axis(shape: Sequence[int]) -> int:
    """The axis of lanes: the longer of two, and else the first.

    What is alike are the items of all users, the pixels of all images.

    Example:
        >>> lane_axis((50, 2000)), lane_axis((100, 1, 28, 28))
        (1, 0)
    """
    return int(len(shape) == 2 and shape[1] > shape[0])


def shrink_tensor(symbols: Bytes, bits: int) -> Stream:
    """The stream of a tensor's symbols by mixed contexts.

    Args:
        symbols: uint8, below `2 ** bits`, in the shape of their tensor.
        bits: of a symbol, 1 to 8.

    Example:
        >>> stream = shrink_tensor(np.eye(60, dtype=np.uint8), 1)
        >>> stream.coder, len(stream.data) < 120
        ('mixed', True)
    """
    lanes = lane_axis(symbols.shape)
    data = context_mixing.encode(symbols, lanes, bits)
    return Stream("mixed", 1, 0, data, lanes)


def expand(
    stream: Stream, count: int, bits: int, shape: Sequence[int] | None = None
) -> Bytes:
    """The symbols of a stream.

    Args:
        stream: of `shrink` or `shrink_tensor`.
        count: how many symbols it holds; no more are expanded.
        bits: of a symbol.
        shape: of the tensor, of `shrink_tensor`.

    Returns:
        `[count]` uint8, in the tensor's order.

    Raises:
        ValueError: it is damaged, or holds more or fewer.
    """
    if stream.coder == "mixed":
        if shape is None or not 0 <= stream.lanes < len(shape):
            raise ValueError("its stream is of a tensor, and has lanes of another")
        symbols = context_mixing.decode(stream.data, shape, stream.lanes, bits)
        return symbols.astype(np.uint8).reshape(-1)
    if stream.coder == "packed":
        return _unpacked(stream.data, count, bits)
    if not 1 <= bits * stream.group <= 8:
        raise ValueError(f"{stream.group} symbols of {bits} bits are not in a byte")
    decoder: Any = zlib.decompressobj(-zlib.MAX_WBITS)
    if stream.coder == "lzma":
        filters = _filters(stream.context)
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    size = -(-count // stream.group)
    try:
        raw = decoder.decompress(stream.data, size + 1)
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise ValueError(f"its stream is damaged: {error}") from None
    if len(raw) != size or not decoder.eof or decoder.unused_data:
        raise ValueError(f"its stream does not hold just {count:,} symbols")
    return _separated(np.frombuffer(raw, np.uint8), bits, stream.group)[:count]


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of so many packed symbols.

    Example:
        >>> packed_bytes(3, 3)
        2
    """
    return -(-count * bits // 8)


def _packed(symbols: Bytes, bits: int) -> bytes:
    if bits == 8:
        return symbols.tobytes()
    places = np.arange(bits - 1, -1, -1, dtype=np.uint8)
    # (n, bits), the highest bit first
    return np.packbits((symbols[:, None] >> places) & 1).tobytes()


def _unpacked(data: bytes, count: int, bits: int) -> Bytes:
    if len(data) != packed_bytes(count, bits):
        raise ValueError(
            f"its stream takes {len(data):,} bytes; {count:,} symbols of {bits} bits "
            f"take {packed_bytes(count, bits):,}"
        )
    if bits == 8:
        return np.frombuffer(data, np.uint8)
    flat = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits)
    symbols = np.zeros(count, np.uint8)
    for column in flat.reshape(count, bits).T:
        symbols <<= np.uint8(1)
        symbols |= column
    return symbols


def _grouped(symbols: Bytes, bits: int, group: int) -> bytes:
    """Symbols in the high bits of bytes, the last of each byte in the highest."""
    padded = np.zeros(-(-len(symbols) // group) * group, np.uint8)
    padded[: len(symbols)] = symbols
    places = 8 - bits * np.arange(group, 0, -1, dtype=np.uint8)
    shifted = padded.reshape(-1, group) << places.astype(np.uint8)
    return np.bitwise_or.reduce(shifted, axis=1).astype(np.uint8).tobytes()


def _separated(raw: Bytes, bits: int, group: int) -> Bytes:
    """The symbols of `_grouped`."""
    places = 8 - bits * np.arange(group, 0, -1, dtype=np.uint8)
    mask = np.uint8(2**bits - 1)
    return ((raw[:, None] >> places.astype(np.uint8)) & mask).reshape(-1)


def _filters(context: int) -> list[dict[str, int]]:
    """LZMA without a header: a file cannot ask for a large dictionary."""
    return [
        {
            "id": lzma.FILTER_LZMA2,
            "preset": 9 | lzma.PRESET_EXTREME,
            "dict_size": DICTIONARY_BYTES,
            "lc": context,
            "lp": 0,
            "pb": 0,
        }
    ]
