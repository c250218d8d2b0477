"""Rank agreement: tau and regret by hand, and candidates of every modality."""

import json
from typing import Any

import pytest
from scipy.stats import kendalltau

import multidd
from multidd import graph, images, recsys, text
from multidd.evaluation.rank_agreement import (
    Candidate,
    RankAgreement,
    kendall,
    rank_agreement,
    regret_of,
)
from tests.golden import tiny

FOUR = RankAgreement(
    (
        Candidate("a", 0.90, 0.60, 0.50),
        Candidate("b", 0.80, 0.70, 0.50),
        Candidate("c", 0.70, 0.50, 0.55),
        Candidate("d", 0.60, 0.40, 0.40),
    ),
    "accuracy",
)


def test_tau_and_regret_by_hand() -> None:
    # Whole data rank a b c d, the summary b a c d: five pairs alike, one not.
    assert FOUR.tau == pytest.approx((5 - 1) / 6)
    # Random records: c above a and b, which are equal; three alike, two not, one tie.
    assert FOUR.random_tau == pytest.approx((3 - 2) / (6 * 5) ** 0.5)
    assert FOUR.choice.name == "b"
    assert FOUR.regret == pytest.approx(0.1) and FOUR.random_regret == pytest.approx(
        0.2
    )
    assert FOUR.blind_regret == pytest.approx(0.15)
    assert FOUR.p_value == pytest.approx(kendalltau([6, 7, 5, 4], [9, 8, 7, 6]).pvalue)
    assert "tau 0.67 (random records 0.18)" in FOUR.sentence
    assert "costs 10.0 points of accuracy (random records 20.0, by lot 15.0)" in str(
        FOUR
    )
    assert FOUR.sentence.endswith("give val= to choose on others.")
    written = json.loads(json.dumps(FOUR.to_dict()))
    assert written["candidates"][1]["name"] == written["choice"] == "b"
    assert repr(FOUR) == "RankAgreement(4 settings, tau=0.67, regret=0.100)"


def test_scores_that_tell_nothing_apart() -> None:
    assert kendall([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == (None, None)
    assert regret_of([0.5, 0.5], [0.7, 0.9]) == pytest.approx(0.2)  # the first is taken
    flat = RankAgreement((Candidate("a", 1, 0, 0), Candidate("b", 1, 0, 0)), "accuracy")
    assert flat.tau is None and "tau none" in flat.sentence


# --- every modality -----------------------------------------------------------------


def _nodes() -> tuple[Any, Any, dict[str, Any]]:
    data, quick = tiny.nodes(), multidd.Protocol("quick", epochs=10, check_every=5)
    options = {"models": ["gcn", "mlp"], "protocols": [quick], "lrs": [0.01, 0.1]}
    return graph.kmeans(data, per_class=2), data, options


def _pictures() -> tuple[Any, Any, dict[str, Any]]:
    from sklearn.linear_model import LogisticRegression

    sets = tiny.images()
    models = ["kernel", *(LogisticRegression(C=c) for c in (0.1, 1.0))]
    options = {"models": models, "train": sets, "val": sets}
    return images.kmeans(sets, ipc=2), sets, options


def _users() -> tuple[Any, Any, dict[str, Any]]:
    log = tiny.log()
    models = [recsys.EASE(ridge=ridge) for ridge in (1.0, 10.0)] + ["poprec"]
    return (
        recsys.kmeans(log, users=6),
        log,
        {"models": models, "protocols": ["untuned"]},
    )


def _sentences() -> tuple[Any, Any, dict[str, Any]]:
    sets, encoder = tiny.texts(), tiny.encoder()
    summary = text.medoids(sets, per_class=2, encoder=encoder)
    on = text.Evaluator(sets, train=sets, encoder=encoder)
    return summary, on, {"models": ["kernel", "logistic"]}


def _sentences_with_others() -> tuple[Any, Any, dict[str, Any]]:
    """The same with an evaluator of validation texts."""
    summary, on, options = _sentences()
    return summary, on, options | {"val": on}


NAMES = {
    _nodes: ["gcn lr=0.01", "gcn lr=0.1", "mlp lr=0.01", "mlp lr=0.1"],
    _pictures: ["kernel", "LogisticRegression(C=0.1)", "LogisticRegression()"],
    _users: ["EASE(ridge=1.0)", "EASE(ridge=10.0)", "poprec"],
    _sentences: ["kernel", "logistic"],
    _sentences_with_others: ["kernel", "logistic"],
}


@pytest.mark.parametrize("make", NAMES)
def test_every_modality(make: Any) -> None:
    summary, on, options = make()
    agreement = multidd.rank_agreement(summary, on, cache=False, **options)
    assert [one.name for one in agreement.candidates] == NAMES[make]
    assert all(0 <= one.whole <= 1 for one in agreement.candidates)
    # Only the texts had nothing else to choose on.
    place = "test data" if make is _sentences else "validation data"
    assert agreement.chosen_on == place
    assert agreement.regret >= 0 and agreement.blind_regret >= 0


def test_a_choice_does_not_look_at_test_items() -> None:
    """Of a log the choice goes by validation items: other test items change nothing."""
    summary, log, options = _users()
    first = rank_agreement(summary, log, cache=False, **options)
    evaluator = recsys.Evaluator(log)
    judge = evaluator.on_validation(evaluator.protocols["untuned"])
    assert judge is not None
    assert judge.log.train.nnz == log.train.nnz and judge.log.test.nnz == log.val.nnz
    assert (judge.log.test - log.val).nnz == 0 and not judge.log.val.nnz
    assert evaluator.on_validation(evaluator.protocols["tuned"]) is None
    scores = judge.fit(summary, "poprec", evaluator.protocols["untuned"], 0)
    assert first.candidates[2].summary == pytest.approx(scores["hr@10"])


def test_refusals() -> None:
    summary, log, _ = _users()
    with pytest.raises(ValueError, match="two candidates or more.*got 1"):
        rank_agreement(summary, log, models=["ease"])
    with pytest.raises(ValueError, match="protocol must be one of tuned, untuned; got"):
        rank_agreement(summary, log, models=["ease"], protocols=["fast", "tuned"])
    with pytest.raises(TypeError, match="has its own settings; give it inductive"):
        rank_agreement(summary, recsys.Evaluator(log), inductive=True)
    with pytest.raises(ValueError, match="no summary was given"):
        rank_agreement([], log)
