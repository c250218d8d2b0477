"""What a worker does: one job, its reply, and the values that jobs share."""

import copyreg
import functools
import os
import socket
import threading
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from typing import Any

from multidd.errors import MultiddError, first_line

__all__ = [
    "Packet",
    "Reply",
    "WorkerTraceback",
    "hold",
    "packed",
    "perform",
    "perform_packed",
    "release",
    "unpacked",
]

MAX_SHARED = 2
"""Shared values that a worker holds at a time; the oldest goes first."""

_shared: dict[str, Any] = {}
_relay = threading.local()


@functools.cache
def _start() -> str:
    return uuid.uuid4().hex


def here() -> str:
    """Names this process among all of all machines; a fork has another name."""
    return f"{socket.gethostname()}/{os.getpid()}/{_start()}"


def hold(value: Any) -> str:
    """Hold a value for the jobs of this process; the key that packets name it by.

    Example:
        >>> key = hold([1, 2])
        >>> perform(Packet(lambda numbers, job: numbers[job], 0, key)).result
        1
        >>> release(key)
    """
    key = uuid.uuid4().hex
    _shared[key] = value
    return key


def release(key: str | None) -> None:
    """Hold it no longer."""
    _shared.pop(key or "", None)


@dataclass(frozen=True)
class Packet:
    """One job on its way to a worker.

    Attributes:
        function: what is called.
        job: with what.
        key: of the shared value that it is called with first; None calls it without.
        carries: whether the packet brings that value along.
        shared: the value, where it does.
        origin: the process that waits for the reply.
    """

    function: Callable[..., Any]
    job: Any
    key: str | None = None
    carries: bool = False
    shared: Any = None
    origin: str = field(default_factory=here)


@dataclass(frozen=True)
class Reply:
    """What became of a job.

    Attributes:
        worker: the process that did it.
        result: of the function.
        error: that the function raised, or None.
        traceback: the lines that led to the error, where it is of another process.
        warnings: category and text of each that the job gave in another process.
        lacks_shared: the job was not begun: this worker has not seen the shared value.
    """

    worker: str
    result: Any = None
    error: BaseException | None = None
    traceback: str = ""
    warnings: tuple[tuple[type[Warning], str], ...] = ()
    lacks_shared: bool = False


class WorkerTraceback(Exception):
    """The lines that led to an error in another process; stands as its cause."""

    def __str__(self) -> str:
        return f"in another process\n{self.args[0]}"


def perform(packet: Packet) -> Reply:
    """Do one job; what it raises and warns of is part of the reply.

    Example:
        >>> perform(Packet(abs, -2)).result
        2
        >>> perform(Packet(abs, "x")).error
        TypeError("bad operand type for abs(): 'str'")
    """
    worker = here()
    ahead: tuple[Any, ...] = ()
    inside = packet.origin == worker
    if packet.key is not None:
        if packet.carries and not inside:
            _shared[packet.key] = packet.shared
            while len(_shared) > MAX_SHARED:
                _shared.pop(next(iter(_shared)), None)
        if packet.key not in _shared:
            return Reply(worker, lacks_shared=True)
        ahead = (_shared[packet.key],)
    if inside:  # threads: warnings and errors are of this process already
        try:
            return Reply(worker, packet.function(*ahead, packet.job))
        except BaseException as error:
            return Reply(worker, error=error)
    with _recorded() as record:
        try:
            result = packet.function(*ahead, packet.job)
        except BaseException as error:
            lines = "".join(traceback.format_exception(error))
            return Reply(worker, None, _portable(error), lines, tuple(record))
        return Reply(worker, result, warnings=tuple(record))


class PlainPickler(ForkingPickler):
    """How jobs of a process pool travel: tensors as bytes.

    Torch's own way opens a file in shared memory for each tensor: thousands of small
    ones are too many, and containers have little of that memory. No file is read here:
    these are the bytes that a process has from the one that started it.
    """

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.dispatch_table = copyreg.dispatch_table


def packed(value: Any) -> bytes:
    """A packet or a reply as bytes.

    Example:
        >>> unpacked(perform_packed(packed(Packet(abs, -2)))).result
        2
    """
    return bytes(PlainPickler.dumps(value))


def unpacked(content: bytes) -> Any:
    """What `packed` was given."""
    return PlainPickler.loads(content)


def perform_packed(content: bytes) -> bytes:
    """Do one job that came as bytes; its reply as bytes."""
    try:
        packet = unpacked(content)
    except Exception as error:
        fault = MultiddError(
            f"a worker cannot read its job ({type(error).__name__}: "
            f"{first_line(error)}); write what a notebook or a session defines into a "
            "module, or take joblib's loky, which sends the code itself"
        )
        return packed(Reply(here(), error=fault))
    reply = perform(packet)
    try:
        return packed(reply)
    except Exception as error:
        fault = MultiddError(f"its result cannot be pickled: {first_line(error)}")
        return packed(Reply(here(), error=fault))


def _portable(error: BaseException) -> BaseException:
    """An error that can be sent; one that cannot is told of by its first line."""
    try:
        return copy(error)  # goes the way that pickling goes
    except Exception:
        return MultiddError(f"{type(error).__name__}: {first_line(error)}")


@contextmanager
def _recorded() -> Iterator[list[tuple[type[Warning], str]]]:
    """The warnings of this thread, which are then not shown here."""
    record: list[tuple[type[Warning], str]] = []
    if not getattr(warnings.showwarning, "relays", False):
        # Stays: `warnings.catch_warnings` is of a process, and jobs run in threads.
        warnings.showwarning = _relaying(warnings.showwarning)
    _relay.record = record
    try:
        yield record
    finally:
        _relay.record = None


def _relaying(other: Callable[..., None]) -> Callable[..., None]:
    def show(
        message: Warning | str, category: type[Warning], *place: Any, **more: Any
    ) -> None:
        record = getattr(_relay, "record", None)
        if record is None:
            other(message, category, *place, **more)
        else:
            record.append((category, str(message)))

    show.relays = True  # type: ignore[attr-defined]
    return show
