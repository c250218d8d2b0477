"""`InfiniteAE`: against a dense reference in double precision."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array, vstack

from multidd import seeds
from multidd.kernels import NumericalWarning, SolveError
from multidd.recsys.models import infinite_ae as module
from multidd.recsys.models.infinite_ae import FLOOR, RIDGES, InfiniteAE, merge
from multidd.recsys.models.kernel_regression import factor
from multidd.recsys.summary.summary import RecsysSummary
from tests.recsys.dense import (
    HISTORIES,
    ROWS,
    close,
    fractional,
    kernel,
    reference,
)
from tests.recsys.worlds import rng, two_tastes

# --- against the dense reference ------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("double", [True, False, None])
def test_predictions_of_the_dense_system(rows, depth, double):
    model = InfiniteAE(depth, ridge=0.5, double=double)
    result = model.train(ROWS[rows], None, rng())(HISTORIES)
    expected = reference(ROWS[rows], HISTORIES, 0.5, depth)
    close(result, expected, rtol=1e-4, atol=2e-5)
    assert expected.std() > 0.01


@pytest.mark.parametrize("rows", ROWS)
def test_rows_by_weight(rows):
    weight = np.random.default_rng(0).random(ROWS[rows].shape[0]) * 5 + 0.1
    model = InfiniteAE(ridge=0.5).train(ROWS[rows], weight, rng())(HISTORIES)
    expected = reference(ROWS[rows], HISTORIES, 0.5, weight=weight)
    close(model, expected, rtol=1e-4, atol=2e-5)
    plain = reference(ROWS[rows], HISTORIES, 0.5)
    assert float((expected - plain).abs().max()) > 0.01


def test_rows_of_weight_zero_are_not_there():
    weight = np.r_[np.ones(40), np.zeros(20)]
    model = InfiniteAE().train(two_tastes(), weight, rng())(HISTORIES)
    close(model, reference(two_tastes()[:40], HISTORIES, 5.0), rtol=1e-4, atol=2e-5)


def test_blocks_change_nothing(monkeypatch):
    whole = InfiniteAE().train(two_tastes(), None, rng())(HISTORIES)
    monkeypatch.setattr(module, "BLOCK", 60 * 7)
    parts = InfiniteAE().train(two_tastes(), None, rng())(HISTORIES)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-7)


def test_the_sparse_gram_is_the_dense_one():
    """Few entries in single precision take another way."""
    rows = two_tastes(50, 60, share=0.2)
    assert rows.nnz < 0.2 * 50 * 60
    histories = two_tastes(20, 60, seed=1)
    model = InfiniteAE(ridge=0.5, double=False).train(rows, None, rng())(histories)
    close(model, reference(rows, histories, 0.5), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_trained_rows_need_no_kernel(rows, double, monkeypatch):
    """Alone, among others, merged and weighted: as the kernel has them."""
    trained = csr_array(vstack([ROWS[rows], ROWS[rows][:3]]))
    weight = np.arange(1.0, trained.shape[0] + 1)
    score = InfiniteAE(ridge=0.5, double=double).train(trained, weight, rng())
    expected = reference(trained, trained, 0.5, weight=weight)
    mixed = csr_array(vstack([trained[-5:], HISTORIES, trained[:4]]))
    others = reference(trained, mixed, 0.5, weight=weight)
    close(score(mixed), others, rtol=1e-4, atol=2e-5)
    monkeypatch.setattr(module._Work, "kernel_to", None)
    close(score(trained), expected, rtol=1e-4, atol=2e-5)


# --- equal users ----------------------------------------------------------------------


def repeated():
    """Twelve different rows, forty in all, by chance."""
    places = np.r_[np.arange(12), np.random.default_rng(1).integers(12, size=28)]
    return csr_array(two_tastes(12)[places])


def test_merged_rows():
    rows = repeated()
    merged, mass = merge(rows, np.ones(40, np.float32))
    assert merged.shape == (12, 24) and mass.sum() == 40
    assert (merged != two_tastes(12)).nnz == 0  # in the order of first occurrence
    dense = rows.toarray()
    for row, count in zip(merged.toarray(), mass, strict=True):
        assert (dense == row).all(1).sum() == count


@pytest.mark.parametrize("ridge", [1e-3, 0.5, 20.0])
def test_merging_changes_no_prediction(ridge):
    """In double precision throughout: to nine digits."""
    rows = repeated()
    merged, mass = merge(rows, np.ones(40, np.float32))
    targets = torch.from_numpy(merged.toarray()).double()
    gram = torch.from_numpy(kernel(merged, merged))
    dual = factor(gram, mass, targets, ridge, merged).dual()
    other_gram = torch.from_numpy(kernel(HISTORIES, merged)) @ dual
    expected = reference(rows, HISTORIES, ridge)
    torch.testing.assert_close(other_gram, expected, rtol=0, atol=1e-9)


def test_a_row_of_weight_three_is_three_rows():
    once, weight = two_tastes(12), np.arange(1.0, 13.0)
    often = csr_array(once[np.repeat(np.arange(12), np.arange(1, 13))])
    one = InfiniteAE(ridge=0.5).train(once, weight, rng())(HISTORIES)
    two = InfiniteAE(ridge=0.5).train(often, None, rng())(HISTORIES)
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_no_ridge_is_raised_to_a_floor():
    rows = repeated()
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(kernel(rows, rows) - 1e-13 * np.eye(40))
    model = InfiniteAE(ridge=0.0).train(rows, None, rng())(HISTORIES)
    floor = InfiniteAE(ridge=FLOOR).train(rows, None, rng())(HISTORIES)
    assert bool(torch.isfinite(model).all())
    assert torch.equal(model, floor)


# --- the grid -------------------------------------------------------------------------


@pytest.mark.parametrize("centers", [None, 15])
@pytest.mark.parametrize("rows", ROWS)
def test_a_whole_grid_is_each_of_its_members(rows, centers):
    model = InfiniteAE(centers=centers)
    members = list(model.train_grid(ROWS[rows], None, 3))
    assert [member.ridge for member, _ in members] == list(RIDGES)
    many = two_tastes(200, seed=4)
    for histories in HISTORIES, many:  # fewer than the items, and more
        for member, scorer in members:
            alone = member.train(ROWS[rows], None, seeds.at(3, "train"))(histories)
            torch.testing.assert_close(scorer(histories), alone, rtol=1e-3, atol=2e-3)


def test_histories_of_a_grid_are_told_apart():
    """Kernels of histories are kept: by which items, how much of them, and whose."""
    ((_, scorer), *_) = InfiniteAE().train_grid(two_tastes(), None, 0)
    alone = InfiniteAE(ridge=RIDGES[0]).train(two_tastes(), None, rng())
    pair, ones = np.array([3, 8]), np.ones(2, np.float32)
    same = dict(shape=(2, 24), dtype=np.float32)
    for data, starts in (
        (ones, [0, 1, 2]),
        (ones / 2, [0, 1, 2]),
        (ones, [0, 2, 2]),
    ):
        histories = csr_array((data, pair, starts), **same)
        torch.testing.assert_close(
            scorer(histories), alone(histories), rtol=1e-3, atol=1e-3
        )


def test_the_grid_keeps_the_other_settings():
    model = InfiniteAE(depth=2, centers=9, double=True)
    assert {replace(m, ridge=None) for m in model.grid} == {model}


def test_a_summary_brings_its_ridge():
    source = {"users": 9, "train": 30}
    summary = RecsysSummary.from_csr(fractional(), source=source, method="mine")
    plain = InfiniteAE().fit(summary)
    assert plain.model.ridge is None
    chosen = replace(summary, card=replace(summary.card, settings={"ridge": 0.1}))
    model = InfiniteAE().fit(chosen)
    assert model.model.ridge == 0.1
    for one, ridge in (model, 0.1), (plain, 5.0):
        expected = reference(fractional(), HISTORIES, ridge)
        close(one.scores(HISTORIES), expected, rtol=1e-3, atol=1e-4)
    assert InfiniteAE(ridge=2.0).fit(chosen).model.ridge == 2.0


# --- precision ------------------------------------------------------------------------


def alike():
    """Two hundred users, ten of each kind almost equal."""
    base = np.tile(two_tastes(20).toarray() * 0.5 + 0.3, (10, 1))
    noise = np.random.default_rng(0).random(base.shape)
    return csr_array((base + 1e-5 * noise).astype(np.float32))


def test_single_precision_is_warned_of():
    with pytest.warns(NumericalWarning, match=r"condition of about \d\.\de\+0\d") as w:
        InfiniteAE(ridge=1e-4, double=False).train(alike(), None, rng())
    text = str(w[0].message)
    assert "ridge 0.0001" in text and "float32" in text and "double=True" in text
    assert w[0].filename == __file__
    system = kernel(alike(), alike())
    true = np.linalg.cond(system + 1e-4 * np.diag(system).mean() * np.eye(200))
    share = float(text.split("about ")[1].split()[0])
    assert true / 10 < share < true * 10


@pytest.mark.parametrize("double", [True, None])
def test_double_precision_is_not(double):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = InfiniteAE(ridge=1e-4, double=double).train(alike(), None, rng())
    close(model(HISTORIES), reference(alike(), HISTORIES, 1e-4), rtol=0.01, atol=0.01)


def test_a_system_that_is_none():
    gram = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(SolveError, match="2 users with ridge 0.1 .* larger ridge"):
        factor(gram, np.ones(2), torch.eye(2), 0.1, csr_array(np.eye(2)))
