"""Pairs of texts as token vectors: what stands between them, and which is which."""

import pytest
import torch

import multidd
from multidd import seeds
from multidd.engine.recipe import call
from multidd.learning.optim import SGD
from multidd.learning.unroll import InnerLoop, train
from multidd.text import (
    Encoder,
    FineTuned,
    StaticTable,
    TBPTTOptions,
    TokenTask,
    attention_labels,
    collator,
    learner,
    replay,
    resolved,
    tbptt,
    to_sentences,
    to_words,
    tokens,
)
from multidd.text.models.tokenization import columns
from multidd.text.models.vocabulary import Vocabulary
from multidd.text.tasks.token_init import started
from tests.text import sets, tiny, trainers

DATA, ENCODER = sets.pairs(), sets.encoder()
FEW = DATA.take(torch.tensor([0, 1, 12, 13, 22, 23]))
SEP = ENCODER.tokenizer.sep_token_id


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))


def roberta() -> Encoder:
    """A model without token types."""
    model = tiny.model(
        kind="RobertaModel",
        pad_token_id=0,
        max_position_embeddings=66,
        type_vocab_size=1,
    )
    return Encoder.of(model, tiny.tokenizer(), max_length=32)


def draw_of(task: TokenTask) -> dict:
    rows = torch.arange(len(task.texts))
    some = started(task.vocabulary, task.texts, task.length, task.fill)
    return some | {"y": task.y[rows]}


# --- the start ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Bert", "Roberta"])
@pytest.mark.parametrize("fill", ["pad", "repeat"])
def test_vectors_of_real_pairs_give_their_features(kind: str, fill: str) -> None:
    """The start, seen as a synthetic batch, is the pair itself under the encoder."""
    encoder = ENCODER if kind == "Bert" else roberta()
    task = TokenTask(FEW, encoder, length=20, fill=fill)
    draw = draw_of(task)
    features = task.inputs(task.synthetic(draw))
    again = to_pairs(task, draw)
    if fill == "pad":
        assert again == (FEW.texts, FEW.pairs)
    else:
        assert bool((draw["mask"] == 1).all()) and again[1][0].count("is it") == 2
    assert torch.allclose(features, encoder.encode(*again), atol=1e-5)
    swapped = task.inputs(task.synthetic(draw | {"types": 1 - draw["types"]}))
    assert torch.allclose(swapped, features) == (kind == "Roberta")


def to_pairs(task: TokenTask, draw: dict) -> tuple[tuple[str, ...], ...]:
    halves = [draw["mask"] * (draw["types"] == half) for half in (0, 1)]
    return tuple(tuple(task.vocabulary.strings(draw["ids"], h)) for h in halves)


def test_what_stands_between_is_never_learned() -> None:
    task = TokenTask(FEW, ENCODER, length=20)
    draw = draw_of(task)
    moved = task.synthetic(draw | {"x": draw["x"] + 1.0}).x
    row, ids = ENCODER.embedding_table()[SEP], draw["ids"]
    assert (ids == SEP).sum(1).tolist() == [2] * 6
    assert torch.equal(moved[ids == SEP], row.expand(12, -1))
    assert torch.equal(moved[:, 1], draw["x"][:, 1] + 1.0)
    second = draw["types"] == 1
    assert torch.equal(second.int().argmax(1), (ids == SEP).int().argmax(1) + 1)


def test_types_are_those_of_the_tokenizer_and_come_without_an_embedding() -> None:
    long = columns(["the city " * 20, "who"], ["is it", "a film " * 20])
    typed, bare = (Vocabulary.of(one).tokens(long, 12) for one in (ENCODER, roberta()))
    tokens = ENCODER.tokenizer(
        list(long.texts),
        list(long.pairs),
        truncation=True,
        max_length=12,
        padding=True,
        return_token_type_ids=True,
    )
    assert typed.types.tolist() == tokens["token_type_ids"]
    assert all(torch.equal(a, b) for a, b in zip(typed, bare, strict=True))
    assert Vocabulary.of(ENCODER).tokens(["who"]).types is None


def test_padding_that_counts_belongs_to_the_second_text() -> None:
    vocabulary = Vocabulary.of(ENCODER)
    draw = started(vocabulary, FEW, 20, "free")
    assert bool((draw["mask"] == 1).all() and (draw["types"][:, -1] == 1).all())


# --- methods --------------------------------------------------------------------------


def make_summary(method: str, **settings):
    flat = {"per_class": 1, "encoder": ENCODER, "steps": 3, "length": 14} | settings
    many = {"tokens": tokens, "tbptt": tbptt, "attention_labels": attention_labels}
    if method == "tbptt":
        flat |= {"model": FineTuned(ENCODER), "syn_steps": 2}
    if method == "attention_labels":
        flat |= {"warmup_steps": 2}
    return call(many[method], DATA, **flat)


@pytest.mark.parametrize("method", ["tokens", "tbptt", "attention_labels"])
def test_a_decoded_pair_comes_back_as_a_pair(method: str, tmp_path) -> None:
    summary = make_summary(method)
    assert multidd.load(summary.save(tmp_path / "set")).digest() == summary.digest()
    text = to_words(summary, ENCODER)
    ids, mask, types = (summary.tensors[name] for name in ("ids", "mask", "types"))
    assert len(text.pairs) == len(text.texts) == 3
    again = Vocabulary.of(ENCODER).tokens(columns(text.texts, text.pairs))
    wide = again.ids.shape[1]
    assert torch.equal(again.ids, ids[:, :wide]) and mask[:, wide:].sum() == 0
    assert torch.equal(again.types, types[:, :wide] * mask[:, :wide])
    assert text.card.settings["decoding"]["round_trip"] == 1.0
    expected = ENCODER.encode(text.texts, text.pairs)
    assert torch.allclose(text.tensors["x"], expected, atol=1e-6)
    row = text.decode()[0]
    assert (row.text, row.pair) == (text.texts[0], text.pairs[0])
    solved = resolved(text, DATA, encoder=ENCODER)
    assert solved.pairs == text.pairs and "types" not in solved.tensors
    near = to_sentences(summary, DATA, encoder=ENCODER)
    assert all(pair in DATA.pairs for pair in near.pairs)


def test_straight_through_pairs_have_no_gap() -> None:
    summary = make_summary("tokens", project="straight_through", steps=8, swaps=0)
    text = to_words(summary, ENCODER)
    with torch.no_grad():
        inputs = (summary.tensors[name] for name in ("x", "mask", "types"))
        seen = ENCODER.through(*inputs)
    assert text.card.settings["decoding"]["round_trip"] == 1.0
    assert torch.allclose(text.tensors["x"], seen, atol=1e-5)


def test_columns_of_a_dataset_are_pairs() -> None:
    from datasets import Dataset

    rows = {"premise": DATA.texts, "hypothesis": DATA.pairs, "gold": DATA.labels}
    table = Dataset.from_dict({name: list(column) for name, column in rows.items()})
    names = {"text": "premise", "pair": "hypothesis", "label": "gold"}
    settings = {"per_class": 1, "encoder": ENCODER, "steps": 1, "length": 12}
    summary = multidd.text.distill(table, method="tokens", **names, **settings)
    assert torch.equal(
        summary.tensors["x"], make_summary("tokens", steps=1, length=12).tensors["x"]
    )


def test_every_stage_of_pairs_is_judged() -> None:
    report = make_summary("tokens").report(DATA, DATA, encoder=ENCODER)
    assert "decoded, labels solved again" in report.accuracy
    summary = make_summary("attention_labels")
    other_report = multidd.evaluate(
        summary,
        multidd.text.Evaluator(DATA, train=DATA, encoder=ENCODER),
        models=["replay", "logistic"],
        rows=[],
    )
    assert all(0 <= other_report.accuracy(m) <= 1 for m in ("replay", "logistic"))


# --- replay ---------------------------------------------------------------------------


def test_replay_of_pairs_is_the_inner_loop_bit_for_bit() -> None:
    summary = make_summary("attention_labels", attention=3.0, syn_steps=2)
    net = FineTuned(ENCODER)
    task = TokenTask(DATA, ENCODER, net, length=14, attention=3.0)
    names = ("x", "y", "y_soft", "mask", "ids", "attention", "types")
    draw = {name: summary.tensors[name] for name in names}
    draw["x"] = draw["x"].clone().requires_grad_()
    rates = torch.tensor(summary.card.settings["learned"]["rate"])
    inner = InnerLoop(
        2, SGD(), gradient_factors=(("encoder.", summary.card.settings["pace"]),)
    )
    weights = net.weights(seeds.at(0, "replay"), 1, 32, 3)
    batch = task.synthetic(draw)
    expected = train(task, weights, batch, inner, seeds.at(9, "any"), rates)
    ends = replay(net, summary)
    assert all(torch.equal(ends[name], w.detach()) for name, w in expected.items())
    bare = {name: t for name, t in summary.tensors.items() if name != "types"}
    other = replay(net, type(summary)(bare, summary.card))
    assert any(not torch.equal(ends[name], other[name]) for name in ends)


def test_a_transformers_model_sees_the_types_of_pairs() -> None:
    """One step of plain gradient descent on the set, by its own forward."""
    summary = make_summary("attention_labels", attention=0, warmup_steps=0, steps=1)
    model = tiny.model(kind="BertForSequenceClassification", num_labels=3).eval()
    trained = replay(model, summary)
    names = ("inputs_embeds", "attention_mask", "token_type_ids")
    values = (summary.tensors[name] for name in ("x", "mask", "types"))
    out = model(**dict(zip(names, values, strict=True)))
    loss = -(out.logits.log_softmax(1) * summary.tensors["y_soft"]).sum(1).mean()
    slope = torch.autograd.grad(loss, model.classifier.weight)[0]
    (rate,) = summary.card.settings["learned"]["rate"]
    goal = model.classifier.weight - rate * slope
    assert torch.allclose(trained.classifier.weight, goal, atol=1e-6)


# --- a plain Trainer ------------------------------------------------------------------


@pytest.mark.parametrize("decoded", [False, True])
def test_a_trainer_trains_on_pairs(decoded: bool, tmp_path) -> None:
    result = make_summary("tokens")
    table = (to_words(result, ENCODER) if decoded else result).to_dataset()
    expected = {"text", "pair"} if decoded else {"inputs_embeds", "token_type_ids"}
    assert expected <= set(table.column_names)
    collate = collator(tiny.tokenizer(), classes=3)
    batch = collate([table[i] for i in range(3)])
    if not decoded:
        assert torch.equal(batch["token_type_ids"], result.tensors["types"])
    result = trainers.losses(table, tmp_path, steps=12, lr=3e-3)
    assert len(result) == 12 and min(result[-3:]) < result[0]


def test_a_model_without_types_gets_no_column_of_them() -> None:
    summary = make_summary("tokens", encoder=roberta())
    assert "types" in summary.tensors
    assert "token_type_ids" not in summary.to_dataset().column_names
    assert to_words(summary, roberta()).pairs is not None


# --- static words, and refusals -------------------------------------------------------


def table() -> StaticTable:
    words = sorted({w for t in (*DATA.texts, *DATA.pairs) for w in t.split()} - {"?"})
    rows = torch.randn(len(words), 6, generator=seeds.at(0, "rows"))
    return StaticTable.of((words, rows))


def test_static_learners_see_pairs_joined_and_decode_them_apart() -> None:
    net = learner("textcnn", filters=3)
    options = TBPTTOptions(model=net, syn_steps=2, length=12, init="medoids")
    summary = tbptt(DATA, 1, encoder=table(), steps=2, options=options)
    text = to_words(summary, table(), within=DATA)
    assert len(text.pairs) == 3 and all(text.texts) and all(text.pairs)
    joined = Vocabulary.of(table(), DATA)
    again = joined.tokens(columns(text.texts, text.pairs), 12)
    assert torch.equal(again.ids, summary.tensors["ids"])
    assert torch.equal(again.types, summary.tensors["types"] * summary.tensors["mask"])
    assert replay(net, text, table=table())["head.bias"].shape == (1, 3)


def test_of_a_pair_of_words_the_longer_text_is_cut() -> None:
    table = StaticTable.of((["a", "b"], torch.eye(2)))
    for texts, expected in (
        (("a a a a a", "b b"), [0, 0, 1, 1]),
        (("a", "b b b b b"), [0, 1, 1, 1]),
        (("a a a a", "b b b b"), [0, 0, 1, 1]),
    ):
        summary = table.tokens(columns(*[[one] for one in texts]), 4)
        assert summary.types.tolist() == [expected]
        assert summary.ids.tolist() == [[1 + kind for kind in expected]]


def test_what_cannot_hold_a_pair_is_refused() -> None:
    from tokenizers.processors import TemplateProcessing

    with pytest.raises(ValueError, match="length must be 5 .*one of each text and 3"):
        TokenTask(FEW, ENCODER, length=4)
    bare = tiny.tokenizer()
    bare.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A $B", special_tokens=[("[CLS]", 2)]
    )
    encoder = Encoder.of(tiny.model(), bare, max_length=32)
    with pytest.raises(ValueError, match="no token between the two texts"):
        TokenTask(FEW, encoder, length=12)
