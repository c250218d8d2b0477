"""The recipe of token vectors through a frozen encoder."""

import pytest
import torch

import multidd
from multidd import distill, seeds
from multidd.engine.recipe import call
from multidd.learning.kernel_sources import Plain
from multidd.learning.optim import Adam
from multidd.objectives import KernelRidge
from multidd.parameterizations import Free, Labels
from multidd.selection.basic import Medoids
from multidd.text import StaticTable, TokensOptions, TokenTask, tokens
from multidd.text.evaluation import published
from multidd.text.models.encoder import Encoder
from multidd.text.summary.decode import resolved, to_words
from multidd.text.tasks.projection import Closeness
from tests.text import tiny
from tests.text.films import ENCODER, TEXTS

# --- the recipe -----------------------------------------------------------------------


@pytest.mark.parametrize("project", ["free", "straight_through", "softmax", "gumbel"])
def test_tokens_lowers_its_loss(project: str) -> None:
    options = TokensOptions(length=6, project=project, swaps=0)
    summary = tokens(TEXTS, 1, encoder=ENCODER, steps=30, options=options)
    history = summary.card.history
    assert min(history[-5:]) < history[0]
    assert summary.card.labels == "centered" and summary.card.method == "tokens"
    assert summary.card.settings["encoder"]["key"] == ENCODER.key
    if project != "free":  # rows of the table, but for rounding of none
        rows = ENCODER.embedding_table()
        x, ids = summary.tensors["x"], summary.tensors["ids"]
        assert torch.equal(x, rows[ids])


def test_published_stages_are_its_words_and_their_labels(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder.of(tiny.folder(tmp_path), max_length=32)
    options = TokensOptions(length=6, swaps=0)
    summary = tokens(TEXTS, 1, encoder=encoder, steps=2, options=options)
    loaded = []

    def load(data):
        loaded.append(data)
        return TEXTS, {}

    monkeypatch.setattr(published, "load_for_evaluation", load)
    words, again = (stage(summary, "films") for stage in published.STAGES.values())
    assert words.digest() == to_words(summary, encoder).digest() and words.texts
    assert again.digest() == resolved(words, TEXTS, encoder=encoder).digest()
    assert loaded == ["films"]  # labels alone need the data


def test_closeness_keeps_vectors_nearer_to_words() -> None:
    task = TokenTask(TEXTS, ENCODER, length=6)
    results = []
    for weight in (0.0, 10.0):
        summary = tokens(
            TEXTS,
            1,
            encoder=ENCODER,
            steps=30,
            options=TokensOptions(length=6, lr=0.05, closeness=weight),
        )
        batch = task.synthetic(dict(summary.tensors))
        results.append(float(Closeness().loss(task, {}, batch, seeds.at(0, "l"))))
    assert results[1] < 0.5 * results[0]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"project": "hard"}, "project"),
        ({"closeness": -1.0}, "closeness"),
        ({"closeness": 1.0, "project": "gumbel"}, "tied already"),
        ({"init": "kmeans"}, "real texts"),
        ({"labels": "teacher"}, "onehot"),
        ({"steps": -1}, "steps"),
        ({"per_class": 99}, "per_class"),
    ],
)
def test_bad_recipes_are_refused(settings: dict, match: str) -> None:
    other_settings = {"per_class": 1, "steps": 1} | settings
    with pytest.raises(ValueError, match=match):
        call(tokens, TEXTS, encoder=ENCODER, **other_settings)


def test_best_iterate_by_validation() -> None:
    best = multidd.SelectBest(every=2)
    summary = tokens(
        TEXTS,
        1,
        encoder=ENCODER,
        steps=4,
        options=TokensOptions(length=6, val_share=4),
        run=multidd.RunOptions(select_best=best),
    )
    assert summary.card.steps == 4 and summary.card.source["texts"] == 6


# --- real texts -----------------------------------------------------------------------


@pytest.mark.data("text/trec6")
def test_trec6_starts_and_moves() -> None:
    """The start is the medoid of its class; a step of KRR lowers the loss."""
    data = multidd.text.load("trec6")
    few = data.train.take(torch.arange(200))
    task = TokenTask(few, StaticTable.of(), length=12)
    form = Labels(Free(Medoids(), (1,) * 6), "onehot")
    optimizer = {"x": Adam(0.05), "y_soft": Adam(0.05)}
    summary = distill(
        task, KernelRidge(Plain(), ridge=1e-3), form, steps=20, optimizer=optimizer
    )
    assert summary.card.history[-1] < 0.8 * summary.card.history[0]
