"""`InfiniteAE` on some centers only, on new users, and on real ones."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd.recsys.data.benchmarks import load
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.evaluation.evaluator import Evaluator
from multidd.recsys.models import infinite_ae as module
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.kernel_regression import factor, nystrom
from multidd.recsys.models.metrics import measure
from multidd.recsys.models.poprec import PopRec
from tests.recsys.dense import HISTORIES, ROWS, close, kernel, reference
from tests.recsys.worlds import ML100K, held_out, rng, two_tastes

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
    result = nystrom(gram, blocks, 0.5, 24)
    exact = factor(gram, mass, torch.from_numpy(rows.toarray()), 0.5, rows)
    ours, expected = (one.predict(gram.float()) for one in (result, exact))
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)


def test_as_many_centers_as_rows():
    one = InfiniteAE(centers=60).train(two_tastes(), None, rng())(HISTORIES)
    two = InfiniteAE().train(two_tastes(), None, rng())(HISTORIES)
    assert torch.equal(one, two)


def test_centers_by_hand(monkeypatch):
    """The chosen rows, all targets, in blocks."""
    rows, weight = two_tastes(), np.linspace(0.5, 2.0, 60)
    monkeypatch.setattr(module, "BLOCK", 10 * 7)
    model = InfiniteAE(ridge=0.5, centers=10).train(rows, weight, rng())(HISTORIES)
    chosen = np.sort(torch.randperm(60, generator=rng())[:10].numpy())
    some = csr_array(rows[chosen])
    gram, across = kernel(some, some), kernel(rows, some)
    system = across.T @ (weight[:, None] * across) + 0.5 * np.diag(gram).mean() * gram
    dual = np.linalg.solve(system, across.T @ (weight[:, None] * rows.toarray()))
    expected = torch.from_numpy(kernel(HISTORIES, some) @ dual)
    close(model, expected, rtol=1e-3, atol=1e-3)
    other = InfiniteAE(ridge=0.5, centers=10).train(rows, weight, rng(1))(HISTORIES)
    assert not torch.equal(model, other)


def test_memory_decides_where_nothing_is_said(monkeypatch):
    monkeypatch.setattr(module, "rows_that_fit", lambda items: 10)
    model = InfiniteAE().train(two_tastes(), None, rng())(HISTORIES)
    asked = InfiniteAE(centers=10).train(two_tastes(), None, rng())(HISTORIES)
    assert torch.equal(model, asked)


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
        result = scorer(histories)
        assert bool(torch.isfinite(result).all()) and result.shape == (4, 24)
        close(result[[0, 1, 3]], popular.expand(3, -1))
        assert not torch.allclose(result[2], result[0], atol=0.05)


def test_users_without_items_do_no_harm():
    rows = csr_array(np.r_[np.zeros((9, 24)), two_tastes().toarray()])
    model = InfiniteAE(ridge=0.1).train(rows, None, rng())(HISTORIES)
    close(model, reference(rows, HISTORIES, 0.1), rtol=1e-4, atol=1e-4)


def test_nobody_at_all():
    scorer = InfiniteAE().train(two_tastes(), None, rng())
    assert scorer(csr_array((0, 24), dtype=np.float32)).shape == (0, 24)
    log = InteractionLog.from_csr(two_tastes())
    assert InfiniteAE().fit(log).recommend([]) == []


def test_new_users_need_no_training(monkeypatch):
    model = InfiniteAE(ridge=0.5).fit(two_tastes())

    def late(*args, **kwargs):
        raise AssertionError("a system was solved again")

    monkeypatch.setattr(module, "factor", late)
    known, target = held_out(two_tastes(seed=7), seed=7)
    popular = PopRec().fit(two_tastes())
    models = model, popular
    ours, theirs = (measure(m.scorer, known, target, "hr@12") for m in models)
    assert ours > 0.75 > theirs
    assert len(set(model.recommend_history([0, 1, 2], k=6)) & set(range(12))) > 4
    assert set(model.recommend_history([0, 1], k=24)) == set(range(2, 24))


def test_the_input_stays():
    rows, weight = two_tastes(40), np.arange(40.0)
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
def evaluator():
    return Evaluator(load("ml-100k"))


@pytest.mark.data(ML100K)
def test_movielens_100k(evaluator):
    scores = evaluator._test(InfiniteAE(ridge=5.0).fit(evaluator.log).scorer)
    for metric, value in PUBLISHED.items():
        assert 100 * scores[metric] == pytest.approx(value, abs=0.05)


@pytest.mark.data(ML100K)
def test_centers_on_movielens_100k(evaluator):
    """A tenth of the users, all targets: between popularity and all users."""
    log, values = evaluator.log, []
    for model in PopRec(), InfiniteAE(ridge=0.1, centers=94), InfiniteAE():
        scorer = model.fit(log).scorer
        values.append(measure(scorer, log.context, log.test, "ndcg@10"))
    assert values[0] + 0.1 < values[1] < values[2] + 0.005
