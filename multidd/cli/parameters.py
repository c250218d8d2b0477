"""Settings of a method: listed from its signature, and read from text or TOML.

A method takes some settings by name and the rest in frozen classes of settings; here
all of them have flat names, as `multidd.engine.recipe.call` takes them. A setting that
is itself a class of settings has its fields behind a dot: `experts.trainer.epochs`.
Where several classes fit, `kind` names one: `experts.trainer.optimizer.kind=Adam`.
"""

import dataclasses
import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from multidd.cli.values import NONE, Unreadable, members, read_value, type_name

__all__ = ["Parameter", "parameters", "plain_values", "settings_of"]

KIND = "kind"
"""The key that names a class of settings, as in cards."""

GROUPS = ("options", "run")
"""Parameters whose fields have flat names."""

_MISSING = dataclasses.MISSING


@dataclass(frozen=True)
class Parameter:
    """One setting of a method.

    Attributes:
        name: flat, with dots inside classes of settings.
        hint: its type.
        default: as the method has it; `inspect.Parameter.empty` where it must be named.
        about: the first sentence of its description.

    Example:
        >>> Parameter("lr", float, 1.0, "Step size.").type_name
        'a number'
    """

    name: str
    hint: Any
    default: Any
    about: str = ""

    @property
    def type_name(self) -> str:
        """Its type in words."""
        return type_name(self.hint)

    @property
    def is_text(self) -> bool:
        """Whether its values can be written as text, or only in Python."""
        return not self.type_name.startswith("a Python object")

    @property
    def default_text(self) -> str:
        """Its default as `--set` takes it; the class of one with fields of its own."""
        if self.default is inspect.Parameter.empty:
            return ""
        if _is_settings(self.default):
            return type(self.default).__name__
        return value_text(self.default)


def value_text(value: Any) -> str:
    """A value as `--set` takes it.

    Example:
        >>> value_text(None), value_text(True), value_text((0, 4))
        ('none', 'true', '0,4')
    """
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ",".join(map(value_text, value))
    return str(value)


# --- listing ------------------------------------------------------------------


def parameters(
    method: Callable[..., Any], others: Iterable[Callable[..., Any]] = ()
) -> list[Parameter]:
    """All settings of a method but its data, in the order of its signature.

    Args:
        method: whose settings they are.
        others: methods of the same modality, whose descriptions serve for a setting
            that this one does not describe itself.

    Example:
        >>> from multidd.learning import SGD
        >>> def method(data, *, steps: int = 2, options: SGD = SGD(lr=0.1)):
        ...     pass
        >>> [p.name for p in parameters(method)][:3]
        ['steps', 'lr', 'momentum']
    """
    hints, texts = typing.get_type_hints(method), _described(method)
    listed: list[Parameter] = []
    for name, parameter in list(inspect.signature(method).parameters.items())[1:]:
        if name in GROUPS and _is_settings(parameter.default):
            listed += _fields("", parameter.default)
            continue
        hint = hints.get(name, Any)
        listed.append(Parameter(name, hint, parameter.default, texts.get(name, "")))
        listed += _inner(name, hint, parameter.default)
    silent = {parameter.name for parameter in listed if not parameter.about}
    for other in others if silent else ():
        for one in parameters(other):
            if one.about and one.name in silent:
                texts[one.name] = one.about
                silent.remove(one.name)
    return [
        replace(one, about=texts.get(one.name, "")) if not one.about else one
        for one in listed
    ]


def _fields(prefix: str, settings: Any) -> Iterator[Parameter]:
    """The settings of a class of settings: of its default, or as it is made."""
    cls = settings if isinstance(settings, type) else type(settings)
    hints, texts = typing.get_type_hints(cls), _described(cls)
    for field in _public(cls):
        default = _default(field) if settings is cls else getattr(settings, field.name)
        name, hint = prefix + field.name, hints[field.name]
        yield Parameter(name, hint, default, texts.get(field.name, ""))
        yield from _inner(name, hint, default)


def _inner(name: str, hint: Any, default: Any) -> Iterator[Parameter]:
    """The settings behind the dot, where there are some."""
    classes = _classes(hint)
    if not classes:
        return
    if len(classes) > 1:
        choice: Any = typing.Literal.__getitem__(tuple(c.__name__ for c in classes))
        kind = type(default).__name__ if _is_settings(default) else None
        yield Parameter(f"{name}.{KIND}", choice, kind, "Which settings these are.")
    if _is_settings(default):
        classes = [type(default)]
    names = set()
    for cls in classes:
        of = default if _is_settings(default) else cls
        for parameter in _fields(f"{name}.", of):
            if parameter.name not in names:
                yield parameter
            names.add(parameter.name)


def _classes(hint: Any) -> list[type]:
    """The classes of settings among the types of a union that text can make."""
    classes = (one for one in members(hint) if isinstance(one, type))
    return [one for one in classes if _listable(one) and not _needs_object(one)]


def _needs_object(cls: type) -> bool:
    """Whether a field without a default is no text: a function, a module."""
    hints = typing.get_type_hints(cls)
    required = (f for f in _public(cls) if _default(f) is inspect.Parameter.empty)
    return any(type_name(hints[f.name]) == "a Python object" for f in required)


def _listable(cls: type) -> bool:
    """Whether a frozen dataclass of numbers and names, and no summary."""
    return dataclasses.is_dataclass(cls) and not hasattr(cls, "schema")


def _is_settings(value: Any) -> bool:
    return not isinstance(value, type) and _listable(type(value))


def _public(cls: Any) -> list[Any]:
    return [f for f in dataclasses.fields(cls) if f.init and f.name[0] != "_"]


def _default(field: Any) -> Any:
    if field.default is not _MISSING:
        return field.default
    if field.default_factory is not _MISSING:
        return field.default_factory()
    return inspect.Parameter.empty


# --- descriptions ---------------------------------------------------------------

_SECTION = re.compile(r"^(?:Args|Attributes):\n((?:[ ]+.*\n|\n)*)", re.M)
_ENTRY = re.compile(r"^    (\*{0,2}\w[\w, ]*): +((?:.*\n?)(?:^ {5,}.*\n?)*)", re.M)
_SEE = re.compile(r"^see\s+`([\w.]+)`")


def _described(named: Any) -> dict[str, str]:
    """Name -> first sentence of its description, in the docstrings of what has it."""
    texts: dict[str, str] = {}
    lineage = inspect.getmro(named) if isinstance(named, type) else [named]
    for one in reversed(lineage):
        section = _SECTION.search(f"{inspect.cleandoc(one.__doc__ or '')}\n")
        for names, text in _ENTRY.findall(section[1]) if section else ():
            other = _SEE.match(text)
            there = _described(_at(other[1])) if other else {}
            for name in re.split(r",\s*", names):
                sentence = there.get(name) or _first_sentence(text)
                texts[name] = texts.get(name, "") if other and not there else sentence
    return texts


def _at(path: str) -> Any:
    """What a dotted path in a docstring names; nothing where it names nothing."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None


def _first_sentence(text: str) -> str:
    """Up to the first full stop; whole where there is none."""
    flat = " ".join(text.split())
    sentence = re.split(r"(?<=[^.\d][^.])\.(?= |$)", flat)[0].rstrip(".")
    sentence = sentence.removesuffix("; or")  # what follows is told on its own
    return sentence[:1].upper() + sentence[1:] + "."


# --- reading --------------------------------------------------------------------


def settings_of(
    name: str,
    method: Callable[..., Any],
    values: Mapping[str, Any],
    bases: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Settings by flat name, for `multidd.engine.recipe.call`.

    Args:
        name: of the method, for errors.
        method: whose settings they are.
        values: dotted name -> `multidd.cli.values.TextValue`, or what TOML holds.
        bases: flat name -> value whose fields are changed, in the place of the
            default; those of a preset.

    Raises:
        ValueError: the method has no such setting; those of like names are named.
        TypeError: a value of another type.

    Example:
        >>> from multidd.cli.values import TextValue
        >>> from multidd.learning import SGD
        >>> def method(data, *, steps: int = 2, options: SGD = SGD(lr=0.1)):
        ...     pass
        >>> settings_of("method", method, {"steps": TextValue("3"), "lr": 1})
        {'steps': 3, 'lr': 1}
    """
    listed = parameters(method)
    known = {parameter.name: parameter for parameter in listed}
    for key in values:
        if key not in known and not _opens(key, listed):
            raise ValueError(_unknown(name, key, known))
    settings = {}
    for key, inner in _tree(values).items():
        if not known[key].is_text:
            raise TypeError(
                f"{key} takes {known[key].type_name}, which no text is; call "
                f"{method.__module__.rpartition('.methods')[0]}.{name} from Python"
            )
        base = (bases or {}).get(key, known[key].default)
        settings[key] = _read(key, known[key].hint, base, inner)
    return settings


def _opens(key: str, listed: Iterable[Parameter]) -> bool:
    """Whether a field of a class that is not the default's: `optimizer.betas`."""
    head, _, field = key.rpartition(".")
    hints = [one.hint for one in listed if one.name == head]
    fields = [f.name for hint in hints for cls in _classes(hint) for f in _public(cls)]
    return field in fields


def _unknown(name: str, key: str, known: Iterable[str]) -> str:
    known = list(known)
    tails = {one.rpartition(".")[2]: one for one in reversed(known)}
    close = difflib.get_close_matches(key, known, n=3)
    close += [tails[t] for t in difflib.get_close_matches(key, tails, n=3)]
    near = ", ".join(dict.fromkeys(close))
    hint = f"did you mean {near}? " if near else ""
    return f"{name} has no setting {key!r}; {hint}`multidd methods {name}` lists all"


def _tree(values: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as dicts in dicts; a value beside its fields is `""` among them."""
    tree: dict[str, Any] = {}
    for key in values:
        *path, last = key.split(".")
        inside = tree
        for part in path:
            before = inside.get(part, {})
            inside[part] = before if isinstance(before, dict) else {"": before}
            inside = inside[part]
        if isinstance(inside.get(last), dict):
            inside[last][""] = values[key]
        else:
            inside[last] = values[key]
    return tree


def _read(name: str, hint: Any, default: Any, inner: Any) -> Any:
    """The value of a setting, or a class of settings with changed fields."""
    if not isinstance(inner, dict):
        classes = {cls.__name__: cls for cls in _classes(hint)}
        if str(inner) in classes:  # by its name alone, all fields as they are made
            return _made(name, classes[str(inner)], None, {})
        return read_value(name, hint, inner)
    if "" in inner:
        fields = ", ".join(f"{name}.{key}" for key in inner if key)
        raise TypeError(f"give either {name} or {fields}, not both")
    classes = {cls.__name__: cls for cls in _classes(hint)}
    kind = inner.get(KIND)
    if kind is not None and str(kind) not in classes:
        words = " or ".join(classes)
        raise TypeError(f"{name}.{KIND} must be {words}, got {str(kind)!r}")
    fits = _is_settings(default) and kind in (None, type(default).__name__)
    if not fits and kind is None and len(classes) > 1:
        raise TypeError(f"give {name}.{KIND} too: {' or '.join(classes)}")
    base = default if fits else None
    cls = (
        type(default)
        if fits
        else classes[str(kind)]
        if kind
        else [*classes.values()][0]
    )
    return _made(name, cls, base, {k: v for k, v in inner.items() if k != KIND})


def _made(name: str, cls: Any, base: Any, inner: Mapping[str, Any]) -> Any:
    """An object of a class of settings: its fields, or those of `base`, changed."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in _public(cls)}
    changes = {}
    for key, value in inner.items():
        if key not in fields:
            raise ValueError(_unknown(f"{name} ({cls.__name__})", key, fields))
        default = _default(fields[key]) if base is None else getattr(base, key)
        changes[key] = _read(f"{name}.{key}", hints[key], default, value)
    if base is not None:
        return dataclasses.replace(base, **changes)
    empty = inspect.Parameter.empty
    lacking = [
        n for n, f in fields.items() if _default(f) is empty and n not in changes
    ]
    if lacking:
        named = ", ".join(f"{name}.{key}" for key in lacking)
        raise TypeError(f"{name} as {cls.__name__} needs {named}")
    return cls(**changes)


# --- writing --------------------------------------------------------------------


def plain_values(
    method: Callable[..., Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """All settings of a call as TOML holds them: nested dicts, `none` for None.

    Args:
        method: that was called.
        settings: by flat name, those that were given.

    Returns:
        Flat name -> value, without those that have no text and those that are None
        where that is their default.

    Example:
        >>> from multidd.learning import SGD
        >>> def method(data, *, steps: int = 2, options: SGD = SGD(lr=0.1)):
        ...     pass
        >>> plain_values(method, {"steps": 3})["lr"]
        0.1
    """
    values = {}
    for parameter in parameters(method):
        if "." in parameter.name:
            continue
        value = settings.get(parameter.name, parameter.default)
        if value is None and parameter.default is None:
            continue
        if not parameter.is_text:
            continue
        try:
            values[parameter.name] = _plain(value, parameter.hint)
        except Unreadable:
            continue
    return values


def _plain(value: Any, hint: Any) -> Any:
    if value is None:
        return NONE
    if _is_settings(value):
        cls, inner = type(value), {}
        hints = typing.get_type_hints(cls)
        for field in _public(cls):
            one = getattr(value, field.name)
            if one is not None or _default(field) is not None:
                inner[field.name] = _plain(one, hints[field.name])
        kind = {KIND: cls.__name__} if len(_classes(hint)) > 1 else {}
        return kind | inner
    if isinstance(value, tuple | list):
        return [_plain(one, Any) for one in value]
    if isinstance(value, bool | int | float | str):
        return value
    raise Unreadable
