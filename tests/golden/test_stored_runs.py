"""What an earlier version stored: its summaries are read, its runs are run again and
end alike, and its half-done checkpoints are gone on with.

Where machine and versions are those that made the files, to the bit; else up to what
another processor's arithmetic changes. The calls stand in `tests.golden.runs`.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd.settings import current_names
from multidd.storage.files import read, write
from tests.golden.make_stored_runs import (
    CHECKPOINT,
    EXPERTS,
    NOTE,
    STORED,
    cached_experts,
    half_done,
)
from tests.golden.runs import HALF, LEARNED, RUNS, STEPS, Watch, machine, versions

KEPT = json.loads(NOTE.read_text())

COMPUTED = re.compile(
    r"versions"
    r"|task\.(rows|features|preprocessing|latents|decoder|table\.key)"
    r"|objective\.(inner\.optimizer\.lr|parts\.1\.objective\.max_density)"
    r"|parameterization\.(generator|start|base\.start|base\.rows)"
    r"|recipe\.encoder\.key"
)
"""Settings that are the machine's, or digests of what was computed on it."""

HERE = machine()

every = pytest.mark.parametrize("name", RUNS)
learned = pytest.mark.parametrize("name", LEARNED)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the files were made."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def experts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of the test's own that holds the stored experts."""
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(EXPERTS, cached_experts()))


def is_exact(name: str) -> bool:
    """Whether this machine gives the bits of the one that made the files."""
    return HERE == KEPT["machines"].get(name, KEPT["machine"])


def alike(summary: Any, name: str) -> None:
    """The summary is the stored one, and so is what its card tells of the making."""
    stored_summary = multidd.load(STORED / name)
    assert type(summary) is type(stored_summary)
    facts = ("method", "seed", "labels", "steps")
    for fact in facts:
        assert getattr(summary.card, fact) == getattr(stored_summary.card, fact), fact
    if is_exact(name):
        assert summary.digest() == KEPT["digests"][name]
        for fact in ("settings", "source", "decoder", "preprocessing", "history"):
            value, was = (
                _plain(getattr(card, fact))
                for card in (summary.card, stored_summary.card)
            )
            assert value == was, fact
        return
    assert summary.card.history == pytest.approx(
        stored_summary.card.history, rel=1e-3, abs=1e-6
    )
    assert set(summary.tensors) == set(stored_summary.tensors)
    for key, was in stored_summary.tensors.items():
        torch.testing.assert_close(summary.tensors[key], was, rtol=1e-3, atol=1e-4)


def _plain(facts: Any) -> Any:
    return json.loads(json.dumps(facts))


def files(folder: Path) -> dict[str, bytes]:
    """Content of every file."""
    result = (path for path in folder.rglob("*.safetensors"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in result}


# --- the tests ----------------------------------------------------------------


@every
def test_a_stored_summary_is_read(name: str) -> None:
    summary = multidd.load(STORED / name)
    assert summary.digest() == KEPT["digests"][name]
    assert (
        summary.card.steps == len(summary.card.history) == (STEPS * (name in LEARNED))
    )


@every
def test_the_same_run_ends_alike(name: str, experts: Path) -> None:
    alike(RUNS[name](), name)
    if is_exact(
        name
    ):  # those that were stored are found, and none is recorded beside them
        assert files(experts) == files(EXPERTS)


@learned
def test_a_half_done_run_goes_on(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    path = Path(shutil.copy(STORED / name / CHECKPOINT, folder))
    if not is_exact(name) or versions() != KEPT["versions"]:
        adopt(path, name, tmp_path / "own")
    watch = Watch()
    result = RUNS[name](checkpoint=str(folder), callbacks=[watch])
    assert watch.seen == list(range(HALF + 1, STEPS + 1))
    alike(result, name)


def adopt(path: Path, name: str, folder: Path) -> None:
    """Give a checkpoint of elsewhere what is computed here. All other settings stay,
    and the run compares them."""
    half_done(RUNS[name], folder)
    tensors, content = read(path, kind="checkpoint")
    _, here = read(folder / CHECKPOINT, kind="checkpoint")
    info = content["info"]
    was = current_names(info["settings"])
    info["settings"] = _adopted(was, here["info"]["settings"])
    write(path, tensors, content, kind="checkpoint")


def _adopted(was: Any, here: Any, place: str = "") -> Any:
    if COMPUTED.fullmatch(place):
        return here
    if isinstance(was, dict) and isinstance(here, dict):
        inside = {key: f"{place}.{key}".lstrip(".") for key in was}
        return {
            key: _adopted(value, here.get(key, value), inside[key])
            for key, value in was.items()
        }
    if isinstance(was, list) and isinstance(here, list) and len(was) == len(here):
        pairs = enumerate(zip(was, here, strict=True))
        return [_adopted(*pair, f"{place}.{i}") for i, pair in pairs]
    return was


def test_nothing_else_is_stored() -> None:
    assert list(KEPT["digests"]) == list(RUNS)
    results = {path.name for path in STORED.iterdir()}
    assert results == {*RUNS, NOTE.name, EXPERTS.name}
    assert sum(len(content) for content in files(STORED).values()) < 3e6
