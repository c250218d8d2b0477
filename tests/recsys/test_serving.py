"""Recommendations from synthetic users alone."""

from dataclasses import replace

import numpy as np
import pytest

from multidd.recsys import EASE, InfiniteAE, recommend
from multidd.recsys.summary.summary import RecsysSummary
from tests.recsys.worlds import two_tastes

SOURCE = {"users": 60, "train": 400}
IDS = {
    "numbers": np.arange(24) * 10 - 50,
    "hashes": 2**63 + np.arange(24, dtype=np.uint64),
    "texts": [f"film {i}" for i in range(24)],
    "digits": [str(i) for i in range(24)],
}


def make_summary(ids="numbers", **settings):
    """Twelve users of the one taste, twelve of the other."""
    summary = RecsysSummary.from_csr(
        two_tastes(24), source=SOURCE, method="mine", item_ids=IDS[ids]
    )
    return replace(summary, card=replace(summary.card, settings=settings))


@pytest.mark.parametrize("ids", IDS)
def test_items_of_the_same_taste(ids):
    names = np.asarray(IDS[ids]).tolist()
    for first in 0, 12:  # the first taste and the second
        history = names[first : first + 4]
        result = recommend(make_summary(ids), history, 5)
        assert len(result) == len(set(result)) == 5
        assert not set(result) & set(history)
        assert len(set(result) & set(names[first : first + 12])) >= 4
        assert all(type(item) is type(names[0]) for item in result)


@pytest.mark.parametrize("ids", IDS)
def test_history_as_text(ids):
    names = np.asarray(IDS[ids]).tolist()
    text = [str(name) for name in names[:3]]
    assert recommend(make_summary(ids), text) == recommend(make_summary(ids), names[:3])


def test_whole_numbers_of_any_type():
    plain = recommend(make_summary(), [-50, -40])
    assert recommend(make_summary(), np.array([-50, -40])) == plain
    assert recommend(make_summary(), (np.int32(-50), "-40")) == plain
    assert (
        recommend(make_summary(), [-40, -50, -50]) == plain
    )  # no order, and no counts


def test_the_model_is_the_summarys_own():
    for ridge in 0.1, 50.0:
        expected = (
            InfiniteAE(ridge=ridge).fit(make_summary()).recommend_history([-50, 0], 22)
        )
        assert recommend(make_summary(ridge=ridge), [-50, 0], 22) == expected
    assert recommend(make_summary(ridge=0.1), [0], 23) != recommend(
        make_summary(ridge=50.0), [0], 23
    )
    expected = EASE(ridge=5.0).fit(make_summary()).recommend_history([-50, 0], 22)
    assert recommend(make_summary(), [-50, 0], 22, model=EASE(ridge=5.0)) == expected


def test_no_history_gives_what_is_popular():
    counts = two_tastes(24).toarray().sum(0)
    result = recommend(make_summary(ridge=0.001), k=24)
    places = [int(item + 50) // 10 for item in result]
    assert (np.diff(counts[places]) <= 0).all()


def test_as_many_as_there_are():
    assert len(recommend(make_summary(), k=99)) == 24
    assert len(recommend(make_summary(), [-50, -40], 99)) == 22


@pytest.mark.parametrize(
    ("ids", "history", "message"),
    [
        ("numbers", [7], "1 of 1 items are not known: 7"),
        ("numbers", ["tea"], r"whole numbers, such as -50; got \['tea'\]"),
        ("numbers", [0.5], r"whole numbers, .*got \[0.5\]"),
        ("numbers", [None], r"whole numbers, .*got \[None\]"),
        ("texts", ["film 1", "tea"], "1 of 2 items are not known: 'tea'"),
        ("texts", [3], "1 of 1 items are not known: '3'"),
    ],
    ids=["unknown", "text", "fraction", "none", "unknown text", "number"],
)
def test_unknown_items(ids, history, message):
    with pytest.raises(ValueError, match=message):
        recommend(make_summary(ids), history)


def test_no_items_wanted():
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        recommend(make_summary(), [0], 0)
