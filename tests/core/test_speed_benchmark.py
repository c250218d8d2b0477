"""`multidd bench speed`: operations by hand, steps of a run, its file and its page."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from multidd import modality
from multidd.evaluation import line_measuring, speed_benchmark
from multidd.evaluation.lines import Line
from multidd.evaluation.results import Results
from multidd.evaluation.speed_benchmark import (
    COLUMNS,
    CORE,
    Clock,
    Operations,
    lines,
    main,
    page,
)
from tests.core.test_regimes_benchmark import InProcess
from tests.golden import tiny
from tests.source import ROOT

RECORDED = ROOT / "docs" / "benchmarks" / "speed.json"


def test_operations_by_hand() -> None:
    """Two for each product and sum, also where a step asks for gradients of its own."""
    weight = torch.ones(4, 3, 2, 2, requires_grad=True)
    with Operations() as counts:
        out = F.conv2d(torch.ones(5, 3, 6, 6), weight)  # 5 x 4 x 5 x 5 outputs of 3x2x2
        torch.autograd.grad(out.sum(), weight)
        torch.einsum("ab,bc->ac", torch.ones(2, 3), torch.ones(3, 4))
    forth = 2 * 5 * 4 * 25 * 12
    assert counts.by_kind == {
        "convolution": forth,
        "convolution_backward": forth,
        "bmm": 2 * 2 * 3 * 4,
    }


def test_a_clock_times_steps_from_the_third_on() -> None:
    """Neither the first, which prepares, nor the second, which is counted."""
    from multidd import RunOptions, images

    clock = Clock()
    options = {"width": 4, "batch_size": 2, "steps": 5, "progress": False}
    run = RunOptions(callbacks=(clock,))
    images.distill(tiny.images(), ipc=1, method="dm", run=run, **options)
    assert len(clock.seconds) == 3 and all(s > 0 for s in clock.seconds)
    assert clock.convolved > 0 and set(clock.operations) >= {"convolution"}
    assert clock.convolved + clock.multiplied == sum(clock.operations.values())
    plain = images.distill(tiny.images(), ipc=1, method="dm", **options)
    watched = images.distill(
        tiny.images(),
        ipc=1,
        method="dm",
        run=RunOptions(callbacks=(Clock(),)),
        **options,
    )
    assert watched.digest() == plain.digest()


def test_lines_are_of_methods_or_of_work_that_is_named() -> None:
    names = [f"{kind} {line.name}" for kind, line in lines()]
    assert len(set(names)) == len(names)
    for kind, line in lines():
        if kind == CORE:
            assert line.method in speed_benchmark.SELECTIONS
            continue
        parts = modality.parts(kind)
        works = getattr(parts.published, "SPEED_WORK", {})
        assert line.method in {*parts.methods, *works}


def test_lines_are_measured_and_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: Any
) -> None:
    """A selection, a method with a loop, and work that a modality names."""
    some = Line("sample:fashion", {"ipc": 1}, "dm", options={"width": 4})
    logs = Line("sample:movietweetings", {}, "work", "4.2")
    monkeypatch.setattr(speed_benchmark, "FEATURES", (200, 4))
    monkeypatch.setattr(
        speed_benchmark, "CORE_LINES", (Line("x", {"n": 5}, "kcenter"),)
    )
    monkeypatch.setattr(modality.parts("images").published, "SPEED", [some])
    published = modality.parts("recsys").published
    monkeypatch.setattr(published, "SPEED", [logs])
    monkeypatch.setattr(published, "SPEED_WORK", {"work": lambda log: log.describe})
    monkeypatch.setattr(line_measuring, "ProcessPoolExecutor", InProcess)
    path = tmp_path / "speed.json"
    rows = main(steps=1, out=path)
    assert [row["of"] for row in rows] == ["the whole", "a step", "the whole"]
    assert float(rows[1]["GFLOP"]) > 0 and rows[1]["reached"].endswith(" %")
    assert all(float(row["seconds"]) > 0 and float(row["peak MB"]) > 0 for row in rows)
    assert rows[2]["others"] == "4.2" and rows[2]["reached"] == ""
    assert "selection x 5 kcenter" in capsys.readouterr().out
    stored = Results.read(path, "speed").lines
    assert list(stored) == [row["line"] for row in rows]
    assert f"| {' | '.join(COLUMNS)} | measured |" in page(path)
    with pytest.raises(ValueError, match="no line has 'magic' in its name; there are"):
        main(only="magic")


def test_the_page_of_what_was_measured(tmp_path: Any) -> None:
    assert "| line | seconds |" in page(RECORDED)
    assert "Nothing was measured yet" in page(tmp_path / "absent.json")
