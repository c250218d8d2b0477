"""`UserTask`: its small models, what selections see, and what is never read."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array

import multidd
from multidd import seeds
from multidd.learning.kernel_sources import Infinite
from multidd.objectives import GradientMatching
from multidd.parameterizations import Free, GumbelHistories
from multidd.protocols import Picks
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.metrics import measure
from multidd.recsys.models.tuning import tune
from multidd.recsys.tasks.user_batch import Histories
from multidd.recsys.tasks.user_task import UserTask
from multidd.selection.basic import KMeans, Random
from multidd.summary import Card
from tests.recsys.users import ITEMS, changed
from tests.recsys.worlds import rng, two_tastes

# --- the small autoencoder ------------------------------------------------------------


def one_model(task, seed=0):
    return {name: w[0] for name, w in task.weights(rng(seed), 1).items()}


def logits(weights, seen):
    length = seen.norm(dim=1, keepdim=True).clamp(min=1e-12)
    hidden = torch.relu(seen / length @ weights["encoder"].T)
    return hidden, hidden @ weights["decoder"].T


def test_weights_are_he_normal(log):
    weights = UserTask(log, hidden=80).weights(rng(), 3)
    assert weights["encoder"].shape == (3, 80, ITEMS)
    assert weights["decoder"].shape == (3, ITEMS, 80)
    assert weights["encoder"].std() == pytest.approx((2 / ITEMS) ** 0.5, rel=0.05)
    assert weights["decoder"].std() == pytest.approx((2 / 80) ** 0.5, rel=0.05)
    assert not torch.equal(weights["encoder"][0], weights["encoder"][1])


def test_features_are_dense_products(log):
    task = UserTask(log, batch_size=None)
    weights, batch = one_model(task), task.batch(rng())
    expected = logits(weights, batch.seen.dense())
    for ours, theirs in zip(task.features(weights, batch), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    (last,) = task.features(weights, batch, 1)
    torch.testing.assert_close(last, expected[1])


@pytest.mark.parametrize("holdout", [0.0, 0.5])
def test_losses_of_real_users(log, holdout):
    task = UserTask(log, batch_size=None, holdout=holdout)
    weights, batch = one_model(task), task.batch(rng())
    seen, goal = batch.seen.dense(), batch.targets.rows.dense()
    losses = task.losses(weights, batch)
    for row in range(len(batch)):
        scores = logits(weights, seen)[1][row]
        free = torch.ones(ITEMS, dtype=torch.bool) if not holdout else seen[row] == 0
        chances = (scores.exp() / scores[free].exp().sum()).log()
        expected = -(goal[row] * chances)[goal[row] > 0].sum()
        expected = expected * max(1.0, float(goal[row].sum())) ** -0.5
        torch.testing.assert_close(losses[row], expected, rtol=1e-4, atol=1e-5)


def test_losses_of_synthetic_users(log):
    task = UserTask(log)
    weights, x = one_model(task), torch.rand(5, ITEMS, generator=rng())
    losses = task.losses(weights, task.synthetic({"x": x}))
    expected = F.cross_entropy(logits(weights, x)[1], x, reduction="none")
    torch.testing.assert_close(losses, expected)


def test_gradients_can_be_matched(log):
    """The core's other objectives work on users too."""
    task = UserTask(log, batch_size=20, hidden=8)
    form = GumbelHistories(Free(Random(), (4,)), draws=4, sampler="mean")
    result, start = (
        multidd.distill(task, GradientMatching(), form, steps=steps, progress=False)
        for steps in (3, 0)
    )
    assert result.num_users == 4 and len(result.card.history) == 3
    assert result.digest() != start.digest()


# --- selections -----------------------------------------------------------------------


def test_what_selections_compare(log, known):
    records = UserTask(log).records()
    torch.testing.assert_close(records.features, known.sum(1)[:, None].log())
    assert records.labels.tolist() == [0] * 59 and records.num_classes == 1
    wide = UserTask(log, width=ITEMS).records().features
    unit = known / known.norm(dim=1, keepdim=True)
    torch.testing.assert_close(wide @ wide.T, unit @ unit.T, rtol=1e-3, atol=1e-4)
    few = UserTask(log, width=5).records().features
    assert few.shape == (59, 5)
    best = torch.linalg.svdvals(unit)
    torch.testing.assert_close(few.square().sum(), best[:5].square().sum(), rtol=0.01,
                               atol=0)  # fmt: skip
    again = UserTask(log, width=5).records().features
    assert torch.equal(few, again)


@pytest.mark.parametrize("how", [Random(), KMeans()], ids=["users", "means"])
def test_collected_rows_are_weighted_means(log, known, how):
    task = UserTask(log, width=8)
    picks = how.pick(task.records(), (7,), seeds.at(0, "t"))
    result = task.from_selection(picks)
    torch.testing.assert_close(result["x"], picks.weights.to_dense() @ known)
    assert result["y"].tolist() == [0] * 7


def test_a_user_picked_twice(log, known):
    where, values = torch.tensor([[1, 0, 0], [3, 3, 5]]), torch.tensor([1, 0.25, 0.75])
    weights = torch.sparse_coo_tensor(where, values, (2, 59), check_invariants=True)
    result = UserTask(log).from_selection(
        Picks(weights, torch.zeros(2).long(), real=False)
    )
    expected = torch.stack([0.25 * known[3] + 0.75 * known[5], known[3]])
    torch.testing.assert_close(result["x"], expected)


def test_the_summary_of_a_draw(log, known):
    card = Card("mine", {}, 0, log.describe(), {})
    draw = {"x": known[:3].clone().requires_grad_(), "y": torch.zeros(3).long()}
    result = UserTask(log).summary(draw, card)
    assert torch.equal(torch.from_numpy(result.to_csr().toarray()), known[:3])
    assert result.item_ids.tolist() == log.item_ids.tolist()
    assert result.weight.tolist() == [1, 1, 1]
    weighted = draw | {"weight": torch.tensor([1.0, 2.0, 5.0])}
    assert UserTask(log).summary(weighted, card).weight.tolist() == [1, 2, 5]


# --- validation -----------------------------------------------------------------------


def test_the_score_is_that_of_the_best_ridge(log, known):
    """By lists of a tenth of the items: those of 100 would find everything."""
    task, x = UserTask(log), known[::6]
    rows = csr_array(x.numpy())
    model, result = tune(
        InfiniteAE(), rows, None, log.train, log.val, metric="hr@2", rng=rng()
    )
    assert len(set(result.values())) > 1
    assert task.score({"x": x}, rng()) == max(result.values())
    alone = measure(model.fit(rows).scorer, log.train, log.val, "hr@2")
    assert task.score({"x": x}, rng()) == pytest.approx(alone)


@pytest.mark.parametrize("items", [1001, 3000])
def test_the_score_of_many_items(items):
    many = InteractionLog.from_csr(two_tastes(30, items, share=0.02)).split()
    x = torch.from_numpy(many.train.toarray()[:5])
    scores = UserTask(many).score({"x": x}, rng())
    rows = csr_array(x.numpy())
    _, expected = tune(InfiniteAE(), rows, None, many.train, many.val, rng=rng())
    assert scores == max(expected.values())


@pytest.mark.parametrize("depth", [1, 2])
def test_the_ridge_is_the_best_of_those_given(log, known, depth):
    task, ridges = UserTask(log, depth=depth), (1e-5, 50.0, 0.3)
    ridge = task.choose_ridge(
        Infinite(depth), task.synthetic({"x": known[::6]}), ridges
    )
    rows, values = csr_array(known[::6].numpy()), {}
    for each in ridges:
        scorer = InfiniteAE(depth, ridge=each).fit(rows).scorer
        values[each] = measure(scorer, log.train, log.val, "hr@2")
    assert len(set(values.values())) > 1
    assert values[ridge] == max(values.values())


def test_nothing_to_choose_on(log, known):
    part = np.where(log.part == 1, 0, log.part).astype(np.int8)
    bare = UserTask(replace(log, part=part))
    with pytest.raises(ValueError, match="validation data needs some: split the log"):
        bare.score({"x": known[:3]}, rng())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"holdout": 1.0}, "holdout must be 0 or more and below 1, .* got 1.0 and"),
        ({"balance": -1.0}, "balance must be 0 or more; got 0.* and -1.0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, or None; got 0"),
    ],
)
def test_settings_out_of_range(log, settings, message):
    with pytest.raises(ValueError, match=message):
        UserTask(log, **settings)


@pytest.mark.parametrize("holdout", [None, 0.0, 0.5])
def test_some_users_of_a_batch(log, holdout):
    """The losses of some users of a batch are those that they have in the batch."""
    task = UserTask(log, batch_size=None, holdout=holdout or 0.0)
    batch = Histories(task.rows) if holdout is None else task.batch(rng())
    rows, weights = torch.tensor([7, 2]), one_model(task)
    part = task.take(batch, rows)
    torch.testing.assert_close(part.seen.dense(), batch.seen.dense()[rows])
    losses = task.losses(weights, part)
    torch.testing.assert_close(losses, task.losses(weights, batch)[rows])


# --- what is read, what is told -------------------------------------------------------


def test_test_items_are_never_read(log, known):
    """Every use of the task gives the same bits on another test part."""

    def bits(log):
        task = UserTask(log, batch_size=20, width=4)
        batch, x = task.batch(rng()), known[::6]
        other_batch = task.synthetic({"x": x})
        return (
            batch.seen.dense().tolist(),
            batch.targets.rows.dense().tolist(),
            task.records().features.tolist(),
            task.score({"x": x}, rng()),
            task.choose_ridge(Infinite(), other_batch, (1e-3, 1.0)),
            log.fingerprint,
        )

    assert bits(changed(log, 2)) == bits(log)
    assert bits(changed(log, 0)) != bits(log)


def test_the_task_describes_itself(log):
    task = UserTask(log, batch_size=20, width=4, depth=2)
    description = json.loads(json.dumps(task.describe()))
    assert description["data"]["sha256"] == log.fingerprint and description["more"] == 0
    assert (description["batch_size"], description["width"], description["depth"]) == (
        20,
        4,
        2,
    )
    extra = csr_array(np.ones((2, ITEMS), np.float32))
    assert replace(task, extra=extra).describe()["more"] == 48
    assert task.to("cpu").describe() == description
