"""The command line on a set of graphs."""

import os

import pytest

import multidd
from multidd.graph import GraphSetEvaluator

DATA = os.environ.get("MULTIDD_DATA", "")
"""As it is before the command line's own fixtures."""


@pytest.fixture(autouse=True)
def _real_data(monkeypatch):
    monkeypatch.setenv("MULTIDD_DATA", DATA)


@pytest.mark.data("graph/MUTAG")
@pytest.mark.parametrize("method", [["kmeans"], ["doscond", "--steps", "2"]])
def test_distill_evaluate_and_show(call, tmp_path, monkeypatch, method):
    quick = multidd.Protocol("doscond", epochs=4, lr=0.01, width=16, batch=128)
    monkeypatch.setattr(GraphSetEvaluator, "protocols", {"doscond": quick})
    words = ["distill", "graph", "--data", "mutag", "--per-class", "2", "--quiet"]
    code, printed, err = call(*words, "--method", *method, "--out", tmp_path)
    assert code == 0
    assert f"GraphSetSummary({method[0]}, graphs=4 for 150, classes=2" in printed
    assert (tmp_path / "summary.png").read_bytes().startswith(b"\x89PNG")
    code, printed, _ = call("evaluate", tmp_path, "--models", "gcn,gin", "--quiet")
    assert code == 0
    lines = [line.split()[:2] for line in printed.splitlines()]
    for row in ("whole", "random", "herding", "kcenter", "kmeans", method[0]):
        assert [row, "gcn"] in lines and [row, "gin"] in lines
    code, printed, err = call("show", tmp_path)
    assert (code, err) == (0, "") and "gin: accuracy %" in printed
    code, printed, err = call("verify", tmp_path)
    assert code == 0 and printed.count("equal of what was recorded") == 2


@pytest.mark.data("graph/MUTAG")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nodes", "5"], "nodes is for the nodes of one graph"),
        (["--method", "gcond", "--nodes", "5"], "of one graph, got list"),
    ],
)
def test_refusals(fails, tmp_path, words, message):
    start = ["distill", "graph", "--method", "doscond", "--data", "mutag", "--quiet"]
    fails(message, *start, *words, "--out", tmp_path / "run")
