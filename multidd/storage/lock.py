"""A lock of a folder: one writer at a time, which says who it is.

The system lets go of it by itself when its process ends, however that ends.
"""

import json
import os
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from multidd.errors import LockedError, StorageError
from multidd.storage.atomic import PathLike, check_writable, user_path, write_text
from multidd.storage.limits import load_json

__all__ = ["FolderLock"]

LOCK, WRITER = ".lock", ".writer"


class FolderLock:
    """Enter it to write to a folder, so that nobody else does.

    Args:
        path: the folder; made on entering.
        clears: patterns of names; what runs that were killed left aside of such files
            is cleared on entering.

    Raises:
        StorageError: on entering: the folder cannot be made or written to.
        LockedError: on entering: another process, or this one, writes there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as path, FolderLock(path):
        ...     try:
        ...         FolderLock(path).__enter__()
        ...     except LockedError as error:
        ...         print(str(error).split(" is in use ")[1].split()[0])
        by
    """

    def __init__(self, path: PathLike, clears: Sequence[str] = ()) -> None:
        self.path = user_path(path)
        self._lock: FileLock | None = None
        # Of a file that is being written: its name between dots, number and ending.
        names = "|".join((*clears, "probe", WRITER.strip(".")))
        self._aside = re.compile(rf"\.+({names})\.[0-9].*\.tmp")

    @property
    def is_held(self) -> bool:
        """Whether this one holds it."""
        return self._lock is not None

    def __enter__(self) -> Self:
        check_writable(self.path)
        lock = FileLock(self.path / LOCK, blocking=False, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise LockedError(
                f"{self.path} is in use by {self._holder()}; wait for it to end, stop "
                "it (with its worker processes, which hold on too), or use another "
                "folder"
            ) from None
        except OSError as error:
            raise StorageError(
                f"cannot lock {self.path}: {error}; use a folder on another disk, or "
                "free some space if it is full"
            ) from error
        self._lock = lock
        try:
            self._settle_in()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go of it, if it is held."""
        if self._lock is not None:
            with suppress(OSError):
                (self.path / WRITER).unlink()
            self._lock.release()
            self._lock = None

    def _settle_in(self) -> None:
        """Say who writes here, and clear up after runs that were killed."""
        writer = {"pid": os.getpid(), "host": socket.gethostname()}
        write_text(self.path / WRITER, json.dumps(writer))
        # Under the lock nobody else writes such files: what is there was left behind.
        for stray in self.path.iterdir():
            if self._aside.fullmatch(stray.name):
                with suppress(OSError):
                    stray.unlink()

    def _holder(self) -> str:
        try:
            writer = load_json(self.path / WRITER)
            return f"process {writer['pid']} on {writer['host']}"
        except (OSError, ValueError, LookupError, TypeError):
            return "a process that has not yet said its number"
