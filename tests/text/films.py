"""Ten short texts of films, their tiny encoder and word vectors, for token vectors."""

import torch

from multidd import seeds
from multidd.parameterizations import Free
from multidd.selection.basic import Random
from multidd.text import StaticTable, TokenTask
from multidd.text.data.readers import as_texts
from tests.text import tiny

GOOD = ("a good film", "great movie", "fine story", "loved this music", "a funny plot")
BAD = ("a bad film", "dull movie", "boring story", "hated this music", "a sad plot")
TEXTS = as_texts([*GOOD, *BAD], [1] * 5 + [0] * 5)
ENCODER = tiny.encoder()


def table() -> StaticTable:
    """Random vectors of the words of the texts."""
    words = sorted({word for text in TEXTS.texts for word in text.split()})
    rows = torch.randn(len(words), 6, generator=seeds.at(0, "rows"))
    return StaticTable.of((words, rows))


def started(task: TokenTask, counts: tuple[int, ...] = (1, 1)) -> dict:
    """Token vectors of random texts."""
    return Free(Random(), counts).init(task, seeds.at(0, "start"))
