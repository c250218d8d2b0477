"""Schemas of files: fields of JSON; type, shape and range of each tensor.

One for each kind of file; it stands beside what writes the file. The JSON and the form
of the tensors are checked in the header, before any tensor is read; ranges after.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multidd.errors import SchemaError
from multidd.storage.content import check_finite
from multidd.storage.fields import Record
from multidd.storage.limits import Limits, advice

__all__ = [
    "DTYPES",
    "FLOAT",
    "INTEGER",
    "Form",
    "Schema",
    "TensorField",
    "forms_of",
    "refuse",
]

FLOAT, INTEGER = ("F32",), ("I64",)
"""The types of nearly all tensors."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Types by their names in safetensors."""

_CODES = {dtype: code for code, dtype in DTYPES.items()}
_NAMES = {code: str(dtype) for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Form:
    """Type and shape of a tensor, as a header claims them.

    Attributes:
        dtype: as safetensors calls it, such as `"F32"`.
        shape: sizes.
    """

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{_NAMES.get(self.dtype, self.dtype)} {list(self.shape)}"


Forms: TypeAlias = Mapping[str, Form]


def forms_of(tensors: Mapping[str, Tensor]) -> dict[str, Form]:
    """Type and shape of each tensor.

    Example:
        >>> str(forms_of({"x": torch.ones(2, 3)})["x"])
        'torch.float32 [2, 3]'
    """
    return {
        name: Form(_CODES.get(t.dtype, str(t.dtype)), tuple(t.shape))
        for name, t in tensors.items()
    }


@dataclass(frozen=True)
class TensorField:
    """What a tensor of a file may be.

    Attributes:
        shape: a size for each axis: a number, or a name that stands for one number in
            all tensors of the file. A name that ends with `"?"` may be zero, others
            are 1 or more. None takes any shape.
        dtypes: the types, as safetensors calls them; empty for any.
        low: the least value, included.
        high: the most, included.
        below: name of a size that all values are below.
        positive: values are above zero.
        rises: values never fall from one to the next, and begin with zero; the last
            is the size of that name.
        optional: whether it may be missing.
        note: what messages say beside it.

    Example:
        >>> str(TensorField(("m",), ("I64",), low=0, below="classes"))
        'torch.int64 [m], 0 or more, below classes'
    """

    shape: tuple[int | str, ...] | None = None
    dtypes: tuple[str, ...] = FLOAT
    low: float = -math.inf
    high: float = math.inf
    below: str | None = None
    positive: bool = False
    rises: str | None = None
    optional: bool = False
    note: str = ""

    def __str__(self) -> str:
        dtypes = " or ".join(_NAMES.get(d, d) for d in self.dtypes) or "any type"
        shape = "of any shape"
        if self.shape is not None:
            shape = f"[{', '.join(str(size).rstrip('?') for size in self.shape)}]"
        parts = [f"{dtypes} {shape}"]
        if self.low > -math.inf and self.high < math.inf:
            parts.append(f"{self.low:,}..{self.high:,}")
        elif self.low > -math.inf:
            parts.append(f"{self.low:,} or more")
        elif self.high < math.inf:
            parts.append(f"at most {self.high:,}")
        parts += ["above 0"] * self.positive
        parts += [f"below {self.below}"] if self.below else []
        parts += [f"rising from 0 to {self.rises}"] if self.rises else []
        return ", ".join(parts)

    def form_fault(
        self, form: Form, sizes: dict[str, int], origins: Mapping[str, str]
    ) -> str | None:
        """What is wrong with type and shape.

        Args:
            form: type and shape in the header.
            sizes: number that each name stands for; new names are noted in it.
            origins: name of a size -> the tensor that it was first seen in.
        """
        if self.dtypes and form.dtype not in self.dtypes:
            return self._wrong(f"is {form}")
        if self.shape is None:
            return None
        axes = len(self.shape)
        if len(form.shape) != axes:
            return self._wrong(f"is {form}", f" with {axes} axes")
        for size, name in zip(form.shape, self.shape, strict=True):
            plain = str(name).rstrip("?")
            if isinstance(name, str) and size < 1 and plain == name:
                return self._wrong(f"is {form}", f" with {name} of 1 or more")
            expected = name if isinstance(name, int) else sizes.setdefault(plain, size)
            if size != expected:
                where = "" if isinstance(name, int) else f" with {plain} = {expected}"
                where += f", as in {origins[plain]!r}" if plain in origins else ""
                return self._wrong(f"is {form}", where)
        return None

    def value_fault(self, tensor: Tensor, sizes: Mapping[str, int]) -> str | None:
        """What is wrong with the values."""
        if self.rises is not None and not _rises(tensor, sizes[self.rises]):
            last = sizes[self.rises]
            return self._wrong("falls, or begins or ends elsewhere") + (
                f"; NAME must rise from 0 to {self.rises} = {last}"
            )
        if not tensor.numel() or tensor.dtype == torch.bool or tensor.is_complex():
            return None
        high = self.high
        if self.below is not None:
            high = min(high, sizes[self.below] - 1)
        if not self.positive and self.low == -math.inf and high == math.inf:
            return None
        values = tensor[~tensor.isnan()] if tensor.is_floating_point() else tensor
        if not values.numel():
            return None
        least, most = values.min().item(), values.max().item()
        low = least < self.low or (self.positive and least <= 0)
        if low or most > high:
            extreme = f"the least is {least}" if low else f"the most is {most}"
            where = f" = {sizes[self.below]}" if self.below else ""
            text = f"has values that run from {least:,} to {most:,}, {extreme}"
            return self._wrong(text, where)
        return None

    def _wrong(self, fault: str, where: str = "") -> str:
        note = f"; {self.note}" if self.note else ""
        return f"{fault}; NAME must be {self}{where}{note}"


def _rises(tensor: Tensor, last: int) -> bool:
    flat = tensor.reshape(-1)
    if not len(flat) or int(flat[0]) != 0 or int(flat[-1]) != last:
        return False
    return not bool((flat[1:] < flat[:-1]).any())


Fields: TypeAlias = Mapping[str, TensorField]


def _no_sizes(info: Mapping[str, Any]) -> Mapping[str, int]:
    return {}


def _no_fault(info: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str | None:
    return None


def _no_quarrel(info: Mapping[str, Any], forms: Forms) -> str | None:
    return None


def _no_bytes(info: Mapping[str, Any], forms: Forms) -> int:
    return 0


@dataclass(frozen=True)
class Schema:
    """What a file of a kind must hold.

    Attributes:
        info: the JSON.
        tensors: the field of each tensor, by the JSON and by what the header claims;
            None takes any tensors.
        sizes: names of sizes that the JSON says.
        agreement: a fault between the JSON and what the header claims of tensors.
        relation: a fault between the values of tensors, beginning with a tensor's name.
        decoded_bytes: what the records take after decoding.
    """

    info: Record
    tensors: Callable[[Mapping[str, Any], Forms], Fields] | None = None
    sizes: Callable[[Mapping[str, Any]], Mapping[str, int]] = _no_sizes
    agreement: Callable[[Mapping[str, Any], Forms], str | None] = _no_quarrel
    relation: Callable[[Mapping[str, Any], Mapping[str, Tensor]], str | None] = (
        _no_fault
    )
    decoded_bytes: Callable[[Mapping[str, Any], Forms], int] = _no_bytes

    def check_header(
        self, name: object, info: Any, forms: Forms, limits: Limits | None = None
    ) -> dict[str, int]:
        """Check the JSON, and types and shapes of the tensors.

        Args:
            name: of the file, for messages.
            info: the JSON.
            forms: type and shape of each tensor.
            limits: of the bytes that decoding takes.

        Returns:
            The named sizes.

        Raises:
            SchemaError: names the file, the field, its value and what it must be.
        """
        for key in self.info.fields:
            # A card that lacks something is told of as a whole.
            inside = self.info.fields[key]
            if isinstance(info, Mapping) and isinstance(inside, Record) and key in info:
                _check_complete(name, key, info[key], inside)
        refuse(name, self.info.fault(info, ""))
        refuse(name, self.agreement(info, forms))
        sizes = dict(self.sizes(info))
        if self.tensors is None:
            return sizes
        fields = self.tensors(info, forms)
        missing = [n for n, f in fields.items() if not f.optional and n not in forms]
        if missing:
            refuse(name, f"there is no tensor {', '.join(missing)}")
        unknown = [n for n in forms if n not in fields]
        if unknown:
            refuse(
                name,
                f"there is an unknown tensor {unknown[0]!r}; known here are "
                f"{', '.join(fields)}",
            )
        origins: dict[str, str] = {}
        for key, one in fields.items():
            if key in forms:
                fault = one.form_fault(forms[key], sizes, origins)
                refuse(name, _named(key, fault))
                origins |= {size: key for size in sizes if size not in origins}
        self._check_bytes(name, info, forms, limits or Limits.current())
        return sizes

    def _check_bytes(
        self, name: object, info: Any, forms: Forms, limits: Limits
    ) -> None:
        total = self.decoded_bytes(info, forms)
        if total > limits.decoded_bytes:
            refuse(
                name,
                f"its records take {total:,} bytes once card.decoder is applied, more "
                f"than {limits.decoded_bytes:,}; " + advice("decoded_bytes"),
            )

    def check_values(
        self, name: object, info: Any, tensors: Mapping[str, Tensor], sizes: Any
    ) -> None:
        """Check ranges, after the header was checked.

        Raises:
            SchemaError: names the file, the tensor, its values and what they must be.
        """
        if self.tensors is not None:
            fields = self.tensors(info, forms_of(tensors))
            for key, tensor in tensors.items():
                fault = fields[key].value_fault(tensor, sizes)
                refuse(name, _named(key, fault))
        fault = self.relation(info, tensors)
        refuse(name, fault and f"tensor {fault}")

    def check(
        self,
        name: object,
        info: Any,
        tensors: Mapping[str, Tensor],
        limits: Limits | None = None,
    ) -> None:
        """Check all of it, of what is in memory.

        Raises:
            NonFiniteError: a tensor holds NaN or infinity.
            SchemaError: names the file, the field, its value and what it must be.
        """
        sizes = self.check_header(name, info, forms_of(tensors), limits)
        check_finite(name, tensors)
        self.check_values(name, info, tensors, sizes)

    def rows(self, info: Any, forms: Forms) -> Iterator[tuple[str, str]]:
        """Name and text of each field, for the docs."""
        for key, one in self.info.fields.items():
            if isinstance(one, Record) and one.fields:
                yield from ((f"{key}.{k}", str(v)) for k, v in one.fields.items())
            else:
                yield key, str(one)
        if self.tensors is not None:
            yield from ((k, str(v)) for k, v in self.tensors(info, forms).items())


def _named(key: str, fault: str | None) -> str | None:
    return fault and f"tensor {key!r} {fault.replace('NAME', key)}"


def _check_complete(name: object, key: str, value: Any, record: Record) -> None:
    if not isinstance(value, Mapping):
        return
    missing = [k for k in record.fields if k not in value and k not in record.optional]
    if missing:
        raise SchemaError(
            f"{name} has an incomplete {key}: it lacks {', '.join(missing)}; "
            + _WHAT_NOW
        )


_WHAT_NOW = "it was not made so by multidd: use another copy, or make it again"


def refuse(name: object, fault: str | None) -> None:
    """Raise a `SchemaError` where there is a fault.

    Args:
        name: of the file.
        fault: begins with the field.

    Raises:
        SchemaError: there is one.

    Example:
        >>> refuse("a.safetensors", None)
    """
    if fault:
        raise SchemaError(
            f"{name} does not fit its schema: {fault.strip()}; {_WHAT_NOW}"
        )
