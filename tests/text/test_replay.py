"""Replay takes the steps of the training, and those alone."""

import copy
from dataclasses import replace

import pytest
import torch

from multidd import load, seeds
from multidd.learning.optim import SGD
from multidd.learning.unroll import InnerLoop, train
from multidd.text import (
    AttentionLabelsOptions,
    FineTuned,
    StaticTable,
    TBPTTOptions,
    TokenTask,
    attention_labels,
    kip,
    learner,
    replay,
    tbptt,
)
from multidd.text.evaluation.replay import Steps, learner_of, steps
from multidd.text.tasks.token_batch import attention_gap
from tests.text import tiny
from tests.text.films import ENCODER, TEXTS, table

NET = learner("textcnn", filters=3)
STATIC = table()


def make_summary(**settings):
    options = replace(TBPTTOptions(model=NET, syn_steps=3, length=5), **settings)
    return tbptt(TEXTS, 1, encoder=STATIC, steps=2, options=options)


def inner_loop(summary, net, settings, attention=0.0):
    """The steps as the objective takes them in the training, with their graph."""
    task = TokenTask(TEXTS, settings, net, length=5, attention=attention)
    names = ("x", "y", "y_soft", "mask", "ids", "attention")
    draw = {n: summary.tensors[n] for n in names if n in summary.tensors}
    draw["x"] = draw["x"].clone().requires_grad_()
    rates = torch.tensor(summary.card.settings["learned"]["rate"])
    momentum = summary.card.settings.get("momentum", 0.0)
    paces = (("encoder.", pace),) if (pace := summary.card.settings.get("pace")) else ()
    inner = InnerLoop(len(rates), SGD(momentum=momentum), gradient_factors=paces)
    weights = net.weights(seeds.at(0, "replay"), 2, task.vocabulary.dim, 2)
    batch = task.synthetic(draw)
    return train(task, weights, batch, inner, seeds.at(9, "any"), rates)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["textcnn", "gru", "linear"])
def test_replay_is_the_inner_loop_bit_for_bit(name: str, momentum: float) -> None:
    sizes = {"textcnn": {"filters": 3}, "gru": {"hidden": 3}, "linear": {}}
    net = learner(name, **sizes[name])
    summary = make_summary(model=net, net_momentum=momentum)
    result = replay(net, summary, table=STATIC, models=2)
    expected = inner_loop(summary, net, STATIC)
    assert set(result) == set(expected)
    for weight, goal in expected.items():
        assert torch.equal(result[weight], goal.detach())
        assert not result[weight].requires_grad


def test_replay_with_attention_labels_bit_for_bit() -> None:
    summary = attention_labels(
        TEXTS,
        1,
        encoder=ENCODER,
        steps=2,
        options=AttentionLabelsOptions(
            warmup_steps=3, length=5, syn_steps=2, attention=3.0
        ),
    )
    net = FineTuned(ENCODER)
    result = replay(net, summary, models=2)
    expected = inner_loop(summary, net, ENCODER, attention=3.0)
    assert all(torch.equal(result[n], w.detach()) for n, w in expected.items())
    bare = {n: t for n, t in summary.tensors.items() if n != "attention"}
    other = replay(net, type(summary)(bare, summary.card), models=2)
    assert any(not torch.equal(result[n], other[n]) for n in result)


def test_one_rate_is_taken_at_every_step() -> None:
    summary = make_summary(rates="one")
    rate = summary.card.settings["learned"]["rate"]
    learned = {"learned": {"rate": [rate] * 3}}
    card = replace(summary.card, settings=dict(summary.card.settings) | learned)
    each = type(summary)(summary.tensors, card)
    result, expected = (replay(NET, one, table=STATIC) for one in (summary, each))
    assert all(torch.equal(result[n], expected[n]) for n in expected)


def test_a_saved_set_replays_to_the_same_bits(tmp_path) -> None:
    summary = make_summary()
    again = load(summary.save(tmp_path / "set"))
    result, expected = (replay(NET, one, table=STATIC) for one in (again, summary))
    assert all(torch.equal(result[n], expected[n]) for n in expected)


def test_given_weights_are_left_as_they_are() -> None:
    summary = make_summary()
    weights = NET.weights(seeds.at(0, "w"), 1, 6, 2)
    before = {n: w.clone() for n, w in weights.items()}
    ends = steps(Steps(NET, summary), weights, summary, torch.tensor([0.1, 0.1]))
    assert all(torch.equal(weights[n], before[n]) for n in before)
    assert any(not torch.equal(ends[n], before[n]) for n in before)


# --- transformers models --------------------------------------------------------------


@pytest.mark.parametrize("attention", [0.0, 3.0])
def test_a_transformers_model_is_trained_as_a_copy(attention: float) -> None:
    """One step of plain gradient descent on the set, word vectors left alone."""
    model = tiny.model(kind="BertForSequenceClassification", num_labels=2)
    encoder = type(ENCODER).of(model, tiny.tokenizer(), max_length=32)
    summary = attention_labels(
        TEXTS,
        1,
        encoder=encoder,
        steps=1,
        options=AttentionLabelsOptions(warmup_steps=0, length=5, attention=attention),
    )
    before = copy.deepcopy(model.state_dict())
    trained = replay(model, summary)
    assert all(torch.equal(w, before[n]) for n, w in model.state_dict().items())
    twin = copy.deepcopy(model).eval()
    twin.set_attn_implementation("eager")
    x, mask = summary.tensors["x"], summary.tensors["mask"]
    out = twin(inputs_embeds=x, attention_mask=mask, output_attentions=True)
    loss = -(out.logits.log_softmax(1) * summary.tensors["y_soft"]).sum(1).mean()
    if attention:
        seen = torch.stack(out.attentions, 1)
        gap = attention_gap(summary.tensors["attention"], seen, mask)
        loss = loss + attention * gap.mean()
    loss.backward()
    (rate,) = summary.card.settings["learned"]["rate"]
    for name, weight in twin.named_parameters():
        moved = trained.get_parameter(name)
        if weight is twin.get_input_embeddings().weight:
            assert torch.equal(moved, weight)
        elif weight.grad is not None:
            pace = summary.card.settings["pace"] if name.startswith("bert.") else 1.0
            goal = weight - rate * pace * weight.grad
            assert torch.allclose(moved, goal, atol=1e-6), name


def test_the_learner_of_a_card() -> None:
    summary = make_summary()
    assert learner_of(summary, ENCODER) == NET
    tuned = learner_of(replace_learner(summary, None), ENCODER)
    assert type(tuned) is FineTuned and tuned.encoder is ENCODER
    text = "learned for 'Mine', which is none of TextCNN, .*by multidd.text.replay"
    with pytest.raises(ValueError, match=text):
        learner_of(replace_learner(summary, {"kind": "Mine"}), ENCODER)


def replace_learner(summary, net):
    settings = dict(summary.card.settings) | {"learner": net}
    return type(summary)(summary.tensors, replace(summary.card, settings=settings))


def test_what_cannot_be_replayed_is_refused_with_the_reason() -> None:
    summary = make_summary()
    with pytest.raises(ValueError, match="no learned steps"):
        replay(NET, kip(TEXTS, 1, encoder=ENCODER, steps=0), table=STATIC)
    with pytest.raises(ValueError, match="no learned steps"):
        replay(NET, make_summary(rates="fixed"), table=STATIC)
    with pytest.raises(ValueError, match="table="):
        replay(NET, summary)
    other = StaticTable.of((["good", "film"], torch.zeros(2, 6)))
    with pytest.raises(ValueError, match="other words"):
        replay(NET, summary, table=other)
    with pytest.raises(TypeError, match="learner"):
        replay("textcnn", summary, table=STATIC)
    with pytest.raises(ValueError, match="embedding table"):
        replay(FineTuned(ENCODER), summary)
    tokens = attention_labels(
        TEXTS,
        1,
        encoder=ENCODER,
        steps=0,
        options=AttentionLabelsOptions(warmup_steps=0, length=5),
    )
    kind = "BertForSequenceClassification"
    with pytest.raises(ValueError, match="num_labels=2"):
        replay(tiny.model(kind=kind, num_labels=3), tokens)
    with pytest.raises(ValueError, match="embedding table"):
        replay(tiny.model(1, kind=kind, num_labels=2), tokens)
