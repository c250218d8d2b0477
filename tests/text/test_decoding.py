"""From vectors to words and sentences, and the labels that suit them."""

import itertools
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy
import pytest
import torch
import torch.nn.functional as F

import multidd
from multidd import seeds
from multidd.text import (
    StaticTable,
    TBPTTOptions,
    TokensOptions,
    decode_sentences,
    decode_tokens,
    kip,
    resolved,
    tbptt,
    to_sentences,
    to_words,
    tokens,
)
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import DEFAULT, kernel_model
from multidd.text.models.nearest import most_alike
from multidd.text.models.vocabulary import Vocabulary
from multidd.text.summary.decode import best_labels
from tests.text import tiny
from tests.text.films import ENCODER, TEXTS, table


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeds.at(seed, "x"))


# --- words ----------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_vectors_of_words_decode_to_them(metric: str) -> None:
    """Ids, texts and the round trip of real texts; special tokens stay."""
    summary = ENCODER.tokens(TEXTS)
    x = ENCODER.embed(summary.ids) * (1.0 if metric == "l2" else 1.3)
    x[:, 0] = ENCODER.embed(summary.ids[:, 0])
    last = summary.mask.sum(1) - 1
    rows = torch.arange(len(x))
    x[rows, last] = ENCODER.embed(summary.ids[rows, last])
    result = decode_tokens(x, summary.mask, ENCODER, metric)
    assert torch.equal(result.ids, summary.ids) and result.texts == TEXTS.texts
    assert result.round_trip == 1.0 and bool((result.returned == 1).all())


def test_special_and_unused_tokens_are_never_words() -> None:
    """Also where they are the nearest by far, but not the same."""
    rows = ENCODER.embedding_table()
    never = torch.cat([ENCODER.special_ids, ENCODER.unused_ids])
    x = rows[never][None] * 1.1
    for metric in ("cosine", "l2", "dot"):
        result = decode_tokens(x, torch.ones(x.shape[:2]), ENCODER, metric)
        assert not bool(torch.isin(result.ids, never).any())
    first = int(decode_tokens(x, torch.ones(x.shape[:2]), ENCODER).ids[0, 0])
    again = decode_tokens(
        x, torch.ones(x.shape[:2]), ENCODER, exclude=torch.tensor([first])
    )
    assert first not in again.ids.tolist()[0]


def test_words_of_given_texts_alone() -> None:
    x, mask = drawn(3, 5, 32), torch.ones(3, 5)
    result = decode_tokens(x, mask, ENCODER, within=TEXTS)
    allowed = {i for row in ENCODER.tokens(TEXTS).ids.tolist() for i in row}
    assert {i for row in result.ids.tolist() for i in row} <= allowed
    table = StaticTable.of((["good", "film", "rare"], torch.eye(3)))
    free = decode_tokens(torch.eye(3)[None], torch.ones(1, 3), table)
    tied = decode_tokens(
        torch.eye(3)[None], torch.ones(1, 3), table, within=["good film"]
    )
    assert free.texts == ("good film rare",) and "rare" not in tied.texts[0]


def test_pieces_that_merge_are_told() -> None:
    """A text whose tokens are cut otherwise again does not come back."""
    words = ENCODER.tokenizer.get_vocab()
    ids = torch.tensor([[words["good"], words["film"]], [words["##s"], words["good"]]])
    result = decode_tokens(ENCODER.embed(ids), torch.ones(2, 2), ENCODER)
    assert torch.equal(result.ids, ids)
    assert result.returned.tolist()[0] == 1.0 and result.returned.tolist()[1] < 1.0
    assert result.round_trip == 0.5


def test_padding_holds_no_word() -> None:
    mask = torch.tensor([[1, 1, 0]])
    result = decode_tokens(drawn(1, 3, 6), mask, table())
    assert result.ids[0, 2] == 0 and result.similarity[0, 2] == 0
    assert len(result.texts[0].split()) == 2
    with pytest.raises(ValueError, match="mask"):
        decode_tokens(drawn(1, 3, 6), torch.ones(1, 4), table())
    with pytest.raises(ValueError, match="width"):
        decode_tokens(drawn(1, 3, 7), mask, table())


# --- sentences ------------------------------------------------------------------------


def test_the_assignment_is_the_best_of_all() -> None:
    x, corpus = drawn(3, 4), drawn(6, 4, seed=1)
    result = decode_sentences(x, corpus, same_class=False)
    cosines = F.normalize(x, dim=1) @ F.normalize(corpus, dim=1).mT
    best = max(
        sum(float(cosines[i, j]) for i, j in enumerate(choice))
        for choice in itertools.permutations(range(6), 3)
    )
    assert float(result.cosine.sum()) == pytest.approx(best, abs=1e-5)
    expected = cosines[torch.arange(3), result.rows]
    assert torch.allclose(result.cosine, expected, atol=1e-6)


def test_unique_never_repeats_and_classes_are_kept() -> None:
    """Even where all features are one; without it all take the same sentence."""
    x = drawn(1, 5).expand(8, 5) + 1e-3 * drawn(8, 5)
    corpus, y = drawn(40, 5, seed=1), torch.arange(8) % 2
    theirs = torch.arange(40) % 2
    result = decode_sentences(x, corpus, y, theirs)
    assert len(set(result.rows.tolist())) == 8 and result.unique == 1.0
    assert torch.equal(theirs[result.rows], y)
    loose = decode_sentences(x, corpus, y, theirs, unique=False)
    assert loose.unique == 0.25
    anyone = decode_sentences(x, corpus, same_class=False, unique=False)
    assert len(anyone.rows.unique()) == 1


def test_sentences_that_cannot_be_had_are_refused() -> None:
    x, corpus, y = drawn(3, 4), drawn(3, 4), torch.zeros(3).long()
    with pytest.raises(ValueError, match="labels"):
        decode_sentences(x, corpus)
    with pytest.raises(ValueError, match="class 0 has 2"):
        decode_sentences(x, corpus, y, torch.tensor([0, 0, 1]))
    with pytest.raises(ValueError, match="features"):
        decode_sentences(x, drawn(3, 5), same_class=False)
    with pytest.raises(ValueError, match="corpus_labels"):
        decode_sentences(x, corpus, y, y[:2])


def test_most_alike_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, corpus = drawn(4, 3), drawn(50, 3, seed=1)
    expected = (x @ corpus.mT).topk(7, dim=1)
    monkeypatch.setattr("multidd.text.models.nearest.BLOCK", 8)
    value, place = most_alike(x, corpus, 7)
    assert torch.allclose(value, expected.values) and torch.equal(
        place, expected.indices
    )


def test_most_alike_by_faiss_where_it_is_installed(monkeypatch) -> None:
    """A stand-in for the index, which takes and gives arrays."""

    class IndexFlatIP:
        def __init__(self, width: int) -> None:
            self.rows = numpy.empty((0, width), numpy.float32)

        def add(self, rows: numpy.ndarray) -> None:
            self.rows = numpy.concatenate([self.rows, rows])

        def search(self, x: numpy.ndarray, count: int) -> tuple:
            best = torch.from_numpy(x @ self.rows.T).topk(count, dim=1)
            return best.values.numpy(), best.indices.numpy()

    faiss = ModuleType("faiss")
    faiss.__spec__, faiss.IndexFlatIP = ModuleSpec("faiss", None), IndexFlatIP
    monkeypatch.setitem(sys.modules, "faiss", faiss)
    x, corpus = drawn(4, 3), drawn(50, 3, seed=1)
    expected = most_alike(x, corpus, 7)
    monkeypatch.setattr("multidd.text.models.nearest.LARGE", 49)
    monkeypatch.setattr("multidd.text.models.nearest.BLOCK", None)  # not used then
    value, place = most_alike(x, corpus, 7)
    assert torch.allclose(value, expected[0]) and torch.equal(place, expected[1])


# --- stages ---------------------------------------------------------------------------


def test_straight_through_has_no_gap() -> None:
    """The decoded text has the features of the vectors where it comes back whole."""
    summary = tokens(
        TEXTS,
        2,
        encoder=ENCODER,
        steps=10,
        options=TokensOptions(length=6, project="straight_through", swaps=0),
    )
    text = to_words(summary, ENCODER)
    settings = text.card.settings["decoding"]
    assert settings["similarity"] == pytest.approx(1.0, abs=1e-5)
    vocabulary = Vocabulary.of(ENCODER)
    same, of = vocabulary.returned(
        text.texts, summary.tensors["ids"], summary.tensors["mask"]
    ).T
    with torch.no_grad():
        seen = ENCODER.through(summary.tensors["x"], summary.tensors["mask"])
    whole = same == of
    assert float(whole.float().mean()) == settings["round_trip"]
    assert torch.allclose(text.tensors["x"][whole], seen[whole], atol=1e-5)
    assert torch.equal(text.tensors["y_soft"], summary.tensors["y_soft"])
    assert len(text.decode()) == 4


def test_words_of_static_vectors_keep_learned_steps() -> None:
    summary = tbptt(
        TEXTS,
        1,
        encoder=table(),
        steps=2,
        options=TBPTTOptions(model="linear", syn_steps=2),
    )
    text = to_words(summary, table(), within=TEXTS)
    assert (
        text.texts is not None and text.tensors["x"].shape == summary.tensors["x"].shape
    )
    net = multidd.text.learner("linear")
    multidd.text.replay(net, text, table=table())
    with pytest.raises(ValueError, match="embedding table"):
        to_words(summary, StaticTable.of((["good", "film"], torch.eye(2))))
    other = tiny.encoder(seed=1)
    summary = tokens(
        TEXTS, 1, encoder=ENCODER, steps=0, options=TokensOptions(length=5)
    )
    with pytest.raises(ValueError, match="embedding table"):
        to_words(summary, other)


def test_sentences_with_labels_solved_again(tmp_path) -> None:
    """Never a larger squared error on the training texts than the labels before."""
    summary = kip(TEXTS, 2, encoder=ENCODER, steps=5)
    text = to_sentences(summary, TEXTS, encoder=ENCODER)
    assert len(set(text.texts)) == 4
    assert [TEXTS.texts[i] for i in text.tensors["source"]] == list(text.texts)
    assert torch.equal(TEXTS.labels[text.tensors["source"]], text.tensors["y"])
    ridged = resolved(text, TEXTS, encoder=ENCODER, ridge=1e-3)
    assert ridged.card.settings["kernel"]["ridge"] == 1e-3
    x, goal = features(ENCODER, TEXTS), F.one_hot(TEXTS.labels, 2).float() - 0.5
    costs = []
    for one in (text, resolved(text, TEXTS, encoder=ENCODER)):
        y = one.to_tensors()[1]
        model = kernel_model(one.tensors["x"], y, one.card.settings["kernel"])
        costs.append(float((model(x) - goal).square().sum()))
    assert costs[1] < costs[0]
    assert multidd.load(ridged.save(tmp_path / "a")).texts == ridged.texts
    with pytest.raises(ValueError, match="encoder"):
        to_sentences(summary, TEXTS, encoder=tiny.encoder(seed=1))
    with pytest.raises(ValueError, match="no token vectors"):
        to_words(summary, ENCODER)


def test_best_labels_have_mean_zero() -> None:
    corpus = F.normalize(drawn(30, 6), dim=1)
    y = torch.arange(30) % 3
    result = best_labels(corpus[:6], corpus, y, 3, DEFAULT | {"ridge": 1e-2})
    assert float(result.mean(1).abs().max()) < 1e-4


def test_a_set_of_token_vectors_as_sentences() -> None:
    summary = tokens(
        TEXTS, 1, encoder=ENCODER, steps=3, options=TokensOptions(length=6)
    )
    text = to_sentences(summary, TEXTS, encoder=ENCODER)
    assert text.tensors["x"].shape == (2, 32) and "mask" not in text.tensors
    with pytest.raises(ValueError, match="embedding table"):
        card = replace(
            summary.card, settings=dict(summary.card.settings) | {"table": {}}
        )
        to_sentences(type(summary)(summary.tensors, card), TEXTS, encoder=ENCODER)
