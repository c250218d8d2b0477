"""Downloads of raw files: verified, whole and as pinned, or not at all.

A server's certificate is verified, plain http is refused in addresses and redirects,
and what comes is written aside, counted and hashed before it takes its name.
"""

import hashlib
import os
import pathlib
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from http.client import HTTPException
from typing import Any, BinaryIO

from multidd._version import __version__
from multidd.errors import CorruptFileError, StorageError
from multidd.graph.data.raw_files import ZIP_FAULTS
from multidd.storage.atomic import naming, replacing

__all__ = ["SHA256", "download", "download_archive", "unpack"]

MAX_DOWNLOAD_BYTES = 2**32
"""Most bytes of one file."""

MAX_ARCHIVE_BYTES = 2**32
"""Most that a downloaded archive may unpack to."""

TIMEOUT = 30.0
"""Seconds in which a server must answer, and send more."""

CHUNK_BYTES = 2**20

SHA256 = {
    "ind.cora.x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
    "ind.cora.tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
    "ind.cora.allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
    "ind.cora.y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
    "ind.cora.ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
    "ind.cora.ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
    "ind.cora.graph": (
        "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d"
    ),
    "ind.cora.test.index": (
        "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875"
    ),
    "ind.citeseer.x": (
        "d20de19150741e555de0ed037195630fc194114ebc7fd72ced62810148aa22f6"
    ),
    "ind.citeseer.tx": (
        "539a8906a2da97628d212f2fdd668c109a8b3f0d36574b59e5d3fd5b5303da21"
    ),
    "ind.citeseer.allx": (
        "2ac30345d95c9ec933a817ee0bdd6a5f077f8c184a20e696910192d534414668"
    ),
    "ind.citeseer.y": (
        "8ba87e515d8e3ee3cf52f6d2c5b86aa73f11ecad825a808455209ec26cd54924"
    ),
    "ind.citeseer.ty": (
        "55e5bd1ba1e733a04598753ad1a8d57957f4b8f89e74519f41f4f4938767e4ce"
    ),
    "ind.citeseer.ally": (
        "f704b2d986dde6c2669934de1f3ae5696a6cf9455c0f6b2646a2d135ea0a1c95"
    ),
    "ind.citeseer.graph": (
        "d79a4ef9d3e7169aee8946145f6b7306e35bc79bffad26346cfb94e10e9912a7"
    ),
    "ind.citeseer.test.index": (
        "2af990671580b6b2df5d158d1038f8292e30c9cd821b5453f399659b25b723d4"
    ),
}
"""Of files whose originals are known; those of other names are taken as they come."""


class SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https alone."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """The next request; called by urllib."""
        _check_https(newurl, f"{req.full_url} leads to")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> urllib.request.OpenerDirector:
    """What opens addresses: certificates are verified, redirects stay secure.

    Example:
        >>> any(isinstance(h, SecureRedirects) for h in opener().handlers)
        True
    """
    context = ssl.create_default_context()
    secure = urllib.request.HTTPSHandler(context=context)
    result = urllib.request.build_opener(secure, SecureRedirects)
    result.addheaders = [("User-Agent", f"multidd/{__version__}")]
    return result


def download(url: str, path: pathlib.Path, sha256: str | None = None) -> None:
    """Download a file whole, or not at all.

    Args:
        url: of the file, https.
        path: where it goes; a file that is there stays.
        sha256: of its content, where that is known.

    Raises:
        CorruptFileError: the content is another, or too large; nothing is left of it.
        StorageError: no secure connection, no such file, an end before the end; or the
            file cannot be written.

    Example:
        >>> download("http://example.org/x", pathlib.Path("x"))
        Traceback (most recent call last):
        ...
        multidd.errors.StorageError: the address http://example.org/x is not secure; ...
    """
    _check_https(url, "the address")
    if path.exists():
        return
    with naming(path.parent, "make the folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _answer(url) as response, replacing(path) as file:
        actual = _copied(url, response, file)
        if sha256 not in (None, actual):
            raise CorruptFileError(
                f"{url} is not the file that is known as {path.name}: its SHA-256 is "
                f"{actual}, that of the known one {sha256}; nothing was kept of it. "
                f"Get the file elsewhere and put it at {path}"
            )


def _check_https(url: str, noun: str) -> None:
    if urllib.parse.urlsplit(url).scheme != "https":
        raise StorageError(
            f"{noun} {url} is not secure; files are downloaded over https only"
        )


def _answer(url: str) -> Any:
    """The open response to a request."""
    host = urllib.parse.urlsplit(url).hostname
    try:
        return opener().open(url, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        raise StorageError(f"{url} answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, TimeoutError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise StorageError(
                f"the certificate of {host} cannot be verified "
                f"({reason.verify_message}), and what it sends is not read; check the "
                "clock, or name your certificates in SSL_CERT_FILE"
            ) from error
        raise StorageError(f"no connection to {host}: {reason}") from error


def _copied(url: str, response: Any, file: BinaryIO) -> str:
    """Copy a response whole; the SHA-256 of what came."""
    length = response.headers.get("Content-Length")
    expected = int(length) if length and length.isdecimal() else None
    size, total = 0, hashlib.sha256()
    while chunk := _more(url, response, size):
        size += len(chunk)
        if max(size, expected or 0) > MAX_DOWNLOAD_BYTES:
            raise CorruptFileError(
                f"{url} is larger than {MAX_DOWNLOAD_BYTES} bytes; nothing was kept"
            )
        total.update(chunk)
        file.write(chunk)
    if expected is not None and size != expected:
        raise StorageError(
            f"{url} ended after {size} of {expected} bytes; repeat the call"
        )
    return total.hexdigest()


def _more(url: str, response: Any, size: int) -> bytes:
    try:
        chunk: bytes = response.read(CHUNK_BYTES)
    except (OSError, HTTPException) as error:
        raise StorageError(
            f"{url} broke off after {size} bytes ({error}); repeat the call"
        ) from error
    return chunk


# --- archives -------------------------------------------------------------------


def download_archive(url: str, home: pathlib.Path, folders: dict[str, str]) -> None:
    """Download a zip and unpack some of its files.

    Args:
        url: of the archive.
        home: where the files go.
        folders: folder in the archive -> folder below `home`; the files of other
            folders are left aside.

    Raises:
        CorruptFileError: it is no zip, or unpacks to too much.
        StorageError: as `download`.
    """
    archive_path = home / f"download.{os.getpid()}.zip"
    try:
        download(url, archive_path)
        unpack(archive_path, home, folders)
    finally:
        archive_path.unlink(missing_ok=True)


def unpack(path: pathlib.Path, home: pathlib.Path, folders: dict[str, str]) -> None:
    """Unpack the files that lie directly in some folders of a zip.

    A name in the archive decides only which of `folders` a file goes to: its last part
    is taken, and nothing is written anywhere else.

    Args:
        path: of the archive.
        home: where the files go.
        folders: folder in the archive -> folder below `home`.

    Raises:
        CorruptFileError: it is no zip, or unpacks to too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {}
            for info in archive.infolist():
                above, _, last = info.filename.rpartition("/")
                if (
                    above in folders
                    and last not in ("", ".", "..")
                    and "\\" not in last
                ):
                    infos[home / folders[above] / last] = info
            size = sum(info.file_size for info in infos.values())
            if size > MAX_ARCHIVE_BYTES:
                raise CorruptFileError(f"{path} unpacks to {size} bytes; leave it")
            for target, info in infos.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, replacing(target) as file:
                    shutil.copyfileobj(source, file)
    except CorruptFileError:
        raise
    except ZIP_FAULTS as error:
        raise CorruptFileError(f"{path} cannot be unpacked: {error}") from error
