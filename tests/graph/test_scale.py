"""Graphs that do not fit: parts give what the whole gives; memory is asked first."""

import sys

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import multidd
from multidd import seeds
from multidd.graph import CondenseOptions
from multidd.graph.data.adjacency import adjacency_digest, adjacency_of
from multidd.graph.data.graph import as_graph
from multidd.graph.methods import condense
from multidd.graph.methods.condense import is_large
from multidd.graph.methods.resources import MemoryEstimate, as_bytes, entries_of
from multidd.graph.models import linear_teacher
from multidd.graph.models.linear_teacher import hop_teacher
from multidd.graph.models.propagated_features import hops_of
from multidd.graph.models.propagation import normalized, product, propagate, scales
from multidd.parameterizations import Free, PairwiseAdjacency
from multidd.selection.basic import Random
from multidd.settings import tensor_digest
from multidd.storage import cache
from tests.toy import COUNTS, Toy

# --- the generator --------------------------------------------------------------


@pytest.fixture(scope="module")
def blocks():
    return multidd.graph.blocks(3000, 15_000, 16, 5, seed=1, signal=0.4)


def test_blocks_are_as_asked(blocks):
    assert blocks.edge_index.dtype == torch.int32 and blocks.x.dtype == torch.float32
    assert blocks.edge_index.shape == (2, 30_000)
    a, b = blocks.edge_index.long()
    assert torch.equal(a[:15_000], b[15_000:]) and bool((a != b).all())
    assert float((a % 5 == b % 5).float().mean()) == pytest.approx(0.5, abs=0.02)
    share = float((blocks.y == torch.arange(3000) % 5).float().mean())
    assert share == pytest.approx(1 - 0.1 * 4 / 5, abs=0.02)
    degree = torch.bincount(a, minlength=3000).float()
    assert float(degree.var()) == pytest.approx(10, rel=0.15)  # Poisson: as its mean
    masks = torch.stack([blocks.train_mask, blocks.val_mask, blocks.test_mask])
    assert bool((masks.sum(0) == 1).all())
    assert float(blocks.train_mask.float().mean()) == pytest.approx(0.1, abs=0.02)


def test_blocks_by_seed(blocks):
    same = multidd.graph.blocks(3000, 15_000, 16, 5, seed=1, signal=0.4)
    other = multidd.graph.blocks(3000, 15_000, 16, 5, seed=2, signal=0.4)
    for name in ("x", "edge_index", "y", "train_mask"):
        assert torch.equal(blocks[name], same[name])
        assert not torch.equal(blocks[name], other[name])


def test_parts_of_a_draw_are_independent(monkeypatch):
    monkeypatch.setattr(sys.modules["multidd.graph.data.generators"], "PART", 64)
    summary = multidd.graph.blocks(101, 500, 3, 4)
    first, second = summary.edge_index[:, :64], summary.edge_index[:, 64:128]
    assert not torch.equal(first, second)
    assert int(summary.edge_index.max()) <= 100
    assert float(summary.x.var()) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((5, 3, 2, 3), {}, "2 classes or more and 2 nodes of each; got 5 nodes and 3"),
        ((9, -1, 2, 3), {}, "edges must be 0 or more.*got -1, 2 and 9"),
        ((9, 3, 2, 3), {"homophily": 1.5}, "homophily must be from 0 to 1, got 1.5"),
        ((9, 3, 2, 3), {"train": 0.0}, "train must be above 0.*got 0.0 and 0.05"),
    ],
)
def test_blocks_that_cannot_be(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        multidd.graph.blocks(*sizes, **options)


# --- adjacency, products, hops --------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_adjacency_by_hand(weighted, monkeypatch):
    monkeypatch.setattr("multidd.graph.data.adjacency.CHUNK", 3)
    edges = torch.tensor([[0, 1, 2, 2, 3, 0, 1], [1, 0, 3, 3, 3, 2, 0]])
    weight = torch.tensor([1.0, 2, 3, 4, 9, 0.5, 1]) if weighted else None
    block = adjacency_of(edges, weight, 5).toarray()
    expected = np.zeros((5, 5))
    ones = {(0, 1): 3.0, (2, 3): 7.0, (0, 2): 0.5}
    for (i, j), value in ones.items():
        expected[i, j] = expected[j, i] = value if weighted else 1.0
    assert block.dtype == np.float32 and np.array_equal(block, expected)


def test_digest_in_parts(graph, monkeypatch):
    whole = tensor_digest(torch.from_numpy(graph.adjacency.toarray()).to_sparse_coo())
    assert adjacency_digest(graph.adjacency) == whole
    monkeypatch.setattr("multidd.graph.data.adjacency.CHUNK", 7)
    assert adjacency_digest(graph.adjacency) == whole
    parts = np.ones(2, np.float32), np.array([2, 0]), np.array([0, 2, 2, 2])
    turned = csr_array(parts, shape=(3, 3))
    ordered = csr_array(turned.toarray())
    assert not turned.has_sorted_indices and ordered.has_sorted_indices
    assert adjacency_digest(turned) == adjacency_digest(ordered)


def test_products_in_parts(graph, monkeypatch):
    expected = normalized(graph.adjacency) @ graph.x.numpy()
    monkeypatch.setattr("multidd.graph.models.propagation.CHUNK", 50)
    scale, x = scales(graph.adjacency), graph.x.numpy()
    block = product(graph.adjacency, scale, x, np.empty_like(x))
    np.testing.assert_allclose(block, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
def test_large_graphs_propagate_alike(graph, hops, monkeypatch):
    before = propagate(graph.adjacency, graph.x, hops)
    operator = normalized(graph.adjacency)
    monkeypatch.setattr("multidd.graph.models.propagation.LARGE", 1)
    monkeypatch.setattr("multidd.graph.models.propagation.CHUNK", 160)
    after = propagate(graph.adjacency, graph.x, hops)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-6)
    again = normalized(graph.adjacency)
    np.testing.assert_allclose(again.toarray(), operator.toarray(), rtol=1e-5)
    assert after.data_ptr() != graph.x.data_ptr()


@pytest.mark.parametrize("columns", [None, 5, 100])
def test_hops_in_files_are_those_in_memory(graph, columns):
    with hops_of(graph, columns) as hops:
        for name, many in (("x", 0), ("once", 1), ("twice", 2)):
            result = torch.from_numpy(np.array(getattr(hops, name)))
            expected = propagate(graph.adjacency, graph.x, many)
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-6)
    left = list((cache.folder() / "hops").glob("*"))
    assert not left  # the files are gone


# --- condense by hops -----------------------------------------------------------


def test_what_is_large(blocks, monkeypatch):
    graph = as_graph(blocks)
    assert not is_large(graph)
    monkeypatch.setattr("multidd.graph.methods.condense.LARGE_NODES", 2999)
    assert is_large(graph)
    summary = multidd.graph.condense(blocks, nodes=20)
    assert summary.card.settings["teacher"] == "hops"
    assert set(summary.card.stages) == set(
        "reading propagation teacher clusters card".split()
    )


def test_files_change_nothing_but_the_memory(blocks):
    room = MemoryEstimate.of(3000, 30_000, 16, 5)
    tight = (room.filed(16) + room.whole) // 2
    assert room.choose(tight) is not None and room.choose(room.whole) is None
    both = [
        multidd.graph.condense(
            blocks,
            nodes=20,
            options=CondenseOptions(teacher="hops", max_memory=memory),
        )
        for memory in (None, tight)
    ]
    torch.testing.assert_close(both[0].tensors["x"], both[1].tensors["x"])


def test_too_little_memory_is_refused_before_reading(blocks, monkeypatch):
    monkeypatch.setattr("multidd.graph.methods.condense.as_graph", pytest.fail)
    message = r"takes about \S+ MB beside.*100.0 KB were given.*at least max_memory="
    with pytest.raises(ValueError, match=message) as caught:
        multidd.graph.condense(
            blocks, nodes=20, options=CondenseOptions(max_memory="100 KB")
        )
    fit = int(str(caught.value).split("at least max_memory=")[1].split(",")[0])
    monkeypatch.undo()
    assert (
        multidd.graph.condense(
            blocks, nodes=20, options=CondenseOptions(max_memory=fit)
        ).num_nodes
        == 20
    )


@pytest.mark.parametrize("memory", [0, -1, "much", "8 XB", float("nan")])
def test_memory_that_is_none(memory):
    with pytest.raises(
        ValueError, match="max_memory must be bytes above 0 or text such as"
    ):
        as_bytes(memory)


def test_entries_are_known_before_reading(blocks, small):
    for data in (blocks, small):
        nnz = as_graph(data).adjacency.nnz
        assert nnz <= entries_of(data) <= nnz + 60
    one_way = small.clone()
    one_way.edge_index = small.edge_index[:, small.edge_index[0] < small.edge_index[1]]
    assert entries_of(one_way) == small.num_edges


@pytest.mark.parametrize("lloyd", [10_000, 100])
def test_batches_cluster_as_well(blocks, lloyd, monkeypatch):
    """More clusters lie nearer to the propagated features of the nodes."""
    monkeypatch.setattr("multidd.graph.methods.condense.MAX_KMEANS_ROWS", lloyd)
    monkeypatch.setattr("multidd.graph.methods.condense.SAMPLE", 256)
    with hops_of(as_graph(blocks)) as hops:
        h = hops.view("low", slice(None))
    gaps = []
    for nodes in (5, 100):
        summary = multidd.graph.condense(
            blocks,
            nodes=nodes,
            seed=3,
            options=CondenseOptions(teacher="hops"),
        )
        gaps.append(float(torch.cdist(h, summary.tensors["x"]).amin(1).square().mean()))
    assert gaps[1] < 0.85 * gaps[0]


def test_teacher_of_hops_beats_its_own_features(blocks):
    graph = as_graph(blocks)
    with hops_of(graph) as hops:
        result = hop_teacher(graph, hops)
    assert result.view == "low" and result.scores["low"] > result.scores["own"] + 0.1
    right = result.p.argmax(1)[graph.test.numpy()] == graph.y[graph.test].numpy()
    assert right.mean() > 0.68  # 0.92 is what anyone can reach
    assert np.allclose(result.p.sum(1), 1, atol=1e-5)


def test_a_teacher_of_hops_on_some_nodes(blocks, monkeypatch):
    """Of large graphs it sees some nodes, and some of those at a step."""
    graph = as_graph(blocks)
    monkeypatch.setattr(linear_teacher, "SAMPLE", 300)
    monkeypatch.setattr(linear_teacher, "BATCH", 64)
    rows = linear_teacher._sampled(graph.train, 0, "train")
    assert len(rows) == 300 and bool((rows.diff() > 0).all() & graph.train[rows].all())
    with hops_of(graph) as hops:
        result = hop_teacher(graph, hops)
        again = hop_teacher(graph, hops)
    assert np.array_equal(result.p, again.p)
    right = result.p.argmax(1)[graph.test.numpy()] == graph.y[graph.test].numpy()
    assert right.mean() > 0.6


def test_a_teacher_of_hops_without_nodes_to_judge_on(blocks):
    bare = blocks.clone()
    del bare.val_mask
    graph = as_graph(bare)
    with hops_of(graph) as hops:
        result = hop_teacher(graph, hops)
    assert result.view == "low" and result.scores == {} and result.smoothing == 2
    right = result.p.argmax(1)[graph.test.numpy()] == graph.y[graph.test].numpy()
    assert right.mean() > 0.6


def test_many_features_are_compared_by_their_principal_directions(blocks, monkeypatch):
    """As much of the rows as four directions can hold."""
    graph, nodes = as_graph(blocks), np.arange(blocks.num_nodes)
    with hops_of(graph) as hops:
        beliefs = hop_teacher(graph, hops)
        whole = condense._Space(hops, beliefs, 0.5, 0, "cpu").rows(nodes)
        monkeypatch.setattr(condense, "DIMS", 4)
        few = condense._Space(hops, beliefs, 0.5, 0, "cpu").rows(nodes)
    d, c = graph.x.shape[1], graph.num_classes
    assert whole.shape[1] == d + c and few.shape[1] == 4 + c
    assert torch.equal(few[:, 4:], whole[:, d:])
    largest = torch.linalg.svdvals(whole[:, :d])[:4]
    torch.testing.assert_close(
        torch.linalg.svdvals(few[:, :4]), largest, rtol=0.01, atol=0.0
    )


def test_condense_by_hops_beats_the_rows(blocks, quick):
    summary = multidd.graph.condense(
        blocks, nodes=10, options=CondenseOptions(teacher="hops")
    )
    report = multidd.evaluate(
        summary, blocks, seeds=1, rows=["random", "kmeans"], protocol=quick
    )
    assert report.accuracy("gcn") > report.accuracy("gcn", "kmeans") - 0.02
    assert report.accuracy("gcn") > report.accuracy("gcn", "random") + 0.1


# --- A' in blocks ---------------------------------------------------------------


def test_pairs_in_blocks_are_those_of_one(monkeypatch):
    whole = PairwiseAdjacency(Free(Random(), COUNTS), width=6, warmup_steps=0)
    parts = PairwiseAdjacency(Free(Random(), COUNTS), width=6, warmup_steps=0, pairs=13)
    params = whole.init(Toy(), seeds.at(0, "x"))
    results = []
    for form in (whole, parts):
        leaves = {n: t.detach().clone() for n, t in params.items()}
        moving = [n for n in leaves if leaves[n].is_floating_point()]
        for name in moving:
            leaves[name].requires_grad_()
        a = form.draw(leaves, seeds.at(0, "d"), 0)["adjacency"]
        gradients = torch.autograd.grad(
            (a * torch.arange(36.0).view(6, 6)).sum(),
            [leaves[n] for n in moving],
            allow_unused=True,
        )
        results.append([a, *(g for g in gradients if g is not None)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_blocks_warm_too():
    """Of a few rows at a time, the network still learns the edges of its start."""
    gaps = []
    for steps in (0, 200):
        form = PairwiseAdjacency(Free(Random(), COUNTS), 8, 5.0, steps, pairs=13)
        params = form.init(Toy(), seeds.at(0, "x"))
        goal = Free(Random(), COUNTS).init(Toy(), seeds.at(0, "x"))["adjacency"]
        a = form.draw(params, seeds.at(0, "d"), 0)["adjacency"]
        gaps.append(float((a - goal).square().mean()))
    assert gaps[1] < gaps[0]


def test_no_batch_norm_over_blocks():
    form = PairwiseAdjacency(Free(Random(), COUNTS), batch_norm=True, pairs=13)
    with pytest.raises(ValueError, match="batch_norm is over all 36 pairs, and 13 fit"):
        form.init(Toy(), seeds.at(0, "x"))


# --- fewer edges ----------------------------------------------------------------


@pytest.fixture(scope="module")
def dense(cora):
    options = multidd.graph.GCondOptions(structure="pairwise")
    return multidd.graph.gcond(cora, nodes=70, steps=2, options=options, progress=False)


def test_sparsified_by_threshold(dense):
    before = dense.digest()
    a = dense.adjacency
    cut = float(a[a > 0].median())
    result = dense.sparsified(threshold=cut)
    assert torch.equal(result.adjacency, a * (a >= cut))
    assert result.card.settings["sparsified"] == {"threshold": cut, "top": None}
    assert result.num_bytes < dense.num_bytes and dense.digest() == before


@pytest.mark.parametrize("top", [1, 3, 1000])
def test_sparsified_to_the_heaviest(dense, top):
    a = dense.adjacency
    mask = torch.zeros_like(a, dtype=torch.bool)
    for i, row in enumerate(a):
        best = row.argsort(descending=True, stable=True)[:top]
        mask[i, best] = row[best] > 0
    block = dense.sparsified(top=top).adjacency
    assert torch.equal(block, a * (mask | mask.T))
    assert torch.equal(block, block.T)


@pytest.mark.parametrize(
    "options", [{}, {"top": 1, "threshold": 0.1}, {"top": 0}, {"threshold": -1.0}]
)
def test_sparsified_how(dense, options):
    with pytest.raises(ValueError, match="exactly one|must be 1 or more|0 or more"):
        dense.sparsified(**options)
