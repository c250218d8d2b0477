"""The table of all methods, and where its scores come from."""

import json
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

import multidd
from multidd import modality
from multidd.evaluation.lines import Line
from multidd.evaluation.method_table import COLUMNS, _chosen, main, measured_scores
from multidd.evaluation.results import Results
from tests.source import ROOT

BENCHMARKS = ROOT / "docs" / "benchmarks"


def table(name: str | None = None) -> pd.DataFrame:
    return multidd.methods(name)


def test_every_method_is_a_row() -> None:
    whole = table()
    for name in modality.own_names():
        part = table(name)
        assert list(part["method"]) == list(modality.parts(name).methods)
        assert list(part.columns) == list(COLUMNS)
        assert part.equals(whole[whole["modality"] == name])
    assert whole["about"].str.endswith(".").all() and (whole["use"] != "").all()
    assert whole["year"].dropna().between(1980, 2030).all()


def test_steps_and_needs_are_those_of_the_methods() -> None:
    images, graph = table("images"), table("graph")
    assert images.loc["dm", "steps"] == 300
    assert images.loc["herding", "steps"] is pd.NA
    assert images.loc["mtt", "needs"] == "experts"
    assert images.loc["sre2l", "needs"] == "teacher"
    assert graph.loc["gcond", "needs"] == "teacher" and graph.loc["cgc", "needs"] == ""
    assert graph.loc["gcond", "family"] == "gradient"


def test_scores_are_those_that_were_measured() -> None:
    """What ships is what the command makes of the results in docs/benchmarks."""
    shipped = json.loads(files("multidd").joinpath("measured.json").read_text("utf-8"))
    assert shipped == measured_scores(BENCHMARKS)
    for name in modality.own_names():
        lines, part = Results.read(BENCHMARKS / f"{name}.json", name).lines, table(name)
        for row in part[part["score"].notna()].itertuples():
            record = lines[row.line]
            cell = next(v for k, v in record.cells.items() if k.startswith("test "))
            assert cell.startswith(f"{row.score:g}") or float(cell.split()[0]) == (
                row.score
            )
            assert row.measured == f"{record.commit}, {record.day}"
        assert part["score"].notna().sum() >= len(part) // 2
        beside = part.set_index("method").loc["random"]
        assert beside["score"] == beside["random"]


def test_the_command_writes_the_file(tmp_path: Path) -> None:
    main([str(BENCHMARKS), str(tmp_path / "measured.json")])
    shipped = files("multidd").joinpath("measured.json").read_text("utf-8")
    assert (tmp_path / "measured.json").read_text("utf-8") == shipped


def test_a_line_is_chosen_by_its_setting_and_never_by_its_score() -> None:
    """Where most methods stand beside random records; then the fewest settings."""
    lines = [
        Line("big", {"ipc": 1}, "a"),  # no random records beside it
        Line("small", {"ipc": 1}, "random"),
        Line("small", {"ipc": 1}, "a", options={"steps": 5, "lr": 1}),
        Line("small", {"ipc": 1}, "a", options={"steps": 9}),
        Line("small", {"ipc": 1}, "b"),
        Line("other", {"ipc": 9}, "a"),
        Line("other", {"ipc": 9}, "random"),
        Line("other", {"ipc": 9}, "unknown"),
    ]
    known = dict.fromkeys(("a", "b", "random", "unmeasured"))
    chosen = {line.method: (line, beside) for line, beside in _chosen(lines, known)}
    assert chosen == {
        "a": (lines[3], lines[1]),
        "b": (lines[4], lines[1]),
        "random": (lines[1], lines[1]),
    }


def test_no_such_modality() -> None:
    with pytest.raises(ValueError, match="modality must be one of graph, images"):
        multidd.methods("sound")
