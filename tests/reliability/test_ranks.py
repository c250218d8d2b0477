"""One run on several processes: the same numbers, and no hang when one of them ends."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multidd.engine.checkpoint import CheckpointFolder
from multidd.parallel import ranks
from multidd.storage.lock import FolderLock
from tests.reliability import rank_runs
from tests.reliability.conftest import ROOT
from tests.reliability.rank_runs import Group, Numbers, close, ended, numbers_of, shared


def all_shared() -> dict[str, Numbers]:
    return shared({**rank_runs.image_calls(), **rank_runs.other_calls()})


def same_bits(one: Numbers, other: Numbers) -> bool:
    tensors = all(np.array_equal(one[0][name], other[0][name]) for name in other[0])
    return tensors and tuple(one[1]) == tuple(other[1])


# --- the same numbers -----------------------------------------------------------------


@pytest.fixture(scope="module")
def alone() -> dict[str, Numbers]:
    return all_shared()


EXACT = ("means, by classes", "scored")
"""Runs whose records are those of one process bit for bit."""


@pytest.mark.parametrize("world", [2, pytest.param(3, marks=pytest.mark.full)])
def test_any_number_of_ranks_gives_the_same(children: Any, world: int, alone: Any):
    results = Group(children, world, all_shared).results()
    assert all(set(one) == set(alone) for one in results)
    gaps = {name: close([r[name] for r in results], alone[name]) for name in alone}
    # A root near zero: another order of the real rows in one process moves its gradient
    # by up to 4e-5.
    loose = {name: 1e-4 for name in gaps if name.startswith("functions")}
    assert not {n: gap for n, gap in gaps.items() if gap > loose.get(n, 1e-5)}
    for name in EXACT:
        for one in results:
            assert np.array_equal(one[name][0]["x"], alone[name][0]["x"]), name


@pytest.mark.full
def test_every_method_has_the_losses_of_one_process(children: Any):
    """Of the first step: Adam, which most take, turns signs of numbers near zero, and
    tiny sets make the second step of some hang on these."""
    alone = rank_runs.losses_of_methods()
    for losses in Group(children, 2, rank_runs.losses_of_methods).results(600):
        assert set(losses) == set(alone)
        for name, history in losses.items():
            assert history[0] == pytest.approx(alone[name][0], rel=1e-4), name


def test_a_process_alone_computes_what_it_would_without_the_block():
    outside = rank_runs.long_run()
    with ranks() as group:
        inside = rank_runs.long_run()
    assert group.is_alone and inside.digest() == outside.digest()
    assert same_bits(numbers_of(inside), numbers_of(outside))


def test_outside_of_the_block_nothing_is_shared(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert rank_runs.long_run(steps=1).card.steps == 1  # it would wait for rank 0
    with pytest.raises(ValueError, match="MASTER_ADDR, MASTER_PORT is not in the env"):
        ranks().__enter__()


@pytest.mark.parametrize(
    "settings, fault",
    [
        ({"share": "models"}, "share must be 'classes', 'rows' or None; got 'models'"),
        ({"timeout": 0}, "timeout must be seconds above 0, got 0"),
        ({"timeout": float("nan")}, "timeout must be seconds above 0, got nan"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], fault: str):
    with pytest.raises(ValueError, match=fault):
        ranks(**settings).__enter__()


# --- one of them ends -----------------------------------------------------------------


@pytest.fixture(scope="module")
def unbroken(module_children: Any) -> Numbers:
    """The long run on two ranks, without a folder."""
    first, second = Group(module_children, 2, run_long, None).results()
    assert same_bits(first, second)
    return first


def run_long(folder: Path | None, **settings: Any) -> Any:
    return ended(lambda group: rank_runs.long_run(folder, **settings))[0]


@pytest.mark.parametrize("victim", [0, 1])
def test_sigkill_then_the_same_again(
    children: Any, tmp_path: Path, victim: int, unbroken: Numbers
):
    step = random.Random(victim).randint(3, 7)
    results = Group(children, 2, rank_runs.killed, tmp_path, victim, step).results()
    assert results.pop(victim) is None
    [((kind, text), _, seconds)] = results
    assert kind == "LostRankError" and "lost another rank" in text and seconds < 60
    for one in Group(children, 2, run_long, tmp_path).results():
        assert same_bits(one, unbroken)


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
def test_another_number_of_ranks_goes_on(
    children: Any, tmp_path: Path, before: int, after: int, unbroken: Numbers
):
    Group(children, before, run_half, tmp_path).results()
    for numbers, said, _ in Group(children, after, run_on, tmp_path).results():
        assert close([numbers], unbroken) < 1e-5
        assert any("RankCountWarning" in t and f"on {before} ranks" in t for t in said)


def run_half(folder: Path) -> Any:
    return ended(lambda group: rank_runs.interrupted(folder, 4))


def run_on(folder: Path) -> Any:
    return ended(lambda group: rank_runs.long_run(folder))


def test_a_signal_to_one_stops_all_after_the_same_step(children: Any, tmp_path: Path):
    results = Group(children, 2, rank_runs.signalled, tmp_path).results()
    for (error, _, _), steps in results:
        assert error[0] == "RunInterrupted" and steps == 3
        assert f"signal {int(signal.SIGTERM)} after step 3 of 8" in error[1]
    assert [path.name for path in tmp_path.glob("step-*3.*")]


def test_what_is_not_finite_on_one_rank_stops_all(children: Any):
    for error, _, seconds in Group(children, 2, rank_runs.diverging).results():
        assert error[0] == "DivergedError" and "at step 0" in error[1]
        assert seconds < 50  # and not the 60 that a rank waits for another


def test_a_rank_that_does_not_answer_is_given_up(children: Any):
    first, _ = Group(children, 2, rank_runs.silent, 1.0).results()
    (kind, text), _, seconds = first
    assert kind == "LostRankError" and "did not answer for 1 s" in text
    assert seconds < 50


@pytest.mark.full
def test_torchrun_starts_again_with_the_same_bits(tmp_path: Path, unbroken: Numbers):
    """The store of torchrun, which outlives a restart, and a second address."""
    words = "-m torch.distributed.run --standalone --nproc-per-node 2 --max-restarts 3"
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.reliability import rank_runs\n"
        "folder, again = Path(sys.argv[1]), os.environ['TORCHELASTIC_RESTART_COUNT']\n"
        "victim = 1 if again == '0' else -1\n"
        "result, said, seconds = rank_runs.killed(folder, victim, 5)\n"
        "assert isinstance(result[0], dict), result\n"
        "if rank_runs.rank_of() == 0:\n"
        "    print(again, *(float(loss).hex() for loss in result[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment |= {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words.split(), "--local-addr", "127.0.0.1", program, "run"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    expected = [float(loss).hex() for loss in unbroken[1]]
    assert done.stdout.split() == ["1", *expected]


# --- what they find out ---------------------------------------------------------------


@pytest.fixture(scope="module")
def apart(module_children: Any) -> list[dict[str, Any]]:
    return Group(module_children, 2, rank_runs.apart).results()


@pytest.mark.parametrize(
    "name, kind, fault",
    [
        ("drift", "DriftError", "state of rank 1 is not that of rank 0: params::x"),
        (
            "call",
            "DriftError",
            "call of rank 1 is not that of rank 0: seed differs",
        ),
        ("way", "ValueError", "KernelRidge on ImageTask can be shared by rows only"),
        ("twice", "ValueError", "entered already"),
        ("refused", "LockedError", "in use"),
    ],
)
def test_all_ranks_raise(apart: Any, name: str, kind: str, fault: str):
    for one in apart:
        assert one[name][0][0] == kind and fault in one[name][0][1], one[name]


def test_an_error_of_rank_0_reaches_the_others(apart: Any):
    (first, second) = (one["failed first"][0] for one in apart)
    assert first == ("ZeroDivisionError", "division by zero")
    assert second[0] == "MultiddError" and "ZeroDivisionError: division" in second[1]


@pytest.mark.parametrize("name", ["nothing", "no loop"])
def test_one_warning_says_that_there_is_nothing_to_share(apart: Any, name: str):
    first, second = (one[name][1] for one in apart)
    assert len(first) == 1 and "side by side by executor=" in first[0]
    assert second == []
    assert same_bits(apart[0][name][0], apart[1][name][0])


def test_a_callback_or_the_time_stops_all_at_once(apart: Any):
    for one in apart:
        assert len(one["stopped"][0][1]) == 3
        assert one["late"][0] == 1


def test_by_command_rank_0_alone_prints_and_writes(children: Any, tmp_path: Path):
    words = "images --method dm --data sample:fashion --ipc 1 --steps 2".split()
    words += ["--set", "width=4", "--set", "batch_size=8", "--json"]
    out = tmp_path / "run"
    first, second = Group(children, 2, rank_runs.by_command, out, *words).results()
    assert (first[0], first[2]) == (0, "") and second == (0, "", "", [])
    shown = json.loads(first[1])
    assert shown["steps"] == 2 and (out / "summary.safetensors").exists()
    alone = rank_runs.command("distill", *words, "--out", tmp_path / "alone")
    assert json.loads(alone[1])["digest"] == shown["digest"]
    with FolderLock(out):
        held = Group(children, 2, rank_runs.by_command, out, *words).results()
    assert [code for code, *_ in held] == [2, 2] and held[1][1] == ""
    assert held[0][2].startswith("multidd: ") and "in use by" in held[0][2]
    assert held[1][2].startswith("multidd: rank 1: ") and "in use by" in held[1][2]


def test_rank_0_alone_touches_the_folder(children: Any, tmp_path: Path):
    folder = tmp_path / "run"
    results = Group(children, 2, rank_runs.files_of, folder).results()
    (first, writes), (second, none) = results
    assert any("step-" in line for line in writes) and none == []
    assert same_bits(first[0], second[0])
    (again, writes), (other, none) = Group(
        children, 2, rank_runs.files_of, folder
    ).results()
    assert same_bits(again[0], other[0]) and none == []
    with CheckpointFolder(folder):
        for error, _, _ in Group(children, 2, run_on, folder).results():
            assert error[0] == "LockedError" and "is in use by process" in error[1]
