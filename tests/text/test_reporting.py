"""The report of a set: its stages, rows beside it, facts of its text."""

import pytest

from multidd import text
from multidd.text.reporting import overlap
from tests.text import sets

TRAIN, TEST = sets.texts(), sets.texts((9, 9, 9), start=40)
BESIDE = ["random", "herding", "medoids", "whole"]


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))


@pytest.mark.parametrize("method", ["kip", "tokens", "pursuit"])
def test_every_kind_of_set_is_told_whole(method):
    settings = {} if method == "pursuit" else {"steps": 3}
    made = text.METHODS[method](TRAIN, 2, model=sets.encoder(), **settings)
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


def test_overlap_is_that_of_words():
    assert overlap(["a b c d"], ["x y", "A b q"]) == 0.5
    assert overlap(["x"], []) == 0.0
