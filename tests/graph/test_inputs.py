"""Kinds of graphs: several labels, types of nodes, edges that mislead, and refusals."""

from dataclasses import replace

import pytest
import torch
from torch_geometric.data import HeteroData

import multidd
from multidd.evaluation.teacher import Teacher
from multidd.graph import CondenseOptions
from multidd.graph.data.graph import as_graph
from multidd.graph.methods.condense import is_heterophilous
from multidd.graph.methods.registry import METHODS
from multidd.graph.models.linear_teacher import micro_f1

pytestmark = pytest.mark.usefixtures("short_teachers")

ONE_CLASS = sorted(set(METHODS) - {"condense"})


@pytest.fixture(scope="module")
def blocks():
    return multidd.graph.blocks(600, 3000, 16, 4, seed=1, signal=0.5, confusion=0.0)


@pytest.fixture(scope="module")
def several(blocks):
    """Five labels, a set of them for each class."""
    data = blocks.clone()
    table = torch.tensor([[1, 0, 0, 1, 0], [0, 1, 0, 1, 1], [0, 0, 1, 0, 1], [1] * 5])
    data.y = table[blocks.y]
    return data


# --- several labels -------------------------------------------------------------


def test_micro_f1_by_hand():
    result = torch.tensor([[1, 1, 0], [0, 1, 0]]) > 0
    truth = torch.tensor([[1, 0, 0], [0, 1, 1]]) > 0
    assert micro_f1(result, truth) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert micro_f1(result & False, truth & False) == 1.0


@pytest.fixture(scope="module")
def condensed(several):
    return multidd.graph.condense(several, nodes=24)


def test_labels_of_a_summary_are_shares(condensed, several):
    soft = condensed.tensors["y_soft"]
    assert condensed.multi_label and soft.shape == (24, 5)
    assert bool(((soft >= 0) & (soft <= 1)).all())
    expected = several.y.float().mean(0)
    torch.testing.assert_close(soft.mean(0), expected, atol=0.2, rtol=0)


def test_several_labels_beat_random_nodes(condensed, several, quick):
    rows = ["whole", "random", "kmeans"]
    report = multidd.evaluate(condensed, several, seeds=1, rows=rows, protocol=quick)
    assert report.metric == "micro_f1"
    results = {row: report.value("gcn", "micro_f1", row) for row in (None, *rows)}
    assert results[None] > results["random"] and results[None] > 0.8
    assert 0.8 < results["whole"] <= 1


def test_several_labels_in_any_type(several, condensed):
    for cast in (torch.float32, torch.bool, torch.int8):
        data = several.clone()
        data.y = several.y.to(cast)
        assert multidd.graph.condense(data, nodes=24).digest() == condensed.digest()


def test_several_labels_survive_a_file(condensed, several, quick, tmp_path):
    again = multidd.load(condensed.save(tmp_path / "s.safetensors"))
    assert again.multi_label
    report = multidd.evaluate(again, several, seeds=1, rows=[], protocol=quick)
    assert report.value("gcn", "micro_f1") > 0.5


@pytest.mark.parametrize("name", ONE_CLASS)
def test_methods_of_one_class_refuse_several(name, several):
    message = "several labels for a node are not supported by this method.*condense"
    with pytest.raises(ValueError, match=message):
        METHODS[name](several, nodes=24)


def test_several_labels_that_are_all_the_same(several):
    data = several.clone()
    data.y = torch.ones_like(data.y)
    text = "all training nodes have the same labels; there is nothing to classify"
    with pytest.raises(ValueError, match=text):
        multidd.graph.condense(data, nodes=24)


def test_the_kernel_predictor_is_for_one_class(condensed, several):
    text = "the model 'kernel' is for nodes of one class each"
    options = {"models": ["kernel"], "rows": [], "seeds": 1}
    with pytest.raises(ValueError, match=text):
        multidd.evaluate(condensed, several, **options)
    with pytest.raises(ValueError, match="leave train out, set data.train_mask"):
        multidd.evaluate(condensed, several, train=several, **options)


def test_label_regimes_of_several_labels(condensed, several, monkeypatch):
    """Hard are labels that half of a node has; soft ones are of each label alone."""
    evaluator = multidd.graph.Evaluator(several)
    assert evaluator.has_soft_labels(condensed)
    trained = {}

    def fitted(records, model, protocol, seed):
        labels = records.targets
        if records.draw_view is not None:
            labels = records.draw_view(torch.Generator())[1]
        trained[regime] = labels
        return {"micro_f1": 0.5, "val_micro_f1": 0.25}

    monkeypatch.setattr(evaluator, "_fitted", fitted)
    shares = condensed.tensors["y_soft"]
    teacher = Teacher("gcn", 0.0, lambda inputs: torch.full((24, 5), 0.9))
    for regime in ("HL", "stored", "SL", "SL+KD"):
        settings = (regime, "gcn", multidd.Protocol("p"), 0, teacher)
        assert evaluator.fit_regime(condensed, *settings) == (0.5, 0.25, "")
    assert torch.equal(trained["HL"], (shares >= 0.5).float())
    assert torch.equal(trained["stored"], shares)
    assert trained["SL"].unique().tolist() == pytest.approx([0.9])
    assert trained["SL+KD"].unique().tolist() == pytest.approx([0.9])


def test_several_labels_know_no_classes(several, condensed, blocks):
    with pytest.raises(ValueError, match="per_class needs one class for each node"):
        multidd.graph.condense(several, per_class=2)
    with pytest.raises(ValueError, match="teacher='appnp' needs one class"):
        multidd.graph.condense(
            several, nodes=9, options=CondenseOptions(teacher="appnp")
        )
    other = blocks.clone()
    other.y = torch.cat([torch.arange(5), blocks.y[5:]])
    other.train_mask = torch.ones_like(other.train_mask)
    with pytest.raises(ValueError, match="data have one class, of the summary several"):
        multidd.evaluate(condensed, other)


# --- what is not node classification --------------------------------------------


def test_regression_is_refused(small):
    small.y = torch.linspace(0, 1, 120)
    message = "regression targets are not supported .bin them.*one class for each"
    for method in METHODS.values():
        with pytest.raises(ValueError, match=message):
            method(small, nodes=9)


def test_link_prediction_is_refused(small):
    small.edge_label_index = small.edge_index[:, :20]
    del small.y
    message = "link prediction is not supported.*condenses for node classification"
    for method in METHODS.values():
        with pytest.raises(ValueError, match=message):
            method(small, nodes=9)


def test_a_hetero_data_asks_for_its_type(small):
    with pytest.raises(TypeError, match=r"pass multidd\.graph\.homogeneous"):
        multidd.graph.condense(HeteroData(), nodes=9)


# --- edges that mislead ---------------------------------------------------------


@pytest.fixture(scope="module")
def unlike():
    return multidd.graph.blocks(
        1500, 12_000, 16, 4, seed=1, signal=0.6, homophily=0.1, train=0.2, val=0.2
    )


def test_edges_that_mislead_are_found(unlike, blocks, cora):
    assert is_heterophilous(as_graph(unlike))
    assert not is_heterophilous(as_graph(blocks)) and not is_heterophilous(
        as_graph(cora)
    )
    del (blind := unlike.clone()).val_mask
    assert not is_heterophilous(as_graph(blind))


def test_unlike_neighbours_are_left_aside(unlike, quick):
    """Nodes are means of own features: a model without edges learns from them."""
    summary = multidd.graph.condense(unlike, nodes=16)
    assert summary.card.settings["view"] == "own"
    rows, longer = ["random", "kmeans"], replace(quick, epochs=200, width=256)
    report = multidd.evaluate(
        summary, unlike, models=["mlp"], seeds=2, rows=rows, protocol=longer
    )
    assert report.accuracy("mlp") > report.accuracy("mlp", "random") + 0.02
    assert report.accuracy("mlp") > report.accuracy("mlp", "kmeans") + 0.02


def test_edges_from_each_class_to_the_next(quick):
    """Both hops tell of the classes and their mean does not: `"low"` is not taken."""
    odd = multidd.graph.blocks(
        1500, 1, 32, 5, signal=0.35, confusion=0.05, train=0.1, val=0.1
    )
    rng = torch.Generator().manual_seed(0)
    first = torch.randint(1500, (7500,), generator=rng)
    away = torch.randint(5, (7500,), generator=rng)
    away[torch.rand(7500, generator=rng) < 0.85] = 1
    second = torch.randint(300, (7500,), generator=rng) * 5 + (first + away) % 5
    odd.edge_index = torch.stack([first, second])
    assert is_heterophilous(as_graph(odd))
    summary = multidd.graph.condense(odd, nodes=40)
    assert summary.card.settings["view"] == "own"
    report = multidd.evaluate(summary, odd, seeds=1, rows=["random"], protocol=quick)
    assert report.accuracy("gcn") > report.accuracy("gcn", "random") + 0.05


def test_views_by_hand(unlike):
    views = {
        view: multidd.graph.condense(
            unlike,
            nodes=16,
            options=CondenseOptions(teacher="hops", node_features=view),
        )
        for view in ("own", "low")
    }
    part, low = (result.tensors["x"].square().mean() for result in views.values())
    assert part > low  # neighbours of other classes cancel each other
    with pytest.raises(ValueError, match="node_features must be one of .*got 'high'"):
        multidd.graph.condense(
            unlike,
            nodes=16,
            options=CondenseOptions(node_features="high"),
        )
    with pytest.raises(ValueError, match="teacher must be one of .*got 'gcn'"):
        multidd.graph.condense(unlike, nodes=16, options=CondenseOptions(teacher="gcn"))
    with pytest.raises(ValueError, match="node_features='own' is for edges"):
        multidd.graph.condense(
            unlike,
            nodes=16,
            options=CondenseOptions(node_features="own", teacher="appnp"),
        )


# --- types of nodes -------------------------------------------------------------


@pytest.fixture
def papers(small):
    """120 papers of `small`; each of 40 authors wrote three of one class."""
    data = HeteroData()
    data["paper"].x, data["paper"].y = small.x[:, :6], small.y
    for name in ("train_mask", "val_mask", "test_mask"):
        data["paper"][name] = small[name]
    data["author"].x = torch.eye(3)[small.y[::3]]
    wrote = torch.stack([torch.arange(120) // 3, torch.arange(120)])
    data["author", "writes", "paper"].edge_index = wrote
    data["paper", "written_by", "author"].edge_index = wrote.flip(0)
    data["paper", "cites", "paper"].edge_index = small.edge_index[:, :50]
    return data


def test_one_type_as_a_graph(papers, small):
    summary = multidd.graph.homogeneous(papers, "paper")
    assert summary.x.shape == (120, 6 + 3 + 3)
    assert torch.equal(summary.x[:, :6], small.x[:, :6])
    authors = torch.eye(3)[small.y[::3]]
    assert torch.equal(summary.x[:, 6:9], authors[torch.arange(120) // 3])
    graph = as_graph(summary)
    assert graph.adjacency[0, 1] == pytest.approx(2 / 3)  # by both relations
    cited = small.edge_index[:, 0]
    assert graph.adjacency[int(cited[0]), int(cited[1])] >= 1


@pytest.mark.parametrize("name", ["condense", "kmeans", "random", "gcond_x"])
def test_methods_take_a_type(name, papers, run):
    data = multidd.graph.homogeneous(papers, "paper")
    assert run(name, data).num_nodes == 9


def test_condense_takes_a_type_by_name(papers):
    summary = multidd.graph.condense(
        papers, nodes=9, options=CondenseOptions(node_type="paper")
    )
    data = multidd.graph.homogeneous(papers, "paper")
    assert summary.digest() == multidd.graph.condense(data, nodes=9).digest()


def test_edges_between_other_types_are_passed_over(papers):
    before = as_graph(multidd.graph.homogeneous(papers, "paper"))
    papers["author", "knows", "author"].edge_index = torch.tensor([[0, 1], [1, 2]])
    after = as_graph(multidd.graph.homogeneous(papers, "paper"))
    assert after.describe() == before.describe() and before.adjacency.nnz > 0


def test_busy_neighbours_join_nobody(papers):
    venue = torch.stack([torch.arange(120), torch.zeros(120, dtype=torch.int64)])
    before = multidd.graph.homogeneous(papers, "paper").num_edges
    papers["venue"].x = torch.ones(1, 2)
    papers["paper", "in", "venue"].edge_index = venue
    after = multidd.graph.homogeneous(papers, "paper")
    assert after.num_edges == before and after.x.shape[1] == 14


def test_types_that_cannot_be_taken(papers, small):
    with pytest.raises(ValueError, match="node_type must be one of paper, author"):
        multidd.graph.homogeneous(papers, "book")
    with pytest.raises(ValueError, match=r"data\['author'\]\.y is missing"):
        multidd.graph.homogeneous(papers, "author")
    with pytest.raises(TypeError, match="node_type is for a .*HeteroData, got Data"):
        multidd.graph.condense(
            small, nodes=9, options=CondenseOptions(node_type="paper")
        )
    del papers["paper"].x, papers["author"].x
    with pytest.raises(ValueError, match="neither 'paper' nor its neighbours have"):
        multidd.graph.homogeneous(papers, "paper")


# --- weights and induction ------------------------------------------------------


@pytest.mark.parametrize("name", sorted(METHODS))
def test_inductive_is_the_training_part(name, small, run):
    """Every method gives what it gives of the training nodes' own graph: no other node
    is seen."""
    rows = small.train_mask.nonzero().flatten()
    part = as_graph(small).subgraph(rows)
    summary = run(name, small, inductive=True)
    assert summary.digest() == run(name, part).digest()
    assert summary.card.source["nodes"] == 30


def test_weights_change_what_is_propagated(small):
    heavy = small.clone()
    inside = small.y[small.edge_index[0]] == small.y[small.edge_index[1]]
    heavy.edge_weight = torch.where(inside, 4.0, 0.1)
    plain, weighted = (
        multidd.graph.condense(
            data, nodes=9, options=CondenseOptions(teacher="hops")
        ).tensors["x"]
        for data in (small, heavy)
    )
    assert not torch.allclose(plain, weighted)
