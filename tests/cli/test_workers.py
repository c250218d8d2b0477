"""`--workers`: which commands take it, and that they hand an executor on."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

import multidd
from multidd import graph, parallel
from multidd.cli import bench, groups
from multidd.evaluation import settings_choice

SHORT = [
    "--models",
    "mlp",
    "--seeds",
    2,
    "--rows",
    "random",
    "--regimes",
    "",
    "--quiet",
]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many workers were asked for; threads stand for the processes."""
    asked: list[int] = []

    @contextmanager
    def workers(count: int) -> Iterator[Executor]:
        asked.append(count)
        with ThreadPoolExecutor(count) as executor:
            yield executor

    monkeypatch.setattr(parallel, "workers", workers)
    few = multidd.Protocol("gcond", epochs=4, check_every=2)
    monkeypatch.setattr(graph.Evaluator, "protocols", {"gcond": few})
    return asked


@pytest.mark.parametrize(("count", "expected"), [(None, []), (1, []), (3, [3])])
def test_one_process_needs_no_pool(
    counts: list[int], count: int | None, expected: list[int]
) -> None:
    with groups.pool(count) as executor:
        assert (executor is None) == (not expected)
    assert counts == expected


def test_commands_hand_workers_on(call: Any, tmp_path: Any, counts: list[int]) -> None:
    run, more = tmp_path / "run", ["--quiet", "--out"]
    asked = ["--method", "random", "--data", "sample:cora", "--nodes", 14]
    assert call("distill", "graph", *asked, *more, run)[0] == 0
    alone = call("evaluate", run, *SHORT)
    together = call("evaluate", run, *SHORT, "--workers", 2)
    assert together[0] == 0 and counts == [2]
    scores = [
        printed.split("training s")[1].split() for _, printed, _ in (alone, together)
    ]
    assert scores[0][:6] == scores[1][:6]
    assert call("compare", run, *SHORT, "--workers", 3)[0] == 0
    assert counts == [2, 3]


def test_distilling_without_experts_takes_no_workers(
    call: Any, tmp_path: Any, counts: list[int]
) -> None:
    asked = ["--method", "random", "--data", "sample:cora", "--nodes", 14]
    words = ["distill", "graph", *asked, "--out", tmp_path / "run", "--workers", 2]
    code, _, err = call(*words)
    assert code == 2 and "random has no experts that workers could record" in err
    assert not counts


def test_experts_are_recorded_by_workers(
    call: Any, tmp_path: Any, counts: list[int]
) -> None:
    experts = ["experts.count=2", "experts.trainer.epochs=2", "experts.trainer.steps=1"]
    experts += [f"experts.folder={tmp_path / 'experts'}", "start_epochs=0,0"]
    words = ["distill", "graph", "--method", "sfgc", "--data", "sample:cora"]
    words += ["--nodes", 14, "--steps", 1, "--workers", 2, "--quiet"]
    for setting in [*experts, "expert_epochs=1"]:
        words += ["--set", setting]
    code, _, err = call(*words, "--out", tmp_path / "run")
    assert code == 0, err
    assert counts == [2]
    assert len(list((tmp_path / "experts").rglob("expert-*.safetensors"))) == 2


def test_an_error_in_a_worker_names_its_job(
    call: Any, tmp_path: Any, counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also Ctrl-C, which says what stands."""
    run, more = tmp_path / "run", ["--quiet", "--out"]
    asked = ["--method", "random", "--data", "sample:cora", "--nodes", 14]
    assert call("distill", "graph", *asked, *more, run)[0] == 0
    for error, code, text in (
        (ValueError("no"), 2, "multidd: no in job 'random mlp gcond seed 0'\n"),
        (KeyboardInterrupt(), 130, "multidd: interrupted; 0 of 2 results stand in"),
    ):

        def fit(*settings: Any, error: BaseException = error) -> Any:
            raise error

        monkeypatch.setattr(graph.Evaluator, "fit", fit)
        result = call("evaluate", run, *SHORT, "--workers", 2)
        assert result[0] == code and text in result[2]


def test_choices_hand_workers_on(
    monkeypatch: pytest.MonkeyPatch, counts: list[int]
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(settings_choice, "main", lambda *a, **k: calls.append(k))
    bench.settings("images", workers=2)
    assert isinstance(calls[0]["executor"], ThreadPoolExecutor) and counts == [2]
