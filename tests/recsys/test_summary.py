"""`RecsysSummary`: the matrix, its numbers, whole interactions, and overlaps."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array, csr_array

from multidd.recsys.data.log import InteractionLog
from multidd.recsys.summary.binarize import histories, lengths
from multidd.recsys.summary.privacy import nearest_overlap
from multidd.recsys.summary.summary import RecsysSummary
from multidd.summary import Card
from tests.recsys.rows import IDS, ITEMS, SOURCE, USERS, make, matrix, weights

KINDS = ("dense", "sparse", "binary")
CARD = Card("mine", {}, 0, SOURCE, {})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", [torch.tensor, csr_array, coo_array, np.asarray])
def test_the_matrix_comes_back(kind, form):
    rows = matrix(kind)
    summary = RecsysSummary.of(form(rows), CARD, item_ids=IDS["int"])
    out = summary.to_csr()
    assert out.dtype == np.float32 and out.has_canonical_format
    np.testing.assert_array_equal(out.toarray(), rows)
    assert ("x" in summary.tensors) == (kind == "dense")
    out.data[:] = 9
    np.testing.assert_array_equal(summary.to_csr().toarray(), rows)


def test_learned_rows_in_other_precision():
    rows = torch.tensor(matrix("dense"), dtype=torch.float64, requires_grad=True)
    summary = RecsysSummary.of(rows * 1.0, CARD, item_ids=IDS["int"])
    np.testing.assert_array_equal(summary.tensors["x"].numpy(), matrix("dense"))


def test_numbers():
    summary = make("sparse", weight=weights())
    nnz = np.count_nonzero(matrix())
    assert (summary.num_users, summary.num_items, summary.nnz) == (USERS, ITEMS, nnz)
    assert summary.density == nnz / (USERS * ITEMS)
    # A value and a column each, a place for each row and the end, a weight each.
    assert summary.num_bytes == 8 * nnz + 8 * (USERS + 1) + 4 * USERS
    assert make("dense").num_bytes == 4 * USERS * ITEMS + 4 * USERS
    assert make("dense", "str").num_bytes == make("dense", "int").num_bytes
    np.testing.assert_array_equal(summary.weight, weights())
    assert summary.mean_length == 8
    assert [make(kind).binary for kind in KINDS] == [False, False, True]


def test_stored_dense_where_that_is_smaller():
    rows = np.eye(4, dtype=np.float32)
    rows[0] = 1
    for inputs, dense in ((rows, False), (np.maximum(rows, rows[::-1]), True)):
        source = {"users": 9, "train": 9}
        summary = RecsysSummary.from_csr(inputs, source=source, method="mine")
        assert ("x" in summary.tensors) == dense == (summary.density >= 0.5)


def test_zeros_and_duplicates_are_not_counted():
    matrix = csr_array(
        (np.array([1.0, 2.0, 0.0]), np.array([5, 5, 2]), np.array([0, 3])),
        shape=(1, ITEMS),
    )
    summary = RecsysSummary.of(matrix, CARD, item_ids=IDS["int"])
    assert summary.nnz == 1 and summary.to_csr().data.tolist() == [3.0]
    assert matrix.nnz == 3 and matrix.data.tolist() == [1.0, 2.0, 0.0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"matrix": matrix()[0]}, ValueError, r"must be \[m, I\]; got \[40\]"),
        ({"matrix": -matrix()}, ValueError, r"is -0\.\d+; entries must be 0 or more"),
        ({"matrix": matrix() * np.nan}, ValueError, "NaN or infinite"),
        ({"matrix": matrix() * 0}, ValueError, "every entry is 0"),
        ({"matrix": matrix()[:0]}, ValueError, "every entry is 0|no rows"),
        ({"matrix": matrix()[:, 1:]}, ValueError, r"\[6, 39\].* 40 item ids"),
        ({"item_ids": range(39)}, ValueError, r"\[6, 40\].* 39 item ids"),
        ({"item_ids": [*range(39), 0]}, ValueError, "0 occurs twice"),
        ({"item_ids": [*range(39), "a"]}, TypeError, "int, str"),
        ({"item_ids": [None] * 40}, TypeError, "NoneType"),
        ({"weight": np.ones(5)}, ValueError, "5 weights for 6 rows"),
        ({"weight": np.zeros(6)}, ValueError, "must be positive.*least is 0"),
        ({"weight": np.full(6, np.inf)}, ValueError, "must be positive"),
        ({"weight": np.ones((6, 1))}, ValueError, r"1 axes; got .*\[6, 1\]"),
        ({"source": {**SOURCE, "items": 41}}, ValueError, "tells of 41 items"),
        ({"source": {"users": 3}}, ValueError, "source lacks train"),
    ],
)
def test_parts_that_do_not_fit(change, error, message):
    arguments = {"matrix": matrix(), "item_ids": IDS["int"], "source": SOURCE} | change
    rows = arguments.pop("matrix")
    with pytest.raises(error, match=message):
        RecsysSummary.from_csr(rows, method="mine", **arguments)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("binary", r"users=6, nnz=(\d\d), density=0\.\d+, for 30 users, 0\.\d+ x"),
        ("dense", r"users=6, nnz=240, density=1, for 30 users, 1 x"),
    ],
)
def test_repr_is_one_line_of_what_matters(kind, message):
    rest = r" the log's 240, \d+ KiB, 0\.0 s"
    assert re.fullmatch(rf"RecsysSummary\(mine, {message}{rest}\)", repr(make(kind)))


def test_repr_says_when_it_holds_more_numbers_than_the_log():
    summary = make("dense")
    small = replace(summary.card, source={**summary.card.source, "train": 120})
    assert "2 x the log's 120" in repr(replace(summary, card=small))
    assert "mine, 8 largest of each row" in repr(summary.binarize())


# --- whole interactions --------------------------------------------------------------


def test_largest_entries():
    rows = matrix("dense")
    cut = make("dense", weight=weights()).binarize(5)
    expected = np.zeros_like(rows)
    np.put_along_axis(expected, np.argsort(-rows)[:, :5], 1, axis=1)
    np.testing.assert_array_equal(cut.to_csr().toarray(), expected)
    np.testing.assert_array_equal(cut.weight, weights())
    assert cut.binary and cut.item_ids.tolist() == list(IDS["int"])


def test_length_of_a_real_history_unless_given():
    cut = make("dense").binarize()
    assert np.diff(cut.to_csr().indptr).tolist() == [8] * USERS
    assert cut.card.settings["binarize"] == {"length": 8, "how": "top"}
    scored = replace(make("dense").card, score={"hr@10": 0.3}, protocol={"seed": 0})
    again = RecsysSummary(make("dense").tensors, scored).binarize(how="sample", seed=3)
    assert again.card.score is None and again.card.protocol is None
    assert again.card.settings["binarize"] == {"length": 8, "how": "sample", "seed": 3}


def test_short_rows_keep_what_they_have():
    for how in ("top", "sample"):
        cut = make("sparse").binarize(30, how=how).to_csr().toarray()
        np.testing.assert_array_equal(cut, np.ceil(matrix("sparse")))


def test_equal_entries_go_to_the_first_items():
    rows = csr_array(np.ones((2, 9), dtype=np.float32))
    assert histories(rows, 3).indices.tolist() == [0, 1, 2, 0, 1, 2]


def test_draws_are_seeded_and_in_proportion():
    summary = make("dense")
    draws = [summary.binarize(4, how="sample", seed=s).digest() for s in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    # Drawn one by one without replacement: p_i, and then p_j / (1 - p_i).
    share = np.array([0.5, 0.3, 0.2, 0.0])
    rows = csr_array(np.tile(share, (40_000, 1)))
    once = histories(rows, 1, "sample").toarray().mean(0)
    np.testing.assert_allclose(once, share, atol=0.01)
    twice = histories(rows, 2, "sample").toarray().mean(0)
    others = [
        sum(share[j] * share[i] / (1 - share[j]) for j in range(3) if j != i)
        for i in range(3)
    ]
    np.testing.assert_allclose(twice, [*(share[:3] + others), 0], atol=0.01)


@pytest.mark.parametrize(
    ("length", "how", "error", "message"),
    [
        (0, "top", ValueError, "1 to the 40 items, got 0"),
        (41, "top", ValueError, "1 to the 40 items, got 41"),
        (2.5, "top", TypeError, "whole number, got 2.5"),
        (True, "top", TypeError, "whole number, got True"),
        (5, "best", ValueError, "'top' or 'sample', got 'best'"),
    ],
)
def test_binarize_refusals(length, how, error, message):
    with pytest.raises(error, match=message):
        make("dense").binarize(length, how=how)


def test_effective_lengths():
    rows = csr_array(np.array([[2.0, 2, 2, 0], [1, 0, 0, 0], [0, 0, 0, 0]]))
    assert lengths(rows).tolist() == [3, 1, 0]
    np.testing.assert_array_equal(
        lengths(csr_array(matrix("binary"))), matrix("binary").sum(1)
    )


# --- overlap with real users ---------------------------------------------------------


def _log(users=300, seed=5):
    rng = np.random.default_rng(seed)
    rows = (rng.random((users, ITEMS)) < 0.2).astype(np.float32)
    return InteractionLog.from_csr(csr_array(rows), item_ids=IDS["int"])


def _by_hand(rows, real):
    rows, real = rows.astype(np.float64), real.astype(np.float64)
    both = rows @ real.T
    either = rows.sum(1)[:, None] + real.sum(1) - both
    return (both / np.maximum(either, 1)).max(1)


@pytest.mark.parametrize("kind", KINDS)
def test_nearest_overlap_by_hand(kind, monkeypatch):
    log, summary = _log(), make(kind)
    rows = summary.to_csr() if summary.binary else summary.binarize(8).to_csr()
    expected = _by_hand(rows.toarray(), log.train.toarray())
    np.testing.assert_allclose(nearest_overlap(summary, log), expected, rtol=1e-12)
    monkeypatch.setattr("multidd.recsys.summary.privacy.CELLS", 50)  # blocks of 8 users
    np.testing.assert_allclose(nearest_overlap(summary, log), expected, rtol=1e-12)


def test_a_copied_row_is_found():
    log = _log()
    real = log.train.toarray()[[4, 250]]
    rows = np.vstack([real, 1 - real[:1]])
    summary = RecsysSummary.of(rows, CARD, item_ids=IDS["int"])
    overlap = nearest_overlap(summary, log)
    assert overlap[:2].tolist() == [1, 1] and overlap[2] < 0.5


def test_overlap_with_another_log():
    other = InteractionLog.from_csr(csr_array(np.eye(3)), item_ids=[1, 2, 3])
    with pytest.raises(ValueError, match="made from another log: 0 of its 40"):
        nearest_overlap(make(), other)
