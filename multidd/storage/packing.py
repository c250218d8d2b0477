"""Sets of tensors in few bytes: packed, described in JSON, and decoded.

A packed file holds a tensor of bytes in the place of each tensor, and in its JSON how
to decode it. What is decoded is checked by the same schema as any other file, and no
more is expanded than the JSON says, which the limits bound.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from multidd.arguments import whole_number
from multidd.storage import packed_tensor
from multidd.storage.codecs import Codec
from multidd.storage.fields import Number, Record
from multidd.storage.limits import Limits, advice
from multidd.storage.packed_tensor import PackedTensor, pack_tensor
from multidd.storage.schema import Form

__all__ = ["DecodedTensors", "Packing", "header_fault", "pack", "pack_within"]

RECORD = Record(
    {
        "bits": Number(low=2, high=8, whole=True),
        "bytes_before": packed_tensor.BYTES,
        "tensors": Record(others=packed_tensor.RECORD),
    }
)
"""How the tensors of a packed file are decoded."""
RATES = tuple(number / 100 for number in range(1, 9))
"""Squared error that a bit may be worth where a budget is to be met, in variances. From
a tenth on as many bytes hold more where they are those of one bit less."""


@dataclass(frozen=True, eq=False)
class Packing:
    """All tensors of a set in few bytes.

    Attributes:
        bits: asked for.
        bytes_before: of the tensors that count, before.
        tensors: by name.
        rate: squared error that a bit was worth when it was packed; a file does not
            say, and needs none to be read.
    """

    bits: int
    bytes_before: int
    tensors: Mapping[str, PackedTensor]
    rate: float = 0.0

    @property
    def max_error(self) -> dict[str, float]:
        """The largest difference of a number from what it was, for each tensor."""
        return {name: packed.max_error for name, packed in self.tensors.items()}

    def num_bytes(self, counts: Callable[[str], bool] = lambda name: True) -> int:
        """Bytes of the packed tensors that count.

        Args:
            counts: name of a tensor -> whether it does.
        """
        return sum(t.num_bytes for name, t in self.tensors.items() if counts(name))

    def describe(self, num_bytes: int) -> str:
        """Bytes and bits, and the largest error of any number, in a few words.

        Args:
            num_bytes: of the packed tensors that count.
        """
        error = max(self.max_error.values(), default=0.0)
        return (
            f"{num_bytes / 1024:,.3g} of {self.bytes_before / 1024:,.0f} KiB in "
            f"{self.bits} bits, error {error:.2g}"
        )

    @staticmethod
    def forms_of(record: Mapping[str, Any]) -> dict[str, Form]:
        """Type and shape of each decoded tensor, as a checked record says them."""
        return {
            name: Form(fields["dtype"], tuple(fields["shape"]))
            for name, fields in record["tensors"].items()
        }

    def record(self) -> dict[str, Any]:
        """How to decode it, as JSON."""
        tensors = {name: packed.record() for name, packed in self.tensors.items()}
        about = {"bits": self.bits, "bytes_before": self.bytes_before}
        return {**about, "tensors": tensors}

    def data(self) -> dict[str, Tensor]:
        """What a file holds of each tensor."""
        return {name: packed.data for name, packed in self.tensors.items()}

    @classmethod
    def of(cls, record: Mapping[str, Any], data: Mapping[str, Tensor]) -> Self:
        """The packing of a checked record and the tensors of a file."""
        tensors = {}
        for name, fields in record["tensors"].items():
            shapes = {key: tuple(fields[key]) for key in ("shape", "axes")}
            tensors[name] = PackedTensor(**{**fields, **shapes}, data=data[name])
        return cls(record["bits"], record["bytes_before"], tensors)

    def decode(self) -> "DecodedTensors":
        """All tensors.

        Raises:
            ValueError: one is damaged; begins with its name.
        """
        decoded = DecodedTensors(self)
        for name, packed in self.tensors.items():
            try:
                decoded[name] = packed.decode()
            except ValueError as error:
                raise ValueError(f"tensor {name!r} is damaged: {error}") from None
        return decoded


class DecodedTensors(dict[str, Tensor]):
    """Decoded tensors, which know how they are packed.

    A dict made of it (`{**tensors, "x": x}`) does not: what was changed is no longer
    what was packed.

    Attributes:
        packing: of these tensors.
    """

    def __init__(self, packing: Packing) -> None:
        super().__init__()
        self.packing = packing


def header_fault(record: Any, claims: Mapping[str, Form], limits: Limits) -> str | None:
    """What is wrong with a record and with what a header claims of the tensors.

    Args:
        record: of the JSON.
        claims: type and shape of each tensor of bytes.
        limits: of the bytes after decoding.
    """
    if fault := RECORD.fault(record, "compression"):
        return fault
    names = record["tensors"]
    for name in [*names, *claims]:
        if name not in claims or name not in names:
            which = "no bytes" if name in names else "bytes and no codec"
            return f"compression.tensors: tensor {name!r} has {which}"
        if claims[name].dtype != "U8" or len(claims[name].shape) != 1:
            return f"tensor {name!r} is {claims[name]}; a packed one must be bytes"
    empty = {
        name: torch.empty(claims[name].shape, dtype=torch.uint8, device="meta")
        for name in names
    }
    packing = Packing.of(record, empty)
    for name, packed in packing.tensors.items():
        if fault := packed.fault():
            return f"compression.tensors.{name}: {fault}"
    total = sum(packed.decoded_bytes for packed in packing.tensors.values())
    if total > limits.decoded_bytes:
        return (
            f"compression.tensors: shape and dtype of {', '.join(names)} make "
            f"{total:,} bytes once decoded, more than {limits.decoded_bytes:,}; "
            + advice("decoded_bytes")
        )
    return None


# --- packing ------------------------------------------------------------------


def check_bits(bits: int) -> int:
    """Bits of a number that are stored.

    Raises:
        TypeError: no whole number.
        ValueError: not 2 to 8.

    Example:
        >>> check_bits(4)
        4
    """
    bits = whole_number("bits", bits)
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, got {bits}")
    return bits


def pack(
    tensors: Mapping[str, Tensor],
    bits: int,
    codec_of: Callable[[str], Codec],
    bytes_before: int,
    rate: float = 0.0,
) -> Packing:
    """Pack tensors, each by its codec.

    Args:
        tensors: dense, on the CPU.
        bits: of a number of those tensors that are not stored exactly.
        codec_of: name of a tensor -> its codec.
        bytes_before: of the tensors that count.
        rate: squared error that a bit is worth, in variances: numbers go to levels that
            take fewer bits where that loses less. 0 takes the nearest.

    Example:
        >>> x = torch.linspace(0, 1, 1000)
        >>> packing = pack({"x": x}, 4, lambda name: Codec("linear"), 4000)
        >>> packing.tensors["x"].num_bytes < 600, packing.max_error["x"] < 0.04
        (True, True)
    """
    bits = check_bits(bits)
    packed = {}
    for name, tensor in tensors.items():
        codec = codec_of(name)
        values = tensor.detach().cpu().contiguous()
        packed[name] = pack_tensor(values, codec, bits, rate)
    return Packing(bits, bytes_before, packed, rate)


def pack_within(
    tensors: Mapping[str, Tensor],
    budget_bytes: int,
    codec_of: Callable[[str], Codec],
    bytes_before: int,
    counts: Callable[[str], bool],
) -> Packing:
    """Pack tensors with the most bits that a budget holds.

    One bit more than fits with the nearest levels is taken where cheaper levels make it
    fit, by the lowest of `RATES` that does.

    Args:
        tensors, codec_of, bytes_before: as of `pack`.
        budget_bytes: of the packed tensors that count.
        counts: name of a tensor -> whether it does.

    Raises:
        ValueError: all of them take more.
    """
    if whole_number("budget_bytes", budget_bytes) < 1:
        raise ValueError(f"budget_bytes must be 1 or more, got {budget_bytes}")

    def packed(bits: int, rate: float = 0.0) -> Packing:
        return pack(tensors, bits, codec_of, bytes_before, rate)

    def fits(packing: Packing) -> bool:
        return packing.num_bytes(counts) <= budget_bytes

    bits, best = _largest(range(2, 9), packed, fits)
    if bits == 8:
        return best
    rates = RATES[::-1]
    _, cheaper = _largest(
        range(len(rates)), lambda one: packed(bits + 1, rates[one]), fits
    )
    if fits(cheaper):
        return cheaper
    if fits(best):
        return best
    # Tables of levels may take less with three bits than with two.
    smallest = min(best, packed(3), key=lambda one: one.num_bytes(counts))
    size = smallest.num_bytes(counts)
    raise ValueError(
        f"budget_bytes={budget_bytes:,} is too small: with {smallest.bits} bits the "
        f"summary takes {size:,}, so that about {100 * budget_bytes // size} of 100 "
        "of its items would fit; distill fewer items, or raise budget_bytes"
    )


def _largest(
    values: range, make: Callable[[int], Packing], fits: Callable[[Packing], bool]
) -> tuple[int, Packing]:
    """The last of rising values whose packing fits, and that packing.

    Where none fits, the value before the first, and the packing of the first.
    """
    low, high = values[0] - 1, values[-1]
    best = None
    while low < high:
        middle = (low + high + 1) // 2
        packing = make(middle)
        if fits(packing):
            low, best = middle, packing
        else:
            high, smallest = middle - 1, packing
    return low, smallest if best is None else best
