"""EASE: both forms against the formula and each other, and its published numbers."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd.recsys.models.ease import EASE, RIDGES, WHOLE, gram
from multidd.recsys.models.metrics import rank
from multidd.recsys.models.poprec import PopRec
from tests.recsys.worlds import ML100K, ml100k, rng, two_tastes


def fractional(rows, items=30, seed=0):
    draw = np.random.default_rng(seed)
    dense = draw.random((rows, items)) * (draw.random((rows, items)) < 0.6)
    return csr_array(dense.astype(np.float32))


def by_formula(rows, weight, ridge, histories):
    x = rows.toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ (weight[:, None] * x) + ridge * np.eye(x.shape[1]))
    result = -inverse / np.diag(inverse)
    np.fill_diagonal(result, 0)
    return histories.toarray() @ result


@pytest.mark.parametrize("form", ["primal", "dual"])
@pytest.mark.parametrize("ridge", [1e-5, 0.5, 50.0])  # the least needs float64
@pytest.mark.parametrize("m", [12, 80])
def test_scores_are_the_formula(form, ridge, m):
    rows, histories = fractional(m), two_tastes(9, 30)
    weight = np.random.default_rng(1).random(m).astype(np.float32)
    model = EASE(ridge, form).train(rows, weight, rng())(histories).numpy()
    expected = by_formula(rows, weight, ridge, histories)
    assert model == pytest.approx(expected, rel=1e-3, abs=2e-4 * abs(expected).max())


def test_the_smaller_form_is_taken():
    assert type(EASE()._work(fractional(12), None)).__name__ == "_Dual"
    assert type(EASE()._work(fractional(80), None)).__name__ == "_Primal"


def test_a_weight_is_a_number_of_copies():
    rows = fractional(10)
    copies = np.array([1, 2, 3, 1, 1, 0, 2, 1, 4, 1])
    repeated = csr_array(rows[np.repeat(np.arange(10), copies)])
    histories = two_tastes(5, 30)
    one = EASE(2.0).train(rows, copies, rng())(histories)
    two = EASE(2.0).train(repeated, None, rng())(histories)
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("m", [12, 80])
def test_a_whole_grid_is_each_of_its_members(m):
    rows, histories = fractional(m), two_tastes(5, 30)
    members = list(EASE().train_grid(rows, None, 0))
    assert [member.ridge for member, _ in members] == list(RIDGES)
    for member, scorer in members:
        alone = member.train(rows, None, rng())(histories)
        torch.testing.assert_close(scorer(histories), alone)


def test_dense_and_sparse_gram_agree():
    # Few long rows go dense, many short ones sparse.
    for rows in (fractional(50), csr_array(np.eye(400, 300, dtype=np.float32))):
        x = rows.toarray()
        assert gram(rows) == pytest.approx(x.T @ x, abs=1e-4)


def test_a_matrix_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("multidd.recsys.models.ease.available_memory", lambda: 2**20)
    with pytest.raises(MemoryError, match="400 rows of 300 items needs about"):
        EASE().fit(csr_array(np.eye(400, 300)))


def test_a_ridge_too_small():
    rows = csr_array(np.ones((4, 3), np.float32))  # every item the same
    text = "ridge 1e-30 is too small for these interactions: the matrix between items"
    with pytest.raises(ValueError, match=text):
        EASE(1e-30, "primal").fit(rows)


def test_the_grid_of_many_rows_is_shorter(monkeypatch):
    rows, histories = fractional(9), fractional(3)
    monkeypatch.setattr("multidd.recsys.models.ease.MANY_ROWS", 8)
    grid = list(EASE().train_grid(rows, None, 0))
    assert [member.ridge for member, _ in grid] == list(WHOLE)
    member, scorer = grid[3]
    torch.testing.assert_close(scorer(histories), member.fit(rows).scores(histories))


@pytest.mark.parametrize("inputs", [{"ridge": 0.0}, {"ridge": -1}, {"form": "both"}])
def test_refusals(inputs):
    with pytest.raises(ValueError, match="must be"):
        EASE(**inputs)


@pytest.mark.data(ML100K)
@pytest.mark.parametrize(
    "model, hr10, hr100, ndcg10, ndcg100",
    [
        (PopRec(), 15.61, 43.72, 15.38, 25.86),
        (EASE(500.0, "primal"), 34.22, 72.14, 34.93, 48.17),
        (EASE(500.0, "dual"), 34.22, 72.14, 34.93, 48.17),
    ],
    ids=["pop", "primal", "dual"],
)
def test_movielens_100k(data_root, model, hr10, hr100, ndcg10, ndcg100):
    train, val, test = ml100k(data_root)
    scorer = model.fit(train).scorer
    metrics = rank(
        scorer,
        csr_array(train + val),
        test,
        popularity=train.sum(axis=0),
        num_train=train.nnz,
        rng=rng(),
    )
    # The numbers are means over all 943 users, one of whom has no test item.
    names = ("hr@10", "hr@100", "ndcg@10", "ndcg@100")
    got = [100 * metrics[name] * 942 / 943 for name in names]
    assert got == pytest.approx([hr10, hr100, ndcg10, ndcg100], abs=0.03)
