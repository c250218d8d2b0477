"""A cache only saves time: whatever is wrong with it counts as absent."""

import json
from pathlib import Path
from typing import Any

import pytest

from multidd.storage import cache

KEY = {"data": {"x": "abc"}, "seed": 0}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))
    return tmp_path


def cached_path(folder: Path) -> Path:
    (only,) = folder.rglob("*.json")
    return only


def test_comes_back(own_folder: Path) -> None:
    assert cache.read_cached("whole", KEY) is None
    cache.write_cached("whole", KEY, {"accuracy": 0.5})
    assert cache.read_cached("whole", KEY) == {"accuracy": 0.5}
    assert cached_path(own_folder).is_relative_to(own_folder / "multidd" / "whole")


@pytest.mark.parametrize("other", [{"seed": 1}, {"data": {"x": "abd"}}, {"more": 1}])
def test_other_keys_find_nothing(other: dict) -> None:
    cache.write_cached("whole", KEY, {"accuracy": 0.5})
    assert cache.read_cached("whole", KEY | other) is None
    assert cache.read_cached("half", KEY) is None
    reordered = dict(reversed(KEY.items()))
    assert cache.read_cached("whole", reordered) == {"accuracy": 0.5}


def damaged(file: Path) -> list[bytes]:
    whole = file.read_bytes()
    other = json.dumps({"key": {"seed": 9}, "value": {"accuracy": 9}}).encode()
    valueless = json.dumps({"key": KEY}).encode()
    return [b"", whole[:-5], b"\xff\xfe\x00", b"[1]", b"null", other, valueless]


@pytest.mark.parametrize("which", range(7))
def test_damaged_file_counts_as_absent(which: int, own_folder: Path) -> None:
    cache.write_cached("whole", KEY, {"accuracy": 0.5})
    file = cached_path(own_folder)
    file.write_bytes(damaged(file)[which])
    assert cache.read_cached("whole", KEY) is None
    cache.write_cached("whole", KEY, {"accuracy": 0.6})
    assert cache.read_cached("whole", KEY) == {"accuracy": 0.6}


def test_tuples_in_a_key_are_found_again() -> None:
    key: dict[str, Any] = {"betas": (0.9, 0.999)}
    cache.write_cached("whole", key, {"accuracy": 0.5})
    assert cache.read_cached("whole", key) == {"accuracy": 0.5}


def test_folder_that_cannot_be_written_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "file"))
    cache.write_cached("whole", KEY, {"accuracy": 0.5})
    assert cache.read_cached("whole", KEY) is None
    assert (tmp_path / "file").read_text() == "in the way"


def test_without_a_home_the_folder_goes_with_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in containers with any user."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("MULTIDD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    ends: list[Any] = []
    monkeypatch.setattr(
        cache.atexit, "register", lambda call, *args, **more: ends.append((call, args))
    )
    cache._of_this_process.cache_clear()
    try:
        folder = cache.folder()
        assert folder == cache.folder() and folder.name == "multidd"
        assert folder.parent.is_dir()
        cache.write_cached("whole", KEY, {"accuracy": 0.5})
        assert cache.read_cached("whole", KEY) == {"accuracy": 0.5}
        ((end, args),) = ends
        end(*args)
        assert not folder.parent.exists()
    finally:
        cache._of_this_process.cache_clear()


def test_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MULTIDD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache.folder() == Path("/somewhere/multidd")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/anyone")
    assert cache.folder() == Path("/home/anyone/.cache/multidd")
