"""Word swaps: the loss, its slope, and a search that ends where no word is better."""

import dataclasses
import os
import signal

import pytest
import torch

from multidd.engine.recipe import call
from multidd.errors import RunInterrupted
from multidd.kernels import predict, resolve, ridge_solve
from multidd.protocols import Records
from multidd.selection.pursuit import row_weights
from multidd.text import (
    Encoder,
    TextSummary,
    TokensOptions,
    kip,
    load,
    swapped,
    to_words,
    tokens,
)
from multidd.text.data.readers import as_texts
from multidd.text.methods import word_swaps
from multidd.text.methods.word_swaps import WordSearch
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import (
    answers,
    kernel_model,
    kernel_of,
    one_hot,
)
from multidd.text.models.vocabulary import Vocabulary
from tests.text import tiny
from tests.text.films import ENCODER, TEXTS

KERNEL = {"kind": "rbf", "gamma": 1.0, "ridge": 1e-3}


def make_summary(seed: int = 0, **more) -> TextSummary:
    settings = {"steps": 2, "length": 6, "ridge": 1e-3} | more
    return call(tokens, TEXTS, per_class=2, encoder=ENCODER, seed=seed, **settings)


def words_of(summary: TextSummary) -> WordSearch:
    vocabulary = Vocabulary.of(ENCODER, TEXTS)
    real = Records(features(ENCODER, TEXTS), TEXTS.labels, 2)
    real = dataclasses.replace(real, weights=row_weights(real, 0.0))
    return WordSearch(ENCODER, vocabulary, summary.tensors, real, KERNEL)


def loss(x: torch.Tensor) -> float:
    """Of points with their best labels, term by term, by the regression itself."""
    real, goal = features(ENCODER, TEXTS).double(), one_hot(TEXTS.labels, 2) - 0.5
    kernel, x, goal = kernel_of(KERNEL), x.double(), goal.double()
    _, labels = resolve(kernel(x), kernel(real, x), goal, 1e-3)
    dual = ridge_solve(kernel(x), labels, 1e-3)
    error = (goal - predict(kernel(real, x), dual)).square().sum(1).mean()
    return float(error + 1e-3 * (dual * (kernel(x) @ dual)).sum())


# --- the loss and its slope -----------------------------------------------------------


def test_the_cost_of_a_candidate_is_the_loss_with_it() -> None:
    words = words_of(make_summary())
    assert words.cost == pytest.approx(loss(words.x), rel=1e-4)
    others = torch.cat([words.x[:1], words.x[2:]])
    tried = features(ENCODER, TEXTS)[:3]
    for cost, row in zip(words.costs(1, tried.double()), tried, strict=True):
        assert float(cost) == pytest.approx(loss(torch.cat([others, row[None]])), 1e-6)


def test_the_slope_is_that_of_the_loss_with_best_labels() -> None:
    """Against differences, in which the labels are solved anew each time."""
    words = words_of(make_summary())
    slope = words.slope(1)
    vectors, mask = ENCODER.embed(words.ids[1:2]), words.mask[1:2]
    for place, axis in ((1, 0), (2, 5), (3, 3)):
        costs = []
        for off in (1e-2, -1e-2):
            x = vectors.clone()
            x[0, place, axis] += off
            points = words.x.clone()
            points[1] = ENCODER.through(x, mask)[0].detach()
            costs.append(loss(points))
        expected = (costs[0] - costs[1]) / 2e-2
        assert float(slope[place, axis]) == pytest.approx(expected, rel=0.05, abs=1e-4)


# --- the search -----------------------------------------------------------------------


def test_it_ends_where_no_word_is_better() -> None:
    """Every word at every place, tried by hand: none lowers the loss."""
    start = make_summary()
    before = {name: tensor.clone() for name, tensor in start.tensors.items()}
    best = swapped(start, TEXTS, encoder=ENCODER, rounds=50, candidates=99)
    settings = best.card.settings["swapped"]
    assert settings["changed"] > 0 and settings["after"] < settings["before"]
    assert all(torch.equal(before[name], start.tensors[name]) for name in before)
    words = words_of(best)
    assert settings["after"] == pytest.approx(words.cost, rel=1e-5)
    for text in range(len(best)):
        for place in range(1, 5):
            rows = words.ids[text].repeat(len(words.words.words), 1)
            rows[:, place] = words.words.words
            x = words.features(rows, torch.full((len(rows),), text))
            assert float(words.costs(text, x).min()) > words.cost * (1 - 1e-6)


def test_what_it_gives() -> None:
    """Words, their vectors, labels in closed form; the same again by the same seed."""
    best = swapped(make_summary(), TEXTS, encoder=ENCODER, rounds=1, candidates=3)
    ids, vocabulary = best.tensors["ids"], Vocabulary.of(ENCODER, TEXTS)
    assert torch.equal(best.tensors["x"], ENCODER.embed(ids))
    assert torch.isin(ids, torch.cat([vocabulary.words, vocabulary.special])).all()
    assert best.card.labels == "centered"
    assert best.tensors["y_soft"].sum(1).abs().max() < 1e-5
    again = swapped(make_summary(), TEXTS, encoder=ENCODER, rounds=1, candidates=3)
    assert torch.equal(ids, again.tensors["ids"])
    same = swapped(make_summary(), TEXTS, encoder=ENCODER, rounds=0)
    assert torch.equal(same.tensors["ids"], make_summary().tensors["ids"])
    assert same.card.settings["swapped"]["changed"] == 0


def test_classes_count_where_they_shall() -> None:
    """Copies of one class change nothing by classes, and much by texts."""
    more = as_texts(
        [*TEXTS.texts, *TEXTS.texts[:5] * 3], [*TEXTS.labels.tolist(), *[1] * 15]
    )
    start, results = make_summary(), {}
    for weight in (0.0, 1.0):
        how = {"encoder": ENCODER, "rounds": 1, "class_weight": weight}
        one, other = swapped(start, TEXTS, **how), swapped(start, more, **how)
        results[weight] = (one.tensors["y_soft"] - other.tensors["y_soft"]).abs().max()
    assert results[1.0] < 1e-4 and results[0.0] > 1e-2
    with pytest.raises(ValueError, match="class_weight"):
        swapped(start, TEXTS, encoder=ENCODER, class_weight=2.0)


def test_the_recipe_ends_with_swaps_where_it_learns_words() -> None:
    summary = make_summary(project="straight_through", swaps=1, candidates=4)
    assert summary.card.settings["swapped"]["candidates"] == 4
    bare = make_summary(project="straight_through", swaps=0)
    assert "swapped" not in bare.card.settings
    by_hand = swapped(bare, TEXTS, encoder=ENCODER, rounds=1, candidates=4)
    assert torch.equal(by_hand.tensors["ids"], summary.tensors["ids"])
    by_class = make_summary(
        project="straight_through", swaps=1, sampler="class", batch_size=2
    )
    assert by_class.card.settings["swapped"]["balance"] == 1.0
    hard = make_summary(project="straight_through", labels="hard")
    assert hard.card.labels == "hard" and "swapped" not in hard.card.settings


@pytest.mark.parametrize("fill", ["pad", "free", "repeat"])
def test_every_place_that_counts_is_visited_and_no_other(fill: str) -> None:
    start = make_summary(fill=fill, length=8)
    best = swapped(start, TEXTS, encoder=ENCODER, rounds=2, candidates=99)
    moved = best.tensors["ids"] != start.tensors["ids"]
    words = (start.tensors["mask"] != 0) & (start.tensors["ids"] > 6)
    assert bool(moved.any()) and not bool((moved & ~words).any())
    assert words_of(start).places == int(words.sum())


def test_words_stay_such_that_the_text_can_be_written_down(monkeypatch) -> None:
    """Pieces of words come back from a string only behind the word that they end."""
    some = ["loved film", "boring plot", "boreding hateding", "loveding funnyly"]
    texts = as_texts([*some, *TEXTS.texts], [1, 0, 0, 1, *TEXTS.labels.tolist()])
    start = tokens(
        texts, 2, encoder=ENCODER, steps=0, options=TokensOptions(length=6, ridge=1e-3)
    )
    returned = []
    for honest in (True, False):
        if not honest:
            monkeypatch.setattr(word_swaps, "strings", everything_returns)
        best = swapped(start, texts, encoder=ENCODER, candidates=99)
        returned.append(to_words(best, ENCODER).card.settings["decoding"]["returned"])
    before = to_words(start, ENCODER).card.settings["decoding"]["returned"]
    assert returned[0] >= before > returned[1]


def everything_returns(settings, ids, mask, types=None):
    return (), None, torch.ones(len(ids))


def test_it_stops_in_time_and_by_a_signal(monkeypatch) -> None:
    late = swapped(make_summary(), TEXTS, encoder=ENCODER, timeout=0.0)
    assert late.card.settings["swapped"]["changed"] == 0
    summary = make_summary(project="straight_through", steps=10**6, timeout=0.0)
    assert summary.card.settings["swapped"]["changed"] == 0
    visit = WordSearch.visit

    def interrupted(self, text: int, place: int, candidates: int) -> None:
        visit(self, text, place, candidates)
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(WordSearch, "visit", interrupted)
    with pytest.raises(RunInterrupted, match="swapped") as stopped:
        swapped(make_summary(), TEXTS, encoder=ENCODER)
    assert stopped.value.signum == signal.SIGINT
    assert stopped.value.summary.card.labels == "centered"


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"swaps": 1, "project": "free"}, ValueError, "straight_through"),
        ({"swaps": -1}, ValueError, "rounds"),
        ({"swaps": 1.5}, TypeError, "swaps must be a whole number, got 1.5"),
        ({"candidates": True}, TypeError, "candidates must be a whole number"),
        ({"swaps": 1, "ridge": 0.0}, ValueError, "ridge"),
        ({"candidates": 0}, ValueError, "candidates"),
        ({"swaps": 1, "labels": "hard"}, ValueError, "labels"),
    ],
)
def test_bad_swaps_are_refused_before_the_first_step(settings, error, match) -> None:
    with pytest.raises(error, match=match):
        make_summary(steps=10**9, **{"project": "straight_through"} | settings)


def test_sets_that_have_no_words_are_refused() -> None:
    with pytest.raises(ValueError, match="token vectors"):
        swapped(kip(TEXTS, 1, encoder=ENCODER, steps=0), TEXTS, encoder=ENCODER)
    pairs = dataclasses.replace(TEXTS, pairs=TEXTS.texts)
    with pytest.raises(ValueError, match="of single texts, and the corpus of pairs"):
        swapped(make_summary(), pairs, encoder=ENCODER)
    with pytest.raises(ValueError, match="ridge"):
        swapped(make_summary(ridge=0.0), TEXTS, encoder=ENCODER)
    with pytest.raises(ValueError, match="another"):
        swapped(make_summary(), TEXTS, encoder=tiny.encoder(seed=9))


# --- real texts -----------------------------------------------------------------------


@pytest.mark.full
@pytest.mark.data("text/trec6")
def test_trec6_words_are_better_than_straight_through() -> None:
    """One round with few candidates on 300 questions: more of 250 others rightly."""
    data = load("trec6")
    few = data.train.take(torch.arange(300))
    exam = data.test.take(torch.arange(0, 500, 2))
    encoder = dataclasses.replace(Encoder.of(), max_length=64)
    start = tokens(
        few,
        1,
        encoder=encoder,
        steps=20,
        options=TokensOptions(length=8, project="straight_through", swaps=0),
    )
    best = swapped(start, few, encoder=encoder, rounds=1, candidates=6)
    test, right = features(encoder, exam), []
    for result in (start, best):
        x = encoder.through(result.tensors["x"], result.tensors["mask"]).detach()
        model = kernel_model(
            x, result.tensors["y_soft"], result.card.settings["kernel"]
        )
        right.append(float((answers(model, test) == exam.labels).float().mean()))
    assert right[1] > right[0] + 0.05
