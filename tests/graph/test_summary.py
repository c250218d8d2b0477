"""`GraphSummary`: what it says of itself, and its ways in and out."""

import re
from dataclasses import asdict

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.nn import GCNConv

import multidd
from multidd import errors
from multidd.graph import GraphSummary
from multidd.storage import files

pytestmark = pytest.mark.usefixtures("short_teachers")


@pytest.fixture(params=["gcond", "kmeans", "condense", "random"])
def summary(request, small, run):
    """A summary with weighted edges, without edges, with soft labels, of real nodes."""
    return run(request.param, small)


def test_repr_is_one_line_of_what_matters(small, run):
    shown = repr(run("gcond", small))
    assert re.fullmatch(
        r"GraphSummary\(gcond, nodes=9, edges=\d+, classes=3, "
        r"ratio=0\.075 of 120 nodes = 0\.3 of 30 training, \d+ KiB, "
        r"\d+\.\d s\)",
        shown,
    )


def test_tensors_are_what_is_promised(summary):
    t = summary.tensors
    assert (t["x"].dtype, t["x"].shape) == (torch.float32, (9, 12))
    assert (t["y"].dtype, t["y"].tolist()) == (torch.int64, [0] * 3 + [1] * 3 + [2] * 3)
    edges, weight = t["edge_index"], t["edge_weight"]
    assert (edges.dtype, weight.dtype) == (torch.int64, torch.float32)
    assert edges.shape == (2, len(weight)) == (2, 2 * summary.num_edges)
    assert (edges[0] != edges[1]).all()
    assert (weight > 0).all()
    assert torch.equal(summary.adjacency, summary.adjacency.T)
    assert (summary.num_nodes, summary.num_classes) == (9, 3)
    assert summary.num_bytes == sum(x.numel() * x.element_size() for x in t.values())
    if summary.card.method == "condense":
        assert summary.card.labels == "soft"
        torch.testing.assert_close(t["y_soft"].sum(1), torch.ones(9))
        assert torch.equal(t["y_soft"].argmax(1), t["y"])
    else:
        assert "y_soft" not in t


def test_edges_of_each_method(small, run):
    assert run("gcond", small).num_edges > 0
    for name in ("gcond_x", "dm_x", "condense", "kmeans"):
        assert run(name, small).num_edges == 0
    real = run("random", small, per_class=10)
    inside = small.train_mask[small.edge_index].all(0)
    assert real.num_edges == int(inside.sum()) // 2
    assert (real.tensors["edge_weight"] == 1).all()


def test_pyg_round_trip(summary):
    data = summary.to_pyg()
    assert data.validate()
    assert not data.is_directed()
    assert data.train_mask.tolist() == [True] * 9
    again = GraphSummary.from_pyg(data, source=summary.card.source, method="other")
    assert again.digest() == summary.digest()
    assert again.card.method == "other"
    data.x.zero_()  # new tensors, on both ways
    assert summary.tensors["x"].any()
    assert again.tensors["x"].any()


@pytest.mark.parametrize("lacking", ["nodes", "train", "classes"])
def test_from_pyg_needs_the_sizes_of_the_source(small, run, lacking):
    source = {"nodes": 120, "train": 30, "classes": 3}
    del source[lacking]
    with pytest.raises(ValueError, match=f"source lacks {lacking}$"):
        GraphSummary.from_pyg(run("kmeans", small).to_pyg(), source=source, method="x")


def test_from_pyg_can_be_evaluated(small):
    data = small.subgraph(small.train_mask)
    source = {"nodes": 120, "train": 30, "classes": 3}
    result = GraphSummary.from_pyg(data, source=source, method="all")
    assert (result.tensors["edge_weight"] == 1).all()
    protocol = multidd.Protocol("q", epochs=30, width=32)
    report = multidd.evaluate(result, small, seeds=1, protocol=protocol, rows=[])
    assert report.accuracy("gcn") > 0.9


@pytest.mark.changes_globals("PyG's layers draw their weights from the global state")
@pytest.mark.parametrize("name", ["gcond", "kmeans", "random"])
def test_plain_pyg_code_trains_on_it(small, run, name):
    torch.manual_seed(0)
    data = run(name, small).to_pyg()
    first, second = GCNConv(12, 32), GCNConv(32, 3)
    parameters = [*first.parameters(), *second.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)

    def forward(x, edges, weight=None):
        return second(first(x, edges, weight).relu(), edges, weight)

    for _ in range(60):
        optimizer.zero_grad()
        logits = forward(data.x, data.edge_index, data.edge_weight)
        F.cross_entropy(logits[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
    right = forward(small.x, small.edge_index).argmax(1) == small.y
    assert right[small.test_mask].float().mean() > 0.8


def test_nan_in_a_file(small, run, tmp_path):
    summary = run("kmeans", small)
    bad = dict(summary.tensors) | {"x": summary.tensors["x"] * torch.nan}
    expected = r"nan\.safetensors: tensor 'x' holds 108 values that are NaN"
    path = tmp_path / "nan.safetensors"
    with pytest.raises(errors.NonFiniteError, match=expected):
        GraphSummary(bad, summary.card).save(path)
    assert not path.exists()
    card = {"card": asdict(summary.card)}
    files.write(path, bad, card, kind="graph", allow_nonfinite=True)
    with pytest.raises(errors.NonFiniteError, match=expected):
        multidd.load(path)
    assert multidd.load(path, allow_nonfinite=True).tensors["x"].isnan().all()


@pytest.mark.parametrize(
    ("name", "beside"), [("gcond", True), ("gcond", False), ("condense", True)]
)
def test_plot(run, small, tmp_path, name, beside):
    summary = run(name, small)
    path = tmp_path / "picture.png"
    figure = summary.plot(path, data=small if beside else None)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 10_000
    nodes, adjacency, properties = figure.axes[:3]
    assert len(nodes.collections) == 3  # one for each class
    assert (adjacency.images[0].get_array() > 0).sum() == 2 * summary.num_edges
    names = [line.get_label().split(":")[0] for line in properties.lines]
    assert names == (["real", "condensed"] if beside else ["condensed"])
    block = [text.get_text() for text in adjacency.texts]
    assert ("structure-free:\nno edges" in block) == (summary.num_edges == 0)
