"""Token vectors, labels and step sizes learned through the training on them."""

from dataclasses import replace

import pytest
import torch

from multidd import RunOptions
from multidd.errors import DivergedError
from multidd.seeds import at
from multidd.summary import Card
from multidd.text import (
    AttentionLabelsOptions,
    FineTuned,
    StaticTable,
    TBPTTOptions,
    attention_labels,
    learner,
    load,
    replay,
    tbptt,
)
from multidd.text.tasks.token_batch import Shown
from multidd.text.tasks.token_task import TokenTask
from tests.text import tiny
from tests.text.films import ENCODER, TEXTS, table

STATIC = table()
FAST = TBPTTOptions(syn_steps=4, length=5, lr=0.1, batch_size=None)


def accuracy(summary, net, settings, texts, models: int = 5) -> float:
    weights = replay(net, summary, table=settings, models=models, seed=7)
    task, shown = TokenTask(TEXTS, settings, net), Shown.of(texts, settings, False)
    each = [{n: w[k] for n, w in weights.items()} for k in range(models)]
    return sum(task.accuracy(one, shown) for one in each) / models


@pytest.mark.parametrize(
    "name",
    ["textcnn", pytest.param("lstm", marks=pytest.mark.full), "gru", "linear"],
)
def test_fresh_networks_learn_from_the_learned_steps(name: str) -> None:
    sizes = {"textcnn": {"filters": 8}, "lstm": {"hidden": 6}, "gru": {"hidden": 6}}
    net = learner(name, **sizes.get(name, {}))
    options = replace(FAST, model=net, lr_net=0.3)
    start, result = (
        tbptt(TEXTS, 1, encoder=STATIC, steps=n, options=options) for n in (0, 60)
    )
    assert sum(result.card.history[-5:]) < 0.9 * sum(result.card.history[:5])
    assert accuracy(result, net, STATIC, TEXTS) > accuracy(start, net, STATIC, TEXTS)
    rates = result.card.settings["learned"]["rate"]
    assert len(rates) == 4 and min(rates) > 0 and max(rates) != min(rates)


def test_labels_are_real_numbers_or_probabilities() -> None:
    options = replace(FAST, model=learner("linear"))
    real, simplex, hard = (
        tbptt(TEXTS, 1, encoder=STATIC, steps=5, options=replace(options, **labels))
        for labels in ({}, {"label_space": "simplex"}, {"labels": "hard"})
    )
    assert not torch.allclose(real.tensors["y_soft"].sum(1), torch.ones(2))
    assert torch.allclose(simplex.tensors["y_soft"].sum(1), torch.ones(2))
    assert real.card.labels == "soft" and "y_soft" not in hard.tensors
    assert hard.card.labels == "hard"


def test_a_window_of_the_steps_and_a_network_of_one_s_own() -> None:
    net = learner("mlp", hidden=(4,))
    summary = tbptt(
        TEXTS,
        1,
        encoder=STATIC,
        steps=2,
        options=replace(FAST, model=net, window=2, num_models=2),
    )
    assert summary.card.settings["window"] == 2
    assert summary.card.settings["learner"]["kind"] == "MeanVectors"
    named = tbptt(
        TEXTS, 1, encoder=STATIC, steps=1, options=replace(FAST, model="linear")
    )
    assert len(replay(learner("linear"), named, table=STATIC)["head.bias"]) == 1


def test_through_an_encoder_s_vectors() -> None:
    """Networks on the token embeddings of a transformer, without the transformer."""
    options = replace(FAST, model="linear")
    summary = tbptt(TEXTS, 1, encoder=ENCODER, steps=2, options=options)
    assert summary.card.settings["table"]["kind"] == "encoder"


@pytest.mark.parametrize("project", ["straight_through", "softmax", "gumbel"])
def test_vectors_that_are_words(project: str) -> None:
    options = replace(FAST, model="linear", project=project)
    summary = tbptt(TEXTS, 1, encoder=STATIC, steps=3, options=options)
    mask = summary.tensors["mask"] != 0
    rows = STATIC.restricted(TEXTS).vectors[summary.tensors["ids"]]
    assert torch.equal(summary.tensors["x"][mask], rows[mask])


def test_attention_labels_lower_the_loss_of_fresh_heads() -> None:
    result = attention_labels(
        TEXTS,
        1,
        encoder=ENCODER,
        steps=40,
        options=AttentionLabelsOptions(
            warmup_steps=0, length=6, lr=0.05, batch_size=None
        ),
    )
    history = result.card.history
    assert sum(history[-5:]) < 0.95 * sum(history[:5])
    assert result.tensors["attention"].shape == (2, 2, 4, 6)
    start = attention_labels(
        TEXTS,
        1,
        encoder=ENCODER,
        steps=0,
        options=AttentionLabelsOptions(warmup_steps=0, length=6),
    )
    moved = result.tensors["attention"] - start.tensors["attention"]
    assert bool(moved.abs().max() > 0)
    without = attention_labels(
        TEXTS,
        1,
        encoder=ENCODER,
        steps=1,
        options=AttentionLabelsOptions(warmup_steps=1, length=6, attention=0),
    )
    assert "attention" not in without.tensors


@pytest.mark.parametrize("used_first", [False, True])
def test_a_run_goes_on_with_an_encoder_that_was_used(tmp_path, used_first) -> None:
    """Modules that an encoder keeps for later are no settings of the run."""

    def run(encoder, **options):
        few = AttentionLabelsOptions(warmup_steps=2, length=6)
        settings = RunOptions(**options)
        return attention_labels(
            TEXTS,
            1,
            encoder=encoder,
            steps=4,
            options=few,
            progress=False,
            checkpoint=tmp_path if options else None,
            run=settings,
        )

    used, fresh = tiny.encoder(), tiny.encoder()
    whole = run(used)
    assert used._shells and not fresh._shells
    first, second = (used, fresh) if used_first else (fresh, used)
    half = run(first, timeout=0.0)
    assert len(half.card.history) == 1
    again = run(second, timeout=1000.0)
    assert again.digest() == whole.digest()
    assert again.card.settings == whole.card.settings


def test_the_set_is_learned_for_heads_on_the_frozen_encoder_first() -> None:
    """Heads after the steps, on features that are not of length one, label better."""
    encoder = replace(ENCODER, normalize=False)
    frozen = FineTuned(ENCODER, frozen=True)
    shown, results = Shown.of(TEXTS, encoder, False), []
    for warm in (0, 40):
        options = AttentionLabelsOptions(warmup_steps=warm, length=6, lr_net=0.5)
        result = attention_labels(TEXTS, 1, encoder=ENCODER, steps=0, options=options)
        settings = dict(result.card.settings) | {"attention": 0.0, "pace": 1.0}
        settings |= {"learned": {"rate": [0.5]}}
        card = Card(**vars(result.card) | {"settings": settings})
        weights = replay(frozen, type(result)(result.tensors, card), models=5)
        task = TokenTask(TEXTS, encoder, frozen)
        each = [{n: w[k] for n, w in weights.items()} for k in range(5)]
        results.append(sum(task.accuracy(one, shown) for one in each) / 5)
    assert results[1] > results[0] + 0.1
    assert result.card.settings["warm"] == 40 and result.card.labels == "soft"


def test_the_encoder_moves_by_its_pace() -> None:
    whole, part = (
        attention_labels(
            TEXTS,
            1,
            encoder=ENCODER,
            steps=0,
            options=AttentionLabelsOptions(
                warmup_steps=0, length=6, pace=pace, attention=0
            ),
        )
        for pace in (1.0, 0.25)
    )
    net, moves = FineTuned(ENCODER), []
    before = net.weights(at(0, "replay"), 1, 32, 2)
    for summary in (whole, part):
        settings = dict(summary.card.settings) | {"learned": {"rate": [0.5]}}
        card = Card(**vars(summary.card) | {"settings": settings})
        after = replay(net, type(summary)(summary.tensors, card))
        moves.append({n: after[n] - before[n] for n in after})
    for name in before:
        share = 1.0 if name.startswith("head.") else 0.25
        assert torch.allclose(moves[1][name], share * moves[0][name], atol=1e-6), name


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="label_space"):
        TBPTTOptions(label_space="logits")
    with pytest.raises(ValueError, match="label_space"):
        AttentionLabelsOptions(label_space="logits")
    with pytest.raises(ValueError, match="steps"):
        AttentionLabelsOptions(warmup_steps=-1)
    with pytest.raises(ValueError, match="pace must be above 0, got 0.0"):
        AttentionLabelsOptions(pace=0.0)
    with pytest.raises(ValueError, match="learner"):
        tbptt(TEXTS, 1, encoder=STATIC, options=TBPTTOptions(model="cnn"))
    with pytest.raises(ValueError, match="window"):
        tbptt(TEXTS, 1, encoder=STATIC, options=TBPTTOptions(syn_steps=2, window=3))
    with pytest.raises(TypeError, match="words"):
        tbptt(TEXTS, 1, encoder=3)
    with pytest.raises(DivergedError):
        tbptt(
            TEXTS,
            1,
            encoder=STATIC,
            steps=9,
            options=replace(FAST, model="linear", lr=1e30),
        )


@pytest.mark.data("text/trec6")
def test_trec6_beats_its_start() -> None:
    """A few updates on real vectors and texts; the whole run is in the benchmarks."""
    data, table = load("trec6"), StaticTable.of()
    few = data.train.take(torch.arange(600))
    net = learner("textcnn", filters=20)
    options = TBPTTOptions(model=net, length=12, batch_size=64)
    results = []
    for steps in (0, 25):
        summary = tbptt(few, 1, encoder=table, steps=steps, options=options)
        weights = replay(net, summary, table=table)
        task, shown = TokenTask(few, table, net), Shown.of(data.val, table, False)
        results.append(task.accuracy({n: w[0] for n, w in weights.items()}, shown))
    assert results[1] > results[0] + 0.05
