"""Encoders: features, gradients of token vectors, keys, the caller's own model."""

import dataclasses

import pytest
import torch
from torch.autograd import gradcheck

from multidd.errors import MultiddWarning
from multidd.text.models.checkpoints import MINILM
from multidd.text.models.encoder import Encoder
from tests.text import tiny

TEXTS = list(tiny.TEXTS)


@pytest.fixture(scope="module")
def encoder():
    return tiny.encoder()


@pytest.fixture(scope="module")
def exact():
    """In float64, for finite differences."""
    model = tiny.model(hidden_size=8, intermediate_size=8, num_attention_heads=2)
    return Encoder.of(model.double(), tiny.tokenizer(), max_length=32)


def _state(model):
    facts = {
        name: (p.detach().clone(), p.requires_grad)
        for name, p in model.named_parameters()
    }
    return facts, model.training, model.config._attn_implementation


# --- features -----------------------------------------------------------------


def test_features_are_those_of_the_model_itself():
    model, words = tiny.model().eval(), tiny.tokenizer()
    embeddings = Encoder.of(model, words, max_length=32).encode(TEXTS)
    for text, features in zip(TEXTS, embeddings, strict=True):
        inputs = words(text, return_tensors="pt")
        hidden = model(**inputs).last_hidden_state[0]
        mean = hidden.mean(0)
        assert torch.allclose(features, mean / mean.norm(), atol=1e-6)


def test_cls_pooling_takes_the_first_token_and_lengths_stay():
    model, words = tiny.model().eval(), tiny.tokenizer()
    encoder = Encoder.of(model, words, pooling="cls", max_length=32, normalize=False)
    inputs = words(TEXTS[0], return_tensors="pt")
    first = model(**inputs).last_hidden_state[0, 0]
    assert torch.allclose(encoder.encode(TEXTS)[0], first, atol=1e-6)


def test_order_and_batch_size_change_nothing(encoder):
    whole = encoder.encode(TEXTS)
    back = encoder.encode(TEXTS[::-1]).flip(0)
    single = dataclasses.replace(encoder, batch=1).encode(TEXTS)
    assert torch.allclose(whole, back, atol=1e-6)
    assert torch.allclose(whole, single, atol=1e-6)


def test_no_text_gives_no_feature(encoder):
    assert encoder.encode([]).shape == (0, 32)


def test_pairs_go_in_as_pairs():
    model, words = tiny.model().eval(), tiny.tokenizer()
    encoder = Encoder.of(model, words, max_length=32)
    embeddings = encoder.encode(["a good film"] * 2, ["who", "not this"])
    inputs = words("a good film", "not this", return_tensors="pt")
    inputs["token_type_ids"] = torch.tensor([[0] * 5 + [1] * 3])
    mean = model(**inputs).last_hidden_state[0].mean(0)
    assert torch.allclose(embeddings[1], mean / mean.norm(), atol=1e-6)
    assert encoder.tokens(["a"], ["b"]).types.tolist() == [[0, 0, 0, 1, 1]]


def test_long_texts_are_cut_counted_and_said_once(encoder):
    long = ["film " * 40, "a dog", "city " * 90]
    with pytest.warns(MultiddWarning, match="2 of 3 texts are longer than 32") as said:
        embeddings = dataclasses.replace(encoder, batch=1).encode(long)
    assert len(said) == 1
    assert encoder.truncated(long) == 2
    assert encoder.tokens(long).ids.shape == (3, 32)
    assert (encoder.tokens(long).ids[:, -1] == torch.tensor([3, 0, 3])).all()
    assert torch.allclose(embeddings[0], encoder.encode(["film " * 30])[0], atol=1e-6)


# --- token vectors ------------------------------------------------------------


@pytest.mark.parametrize("eager", [False, True])
def test_vectors_of_the_ids_give_the_features_of_the_ids(encoder, eager):
    ids, mask, types = encoder.tokens(TEXTS)
    result = encoder.through(encoder.embed(ids), mask, types, eager=eager)
    assert torch.allclose(result, encoder.encode(TEXTS), atol=1e-6)


def test_padding_of_vectors_changes_nothing(encoder):
    ids, mask, _ = encoder.tokens(TEXTS[:2])
    x = encoder.embed(ids)
    wider = torch.cat([x, torch.full((2, 5, 32), 7.0)], 1)
    more = torch.cat([mask, torch.zeros(2, 5)], 1)
    same = encoder.through(wider, more), encoder.through(x, mask)
    assert torch.allclose(*same, atol=1e-6)


def _vectors(encoder):
    ids, mask, _ = encoder.tokens(["a good film", "who"])
    return encoder.embed(ids).detach().requires_grad_(), mask


def test_gradient_of_vectors_by_finite_differences(exact):
    x, mask = _vectors(exact)
    assert gradcheck(lambda x: exact.through(x, mask), (x,))


def test_second_derivatives_with_plain_attention(exact):
    x, mask = _vectors(exact)
    target = torch.linspace(-1, 1, exact.dim, dtype=torch.float64)

    def slope(x):
        loss = (exact.through(x, mask, eager=True) - target).pow(3).sum()
        return torch.autograd.grad(loss, x, create_graph=True)[0]

    assert gradcheck(slope, (x,))


def test_weights_get_no_gradient(encoder):
    x, mask = _vectors(encoder)
    encoder.through(x, mask).sum().backward()
    assert x.grad is not None
    assert not [p for p in encoder.model.parameters() if p.requires_grad]


def test_attention_is_a_distribution_over_the_words(encoder):
    ids, mask, _ = encoder.tokens(TEXTS[:2])
    features, seen = encoder.attentions(encoder.embed(ids), mask)
    assert seen.shape == (2, 2, 4, ids.shape[1], ids.shape[1])
    assert torch.allclose(seen.sum(-1), torch.ones(()), atol=1e-5)
    assert (seen * (mask == 0)[:, None, None, None]).sum() == 0
    assert torch.allclose(features, encoder.encode(TEXTS[:2]), atol=1e-6)


def test_ids_that_no_decoding_should_give(encoder):
    assert encoder.special_ids.tolist() == [0, 1, 2, 3, 4]
    assert encoder.unused_ids.tolist() == [5, 6]
    assert encoder.embedding_table().shape == (len(tiny.VOCABULARY), 32)


KINDS = {
    "Roberta": {"max_position_embeddings": 66, "type_vocab_size": 1},
    "Albert": {"embedding_size": 16},
    "MPNet": {},
    "ModernBert": {"bos_token_id": 2, "eos_token_id": 3},
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_architectures_take_vectors_too(kind):
    encoder = Encoder.of(
        tiny.model(kind=f"{kind}Model", **{"pad_token_id": 0} | KINDS[kind]),
        tiny.tokenizer(),
        max_length=32,
    )
    ids, mask, types = encoder.tokens(TEXTS)
    x = encoder.embed(ids).detach().requires_grad_()
    result = encoder.through(x, mask, types, eager=True)
    assert torch.allclose(result, encoder.encode(TEXTS), atol=1e-6)
    slope = torch.autograd.grad(result.pow(3).sum(), x, create_graph=True)[0]
    slope.square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0


def test_places_before_the_first_token_are_not_for_texts():
    model = tiny.model(kind="RobertaModel", pad_token_id=0, max_position_embeddings=34)
    assert Encoder.of(model, tiny.tokenizer(), max_length=33).max_length == 33
    with pytest.raises(ValueError, match="the model's 33 tokens"):
        Encoder.of(model, tiny.tokenizer(), max_length=34)


# --- keys ---------------------------------------------------------------------


def test_the_key_is_the_same_for_a_folder_and_a_loaded_model(tmp_path):
    tiny.folder(tmp_path)
    of_folder = Encoder.of(str(tmp_path), max_length=32)
    headed = tiny.model(kind="BertForSequenceClassification")
    headed.bert.load_state_dict(tiny.model().state_dict())
    assert of_folder.key == tiny.encoder().key
    assert Encoder.of(headed, tiny.tokenizer(), max_length=32).key == of_folder.key
    assert torch.equal(of_folder.encode(TEXTS), tiny.encoder().encode(TEXTS))


@pytest.mark.parametrize(
    "change", [{"pooling": "cls"}, {"max_length": 31}, {"normalize": False}]
)
def test_every_setting_is_in_the_key(encoder, change):
    assert dataclasses.replace(encoder, **change).key != encoder.key


def test_weights_tokenizer_and_architecture_are_in_the_key(encoder):
    moved = tiny.model()
    moved.encoder.layer[1].output.dense.bias.data[3] += 1e-6
    other = (*tiny.VOCABULARY[:-2], tiny.VOCABULARY[-1], tiny.VOCABULARY[-2])
    keys = {
        encoder.key,
        Encoder.of(moved, tiny.tokenizer(), max_length=32).key,
        Encoder.of(tiny.model(), tiny.tokenizer(other), max_length=32).key,
        Encoder.of(
            tiny.model(num_attention_heads=2), tiny.tokenizer(), max_length=32
        ).key,
    }
    assert len(keys) == 4
    assert dataclasses.replace(encoder, batch=3).key == encoder.key


def test_another_device_leaves_features_and_key(encoder):
    other = encoder.to("cpu:0")  # not "cpu" by its name, so a copy
    assert other is not encoder and other.model is not encoder.model
    assert torch.equal(other.encode(TEXTS), encoder.encode(TEXTS))
    assert other.key == encoder.key and encoder.to("cpu") is encoder
    assert repr(other) == repr(encoder)
    assert repr(other) == "Encoder(model, d=32, mean, max_length=32, normalize=True)"


def test_tokenizers_in_python_have_keys_too():
    from transformers import ByT5Tokenizer

    model = tiny.model(vocab_size=384)
    keys = [
        Encoder.of(model, ByT5Tokenizer(extra_ids=count), max_length=32).key
        for count in (125, 125, 124)
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_loaded_model_brings_the_tokenizer_of_its_folder(tmp_path):
    import transformers

    model = transformers.AutoModel.from_pretrained(tiny.folder(tmp_path))
    assert Encoder.of(model, max_length=32).key == tiny.encoder().key


def test_use_leaves_the_key(encoder):
    fresh = tiny.encoder()
    fresh.tokens(["film " * 50])  # a tokenizer remembers how it was last called
    assert fresh.key == encoder.key


# --- the caller's own ---------------------------------------------------------


def test_the_callers_model_stays_as_it_is():
    model, words = tiny.model().train(), tiny.tokenizer()
    before, spoken = _state(model), words.backend_tokenizer.to_str()
    encoder = Encoder.of(model, words, max_length=16)
    x, mask = _vectors(encoder)
    encoder.through(x, mask, eager=True).sum().backward()
    encoder.encode(["film " * 30, "a"][1:])
    facts, *rest = _state(model)
    assert rest == list(before[1:])
    for name, (value, moving) in before[0].items():
        assert torch.equal(facts[name][0], value) and facts[name][1] == moving
    assert words.backend_tokenizer.to_str() == spoken
    model.embeddings.word_embeddings.weight.data.zero_()
    assert encoder.table.abs().sum() > 0


def test_an_encoder_is_returned_as_it_is(encoder):
    assert Encoder.of(encoder) is encoder
    with pytest.raises(ValueError, match="its own tokenizer"):
        Encoder.of(encoder, tiny.tokenizer())


# --- MiniLM -------------------------------------------------------------------


@pytest.mark.data("text/trec6")
def test_minilm_of_the_package():
    encoder = Encoder.of()
    assert encoder.name == MINILM.split("/")[1] and encoder.dim == 384
    texts = ["Who wrote Hamlet ?", "Which author made Hamlet ?", "How far is Mars ?"]
    x = encoder.encode(texts)
    alike = x @ x.T
    assert alike[0, 1] > 0.7 > 0.3 > alike[0, 2]
    ids, mask, types = encoder.tokens(texts)
    assert torch.equal(encoder.through(encoder.embed(ids), mask, types), x)
    assert len(encoder.unused_ids) == 994
    norms = encoder.embedding_table().norm(dim=1)
    assert abs(float(norms.mean()) - 1.066) < 0.001
