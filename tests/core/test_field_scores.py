"""Scores of the field, tests of differences and costs, each against a hand's sum."""

import math

import pytest

from multidd.evaluation.costs import (
    Costs,
    break_even_trainings,
    bytes_by_part,
    whole_parts,
)
from multidd.evaluation.field_scores import (
    augmentation_robust_score,
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
)
from multidd.evaluation.report import Row
from multidd.evaluation.significance import (
    Comparison,
    compared_with_best,
    independent_pairs,
    paired_difference,
    seed_spread,
)
from multidd.evaluation.transfer import Transfer
from tests.methods.cases import CASES, made_by

pytestmark = pytest.mark.usefixtures("short_teachers")

# --- HLR, IOR, LRS, ARS ---------------------------------------------------------------


def test_scores_of_the_field_by_hand() -> None:
    # Whole data 90 %, the summary 60 % with hard labels, 70 % with soft ones, random
    # records 55 % with the same soft ones.
    hlr, ior = hard_label_recovery(0.9, 0.6), improvement_over_random(0.7, 0.55)
    assert (hlr, ior) == pytest.approx((0.3, 0.15))
    # a = 0.5 * 0.15 - 0.5 * 0.3 = -0.075; e^a = 0.927743, e^-1 = 0.367879,
    # e = 2.718282: 0.559864 / 2.350402.
    assert label_robust_score(ior, hlr) == pytest.approx(0.238199, abs=1e-6)
    # b = 0.5 * 0.15 + 0.5 * 0.05 = 0.1; (1.105171 - 0.367879) / 2.350402.
    assert augmentation_robust_score(0.15, 0.05) == pytest.approx(0.313687, abs=1e-6)


def test_scores_take_fractions_and_weights() -> None:
    assert label_robust_score(1, -1) == 1 and label_robust_score(-1, 1) == 0
    assert label_robust_score(0.2, 0.9, weight=1) == augmentation_robust_score(
        0.2, 0.7, weight=1
    )
    # The score of no gain and no loss is not a half: the exponential bends.
    assert label_robust_score(0, 0) == pytest.approx(1 / (1 + math.e), abs=1e-9)


# --- significance ---------------------------------------------------------------------


def test_wilcoxon_from_six_pairs_on() -> None:
    first = [0.61, 0.62, 0.63, 0.64, 0.65, 0.54]
    difference = paired_difference(first, [0.6] * 6)
    # Signed ranks: 1 to 5 up, the sixth, of size 0.06, down: T- = 6 of 21. Of 64
    # choices of signs 14 have a sum of negative ranks up to 6: p = 2 * 14 / 64.
    assert (difference.test, difference.pairs) == ("wilcoxon", 6)
    assert difference.p_value == pytest.approx(28 / 64)
    assert difference.mean == pytest.approx(0.015)
    # With six pairs the interval at 95 % is from the least to the largest.
    assert difference.interval == pytest.approx((-0.06, 0.05))
    assert "Wilcoxon, 6 pairs" in difference.described()
    assert paired_difference(first[:5], [0.6] * 5).test == "paired t"


def test_wilcoxon_and_its_interval_agree() -> None:
    """An interval that leaves zero out is a p-value below 0.05, and the other way."""
    decided = set()
    for shift in range(-4, 12):
        scores = [0.01 * k + 0.0007 * k * k for k in range(-3, 6)]
        first = [0.5 + 0.004 * shift + score for score in scores]
        difference = paired_difference(first, [0.5] * 9)
        low, high = difference.interval
        assert (low > 0 or high < 0) == (difference.p_value < 0.05)
        decided.add(difference.p_value < 0.05)
    assert decided == {True, False}


def test_wilcoxon_is_that_of_scipy() -> None:
    from scipy.stats import wilcoxon

    scores = [0.01 * k + 0.0007 * k * k + 0.00013 * k**3 for k in range(-3, 6)]
    for shift in range(1, 9):  # none is zero, and no two are alike in size
        first = [0.5 + 0.00437 * shift + score for score in scores]
        expected = wilcoxon([a - 0.5 for a in first], method="exact").pvalue
        assert paired_difference(first, [0.5] * 9).p_value == pytest.approx(expected)
    # Two zeros and a tie: of ranks 3, 4.5, 4.5 and 6, all up, one choice of 16.
    tied = paired_difference([0.6, 0.6, 0.7, 0.8, 0.8, 0.9], [0.6] * 6)
    assert tied.p_value == pytest.approx(2 / 16)


def test_many_pairs_and_ties() -> None:
    first, second = [0.6, 0.7] * 8, [0.6, 0.65] * 8  # half of them are ties
    difference = paired_difference(first, second)
    assert difference.pairs == 16 and difference.is_better
    same = paired_difference([0.5] * 7, [0.5] * 7)
    assert (same.p_value, same.mean, same.is_better) == (None, 0.0, None)
    assert same.described() == "+0.0 (the same in all 7 pairs; no test)"


def test_pairs_never_share_a_summary() -> None:
    # Three makings with two trainings each, and a row beside of two draws: two pairs,
    # of the first two makings' mean and of the third's.
    of_each = [[0.4, 0.6], [0.6, 0.8], [0.7, 0.9]]
    first, second = independent_pairs(of_each, [0.5, 0.55])
    assert first == pytest.approx([0.6, 0.8]) and second == [0.5, 0.55]
    assert independent_pairs([[0.4], [0.6]], [0.5]) == ([0.5], [0.5])
    rows = [
        Row("whole", "gcn", {"accuracy": (0.9, 0.9)}),
        Row("kmeans", "gcn", {"accuracy": (0.5, 0.55)}),
        Row("random", "gcn", {"accuracy": (0.3, 0.35)}),
        Row("ours", "gcn", {"accuracy": (0.4, 0.6, 0.6, 0.8, 0.7, 0.9)}),
    ]
    (comparison,) = compared_with_best(rows, "ours", "accuracy")
    assert comparison.best_row == "kmeans" and comparison.difference.pairs == 2
    assert comparison.difference.mean == pytest.approx(0.175)
    assert comparison.to_dict()["sentence"].startswith("Not shown to be better than")


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0.5, 0.5], "No better than kmeans"),
        ([0.6, 0.602], "Better than kmeans"),
        ([0.9, 0.51], "Not shown to be better than kmeans"),
        ([0.9], "Beside kmeans"),
    ],
)
def test_verdicts_in_words(scores: list[float], words: str) -> None:
    difference = paired_difference(scores, [0.5] * len(scores))
    assert Comparison("gcn", "kmeans", difference).sentence.startswith(f"{words}, gcn:")


def test_variance_of_making_and_of_training_by_hand() -> None:
    # Variances within are 0.02 and 0.02; the means 0.6 and 0.9 vary by 0.045, of which
    # 0.02 / 2 is training's.
    spread = seed_spread([[0.5, 0.7], [0.8, 1.0]])
    assert spread is not None
    assert spread.training_sd == pytest.approx(math.sqrt(0.02))
    assert spread.making_sd == pytest.approx(math.sqrt(0.035))
    assert (spread.making_seeds, spread.training_seeds) == (2, 2)
    alike = seed_spread([[0.5, 0.7], [0.5, 0.7]])
    assert alike is not None and alike.making_sd == 0
    assert seed_spread([[0.5], [0.7]]) is None and seed_spread([[0.5, 0.7]]) is None


# --- costs and transfer ---------------------------------------------------------------

STORED = {
    "graph": ("gcond", "condense", "doscond_graphs"),
    "images": ("random", "kip", "linba", "kfs", "gtn", "haba", "rded", "idc"),
    "recsys": ("kmeans", "random"),
    "text": ("pursuit", "kmeans", "attention_labels"),
}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name in STORED[case.kind]], ids=repr
)
def test_bytes_of_the_parts_are_those_of_the_summary(case) -> None:
    """Counted tensor by tensor, without what belongs to the data."""
    summary = made_by(case)
    parts = bytes_by_part(summary)
    sizes = {n: t.numel() * t.element_size() for n, t in summary.tensors.items()}
    labels = sum(size for n, size in sizes.items() if n.startswith(("y", "view_seeds")))
    data = ("preprocessing.", "items")
    counted = {n: size for n, size in sizes.items() if not n.startswith(data)}
    assert parts["total"] == summary.num_bytes == sum(counted.values())
    assert parts["labels"] == labels
    assert parts["records"] > 0
    assert parts["records"] + parts["labels"] + parts["decoders"] == parts["total"]
    shared = case.name in ("linba", "kfs", "gtn", "haba")
    assert (parts["decoders"] > 0) == shared
    taught = case.name in ("gcond", "condense", "rded", "haba")
    assert bool(whole_parts(summary)) == taught


def test_bytes_of_a_compressed_summary_are_those_of_its_file() -> None:
    (case,) = (case for case in CASES if repr(case) == "images-kip")
    summary = made_by(case)
    small = summary.compress(bits=4)
    parts = bytes_by_part(small)
    assert parts["total"] == small.num_bytes < summary.num_bytes
    assert 0 < parts["labels"] and 0 < parts["records"]
    assert parts["labels"] + parts["records"] == parts["total"]


def test_break_even() -> None:
    assert break_even_trainings(90.0, 40.0, 10.0) == 3.0
    assert break_even_trainings(90.0, 10.0, 10.0) is None
    assert break_even_trainings(90.0, None, 10.0) is None


@pytest.mark.parametrize(
    ("whole", "training", "words"),
    [
        (None, 1.0, "took 6.0 s; 100 bytes: records 90, labels 10."),
        (5.0, 5.0, "took 6.0 s and does not pay in seconds of training;"),
        (7.5, 1.5, "and pays from the first training on;"),
        (4.0, 1.5, "and pays after 3 trainings;"),
    ],
)
def test_costs_in_words(whole: float | None, training: float, words: str) -> None:
    parts = {"records": 90, "labels": 10, "decoders": 0, "total": 100}
    count = break_even_trainings(6.0, whole, training)
    costs = Costs(6.0, None, ("experts",), None, parts, 10, whole, count)
    assert words in costs.sentence
    assert costs.sentence.endswith("It needed experts on whole data.")
    assert costs.to_dict()["whole_seconds"] == whole


def test_transfer_over_models() -> None:
    transfer = Transfer(("gcn", "mlp"), ("a", "b"), ((0.8, 0.5), (0.6, 0.7)))
    assert transfer.by_model == pytest.approx((0.7, 0.6))
    assert (transfer.mean, transfer.worst) == (pytest.approx(0.65), "mlp")
