"""Every model under one set of tests, and what only some of them do."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from multidd.recsys.data.log import InteractionLog
from multidd.recsys.models.als import ALS
from multidd.recsys.models.base import backed, checked, fit
from multidd.recsys.models.ease import EASE
from multidd.recsys.models.itemknn import ItemKNN
from multidd.recsys.models.lightgcn import LightGCN, _discrete
from multidd.recsys.models.metrics import measure
from multidd.recsys.models.multvae import MultVAE
from multidd.recsys.models.poprec import PopRec
from tests.recsys.worlds import ML100K, held_out, ml100k, rng, two_tastes

MODELS = {
    "pop": PopRec(),
    "ease": EASE(ridge=5.0),
    "knn": ItemKNN(neighbours=8, shrink=1.0),
    "als": ALS(factors=4, ridge=2.0, sweeps=5),
    "multvae": MultVAE(hidden=32, latent=8, updates=150, lr=5e-3, batch=30),
    "lightgcn": LightGCN(factors=8, updates=150, lr=0.05, batch=256),
}
PERSONAL = [name for name in MODELS if name != "pop"]
each = pytest.mark.parametrize("name", MODELS)


def fractional():
    """Twelve rows, all entries above zero, six of each taste."""
    return csr_array(two_tastes(12, 24).toarray() * 0.8 + 0.05)


@each
@pytest.mark.parametrize("kind", ["ones", "fractional"])
def test_scores_are_finite_for_any_history(name, kind):
    rows = two_tastes() if kind == "ones" else fractional()
    before = rows.copy()
    scorer = MODELS[name].train(rows, None, rng())
    histories = csr_array(np.r_[np.zeros((1, 24)), np.ones((1, 24)), np.eye(24)])
    scores = scorer(histories)
    assert scores.shape == (26, 24) and scores.dtype == torch.float32
    assert bool(torch.isfinite(scores).all())
    assert (rows != before).nnz == 0


@each
def test_the_generator_decides(name):
    rows, histories = two_tastes(20), two_tastes(5, seed=1)
    one, same, other = (
        MODELS[name].train(rows, None, rng(seed))(histories) for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    drawn = name in ("als", "multvae", "lightgcn")
    assert torch.equal(one, other) != drawn


@pytest.mark.parametrize("name", PERSONAL)
@pytest.mark.parametrize("kind", ["ones", "fractional"])
def test_new_users_are_served_by_their_taste(name, kind):
    rows = two_tastes() if kind == "ones" else fractional()
    known, target = held_out(two_tastes(seed=7), seed=7)
    metrics = measure(MODELS[name].train(rows, None, rng()), known, target, "hr@12")
    popular = measure(PopRec().train(rows, None, rng()), known, target, "hr@12")
    assert metrics > 0.75 > popular


@each
def test_a_history_that_tells_nothing_gets_what_is_popular(name):
    rows = two_tastes().toarray()
    rows[:, 23] = 0  # nobody in training has the last item
    history = np.zeros((2, 24))
    history[1, 23] = 1
    scorer = MODELS[name].train(csr_array(rows), None, rng())
    order = scorer(csr_array(history)).argsort(dim=1, descending=True, stable=True)
    expected = (-rows.sum(0)).argsort(kind="stable")
    assert order.tolist() == [expected.tolist()] * 2


@each
def test_weights_count(name):
    # Rows of the second taste weigh nothing: items of the first are what is known.
    rows, weight = two_tastes(20), np.r_[np.ones(10), np.zeros(10)]
    scores = MODELS[name].train(rows, weight, rng())(csr_array((1, 24)))[0]
    assert float(scores[:12].mean()) > 3 * float(scores[12:].mean())


@each
def test_settings_out_of_grid_and_repr(name):
    model = MODELS[name]
    assert repr(model).startswith(f"{type(model).__name__}(")
    assert len(set(model.grid)) == len(model.grid) >= 1
    assert hash(model) == hash(type(model)(**vars(model)))


@pytest.mark.parametrize("name", ["multvae", "lightgcn", "knn", "als"])
def test_a_whole_grid_is_each_of_its_members(name):
    from multidd import seeds

    rows, histories = two_tastes(20), two_tastes(3, seed=2)
    members = list(MODELS[name].train_grid(rows, None, 3))
    for member, scorer in members[:: max(1, len(members) - 1)]:
        alone = member.train(rows, None, seeds.at(3, "train"))(histories)
        torch.testing.assert_close(scorer(histories), alone)


def test_als_folds_in_what_it_trained_on():
    rows, model = two_tastes(), MODELS["als"]
    items = torch.randn(24, 4, generator=rng())
    result = model._solve(rows, items)
    x, v = torch.from_numpy(rows.toarray())[7], items
    scale = torch.diag(1 + model.confidence * x)
    left = v.T @ scale @ v + model.ridge * torch.eye(4)
    expected = torch.linalg.solve(left, v.T @ scale @ x)
    torch.testing.assert_close(result[7], expected, rtol=1e-4, atol=1e-5)


def test_lightgcn_ranks_all_where_chance_hides_none():
    rows = two_tastes(20)
    model = LightGCN(factors=4, hidden=1e-12, updates=2, batch=16)
    run = model.begin(rows, None, rng())
    loss = run.loss()
    assert torch.isfinite(loss) and 0.3 < float(loss) < 1.0  # log 2 at the start


def test_item_knn_by_hand():
    rows = csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1]])
    scores = ItemKNN(neighbours=2, shrink=1.0).fit(rows).scores(csr_array([[0, 1, 0]]))
    root2, root3 = 2**0.5, 3**0.5
    expected = [2 / (root2 * root3 + 1), 0.0, 1 / (root3 + 1)]
    assert scores[0].tolist() == pytest.approx(expected)


def test_fractions_are_chances_of_an_item():
    rows = csr_array(np.full((2000, 5), [0.1, 0.5, 0.9, 0.0, 2.0], dtype=np.float32))
    result = _discrete(rows, rng()).toarray()
    assert set(np.unique(result)) == {0.0, 1.0}
    assert result.mean(0) == pytest.approx([0.1, 0.5, 0.9, 0.0, 1.0], abs=0.04)
    faint = csr_array(np.full((9, 3), [1e-6, 3e-6, 2e-6], dtype=np.float32))
    assert _discrete(faint, rng()).toarray().tolist() == [[0, 1, 0]] * 9


@pytest.mark.parametrize(
    "cls, inputs",
    [
        (ItemKNN, {"neighbours": 0}),
        (ItemKNN, {"shrink": -1.0}),
        (ALS, {"factors": 0}),
        (ALS, {"ridge": 0.0}),
        (MultVAE, {"dropout": 1.0}),
        (MultVAE, {"updates": 0}),
        (MultVAE, {"lr": 0.0}),
        (LightGCN, {"hidden": 0.0}),
        (LightGCN, {"batch": 0}),
        (LightGCN, {"decay": -1.0}),
    ],
    ids=lambda value: getattr(value, "__name__", None) or next(iter(value)),
)
def test_settings_out_of_range_are_refused(cls, inputs):
    with pytest.raises(ValueError, match=next(iter(inputs))):
        cls(**inputs)


# --- the recommender ----------------------------------------------------------


@pytest.fixture
def log():
    ids = np.array([f"film {i}" for i in range(24)], dtype=object)
    result = InteractionLog.from_csr(two_tastes(80), item_ids=ids)
    return result.split(seed=1)


def test_a_log_is_recommended_new_items_by_their_own_ids(log):
    model = EASE(ridge=5.0).fit(log)
    users = log.user_ids[[3, 60]].tolist()
    for user, items in zip(users, model.recommend(users, k=24), strict=True):
        known = log.context[log.user_index([user])].toarray()[0] > 0
        assert set(items) == set(log.item_ids[~known].tolist())
    scores = model.predict(users)
    torch.testing.assert_close(scores, model.scores(log.context[[3, 60]]))
    assert repr(model) == (
        "Recommender(EASE(ridge=5.0, form='auto'), items=24, users=80)"
    )


def test_a_history_needs_no_training(log):
    model = EASE(ridge=5.0).fit(log)
    items = model.recommend_history(["film 1", "film 2"], k=3)
    assert len(items) == 3 and set(items) <= {f"film {i}" for i in range(12)}
    popular = log.item_ids[(-log.train.sum(axis=0)).argmin()]
    assert model.recommend_history([], k=1) == [popular]
    with pytest.raises(ValueError, match="1 of 2 items are not known: 'film 99'"):
        model.recommend_history(["film 1", "film 99"])


def test_training_sees_the_training_part_only(log):
    one = EASE(ridge=5.0).fit(log).scores(log.context)
    two = EASE(ridge=5.0).fit(log.train).scores(log.context)
    torch.testing.assert_close(one, two)


def test_a_model_of_a_matrix_serves_a_log(log):
    model = EASE(ridge=5.0).fit(csr_array(fractional()))
    with pytest.raises(ValueError, match="knows no users"):
        model.recommend([0])
    with pytest.raises(ValueError, match="24 items and the recommender 24, 0 of them"):
        model.on(log)
    plain = InteractionLog.from_csr(log.matrix)
    assert len(model.on(plain).recommend([0, 1], k=3)) == 2
    with pytest.raises(ValueError, match="histories must be"):
        model.scores(csr_array((1, 5)))


def test_data_that_cannot_be_trained_on():
    with pytest.raises(TypeError, match="got list"):
        fit(PopRec(), [[1, 0]])
    for rows, weight in (
        (csr_array((2, 3)), None),
        (csr_array([[1.0, -1.0]]), None),
        (csr_array([[1.0, np.nan]]), None),
        (csr_array([[1.0, 1.0]]), np.zeros(1)),
        (csr_array([[1.0, 1.0]]), np.ones(2)),
        (csr_array([[1.0, 1.0]]), np.array([-1.0])),
    ):
        with pytest.raises(ValueError, match="training needs|must be finite"):
            checked(rows, weight)


def test_what_backs_a_scorer_leaves_other_rows_alone():
    scorer = backed(lambda rows: torch.ones(rows.shape), np.float32([0, 2, 1]))
    scores = scorer(csr_array([[1, 0, 0], [0, 1, 0], [0, 0, 0]]))
    assert scores.tolist() == [[0, 2, 1], [1, 1, 1], [0, 2, 1]]


# --- on real histories --------------------------------------------------------

FLOORS = {
    ItemKNN(neighbours=100, shrink=0.0): 0.295,
    ALS(sweeps=4): 0.31,
    MultVAE(hidden=100, latent=50, updates=100, batch=200, lr=4e-3): 0.27,
}


@pytest.mark.data(ML100K)
@pytest.mark.parametrize("model", FLOORS, ids=lambda model: type(model).__name__)
def test_movielens_100k(data_root, model):
    train, val, test = ml100k(data_root)
    scorer = model.fit(train).scorer
    metrics = measure(scorer, csr_array(train + val), test, "ndcg@10")
    assert metrics > FLOORS[model]
