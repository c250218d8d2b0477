"""The evaluator of recommenders: what it reads, refuses, trains on and reports."""

import json
from dataclasses import replace

import numpy as np
import pytest

import multidd
from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.recsys import Evaluator, InfiniteAE, distill_cf, kmeans, random
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.evaluation.evaluator import MODELS, PROTOCOLS
from multidd.recsys.methods import selection
from multidd.recsys.models.metrics import rank
from multidd.recsys.models.tuning import tune
from multidd.recsys.summary.summary import RecsysSummary
from tests.recsys.users import changed
from tests.recsys.worlds import two_tastes

TUNED, UNTUNED = PROTOCOLS["tuned"], PROTOCOLS["untuned"]
CLOSED = ("infinite_ae", "ease", "itemknn", "poprec")
ITEMS = 150  # more than the 100 of a list


def make_log(seed=0, users=80, **options):
    whole = InteractionLog.from_csr(two_tastes(users, ITEMS, seed, 0.2), **options)
    return whole.split(seed=1)


@pytest.fixture(scope="module")
def log():
    return make_log()


@pytest.fixture(scope="module")
def evaluator(log):
    return Evaluator(log)


@pytest.fixture(scope="module")
def summary(log):
    return random(log, 20)


def merged(log, *parts):
    """The log with some parts added to the training part."""
    part = np.where(np.isin(log.part, parts), 0, log.part)
    return replace(log, part=part.astype(np.int8))


# --- what is measured -----------------------------------------------------------------


@pytest.mark.parametrize("whole", [False, True], ids=["summary", "whole"])
def test_scores_are_those_of_rank(log, evaluator, summary, whole):
    """Trained on the training part, tested with training and validation known."""
    scores = evaluator.fit(None if whole else summary, "infinite_ae", UNTUNED, 0)
    rows = log.train if whole else summary.to_csr()
    expected = rank(
        InfiniteAE(ridge=5.0).fit(rows).scorer,
        log.context,
        log.test,
        popularity=log.train.sum(axis=0),
        num_train=log.train.nnz,
        rng=seeds.at(0, "negatives"),
        train=log.train,
    )
    assert scores == pytest.approx(expected)
    assert {evaluator.metric, *evaluator.extra_metrics} <= set(scores)


def test_settings_are_chosen_on_validation_items(log, evaluator, summary):
    rows = summary.to_csr()
    best, _ = tune(
        MODELS["ease"], rows, None, log.train, log.val, rng=seeds.at(0, "tune/ease")
    )
    assert best != MODELS["ease"]
    scores = evaluator.fit(summary, "ease", TUNED, 0)
    assert scores == pytest.approx(evaluator._test(best.fit(rows).scorer))
    other_scores = evaluator.fit(summary, "ease", UNTUNED, 0)
    assert other_scores == pytest.approx(
        evaluator._test(MODELS["ease"].fit(rows).scorer)
    )
    assert other_scores != scores


def test_rows_count_by_their_weights(evaluator, log):
    weighted = kmeans(log, 8)
    assert weighted.weight.max() > 1
    ones = RecsysSummary.of(
        weighted.to_csr(), weighted.card, item_ids=weighted.item_ids
    )
    results = [
        evaluator.fit(one, "ease", UNTUNED, 0)["auc"] for one in (weighted, ones)
    ]
    assert results[0] != results[1]
    alone = evaluator._test(MODELS["ease"].fit(weighted).scorer)
    assert results[0] == pytest.approx(alone["auc"])


@pytest.mark.parametrize("model", CLOSED)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_models_in_closed_form_have_no_seed(log, summary, model, protocol, monkeypatch):
    monkeypatch.setattr(
        multidd.recsys.evaluation.evaluator, "SEEDED_MODELS", tuple(MODELS)
    )
    values = [
        Evaluator(log).fit(summary, model, PROTOCOLS[protocol], s) for s in (0, 1)
    ]
    # Seeds decide nothing even where they are asked about; ...
    monkeypatch.undo()
    evaluator = Evaluator(log)
    first = evaluator.fit(summary, model, PROTOCOLS[protocol], 0)
    # ... so that scores of one are kept for the next.
    assert evaluator.fit(summary, model, PROTOCOLS[protocol], 1) is first
    assert values[0] == values[1] == first


def test_a_random_model_has_seeds(log, summary):
    evaluator = Evaluator(log)
    one, same, other = (
        evaluator.fit(summary, "als", UNTUNED, seed) for seed in (0, 0, 1)
    )
    assert one is same and one["auc"] != other["auc"]


@pytest.mark.parametrize("model", MODELS)
def test_every_model_ranks(log, evaluator, model, monkeypatch):
    # One step of those that learn in steps: here is only asked whether they fit in.
    for name, few in ("multvae", {"updates": 1}), ("lightgcn", {"updates": 1}):
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], **few))
    scores = evaluator.fit(random(log, 5, seed=3), model, UNTUNED, 0)
    assert all(0 <= value <= 1 for value in scores.values())
    assert set(evaluator.models) == set(MODELS)


def test_whole_data_and_summaries_are_kept_apart(log):
    evaluator = Evaluator(log)
    one, two = random(log, 5), random(log, 5, seed=1)
    results = [evaluator.fit(s, "poprec", UNTUNED, 0)["auc"] for s in (None, one, two)]
    assert len(set(results)) == 3
    assert evaluator.fit(None, "poprec", UNTUNED, 0)["auc"] == results[0]


# --- rows beside it -------------------------------------------------------------------


def test_rows(log, evaluator, summary):
    assert evaluator.rows[0] == "whole" and evaluator.row("whole", summary, 0) is None
    assert len(set(evaluator.rows)) == len(evaluator.rows)
    for name in evaluator.rows[1:]:
        row = evaluator.row(name, summary, 0)
        assert row.card.method == name
        if name not in ("interactions", "random_bytes"):
            assert row.num_users == 20
        evaluator.check(row)
    assert evaluator.row("random", summary, 0).digest() == random(log, 20).digest()
    assert (
        evaluator.row("random", summary, 1).digest() == random(log, 20, seed=1).digest()
    )


def test_random_users_of_as_many_bytes(log, evaluator):
    """One more would take more bytes; users are those of a random order."""
    long = multidd.recsys.head(log, 5)
    row = evaluator.row("random_bytes", long, 0)
    assert row.num_users > 5 and row.num_bytes <= long.num_bytes
    shortest = int(np.diff(row.to_csr().indptr).min())
    assert row.num_bytes + 12 + 8 * shortest > long.num_bytes - 8 * ITEMS
    more = selection.of_bytes(log, 10**9, 0)
    assert more.num_users == np.count_nonzero(np.diff(log.train.indptr))
    assert selection.of_bytes(log, 1, 0).num_users == 1
    assert row.digest() == evaluator.row("random_bytes", long, 0).digest()
    assert row.digest() != evaluator.row("random_bytes", long, 1).digest()


def test_random_users_beside_a_compressed_set_are_compressed(log, evaluator):
    """So they are more than as many bytes of plain rows hold."""
    small = multidd.recsys.head(log, 5).compress(bits=4)
    row = evaluator.row("random_bytes", small, 0)
    assert row.packing is not None and row.card.method == "random_bytes"
    plain = selection.of_bytes(log, small.num_bytes, 0)
    assert row.num_bytes <= small.num_bytes and row.num_users > plain.num_users


def test_nystrom_is_a_way_to_solve_one_of_the_models(evaluator):
    assert evaluator.supports("nystrom", "infinite_ae")
    assert not any(
        evaluator.supports("nystrom", name) for name in MODELS if name != CLOSED[0]
    )
    assert all(evaluator.supports("random", name) for name in MODELS)


def test_nystrom_has_the_targets_of_all(log, evaluator, summary):
    row = evaluator.row("nystrom", summary, 0)
    scores = evaluator.fit(row, "infinite_ae", UNTUNED, 3)
    model = InfiniteAE(centers=20)
    scorer = model.train(log.train, None, seeds.at(3, "train/infinite_ae"))
    assert scores == pytest.approx(evaluator._test(scorer))
    other = evaluator.fit(row, "infinite_ae", UNTUNED, 4)
    assert scores["auc"] != other["auc"]  # other centers


def test_size(log, evaluator, summary):
    everyone = int((np.diff(log.train.indptr) > 0).sum())
    whole = multidd.recsys.random(log, everyone)
    assert evaluator.size(None) == (None, whole.num_bytes)
    assert evaluator.size(summary) == (20, summary.num_bytes)
    row = evaluator.row("nystrom", summary, 0)
    assert evaluator.size(row) == (20, row.num_bytes + 4 * 20 * ITEMS)


def test_a_report(log, summary):
    report = multidd.evaluate(
        summary,
        log,
        models=["infinite_ae", "ease"],
        rows=["whole", "head", "nystrom"],
        seeds=2,
        protocol="untuned",
        progress=False,
    )
    names = [(row.name, row.model) for row in report.rows]
    assert names == [
        ("whole", "infinite_ae"),
        ("head", "infinite_ae"),
        ("nystrom", "infinite_ae"),
        ("random", "infinite_ae"),
        ("whole", "ease"),
        ("head", "ease"),
        ("random", "ease"),
    ]
    text = str(report)
    for metric in ("hr@10", "ndcg@10", "hr@100", "ndcg@100"):
        assert f"{metric} %" in text
    assert "Protocol 'untuned': each model with its own settings" in text
    assert "HR@k is truncated recall" in text
    value = report.value("ease", "ndcg@10")
    assert f"{100 * value:.2f} ± 0.00" in text
    assert report.records()[0]["ndcg@10"] == report.value(
        "infinite_ae", "ndcg@10", "whole"
    )


# --- what is refused ------------------------------------------------------------------


def test_a_summary_of_other_items(log, evaluator):
    names = np.arange(ITEMS) + 30
    other = random(make_log(item_ids=names), 5)
    with pytest.raises(ValueError, match="120 of its 150 items are among the 150"):
        evaluator.check(other)
    with pytest.raises(ValueError, match="120 of its 150 items"):
        multidd.evaluate(other, log, progress=False)
    turned = random(make_log(item_ids=np.arange(ITEMS)[::-1].copy()), 5)
    with pytest.raises(ValueError, match="in another order"):
        evaluator.check(turned)
    texts = random(make_log(item_ids=[str(i) for i in range(ITEMS)]), 5)
    with pytest.raises(ValueError, match="0 of its 150 items"):
        evaluator.check(texts)


def test_a_log_without_test_items(log):
    for bare in merged(log, 2), InteractionLog.from_csr(log.matrix):
        with pytest.raises(ValueError, match=r"has no test items; .*log.split\(\)"):
            Evaluator(bare)


def test_what_is_no_log(log):
    with pytest.raises(TypeError, match="must be an InteractionLog, got csr_array"):
        Evaluator(log.matrix)
    with pytest.raises(ValueError, match="leave train out"):
        Evaluator(log, train=log)
    with pytest.raises(ValueError, match="users must be 1 or more, got 0"):
        Evaluator(log, users=0)


def test_some_users_are_tested(log, evaluator, summary):
    few = Evaluator(log, users=9)
    assert len(few.tested) == 9 and (np.diff(few.tested) > 0).all()
    assert set(few.tested) < set(evaluator.tested)
    assert few.tested.tolist() == Evaluator(log, users=9).tested.tolist()
    every = Evaluator(log, users=len(evaluator.tested))
    assert every.tested.tolist() == evaluator.tested.tolist()


def test_unknown_names(log, summary):
    for words in {"models": ["svd"]}, {"rows": ["tail"]}, {"protocol": "slow"}:
        with pytest.raises(ValueError, match="must be one of .*got '(svd|tail|slow)'"):
            multidd.evaluate(summary, log, progress=False, **words)


def test_a_log_without_validation_items(log):
    """Models keep their own settings."""
    bare = merged(log, 1)
    evaluator, result = Evaluator(bare), random(bare, 20)
    for model in "infinite_ae", "ease":
        scores = evaluator.fit(result, model, TUNED, 0)
        assert scores == evaluator.fit(result, model, UNTUNED, 0)


def test_users_without_test_items_do_not_count(log):
    """Half of the users have only training items."""
    some = np.where(log.rows % 2, log.part, 0).astype(np.int8)
    result = Evaluator(replace(log, part=some)).fit(None, "poprec", UNTUNED, 0)
    assert all(np.isfinite(list(result.values())))


# --- what stands for the data ---------------------------------------------------------


def test_the_judge_describes_all_that_it_reads(log, evaluator):
    description = json.loads(json.dumps(evaluator.describe()))
    assert description["sha256"] == log.fingerprint and description[
        "test"
    ] == log.count(2)
    others = [Evaluator(changed(log, part)).describe() for part in (1, 2)]
    for other in others:
        assert {**other, "exam": ""} == {**description, "exam": ""}
        assert other["exam"] != description["exam"]
    assert others[0]["exam"] != others[1]["exam"]
    assert Evaluator(make_log()).describe() == description


def test_whole_data_is_not_taken_for_that_of_another_test(log, summary):
    """Kept scores of whole data are of the test items that they were measured on."""
    other = changed(log, 2)
    words = {"rows": ["whole"], "seeds": 1, "models": ["poprec"], "progress": False}
    values = []
    for one in log, other:
        report = multidd.evaluate(summary, one, protocol="untuned", **words)
        values.append(report.value("poprec", "auc", "whole"))
        fresh = Evaluator(one).fit(None, "poprec", UNTUNED, 0)
        assert values[-1] == pytest.approx(fresh["auc"])
    assert values[0] != values[1]


def test_protocols_are_told(evaluator):
    tuned, mine = map(evaluator.describe_protocol, (TUNED, Protocol("mine")))
    assert "settings chosen by HR@100 on validation items" in tuned
    assert "Protocol 'mine': each model with its own" in mine


def test_a_distilled_summary_is_judged(log):
    summary = distill_cf(log, 4, steps=2, progress=False)
    report = multidd.evaluate(
        summary, log, seeds=1, rows=["random"], protocol="untuned", progress=False
    )
    assert [row.name for row in report.rows] == ["random", "distill_cf"]
    assert report.rows[1].size == 4 and report.rows[1].num_bytes == summary.num_bytes
