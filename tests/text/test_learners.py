"""Learners on token vectors: equal to torch's own modules, and open to derivatives."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from torch.func import vmap
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from multidd.learning.functional import unstack
from multidd.seeds import at
from multidd.text.models.finetuned import FineTuned
from multidd.text.models.kernel_predictor import kernel_of
from multidd.text.models.learners import (
    LEARNERS,
    MeanVectors,
    Recurrent,
    TextCNN,
    learner,
)
from tests.text import tiny

DIM, CLASSES, LENGTHS = 7, 3, (9, 1, 4, 2)
SMALL = {
    "textcnn": {"filters": 5},
    "lstm": {"hidden": 4},
    "gru": {"hidden": 4, "pool": "max"},
    "mlp": {"hidden": (6,)},
}


def _batch(dtype=torch.float32, lengths=LENGTHS, dim=DIM):
    x = torch.randn(len(lengths), max(lengths), dim, generator=at(0, "x"), dtype=dtype)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return x, mask.to(torch.int64)


def _one(net, dtype=torch.float32):
    drawn = net.weights(at(0, "weights"), 1, DIM, CLASSES)
    return {name: w[0].to(dtype) for name, w in drawn.items()}


def _small(name):
    return learner(name, **SMALL.get(name, {}))


# --- equal to torch -----------------------------------------------------------


def test_textcnn_is_convolutions_of_each_text_alone():
    net, (x, mask) = TextCNN(filters=5, widths=(2, 3, 4)), _batch()
    weights = _one(net)
    hidden, logits = net.features(weights, x, mask)
    for row, length in enumerate(LENGTHS):
        parts = []
        for width in net.widths:
            conv = nn.utils.skip_init(nn.Conv1d, DIM, 5, width, padding=width - 1)
            layer_weights = {
                k[6:]: w for k, w in weights.items() if k.startswith(f"conv{width}")
            }
            conv.load_state_dict(layer_weights)
            parts.append(conv(x[row, :length].T).relu().amax(1))
        assert torch.allclose(hidden[row], torch.cat(parts), atol=1e-5)
    head = hidden @ weights["head.weight"].T + weights["head.bias"]
    assert torch.allclose(logits, head, atol=1e-6)


@pytest.mark.parametrize("cell, kind", [("lstm", nn.LSTM), ("gru", nn.GRU)])
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_recurrent_is_the_module_on_packed_texts(cell, kind, pool):
    net, (x, mask) = Recurrent(cell, hidden=4, pool=pool), _batch()
    weights = _one(net)
    options = {"bidirectional": True, "batch_first": True, "device": "meta"}
    module = kind(DIM, 4, **options).to_empty(device="cpu")
    layer_weights = {k[4:]: w for k, w in weights.items() if k.startswith("rnn.")}
    module.load_state_dict(layer_weights)
    lengths = torch.tensor(LENGTHS)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(module(packed)[0], batch_first=True)
    for row, length in enumerate(LENGTHS):
        row_states = states[row, :length]
        expected = row_states.mean(0) if pool == "mean" else row_states.amax(0)
        features = net.features(weights, x, mask)[0][row]
        assert torch.allclose(features, expected, atol=1e-5)


def test_mlp_is_layers_on_the_mean():
    net, (x, mask) = MeanVectors((6,)), _batch()
    weights = _one(net)
    hidden, _ = net.features(weights, x, mask)
    mean = x[2, :4].mean(0)
    expected = (weights["layer0.weight"] @ mean + weights["layer0.bias"]).relu()
    assert torch.allclose(hidden[2], expected, atol=1e-6)


# --- what holds for each ------------------------------------------------------


@pytest.mark.parametrize("name", LEARNERS)
def test_padding_changes_nothing(name):
    net, (x, mask) = _small(name), _batch()
    weights = _one(net)
    expected = net.features(weights, x, mask)
    wider = torch.cat([x.masked_fill(mask[..., None] == 0, 5), 9 * x], 1)
    more = torch.cat([mask, torch.zeros_like(mask)], 1)
    features = net.features(weights, wider, more)
    alone = net.features(weights, x[1:2, :1], mask[1:2, :1])
    for a, b, c in zip(expected, features, alone, strict=True):
        assert torch.allclose(a, b, atol=1e-6)
        assert torch.allclose(a[1:2], c, atol=1e-6)


@pytest.mark.parametrize("name", sorted({*LEARNERS} - {"textcnn"}))
def test_holes_in_a_mask_are_left_out(name):  # windows see where words stand
    net, (x, _) = _small(name), _batch()
    weights, mask = _one(net), torch.tensor([[1, 0, 1, 1, 0, 0, 1, 0, 0]])
    features = net.features(weights, x[:1], mask)[1]
    expected = net.features(weights, x[:1, mask[0] > 0], torch.ones(1, 4))[1]
    assert torch.allclose(features, expected, atol=1e-6)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_text_without_words_gives_numbers(name):
    net, (x, mask) = _small(name), _batch()
    weights = {k: w.requires_grad_() for k, w in _one(net).items()}
    features = net.features(weights, x.requires_grad_(), torch.zeros_like(mask))
    features[1].sum().backward()
    assert features[1].isfinite().all() and x.grad.abs().sum() == 0
    assert all(w.grad is None or w.grad.isfinite().all() for w in weights.values())


@pytest.mark.parametrize("name", LEARNERS)
def test_models_side_by_side(name):
    net, (x, mask) = _small(name), _batch()
    stacked = net.weights(at(1, "weights"), 3, DIM, CLASSES)
    features = vmap(lambda w: net.features(w, x, mask)[1])(stacked)
    each = [net.features(w, x, mask)[1] for w in unstack(stacked)]
    assert torch.allclose(features, torch.stack(each), atol=1e-6)
    assert not torch.allclose(features[0], features[1])


@pytest.mark.parametrize("name", LEARNERS)
def test_a_step_of_training_can_be_learned_through(name):
    net, (x, mask) = _small(name), _batch(torch.float64, (3, 2))
    weights = _one(net, torch.float64)
    target = torch.tensor([0, 2])

    def loss(weights, x):
        logits = net.features(weights, x, mask)[1]
        return nn.functional.cross_entropy(logits, target)

    def through(x):
        moving = {k: w.detach().requires_grad_() for k, w in weights.items()}
        slopes = torch.autograd.grad(
            loss(moving, x), list(moving.values()), create_graph=True
        )
        pairs = zip(moving.items(), slopes, strict=True)
        return loss({k: w - 0.5 * g for (k, w), g in pairs}, x)

    assert gradcheck(through, (x.requires_grad_(),))


def test_draws_are_keyed_and_bounded():
    net = TextCNN(filters=5)
    one = net.weights(at(3, "w"), 2, DIM, CLASSES)
    again = net.weights(at(3, "w"), 2, DIM, CLASSES)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert one["conv4.weight"].shape == (2, 5, DIM, 4)
    assert one["conv4.weight"].abs().max() <= (DIM * 4) ** -0.5


def test_dropout_is_drawn_by_the_passed_generator_alone():
    net, (x, mask) = TextCNN(filters=50, dropout=0.5), _batch()
    weights = _one(net)
    plain = net.features(weights, x, mask)
    first = net.features(weights, x, mask, at(0, "drop"))
    again = net.features(weights, x, mask, at(0, "drop"))
    assert torch.equal(first[1], again[1]) and not torch.equal(first[1], plain[1])
    assert torch.equal(first[0], plain[0])
    assert torch.equal(plain[1], net.features(weights, x, mask)[1])


def test_a_textcnn_learns_which_word_is_there():
    net = TextCNN(filters=8)
    table = torch.randn(20, DIM, generator=at(0, "words"))
    ids = torch.randint(2, 20, (60, 6), generator=at(0, "ids"))
    y = torch.arange(60) % 2
    ids[torch.arange(60), torch.randint(6, (60,), generator=at(0, "place"))] = y
    weights = {name: w.requires_grad_() for name, w in _one(net).items()}
    optimizer = torch.optim.Adam(weights.values(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        logits = net.features(weights, table[ids], torch.ones(60, 6))[1]
        nn.functional.cross_entropy(logits, y).backward()
        optimizer.step()
    assert (logits.argmax(1) == y).float().mean() > 0.95


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: learner("cnn"), "one of textcnn, lstm"),
        (lambda: TextCNN(widths=()), "widths at least one"),
        (lambda: TextCNN(dropout=1.0), "dropout must be in"),
        (lambda: Recurrent("rnn"), "'lstm' or 'gru'"),
        (lambda: Recurrent(pool="last"), "'mean' or 'max'"),
        (lambda: Recurrent(hidden=0), "hidden must be 1"),
        (lambda: Recurrent(dropout=1.0), r"dropout must be in \[0, 1\); got 1.0"),
        (lambda: kernel_of({"kind": "poly"}), "kernel must be one of .*; got 'poly'"),
        (lambda: MeanVectors((0,)), "hidden widths"),
    ],
)
def test_settings_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", LEARNERS)
def test_vectors_of_another_width(name):
    net, (x, mask) = _small(name), _batch()
    with pytest.raises(ValueError, match=r"must be \[b, L, 7\]"):
        net.features(_one(net), x[..., :-1], mask)


# --- a pre-trained transformer ------------------------------------------------


def _vectors(encoder):
    ids, mask, _ = encoder.tokens(list(tiny.TEXTS))
    return encoder.embed(ids), mask


def test_fine_tuning_starts_at_the_encoder():
    encoder = tiny.encoder(normalize=False)
    net, (x, mask) = FineTuned(encoder), _vectors(encoder)
    stacked = net.weights(at(0, "head"), 2, 32, CLASSES)
    first, second = unstack(stacked)
    pooled, logits = net.features(first, x, mask)
    assert torch.allclose(pooled, encoder.encode(list(tiny.TEXTS)), atol=1e-5)
    head = pooled @ first["head.weight"].T + first["head.bias"]
    assert torch.allclose(logits, head, atol=1e-6)
    assert not torch.allclose(logits, net.features(second, x, mask)[1])
    assert not [name for name in stacked if "word_embeddings" in name]
    frozen = FineTuned(encoder, frozen=True)
    alone = frozen.weights(at(0, "head"), 2, 32, CLASSES)
    assert set(alone) == {"head.weight", "head.bias"}
    features = frozen.features(unstack(alone)[0], x, mask)
    assert torch.allclose(features[1], logits, atol=1e-6)


def test_fine_tuning_gives_attention_under_the_weights_passed_in():
    encoder = tiny.encoder()
    net, (x, mask) = FineTuned(encoder), _vectors(encoder)
    weights = unstack(net.weights(at(0, "head"), 1, 32, CLASSES))[0]
    (_, logits), seen = net.attentions(weights, x, mask)
    assert torch.equal(logits, net.features(weights, x, mask)[1])
    assert torch.allclose(seen, encoder.attentions(x, mask)[1], atol=1e-6)
    query = "encoder.encoder.layer.0.attention.self.query.weight"
    moved = weights | {query: torch.zeros_like(weights[query])}
    assert not torch.allclose(net.attentions(moved, x, mask)[1], seen, atol=1e-3)
    assert torch.equal(net.attentions(weights, x, mask)[1], seen)


def test_a_step_of_fine_tuning_can_be_learned_through():
    model = tiny.model(hidden_size=8, intermediate_size=8, num_attention_heads=2)
    encoder = tiny.Encoder.of(model.double(), tiny.tokenizer(), max_length=32)
    net = FineTuned(encoder)
    drawn = unstack(net.weights(at(0, "head"), 1, 8, 2))[0]
    weights = {k: w.double().requires_grad_() for k, w in drawn.items()}
    ids, mask, _ = encoder.tokens(["a good film"])

    def loss(weights, x):
        (_, logits), seen = net.attentions(weights, x, mask)
        spread = (seen * seen.log()).mean()  # attention labels look like this
        return nn.functional.cross_entropy(logits, torch.tensor([1])) + spread

    def through(x):
        values = list(weights.values())
        slopes = torch.autograd.grad(loss(weights, x), values, create_graph=True)
        pairs = zip(weights.items(), slopes, strict=True)
        return loss({k: w - 0.1 * g for (k, w), g in pairs}, x)

    assert gradcheck(through, (encoder.embed(ids).requires_grad_(),))
