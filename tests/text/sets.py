"""Small labelled texts and their tiny encoder, for tests of methods."""

from functools import cache

import torch

from multidd.text.data.texts import Texts
from multidd.text.models.encoder import Encoder
from tests.text import tiny

CLASSES = ("place", "film", "number")
_WORDS = (
    ("city", "river", "country", "mountain", "town", "capital"),
    ("film", "actor", "plot", "scene", "movie", "music"),
    ("number", "sum", "hundred", "three", "count", "ten"),
)


@cache
def encoder() -> Encoder:
    """The tiny encoder."""
    return tiny.encoder()


def texts(sizes: tuple[int, ...] = (12, 10, 8), start: int = 0) -> Texts:
    """Texts of three classes that differ by their words, no two alike."""
    rows, labels = [], []
    for label, size in enumerate(sizes):
        words = _WORDS[label]
        for i in range(start, start + size):
            more = tiny.WORDS[7 * i % len(tiny.WORDS)]
            rows.append(f"the {words[i % 6]} and {words[(i + 1 + i // 6) % 6]} {more}")
            labels.append(label)
    values = (0, 1, 2)
    return Texts(tuple(rows), None, torch.tensor(labels), CLASSES, values, "tiny")


def pairs() -> Texts:
    """The same with second texts."""
    some = texts()
    second = tuple(f"is it a {text.split()[1]} ?" for text in some.texts)
    parts = some.labels, some.classes, some.values, some.name
    return Texts(some.texts, second, *parts)
