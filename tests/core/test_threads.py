"""How many threads a run takes, how they wait, and what `bench threads` prints."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import multidd
from multidd import numerics
from multidd.engine.callbacks import Every
from multidd.evaluation import thread_benchmark
from multidd.numerics import SMALL_ENTRIES, num_threads, one_thread_for, usable_cores
from multidd.objectives import GradientMatching
from tests.toy import Toy, distill, free


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("multidd.engine.loop.usable_cores", lambda: 3)
    with num_threads(4):
        yield


def run(stacked: bool, **options: Any) -> Any:
    seen: list[int] = []
    watch = Every(1, lambda _: seen.append(torch.get_num_threads()))
    task = Toy("mlp", vectorize_models=stacked)
    options = {"steps": 2, "callbacks": [watch]} | options
    summary = distill(task, GradientMatching(), free(), **options)
    assert torch.get_num_threads() == 4  # as before the run
    assert set(seen) == {summary.card.threads}
    return summary


def test_small_models_take_one_thread(four_threads: None) -> None:
    """So their bits are the same on any number of cores."""
    assert run(True).card.threads == 1


def test_others_take_no_more_than_there_are_cores(four_threads: None) -> None:
    assert run(False).card.threads == 3
    with num_threads(2):
        task = Toy("mlp", vectorize_models=False)
        assert distill(task, GradientMatching(), free(), steps=1).card.threads == 2


@pytest.mark.parametrize("stacked", [True, False])
def test_threads_that_are_asked_for(four_threads: None, stacked: bool) -> None:
    assert run(stacked, threads=2).card.threads == 2


def test_bad_numbers_of_threads() -> None:
    for value, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match=f"threads must be .*got {value}"):
            multidd.RunOptions(threads=value)  # type: ignore[arg-type]
    options = multidd.RunOptions(threads=1)
    with pytest.raises(TypeError, match="random takes no threads: it has no loop"):
        multidd.graph.random(multidd.samples.cora(), nodes=7, run=options)


def test_cores_of_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    share = tmp_path / "cpu.max"
    monkeypatch.setattr(numerics, "CPU_SHARE", share)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    for text, expected in (
        (None, cores),
        ("max 100000", cores),
        ("50000 100000", 1),
        ("900000000 100000", cores),
        ("not a share", cores),
    ):
        if text is not None:
            share.write_text(f"{text}\n")
        assert usable_cores() == expected, text


def test_how_threads_wait_is_set_on_import() -> None:
    """Unless it was told before."""
    code = "import os, multidd; print(*map(os.environ.get, {}))"
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    plain = {k: v for k, v in os.environ.items() if k not in names}
    for settings, expected in (
        ({}, "PASSIVE 10000"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "5"}, "None 5"),
    ):
        command = [sys.executable, "-c", code.format(names)]
        output = subprocess.check_output(command, env=plain | settings, text=True)
        assert output.strip() == expected


# --- bench threads --------------------------------------------------------------------


def test_the_table_of_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Each run in each way, alone and beside busy processes, which are ended."""
    started: list[Any] = []

    def check_output(command: list[str], env: dict[str, str]) -> str:
        assert not [name for name in env if name.startswith(("OMP_", "GOMP_"))]
        started.append((command[2], len(running)))
        return json.dumps([1.25, 1, "abcd1234"])

    running: list[Any] = []

    class Process:
        def __init__(self, command: list[str]) -> None:
            assert command[2] == thread_benchmark.LOOP
            running.append(self)

        def kill(self) -> None:
            running.remove(self)

        def wait(self) -> None:
            pass

    monkeypatch.setattr(thread_benchmark.subprocess, "check_output", check_output)
    monkeypatch.setattr(thread_benchmark.subprocess, "Popen", Process)
    cells = thread_benchmark.measure(tmp_path / "table.md")
    ways = len(thread_benchmark.WAYS)
    assert len(started) == 2 * ways * len(thread_benchmark.RUNS)
    assert [busy for _, busy in started] == [0, 4] * (len(started) // 2)
    assert not running
    before = [program.split("\n")[0] for program, _ in started[: 2 * ways : 2]]
    assert before == ["", "", "", "import torch"]
    for program, _ in started:
        compile(program, "program", "exec")
    table = (tmp_path / "table.md").read_text()
    assert (
        "| graph gcond, 20 steps | as by default | 1 | 1.2 | 1.2 | abcd1234 |" in table
    )
    assert "torch threads" in table and "s beside 4 busy" in thread_benchmark.as_text(
        cells
    )


@pytest.mark.full
def test_a_run_of_the_table() -> None:
    call = "multidd.graph.gcond(multidd.samples.cora(), nodes=7, steps=1, {run})"
    ways = thread_benchmark.WAYS
    results = [thread_benchmark.measured(call, way) for way in ways.values()]
    assert results[0][1:] == results[1][1:]
    assert all(seconds > 0 and len(bits) == 8 for seconds, _, bits in results)


# --- threads of BLAS ------------------------------------------------------------------


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info()}


def test_small_arrays_take_one_thread_of_blas() -> None:
    """Also where blocks of two threads overlap; afterwards all is as it was."""
    with threadpool_limits(2):
        with one_thread_for(SMALL_ENTRIES + 1):
            assert blas_threads() == {2}
        first, second = one_thread_for(10), one_thread_for(10)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == {2}
        with pytest.raises(RuntimeError), one_thread_for(10):
            raise RuntimeError
        assert blas_threads() == {2}
