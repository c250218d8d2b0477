"""Scores against budgets, of every modality."""

from dataclasses import replace

import pytest

import multidd
from multidd.cli import curve as curve_module
from multidd.cli.curve import numbers
from multidd.evaluation.curve import Curve, Point, curve
from multidd.evaluation.report_schema import read_curve
from multidd.storage.fields import json_value

PNG = b"\x89PNG"

SHORT = multidd.Protocol("short", epochs=4, check_every=2)


@pytest.mark.parametrize(
    ("kind", "data", "budget", "values", "model"),
    [
        ("images", "sample:fashion", "ipc", [1, 2], "mlp"),
        ("text", "texts.csv", "per_class", [1, 2], "logistic"),
        ("recsys", "sample:movietweetings", "users", [5], "poprec"),
    ],
)
def test_curve_of_each_modality(kind, data, budget, values, model, tmp_path):
    """Judges of all of them know whole data; the graphs' curve is looked at below."""
    texts = [f"{word} number {i}" for word in ("good", "bad") for i in range(20)]
    lines = [f"{text},{text[:3]}" for text in texts]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *lines]))
    curve_result = curve(
        kind,
        {"data": data if kind != "text" else str(tmp_path / data), "seed": 0},
        ["random"],
        budget,
        values,
        model=model,
        trainings=1,
        protocol=SHORT if kind == "images" else None,
        out=tmp_path,
        progress=False,
    )
    assert [p.budget for p in curve_result.points] == values and len(
        curve_result.whole
    ) == 1
    assert (
        curve_result.points[0].size < curve_result.points[-1].size or len(values) == 1
    )
    assert all(p.num_bytes > 0 and 0 < p.mean <= 1 for p in curve_result.points)
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)


def test_curve_of_two_methods(tmp_path):
    quick = multidd.Protocol("quick", epochs=60, check_every=20, lr=0.1)
    curve_result = curve(
        "graph",
        {"data": "sample:cora"},
        ["random", "kmeans"],
        "nodes",
        [14, 141],
        model="sgc",
        seeds=2,
        trainings=1,
        protocol=quick,
        out=tmp_path,
    )
    assert [(p.method, p.budget, p.size) for p in curve_result.points] == [
        ("random", 14, 14),
        ("kmeans", 14, 14),
    ]
    assert all(len(p.values) == 2 and 0.3 < p.mean < 1 for p in curve_result.points)
    assert (
        len(curve_result.whole) == 1
        and curve_result.whole[0] > curve_result.points[0].mean
    )
    assert [one.split(":")[0] for one in curve_result.left_out] == [
        "random at nodes=141",
        "kmeans at nodes=141",
    ]
    text = (tmp_path / "curve.md").read_text()
    assert "| random | 14 | 14 |" in text and "Left out: random at nodes=141" in text
    assert read_curve(tmp_path) == json_value(curve_result.to_dict())
    assert (tmp_path / "curve.png").read_bytes().startswith(PNG)


def test_curve_is_drawn_by_budget():
    points = tuple(
        Point(method, budget, 1, (0.5, 0.6), 0.0, 0)
        for method in ("a", "b")
        for budget in (0.02, 0.01)
    )
    result = Curve(points, "ratio", "gcn", "accuracy", (0.8,))
    axes = result.plot(against="budget").axes[0]
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["0.01", "0.02"] and axes.get_xscale() == "log"
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(legend) == ["a", "b", "whole data"]
    assert axes.get_xlabel() == "ratio"
    assert repr(result) == "Curve(a, b; ratio 0.01, 0.02; gcn)"


def test_curve_is_drawn_by_bytes_unless_told():
    """So a point of few large records stands where as many bytes of others do."""
    sizes = {"a": (4096, 8192), "b": (1024, 3072)}
    points = tuple(
        Point(method, budget, 1, (0.5,), 0.0, size)
        for method, pair in sizes.items()
        for budget, size in zip((1, 2), pair, strict=True)
    )
    result = Curve(points, "ipc", "mlp", "accuracy")
    axes = result.plot().axes[0]
    assert axes.get_xlabel() == "KiB" and axes.get_xscale() == "log"
    lines = [bar.lines[0].get_xdata().tolist() for bar in axes.containers]
    assert lines == [[4.0, 8.0], [1.0, 3.0]]
    with pytest.raises(ValueError, match="against must be 'bytes' or 'budget'"):
        result.plot(against="x")


@pytest.mark.parametrize(
    ("methods", "values", "message"),
    [
        (["best"], [7], "method must be one of gcond, .*got 'best'"),
        ([], [7], "one method and one budget at least"),
        (["random"], [3], "nothing is left to draw: random at nodes=3: nodes=3, fewer"),
    ],
)
def test_curves_that_cannot_be(methods, values, message):
    with pytest.raises(ValueError, match=message):
        curve("graph", {"data": "sample:cora"}, methods, "nodes", values)


@pytest.mark.parametrize("text", ["", "a,b", "0.1,-1", "1.5"])
def test_budgets_that_are_none(text):
    with pytest.raises(ValueError, match="budgets are whole numbers above 0 by commas"):
        numbers(text, whole=True)


def test_a_modality_without_a_curve_has_no_command():
    graph = multidd.modality.entry("graph")
    assert curve_module._command(graph) is not None
    assert curve_module._command(replace(graph, curve=None)) is None


def test_curve_command(monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from multidd.cli.main import app

    seen = {}

    def fake(kind, source, methods, budget, values, **options):
        seen.update(kind=kind, data=source["data"], methods=methods, values=values)
        return Curve((Point("random", 0.01, 27, (0.6,), 0.1, 4),), "ratio", "gcn", "f1")

    monkeypatch.setattr("multidd.evaluation.curve.curve", fake)
    line = "curve graph --data cora --methods random,kmeans --ratios 0.01,0.02 --out"
    done = CliRunner().invoke(app, [*line.split(), str(tmp_path)])
    assert done.exit_code == 0 and "random  0.01" in done.output
    expected = {"kind": "graph", "data": "cora", "methods": ["random", "kmeans"]}
    assert seen == expected | {"values": [0.01, 0.02]}
