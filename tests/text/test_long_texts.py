"""Long texts and long cells: bounded memory, and what is cut is said."""

import csv
import warnings

import pytest
import torch

from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.recsys.data import sources
from multidd.recsys.data.readers import read_log
from multidd.text.data.readers import as_texts
from multidd.text.models import training
from multidd.text.models.tokenization import passes
from multidd.text.models.training import TextTrainingSet, network
from multidd.text.models.word_vectors import MAX_WORDS, StaticTable
from multidd.text.tasks.token_batch import Shown

TABLE = StaticTable.of((["good", "bad", "film"], torch.eye(3)))


@pytest.mark.parametrize("long", [0, 1, 5, 100])
def test_passes_hold_every_row_once_and_are_bounded(long):
    lengths = torch.randint(0, 9, (50,), generator=seeds.at(0, "lengths"))
    lengths[:long] += 100
    parts = list(passes(lengths, 16, max_tokens=150))
    assert torch.cat(parts).sort().values.equal(torch.arange(50))
    for rows in parts:
        tokens = len(rows) * int(lengths[rows].max())
        assert len(rows) == 1 or tokens <= 150
    if not long:
        assert [rows.tolist() for rows in parts] == [
            rows.tolist() for rows in torch.arange(50).split(16)
        ]


def test_scores_come_in_the_order_of_the_texts(monkeypatch):
    ids, mask = TABLE.ids(["good film", "bad " * 40, "film", "good", "bad film bad"])
    y = torch.tensor([1, 0, 1, 1, 0])
    targets = torch.nn.functional.one_hot(y, 2).float()
    records = TextTrainingSet((ids, mask), targets, y=y, weight=torch.ones(5))
    short = Protocol("one", epochs=2)
    answer, _ = network("textcnn", records, TABLE.vectors, short, 0)
    whole = answer((ids, mask))
    monkeypatch.setattr(training, "passes", lambda n, size: passes(n, size, 6))
    torch.testing.assert_close(answer((ids, mask)), whole)


def test_a_long_text_is_cut_and_said():
    texts = ["good film", "bad " * (MAX_WORDS + 5)]
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than 1,024 words"):
        ids, _ = TABLE.ids(texts)
    assert ids.shape == (2, MAX_WORDS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TABLE.ids(texts, length=2000)[0].shape == (2, 2000)
        assert TABLE.ids(["good"])[0].shape == (1, 1)


def test_means_of_vectors_are_taken_in_parts(monkeypatch):
    texts = as_texts(["good film", "bad", "film bad", "good"], [1, 0, 0, 1])
    whole = Shown.of(texts, TABLE, frozen=True).pooled
    monkeypatch.setattr("multidd.text.tasks.token_batch.BATCH_SIZE", 3)
    assert Shown.of(texts, TABLE, frozen=True).pooled.equal(whole)


# --- CSV --------------------------------------------------------------------------


def test_a_long_cell_is_read_and_the_limit_put_back(tmp_path):
    path = tmp_path / "papers.csv"
    long = "word " * 40_000
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], [long, "a"], ["short", "b"]])
    limit = csv.field_size_limit()
    assert as_texts(path).texts == (long, "short")
    path.write_text('text,label\n"never closed,a\n')
    with pytest.raises(ValueError, match="must stand in quotes"):
        as_texts(path)
    assert csv.field_size_limit() == limit


def test_line_breaks_in_cells_at_the_end_of_a_block(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "CSV_BLOCK", 1000)
    path = tmp_path / "reviews.csv"
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "review"])
        rows.writerows([i % 50, i, 'nice\n"product", ' * 12] for i in range(400))
    log = read_log(path)
    assert (len(log.user_ids), len(log.item_ids)) == (50, 400)
    path.write_text("user_id,item_id,review\n" + f'1,2,"{"x" * 5000}"\n' * 3)
    with pytest.raises(ValueError, match="has a row of more than .* MB, or a quote"):
        read_log(path)
