"""`multidd doctor` says what there is, what is missing, and how to get it."""

import json
from importlib import metadata
from types import SimpleNamespace

import pytest

from multidd import modality
from multidd.cli import doctor
from multidd.cli.doctor import BROKEN, NOTE, OK, checks, size
from multidd.errors import ModalityError


def by_name():
    return {check.name.strip(): check for check in checks()}


def test_what_is_there(call, monkeypatch, tmp_path):
    cache = tmp_path / "cache/multidd/whole"
    cache.mkdir(parents=True)
    (cache / "a.json").write_bytes(b"x" * 1500)
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    code, printed, err = call("doctor")
    assert (code, err) == (0, "")
    assert max(map(len, printed.splitlines())) <= 80 or str(tmp_path) in printed
    for group in ("Versions", "Machine", "Modalities", "Data", "Disk"):
        assert f"{group}\n    " in printed
    assert "nothing is broken" in printed and "MULTIDD_DATA" in printed
    code, printed, _ = call("doctor", "--json")
    result = json.loads(printed)
    assert code == 0 and result["ok"] is True
    checks = {check["name"].strip(): check for check in result["checks"]}
    assert set(checks["torch"]) == {"group", "name", "state", "value", "advice"}
    assert checks["torch"]["value"] == metadata.version("torch")
    assert checks["cache"]["value"] == f"{tmp_path}/cache/multidd, 1.5 kB"
    assert checks["whole"]["value"] == "1.5 kB"
    assert {*modality.own_names()} <= set(checks)


def test_every_dependency_is_looked_at():
    import tomllib

    from tests.source import ROOT

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {line.partition(">=")[0] for line in project["dependencies"]}
    assert names == set(doctor.REQUIRED)


@pytest.mark.parametrize(
    ("version", "state", "value"),
    [
        (None, BROKEN, "not installed"),
        ("2.3.9", BROKEN, "2.3.9, at least 2.4 is needed"),
        ("2.13.0+cpu", OK, "2.13.0+cpu"),
    ],
)
def test_a_package_that_is_missing_or_old(monkeypatch, version, state, value):
    def installed(name):
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(doctor.metadata, "version", installed)
    check = doctor._package("Versions", "torch", "2.4")
    assert (check.state, check.value) == (state, value)
    assert (check.advice == 'pip install "torch>=2.4"') == (state == BROKEN)


def test_something_broken_is_exit_code_1(call, monkeypatch, tmp_path):
    monkeypatch.setenv("MULTIDD_DATA", str(tmp_path / "none"))

    def parts(name):
        raise ModalityError(f"the modality {name!r} does not load")

    monkeypatch.setattr(modality, "parts", parts)
    code, printed, err = call("doctor")
    assert (code, err) == (1, "")
    assert "  ! MULTIDD_DATA" in printed and "5 broken (!)" in printed
    code, printed, _ = call("doctor", "--json")
    assert code == 1 and json.loads(printed)["ok"] is False


def test_data_that_are_there_and_not(monkeypatch, tmp_path):
    monkeypatch.setenv("MULTIDD_DATA", str(tmp_path))
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph/a.npz").write_bytes(b"x" * 2_000_000)
    lines = [check for check in checks() if check.group == "Data"]
    states = {check.name.strip(): (check.state, check.value) for check in lines}
    assert states["graph"] == (OK, "2.0 MB")
    assert states["text"] == (NOTE, f"no {tmp_path / 'text'}")
    assert states["samples"][0] == OK


def test_a_full_disk_is_noted(monkeypatch, tmp_path):
    usage = SimpleNamespace(free=10**6)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage)
    check = doctor._free("Disk", "free here", tmp_path / "not/there/yet")
    assert (check.state, check.value) == (NOTE, "1.0 MB")
    assert "free some space" in check.advice


def test_sizes_in_words():
    words = [size(count) for count in (0, 999, 1000, 2.5e9, 3e15)]
    assert words == ["0 B", "999 B", "1.0 kB", "2.5 GB", "3000.0 TB"]
