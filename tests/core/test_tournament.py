"""The tournament: who stays, what is judged once, the time limit, the folders."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from multidd.engine.options import RunOptions, RunSettings
from multidd.errors import OutOfTimeError
from multidd.evaluation.tournament import Candidate, Judge, Standing, hold
from multidd.summary import Card, DataSummary

SCORES = {1.0: {"a": 0.5, "b": 0.5}, 2.0: {"a": 0.9, "b": 0.3}, 3.0: {"a": 0.6}}
"""Of summaries by the number that they hold."""


def summary_of(number: float) -> DataSummary:
    return DataSummary({"x": torch.tensor([number])}, Card("x", {}, 0, {}, {}))


def candidate(number: float, runs: list[RunSettings]) -> Candidate[DataSummary]:
    def make(run: RunSettings) -> DataSummary:
        runs.append(run)
        return summary_of(number)

    return Candidate(f"number-{number:.0f}", make)


def judge_of(calls: list[float], key: str) -> Judge[DataSummary]:
    def scores(summary: DataSummary) -> dict[str, float]:
        calls.append(float(summary.tensors["x"]))
        return SCORES[calls[-1]]

    return Judge({"test": key}, scores)


def test_the_best_mean_stays_and_every_standing_is_told() -> None:
    runs: list[RunSettings] = []
    entries = [candidate(n, runs) for n in (1.0, 2.0, 3.0)]
    judge = judge_of([], "best")
    best, standings = hold("x", entries, judge, RunSettings(progress=False))
    assert best.tensors["x"].item() == 2.0
    assert [one.mean for one in standings] == pytest.approx([0.5, 0.6, 0.6])
    assert [one.name for one in standings] == ["number-1", "number-2", "number-3"]
    assert standings[1].to_dict()["scores"] == {"a": 0.9, "b": 0.3}


def test_a_summary_is_judged_once() -> None:
    calls: list[float] = []
    for _ in range(2):
        judge = judge_of(calls, "once")
        assert judge(summary_of(2.0)) == SCORES[2.0]
    judge_of(calls, "another")(summary_of(2.0))
    assert calls == [2.0, 2.0]


def test_each_candidate_has_its_folder_and_the_time_that_is_left() -> None:
    runs: list[RunSettings] = []
    entries = [candidate(n, runs) for n in (1.0, 2.0)]
    run = RunSettings(checkpoint="runs", options=RunOptions(timeout=1000.0))
    hold("x", entries, judge_of([], "folders"), run, spent=400.0)
    assert [one.checkpoint for one in runs] == ["runs/number-1", "runs/number-2"]
    limits = [one.timeout for one in runs]
    assert 0 < limits[1] <= limits[0] <= 600.0


def test_once_the_time_is_over_no_further_candidate_is_begun() -> None:
    runs: list[RunSettings] = []
    entries = [candidate(n, runs) for n in (1.0, 2.0)]
    late = RunSettings(progress=False, options=RunOptions(timeout=1.0))
    best, standings = hold("x", entries, judge_of([], "late"), late, spent=5.0)
    assert best.tensors["x"].item() == 1.0 and runs[0].timeout == 0.0
    assert len(runs) == 1 and standings[1] == Standing("number-2", {})


def out_of_time(run: RunSettings) -> Any:
    raise OutOfTimeError("x had 1 s")


@pytest.mark.parametrize("first", [True, False])
def test_a_candidate_that_had_no_time(first: bool) -> None:
    entries = [candidate(1.0, []), Candidate("slow", out_of_time)]
    entries = entries[::-1] if first else entries
    play: Callable[[], Any] = lambda: hold(  # noqa: E731
        "x", entries, judge_of([], "slow"), RunSettings(progress=False)
    )
    if first:
        with pytest.raises(OutOfTimeError, match="x had 1 s"):
            play()
    else:
        best, standings = play()
        assert best.tensors["x"].item() == 1.0 and standings[1].scores == {}


def test_without_a_judge_the_first_is_taken() -> None:
    runs: list[RunSettings] = []
    entries = [candidate(n, runs) for n in (3.0, 2.0)]
    best, standings = hold("x", entries, None, RunSettings(progress=False))
    assert best.tensors["x"].item() == 3.0 and len(runs) == len(standings) == 1
