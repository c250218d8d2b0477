"""Presets: the settings of a paper as a table, and how they meet those of a call.

A modality has one `Presets`, which decorates its recipes in the place of
`public_function`. What a call names beats the preset, and the preset the default.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from multidd.arguments import public_function

__all__ = ["PAPER", "Preset", "Presets", "presets_of", "with_preset"]

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F")

PAPER = "paper"
"""The one name of a preset."""

GROUPS = ("options", "run")
"""Parameters that hold frozen settings."""


@dataclass(frozen=True)
class Preset(Generic[F]):
    """The settings of one paper.

    Attributes:
        settings: facts of the data and the budget -> settings by flat name: of the
            method's parameters, and of the fields of its options and its run.
        remains: what is different from the paper under the preset too, in a sentence.

    Example:
        >>> Preset(lambda classes: {"steps": 100 * classes}).settings(10)
        {'steps': 1000}
    """

    settings: Callable[[F], Mapping[str, Any]]
    remains: str = ""


@dataclass(frozen=True)
class Presets(Generic[F]):
    """The presets of a modality; a decorator of its recipes.

    Attributes:
        table: name of a method -> its preset.
        read: `(data, flat)`, with the settings of the call, its budget among them ->
            the data checked, so that they are read once, and facts; of no data (None)
            those that papers report most.

    Example:
        >>> presets = Presets(
        ...     {"method": Preset(lambda size: {"steps": 10 * size})},
        ...     lambda data, flat: (data, flat.get("size", 1)),
        ... )
        >>> @presets
        ... def method(data, size=None, *, steps=5, preset=None):
        ...     return steps
        >>> method("data", 3), method("data", 3, preset="paper")
        (5, 30)
        >>> method("data", 3, preset="paper", steps=7)
        7
    """

    table: Mapping[str, Preset[F]]
    read: Callable[[Any, Mapping[str, Any]], tuple[Any, F]]

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The recipe as a public function that takes `preset`.

        Args:
            function: with a parameter `preset`; its name is in the table.
        """
        name, public = function.__name__, public_function(function)
        first, *positional = (
            one.name
            for one in inspect.signature(function).parameters.values()
            if one.kind is not one.KEYWORD_ONLY
        )
        if name not in self.table:
            raise ValueError(f"the table of presets lacks {name!r}")

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            flat: dict[str, Any] = dict(kwargs)
            known = len(args) <= 1 + len(positional) and (args or first in flat)
            if flat.get("preset") is None or not known:
                return public(*args, **kwargs)
            flat |= dict(zip([first, *positional], args, strict=False))
            data = flat.pop(first)
            data, merged = with_preset(call, data, flat)
            whole: Any = public
            result: R = whole(data, **merged)
            return result

        call.presets = self  # type: ignore[attr-defined]
        return call

    def settings(
        self,
        method: str,
        data: Any = None,
        budget: Mapping[str, Any] | None = None,
        name: str = PAPER,
    ) -> dict[str, Any]:
        """The settings of a preset by flat name.

        Args:
            method: name of the method.
            data: training data; None takes the facts of those that papers report most.
            budget: by name; None is none.
            name: of the preset.

        Raises:
            ValueError: a method without a preset, or no such preset.
        """
        sizes = {key: n for key, n in (budget or {}).items() if n is not None}
        return dict(self._entry(method, name).settings(self.read(data, sizes)[1]))

    def remains(self, method: str) -> str:
        """What is different from the paper under the preset of a method too."""
        return self._entry(method, PAPER).remains

    def _entry(self, method: str, name: Any) -> Preset[F]:
        if method not in self.table:
            raise ValueError(
                f"{method} has no preset; those that have one are "
                f"{', '.join(self.table)}"
            )
        if name != PAPER:
            raise ValueError(f"preset must be {PAPER!r} or None; got {name!r}")
        return self.table[method]

    def merged(
        self, method: Callable[..., Any], data: Any, flat: Mapping[str, Any]
    ) -> tuple[Any, dict[str, Any]]:
        """The data, checked, and the settings of a call over those of its preset.

        Args:
            method: what is called.
            data: its first argument.
            flat: its further ones, and fields of its options and its run, by name. An
                `options` among them beats the preset's options as a whole.
        """
        entry = self._entry(method.__name__, flat["preset"])
        named = {key: value for key, value in flat.items() if value is not None}
        data, facts = self.read(data, named)
        settings = dict(entry.settings(facts))
        parameters = inspect.signature(method).parameters
        for place in GROUPS:
            default = parameters[place].default if place in parameters else None
            if place in flat and is_dataclass(default):
                for field in fields(default):
                    settings.pop(field.name, None)
        return data, settings | dict(flat)


def presets_of(method: Callable[..., Any]) -> Presets[Any] | None:
    """The presets that a method takes its own from; None of one without.

    Example:
        >>> from multidd.images import dm, random
        >>> presets_of(random) is None, "dm" in presets_of(dm).table
        (True, True)
    """
    return getattr(method, "presets", None)


def with_preset(
    method: Callable[..., Any], data: Any, flat: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The data, and the settings of a call with those of its preset filled in.

    Args:
        method: what is called.
        data: its first argument.
        flat: its settings by flat name, `preset` among them or not.

    Returns:
        The data, checked where the preset had to look at them, and all settings;
        `preset` stays among these, for the card.

    Raises:
        ValueError: no such preset, or bad data.

    Example:
        >>> from multidd import images, samples
        >>> train, _ = samples.fashion()
        >>> flat = {"ipc": 1, "preset": "paper", "width": 64}
        >>> settings = with_preset(images.dm, train, flat)[1]
        >>> settings["steps"], settings["width"]
        (20000, 64)
    """
    presets = presets_of(method)
    if presets is None or flat.get("preset") is None:
        return data, dict(flat)
    return presets.merged(method, data, flat)
