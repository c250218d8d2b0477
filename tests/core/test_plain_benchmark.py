"""`multidd bench plain`: its lines, its cells by hand, its file and its page."""

from typing import Any

import pytest

from multidd import modality
from multidd.evaluation import line_measuring
from multidd.evaluation.lines import Line
from multidd.evaluation.plain_benchmark import lines, main, page
from multidd.evaluation.results import Results
from multidd.images import Evaluator
from multidd.modality import DISTILL
from tests.core.test_regimes_benchmark import InProcess
from tests.source import ROOT

RECORDED = ROOT / "docs" / "benchmarks" / "plain.json"
SAMPLE = "sample:fashion"


def test_lines_are_distill_beside_what_it_is_to_be_better_than() -> None:
    every = list(lines())
    names = [f"{kind} {line.name}" for kind, line in every]
    assert len(set(names)) == len(names)
    groups: dict[tuple[str, str], set[str]] = {}
    for kind, line in every:
        known = modality.parts(kind).commands
        assert line.method in known
        groups.setdefault((line.data, str(line.budget)), set()).add(line.method)
    for methods in groups.values():
        assert {"random", "herding", "kcenter", "kmeans", DISTILL} <= methods


@pytest.fixture
def two_lines(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    some = [Line(SAMPLE, {"ipc": 1}, name) for name in ("herding", "kcenter")]
    monkeypatch.setattr(modality.parts("images").published, "PLAIN_LINES", some)
    monkeypatch.setattr(line_measuring, "ProcessPoolExecutor", InProcess)

    def fit_plain(self: Any, summary: Any, name: str, seed: int) -> float:
        """Whole 0.9, random 0.5 and 0.6 by seed, the set 0.7; logistic 0.6."""
        if summary is None:
            return 0.9
        if summary.card.method == "random":
            return 0.5 + 0.1 * seed
        return 0.6 if name == "logistic" else 0.7

    monkeypatch.setattr(Evaluator, "fit_plain", fit_plain)
    return some


def test_a_line_is_measured_and_written(two_lines: Any, tmp_path: Any) -> None:
    path = tmp_path / "plain.json"
    first, second = main(only="sample", seeds=2, out=path)
    assert first["line"] == f"images {two_lines[0].name}"
    assert first["method"] == "herding" and second["method"] == "kcenter"
    assert first["cnn %"] == "70.0 ± 0.0" and first["logistic %"] == "60.0 ± 0.0"
    assert (first["mean %"], first["random %"], first["whole %"]) == (
        "67.5",
        "55.0",
        "90.0",
    )
    # Of 35 points the networks gain 15, logistic regression 5.
    assert first["share %"] == "36" and first["worst share %"] == "14 (logistic)"
    stored = Results.read(path, "plain").lines
    assert stored[first["line"]].command == (
        f"multidd bench plain --only '{first['line']}' --seeds 2"
    )
    text = page(path)
    assert f"**images {SAMPLE} 1**" in text and "| herding |" in text
    with pytest.raises(ValueError, match="no line has 'magic' in its name; there are"):
        main(only="magic")


def test_a_file_with_other_lines_is_refused(two_lines: Any, tmp_path: Any) -> None:
    path = tmp_path / "plain.json"
    main(only="herding", seeds=1, out=path)
    two_lines.clear()
    with pytest.raises(ValueError, match="herding', which `multidd bench plain` does"):
        page(path)


def test_recorded_lines_are_those_of_the_command(tmp_path: Any) -> None:
    text = page(RECORDED)
    assert "| method |" in text or "Nothing was measured yet" in text
    assert "Nothing was measured yet" in page(tmp_path / "absent.json")
