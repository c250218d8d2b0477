"""Texts in pictures stand as they are: names are no formulas, in any modality."""

import ast

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch_geometric.data import Data

import multidd
from multidd.evaluation.heatmap import heatmap
from multidd.evaluation.report import Report, Row
from multidd.graph.summary.summary import GraphSummary
from multidd.plotting import finished, save
from multidd.recsys.summary.summary import RecsysSummary
from tests.recsys import rows as recsys_rows
from tests.source import MODULES, tree
from tests.text import sets

NAME = "under $5_{ or $6^^"


def of_images():
    x = torch.arange(256, dtype=torch.uint8).reshape(4, 1, 8, 8)
    data = multidd.images.Images(x, torch.arange(4) % 2, (NAME, "over"), (0, 1))
    return lambda path: multidd.images.random(data, ipc=1).grid(path, data=data)


def of_texts():
    texts = ([f"{NAME} a", "dull", f"{NAME} b", "film"], [NAME, "b", NAME, "b"])
    return multidd.text.random(texts, 2, encoder=sets.encoder()).plot


def of_graphs():
    edges = torch.tensor([[0, 1], [1, 0]])
    data = Data(x=torch.eye(2), edge_index=edges, y=torch.tensor([0, 1]))
    source = {"nodes": 9, "train": 9, "classes": 2}
    return GraphSummary.from_pyg(data, source=source, method=NAME).plot


def of_logs():
    summary = RecsysSummary.from_csr(
        recsys_rows.matrix(),
        source=recsys_rows.SOURCE,
        method=NAME,
        item_ids=recsys_rows.IDS["int"],
    )
    return summary.plot


def of_reports():
    scores = (Row(NAME, "$g_{", {"accuracy": (0.8,)}),)
    report = Report(scores, {"name": NAME}, {}, NAME, "accuracy")
    return lambda path: heatmap(report, path)


@pytest.mark.parametrize(
    ("drawer", "form"),
    [
        (of_images, "png"),
        (of_texts, "svg"),
        (of_graphs, None),
        (of_logs, None),
        (of_reports, "png"),
        (of_reports, "svg"),
        (of_reports, None),
    ],
)
def test_dollar_signs_in_names(drawer, form, tmp_path):
    path = None if form is None else tmp_path / f"a.{form}"
    figure = drawer()(path)
    figure.draw_without_rendering()  # as a notebook would
    named = [text for text in figure.findobj(Text) if "$5" in text.get_text()]
    assert named
    assert not any(text.get_parse_math() for text in named)
    assert path is None or path.stat().st_size > 1000


def test_numbers_at_the_axes_stay_powers_of_ten():
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 1e6], [1, 2], label=NAME)
    axes.set(xscale="log", xlabel=NAME)
    axes.set_yticks([1, 2], [NAME, "$x_{"])
    axes.legend(title=NAME)
    finished(figure)
    figure.draw_without_rendering()
    assert all(label.get_parse_math() for label in axes.get_xticklabels())
    plain = [*axes.get_yticklabels(), axes.xaxis.label, *axes.get_legend().get_texts()]
    assert not any(text.get_parse_math() for text in plain)


def test_pictures_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is .png, .pdf or .svg; got 'a.bmp'"):
        save(Figure(), tmp_path / "a.bmp")
    assert list(tmp_path.iterdir()) == []


def test_texts_are_not_set_by_tex(monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "text.usetex", True)
    figure = Figure()
    title = figure.suptitle("50 % of $5")
    assert title.get_usetex()
    finished(figure)
    assert not title.get_usetex()


def test_every_picture_is_finished_in_one_place():
    """Whoever makes a figure returns what `finished` gives."""
    offenders = []
    for name, path in MODULES.items():
        if name == "multidd.plotting":
            continue
        calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
        saved = [c for c in calls if getattr(c.func, "attr", "") == "savefig"]
        figures = names.count("Figure")
        if saved or (figures and figures != names.count("finished")):
            offenders.append(name)
    assert not offenders
