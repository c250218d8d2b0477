"""Tables keep to the width of a terminal, and are whole anywhere else."""

import os
import sys

import pytest

from multidd.evaluation import table
from multidd.evaluation.curve import Curve, Point
from multidd.evaluation.report import Report, Row
from multidd.evaluation.table import aligned, folded, terminal_width

WIDTHS = (60, 80, 120)

CELLS = [
    ["name", "score", "what it is", "seconds"],
    [
        "first",
        "81.0 ± 1.4",
        "A sentence that is far longer than a cell should be.",
        "3",
    ],
    ["second", "9.5", "Short.", "1200"],
]

VALUES = {"accuracy": (0.812, 0.834), "f1": (0.8, 0.82)}
REPORT = Report(
    tuple(
        Row(name, "infinite_ae", VALUES, 500, 4_000_000, 12.5, 3.25, "40 tiles")
        for name in ("random", "distill_cf")
    ),
    {"name": "quick", "epochs": 100, "lr": 0.01, "weight_decay": 5e-4, "width": 32},
    {},
    "distill_cf",
    "accuracy",
    ("f1",),
)


def on_terminal(monkeypatch, width):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        table.shutil, "get_terminal_size", lambda: os.terminal_size((width, 24))
    )


def test_without_a_width_the_table_is_whole():
    result = aligned([["a", "b"], ["long", "x"], ["", "yy"]])
    assert result.splitlines() == ["a     b", "----  --", "long  x", "      yy"]
    assert max(map(len, aligned(CELLS).splitlines())) > 80
    assert aligned(CELLS, None, ["seconds"]) == aligned(CELLS)


@pytest.mark.parametrize("width", WIDTHS)
def test_lines_keep_to_the_width(width):
    text = aligned(CELLS, width)
    assert max(map(len, text.splitlines())) <= width
    # Folding loses no word, and leaves a column where it was.
    assert sorted(text.split()) == sorted(
        [
            *" ".join(" ".join(line) for line in CELLS).split(),
            *text.split("\n")[1].split(),
        ]
    )
    place = text.splitlines()[0].index("what")
    assert all(not line[place - 2 : place].strip() for line in text.splitlines())


def test_columns_go_in_the_order_of_their_priority():
    cells = [["name", "a", "b", "c"], ["x" * 20, *(d * 20 for d in "123")]]
    heads = [
        aligned(cells, width, ["c", "a", "b"]).splitlines()[0].split()
        for width in (86, 85, 63, 41)
    ]
    assert heads == [
        ["name", "a", "b", "c"],
        ["name", "a", "b"],
        ["name", "b"],
        ["name"],
    ]


def test_what_is_left_out_is_named():
    cells = [["name", "score", "KiB"], ["x" * 18, "81.0 ± 1.4", "1024"]]
    text = aligned(cells, 32, ["KiB", "score"])
    assert text.splitlines()[0].split() == ["name", "score"]
    assert "".join(text.splitlines()[-1:]) == "Left out at 32 columns: KiB."
    assert "Left out" not in aligned(cells, 60, ["KiB", "score"])


@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_keeps_to_a_terminal(monkeypatch, width):
    on_terminal(monkeypatch, width)
    lines = str(REPORT).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:4] == ["row", "model", "accuracy", "%"]
    rows = [line for line in lines if line.startswith(("random", "distill_cf"))]
    assert len(rows) == 2 and all("82.3 ± 1.6" in row for row in rows)
    assert ("Left out" in str(REPORT)) == (width < 120)
    assert REPORT.to_text() == REPORT.to_text(200)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_curve_keeps_to_a_terminal(monkeypatch, width):
    on_terminal(monkeypatch, width)
    points = tuple(Point("gcond", b, 70, (0.8, 0.82), 3.0, 4096) for b in (0.1, 0.2))
    reason = "herding at ratio=0.1: class 3 has 4 training records, 12 were asked for"
    curve = Curve(points, "ratio", "gcn", "accuracy", (0.9,), (reason,))
    assert max(map(len, str(curve).splitlines())) <= width
    assert [record["method"] for record in curve.records()] == [
        "whole",
        "gcond",
        "gcond",
    ]


def test_a_pipe_gets_the_whole_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert terminal_width() is None
    assert str(REPORT) == REPORT.to_text()
    assert max(map(len, str(REPORT).splitlines())) > 80


def test_folded():
    assert folded("one two three four five", 20) == "one two three four\nfive"
    assert folded("a\nb", None, "  ") == "  a\n  b"
