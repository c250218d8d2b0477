"""The audit: formulas by hand, planted cases, one suite over all modalities."""

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import multidd
from multidd import graph, images, recsys, text
from multidd.evaluation import plain
from multidd.evaluation.audit import distances
from multidd.evaluation.audit.audit import audit_of, auditor
from multidd.evaluation.audit.coverage import coverage, coverage_of, neighbours
from multidd.evaluation.audit.distances import mean_distance, nearest, neighbour_radii
from multidd.evaluation.audit.epsilon import (
    Epsilon,
    dkw_margin,
    loss_gap,
    upper_quantile,
)
from multidd.evaluation.audit.labelled import LabelledSpace, Learner, Records, mlp
from multidd.evaluation.audit.membership import attack, difference_interval
from multidd.evaluation.audit.nearness import nearness_of, share_interval
from multidd.evaluation.audit.space import record_counts
from multidd.evaluation.report_schema import read_report
from multidd.recsys.evaluation.audit import UserSpace, pieces_of
from multidd.recsys.models.base import fit
from tests.golden import tiny

LINE = torch.tensor([[0.0], [1.0], [3.0], [7.0]])

# --- distances ----------------------------------------------------------------


@pytest.mark.parametrize("pairs", [1, 5, 2**22])
def test_distances_by_hand(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the chunks."""
    monkeypatch.setattr(distances, "PAIRS", pairs)
    others = torch.tensor([[2.5], [10.0]])
    assert nearest(LINE, others).tolist() == pytest.approx([2.5, 1.5, 0.5, 3.0])
    assert nearest(LINE, [others[:1], others[1:]]).equal(nearest(LINE, others))
    assert nearest(LINE, others[:0]).isinf().all()
    assert neighbour_radii(LINE, 1).tolist() == pytest.approx([1.0, 1.0, 2.0, 4.0])
    assert neighbour_radii(LINE, 2).tolist() == pytest.approx([3.0, 2.0, 3.0, 6.0])
    # Pairs: 1, 3, 7, 2, 6 and 4.
    assert mean_distance(LINE) == pytest.approx(23 / 6)
    assert mean_distance(LINE[:1]) == 0.0


def test_a_neighbour_is_another_record() -> None:
    assert neighbour_radii(torch.zeros(3, 2), 1).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="k must be from 1 to 3.*got 4"):
        neighbour_radii(LINE, 4)


# --- epsilon ------------------------------------------------------------------


def test_dkw_by_hand() -> None:
    # exp(-2 n s^2) = 0.05 for n = 100: s = sqrt(2.9957 / 200).
    assert dkw_margin(100) == pytest.approx(0.12239, abs=1e-5)
    assert math.exp(-2 * 100 * dkw_margin(100) ** 2) == pytest.approx(0.05)
    for count, confidence in ((0, 0.95), (10, 0.4), (10, 1.0)):
        with pytest.raises(ValueError, match="one record or more"):
            dkw_margin(count, confidence)
    values = torch.arange(1.0, 101.0)
    assert upper_quantile(values, 0.5) == 63.0  # the 62.24th of a hundred
    assert upper_quantile(values, 0.9) is None


def test_the_bound_of_a_quantile_holds_as_often_as_it_says() -> None:
    """Of 400 samples, at least 95 %: the bound of the median of uniform numbers."""
    rng = np.random.default_rng(0)
    bounds = [upper_quantile(rng.random(50), 0.5) for _ in range(400)]
    assert np.mean([bound >= 0.5 for bound in bounds]) >= 0.95
    assert np.mean(bounds) < 0.75  # and it is no empty one


def test_epsilon_by_hand() -> None:
    whole = torch.zeros(100)
    few = torch.arange(1.0, 101.0) / 100
    gap = loss_gap(
        "ridge", "squared error", [(whole, few), (whole, -2 * few)], exact=True
    )
    assert gap.largest == pytest.approx((1.0, 2.0))
    assert gap.percentile_99 == pytest.approx((0.99, 1.98))
    assert gap.upper[0.5] == pytest.approx((0.63, 1.26))
    assert gap.upper[0.99] == (None, None)
    epsilon = Epsilon(100, (gap,))
    assert epsilon.covered == pytest.approx(1 - dkw_margin(100))
    assert "2 or less on 87.8 % of all records drawn" in epsilon.sentence
    assert "nothing is proven of the largest difference" in epsilon.sentence
    assert epsilon.to_dict()["models"][0]["upper"]["0.99"] == [None, None]


# --- coverage and nearness ------------------------------------------------------


def test_coverage_by_hand() -> None:
    # Radii of the first neighbours: 1, 1, 2, 4.
    assert coverage(LINE, torch.tensor([[5.5]]), 1) == 0.25  # 2.5 from 3, 1.5 from 7
    assert coverage(LINE, torch.tensor([[0.5], [4.5]]), 1) == 1.0
    assert coverage(LINE, torch.tensor([[3.0]]), 1) == 0.25  # 4 from 7: on the sphere
    double = torch.tensor([[0.0], [0.0], [5.0]])
    assert coverage(double, torch.tensor([[0.0]]), 1) == pytest.approx(2 / 3)
    result = coverage_of(LINE, LINE[:2], LINE[2:], "numbers")
    assert (result.k, result.covered, result.random_covered) == (3, 1.0, 1.0)
    assert (result.diversity, result.random_diversity) == (1.0, 4.0)


def test_coverage_of_independent_records_is_what_the_rule_says() -> None:
    rng = torch.Generator().manual_seed(0)
    real, others = torch.rand(1500, 2, generator=rng), torch.rand(50, 2, generator=rng)
    k = neighbours(len(real), len(others))
    assert k == 30
    assert coverage(real, others, k) == pytest.approx(1 - math.exp(-1), abs=0.08)


def test_nearness_by_hand() -> None:
    training, held_out = torch.tensor([[0.0], [10.0]]), torch.tensor([[4.0], [5.0]])
    synthetic = torch.tensor([[0.0], [2.0], [6.0], [9.0]])
    result = nearness_of(synthetic, training, held_out, "numbers")
    # To training 0, 2, 4, 1; to held-out 4, 2, 1, 4: two nearer, one draw.
    assert result.nearer == pytest.approx(2.5 / 4)
    assert (result.to_training, result.to_held_out) == (1.0, 2.0)
    assert result.copies == 0.25 and result.interval == share_interval(2, 4)
    more = [training, torch.tensor([[6.0]])]
    assert nearness_of(synthetic, training, held_out, "", more).copies == 0.5


# --- membership -----------------------------------------------------------------


def test_an_attack_by_hand() -> None:
    members, others = (
        torch.tensor([0.0, 1.0, 2.0, 3.0]),
        torch.tensor([2.0, 4.0, 5.0, 6.0]),
    )
    result = attack(members, others)
    # Of 16 pairs a member is below in 14, and one pair is equal.
    assert result.auc == pytest.approx(14.5 / 16)
    assert -1 <= result.interval[0] <= result.advantage <= result.interval[1] <= 1
    # Newcombe's own example (his method 10), 56 of 70 and 48 of 80.
    assert difference_interval(56, 70, 48, 80) == pytest.approx(
        (0.0524, 0.3339), abs=1e-4
    )
    with pytest.raises(ValueError, match="two records or more of each kind.*1 and 4"):
        attack(members[:1], others)


def test_the_threshold_is_measured_where_it_was_not_chosen() -> None:
    """Scores that tell nothing gain nothing: on the half that chose they would."""
    rng = torch.Generator().manual_seed(1)
    gains = [
        attack(
            torch.rand(40, generator=rng), torch.rand(40, generator=rng), seed
        ).advantage
        for seed in range(60)
    ]
    assert abs(np.mean(gains)) < 0.06
    assert attack(torch.zeros(20), torch.zeros(20)).advantage == 0.0
    assert attack(torch.ones(20), torch.zeros(20)).advantage == 0.0  # the wrong way


def test_how_many_records_are_audited() -> None:
    assert record_counts(10**6, 10**6, 100, 784) == (2000, 100)
    assert record_counts(50, 60, 40, 784) == (30, 30)
    assert record_counts(10**6, 10**6, 100, 2**25) == (4, 100)
    with pytest.raises(ValueError, match="needs four or more of each; got 3 and 9"):
        record_counts(3, 9, 1, 1)


# --- planted cases ----------------------------------------------------------------


def _space(summary: torch.Tensor, y: torch.Tensor) -> LabelledSpace:
    """200 training and 300 test records of two classes, and a nearest neighbour."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(500) % 2
    x = torch.randn(500, 8, generator=rng) + 0.3 * labels[:, None]

    def nearest_label(records: Records, seed: int) -> Any:
        known, targets = records.x, torch.eye(2)[records.y] - 0.5
        return lambda x: targets[torch.cdist(x, known).argmin(1)]

    real = Records(lambda rows: x[rows], labels)
    train, test = real.some(torch.arange(200)), real.some(torch.arange(200, 500))
    if not len(summary):
        summary, y = x[:200], labels[:200]
    records = Records(lambda rows: summary[rows], y)
    learners = {"neighbour": Learner(nearest_label, "squared error")}
    return LabelledSpace("numbers", 2, records, train, test, learners)


NONE = torch.empty(0, 8), torch.empty(0, dtype=torch.int64)


def test_a_summary_that_is_the_training_data() -> None:
    """Epsilon is zero, everything is a copy, and every attack finds the records."""
    audit = audit_of(_space(*NONE), [0])
    assert audit.epsilon.gaps[0].largest == (0.0,)
    assert audit.nearness.copies == 1.0 and audit.nearness.to_training < 1e-6
    assert audit.membership.distance.advantage == 1.0
    assert audit.membership.distance.auc == 1.0
    assert audit.membership.loss.advantage > 0.2  # its own label is the nearest one
    assert audit.coverage.covered >= audit.coverage.random_covered > 0.9


def test_a_summary_of_noise() -> None:
    """It copies nobody, and no attack finds a record by it."""
    rng = torch.Generator().manual_seed(5)
    noise = torch.randn(40, 8, generator=rng) * 3, torch.arange(40) % 2
    audit = audit_of(_space(*noise), [0])
    assert audit.nearness.copies == 0.0
    low, high = audit.nearness.interval
    assert low < 0.5 < high
    membership = audit.membership
    half = membership.controls["half"]["distance"]
    assert half.advantage > 0.3 and half.auc > 0.7  # the attack sees what there is
    for one in (
        membership.loss,
        membership.distance,
        *membership.controls["independent"].values(),
    ):
        assert one.interval[0] < 0 < one.interval[1] and abs(one.auc - 0.5) < 0.1
    # Forty of two hundred are in the set itself: it tells these and no others.
    assert membership.controls["random"]["distance"].advantage > 0.08
    assert audit.epsilon.gaps[0].largest[0] > 0


def test_trained_learners_are_compared_over_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plain, "UPDATES", 20)
    monkeypatch.setattr(plain, "WHOLE", multidd.Protocol("p", 20, whole_cap=40))
    space = _space(*NONE)
    network = mlp(2, space.train, space.train)
    space.learners = {**space.learners, "mlp": network}
    space.models = {**space.models, "mlp": network.loss}
    gaps = audit_of(space, [0, 1]).epsilon.gaps
    assert [gap.exact for gap in gaps] == [True, False]
    assert len(gaps[0].largest) == 1 and len(gaps[1].largest) == 2
    assert gaps[1].largest[0] != gaps[1].largest[1] > 0


# --- every modality -----------------------------------------------------------------


SHORT = multidd.Protocol("p", 5)


@cache
def _nodes() -> tuple[Any, Data, dict[str, Any]]:
    data = tiny.nodes()
    return graph.kmeans(data, per_class=2), data, {}


@cache
def _labelled_nodes() -> tuple[Any, Data, dict[str, Any]]:
    data = tiny.nodes_of_labels()
    return graph.condense(data, nodes=6), data, {}


@cache
def _graph_sets() -> tuple[Any, list[Data], dict[str, Any]]:
    train, val, test = graph.split_graphs(tiny.graphs(20), val=0.2, test=0.3)
    return graph.kmeans(train, per_class=2), test, {"train": train, "val": val}


@cache
def _pictures() -> tuple[Any, Any, dict[str, Any]]:
    x, y = tiny.images((60, 50, 40))
    train, test = (x[::2], y[::2]), (x[1::2], y[1::2])
    return images.kmeans(train, ipc=2), test, {"train": train, "models": ["kernel"]}


@cache
def _users() -> tuple[Any, Any, dict[str, Any]]:
    log = tiny.log()
    return recsys.kmeans(log, users=6), log, {}


@cache
def _sentences() -> tuple[Any, Any, dict[str, Any]]:
    sets, encoder = tiny.texts(), tiny.encoder()
    train, test = ([part[i::2] for part in sets] for i in (0, 1))
    summary = text.medoids(tuple(train), per_class=2, encoder=encoder)
    return summary, text.Evaluator(tuple(test), train=tuple(train), encoder=encoder), {}


EVERY = [_nodes, _labelled_nodes, _graph_sets, _pictures, _users, _sentences]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "UPDATES", 20)
    monkeypatch.setattr(plain, "WHOLE", multidd.Protocol("p", 20, whole_cap=40))


@pytest.mark.parametrize("make", EVERY)
def test_every_modality(make: Any, short: None, tmp_path: Path) -> None:
    """An audit is there when it is asked for, as plain values too, twice the same."""
    summary, on, data = make()
    options = {"seeds": 1, "rows": [], "regimes": (), "progress": False, **data}
    if make in (_nodes, _labelled_nodes, _graph_sets):
        options["protocol"] = SHORT
    report = multidd.evaluate(summary, on, audit=True, **options)
    written = json.loads(json.dumps(report.to_dict()))["audit"]
    assert set(written) == {"epsilon", "coverage", "nearness", "membership"}
    assert all(part["sentence"].endswith(".") for part in written.values())
    first, *_ = written["epsilon"]["models"]
    assert first["exact"] and first["largest"][0] > 0
    assert written["membership"]["model"] == first["model"]
    assert set(written["membership"]["controls"]) == {
        "half",
        "random",
        "independent",
    }
    assert 0 <= written["coverage"]["covered"] <= 1
    assert str(report.audit).count("\n") == 3 and "Audit(epsilon=" in repr(report.audit)
    report.save(tmp_path)
    assert read_report(tmp_path)["audit"] == written
    if make is _users:
        again = multidd.evaluate(summary, on, audit=True, **options)
        assert again.audit == report.audit
        assert multidd.evaluate(summary, on, **options).audit is None
        others = [recsys.random(on, users=6)]
        both = multidd.evaluate(summary, on, audit=True, compare=others, **options)
        assert both.audit == report.audit and both.comparison is not None
        audits = [one.audit for one in both.comparison.reports.values()]
        assert audits[1] is not None and audits[1] != audits[0]


def _same_nodes() -> tuple[Any, Any]:
    """Training nodes with their propagated features, and no edges."""
    data = tiny.nodes()
    evaluator = graph.Evaluator(data)
    whole = evaluator._whole
    x = whole.inputs.twice[whole.rows]
    summary = graph.from_arrays(x, whole.targets.argmax(1), source=data)
    return summary, evaluator


def _same_labelled_nodes() -> tuple[Any, Any]:
    """The same where nodes have several labels."""
    data = tiny.nodes_of_labels()
    evaluator = graph.Evaluator(data)
    whole = evaluator._whole
    x = whole.inputs.twice[whole.rows]
    return graph.from_arrays(x, whole.targets, source=data), evaluator


def _same_graph_sets() -> tuple[Any, Any]:
    _, test, options = _graph_sets()
    train = options["train"]
    evaluator = graph.GraphSetEvaluator(test, val=options["val"], train=train)
    source = graph.as_graph_set(train).describe()
    same = graph.GraphSetSummary.from_pyg(train, source=source, method="all")
    return same, evaluator


def _same_pictures() -> tuple[Any, Any]:
    _, test, data = _pictures()
    x, y = data["train"]
    summary = images.from_arrays(x, y, source=data["train"])
    return summary, images.Evaluator(test, train=data["train"])


def _same_users() -> tuple[Any, Any]:
    log = tiny.log()
    return recsys.from_arrays(log.train, source=log), recsys.Evaluator(log)


def _same_sentences() -> tuple[Any, Any]:
    _, evaluator, _ = _sentences()
    train = evaluator._sources[1]
    summary = text.from_arrays(*train, source=train, encoder=evaluator._encoder_source)
    return summary, evaluator


@pytest.mark.parametrize(
    "make",
    [
        _same_nodes,
        _same_labelled_nodes,
        _same_graph_sets,
        _same_pictures,
        _same_users,
        _same_sentences,
    ],
)
def test_epsilon_of_the_whole_data_is_zero(make: Any) -> None:
    summary, evaluator = make()
    evaluator.check(summary)
    space = evaluator.audit_space(summary)
    for model in space.exact:
        whole, few = (
            space.losses(source, model, 0)[1] for source in ("whole", "summary")
        )
        torch.testing.assert_close(whole, few, atol=2e-3, rtol=1e-3)
        assert float(whole.max()) > 0


def test_a_kernel_of_networks_is_not_exact() -> None:
    """Its networks are drawn by a seed."""
    _, test, data = _pictures()
    summary = images.kmeans(data["train"], ipc=1)
    evaluator = images.Evaluator(test, train=data["train"])
    evaluator.check(summary)
    assert list(evaluator.audit_space(summary).exact) == ["kernel"]
    kernel = {"kind": "random", "models": 2, "width": [4, 4, 4], "ridge": 0.01}
    settings = summary.card.settings | {"kernel": kernel}
    drawn = replace(summary, card=replace(summary.card, settings=settings))
    space = evaluator.audit_space(drawn)
    assert list(space.exact) == []
    first, other = (space.losses("summary", "kernel", seed)[1] for seed in (0, 1))
    assert not torch.equal(first, other)


def test_pieces_of_histories() -> None:
    log = tiny.log()
    users = np.flatnonzero(
        (np.diff(log.train.indptr) > 1) & (np.diff(log.test.indptr) > 0)
    )
    pieces = pieces_of(log, users, torch.Generator())
    sizes = np.diff(pieces.training.indptr)
    assert (sizes == np.diff(pieces.held_out.indptr)).all() and (sizes > 0).all()
    assert (pieces.known + pieces.training - log.train[users]).nnz == 0
    assert pieces.held_out.multiply(log.test[users]).nnz == pieces.held_out.nnz
    assert np.diff(pieces.known.indptr).min() >= 1


def test_the_loss_of_a_user_by_hand() -> None:
    """Squared scores of unseen items, and what the piece lacks to 1, for each item."""
    log = tiny.log()
    space = UserSpace(recsys.random(log, users=5), log)
    scorer = fit(recsys.EASE(ridge=1.0), log).scorer
    space._fitted = lambda source, model: scorer  # type: ignore[method-assign]
    members, held_out = space.losses("whole", "ease", 0)
    scores = scorer(space.pieces.known[[3]])[0].numpy()
    unseen = space.pieces.others[[3]].toarray()[0] == 0
    for loss, hidden in (
        (members, space.pieces.training),
        (held_out, space.pieces.held_out),
    ):
        piece = hidden[[3]].toarray()[0] > 0
        by_hand = (scores[unseen] ** 2).sum() + ((1 - scores[piece]) ** 2).sum()
        assert float(loss[3]) == pytest.approx(by_hand / piece.sum(), rel=1e-5)
    zero = lambda rows: torch.zeros(rows.shape)  # noqa: E731
    space._fitted = lambda source, model: zero  # type: ignore[method-assign]
    assert all((part == 1).all() for part in space.losses("whole", "ease", 0))


# --- refusals -------------------------------------------------------------------------


def test_what_cannot_be_audited() -> None:
    with pytest.raises(TypeError, match="object audits no summaries"):
        auditor(object())
    sets, tested, options = _graph_sets()
    with pytest.raises(ValueError, match="needs the training graphs: give train="):
        multidd.evaluate(
            sets, tested, val=options["val"], audit=True, seeds=1, protocol=SHORT
        )
    summary, test, _ = _pictures()
    with pytest.raises(ValueError, match="give train="):
        multidd.evaluate(
            summary, test, models=["kernel"], audit=True, seeds=1, progress=False
        )
