"""Plain trainings: shares by hand, and one suite over all modalities."""

import json
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import multidd
from multidd import graph, images, recsys, text
from multidd.evaluation import plain
from multidd.evaluation.plain import (
    PlainReport,
    PlainScores,
    plain_targets,
    train_plainly,
)
from multidd.evaluation.significance import mean_interval, paired_difference
from multidd.graph.evaluation import plain as graph_plain
from multidd.recsys.evaluation import evaluator as recsys_plain
from tests.golden import tiny

MLP = PlainScores("mlp", "an MLP", (0.7, 0.8), (0.5, 0.6), (0.9,))
CNN = PlainScores("cnn", "a CNN", (0.6, 0.6), (0.5, 0.7), (0.8,))


# --- shares and intervals by hand ---------------------------------------------


def test_shares_by_hand():
    # MLP: whole gains 0.35 over random's 0.55, the summary 0.2 of it with each seed.
    assert MLP.shares == pytest.approx((0.2 / 0.35, 0.2 / 0.35))
    # CNN: whole gains 0.2 over 0.6, the summary 0.1 and -0.1.
    assert CNN.shares == pytest.approx((0.5, -0.5)) and abs(CNN.share) < 1e-12
    report = PlainReport((MLP, CNN), "accuracy")
    assert report.share == pytest.approx(0.1 / 0.35)
    assert report.worst is CNN
    half = 12.7062 * 0.5 / 2  # t of one degree; the seeds' means differ by 0.5
    middle = 0.1 / 0.35
    assert report.interval == pytest.approx((middle - half, middle + half), abs=1e-3)
    assert report.headline == (
        "Plain trainings gain 29 % (95 %: -289 to 346) of what whole data add to "
        "random records; the worst, cnn, 0 %."
    )


@pytest.mark.parametrize(
    "scores",
    [
        PlainScores("tfidf", "", (), (0.5,), (0.9,)),  # cannot take the summary
        PlainScores("mlp", "", (0.8,), (0.7,), (0.6,)),  # whole data add nothing
        PlainScores("gcn", "", (0.9,), (0.7,), (0.7 + 1e-8,)),  # but for rounding
    ],
)
def test_no_share_where_there_is_no_gain(scores):
    assert scores.shares == () and math.isnan(scores.share)
    report = PlainReport((scores, MLP), "accuracy")
    assert report.share == MLP.share and report.worst is MLP
    nothing = PlainReport((scores,), "accuracy")
    assert nothing.worst is None and math.isnan(nothing.share)
    assert "add nothing" in nothing.headline
    assert nothing.to_dict()["trainings"][0]["share"] is None
    assert nothing.to_dict()["worst"] is None


def test_intervals_and_p_values_by_hand():
    low, high = mean_interval([0.0, 1.0])
    assert (low, high) == pytest.approx((0.5 - 6.3531, 0.5 + 6.3531), abs=1e-3)
    assert mean_interval([1.0]) is None
    difference = paired_difference([0.8, 0.82, 0.84], [0.7, 0.73, 0.73])
    # Differences 0.1, 0.09, 0.11: mean 0.1, deviation 0.01, t = 17.32 of two degrees.
    assert difference.mean == pytest.approx(0.1)
    assert difference.p_value == pytest.approx(0.00332, abs=1e-4)
    assert difference.is_better is True
    assert paired_difference([0.7, 0.73], [0.8, 0.82]).is_better is False
    with pytest.raises(ValueError, match="as many scores of both.*got 2 and 1"):
        paired_difference([0.1, 0.2], [0.1])


def test_labels_as_a_stranger_takes_them():
    soft = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert torch.equal(plain_targets(soft), soft)
    assert plain_targets(soft - 0.5).tolist() == [1, 0]  # centered: the likeliest
    assert plain_targets(soft * 3).tolist() == [1, 0]  # no probabilities
    assert plain_targets(torch.tensor([1, 0])).tolist() == [1, 0]


def test_whole_data_train_until_the_held_out_score_stops(monkeypatch):
    monkeypatch.setattr(plain, "WHOLE", multidd.Protocol("p", 20, whole_cap=60))
    x, seen = torch.eye(4), []

    def score(net):
        seen.append(net.training)
        return 0.5 if len(seen) < 3 else 0.6  # the third look is the best

    def train(seed):
        y = torch.arange(4)
        return train_plainly(
            lambda: nn.Linear(4, 4), lambda rows: x[rows], y, score, seed, whole=True
        )

    net = train(0)
    assert not net.training and not any(seen) and 4 < len(seen) < 31
    before = torch.get_rng_state()
    assert torch.equal(train(1)(x), train(1)(x))
    assert torch.equal(torch.get_rng_state(), before)


# --- every modality -------------------------------------------------------------


SHORT = multidd.Protocol("p", 5)
"""Of the table's own trainings, which are of no matter here."""


def _graph() -> tuple[Any, Any, dict[str, Any]]:
    nodes = tiny.nodes()
    return graph.kmeans(nodes, per_class=2), nodes, {"protocol": SHORT}


def _labelled_nodes() -> tuple[Any, Any, dict[str, Any]]:
    nodes = tiny.nodes_of_labels()
    return graph.condense(nodes, nodes=6), nodes, {"protocol": SHORT}


def _graph_sets() -> tuple[Any, Any, dict[str, Any]]:
    sets = tiny.graphs()
    options = {"train": sets, "val": sets[:6], "protocol": SHORT}
    return graph.kmeans(sets, per_class=2), sets[6:], options


def _images() -> tuple[Any, Any, dict[str, Any]]:
    sets = tiny.images()
    return images.kmeans(sets, ipc=2), sets, {"train": sets, "models": ["kernel"]}


def _recsys() -> tuple[Any, Any, dict[str, Any]]:
    evaluator = recsys.Evaluator(tiny.log())
    evaluator.plain = {name: recsys_plain.PLAIN[name] for name in ("ease", "itemknn")}
    return recsys.kmeans(evaluator.log, users=6), evaluator, {}


def _text() -> tuple[Any, Any, dict[str, Any]]:
    sets, encoder = tiny.texts(), tiny.encoder()
    summary = text.medoids(sets, per_class=2, encoder=encoder)
    on = text.Evaluator(sets, train=sets, encoder=encoder)
    return summary, on, {}


@pytest.mark.parametrize(
    "make", [_graph, _labelled_nodes, _graph_sets, _images, _recsys, _text]
)
def test_every_modality(make, monkeypatch):
    """Each training gives a score with summary, random records and whole data; the same
    call the same report; a report without is a call away."""
    monkeypatch.setattr(plain, "WHOLE", multidd.Protocol("p", 5, whole_cap=10))
    monkeypatch.setattr(plain, "UPDATES", 5)
    monkeypatch.setattr(graph_plain, "EPOCHS", 5)
    summary, on, data = make()
    options = {"seeds": 2, "rows": [], "progress": False, "cache": False, **data}
    first = multidd.evaluate(summary, on, regimes=["plain"], **options)
    assert first.plain is not None
    for one in first.plain.scores:
        assert len(one.summary) == len(one.random) == 2 and len(one.whole) == 1
        assert all(0 <= v <= 1 for v in (*one.summary, *one.random, *one.whole))
    assert first.plain.headline in str(first)
    written = json.loads(json.dumps(first.to_dict()))["plain"]
    assert set(written) == {"share", "interval", "worst", "trainings"}
    assert first.plain.headline in first.to_markdown()
    again = multidd.evaluate(summary, on, regimes="plain", **options)
    assert again.plain == first.plain
    assert multidd.evaluate(summary, on, regimes=(), **options).plain is None
    with pytest.raises(
        ValueError, match="regime must be one of plain, HL, SL.*got 'fancy'"
    ):
        multidd.evaluate(summary, on, regimes=["fancy"], **options)


def test_a_set_without_texts_cannot_train_on_words(monkeypatch):
    sets, encoder = tiny.texts(), tiny.encoder()
    summary = text.kmeans(sets, per_class=2, encoder=encoder)
    on = text.Evaluator(sets, train=sets, encoder=encoder)
    report = multidd.evaluate(
        summary, on, regimes=["plain"], rows=[], seeds=1, progress=False, cache=False
    )
    words = {one.training: one for one in report.plain.scores}["tfidf"]
    assert words.summary == () and words.shares == ()
    assert "cannot" in str(report)


def test_without_training_data_there_is_nothing_to_compare_with():
    sets = tiny.images()
    summary = images.kmeans(sets, ipc=1)
    report = multidd.evaluate(
        summary, sets, models=["kernel"], regimes=["plain"], seeds=1, progress=False
    )
    assert report.plain is None


def test_whole_scores_are_kept_between_calls(monkeypatch):
    calls = []
    summary, evaluator, _ = _recsys()
    fit = evaluator.fit_plain

    def counting(records: Any, name: str, seed: int) -> float:
        calls.append((records is None, name))
        return fit(records, name, seed)

    monkeypatch.setattr(evaluator, "fit_plain", counting)
    options = SimpleNamespace(rows=[], seeds=2, progress=False, regimes=["plain"])
    for _ in range(2):
        multidd.evaluate(summary, evaluator, **vars(options))
    assert sum(whole for whole, _ in calls) == len(evaluator.plain)
    # EASE draws nothing: once of the summary, twice of random users, in each call.
    assert calls.count((False, "ease")) == 2 * 3
