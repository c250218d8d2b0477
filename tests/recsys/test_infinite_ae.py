"""`InfiniteAE`: against a dense reference in double precision, and on real users."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd import seeds
from multidd.kernels import NumericalWarning, SolveError, infinite_kernel
from multidd.recsys import infinite_ae as module
from multidd.recsys.data import load
from multidd.recsys.infinite_ae import FLOOR, RIDGES, InfiniteAE, merge
from multidd.recsys.judge import Judge
from multidd.recsys.log import InteractionLog
from multidd.recsys.metrics import measure
from multidd.recsys.popularity import PopRec
from multidd.recsys.regression import factor, nystrom
from multidd.recsys.summary import RecsysSummary
from tests.recsys.worlds import ML100K, held_out, two_tastes


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def kernel(a, b, depth=1):
    """`[n, m]` in double precision."""
    first, second = (torch.from_numpy(x.toarray()).double() for x in (a, b))
    return infinite_kernel(first, second, depth=depth).numpy()


def reference(rows, histories, ridge, depth=1, weight=None):
    """Every row on its own, a system for numpy."""
    own = kernel(rows, rows, depth)
    mass = np.ones(len(own)) if weight is None else weight
    mean = (np.diag(own) * mass).sum() / mass.sum()
    system = own + ridge * mean * np.diag(1 / mass)
    dual = np.linalg.solve(system, rows.toarray().astype(float))
    return torch.from_numpy(kernel(histories, rows, depth) @ dual)


def fractional(seed=0):
    """Twenty rows with entries between zero and one, a fifth of them zero."""
    draws = np.random.default_rng(seed).random((20, 24), dtype=np.float32)
    return csr_array(np.where(draws < 0.2, 0, draws))


ROWS = {"ones": two_tastes(), "fractions": fractional()}
HISTORIES = two_tastes(30, seed=3)


def close(found, wanted, **options):
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted, **options)


# --- against the dense reference ------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("double", [True, False, None])
def test_predictions_of_the_dense_system(rows, depth, double):
    model = InfiniteAE(depth, ridge=0.5, double=double)
    found = model.train(ROWS[rows], None, rng())(HISTORIES)
    wanted = reference(ROWS[rows], HISTORIES, 0.5, depth)
    close(found, wanted, rtol=1e-4, atol=2e-5)
    assert wanted.std() > 0.01


@pytest.mark.parametrize("rows", ROWS)
def test_rows_by_weight(rows):
    weight = np.random.default_rng(0).random(ROWS[rows].shape[0]) * 5 + 0.1
    found = InfiniteAE(ridge=0.5).train(ROWS[rows], weight, rng())(HISTORIES)
    wanted = reference(ROWS[rows], HISTORIES, 0.5, weight=weight)
    close(found, wanted, rtol=1e-4, atol=2e-5)
    plain = reference(ROWS[rows], HISTORIES, 0.5)
    assert float((wanted - plain).abs().max()) > 0.01


def test_rows_of_weight_zero_are_not_there():
    weight = np.r_[np.ones(40), np.zeros(20)]
    found = InfiniteAE().train(two_tastes(), weight, rng())(HISTORIES)
    close(found, reference(two_tastes()[:40], HISTORIES, 5.0), rtol=1e-4, atol=2e-5)


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
    found = InfiniteAE(ridge=0.5, double=False).train(rows, None, rng())(histories)
    close(found, reference(rows, histories, 0.5), rtol=1e-4, atol=2e-5)


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
    found = torch.from_numpy(kernel(HISTORIES, merged)) @ dual
    wanted = reference(rows, HISTORIES, ridge)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


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
    found = InfiniteAE(ridge=0.0).train(rows, None, rng())(HISTORIES)
    floor = InfiniteAE(ridge=FLOOR).train(rows, None, rng())(HISTORIES)
    assert bool(torch.isfinite(found).all())
    assert torch.equal(found, floor)


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


def test_the_grid_keeps_the_other_settings():
    model = InfiniteAE(depth=2, centers=9, double=True)
    assert {replace(m, ridge=None) for m in model.grid} == {model}


def test_a_summary_brings_its_ridge():
    source = {"users": 9, "train": 30}
    made = RecsysSummary.from_csr(fractional(), source=source, method="mine")
    plain = InfiniteAE().fit(made)
    assert plain.model.ridge is None
    chosen = replace(made, card=replace(made.card, settings={"ridge": 0.1}))
    found = InfiniteAE().fit(chosen)
    assert found.model.ridge == 0.1
    for one, ridge in (found, 0.1), (plain, 5.0):
        wanted = reference(fractional(), HISTORIES, ridge)
        close(one.scores(HISTORIES), wanted, rtol=1e-3, atol=1e-4)
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
    told = float(text.split("about ")[1].split()[0])
    assert true / 10 < told < true * 10


@pytest.mark.parametrize("double", [True, None])
def test_double_precision_is_not(double):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = InfiniteAE(ridge=1e-4, double=double).train(alike(), None, rng())
    close(found(HISTORIES), reference(alike(), HISTORIES, 1e-4), rtol=0.01, atol=0.01)


def test_a_system_that_is_none():
    gram = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(SolveError, match="2 users with ridge 0.1 .* larger ridge"):
        factor(gram, np.ones(2), torch.eye(2), 0.1, csr_array(np.eye(2)))


# --- centers --------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_all_rows_as_centers_are_the_exact_system(weighted):
    rows = two_tastes(20)
    mass = np.random.default_rng(0).random(20) + 0.5 if weighted else np.ones(20)
    gram = torch.from_numpy(kernel(rows, rows))
    length = gram.diagonal().sqrt()  # so that means of the diagonal are all the same
    gram = gram / (length[:, None] * length)
    parts = slice(0, 7), slice(7, 20)
    weight = torch.from_numpy(mass).float()
    blocks = [(gram[part].float(), rows[part], weight[part]) for part in parts]
    found = nystrom(gram, blocks, 0.5, 24)
    exact = factor(gram, mass, torch.from_numpy(rows.toarray()), 0.5, rows)
    ours, wanted = (one.predict(gram.float()) for one in (found, exact))
    torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-4)


def test_as_many_centers_as_rows():
    one = InfiniteAE(centers=60).train(two_tastes(), None, rng())(HISTORIES)
    two = InfiniteAE().train(two_tastes(), None, rng())(HISTORIES)
    assert torch.equal(one, two)


def test_centers_by_hand(monkeypatch):
    """The chosen rows, all targets, in blocks."""
    rows, weight = two_tastes(), np.linspace(0.5, 2.0, 60)
    monkeypatch.setattr(module, "BLOCK", 10 * 7)
    found = InfiniteAE(ridge=0.5, centers=10).train(rows, weight, rng())(HISTORIES)
    chosen = np.sort(torch.randperm(60, generator=rng())[:10].numpy())
    some = csr_array(rows[chosen])
    own, across = kernel(some, some), kernel(rows, some)
    system = across.T @ (weight[:, None] * across) + 0.5 * np.diag(own).mean() * own
    dual = np.linalg.solve(system, across.T @ (weight[:, None] * rows.toarray()))
    wanted = torch.from_numpy(kernel(HISTORIES, some) @ dual)
    close(found, wanted, rtol=1e-3, atol=1e-3)
    other = InfiniteAE(ridge=0.5, centers=10).train(rows, weight, rng(1))(HISTORIES)
    assert not torch.equal(found, other)


def test_memory_decides_where_nothing_is_said(monkeypatch):
    monkeypatch.setattr(module, "rows_that_fit", lambda items: 10)
    found = InfiniteAE().train(two_tastes(), None, rng())(HISTORIES)
    asked = InfiniteAE(centers=10).train(two_tastes(), None, rng())(HISTORIES)
    assert torch.equal(found, asked)


# --- users ----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", ROWS)
def test_histories_of_nothing_get_what_is_popular(rows):
    histories = csr_array(np.r_[np.zeros((2, 24)), np.ones((1, 24)), np.eye(24)[23:]])
    known = ROWS[rows].toarray()
    known[:, 23] = 0  # nobody in training has the last item
    weight = np.linspace(1, 2, len(known))
    popular = torch.from_numpy(weight / weight.sum() @ known)
    model = InfiniteAE(ridge=1e-3)
    every = list(model.train_grid(csr_array(known), weight, 0))
    for scorer in (model.train(csr_array(known), weight, rng()), every[2][1]):
        found = scorer(histories)
        assert bool(torch.isfinite(found).all()) and found.shape == (4, 24)
        close(found[[0, 1, 3]], popular.expand(3, -1))
        assert not torch.allclose(found[2], found[0], atol=0.05)


def test_users_without_items_do_no_harm():
    rows = csr_array(np.r_[np.zeros((9, 24)), two_tastes().toarray()])
    found = InfiniteAE(ridge=0.1).train(rows, None, rng())(HISTORIES)
    close(found, reference(rows, HISTORIES, 0.1), rtol=1e-4, atol=1e-4)


def test_nobody_at_all():
    scorer = InfiniteAE().train(two_tastes(), None, rng())
    assert scorer(csr_array((0, 24), dtype=np.float32)).shape == (0, 24)
    log = InteractionLog.from_csr(two_tastes())
    assert InfiniteAE().fit(log).recommend([]) == []


def test_new_users_need_no_training(monkeypatch):
    found = InfiniteAE(ridge=0.5).fit(two_tastes())

    def late(*args, **kwargs):
        raise AssertionError("a system was solved again")

    monkeypatch.setattr(module, "factor", late)
    known, target = held_out(two_tastes(seed=7), seed=7)
    popular = PopRec().fit(two_tastes())
    models = found, popular
    ours, theirs = (measure(m.scorer, known, target, "hr@12") for m in models)
    assert ours > 0.75 > theirs
    assert len(set(found.recommend_history([0, 1, 2], k=6)) & set(range(12))) > 4
    assert set(found.recommend_history([0, 1], k=24)) == set(range(2, 24))


def test_the_input_stays():
    rows, weight = repeated(), np.arange(40.0)
    before = rows.copy(), weight.copy()
    InfiniteAE().train(rows, weight, rng())
    assert (rows != before[0]).nnz == 0 and (weight == before[1]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ridge": -1.0}, "ridge must be a number of 0 or more, got -1.0"),
        ({"ridge": float("nan")}, "got nan"),
        ({"ridge": float("inf")}, "got inf"),
        ({"depth": 0}, "1 or more, got 0 and None"),
        ({"centers": 0}, "1 or more, got 1 and 0"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        InfiniteAE(**settings)


# --- real users -----------------------------------------------------------------------

PUBLISHED = {"hr@10": 32.99, "ndcg@10": 33.73, "hr@100": 70.80, "ndcg@100": 46.91}
"""By the authors' code, in single precision."""


@pytest.fixture(scope="module")
def judge():
    return Judge(load("ml-100k"))


@pytest.mark.data(ML100K)
def test_movielens_100k(judge):
    found = judge._tested(InfiniteAE(ridge=5.0).fit(judge.log).scorer)
    for metric, value in PUBLISHED.items():
        assert 100 * found[metric] == pytest.approx(value, abs=0.05)


@pytest.mark.data(ML100K)
def test_centers_on_movielens_100k(judge):
    """A tenth of the users, all targets: between popularity and all users."""
    log, values = judge.log, []
    for model in PopRec(), InfiniteAE(ridge=0.1, centers=94), InfiniteAE():
        scorer = model.fit(log).scorer
        values.append(measure(scorer, log.context, log.test, "ndcg@10"))
    assert values[0] + 0.1 < values[1] < values[2] + 0.005
