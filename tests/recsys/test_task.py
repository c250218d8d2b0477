"""`UserTask`: real users at a step, what selections see, and what is never read."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array

import multidd
from multidd import seeds
from multidd.kernels import SparseRows
from multidd.learning.grams import Infinite
from multidd.objectives import GradientMatching
from multidd.parameterizations import Free, GumbelHistories
from multidd.protocols import Picks
from multidd.recsys import task as module
from multidd.recsys.batch import Histories
from multidd.recsys.infinite_ae import InfiniteAE
from multidd.recsys.log import InteractionLog
from multidd.recsys.metrics import measure
from multidd.recsys.task import UserTask
from multidd.recsys.tuning import tune
from multidd.selection import KMeans, Random
from multidd.summary import Card
from tests.recsys.worlds import two_tastes

ITEMS = 24


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(rows):
    return rows.dense() if isinstance(rows, SparseRows) else rows


@pytest.fixture(scope="module")
def log():
    """Sixty users; the third has nothing in the training part."""
    whole = InteractionLog.from_csr(two_tastes()).split(seed=1)
    part = whole.part.copy()
    part[whole.indptr[2] : whole.indptr[3]] = 2
    return replace(whole, part=part)


@pytest.fixture(scope="module")
def known(log):
    """`[59, I]`, training histories with an item."""
    return torch.from_numpy(np.delete(log.train.toarray(), 2, axis=0))


def picked(x, rows):
    """The row of x that each of some rows is."""
    equal = (rows[:, None] == x).all(2)
    assert (equal.sum(1) >= 1).all()
    return equal.float().argmax(1)


# --- real users at a step -------------------------------------------------------------


def test_rows_are_training_histories(log, known):
    task = UserTask(log)
    assert torch.equal(task.rows.dense(), known)
    assert task.num_items == ITEMS and task.num_classes == 1
    extra = csr_array(np.eye(ITEMS, dtype=np.float32)[:3] * 0.5)
    more = replace(task, extra=extra).rows.dense()
    assert torch.equal(more, torch.cat([known, torch.from_numpy(extra.toarray())]))


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_all_from_all(log, known, balance):
    task = UserTask(log, batch_size=None, holdout=0.0, balance=balance)
    batch = task.batch(rng())
    assert torch.equal(batch.seen.dense(), known)
    assert torch.equal(batch.targets.rows.dense(), known)
    assert batch.targets.hidden is None
    torch.testing.assert_close(batch.targets.weights, known.sum(1) ** -balance)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_every_interaction_is_on_one_side(log, known, share):
    task = UserTask(log, batch_size=None, holdout=share)
    wanted = 0.0
    for seed in range(20):
        batch = task.batch(rng(seed))
        seen, goal = batch.seen.dense(), batch.targets.rows.dense()
        assert torch.equal(seen + goal, known)
        assert not (seen * goal).any()
        assert torch.equal(batch.targets.hidden.dense(), seen)
        wanted += float(goal.sum() / known.sum()) / 20
    assert wanted == pytest.approx(share, abs=0.02)


def test_sides_are_drawn_for_each_interaction(log, known):
    """Not so many of each user: the halves vary as coins do."""
    task = UserTask(log, batch_size=None, holdout=0.5)
    drawn = torch.stack([task.batch(rng(s)).seen.dense() for s in range(300)])
    each = drawn.mean(0)[known > 0]
    assert each.min() > 0.35 and each.max() < 0.65
    spread = drawn.sum(2).var(0)
    ratio = spread / (known.sum(1) / 4)
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)


def test_balance_by_hand():
    log = InteractionLog.from_csr(csr_array([[1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]))
    task = UserTask(log, batch_size=None, holdout=0.6, balance=0.5)
    seen = set()
    for seed in range(40):
        aims = task.batch(rng(seed)).targets
        for count, weight in zip(aims.rows.counts, aims.weights, strict=True):
            assert float(weight) == pytest.approx(max(1, int(count)) ** -0.5)
            seen.add(int(count))
    assert {0, 1, 2, 3, 4} <= seen  # users of whom nothing is left count too


def test_the_generator_decides(log):
    task = UserTask(log, batch_size=20)
    one, same, other = (task.batch(rng(seed)) for seed in (3, 3, 4))
    assert torch.equal(one.seen.dense(), same.seen.dense())
    assert torch.equal(one.targets.rows.dense(), same.targets.rows.dense())
    assert not torch.equal(one.seen.dense(), other.seen.dense())


@pytest.fixture(scope="module")
def distinct():
    """Forty users, no two alike."""
    bits = np.arange(1, 41)[:, None] >> np.arange(6) & 1
    return InteractionLog.from_csr(csr_array(bits.astype(np.float32)))


@pytest.mark.parametrize("size", [1, 7, 39, 40, 1000])
def test_users_of_a_batch(distinct, size):
    task = UserTask(distinct, batch_size=size, holdout=0.0)
    seen, x = set(), task.rows.dense()
    for seed in range(60):
        found = picked(x, task.batch(rng(seed)).seen.dense()).tolist()
        assert len(found) == len(set(found)) == min(size, 40)
        seen |= set(found)
    assert len(seen) > 25


def test_users_of_many_come_again(distinct, monkeypatch):
    monkeypatch.setattr(module, "MANY", 39)
    task = UserTask(distinct, batch_size=30, holdout=0.0)
    x, counts = task.rows.dense(), torch.zeros(40)
    for seed in range(200):
        found = picked(x, task.batch(rng(seed)).seen.dense())
        assert len(found) == 30 > len(found.unique())
        counts += torch.bincount(found, minlength=40)
    assert counts.min() > 100 and counts.max() < 200  # 150 each


def test_a_batch_that_is_held(log):
    task = UserTask(log, batch_size=5)
    batch = task.batch(rng())
    held = task.holding(batch)
    assert held.batch(rng(7)) is batch and task.held is None


@pytest.mark.parametrize("holdout", [0.0, 0.5])
def test_some_users_of_a_batch(log, holdout):
    task = UserTask(log, batch_size=None, holdout=holdout)
    batch, rows = task.batch(rng()), torch.tensor([4, 0, 4, 58])
    some = task.take(batch, rows)
    assert len(some) == 4
    assert torch.equal(some.seen.dense(), batch.seen.dense()[rows])
    aims, all_aims = some.targets, batch.targets
    assert torch.equal(aims.rows.dense(), all_aims.rows.dense()[rows])
    assert torch.equal(aims.weights, all_aims.weights[rows])
    if holdout:
        assert torch.equal(aims.hidden.dense(), all_aims.hidden.dense()[rows])
    made = task.synthetic({"x": torch.rand(5, ITEMS, generator=rng())})
    part = task.take(made, rows[1:3])
    assert torch.equal(part.seen, made.seen[rows[1:3]]) and part.targets is None
    classes = task.classes(some)
    assert classes.mass.tolist() == [4.0] and task.view(rng())(some) is some


def test_inputs_and_targets(log):
    task = UserTask(log, batch_size=None)
    real = task.batch(rng())
    assert task.inputs(real) is real.seen and task.targets(real) is real.targets
    x = torch.rand(5, ITEMS, generator=rng())
    made = task.synthetic({"x": x})
    assert task.inputs(made) is x and task.targets(made) is x
    bare = Histories(real.seen)
    assert torch.equal(task.targets(bare), real.seen.dense())


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
    wanted = logits(weights, batch.seen.dense())
    for ours, theirs in zip(task.features(weights, batch), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    (last,) = task.features(weights, batch, 1)
    torch.testing.assert_close(last, wanted[1])


@pytest.mark.parametrize("holdout", [0.0, 0.5])
def test_losses_of_real_users(log, holdout):
    task = UserTask(log, batch_size=None, holdout=holdout)
    weights, batch = one_model(task), task.batch(rng())
    seen, goal = batch.seen.dense(), batch.targets.rows.dense()
    found = task.losses(weights, batch)
    for row in range(len(batch)):
        scores = logits(weights, seen)[1][row]
        free = torch.ones(ITEMS, dtype=torch.bool) if not holdout else seen[row] == 0
        chances = (scores.exp() / scores[free].exp().sum()).log()
        wanted = -(goal[row] * chances)[goal[row] > 0].sum()
        wanted = wanted * max(1.0, float(goal[row].sum())) ** -0.5
        torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-5)


def test_losses_of_synthetic_users(log):
    task = UserTask(log)
    weights, x = one_model(task), torch.rand(5, ITEMS, generator=rng())
    found = task.losses(weights, task.synthetic({"x": x}))
    wanted = F.cross_entropy(logits(weights, x)[1], x, reduction="none")
    torch.testing.assert_close(found, wanted)


def test_gradients_can_be_matched(log):
    """The core's other objectives work on users too."""
    task = UserTask(log, batch_size=20, hidden=8)
    form = GumbelHistories(Free(Random(), (4,)), draws=4, sampler="mean")
    made, start = (
        multidd.distill(task, GradientMatching(), form, steps=steps, progress=False)
        for steps in (3, 0)
    )
    assert made.num_users == 4 and len(made.card.history) == 3
    assert made.digest() != start.digest()


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
    found = task.collect(picks)
    torch.testing.assert_close(found["x"], picks.weights.to_dense() @ known)
    assert found["y"].tolist() == [0] * 7


def test_a_user_picked_twice(log, known):
    where, values = torch.tensor([[1, 0, 0], [3, 3, 5]]), torch.tensor([1, 0.25, 0.75])
    weights = torch.sparse_coo_tensor(where, values, (2, 59), check_invariants=True)
    found = UserTask(log).collect(Picks(weights, torch.zeros(2).long(), real=False))
    wanted = torch.stack([0.25 * known[3] + 0.75 * known[5], known[3]])
    torch.testing.assert_close(found["x"], wanted)


def test_the_summary_of_a_draw(log, known):
    card = Card("mine", {}, 0, log.describe(), {})
    draw = {"x": known[:3].clone().requires_grad_(), "y": torch.zeros(3).long()}
    made = UserTask(log).summary(draw, card)
    assert torch.equal(torch.from_numpy(made.to_csr().toarray()), known[:3])
    assert made.item_ids.tolist() == log.item_ids.tolist()
    assert made.weight.tolist() == [1, 1, 1]
    weighted = draw | {"weight": torch.tensor([1.0, 2.0, 5.0])}
    assert UserTask(log).summary(weighted, card).weight.tolist() == [1, 2, 5]


# --- validation -----------------------------------------------------------------------


def test_the_score_is_that_of_the_best_ridge(log, known):
    task, x = UserTask(log), known[::6]
    rows = csr_array(x.numpy())
    model, found = tune(InfiniteAE(), rows, None, log.train, log.val, rng=rng())
    assert task.score({"x": x}, rng()) == max(found.values())
    alone = measure(model.fit(rows).scorer, log.train, log.val, "hr@100")
    assert task.score({"x": x}, rng()) == pytest.approx(alone)


@pytest.mark.parametrize("depth", [1, 2])
def test_the_ridge_is_the_best_of_those_given(log, known, depth, monkeypatch):
    # At lists of 100 of 24 items all are equal: short ones are looked at instead.
    found = []

    def short(*args, **options):
        found.append(tune(*args, **options, metric="hr@5"))
        return found[-1]

    monkeypatch.setattr(module, "tune", short)
    task, ridges = UserTask(log, depth=depth), (1e-5, 50.0, 0.3)
    made = task.synthetic({"x": known[::6]})
    ridge = task.choose_ridge(Infinite(depth), made, ridges)
    rows, values = csr_array(known[::6].numpy()), {}
    for each in ridges:
        scorer = InfiniteAE(depth, ridge=each).fit(rows).scorer
        values[each] = measure(scorer, log.train, log.val, "hr@5")
    assert len(set(values.values())) > 1
    assert values[ridge] == max(values.values())
    told = {model.ridge: value for model, value in found[0][1].items()}
    assert told == pytest.approx(values)


def test_nothing_to_choose_on(log, known):
    part = np.where(log.part == 1, 0, log.part).astype(np.int8)
    bare = UserTask(replace(log, part=part))
    with pytest.raises(ValueError, match="validation data needs some: split the log"):
        bare.score({"x": known[:3]}, rng())


# --- what is read, what is told -------------------------------------------------------


def changed(log, part):
    """The same log with other items in a part: each user's moved on by one."""
    matrices = [log.train, log.val, log.test]
    taken = sum(m.toarray() for i, m in enumerate(matrices) if i != part)
    moved = np.roll(matrices[part].toarray(), 1, axis=1) * (taken == 0)
    assert (moved != matrices[part].toarray()).any()
    parts = [moved if i == part else m.toarray() for i, m in enumerate(matrices)]
    numbers = sum((i + 1) * x for i, x in enumerate(parts))
    whole = InteractionLog.from_csr(csr_array(numbers))
    return replace(whole, part=(whole.rating - 1).astype(np.int8), rating=None)


def test_test_items_are_never_read(log, known):
    """Every use of the task gives the same bits on another test part."""

    def bits(log):
        task = UserTask(log, batch_size=20, width=4)
        batch, x = task.batch(rng()), known[::6]
        made = task.synthetic({"x": x})
        return (
            batch.seen.dense().tolist(),
            batch.targets.rows.dense().tolist(),
            task.records().features.tolist(),
            task.score({"x": x}, rng()),
            task.choose_ridge(Infinite(), made, (1e-3, 1.0)),
            log.fingerprint,
        )

    assert bits(changed(log, 2)) == bits(log)
    assert bits(changed(log, 0)) != bits(log)


def test_the_task_describes_itself(log):
    task = UserTask(log, batch_size=20, width=4, depth=2)
    told = json.loads(json.dumps(task.describe()))
    assert told["data"]["sha256"] == log.fingerprint and told["more"] == 0
    assert (told["batch_size"], told["width"], told["depth"]) == (20, 4, 2)
    extra = csr_array(np.ones((2, ITEMS), np.float32))
    assert replace(task, extra=extra).describe()["more"] == 48
    assert task.to("cpu").describe() == told
