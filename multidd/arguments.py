"""Arguments of public functions, and torch's global settings while one runs.

`public_function` is the door of every method: whole numbers of any library become an
`int`, other numbers a `float`, a device that is not there is refused, and what a
notebook has set for its own models (default dtype, gradients off, inference mode,
autocast) does not reach the computation.
"""

import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch

__all__ = [
    "check_device",
    "grouped",
    "is_whole",
    "ordinary_state",
    "public_function",
    "real_number",
    "whole_number",
]

P = ParamSpec("P")
R = TypeVar("R")

_NUMBERS = {int, float}

_GROUPS = ("options", "run")
"""Parameters that hold frozen settings."""


def whole_number(name: str, value: Any) -> int:
    """`value` as an `int`; numbers with a fraction, text and booleans are refused.

    Args:
        name: of the setting, for the error.
        value: an integer of any library.

    Raises:
        TypeError: no whole number.

    Example:
        >>> whole_number("seed", np.int64(3))
        3
    """
    try:
        if not isinstance(value, bool | np.bool_):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"{name} must be a whole number, got {value!r}")


def is_whole(value: Any) -> bool:
    """Whether it is a whole number of any library.

    Example:
        >>> is_whole(np.int64(3)), is_whole(3.0), is_whole(True)
        (True, False, False)
    """
    try:
        whole_number("", value)
    except TypeError:
        return False
    return True


def real_number(name: str, value: Any) -> float:
    """`value` as a number: an `int` stays one, others become a `float`.

    Args:
        name: of the setting, for the error.
        value: a number of any library.

    Raises:
        TypeError: no number.

    Example:
        >>> real_number("lr", np.float64(0.5)), real_number("lr", 1)
        (0.5, 1)
    """
    if not isinstance(value, bool | np.bool_ | str | bytes):
        try:
            return operator.index(value)
        except TypeError:
            pass
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            pass
    raise TypeError(f"{name} must be a number, got {value!r}")


def check_device(device: Any) -> str:
    """The device by its name, once it is known to be there.

    Args:
        device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, ... or a `torch.device`; or
            `"auto"`, the first GPU where there is one and else the CPU.

    Raises:
        ValueError: no name of a device, or one that this machine lacks; those that it
            has are named.

    Example:
        >>> check_device(torch.device("cpu"))
        'cpu'
        >>> check_device("auto") in ("cpu", "cuda:0", "mps")
        True
        >>> check_device("gpu")
        Traceback (most recent call last):
        ...
        ValueError: there is no device 'gpu' here; device must be one of cpu...
    """
    if isinstance(device, str) and device == "auto":
        return [*_devices()[1:], "cpu"][0]
    try:
        named = torch.device(device)
    except (RuntimeError, TypeError):
        named = None
    if named is not None and _is_there(named):
        return "cpu" if named.type == "cpu" else str(named)
    raise ValueError(
        f"there is no device {str(device)!r} here; device must be one of "
        f"{', '.join(_devices())}"
    )


def _is_there(device: torch.device) -> bool:
    index = device.index or 0
    if device.type == "cpu":
        return index == 0
    if device.type == "cuda":
        return torch.cuda.is_available() and index < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available() and index == 0
    if device.type == "meta":  # holds no numbers
        return False
    try:  # devices that others register
        return torch.empty(1, device=device).numel() == 1
    except (RuntimeError, NotImplementedError, AssertionError):
        return False


def _devices() -> list[str]:
    """Those of this machine."""
    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ["cpu", *(f"cuda:{number}" for number in range(cuda))]
    return names + ["mps"] * torch.backends.mps.is_available()


@contextmanager
def ordinary_state() -> Iterator[None]:
    """Torch's and NumPy's global settings as they are in a fresh process.

    Default dtype float32 on the CPU, gradients recorded, no inference mode, no
    autocast, NumPy's warnings as warnings. They are the caller's again afterwards.

    Example:
        >>> with torch.no_grad(), ordinary_state():
        ...     torch.is_grad_enabled()
        True
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(np.errstate(all="warn", under="ignore"))
        yield


def public_function(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose arguments are plain, and that runs in `ordinary_state`.

    Parameters, and fields of frozen settings among them, are read by their types: `int`
    takes whole numbers of any library, `float` any number, `device` what is there. A
    field of `options` or `run` may be given by its name alone: `dm(train, 10,
    width=64)` is `dm(train, 10, options=DMOptions(width=64))`.

    Example:
        >>> @public_function
        ... def method(data: object, steps: int = 1) -> int:
        ...     return steps
        >>> type(method("data", np.int64(2))).__name__
        'int'
        >>> method("data", steps=2.5)
        Traceback (most recent call last):
        ...
        TypeError: steps must be a whole number, got 2.5
    """
    signature = inspect.signature(function)
    has_groups = not set(_GROUPS).isdisjoint(signature.parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        named: dict[str, Any] = kwargs
        if has_groups:
            named = grouped(function, kwargs)
        try:
            bound = signature.bind(*args, **named)
        except TypeError:
            return function(*args, **named)  # whose error names the function
        types_by_name = _types_of(function)
        for name, value in bound.arguments.items():
            if name == "device":
                bound.arguments[name] = value if value is None else check_device(value)
            elif name in types_by_name:
                bound.arguments[name] = _plain(name, value, types_by_name[name])
        with ordinary_state():
            return function(*bound.args, **bound.kwargs)

    return call


def grouped(function: Callable[..., Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name as a function's arguments: fields of `options` and `run` there.

    Args:
        function: what is called.
        flat: of its parameters, and of the fields of its `options` and `run`.

    Raises:
        TypeError: a name that is none of them; those that are, are listed.

    Example:
        >>> from multidd.engine.options import RunOptions
        >>> def method(data, *, steps=2, run=RunOptions()):
        ...     return data
        >>> grouped(method, {"steps": 3, "timeout": 60.0})["run"].timeout
        60.0
    """
    parameters = inspect.signature(function).parameters
    arguments = {name: value for name, value in flat.items() if name in parameters}
    rest = {name: value for name, value in flat.items() if name not in parameters}
    names = set(list(parameters)[1:]) - set(_GROUPS)
    for place in _GROUPS:
        default = parameters[place].default if place in parameters else None
        settings: Any = arguments.get(place, default)
        if not is_dataclass(settings) or isinstance(settings, type):
            continue
        inside = {field.name for field in fields(settings) if field.init}
        changes = {name: rest.pop(name) for name in inside & set(rest)}
        arguments |= {place: replace(settings, **changes)} if changes else {}
        names |= inside
    if rest:
        called = getattr(function, "__name__", "the method")
        raise TypeError(
            f"{called} has no setting {', '.join(sorted(rest))}; it has "
            f"{', '.join(sorted(names))}"
        )
    return arguments


@functools.cache
def _types_of(annotated: Callable[..., Any]) -> Mapping[str, frozenset[Any]]:
    """Parameter or field -> the types that it takes."""
    try:
        hints = typing.get_type_hints(annotated)
    except NameError:  # a type that is imported for type checkers alone
        hints = dict(inspect.get_annotations(annotated))
        hints = {
            name: hint for name, hint in hints.items() if not isinstance(hint, str)
        }
    return {name: _members(hint) for name, hint in hints.items() if name != "return"}


def _members(hint: Any) -> frozenset[Any]:
    """The types of a union, or the one type."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return frozenset().union(*map(_members, typing.get_args(hint)))
    return frozenset({hint})


def _plain(name: str, value: Any, taken: frozenset[Any]) -> Any:
    """`value` with plain numbers, where the types say that it holds some."""
    numbers = taken & _NUMBERS
    if numbers and taken <= {int, float, types.NoneType}:
        if value is None:  # where it does not mean a default, the function says so
            return None
        return (real_number if float in numbers else whole_number)(name, value)
    if isinstance(value, np.generic):  # among other types: text, a rule, a sequence
        return value.item()
    if type(value) in (tuple, list) and any(isinstance(v, np.generic) for v in value):
        return type(value)(_plain(name, item, frozenset()) for item in value)
    settings = tuple(t for t in taken if isinstance(t, type) and is_dataclass(t))
    return _plain_fields(value) if isinstance(value, settings) else value


def _plain_fields(settings: Any) -> Any:
    """The settings with plain numbers; the same object where they are plain."""
    cls: Any = type(settings)
    by_name = _types_of(cls)
    changes = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        taken = by_name.get(field.name, frozenset())
        if field.init and (plain := _plain(field.name, value, taken)) is not value:
            changes[field.name] = plain
    return replace(settings, **changes) if changes else settings
