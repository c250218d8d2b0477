"""Values of settings, read from text and from TOML by their types.

Text comes from `--set name=text`, where numbers are written as such; TOML has types of
its own, and an integer there is no text. In both `none` stands for None where the type
takes it, which TOML cannot write otherwise.
"""

import collections.abc
import dataclasses
import os
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "NONE",
    "Unreadable",
    "fits_text",
    "members",
    "names_in",
    "read_value",
    "type_name",
]

NONE = "none"
"""The word for None."""

_SEQUENCES = (tuple, collections.abc.Sequence, collections.abc.Iterable)
_BOOLS = {"true": True, "false": False}


class Unreadable(Exception):
    """A value that is not of the type; the setting's reader says so in a sentence."""


def names_in(text: str) -> list[str]:
    """Names by commas.

    Example:
        >>> names_in("gcn, sgc")
        ['gcn', 'sgc']
    """
    return [name.strip() for name in text.split(",") if name.strip()]


def members(hint: Any) -> list[Any]:
    """The types of a union in its order, or the one type.

    Example:
        >>> members(int | None)
        [<class 'int'>, <class 'NoneType'>]
    """
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [one for part in typing.get_args(hint) for one in members(part)]
    return [hint]


def read_value(name: str, hint: Any, value: Any) -> Any:
    """A value of a setting, from text or from TOML.

    Args:
        name: of the setting, for the error.
        hint: its type.
        value: a text from the command line (`TextValue`), or what TOML holds.

    Raises:
        TypeError: it is of another type; what was got and what is taken.

    Example:
        >>> read_value("batch_size", int | None, TextValue("64"))
        64
        >>> read_value("batch_size", int | None, "many")
        Traceback (most recent call last):
        ...
        TypeError: batch_size must be a whole number or none, got 'many'
    """
    # The narrowest type first: 100 is no share, and all that is typed is text.
    for member in sorted(members(hint), key=_width):
        try:
            return _as(member, value)
        except Unreadable:
            continue
    shown = str(value) if isinstance(value, TextValue) else value
    raise TypeError(f"{name} must be {type_name(hint)}, got {shown!r}")


def _width(kind: Any) -> int:
    """How much a type takes, to try the narrow ones first."""
    return 3 if fits_text(kind) else {types.NoneType: 0, int: 0, float: 2}.get(kind, 1)


class TextValue(str):
    """A value as it was typed: a number or a sequence may be meant."""


def _as(kind: Any, value: Any) -> Any:
    """The value as this type, which is no union."""
    typed = isinstance(value, TextValue)
    word = value.strip().lower() if isinstance(value, str) else None
    origin = typing.get_origin(kind)
    if kind in (types.NoneType, Any) and word == NONE:
        return None
    if kind is bool and (isinstance(value, bool) or (typed and word in _BOOLS)):
        return _BOOLS.get(str(value).strip().lower())
    if kind in (int, float):
        return _number(kind, value, typed)
    if origin is typing.Literal:
        for choice in typing.get_args(kind):
            if value == choice and type(choice) is not bool:
                return choice
    if kind in _SEQUENCES or origin in _SEQUENCES:
        return _sequence(kind, value, typed)
    if fits_text(kind) and isinstance(value, str):
        return str(value)
    if kind is Any and isinstance(value, bool | int | float):
        return value
    if _is_summary(kind) and isinstance(value, str):
        return _summary(kind, value)
    raise Unreadable


def _number(kind: type, value: Any, typed: bool) -> float:
    if typed:
        try:
            return int(value) if kind is int else float(value)
        except ValueError:
            raise Unreadable from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unreadable
    if kind is int and not isinstance(value, int):
        raise Unreadable
    return value


def _sequence(kind: Any, value: Any, typed: bool) -> tuple[Any, ...]:
    if typed:
        words = str(value).strip("()[] ").split(",")
        items: Sequence[Any] = [TextValue(word.strip()) for word in words if word]
    elif isinstance(value, list | tuple):
        items = value
    else:
        raise Unreadable
    kinds = [one for one in typing.get_args(kind) if one is not Ellipsis] or [Any]
    fixed = kind is not tuple and typing.get_origin(kind) is tuple
    fixed &= Ellipsis not in typing.get_args(kind)
    if fixed and len(kinds) != len(items):
        raise Unreadable
    kinds = kinds if fixed else kinds[:1] * len(items)
    try:
        return tuple(
            read_value("", one, item) for one, item in zip(kinds, items, strict=True)
        )
    except TypeError:
        raise Unreadable from None


def fits_text(kind: Any) -> bool:
    """Whether a type takes any text: a name or a path.

    Example:
        >>> fits_text(str), fits_text(int)
        (True, False)
    """
    paths = (os.PathLike, typing.get_origin(os.PathLike[str]))
    return kind in (str, Any) or kind in paths or typing.get_origin(kind) in paths


def _is_summary(kind: Any) -> bool:
    """Whether it is a class of summaries, which lie in files."""
    return (
        isinstance(kind, type) and hasattr(kind, "schema") and hasattr(kind, "digest")
    )


def _summary(kind: type, path: str) -> Any:
    from multidd.summary import load

    summary = load(path)
    if not isinstance(summary, kind):
        raise Unreadable
    return summary


def type_name(hint: Any) -> str:
    """A type in words, as errors and lists of settings name it.

    Example:
        >>> type_name(int | tuple[int, ...] | None)
        'a whole number, whole numbers by commas or none'
    """
    words = list(dict.fromkeys(_word(one) for one in members(hint)))
    if "none" in words:
        words = [*(w for w in words if w != "none"), "none"]
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def _word(kind: Any) -> str:
    simple = {
        types.NoneType: "none",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
    }
    if kind in simple:
        return simple[kind]
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(str, arguments))
    if kind in _SEQUENCES or typing.get_origin(kind) in _SEQUENCES:
        return _items(arguments)
    if fits_text(kind):
        return "a text"
    if _is_summary(kind):
        return "a run folder"
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return f"{kind.__name__} settings"
    return "a Python object"


def _items(arguments: Iterable[Any]) -> str:
    kinds = [one for one in arguments if one is not Ellipsis]
    plural = {int: "whole numbers", float: "numbers"}.get(kinds[0] if kinds else str)
    if plural is None:
        return "a Python object" if kinds and not fits_text(kinds[0]) else "texts"
    count = f"{len(kinds)} " if Ellipsis not in arguments and len(kinds) > 1 else ""
    return f"{count}{plural} by commas"
