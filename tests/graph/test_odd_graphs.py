"""Odd but sound graphs give the bits of the cleaned graph; inputs are never changed."""

import numpy as np
import pytest
import torch

import multidd
from multidd.graph.methods.registry import METHODS

pytestmark = pytest.mark.usefixtures("short_teachers")


@pytest.fixture(params=["kmeans", "gcond_x", "random"])
def same(request, run):
    """Checks that two graphs give one digest."""

    def same(one, other):
        options = {"steps": 4} if request.param == "gcond_x" else {}
        digests = [run(request.param, d, **options).digest() for d in (one, other)]
        assert digests[0] == digests[1]

    return same


def test_self_loops(small, same):
    odd = small.clone()
    loops = torch.arange(0, 120, 3).repeat(2, 1)
    odd.edge_index = torch.cat([odd.edge_index, loops], dim=1)
    same(small, odd)


def test_duplicate_edges(small, same):
    odd = small.clone()
    again = odd.edge_index[:, ::2]
    odd.edge_index = torch.cat([odd.edge_index, again, again], dim=1)
    same(small, odd)


def test_directed_edges(small, same):
    odd = small.clone()
    odd.edge_index = odd.edge_index[:, odd.edge_index[0] < odd.edge_index[1]]
    assert odd.num_edges == small.num_edges // 2
    same(small, odd)


def test_order_of_edges(small, same):
    odd = small.clone()
    order = torch.randperm(odd.num_edges, generator=torch.Generator().manual_seed(1))
    odd.edge_index = odd.edge_index[:, order]
    same(small, odd)


def test_int32_edges(small, same):
    odd = small.clone()
    odd.edge_index = odd.edge_index.int()
    same(small, odd)


def test_weights_of_one(small, same):
    odd = small.clone()
    odd.edge_weight = torch.ones(odd.num_edges)
    same(small, odd)


def test_weights_of_one_in_a_column(small, same):
    odd = small.clone()
    odd.edge_weight = torch.ones(odd.num_edges, 1, dtype=torch.float64)
    same(small, odd)


def test_edges_of_weight_zero_are_no_edges(small, same):
    odd, before = small.clone(), small.clone()
    low = small.edge_index.min(0).values % 4 == 0
    odd.edge_weight = (~low).float()
    before.edge_index = before.edge_index[:, ~low]
    same(before, odd)


def test_isolated_nodes(small, same):
    small.edge_index = small.edge_index[:, (small.edge_index > 1).all(0)]
    odd = small.clone()
    odd.edge_index = torch.cat([odd.edge_index, torch.zeros(2, 1).long()], dim=1)
    same(small, odd)
    summary = multidd.graph.kmeans(small, nodes=9)
    assert torch.isfinite(summary.tensors["x"]).all()


def test_isolated_node_sees_itself_only(small):
    small.edge_index = small.edge_index[:, (small.edge_index > 1).all(0)]
    graph = multidd.graph.data.graph.as_graph(small)
    propagated = multidd.graph.models.propagation.propagate(graph.adjacency, graph.x, 2)
    assert torch.equal(propagated[:2], small.x[:2])
    assert not torch.equal(propagated[2:], small.x[2:])


def test_labels_outside_the_masks_may_be_anything(small, run):
    neither = ~(small.train_mask | small.val_mask)
    small.test_mask = small.test_mask & False
    before = run("gcond_x", small).digest()
    small.y[neither] = -1
    assert run("gcond_x", small).digest() == before


# --- inputs are never changed ---------------------------------------------------


@pytest.mark.parametrize("name", sorted(METHODS))
def test_input_is_unchanged(small, name, run, flat_bytes):
    """By induction, with weights of edges; else see `tests.methods`."""
    small.edge_weight = torch.ones(small.num_edges)
    before = flat_bytes(small)
    run(name, small, inductive=True)
    assert flat_bytes(small) == before


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_read_only_memory_map(small, tmp_path, run):
    np.save(tmp_path / "x.npy", small.x.numpy())
    before = (tmp_path / "x.npy").read_bytes()
    mapped = small.clone()
    mapped.x = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert run("gcond", mapped).digest() == run("gcond", small).digest()
    assert (tmp_path / "x.npy").read_bytes() == before


def test_evaluate_leaves_the_data_alone(small, quick, flat_bytes):
    before = flat_bytes(small)
    summary = multidd.graph.random(small, nodes=9)
    digest = summary.digest()
    protocol = multidd.Protocol("q", epochs=4, width=16)
    multidd.evaluate(summary, small, seeds=1, protocol=protocol, models=["gcn", "gat"])
    assert flat_bytes(small) == before
    assert summary.digest() == digest


# --- folders and summaries ------------------------------------------------------


def test_evaluate_with_a_summary_of_other_features(small, run):
    summary = run("kmeans", small)
    small.x = small.x[:, :7]
    with pytest.raises(ValueError, match="12 features and 3 classes, the data has 7 a"):
        multidd.evaluate(summary, small)


def test_evaluate_with_a_summary_of_other_classes(small, run):
    summary = run("kmeans", small)
    small.y[small.y == 2] = 1
    with pytest.raises(ValueError, match="3 classes, the data has 12 and 2; evaluate"):
        multidd.evaluate(summary, small)


@pytest.mark.parametrize("name", ["val", "test"])
def test_evaluate_without_nodes_to_judge_on(small, name, run):
    summary = run("kmeans", small)
    del small[f"{name}_mask"]
    message = rf"evaluating needs {name} nodes; set data\.{name}_mask"
    with pytest.raises(ValueError, match=message):
        multidd.evaluate(summary, small)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"models": ["gin"]}, r"model must be one of gcn, sgc, .*got 'gin'"),
        ({"rows": ["best"]}, r"row must be one of whole, random, .*got 'best'"),
        ({"protocol": "mine"}, r"protocol must be one of gcond; got 'mine'"),
        ({"seeds": 0}, r"seeds must be 1 or more, or a list of seeds; got none"),
    ],
)
def test_evaluate_with_unknown_settings(small, run, option, message):
    with pytest.raises(ValueError, match=message):
        multidd.evaluate(run("kmeans", small), small, **option)


def test_evaluate_without_a_summary(small):
    with pytest.raises(ValueError, match="no summary was given"):
        multidd.evaluate([], small)
