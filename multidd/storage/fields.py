"""Fields of JSON in files: what each may hold, checked before it is used.

A field says what it takes in `str()`, which messages and the docs show.
"""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Either",
    "Field",
    "Flag",
    "FreeJSON",
    "Items",
    "Maybe",
    "Number",
    "Record",
    "Text",
    "json_value",
    "shown",
]


class Field(ABC):
    """What a value of JSON may be."""

    @abstractmethod
    def fault(self, value: Any, place: str) -> str | None:
        """What is wrong with a value, or None.

        Args:
            value: as `json.loads` gives it.
            place: dotted name of the field, for the message.
        """

    def _wrong(self, value: Any, place: str) -> str:
        return f"{place} is {shown(value)}; it must be {self}"


def shown(value: Any, max_letters: int = 60) -> str:
    """A value in few letters, for a message.

    Example:
        >>> shown({"a": [1, 2]}), shown("x" * 100, 9)
        ('{"a": [1, 2]}', '"xxxxxxxx...')
    """
    if isinstance(value, str):
        value = value[: max_letters + 1]
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1e30:
        return f"a number of {len(hex(value)) - 2} hexadecimal digits"
    elif isinstance(value, dict | list) and len(value) > max_letters:
        return f"a {type(value).__name__} of {len(value)} items"
    text = json.dumps(value, default=repr)
    return text if len(text) <= max_letters else f"{text[:max_letters]}..."


def json_value(value: Any) -> Any:
    """A value that JSON has: what is not finite is null, as JSON has no word for it.

    Args:
        value: dicts and lists of plain values; others are written as text.

    Example:
        >>> json_value({"a": (1.0, float("nan"))})
        {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return json_value(value.item()) if hasattr(value, "item") else str(value)


@dataclass(frozen=True)
class Number(Field):
    """A number; true and false are none.

    Attributes:
        low: the least, included.
        high: the most, included.
        whole: whole numbers only.
    """

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    def __str__(self) -> str:
        noun = "a whole number" if self.whole else "a number"
        if self.low == -math.inf:
            return noun if self.high == math.inf else f"{noun} up to {self.high:,}"
        if self.high == math.inf:
            return f"{noun} of {self.low:,} or more"
        return f"{noun} in {self.low:,}..{self.high:,}"

    def fault(self, value: Any, place: str) -> str | None:
        """No number, a fraction, or outside of the range."""
        number = isinstance(value, int if self.whole else int | float)
        if isinstance(value, bool) or not number:
            return self._wrong(value, place)
        finite = isinstance(value, int) or math.isfinite(value)
        inside = finite and self.low <= value <= self.high
        # A whole number that no float holds breaks whatever computes with it.
        if not inside or (not self.whole and abs(value) > 1e308):
            return self._wrong(value, place)
        return None


@dataclass(frozen=True)
class Text(Field):
    """A text.

    Attributes:
        choices: the only ones; any unless given.
        pattern: regular expression that the whole text matches.
        max_length: letters.
    """

    choices: tuple[str, ...] = ()
    pattern: str | None = None
    max_length: int = 10_000

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(map(repr, self.choices))
        like = f" like {self.pattern}" if self.pattern else ""
        return f"a text{like} of up to {self.max_length:,} letters"

    def fault(self, value: Any, place: str) -> str | None:
        """No text, none of the choices, another form, or too long."""
        fits = isinstance(value, str) and len(value) <= self.max_length
        if fits and self.choices:
            fits = value in self.choices
        if fits and self.pattern:
            fits = re.fullmatch(self.pattern, value) is not None
        return None if fits else self._wrong(value, place)


@dataclass(frozen=True)
class Flag(Field):
    """True or false."""

    def __str__(self) -> str:
        return "true or false"

    def fault(self, value: Any, place: str) -> str | None:
        """Anything else."""
        return None if isinstance(value, bool) else self._wrong(value, place)


@dataclass(frozen=True)
class Maybe(Field):
    """A field that may be null."""

    field: Field

    def __str__(self) -> str:
        return f"null, or {self.field}"

    def fault(self, value: Any, place: str) -> str | None:
        """What the field says of anything but null."""
        return None if value is None else self.field.fault(value, place)


@dataclass(frozen=True)
class Either(Field):
    """One of two forms, such as a number or a list of them."""

    one: Field
    other: Field

    def __str__(self) -> str:
        return f"{self.one}, or {self.other}"

    def fault(self, value: Any, place: str) -> str | None:
        """What neither takes."""
        faults = [form.fault(value, place) for form in (self.one, self.other)]
        return self._wrong(value, place) if all(faults) else None


@dataclass(frozen=True)
class Items(Field):
    """A list.

    Attributes:
        each: every item.
        min_count: items at least.
        max_count: items at most.
    """

    each: Field
    min_count: int = 0
    max_count: int = 10_000_000

    def __str__(self) -> str:
        if self.min_count == self.max_count:
            return f"a list of {self.min_count} items, each {self.each}"
        least = f" at least {self.min_count} and" if self.min_count else ""
        return f"a list of{least} up to {self.max_count:,} items, each {self.each}"

    def fault(self, value: Any, place: str) -> str | None:
        """No list, too many or too few items, or what the first wrong item says."""
        if not isinstance(value, list | tuple):
            return self._wrong(value, place)
        if not self.min_count <= len(value) <= self.max_count:
            return f"{place} has {len(value)} items; it must be {self}"
        faults = (self.each.fault(one, f"{place}[{i}]") for i, one in enumerate(value))
        return next((fault for fault in faults if fault), None)


@dataclass(frozen=True)
class FreeJSON(Field):
    """Anything that JSON holds, of bounded size.

    Attributes:
        max_depth: lists and dicts inside each other.
        max_items: entries of all of them.
    """

    max_depth: int = 32
    max_items: int = 1_000_000

    def __str__(self) -> str:
        return (
            f"any JSON, nested up to {self.max_depth} deep, of up to "
            f"{self.max_items:,} items"
        )

    def fault(self, value: Any, place: str) -> str | None:
        """Too deep, too much, or numbers that are not finite."""
        level, depth, items = [value], 0, 0
        while level:
            below: list[Any] = []
            for one in level:
                if isinstance(one, float) and not math.isfinite(one):
                    return f"{place} holds {one}; it must be {self}"
                if isinstance(one, dict):
                    below += one.values()
                elif isinstance(one, list | tuple):
                    below += one
            items += len(below)
            depth += bool(below)
            if depth > self.max_depth or items > self.max_items:
                return f"{place} is nested deeper or holds more; it must be {self}"
            level = below
        return None


@dataclass(frozen=True)
class Record(Field):
    """A dict with known keys.

    Attributes:
        fields: key -> what it holds.
        optional: keys that may be missing.
        others: what all other keys hold; None refuses them.
        max_others: other keys at most.
    """

    fields: Mapping[str, Field] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    others: Field | None = None
    max_others: int = 100_000

    def __str__(self) -> str:
        keys = [f"{key}?" if key in self.optional else key for key in self.fields]
        known = f" with {', '.join(keys)}" if keys else ""
        if self.others is None:
            return f"a dict{known}"
        return (
            f"a dict{known}{' and' if keys else ' of'} other keys, each {self.others}"
        )

    def fault(self, value: Any, place: str) -> str | None:
        """No dict, a key that is missing or unknown, or what a wrong value says."""
        if not isinstance(value, Mapping):
            return self._wrong(value, place)
        missing = [k for k in self.fields if k not in value and k not in self.optional]
        if missing:
            return f"{place} lacks {', '.join(missing)}; it must be {self}"
        others = [key for key in value if key not in self.fields]
        if self.others is None and others:
            names = ", ".join(shown(key) for key in others[:3])
            return f"{place} has the unknown field {names}; it must be {self}"
        if len(others) > self.max_others:
            return f"{place} has {len(others)} other keys; at most {self.max_others:,}"
        for key, inside in value.items():
            kind = self.fields.get(key, self.others)
            below = f"{place}.{shown(key)[1:-1]}" if place else str(key)
            fault = kind.fault(inside, below) if kind is not None else None
            if fault:
                return fault
        return None

    def extended(self, fields: Mapping[str, Field], optional: Any = ()) -> "Record":
        """The same with further keys, or with others in the place of some."""
        return Record(
            {**self.fields, **fields},
            self.optional | frozenset(optional),
            self.others,
            self.max_others,
        )
