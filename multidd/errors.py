"""Errors and warnings of the library.

Bad input raises `ValueError` or `TypeError`; the classes here are faults of a run
or of a file. Every message says what was wrong, the value got, the value wanted
and what to do next.
"""

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class MultiddError(Exception):
    """Base class of every fault that is the library's own to name."""


class StorageError(MultiddError, OSError):
    """A file could not be written or read; whatever stood there before is whole."""


class CorruptFileError(StorageError):
    """A file is truncated, altered or not one of ours."""


class SchemaError(CorruptFileError, ValueError):
    """A whole file with a field that is not what files of its kind hold."""


class FileVersionError(StorageError):
    """A file was written in a newer format than this version reads."""


class WrongKindError(StorageError):
    """A sound file that holds something else than what was asked for."""


class NonFiniteError(StorageError):
    """A file holds NaN or infinity where numbers belong."""


class CheckpointMismatchError(MultiddError, ValueError):
    """A checkpoint folder belongs to a run with other settings."""


class LockedError(MultiddError):
    """Another process is writing to the same checkpoint folder."""


class MissingPackageError(MultiddError, ImportError):
    """A package that this part of the library needs is not installed."""


class OutOfTimeError(MultiddError, TimeoutError):
    """The time of a method without a loop was over before it had a result."""


class ModalityError(MultiddError, ImportError):
    """An installed package offers a modality that does not load or lacks parts."""


class WorkerLostError(MultiddError):
    """A worker process ended before its job did; says which results stand."""


class DivergedError(MultiddError, ArithmeticError):
    """The loss or a gradient went non-finite; the update was not made.

    Attributes:
        step: the step, counted from 0, whose loss or gradient was not finite.
        summary: the summary at the last good state, or None.
    """

    def __init__(self, message: str, *, step: int, summary: object = None) -> None:
        super().__init__(message)
        self.step = step
        self.summary = summary

    def __reduce__(self) -> Any:
        # An error with named arguments is not sent to another process without this.
        return _rebuilt, (type(self), self.args, {"step": self.step}), self.__dict__


class LostRankError(MultiddError, ConnectionError):
    """Another process of a run on many devices ended, or did not answer in time."""


class DriftError(MultiddError):
    """Ranks of one run, which should hold the same, do not."""


class RunInterrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM reached a run; its state was saved first.

    Attributes:
        signum: the number of the signal.
        summary: the summary as far as the run had come.
    """

    def __init__(self, message: str, *, signum: int, summary: object = None) -> None:
        super().__init__(message)
        self.signum = signum
        self.summary = summary

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self.args, {"signum": self.signum}), self.__dict__


def _rebuilt(kind: type[Exception], args: tuple[Any, ...], more: dict[str, Any]) -> Any:
    return kind(*args, **more)


class MultiddWarning(UserWarning):
    """Base class of the library's warnings."""


class ThreadCountWarning(MultiddWarning):
    """A run goes on under another thread count: close to, not equal to, the first."""


class RankCountWarning(MultiddWarning):
    """A run goes on with another number of ranks: close to, not equal to, the first."""


class NumericalWarning(MultiddWarning):
    """A computation needed help (jitter, a floor) to stay finite; it says how much."""


def warn_caller(text: str, category: type[Warning] = MultiddWarning) -> None:
    """Warn of the line that called the library, however deep the cause lies.

    Python, which shows a warning of a line once, so tells it once for a call that
    meets the cause many times.

    Args:
        text: of the warning.
        category: its class.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warn_caller("labels were mapped")
        >>> len(caught)
        1
    """
    frame: Any = sys._getframe(0)
    level = outside = 1
    while frame is not None:
        inside = frame.f_globals.get("__name__", "").partition(".")[0] == "multidd"
        outside = level + 1 if inside else outside
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=outside)


def first_line(error: BaseException, max_length: int = 200) -> str:
    """The first line of an error's message, without its full stop.

    Example:
        >>> first_line(ValueError("no.\\nmore"))
        'no'
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = lines[0].rstrip(".")
    return first if len(first) <= max_length else first[:max_length] + " ..."


def require(package: str, hint: str | None = None) -> ModuleType:
    """Import `package`, or say how to install it.

    Args:
        package: name to import, such as `"networkx"`.
        hint: what to install when that differs from the name.

    Returns:
        The imported module.

    Raises:
        MissingPackageError: the package is not installed.

    Example:
        >>> require("math").pi > 3
        True
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise  # a fault inside that package, not its absence
        name = hint or package.split(".")[0].replace("_", "-")
        raise MissingPackageError(
            f"this needs the package {name!r}, which is not installed; "
            f"run: pip install {name}"
        ) from None


def warn_once() -> None:
    """Show each of the library's own warnings once, as one line on standard error.

    Other warnings are shown as before.

    Python's own filter "once" forgets what was said whenever some code changes filters.
    """
    warnings.showwarning = _once(warnings.showwarning)


def _once(other: Callable[..., None]) -> Callable[..., None]:
    said: set[str] = set()

    def show(
        message: Warning | str, category: type[Warning], *place: Any, **more: Any
    ) -> None:
        if not issubclass(category, MultiddWarning):
            other(message, category, *place, **more)
        elif str(message) not in said:
            print(f"multidd: warning: {message}", file=sys.stderr)
        said.add(str(message))

    return show
