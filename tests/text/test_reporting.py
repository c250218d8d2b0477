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
    result = text.METHODS[method](TRAIN, 2, encoder=sets.encoder(), **settings)
    report = result.report(TEST, TRAIN, encoder=sets.encoder())
    rows = ["embeddings", "decoded, same labels", "decoded, labels solved again"]
    if method == "pursuit":
        rows = ["texts", "texts, labels solved again"]
    assert list(report.accuracy) == [*rows, *BESIDE]
    for row in report.accuracy.values():
        assert set(row) == {"kernel", "logistic"}
        assert all(0 <= value <= 1 for value in row.values())
    assert 0 < report.facts["unique"] <= 1 and 0 <= report.facts["overlap"] <= 1
    assert ("round_trip" in report.facts) == (method == "tokens")
    assert ("cosine" in report.facts) == (method != "pursuit")
    assert "| whole |" in report.to_markdown() and "overlap" in repr(report)


def test_a_set_on_word_vectors_is_told_whole():
    """By its own steps, and by its text as other learners see it."""
    words = sorted(
        {word for one in (*TRAIN.texts, *TEST.texts) for word in one.split()}
    )
    vectors = StaticTable.of((words, torch.eye(len(words)).tolist()))
    summary = text.tbptt(
        TRAIN,
        2,
        encoder=vectors,
        steps=3,
        options=text.TBPTTOptions(model="linear", length=6),
    )
    report = summary.report(TEST, TRAIN, encoder=sets.encoder(), vectors=vectors)
    rows = ["embeddings", "decoded, its steps"]
    both = [f"decoded, {how}" for how in LABELS]
    assert list(report.accuracy) == [*rows, *both, *BESIDE]
    assert [set(report.accuracy[name]) for name in rows] == [{"replay"}] * 2
    assert set(report.accuracy[both[0]]) == {"kernel", "logistic"}
    train = summary.report(
        TRAIN, TRAIN, encoder=sets.encoder(), vectors=vectors
    ).accuracy
    assert train[both[1]]["kernel"] >= train[both[0]]["kernel"]
    assert report.facts["round_trip"] > 0
    assert summary.tensors["x"].dim() == 3 and summary.texts is None  # left as it was


@pytest.mark.parametrize("per_class", [1, 3])
@pytest.mark.parametrize("method", ["kip", "dm", "tokens", "attention_labels"])
def test_labels_solved_again_are_never_worse_on_training_texts(method, per_class):
    """Told of every set that is decoded. The solved labels of dm at one and three per
    class have less squared error, and fewer right answers: the old ones stay."""
    settings = {"per_class": per_class, "encoder": sets.encoder(), "steps": 20}
    settings |= {"warmup_steps": 5} if method == "attention_labels" else {}
    result = call(text.METHODS[method], TRAIN, **settings)
    report = result.report(TRAIN, TRAIN, encoder=sets.encoder()).accuracy
    same, solved = (report[f"decoded, {how}"] for how in LABELS)
    assert solved["kernel"] >= same["kernel"]
    assert solved["logistic"] == same["logistic"]  # by hard labels, which stay


def test_labels_that_stay_are_told():
    summary = text.dm(TRAIN, 1, encoder=sets.encoder(), steps=20)
    words = text.to_sentences(summary, TRAIN, encoder=sets.encoder())
    resolved_summary = text.resolved(words, TRAIN, encoder=sets.encoder())
    assert (
        resolved_summary.card.settings["resolved"] is False
        and resolved_summary.card.labels == "hard"
    )
    assert "y_soft" not in resolved_summary.tensors
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
