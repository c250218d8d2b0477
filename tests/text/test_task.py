"""`TextTask`: what the core asks of texts, and how a budget is shared."""

from dataclasses import replace

import pytest
import torch

from multidd import seeds
from multidd.learning.gradients import class_gradients
from multidd.selection.basic import KMeans, Random
from multidd.summary import Card
from multidd.text import TextOptions
from multidd.text.methods.budget import plan
from multidd.text.methods.setup import prepare
from multidd.text.tasks.embedding_task import TextBatch, TextTask
from tests.text import sets


@pytest.fixture(scope="module")
def task():
    some = sets.texts()
    return TextTask(some, sets.encoder().encode(some))


def drawn(task, selection=None, counts=(2, 2, 2)):
    chooser = selection or Random()
    return task.from_selection(
        chooser.pick(task.records(), counts, seeds.at(0, "pick"))
    )


# --- batches ------------------------------------------------------------------


def test_batches_are_whole_uniform_or_by_class(task):
    rng = seeds.at(0, "batch")
    assert len(task.batch(rng).x) == 30
    some = replace(task, batch_size=7).batch(rng)
    assert some.x.shape == (7, task.x.shape[1])
    each = replace(task, batch_size=4, sampler="class").batch(rng)
    assert each.y.bincount().tolist() == [4, 4, 4]
    again = replace(task, batch_size=7).batch(seeds.at(0, "batch"))
    held = task.with_fixed_batch(some).batch(rng)
    assert held is some and len(again.x) == 7


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_some_texts_of_a_batch(task, labels):
    soft = torch.eye(3)[task.y] if labels == "soft" else None
    part = task.take(TextBatch(task.x, task.y, soft), torch.tensor([20, 4]))
    assert torch.equal(part.x, task.x[[20, 4]]) and part.y.tolist() == [1, 0]
    assert part.soft is None or part.soft.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert (part.soft is None) == (labels == "hard")


def test_a_task_moves_with_its_validation_texts(task):
    validated = replace(task, val=(task.x[:3], task.y[:3]))
    other = validated.to("cpu:0")  # not "cpu" by its name, so another task
    assert other is not validated and validated.to("cpu") is validated
    assert other.device == "cpu:0" and other.describe() == validated.describe()
    assert torch.equal(other.val[0], task.x[:3])


def test_rows_of_a_batch_are_those_of_the_texts(task):
    batch = replace(task, batch_size=5).batch(seeds.at(1, "batch"))
    for x, y in zip(batch.x, batch.y, strict=True):
        row = int((task.x - x).square().sum(1).argmin())
        assert task.texts.labels[row] == y


# --- heads --------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [0, 5])
def test_layers_by_hand(task, hidden):
    variant = replace(task, hidden=hidden)
    one = {n: w[0] for n, w in variant.weights(seeds.at(0, "w"), 1).items()}
    batch = variant.batch(seeds.at(0, "b"))
    x = batch.x
    if hidden:
        x = torch.relu(x @ one["inner"].T + one["inner_bias"])
    logits = x @ one["weight"].T + one["bias"]
    inside, outside = variant.features(one, batch)
    assert torch.allclose(inside, x) and torch.allclose(outside, logits)
    expected = torch.nn.functional.cross_entropy(logits, batch.y, reduction="none")
    assert torch.allclose(variant.losses(one, batch), expected, atol=1e-6)
    assert len(variant.features(one, batch, 1)) == 1


def test_closed_form_gradients_are_those_of_autograd(task):
    weights = task.weights(seeds.at(0, "w"), 3)
    batch = task.synthetic(drawn(task))
    closed = class_gradients(task, weights, batch)

    class Open(TextTask):
        def linear_features(self, batch):
            return None

    opened = Open(task.texts, task.x)
    assert opened.linear_features(batch) is None
    for name, gradient in class_gradients(opened, weights, batch).items():
        assert torch.allclose(gradient, closed[name], atol=1e-6)


def test_no_closed_form_beside_the_linear_softmax_head(task):
    batch = task.synthetic(drawn(task))
    assert replace(task, hidden=4).linear_features(batch) is None
    assert replace(task, loss="mse").linear_features(batch) is None


# --- summaries ----------------------------------------------------------------


def card(task):
    return Card("mine", {}, 0, task.describe()["data"], {})


def test_real_picks_keep_their_texts(task):
    draw = drawn(task)
    result = task.summary(draw, card(task))
    assert result.texts == task.texts.take(draw["source"]).texts
    assert torch.equal(result.tensors["x"], task.x[draw["source"]])
    assert result.tensors["y"].tolist() == task.texts.labels[draw["source"]].tolist()


def test_what_is_learned_or_averaged_has_none(task):
    assert task.summary(drawn(task, KMeans()), card(task)).texts is None
    bare = replace(task, keep_texts=False)
    assert bare.summary(drawn(bare), card(bare)).texts is None


def test_pairs_stay_pairs():
    some = sets.pairs()
    task = TextTask(some, sets.encoder().encode(some))
    result = task.summary(drawn(task), card(task))
    assert result.pairs == some.take(result.tensors["source"]).pairs


def test_weights_count_the_nearest_texts(task):
    draw = drawn(task)
    weight = replace(task, weigh=True).summary(draw, card(task)).weight
    count = torch.zeros(6)
    for x, y in zip(task.x, task.y, strict=True):
        apart = (draw["x"] - x).square().sum(1)
        apart[draw["y"] != y] = torch.inf
        count[apart.argmin()] += 1
    assert torch.allclose(weight, count / count.mean())


def test_the_score_needs_validation_texts(task):
    with pytest.raises(ValueError, match="validation texts"):
        task.score(drawn(task), seeds.at(0, "s"))
    variant = replace(task, val=(task.x, task.y))
    everything = {"x": task.x, "y": task.y}
    assert variant.score(everything, seeds.at(0, "s")) > 0.9


def test_the_description_changes_with_the_features(task):
    description = task.describe()
    assert (
        description["data"]["names"] == list(sets.CLASSES)
        and description["data"]["d"] == 32
    )
    moved = replace(task, x=task.x + 1e-3)
    assert moved.describe()["features"] != description["features"]
    assert moved.describe()["data"] == description["data"]


def test_features_that_do_not_fit(task):
    with pytest.raises(ValueError, match="hidden must be 0 or more, got -1"):
        replace(task, hidden=-1)
    with pytest.raises(ValueError, match="one row for each text"):
        TextTask(task.texts, task.x[:5])
    broken = task.x.clone()
    broken[3, 0] = torch.nan
    with pytest.raises(ValueError, match=r"features of 1 texts .* of text 3"):
        TextTask(task.texts, broken)


# --- budgets ------------------------------------------------------------------


@pytest.mark.parametrize(
    "total, expected", [(3, (1, 1, 1)), (15, (6, 5, 4)), (30, (12, 10, 8))]
)
def test_a_total_is_shared_by_size(total, expected):
    assert plan(sets.texts(), None, total) == expected


@pytest.mark.parametrize(
    "per_class, total, message",
    [
        (None, None, "one of them; got None and None"),
        (1, 6, "one of them; got 1 and 6"),
        (9, None, "from 1 to 8, .* smallest class .'number'.; got 9"),
        (0, None, "from 1 to 8"),
        (None, 2, "from 3 .* to 30 .all.; got 2"),
        (None, 31, "got 31"),
    ],
)
def test_budgets_that_do_not_fit(per_class, total, message):
    with pytest.raises(ValueError, match=message):
        plan(sets.texts(), per_class, total)
    with pytest.raises(TypeError, match="whole number"):
        plan(sets.texts(), 1.5, None)


def test_a_class_without_texts_is_refused():
    some = sets.texts()
    with pytest.raises(ValueError, match="no training texts of 'number'"):
        plan(some.take(some.labels < 2), 1, None)


def test_preparing_holds_out_and_tells_the_encoder():
    result = prepare(
        sets.texts(),
        2,
        encoder=sets.encoder(),
        options=TextOptions(val_share=0.2),
        hold_out=True,
    )
    assert len(result.task.texts) == 24 and len(result.task.val[1]) == 6
    assert result.settings["encoder"]["key"] == sets.encoder().key
    assert result.settings["kernel"][
        "kind"
    ] == "rbf" and result.parameterization.counts == (2, 2, 2)
