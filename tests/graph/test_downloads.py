"""Downloads: verified, whole and as pinned, or nothing at all."""

import errno
import hashlib
import os
import socket
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multidd.errors import CorruptFileError, MultiddError, StorageError
from multidd.graph import load
from multidd.graph.data import benchmarks, downloads
from tests.graph import raw_folders
from tests.graph.https_server import Answer, serving

BODY = b"raw file" * 1000
ANSWERS: dict[str, Answer] = {
    "/file": (200, {}, BODY),
    "/moved": (302, {"Location": "/file"}, b""),
    "/insecure": (302, {"Location": "http://127.0.0.1:9/file"}, b""),
    "/elsewhere": (302, {"Location": "ftp://127.0.0.1:9/file"}, b""),
    "/missing": (404, {}, b"none"),
    "/short": (200, {"Content-Length": "9000"}, BODY),
    "/claims": (200, {"Content-Length": str(2**40)}, BODY),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any) -> Iterator[tuple[str, Path]]:
    with serving(tmp_path_factory.mktemp("server"), ANSWERS) as place:
        yield place


@pytest.fixture
def trusted(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server whose certificate is on the list."""
    address, certificate = server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "*")
    return address


def nothing_is_left(folder: Path) -> bool:
    return not [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["file", "moved"])
def test_a_file_comes_whole(name: str, trusted: str, tmp_path: Path) -> None:
    path, sha256 = tmp_path / "raw" / "a", hashlib.sha256(BODY).hexdigest()
    downloads.download(f"{trusted}/{name}", path, sha256)
    assert path.read_bytes() == BODY and os.listdir(path.parent) == ["a"]
    downloads.download(f"{trusted}/missing", path)  # what is there stays
    assert path.read_bytes() == BODY


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("insecure", StorageError, "/insecure leads to http://.*/file is not secure; "),
        ("elsewhere", StorageError, "(not secure|not allowed)"),
        ("missing", StorageError, "/missing answers 404 Not Found$"),
        ("short", StorageError, "/short (ended|broke off) after .*; repeat the call"),
        ("claims", CorruptFileError, "/claims is larger than .*; nothing was kept"),
    ],
)
def test_what_is_refused_leaves_nothing(
    name: str, error: Any, message: str, trusted: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        downloads.download(f"{trusted}/{name}", tmp_path / "a")
    assert nothing_is_left(tmp_path)


def test_other_content_is_refused_with_both_digests(
    trusted: str, tmp_path: Path
) -> None:
    actual, known = hashlib.sha256(BODY).hexdigest(), "ab" * 32
    message = rf"known as a: its SHA-256 is {actual}, that of the known one {known}; "
    with pytest.raises(CorruptFileError, match=message):
        downloads.download(f"{trusted}/file", tmp_path / "a", known)
    assert nothing_is_left(tmp_path)


def test_a_larger_file_is_refused(
    trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_DOWNLOAD_BYTES", 100)
    with pytest.raises(CorruptFileError, match="/file is larger than 100 bytes"):
        downloads.download(f"{trusted}/file", tmp_path / "a")
    assert nothing_is_left(tmp_path)


def test_a_certificate_is_verified(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, certificate = server
    monkeypatch.setenv("no_proxy", "*")
    message = "certificate of 127.0.0.1 cannot be verified .self.signed.*SSL_CERT_FILE"
    with pytest.raises(StorageError, match=message):
        downloads.download(f"{address}/file", tmp_path / "a")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    other = address.replace("127.0.0.1", "localhost")  # a name that it is not of
    with pytest.raises(StorageError, match="of localhost cannot be verified .*ismatch"):
        downloads.download(f"{other}/file", tmp_path / "a")
    assert nothing_is_left(tmp_path)


def test_plain_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="address http://.* is not secure; .* https"):
        downloads.download("http://127.0.0.1:9/file", tmp_path / "a")


@pytest.mark.parametrize(
    "fault",
    [
        urllib.error.URLError(socket.gaierror(-2, "Name or service not known")),
        urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")),
        TimeoutError("timed out"),
    ],
)
def test_offline(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Offline:
        def open(self, url: str, timeout: float) -> None:
            assert timeout == downloads.TIMEOUT
            raise fault

    monkeypatch.setattr(downloads, "opener", Offline)
    with pytest.raises(StorageError, match="^no connection to example.org: .*(no|ed)"):
        downloads.download("https://example.org/a", tmp_path / "a")
    monkeypatch.delenv("MULTIDD_DATA", raising=False)
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))
    message = "pubmed is neither under .*failed .no connection to github.com: .*put its"
    with pytest.raises(MultiddError, match=message):
        load("pubmed")
    assert nothing_is_left(tmp_path)


def test_a_full_disk_is_named(
    trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="cannot write .*/a: No space.*free some"):
        downloads.download(f"{trusted}/file", tmp_path / "a")
    assert nothing_is_left(tmp_path)


@pytest.mark.data("graph/Cora", "graph/CiteSeer")
def test_files_at_hand_are_those_that_are_pinned(data_root: Path) -> None:
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("Cora", "CiteSeer")
        for path in (data_root / "graph" / name / "raw").glob("ind.*")
    }
    assert len(digests) == 16 and digests == downloads.SHA256


def test_every_benchmark_is_downloaded_over_https() -> None:
    urls = [url for source in benchmarks.DATASETS.values() for url in source.urls]
    assert len(urls) > 25 and all(url.startswith("https://") for url in urls)
    files = {Path(f).name for source in benchmarks.DATASETS.values()
             for f in source.files}  # fmt: skip
    assert set(downloads.SHA256) <= files


def test_what_is_absent_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file once, into the cache, with the digest that is known of it."""
    source = raw_folders.write_planetoid(tmp_path / "there", "PubMed") / "raw"
    requests: list[str] = []

    def copy(url: str, path: Path, sha256: str | None) -> None:
        requests.append(path.name)
        assert sha256 is None  # of PubMed none is known
        if len(requests) == 5:
            raise StorageError("the connection broke")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((source / path.name).read_bytes())

    monkeypatch.setattr(benchmarks, "download", copy)
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MULTIDD_DATA", raising=False)
    with pytest.raises(MultiddError, match=r"downloading it failed \(the connection b"):
        load("pubmed")
    data = load("pubmed")
    assert len(requests) == 5 + 8 and data.num_nodes == raw_folders.NODES


def test_a_wrong_file_of_a_benchmark_is_named(
    trusted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is asked: CiteSeer's first file is not that of this server."""
    source = benchmarks.DATASETS["citeseer"]
    monkeypatch.setattr(
        benchmarks, "download", lambda url, *rest: downloads.download(
            f"{trusted}/file", *rest))  # fmt: skip
    first = downloads.SHA256["ind.citeseer.x"]
    with pytest.raises(CorruptFileError, match=f"ind.citeseer.x: .*known one {first};"):
        source.download(tmp_path)
    assert nothing_is_left(tmp_path)


def test_an_archive_writes_into_its_folders_only(tmp_path: Path) -> None:
    members = {
        "MUTAG/MUTAG_A.txt": b"1, 2\n",
        "MUTAG/../../out.txt": b"",
        "../out.txt": b"",
        "/out.txt": b"",
        "MUTAG/..": b"",
        "MUTAG/a\\out.txt": b"",
        "other/file.txt": b"",
    }
    archive = raw_folders.zip_of(tmp_path / "a.zip", members)
    downloads.unpack(archive, tmp_path / "home", {"MUTAG": "raw"})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert set(files) == {archive, tmp_path / "home/raw/MUTAG_A.txt"}
    archive.write_bytes(b"no zip")
    with pytest.raises(CorruptFileError, match="a.zip cannot be unpacked: "):
        downloads.unpack(archive, tmp_path / "home", {"MUTAG": "raw"})
