"""The report of a set: its stages, rows beside it, facts of its text."""

import pytest
import torch

from multidd import text
from multidd.engine.recipe import call
from multidd.text.evaluation.report import overlap
from multidd.text.models.word_vectors import StaticTable
from tests.text import sets

TRAIN, TEST = sets.texts(), sets.texts((9, 9, 9), start=40)
LABELS = ("same labels", "labels solved again")
BESIDE = ["random", "herding", "medoids", "whole"]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))


@pytest.mark.parametrize("method", ["kip", "tokens", "pursuit"])
def test_every_kind_of_set_is_told_whole(method):
    settings = {} if method == "pursuit" else {"steps": 3}
    made = text.METHODS[method](TRAIN, 2, encoder=sets.encoder(), **settings)
    found = made.report(TEST, TRAIN, encoder=sets.encoder())
    own = ["embeddings", "decoded, same labels", "decoded, labels solved again"]
    if method == "pursuit":
        own = ["texts", "texts, labels solved again"]
    assert list(found.accuracy) == [*own, *BESIDE]
    for row in found.accuracy.values():
        assert set(row) == {"kernel", "logistic"}
        assert all(0 <= value <= 1 for value in row.values())
    assert 0 < found.facts["unique"] <= 1 and 0 <= found.facts["overlap"] <= 1
    assert ("round_trip" in found.facts) == (method == "tokens")
    assert ("cosine" in found.facts) == (method != "pursuit")
    assert "| whole |" in found.to_markdown() and "overlap" in repr(found)


def test_a_set_on_word_vectors_is_told_whole():
    """By its own steps, and by its text as other learners see it."""
    words = sorted(
        {word for one in (*TRAIN.texts, *TEST.texts) for word in one.split()}
    )
    vectors = StaticTable.of((words, torch.eye(len(words)).tolist()))
    made = text.tbptt(
        TRAIN,
        2,
        encoder=vectors,
        steps=3,
        options=text.TBPTTOptions(model="linear", length=6),
    )
    found = made.report(TEST, TRAIN, encoder=sets.encoder(), vectors=vectors)
    own = ["embeddings", "decoded, its steps"]
    both = [f"decoded, {how}" for how in LABELS]
    assert list(found.accuracy) == [*own, *both, *BESIDE]
    assert [set(found.accuracy[name]) for name in own] == [{"replay"}] * 2
    assert set(found.accuracy[both[0]]) == {"kernel", "logistic"}
    train = made.report(TRAIN, TRAIN, encoder=sets.encoder(), vectors=vectors).accuracy
    assert train[both[1]]["kernel"] >= train[both[0]]["kernel"]
    assert found.facts["round_trip"] > 0
    assert made.tensors["x"].dim() == 3 and made.texts is None  # left as it was


@pytest.mark.parametrize("per_class", [1, 3])
@pytest.mark.parametrize("method", ["kip", "dm", "tokens", "attention_labels"])
def test_labels_solved_again_are_never_worse_on_training_texts(method, per_class):
    """Told of every set that is decoded. The solved labels of dm at one and three per
    class have less squared error, and fewer right answers: the old ones stay."""
    settings = {"per_class": per_class, "encoder": sets.encoder(), "steps": 20}
    settings |= {"warmup_steps": 5} if method == "attention_labels" else {}
    made = call(text.METHODS[method], TRAIN, **settings)
    found = made.report(TRAIN, TRAIN, encoder=sets.encoder()).accuracy
    same, solved = (found[f"decoded, {how}"] for how in LABELS)
    assert solved["kernel"] >= same["kernel"]
    assert solved["logistic"] == same["logistic"]  # by hard labels, which stay


def test_labels_that_stay_are_told():
    made = text.dm(TRAIN, 1, encoder=sets.encoder(), steps=20)
    words = text.to_sentences(made, TRAIN, encoder=sets.encoder())
    kept = text.resolved(words, TRAIN, encoder=sets.encoder())
    assert kept.card.settings["resolved"] is False and kept.card.labels == "hard"
    assert "y_soft" not in kept.tensors
    many = text.to_sentences(
        text.kip(TRAIN, 3, encoder=sets.encoder(), steps=20),
        TRAIN,
        encoder=sets.encoder(),
    )
    solved = text.resolved(many, TRAIN, encoder=sets.encoder())
    assert solved.card.settings["resolved"] is True and "y_soft" in solved.tensors


def test_overlap_is_that_of_words():
    assert overlap(["a b c d"], ["x y", "A b q"]) == 0.5
    assert overlap(["x"], []) == 0.0
