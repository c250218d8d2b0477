"""`multidd bench gpu`: refused without a GPU, tried on the CPU with small lines."""

import json
from pathlib import Path

import pytest
import torch

from multidd.evaluation import gpu_benchmark
from multidd.evaluation.gpu_benchmark import Clock, GpuLine, measure, seconds_a_step
from multidd.evaluation.lines import PublishedLines
from multidd.images.evaluation import published

LINES = PublishedLines.of(published).gpu


def test_without_a_gpu_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_benchmark, "check_device", lambda device: "cpu")
    with pytest.raises(ValueError, match="there is no GPU here to measure"):
        measure()
    with pytest.raises(ValueError, match="minutes must be above 0, got 0"):
        measure(device="cpu", minutes=0)
    with pytest.raises(ValueError, match="no line has 'no such' in its name"):
        measure(device="cpu", only="no such")


def test_small_lines_are_measured_on_the_cpu(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    rows = measure(device="cpu", only="1 of each class, dm", out=out)
    assert [row["precision"] for row in rows] == ["float32", "bf16"]
    assert all(float(row["s a step"]) > 0 for row in rows)
    assert {row["device"] for row in rows} == {"cpu, small"}
    written = json.loads(out.read_text())
    assert len(written["lines"]) == 2
    text = out.with_suffix(".md").read_text()
    assert "| CIFAR-10's size, 1 of each class, dm | cpu, small | bf16 |" in text
    assert text.startswith("# One GPU")


@pytest.mark.full
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_every_line_runs_small(line: GpuLine) -> None:
    for precision in line.precisions:
        if precision != "tf32":
            assert seconds_a_step(line, "cpu", precision, 60.0, small=True) > 0


def test_steps_that_warm_up_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 9.0, 18.0, 20.0, 21.0, 25.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))

    def run(small: bool, run: object, **rest: object) -> None:
        (clock,) = run.callbacks  # type: ignore[attr-defined]
        clock.on_start(None)
        for _ in range(5):
            clock.on_step(None)

    assert seconds_a_step(GpuLine("toy", run), "cpu", "float32", 1.0) == 2.0
    assert Clock("cpu").device == torch.device("cpu")
