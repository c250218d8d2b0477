"""`multidd bench regimes`: its lines, its cells, what it names in words."""

from typing import Any

import pytest

from multidd import modality
from multidd.evaluation import line_measuring, regimes_benchmark
from multidd.evaluation.field_scores import FieldScores
from multidd.evaluation.lines import Line
from multidd.evaluation.regimes import RegimeReport, RegimeRow
from multidd.evaluation.regimes_benchmark import (
    COLUMNS,
    lines,
    main,
    not_above_random,
    page,
)
from multidd.evaluation.results import MeasuredLine, Results
from tests.source import ROOT

RECORDED = ROOT / "docs" / "benchmarks" / "regimes.json"


def test_lines_are_methods_of_all_modalities_on_samples() -> None:
    every = list(lines())
    assert {kind for kind, _ in every} == set(modality.own_names())
    assert len({(kind, line.method) for kind, line in every}) >= 16
    for kind, line in every:
        assert line.data.startswith("sample:"), line
        assert line.method in modality.parts(kind).methods
    names = [f"{kind} {line.name}" for kind, line in every]
    assert len(set(names)) == len(names)


class InProcess:
    """Stands for a pool of processes, and does the work here."""

    def __init__(self, *settings: Any) -> None: ...

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None: ...

    def submit(self, work: Any, *arguments: Any) -> Any:
        value = work(*arguments)
        return type("Done", (), {"result": lambda self: value})()


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> Line:
    line = Line("power-law:80x40x900", {"users": 6}, "kmeans")
    monkeypatch.setattr(modality.parts("recsys").published, "REGIMES", (line,))
    monkeypatch.setattr(line_measuring, "ProcessPoolExecutor", InProcess)
    return line


def test_a_line_is_measured_and_written(small_log: Line, tmp_path: Any) -> None:
    path = tmp_path / "regimes.json"
    (cells,) = main(only="recsys", seeds=3, trainings=1, out=path)
    assert cells["line"] == f"recsys {small_log.name}"
    assert cells["SL+KD %"] == "cannot" and "±" in cells["HL %"]
    assert cells["labels"] in ("HL", "SL")
    float(cells["IOR"]), float(cells["p"]), float(cells["HLR"])
    assert float(cells["peak MB"]) > 10
    (line,) = Results.read(path, "regimes").lines.values()
    assert line.command == (
        f"multidd bench regimes --only 'recsys {small_log.name}' "
        "--seeds 3 --trainings 1"
    )
    text = page(path)
    assert "**recsys power-law:80x40x900 6**" in text and "| kmeans |" in text
    with pytest.raises(ValueError, match="no line has 'magic' in its name; there are"):
        main(only="magic")


def row(name: str, value: float, regime: str = "SL") -> RegimeRow:
    return RegimeRow(regime, name, "gcn", (value, value + 0.02), (value,), 10)


def test_cells_name_the_best_row_with_the_same_labels() -> None:
    rows = [
        *(row(name, 0.9, "HL") for name in ("random", "kmeans", "dm")),
        *(row("dm", 0.5, regime) for regime in ("SL", "SL+KD")),
        row("random", 0.55),
        row("kmeans", 0.6),
        row("dm, own labels", 0.95),
    ]
    score = FieldScores("gcn", "SL", 0.1, -0.05, 0.2, None, (-0.1, 0.0), 0.04, 3)
    report = RegimeReport(tuple(rows), (score,))
    cells = regimes_benchmark._cells("dm", report, 1)
    # Hard labels of others and the summary's own labels are no comparison.
    assert cells["best row"] == "kmeans 61.0 against 51.0"
    assert (cells["IOR"], cells["p"], cells["labels"]) == ("-0.050", "0.040", "SL")
    assert cells["own labels %"] == "96.0 ± 1.4"


def measured(method: str, ior: str, p_value: str, best: str = "") -> MeasuredLine:
    cells = dict.fromkeys(COLUMNS, "")
    cells |= {"method": method, "IOR": ior, "p": p_value, "best row": best}
    cells["labels"] = "HL"
    return MeasuredLine(cells, "x", "c0", "2026-01-01", "2 cores")


def test_methods_without_a_gain_are_named(tmp_path: Any) -> None:
    results = Results("regimes")
    for name, line in {
        "a worse": measured("worse", "-0.020", "0.030", "kmeans 61.0 against 50.0"),
        "a unsure": measured("unsure", "+0.020", "0.300"),
        "a better": measured("better", "+0.120", "0.001"),
        "a untold": measured("untold", "", ""),
    }.items():
        results = results.with_line(name, line)
    results.write(tmp_path / "r.json")
    below, above = not_above_random(tmp_path / "r.json").split("Above them")
    assert "`a worse`: IOR -0.020" in below
    assert "instead: kmeans 61.0 against 50.0." in below and "unsure" not in below
    assert "`a unsure`" in above and "nothing of its size is better" in above
    assert "better`" not in below + above and "untold" not in below + above
    with pytest.raises(ValueError, match="'a worse', which `multidd bench regimes`"):
        page(tmp_path / "r.json")


def test_recorded_lines_are_those_of_the_command() -> None:
    text = page(RECORDED)
    assert "| method | HL % | SL % | SL+KD % |" in text
    assert not_above_random(RECORDED).startswith("Not above random records")
