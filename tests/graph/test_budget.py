"""Budgets: the ratio's convention, shares of the classes, and what is refused."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given
from hypothesis import strategies as st

import multidd
from multidd.graph.data.graph import Graph, as_graph
from multidd.graph.methods.budget import plan


def graph_of(sizes, others=0):
    """A graph whose classes have `sizes` training nodes, `others` more without."""
    y = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    y = torch.cat([y, torch.zeros(others, dtype=torch.int64)])
    n = len(y)
    train = torch.arange(n) < n - others
    none = torch.zeros(n, dtype=torch.bool)
    a = sp.csr_array((n, n), dtype=np.float32)
    return Graph(torch.ones(n, 1), y, a, train, none, none, len(sizes))


SIZES = st.lists(st.integers(1, 40), min_size=2, max_size=8)


@given(SIZES, st.integers(0, 100), st.data())
def test_any_budget_that_fits_sums_up(sizes, others, data):
    total = data.draw(st.integers(len(sizes), sum(sizes)))
    budget = plan(graph_of(sizes, others), nodes=total)
    assert sum(budget.counts) == budget.nodes == total
    assert all(1 <= k <= size for k, size in zip(budget.counts, sizes, strict=True))
    assert budget.ratio == total / (sum(sizes) + others)
    assert budget.ratio_train == total / sum(sizes)


@given(SIZES, st.data())
def test_any_shares_and_limits_are_kept(sizes, data):
    limits = st.lists(st.integers(1, 60), min_size=len(sizes), max_size=len(sizes))
    most, shares = data.draw(limits), data.draw(limits)
    total = data.draw(st.integers(len(sizes), sum(most)))
    budget = plan(graph_of(sizes), nodes=total, shares=shares, max_counts=most)
    assert sum(budget.counts) == total
    assert all(1 <= k <= limit for k, limit in zip(budget.counts, most, strict=True))


@given(SIZES, st.data())
def test_shares_are_proportional_to_within_one(sizes, data):
    total = data.draw(st.integers(len(sizes), sum(sizes)))
    exact = [total * size / sum(sizes) for size in sizes]
    counts = plan(graph_of(sizes), nodes=total).counts
    if min(exact) >= 1:
        gaps = [abs(k - e) for k, e in zip(counts, exact, strict=True)]
        assert max(gaps) < 1
    pairs = sorted(zip(sizes, counts, strict=True))
    for (size, k), (larger, more) in zip(pairs[:-1], pairs[1:], strict=True):
        assert k <= more or size == larger


@given(SIZES, st.integers(0, 100), st.data())
def test_per_class_gives_each_class_as_many(sizes, others, data):
    k = data.draw(st.integers(1, min(sizes)))
    budget = plan(graph_of(sizes, others), per_class=k)
    assert budget.counts == (k,) * len(sizes)


@pytest.mark.parametrize(("nodes", "ratio"), [(35, 0.013), (70, 0.026), (140, 0.052)])
def test_ratio_is_of_all_nodes(cora, nodes, ratio):
    budget = plan(as_graph(cora), nodes=nodes)
    assert budget.counts == (nodes // 7,) * 7
    assert budget.ratio == nodes / 2708
    assert round(budget.ratio, 3) == ratio
    assert budget.ratio_train == nodes / 140


@pytest.mark.parametrize(("nodes", "ratio"), [(35, 0.013), (70, 0.026), (2708, 1.0)])
def test_nodes_of_a_ratio(cora, nodes, ratio):
    budget = plan(as_graph(cora), ratio=ratio, max_counts=[2708] * 7)
    assert (budget.nodes, sum(budget.counts)) == (nodes, nodes)


def test_ratio_of_an_inductive_graph_is_of_what_it_sees(small):
    summary = multidd.graph.random(small, 0.5, inductive=True)
    assert summary.num_nodes == 15  # of 30 training nodes


@pytest.mark.parametrize("ratio", [0, -0.1, 1.01, float("nan"), float("inf")])
def test_ratio_outside(ratio):
    with pytest.raises(ValueError, match="ratio must be above 0 and at most 1, got"):
        plan(graph_of([5, 5]), ratio=ratio)


def test_fewer_nodes_than_classes():
    expected = (
        r"nodes=2, fewer than the 3 classes; the smallest that fits is nodes=3, "
        r"ratio=0\.12 \(0\.2 of the training nodes\)"
    )
    with pytest.raises(ValueError, match=expected):
        plan(graph_of([5, 5, 5], others=10), nodes=2)


def test_ratio_below_one_node_for_each_class(cora):
    expected = (
        r"ratio=0\.001 of 2708 nodes is 3 nodes, fewer than the 7 classes; the "
        r"smallest that fits is nodes=7, ratio=0\.002585 \(0\.05 of the training"
    )
    with pytest.raises(ValueError, match=expected):
        multidd.graph.gcond(cora, ratio=0.001)


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({}, "none"),
        ({"ratio": 0.5, "nodes": 4}, "ratio and nodes"),
        ({"nodes": 4, "per_class": 2}, "nodes and per_class"),
        ({"ratio": 0.5, "nodes": 4, "per_class": 2}, "ratio and nodes and per_class"),
    ],
)
def test_none_or_several(options, got):
    expected = f"give exactly one of ratio, nodes and per_class; got {got}$"
    with pytest.raises(ValueError, match=expected):
        plan(graph_of([5, 5]), **options)


@pytest.mark.parametrize(
    "value, error, message",
    [
        (0, ValueError, "1 or more, got 0"),
        (-3, ValueError, "1 or more, got -3"),
        (2.5, TypeError, "a whole number, got 2.5"),
        ("4", TypeError, "a whole number, got '4'"),
        (True, TypeError, "a whole number, got True"),
    ],
)
@pytest.mark.parametrize("name", ["nodes", "per_class"])
def test_not_a_number_of_nodes(name, value, error, message):
    with pytest.raises(error, match=f"{name} must be {message}$"):
        plan(graph_of([5, 5]), **{name: value})


@pytest.mark.parametrize("name", ["gcond", "gcond_x", "doscond", "gcdm", "dm_x"])
def test_more_than_the_training_nodes(small, name, run):
    expected = r"40.*\[10, 10, 10\].* largest that fits is nodes=30, ratio=0\.25"
    with pytest.raises(ValueError, match=expected):
        run(name, small, nodes=40, supervision="train")
    assert run(name, small, nodes=40).num_nodes == 40  # a teacher labels the others


@pytest.mark.parametrize("name", ["random", "herding", "kcenter", "kmeans"])
def test_selection_of_more_than_the_training_nodes(small, name, run):
    with pytest.raises(ValueError, match="the largest that fits is nodes=30, ratio=0"):
        run(name, small, nodes=31)


@pytest.mark.parametrize("name", ["random", "kmeans", "gcond", "condense"])
def test_too_many_of_each_class(small, name, run):
    most = 10 if name in ("random", "kmeans") else r"\d+"
    expected = rf"per_class=90 .*largest that fits is per_class={most}$"
    with pytest.raises(ValueError, match=expected):
        run(name, small, per_class=90)


def test_per_class_is_bound_by_the_smallest_class():
    with pytest.raises(ValueError, match="largest that fits is per_class=2$"):
        plan(graph_of([9, 2, 9]), per_class=3)


def test_per_class_is_told_in_its_own_terms():
    """per_class=7 of [9, 2, 9] is 21 of 20 nodes, but nodes=20 is no answer to it."""
    with pytest.raises(ValueError, match="largest that fits is per_class=2$"):
        plan(graph_of([9, 2, 9]), per_class=7)
