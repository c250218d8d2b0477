"""Graphs as people have them: values of other types, nodes without a label."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import Data

import multidd
from multidd.data.labels import class_numbers, count_classes, number_array
from multidd.errors import MultiddWarning
from multidd.graph import as_graph_set, split
from multidd.graph.data.graph import as_graph, as_tensor
from tests.graph.sets import graphs

SCORES = {"models": ["sgc"], "seeds": 1, "rows": []}


def score(summary, data, protocol):
    """Accuracy of one model."""
    report = multidd.evaluate(summary, on=data, protocol=protocol, **SCORES)
    return report.accuracy("sgc")


# --- nodes without a label ------------------------------------------------------

ABSENT = {
    "below zero": lambda y, nodes: y.masked_fill(nodes, -1),
    "far below": lambda y, nodes: y.masked_fill(nodes, -(2**40)),
    "nan": lambda y, nodes: y.double().masked_fill(nodes, torch.nan),
    "half nan": lambda y, nodes: y.half().masked_fill(nodes, torch.nan),
    "none": lambda y, nodes: [
        None if node else label
        for label, node in zip(y.tolist(), nodes.tolist(), strict=True)
    ],
    "column": lambda y, nodes: y.masked_fill(nodes, -1)[:, None],
}


@pytest.mark.parametrize("kind", sorted(ABSENT))
def test_nodes_without_a_label_are_in_no_part(kind, small):
    before = as_graph(small)
    nodes = ~small.train_mask & (torch.arange(120) % 2 == 0)
    odd = small.clone()
    odd.y = ABSENT[kind](small.y, nodes)
    with pytest.warns(MultiddWarning, match="30 of 60 test nodes have no label"):
        graph = as_graph(odd)
    assert torch.equal(graph.train, before.train)
    assert torch.equal(graph.val, before.val & ~nodes)
    assert torch.equal(graph.test, before.test & ~nodes)
    assert torch.equal(graph.y[~nodes], before.y[~nodes])
    assert bool((graph.y[nodes] < 0).all()) and graph.num_classes == 3


def test_all_labelled_is_said_by_no_warning(small):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_graph(small)


@pytest.mark.filterwarnings("ignore:.* nodes have no label")
def test_nodes_without_a_label_are_not_judged(small, quick):
    """The score is that of the other test nodes, as if masks named only them."""
    summary = multidd.graph.kmeans(small, per_class=3)
    nodes = small.test_mask & (torch.arange(120) % 2 == 0)
    odd, fewer = small.clone(), small.clone()
    odd.y = small.y.masked_fill(nodes, -1)
    fewer.test_mask = small.test_mask & ~nodes
    assert score(summary, odd, quick) == score(summary, fewer, quick)
    odd.y = small.y.masked_fill(small.test_mask, -1)
    with pytest.raises(ValueError, match="evaluating needs test nodes"):
        score(summary, odd, quick)


@pytest.mark.filterwarnings("ignore:.* nodes have no label")
def test_several_labels_may_be_absent(small):
    table = torch.tensor([[1, 0], [0, 1], [1, 1]])[small.y].float()
    odd = small.clone()
    odd.y = table.clone()
    odd.y[small.test_mask] = torch.nan
    graph = as_graph(odd, multi_label=True)
    assert not graph.test.any() and torch.equal(graph.val, small.val_mask)
    assert torch.equal(graph.multi_label[~small.test_mask], table[~small.test_mask])
    odd.y[3] = torch.nan
    with pytest.raises(ValueError, match=r"training node 3 has label \[nan, nan\]"):
        as_graph(odd, multi_label=True)


def test_training_nodes_need_a_label(small):
    small.y = small.y.double()
    small.y[4] = torch.nan
    with pytest.raises(ValueError, match=r"training node 4 has label nan; want 0\.\.c"):
        as_graph(small)


def test_split_takes_no_node_without_a_label(small):
    before = split(small, train=5, val=7)
    odd = small.clone()
    odd.y = small.y.masked_fill(torch.arange(120) % 10 == 0, -1)
    for y in (odd.y, odd.y[:, None], odd.y.numpy(), odd.y.tolist(), odd.y.double()):
        odd.y = y
        parts = split(odd, train=5, val=7)
        masks = torch.stack([parts.train_mask, parts.val_mask, parts.test_mask])
        assert torch.equal(masks.sum(0) == 0, torch.arange(120) % 10 == 0)
        assert masks.sum(1).tolist() == [15, 21, 108 - 36]
    small.y = small.y[:, None]
    assert torch.equal(split(small, train=5, val=7).train_mask, before.train_mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y + 0.5, "data.y must be one class for each node, got float32 of"),
        (lambda y: torch.eye(3)[y], r"one class for each node, got .* \[120, 3\]"),
        (lambda y: None, r"data\.y is missing"),
        (lambda y: y.masked_fill(y == 1, 5), r"classes \[1, 3, 4\] have no nodes"),
        (lambda y: y - 9, "no node has a label: all are below zero or missing"),
    ],
)
def test_split_refuses_what_is_no_class(change, message, small):
    small.y = change(small.y)
    with pytest.raises(ValueError, match=message):
        split(small, train=5, val=7)


# --- labels of any size ---------------------------------------------------------


@pytest.mark.parametrize("label", [255, 2**31 - 1, 10**12, 2**63 - 1])
@pytest.mark.parametrize("part", ["train", "test"])
def test_a_large_label_is_refused_with_its_node(label, part, small):
    """Without memory for the classes that are not there."""
    node = 119 if part == "test" else 0
    small.y[node] = label
    message = r"classes \[3, 4, 5, .*\.\.\.\] have no training nodes \(labels run 0\.\."
    message += rf"{label}\); label {label} is first at node {node}; .*give -1 to nodes"
    with pytest.raises(ValueError, match=message) as caught:
        multidd.graph.kmeans(small, nodes=9)
    assert len(str(caught.value)) < 400
    message = (
        rf"have no nodes \(labels run 0\.\.{label}\); .* first at node {node}; rel"
    )
    with pytest.raises(ValueError, match=message):
        split(small, train=5, val=7)


@pytest.mark.parametrize("value", [1e300, float("inf"), 2.0**63])
def test_a_number_that_is_no_class(value, small):
    small.y = small.y.double()
    small.y[7] = value
    with pytest.raises(ValueError, match="node 7 has label .*, which is no class"):
        as_graph(small)


def test_unsigned_numbers_as_labels(small):
    before = as_graph(small).describe()
    for dtype in (np.uint8, np.uint16, np.uint32, np.uint64, np.float16, ">i4"):
        small.y = small.y if isinstance(small.y, np.ndarray) else small.y.numpy()
        small.y = small.y.astype(dtype)
        assert as_graph(small).describe() == before
    small.y = small.y.astype(np.uint64)
    small.y[7] = 2**64 - 1
    with pytest.raises(ValueError, match="node 7 has label 18446744073709551615, wh"):
        as_graph(small)


def test_a_large_label_of_a_graph_is_refused():
    dataset = graphs(3)
    dataset[2].y = torch.tensor([10**12])
    with pytest.raises(ValueError, match=r"label 1000000000000 is first at graph 2; "):
        multidd.graph.random(dataset, per_class=1)


def test_classes_that_are_there():
    words = {"noun": "node", "learned_noun": "nodes", "advice": "add some"}
    y = torch.tensor([1, 0, -1, 2, 1])
    assert count_classes(y, y >= -1, **words) == 3
    with pytest.raises(ValueError, match=r"classes \[2\] have no nodes \(labels run 0"):
        count_classes(y, y < 2, **words)
    assert class_numbers(np.array([0.5, 1]), noun="node") is None
    assert class_numbers(np.array([True, False]), noun="node").tolist() == [1, 0]
    for y in ([1, None], [1, float("nan")], np.array([1, None], dtype=object)):
        assert np.isnan(number_array(y, name="y", noun="node")[1])
    for y in (["a", "b"], [1, "b"], b"a", object(), [[1], [1, 2]], [1j]):
        with pytest.raises(ValueError, match="^y holds "):
            number_array(y, name="y", noun="node")


# --- values of other types ------------------------------------------------------

TAKEN = {
    "x": {
        "numpy": lambda x: x.numpy(),
        "list": lambda x: x.tolist(),
        "scipy csr": lambda x: sp.csr_matrix(x.numpy()),
        "scipy coo array": lambda x: sp.coo_array(x.numpy()),
        "scipy csc of doubles": lambda x: sp.csc_array(x.numpy().astype(float)),
        "torch csr": lambda x: x.to_sparse_csr(),
        "big endian": lambda x: x.numpy().astype(">f4"),
        "long double": lambda x: x.numpy().astype(np.longdouble),
        "fortran": lambda x: np.asfortranarray(x.numpy()),
        "objects": lambda x: x.numpy().astype(object),
        "matrix": lambda x: np.asmatrix(x.numpy()),
        "gradient": lambda x: x.clone().requires_grad_(),
    },
    "y": {
        "list": lambda y: y.tolist(),
        "whole floats": lambda y: y.float(),
        "bfloat16": lambda y: y.bfloat16(),
        "int8": lambda y: y.to(torch.int8),
        "unsigned": lambda y: y.numpy().astype(np.uint16),
        "objects": lambda y: y.numpy().astype(object),
    },
    "train_mask": {"list": lambda m: m.tolist(), "numpy": lambda m: m.numpy()},
    "edge_index": {
        "numpy": lambda e: e.numpy(),
        "list": lambda e: e.tolist(),
        "int16": lambda e: e.short(),
        "unsigned": lambda e: e.numpy().astype(np.uint32),
        "unsigned tensor": lambda e: e.to(torch.uint32),
        "scipy": lambda e: sp.coo_matrix((np.ones(e.shape[1]), e.numpy()), (120, 120)),
    },
}


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in TAKEN.items() for kind in kinds]
)
def test_values_of_other_types_are_taken(name, kind, small):
    before = as_graph(small).describe()
    odd = Data(**small.to_dict())
    odd[name] = TAKEN[name][kind](small[name])
    assert as_graph(odd).describe() == before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", torch.ones(120, 2) * 1j, "data.x holds complex numbers; give their real"),
        ("x", np.ones((120, 2)) * 1j, "data.x must be a tensor, .*of complex128$"),
        ("x", np.full((120, 2), "a"), "data.x must be .*, got ndarray of <U1$"),
        ("x", [[1, 2], [3]], "data.x must be a tensor, array or matrix .*, got list$"),
        ("x", "features", "data.x must be a tensor, .*got str of <U8$"),
        ("x", {"a": 1}, "data.x must be a tensor, .*got dict$"),
        ("x", 7, r"data.x must be \[nodes, features\], got \[\]"),
        ("y", ["spam"] * 120, "data.y holds texts; number the classes of the nodes 0"),
        ("y", {"a": 1}, "data.y holds dict; number the classes"),
        ("y", 1, "data.y must be 120 integers"),
        ("train_mask", ["a"] * 120, "data.train_mask must be a tensor, .*got list"),
        (
            "train_mask",
            [0, 1],
            r"data.train_mask must be 120 booleans, got torch.int64",
        ),
        ("edge_index", [["a"], ["b"]], "data.edge_index must be a tensor, .*got list"),
        ("edge_weight", ["a"], "data.edge_weight must be a tensor, .*got list"),
        ("edge_weight", [1, 2], "data.edge_weight has 2 entries for"),
    ],
)
def test_values_of_other_types_are_refused_in_one_sentence(name, value, message, small):
    odd = Data(**small.to_dict())
    odd[name] = value
    with pytest.raises(ValueError, match=message):
        as_graph(odd)


def test_a_sparse_tensor_of_another_library_is_taken():
    """As torch_sparse has it."""
    coo = torch.eye(2).to_sparse_coo()
    other = SimpleNamespace(to_torch_sparse_coo_tensor=lambda: coo)
    assert as_tensor(other, "adj_t") is coo


def test_a_series_is_taken(small):
    pandas = pytest.importorskip("pandas")
    before = as_graph(small).describe()
    odd = Data(**small.to_dict())
    odd.x = pandas.DataFrame(small.x.numpy())
    odd.y = pandas.Series(small.y.numpy())
    assert as_graph(odd).describe() == before
    assert as_tensor(pandas.Series([1.5]), "x").tolist() == [1.5]


def test_graphs_of_other_types_are_taken():
    dataset = graphs(3)
    before = as_graph_set(dataset).describe()
    odd = [Data(**graph.to_dict()) for graph in dataset]
    odd[0].x = sp.csr_matrix(odd[0].x.numpy())
    odd[1].x, odd[1].edge_index = odd[1].x.numpy(), odd[1].edge_index.numpy()
    odd[2].y, odd[2].edge_index = 0, odd[2].edge_index.tolist()
    odd[3].y, odd[4].y = torch.tensor([[1.0]]), np.array([0])
    assert as_graph_set(odd).describe() == before


# --- scores on training data ----------------------------------------------------


def test_a_score_on_training_nodes_is_warned_of(small, quick):
    summary = multidd.graph.kmeans(small, per_class=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(summary, small, quick)
    small.test_mask = small.test_mask | (torch.arange(120) < 4)
    message = "4 of 64 test nodes are training nodes: the score is not of unseen nodes"
    with pytest.warns(MultiddWarning, match=message):
        score(summary, small, quick)


def test_a_score_on_training_graphs_is_warned_of():
    dataset = graphs(6)
    summary = multidd.graph.random(dataset, per_class=1)
    brief = multidd.Protocol("q", epochs=2, width=8)
    settings = {"models": ["gcn"], "seeds": 1, "rows": [], "protocol": brief}
    with pytest.warns(MultiddWarning, match="test graphs are the training graphs"):
        multidd.evaluate(summary, on=dataset, val=graphs(3), train=dataset, **settings)
