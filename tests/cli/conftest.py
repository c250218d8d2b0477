"""Commands called in this process, on nothing but what ships with the library."""

import re
import sys
from collections.abc import Callable

import pytest
from matplotlib.figure import Figure

from multidd.cli import main
from tests.cli import logs

Call = Callable[..., tuple[int, str, str]]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def shipped_data_only(monkeypatch, tmp_path_factory):
    """The samples as they ship, whatever data folder or cache this machine has."""
    monkeypatch.delenv("MULTIDD_DATA", raising=False)
    folder = tmp_path_factory.getbasetemp() / "cli-cache"
    monkeypatch.setenv("MULTIDD_CACHE", str(folder))


@pytest.fixture
def rendered():
    """Asked for by a test whose pictures have pixels."""


@pytest.fixture(autouse=True)
def pictures_without_pixels(request, monkeypatch):
    """Figures are made and written, but not rendered, which takes the longest."""
    if "rendered" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", lambda _, file, **how: file.write(PNG))


@pytest.fixture
def call(monkeypatch, capsys) -> Call:
    """`call("show", path)` -> (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["multidd", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main.main()
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return call


@pytest.fixture
def fails(call) -> Callable[..., None]:
    """Checks that a command fails by one sentence and exit code 2."""

    def fails(message, *words):
        code, out, err = call(*words)
        assert code == 2
        assert re.search(message, err), err
        assert "Traceback" not in err
        assert err.startswith("multidd: ")
        assert err.count("\n") == 1

    return fails


# --- a log; modules of other modalities keep a run of their own -----------------------


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """The file."""
    return logs.write_events(tmp_path_factory.mktemp("log") / "events.parquet")


@pytest.fixture
def distill(events):
    """Words of a quick run on it."""
    return logs.quick(events)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, events):
    """A run folder of users of it."""
    return logs.write_run(tmp_path_factory.mktemp("runs") / "run", events)
