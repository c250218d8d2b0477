"""Atomic writes: aside and renamed, so that the old or the new file is whole."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

from multidd.errors import CorruptFileError, MultiddError, StorageError

PathLike: TypeAlias = str | os.PathLike[str]

_ADVICE = {
    errno.ENOSPC: "free some space and repeat the call",
    errno.EDQUOT: "free some of your quota and repeat the call",
    errno.ENOENT: "make the folder first, or correct the path",
}


def user_path(path: PathLike) -> Path:
    """A path as people write it: `~` at its beginning is their home folder.

    Raises:
        StorageError: there is no such home folder.

    Example:
        >>> user_path("runs/cora").parts
        ('runs', 'cora')
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise StorageError(f"{path}: {error}; write the path out") from None


def output_path(path: PathLike) -> Path:
    """A path that is to be written, as people write it.

    Raises:
        StorageError: there is no such home folder.
        ValueError: an empty path, which would stand for the current folder.

    Example:
        >>> output_path("runs/cora").parts
        ('runs', 'cora')
    """
    if path == "":
        raise ValueError('a path is empty; give one, such as "." for this folder')
    return user_path(path)


@contextmanager
def naming(path: Path, doing: str) -> Iterator[None]:
    """Turn the system's errors into ours, with the path and the reason."""
    try:
        yield
    except MultiddError:
        raise
    except OSError as error:
        # A sector that cannot be read back is damage, not a matter of permission.
        lost = doing == "read" and error.errno == errno.EIO
        advice = _ADVICE.get(error.errno or 0, "check the path and its permissions")
        raise (CorruptFileError if lost else StorageError)(
            f"cannot {doing} {path}: {error.strerror or error}; {advice}"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file aside that takes the name once it is whole, and goes away if it is not.

    Args:
        path: the name; what stands there before is whole at every moment.

    Raises:
        StorageError: it could not be written.

    Example:
        >>> with replacing(Path("a.txt")) as file:
        ...     _ = file.write(b"all of it")
        >>> Path("a.txt").read_bytes()
        b'all of it'
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    with naming(path, "write"):
        try:
            with open(aside, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, path)
            _sync_folder(path.parent)
        finally:
            with suppress(OSError):
                aside.unlink()  # gone already unless something failed


def replace(path: Path, *parts: bytes | memoryview) -> None:
    """Write aside, flush to the disk, rename: `path` is whole at every moment."""
    with replacing(path) as file:
        file.writelines(parts)


def _sync_folder(folder: Path) -> None:
    """Make a rename outlive a power cut, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks
            raise
    finally:
        os.close(handle)


def write_text(path: PathLike, text: str) -> None:
    """Write a report (JSON, Markdown) whole or not at all, as UTF-8.

    Raises:
        StorageError: the file could not be written; the old one is whole.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text(f"{folder}/report.md", "accuracy: 0.8")
        ...     Path(f"{folder}/report.md").read_text()
        'accuracy: 0.8'
    """
    write_bytes(path, text.encode())


def write_bytes(path: PathLike, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageError: the file could not be written; the old one is whole.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_bytes(f"{folder}/picture.png", b"...")
        ...     Path(f"{folder}/picture.png").read_bytes()
        b'...'
    """
    replace(user_path(path), content)


def check_writable(folder: PathLike) -> None:
    """Make `folder` if needed and prove that files can be written there.

    Called before the first step, so that no run finds out at its first checkpoint.

    Raises:
        StorageError: the folder cannot be made or written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_writable(f"{folder}/run/1")
        ...     os.listdir(f"{folder}/run/1")
        []
    """
    folder = user_path(folder)
    probe = folder / f".probe.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    with naming(folder, "write to the folder"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # os.access says yes to root on a read-only disk; only writing tells.
            probe.write_bytes(b"?")
        finally:
            with suppress(OSError):
                probe.unlink()
