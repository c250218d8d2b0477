"""The lines of `multidd bench text`."""

from collections.abc import Callable, Iterable, Mapping
from itertools import product

import torch
from torch import Tensor

from multidd.data.sources import below_root
from multidd.errors import MultiddError
from multidd.evaluation.lines import Line
from multidd.settings import versions
from multidd.summary import Card
from multidd.text.data.benchmarks import load_for_evaluation
from multidd.text.data.texts import Texts
from multidd.text.models.encoder import Encoder, encoder_of, encoder_settings
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import DEFAULT
from multidd.text.summary.decode import resolved, to_words
from multidd.text.summary.storage import stored
from multidd.text.summary.summary import TextSummary

__all__ = ["STAGES", "dilm"]


_FOLDER = "dilm_sst2"


def dilm(data: Texts, per_class: int, *, seed: int = 0) -> TextSummary:
    """The text of SST-2 that DiLM's authors published, made for BERT by theirs.

    Args:
        data: SST-2, for its classes.
        per_class: 5, 10 or 20.
        seed: which of their twenty sets.

    Raises:
        MultiddError: the file is not below the data root.
        ValueError: another size, or no set of this number.

    Reference:
        Maekawa, Kosugi, Funakoshi, Okumura, "DiLM: Distilling Dataset into Language
        Model for Text-level Dataset Distillation", Findings of NAACL 2024.
    """
    import pandas

    folder = below_root([f"text/{_FOLDER}", _FOLDER])
    if folder is None:
        raise MultiddError(
            f"the published text is not here: put {_FOLDER}.parquet into a folder "
            f"text/{_FOLDER} below MULTIDD_DATA"
        )
    table = pandas.read_parquet(folder / f"{_FOLDER}.parquet")
    some = table[(table["dpc"] == per_class) & (table["dataset_id"] == seed)]
    if some.empty:
        raise ValueError(
            f"there are sets of 5, 10 and 20 texts of each class, numbered from 0 to "
            f"19; got per_class={per_class} and seed={seed}"
        )
    encoder, texts = Encoder.of(), [str(text) for text in some["text"]]
    source = data.describe() | {"names": list(data.classes)}
    settings = {
        "per_class": per_class,
        "encoder": encoder_settings(encoder),
        "kernel": DEFAULT,
    }
    card = Card("dilm", settings, seed, source, versions())
    y = torch.from_numpy(some["label"].to_numpy().copy())
    return TextSummary.of({"x": features(encoder, texts), "y": y}, card, texts)


SMALLEST = {"per_class": 1}
"""A budget that any set has."""

CARDED = True
"""Seconds are those of the card: encoding, done once and kept, is not counted."""

FIXED = {"labels": "centered", "gamma": 0.5}
"""One embedding of each class, whose label is not learned."""

SELECTIONS = ("random", "herding", "medoids", "kmeans")

FEATURES = ("kernel", "logistic")

MODELS = (*FEATURES, "textcnn")

SIZES = (5, 10, 20)

PLAIN = {"hard_weight": 0.0, "class_weight": 0.0, "swaps": 0}
"""Pursuit alone, as the trial had it."""

TREC = {
    ("kip", 5, "kernel"): "92.9 (trial)",
    ("kip", 5, "logistic"): "71.1 (trial)",
    ("pursuit", 5, "kernel"): "79.8 (trial)",
    ("pursuit", 10, "kernel"): "85.0 (trial)",
    ("pursuit", 20, "kernel"): "88.0 (trial)",
    ("pursuit", 5, "logistic"): "73.2 (trial)",
    ("pursuit", 10, "logistic"): "75.8 (trial)",
    ("pursuit", 20, "logistic"): "74.8 (trial)",
    ("pursuit", 5, "textcnn"): "57.2 (trial)",
    ("pursuit", 20, "textcnn"): "54.5 (trial)",
    ("random", 1, "logistic"): "30.2 (trial)",
    ("random", 5, "logistic"): "48.4 (trial)",
    ("random", 10, "logistic"): "54.7 (trial)",
    ("random", 20, "logistic"): "67.5 (trial)",
    ("random", 5, "textcnn"): "37.6 (trial)",
    ("random", 20, "textcnn"): "47.5 (trial)",
    ("herding", 1, "logistic"): "52.0 (trial)",
    ("herding", 5, "logistic"): "62.8 (trial)",
    ("herding", 10, "logistic"): "76.8 (trial)",
    ("herding", 20, "logistic"): "78.0 (trial)",
    ("medoids", 1, "logistic"): "52.0 (trial)",
    ("medoids", 5, "logistic"): "63.9 (trial)",
    ("medoids", 10, "logistic"): "70.4 (trial)",
    ("medoids", 20, "logistic"): "70.3 (trial)",
    ("medoids", 5, "textcnn"): "51.7 (trial)",
    ("medoids", 20, "textcnn"): "61.7 (trial)",
    ("kmeans", 1, "logistic"): "64.0 (trial)",
    ("kmeans", 5, "logistic"): "72.5 (trial)",
    ("kmeans", 10, "logistic"): "73.2 (trial)",
    ("kmeans", 20, "logistic"): "71.6 (trial)",
    ("whole", 0, "kernel"): "92.2 (trial, 3,000 texts)",
    ("whole", 0, "logistic"): "90.2 (trial)",
    ("whole", 0, "textcnn"): "86.2 (trial)",
}
"""Method, texts of each class and model -> what an earlier program of ours reached on
TREC-6; nobody publishes these. On rows of selections with hard labels alone."""

SST = {
    ("pursuit", 5, "kernel"): "79.6 (trial)",
    ("pursuit", 10, "kernel"): "80.1 (trial)",
    ("pursuit", 20, "kernel"): "80.6 (trial)",
    ("pursuit", 5, "logistic"): "78.2 (trial)",
    ("pursuit", 10, "logistic"): "79.2 (trial)",
    ("pursuit", 20, "logistic"): "78.4 (trial)",
    ("pursuit", 5, "textcnn"): "58.1 (trial)",
    ("pursuit", 20, "textcnn"): "61.7 (trial)",
    ("random", 5, "logistic"): "61.2 (trial), 58.1 (paper, BERT)",
    ("random", 10, "logistic"): "65.1 (trial), 64.3 (paper, BERT)",
    ("random", 20, "logistic"): "69.8 (trial), 70.3 (paper, BERT)",
    ("random", 5, "textcnn"): "53.8 (trial)",
    ("random", 20, "textcnn"): "59.4 (trial)",
    ("herding", 5, "logistic"): "68.6 (trial), 70.2 (paper, BERT)",
    ("herding", 10, "logistic"): "71.8 (trial), 73.2 (paper, BERT)",
    ("herding", 20, "logistic"): "76.4 (trial), 76.9 (paper, BERT)",
    ("medoids", 5, "logistic"): "70.4 (trial), 70.8 (paper, BERT)",
    ("medoids", 10, "logistic"): "73.8 (trial), 75.9 (paper, BERT)",
    ("medoids", 20, "logistic"): "75.9 (trial), 79.8 (paper, BERT)",
    ("medoids", 5, "textcnn"): "54.5 (trial)",
    ("medoids", 20, "textcnn"): "65.9 (trial)",
    ("kmeans", 5, "logistic"): "79.0 (trial)",
    ("kmeans", 10, "logistic"): "79.8 (trial)",
    ("kmeans", 20, "logistic"): "80.5 (trial)",
    ("whole", 0, "kernel"): "80.2 (trial)",
    ("whole", 0, "logistic"): "81.7 (trial), 92.7 (paper, BERT)",
    ("whole", 0, "textcnn"): "77.1 (trial)",
}
"""The same on SST-2. A paper is of BERT, fine-tuned, on the validation part."""

DILM = {
    ("dilm", 5, "logistic"): "67.5 (trial, dev), 72.5 (paper, BERT)",
    ("dilm", 10, "logistic"): "70.6 (trial, dev), 76.3 (paper, BERT)",
    ("dilm", 20, "logistic"): "73.6 (trial, dev), 80.3 (paper, BERT)",
}
"""The text that another program published, beside ours."""

METHODS = {"dilm": dilm}
"""Sets that no method here makes."""

ATTENDED = "93.2 of 94.7 (paper, BERT, AG News)"

TAUGHT = "63.5 (trial), 62.0 (paper, LSTM)"

SNAPPED = {"project": "straight_through"}

UNSWAPPED = {"project": "straight_through", "swaps": 0}

HARD = {"labels": "hard", "length": 80}
"""As Li and Li have it: labels are not learned, and texts are long."""

Told = Mapping[tuple[str, int, str], str]


def _rows(
    data: str,
    reference: Told,
    methods: Iterable[str],
    sizes: Iterable[int],
    **settings: float,
) -> tuple[Line, ...]:
    """Each method with so many texts of each class, under each model that takes it."""
    return tuple(
        Line(
            data,
            {"per_class": size},
            name,
            reference.get((name, size, model), ""),
            settings,
            (model,),
        )
        for size, name in product(sizes, methods)
        for model in _models(name, size)
    )


def _models(method: str, size: int) -> tuple[str, ...]:
    """Networks train on texts; with one of each class they learn nothing."""
    return FEATURES if size == 1 or method in ("kip", "kmeans") else MODELS


def _whole(data: str, reference: Told) -> tuple[Line, ...]:
    return tuple(
        Line(data, {}, "whole", reference.get(("whole", 0, model), ""), models=(model,))
        for model in MODELS
    )


LINES = (
    *_whole("trec6", TREC),
    Line("trec6", {"per_class": 1}, "kip", "90.0 (trial)", FIXED, ("kernel",)),
    Line("trec6", {"per_class": 1}, "kip", "89.5 (trial)", FIXED, ("logistic",)),
    *_rows("trec6", TREC, ("kip",), (1, 5)),
    *_rows("trec6", TREC, SELECTIONS, (1,)),
    *_rows("trec6", TREC, ("pursuit", *SELECTIONS), SIZES),
    *_rows("trec6", TREC, ("pursuit",), SIZES, **PLAIN),
    *_whole("sst2", SST),
    *_rows("sst2", SST, ("pursuit", *SELECTIONS), SIZES),
    *_rows("sst2", SST, ("pursuit",), SIZES, **PLAIN),
    *_rows("sst2", DILM, ("dilm",), SIZES),
    # Token vectors, and their text.
    Line("trec6", SMALLEST, "tokens", "88.0 (trial)", models=("kernel",)),
    Line("trec6", SMALLEST, "tokens", "48.6 (trial)", {}, ("kernel",), None, "words"),
    Line("trec6", SMALLEST, "tokens", "", SNAPPED, ("kernel",)),
    Line("trec6", SMALLEST, "tokens", "", SNAPPED, ("kernel",), None, "words"),
    Line("trec6", SMALLEST, "tokens", "70.2 (trial)", UNSWAPPED, ("kernel",)),
    Line(
        "trec6",
        SMALLEST,
        "tokens",
        "67.6 (trial)",
        UNSWAPPED,
        ("kernel",),
        None,
        "words",
    ),
    # The learned steps, on fresh learners.
    Line("trec6", SMALLEST, "tbptt", TAUGHT, models=("replay",)),
    Line("trec6", SMALLEST, "tbptt", TAUGHT, HARD, ("replay",)),
    Line("trec6", SMALLEST, "attention_labels", ATTENDED, models=("replay",)),
    Line("sst2", SMALLEST, "attention_labels", ATTENDED, models=("replay",)),
    # What anyone can run: the sample that ships with the library.
    *_whole("sample:sms", {}),
    *_rows("sample:sms", {}, ("pursuit", "kip", *SELECTIONS), (10,)),
)

PAPER_LINES = tuple(
    Line("sample:sms", {"per_class": 10}, name, models=("softmax",))
    for name in ("dm", "dc")
)
"""The lines of `multidd bench paper`."""


REGIMES = tuple(
    Line("sample:sms", {"per_class": 10}, name, models=("softmax",))
    for name in ("kmeans", "medoids", "pursuit", "kip", "frepo", "dm", "dc", "mtt")
)
"""The lines of `multidd bench regimes`: the one model that any labels can train."""


BYTES = (Line("trec6", {"per_class": 5}, "kip", models=("kernel",)),)


def whole_tensors(texts: Texts) -> dict[str, Tensor]:
    """All texts as bytes, and their labels."""
    return {**stored(texts.texts, texts.pairs), "y": texts.labels}


WHOLE_TENSORS = whole_tensors


def same_split(data: str) -> bool:
    """True: every benchmark has a test part of its own."""
    return True


def words(summary: TextSummary, data: str) -> TextSummary:
    """The text of token vectors, from its strings, with the same labels."""
    return to_words(summary, encoder_of(summary.card))


def words_resolved(summary: TextSummary, data: str) -> TextSummary:
    """The same with labels solved again on the training texts."""
    return resolved(words(summary, data), load_for_evaluation(data)[0])


STAGES: dict[str, Callable[[TextSummary, str], TextSummary]] = {
    "words": words,
    "words, labels solved again": words_resolved,
}
"""By the name that lines have."""
