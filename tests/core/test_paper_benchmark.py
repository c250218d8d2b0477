"""`multidd bench paper`: its lines, its cells by hand, its file and its page."""

from typing import Any

import pytest

from multidd import modality
from multidd.engine.presets import presets_of
from multidd.evaluation import line_measuring
from multidd.evaluation.lines import Line
from multidd.evaluation.paper_benchmark import COLUMNS, lines, main, page
from multidd.evaluation.results import Results
from multidd.text import Evaluator
from tests.core.test_regimes_benchmark import InProcess
from tests.golden import tiny
from tests.source import ROOT

RECORDED = ROOT / "docs" / "benchmarks" / "paper.json"


def test_lines_are_of_methods_with_a_preset() -> None:
    names = [f"{kind} {line.name}" for kind, line in lines()]
    assert len(set(names)) == len(names)
    for kind, line in lines():
        assert presets_of(modality.parts(kind).methods[line.method]), line.name


@pytest.fixture
def one_line(monkeypatch: pytest.MonkeyPatch) -> Line:
    tiny_run = {"batch_size": 6, "width": 4, "encoder": tiny.encoder()}
    line = Line("tiny", {"per_class": 2}, "dm", options=tiny_run | {"steps": 3})
    parts = modality.parts("text")

    def load(name: str, seed: int = 0) -> tuple[Any, dict[str, Any]]:
        exam = {"on": tiny.texts(), "train": tiny.texts()}
        return tiny.texts(), exam | {"encoder": tiny.encoder()}

    def fit(self: Any, summary: Any, model: str, protocol: Any, seed: int) -> Any:
        """Random records 0.5; a start 0.6; the default 0.8 and 0.9 by seed."""
        card = summary.card
        score = 0.5 if card.method == "random" else 0.6 if not card.steps else 0.7
        if card.steps and "preset" not in card.settings:
            score = 0.8 + 0.1 * seed
        return {"accuracy": score}

    def fit_plain(self: Any, summary: Any, name: str, seed: int) -> float | None:
        """A set of vectors has no words."""
        return None if name == "tfidf" else 0.4

    monkeypatch.setattr(parts.published, "PAPER_LINES", (line,))
    whole = {**vars(parts), "load_for_evaluation": load}
    monkeypatch.setattr(
        "multidd.evaluation.paper_benchmark.modality.parts",
        lambda kind: type("Parts", (), whole),
    )
    monkeypatch.setattr(line_measuring, "ProcessPoolExecutor", InProcess)
    monkeypatch.setattr(Evaluator, "fit", fit)
    monkeypatch.setattr(Evaluator, "fit_plain", fit_plain)
    return line


def test_a_line_is_measured_and_written(one_line: Line, tmp_path: Any) -> None:
    path = tmp_path / "paper.json"
    (cells,) = main(only="text tiny", seeds=2, out=path)
    assert set(cells) == {"line", *COLUMNS} and cells["method"].startswith("dm")
    assert (cells["default %"], cells["paper %"]) == ("85.0 ± 7.1", "70.0 ± 0.0")
    assert (cells["random %"], cells["start %"]) == ("50.0 ± 0.0", "60.0 ± 0.0")
    assert cells["default, plain %"] == "40.0 ± 0.0"
    assert cells["steps"] == "3" and cells["paper's steps"].endswith(" of 20,000")
    stored = Results.read(path, "paper").lines[cells["line"]]
    assert stored.command.startswith("multidd bench paper --only")
    assert "**text tiny 2**" in page(path) and "| dm (" in page(path)


def test_recorded_lines_are_those_of_the_command(tmp_path: Any) -> None:
    assert "| method |" in page(RECORDED)
    text = RECORDED.read_text("utf-8").replace("sample:sms", "sample:unknown")
    (tmp_path / "paper.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match="`multidd bench paper` does not have"):
        page(tmp_path / "paper.json")
