"""What a user looks at: properties and heat maps."""

import math

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import multidd
from multidd.evaluation.heatmap import heatmap
from multidd.evaluation.report import Report, Row
from multidd.graph.summary.summary import GraphSummary

PNG = b"\x89PNG"

# --- properties -----------------------------------------------------------------


def summary_of(edges: list[tuple[int, int]], y: list[int]) -> GraphSummary:
    both = torch.tensor(edges + [(j, i) for i, j in edges]).T
    data = Data(x=torch.eye(len(y)), edge_index=both, y=torch.tensor(y))
    source = {"nodes": 9, "train": 9, "classes": 2}
    return GraphSummary.from_pyg(data, source=source, method="mine")


def test_properties_of_a_path_by_hand():
    """Three nodes in a row, of classes 0, 0, 1."""
    properties = summary_of([(0, 1), (1, 2)], [0, 0, 1]).properties()
    column = properties.columns["mine"]
    assert (column["nodes"], column["edges"]) == (3, 2)
    assert column["density"] == pytest.approx(2 / 3)
    assert column["mean degree"] == pytest.approx(4 / 3)
    assert column["homophily"] == pytest.approx(0.5)
    assert column["homophily by chance"] == pytest.approx(5 / 9)
    assert (column["largest class"], column["smallest class"]) == (
        2 / 3,
        pytest.approx(1 / 3),
    )
    assert column["radius of the Laplacian"] == pytest.approx(2)  # bipartite
    assert column["features that are 0"] == pytest.approx(2 / 3)
    root = np.array([2, 3, 2]) ** -0.5
    looped = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]]) * root[:, None] * root
    second = sorted(np.linalg.eigvalsh(looped))[-2]
    assert column["eigenvalue 2 of the operator"] == pytest.approx(second)
    assert math.isnan(column["eigenvalue 4 of the operator"])
    assert repr(properties) == f"Properties(mine; {len(column)} properties)"
    first, _, nodes = str(properties).splitlines()[:3]
    assert first.split() == ["property", "mine"] and nodes.split() == ["nodes", "3"]


def test_real_beside_synthetic(cora):
    summary = multidd.graph.random(cora, nodes=70)
    properties = summary.properties(cora)
    assert properties["nodes"] == {"real": 2708, "random": 70}
    assert properties["edges"]["real"] == 5278
    assert properties["homophily"]["real"] == pytest.approx(0.81, abs=0.005)
    assert properties["mean degree"]["real"] == pytest.approx(3.898, abs=1e-3)
    assert properties["eigenvalue 2 of the operator"]["real"] == pytest.approx(
        1, abs=1e-3
    )
    assert 1 < properties["radius of the Laplacian"]["real"] <= 2
    assert properties["KiB"]["random"] == pytest.approx(summary.num_bytes / 1024)
    text = str(properties)
    assert "homophily" in text and "2,708" in text
    assert "| nodes | 2,708 | 70 |" in properties.to_markdown()
    assert summary.properties(cora).columns == properties.columns


def test_properties_without_edges(cora):
    properties = multidd.graph.kmeans(cora, nodes=7).properties()
    column = properties.columns["kmeans"]
    assert column["nodes without edges"] == 1 and column["radius of the Laplacian"] == 0
    assert math.isnan(column["homophily"]) and "-" in str(properties)
    assert column["eigenvalue 2 of the operator"] == pytest.approx(1)


# --- heat maps ------------------------------------------------------------------


def report(method: str, scores: dict[str, float], data: str = "cora") -> Report:
    rows = tuple(Row(method, m, {"accuracy": (v,)}) for m, v in scores.items())
    return Report(rows, {"name": "x"}, {"data": data}, method, "accuracy")


def test_heat_map_of_two_reports(tmp_path):
    both = [report("gcond", {"gcn": 0.8, "sgc": 0.6}), report("random", {"gcn": 0.5})]
    figure = heatmap(both, tmp_path / "map.png")
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["80.0", "60.0", "70.0", "50.0"]  # no mean of half a line
    assert [t.get_text() for t in axes.get_xticklabels()] == ["gcn", "sgc", "mean"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["gcond", "random"]
    assert (tmp_path / "map.png").read_bytes().startswith(PNG)


def test_heat_maps_of_other_data():
    with pytest.raises(ValueError, match="reports of a and b are of other data"):
        heatmap([report("a", {"gcn": 1.0}), report("b", {"gcn": 1.0}, "photo")])
    with pytest.raises(ValueError, match="no report was given"):
        heatmap([])
