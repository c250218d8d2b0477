"""Measured lines in a file: merged by name, refused where wrong, shown as Markdown."""

import json
from pathlib import Path

import pytest

from multidd import modality
from multidd.errors import SchemaError
from multidd.evaluation import results
from multidd.evaluation.benchmark import page
from multidd.evaluation.results import CoreShare, MeasuredLine, Results

RECORDED = Path(__file__).parents[2] / "docs" / "benchmarks"
LINE = MeasuredLine({"line": "a"}, "multidd bench x", "c0ffee", "2026-01-02", "2 cores")


def test_a_line_takes_the_place_of_its_elder(tmp_path):
    path = tmp_path / "x.json"
    first = Results("x").with_line("a", LINE).with_line("b", LINE)
    first.write(path)
    newer = MeasuredLine({"line": "a 2"}, "again", "bead", "2026-01-03", "", busy=0.5)
    Results.read(path, "x").with_line("a", newer).write(path)
    both = Results.read(path, "x")
    assert both.lines == {"a": newer, "b": LINE}
    assert both.ordered(["b", "c", "a"]).table(["line"]) == [
        ["line", "measured"],
        ["a", "c0ffee, 2026-01-02"],
        ["a 2", "bead, 2026-01-03, busy machine"],
    ]
    assert Results.read(tmp_path / "none.json", "x").lines == {}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"day": "today"}, "day"),
        ({"busy": 2}, "busy"),
        ({"cells": {"line": 1}}, "cells"),
        ({"more": 1}, "more"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, change, word):
    path = tmp_path / "x.json"
    Results("x").with_line("a", LINE).write(path)
    record = json.loads(path.read_text())
    record["lines"]["a"] |= change
    path.write_text(json.dumps(record))
    with pytest.raises(SchemaError, match=rf"x\.json.*lines\.a.*{word}"):
        Results.read(path, "x")


def test_lines_of_another_modality_are_refused(tmp_path):
    Results("x").write(tmp_path / "x.json")
    with pytest.raises(ValueError, match="lines of 'x', not of 'y'"):
        Results.read(tmp_path / "x.json", "y")


@pytest.mark.parametrize("kind", modality.own_names())
def test_recorded_lines_are_those_of_the_command(kind):
    text = page(kind, RECORDED / f"{kind}.json")
    rows = [row for row in text.splitlines() if row.startswith("| ")]
    assert rows[0].startswith("| line | published | test ")
    assert "| measured |" in rows[0] and len(rows) > 50


def test_a_line_that_the_command_lacks_is_refused(tmp_path):
    Results("graph").with_line("cora 7 magic", LINE).write(tmp_path / "g.json")
    with pytest.raises(ValueError, match="'cora 7 magic', which `multidd bench graph`"):
        page("graph", tmp_path / "g.json")


def test_the_share_of_others_by_hand(monkeypatch):
    # Ten seconds of two cores: 15 were busy, 9 of them by this process.
    seconds = iter([(0.0, 100.0, 1.0), (10.0, 115.0, 10.0)])
    monkeypatch.setattr(CoreShare, "_seconds", staticmethod(lambda: next(seconds)))
    monkeypatch.setattr(results.os, "cpu_count", lambda: 2)
    assert CoreShare().of_others() == pytest.approx(6 / 20)


def test_an_installed_package_has_a_version_in_place_of_a_commit(monkeypatch):
    assert len(results.commit().rstrip("+")) == 8

    def missing(*args, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(results.subprocess, "check_output", missing)
    assert results.commit() == f"version {results.__version__}"
