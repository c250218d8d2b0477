"""Every term of distribution matching against loops over classes and rows."""

import cmath
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import seeds
from multidd.classes import by_class
from multidd.objectives import terms
from multidd.objectives.terms import (
    MMD,
    Centralization,
    Characteristic,
    Covariance,
    CrossEntropy,
    Discrimination,
    Embedded,
    Means,
)

OURS, THEIRS = (0, 0, 1, 1, 1, 2), (2, 0, 0, 1, 1, 1, 1, 0, 2, 1)
WIDTHS = (4, 6, 3)
SHARE = (2 / 3, 1.0, 1 / 3)
MODELS = 2


def side(labels: tuple[int, ...], name: str, weighted: bool) -> Embedded:
    """Three layers under two models, with soft labels and, if asked, row weights."""
    rng, size = seeds.at(0, name), len(labels)
    layers = [
        torch.randn(MODELS, size, width, generator=rng, dtype=torch.float64)
        for width in WIDTHS
    ]
    soft = torch.rand(size, 3, generator=rng, dtype=torch.float64)
    weights = torch.rand(size, generator=rng, dtype=torch.float64) + 0.1
    classes = by_class(torch.tensor(labels), 3, weights if weighted else None)
    return Embedded(layers, soft, classes)


Rows = list[tuple[float, Tensor]]


def members(
    batch: Embedded, labels: tuple[int, ...], layer: int, name: str, weighted: bool
) -> list[list[Rows]]:
    """Weight and row of each record: one list for each model and class."""
    rng, size = seeds.at(0, name), len(labels)
    for width in WIDTHS:
        torch.randn(MODELS, size, width, generator=rng, dtype=torch.float64)
    torch.rand(size, 3, generator=rng, dtype=torch.float64)
    drawn = torch.rand(size, generator=rng, dtype=torch.float64) + 0.1
    mass = drawn.tolist() if weighted else [1.0] * size
    results = []
    for model in range(MODELS):
        classes = []
        for c in range(3):
            rows = [i for i, label in enumerate(labels) if label == c]
            total = sum(mass[i] for i in rows)
            classes.append(
                [(mass[i] / total, batch.layers[layer][model, i]) for i in rows]
            )
        results.append(classes)
    return results


def middle(rows: Rows) -> Tensor:
    return torch.stack([w * row for w, row in rows]).sum(0)


def mean_gap(s: Rows, t: Rows) -> float:
    return float((middle(s) - middle(t)).square().sum())


def mmd(factor: float) -> Callable[[Rows, Rows], float]:
    def apart(s: Rows, t: Rows) -> float:
        width = factor * sum(
            v * w * float((a - b).square().sum()) for v, a in t for w, b in t
        )

        def mean(p: Rows, q: Rows) -> float:
            return sum(
                v * w * math.exp(-float((a - b).square().sum()) / width)
                for v, a in p
                for w, b in q
            )

        return mean(s, s) + mean(t, t) - 2 * mean(s, t)

    return apart


def covariance(rows: Rows) -> Tensor:
    """The `[h, h]` matrix itself."""
    center = middle(rows)
    return torch.stack([w * torch.outer(r - center, r - center) for w, r in rows]).sum(
        0
    )


def local(rows: Rows, channels: int) -> Rows:
    """Every position of a layer as a row of its channels."""
    split = []
    for weight, row in rows:
        grid = row.view(channels, -1)
        places = grid.shape[1]
        split += [(weight / places, grid[:, place]) for place in range(places)]
    return split


def covariance_gap(channels: int | None) -> Callable[[Rows, Rows], float]:
    def apart(s: Rows, t: Rows) -> float:
        if channels is not None:
            s, t = local(s, channels), local(t, channels)
        return float((covariance(s) - covariance(t)).square().sum())

    return apart


def characteristic_gap(term: Characteristic) -> Callable[[Rows, Rows], float]:
    rng = seeds.at(term.seed, "frequencies", WIDTHS[1])
    size = (WIDTHS[1], term.frequencies)
    grid = torch.randn(*size, generator=rng, dtype=torch.float64) * term.scale

    def function(rows: Rows, t: Tensor) -> complex:
        return sum(w * cmath.exp(1j * float(r @ t / r.norm())) for w, r in rows)

    def apart(s: Rows, t: Rows) -> float:
        total = 0.0
        for place in range(term.frequencies):
            a, b = (function(rows, grid[:, place]) for rows in (s, t))
            size = (abs(a) - abs(b)) ** 2
            phase = 2 * (abs(a) * abs(b) - (a * b.conjugate()).real)
            total += math.sqrt(term.amplitude * size + (1 - term.amplitude) * phase)
        return total / term.frequencies

    return apart


_NCFM = Characteristic(16, scale=0.7, amplitude=0.3, seed=5, weight=2.0)
BY_CLASS: list[tuple[Any, list[tuple[int, float]], Any]] = [
    (Means(), [(1, 1.0)], mean_gap),
    (Means("all", weight=3.0), [(0, 1.0), (1, 1.0), (2, 1.0)], mean_gap),
    (Means((0.5, 0.0, 2.0)), [(2, 0.5), (0, 2.0)], mean_gap),
    (Means((0.5, 2.0, 1.0, 7.0)), [(2, 0.5), (1, 2.0), (0, 1.0)], mean_gap),
    (MMD(), [(1, 1.0)], mmd(1.0)),
    (MMD("all", 0.5, 2.0), [(0, 1.0), (1, 1.0), (2, 1.0)], mmd(0.5)),
    (MMD((0.3, 0.7), 2.0), [(2, 0.3), (1, 0.7)], mmd(2.0)),
    (Covariance(weight=0.5), [(1, 1.0)], covariance_gap(None)),
    (Covariance(2), [(1, 1.0)], covariance_gap(2)),
    (_NCFM, [(1, 1.0)], characteristic_gap(_NCFM)),
]
every = pytest.mark.parametrize("weighted", [False, True], ids=["equal", "row weights"])


def named(value: object) -> str:
    """A name that is the same in every process: no address of a function."""
    return getattr(value, "__name__", str(value))


@every
@pytest.mark.parametrize(("term", "layers", "apart"), BY_CLASS, ids=named)
def test_sums_over_classes(term: Any, layers: Any, apart: Any, weighted: bool) -> None:
    """Weight times the sum over layers and classes, by the size of each class of S."""
    ours, theirs = side(OURS, "s", weighted), side(THEIRS, "t", weighted)
    expected = [0.0] * MODELS
    for layer, size in layers:
        s = members(ours, OURS, layer, "s", weighted)
        t = members(theirs, THEIRS, layer, "t", weighted)
        for model in range(MODELS):
            for c, share in enumerate(SHARE):
                gap = apart(s[model][c], t[model][c])
                expected[model] += term.weight * size * share * gap
    result = term(ours, theirs)
    assert result.shape == (MODELS,)
    assert min(expected) > 1e-3 and result.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("margin", [0.0, 2.0])
def test_centralization(margin: float) -> None:
    ours, theirs = side(OURS, "s", False), side(THEIRS, "t", False)
    for model in range(MODELS):
        expected = 0.0
        for rows in members(ours, OURS, 1, "s", False)[model]:
            gaps = [float((row - middle(rows)).square().sum()) for _, row in rows]
            expected += sum(max(gap - margin, 0.0) for gap in gaps)
        result = Centralization(margin, weight=0.3)(ours, theirs)[model].item()
        assert expected > 0.1 and result == pytest.approx(0.3 * expected)


@pytest.mark.parametrize("by_accuracy", [True, False])
def test_cross_entropy(by_accuracy: bool) -> None:
    ours, theirs = side(OURS, "s", False), side(THEIRS, "t", False)
    term = CrossEntropy(by_accuracy, weight=0.3)
    hits = []
    for model in range(MODELS):
        total = 0.0
        for logits, soft in zip(ours.layers[-1][model], ours.targets, strict=True):
            all_of = math.log(sum(math.exp(z) for z in logits.tolist()))
            total -= sum(
                y * (z - all_of)
                for y, z in zip(soft.tolist(), logits.tolist(), strict=True)
            )
        pairs = zip(theirs.layers[-1][model], theirs.targets, strict=True)
        hits.append(sum(int(a.argmax()) == int(b.argmax()) for a, b in pairs))
        factor = hits[-1] / len(THEIRS) if by_accuracy else 1.0
        expected = 0.3 * factor * total / len(OURS)
        assert term(ours, theirs)[model].item() == pytest.approx(expected)
    assert max(hits) > 0


def test_discrimination() -> None:
    ours, theirs = side(OURS, "s", False), side(THEIRS, "t", False)
    hard = torch.nn.functional.one_hot(torch.tensor(THEIRS), 3).double()
    theirs = Embedded(theirs.layers, hard, theirs.classes)
    result = Discrimination(weight=0.3)(ours, theirs)
    for model in range(MODELS):
        centers = [middle(rows) for rows in members(ours, OURS, 1, "s", False)[model]]
        total = 0.0
        for row, label in zip(theirs.layers[1][model], THEIRS, strict=True):
            scores = [math.exp(float(row @ center)) for center in centers]
            total -= math.log(scores[label] / sum(scores))
        assert result[model].item() == pytest.approx(0.3 * total / len(THEIRS))


TERMS = [
    *(term for term, _, _ in BY_CLASS),
    Centralization(),
    Centralization(margin=0.5),
    CrossEntropy(),
    CrossEntropy(by_accuracy=False),
    Discrimination(),
]


def test_every_term_is_tried() -> None:
    every = set(terms.__all__)
    names = every - {"Embedded", "Term"}
    assert {type(term).__name__ for term in TERMS} == names


@every
@pytest.mark.parametrize("term", TERMS, ids=str)
def test_gradient_of_a_term(term: Any, weighted: bool) -> None:
    """In every layer of S and in its labels, against finite differences."""
    ours, theirs = side(OURS, "s", weighted), side(THEIRS, "t", weighted)
    leaves = [t.clone().requires_grad_() for t in (*ours.layers, ours.targets)]

    def value(*now: Tensor) -> Tensor:
        return term(Embedded(now[:-1], now[-1], ours.classes), theirs)

    assert torch.autograd.gradcheck(value, leaves, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("term", TERMS, ids=str)
def test_equal_sets_have_finite_gradients(term: Any) -> None:
    """S as a copy of T: distances are at their least and do not blow up."""
    theirs = side(THEIRS, "t", False)
    leaves = [t.clone().requires_grad_() for t in theirs.layers]
    value = term(Embedded(leaves, theirs.targets, theirs.classes), theirs)
    assert bool(torch.isfinite(value).all())
    gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    assert all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)


def test_a_class_that_is_absent_adds_nothing() -> None:
    """Neither a class that S lacks nor its real rows count."""
    theirs = side(THEIRS, "t", False)
    some = (0, 0, 1, 1, 1, 1)
    ours = side(some, "s", False)
    for term in TERMS[:-1]:
        moved = [layer.clone() for layer in theirs.layers[:-1]]
        for layer in moved:
            layer[:, [i for i, y in enumerate(THEIRS) if y == 2]] += 1.0
        other = Embedded([*moved, theirs.layers[-1]], theirs.targets, theirs.classes)
        if getattr(term, "layers", "last") == "last":
            torch.testing.assert_close(term(ours, other), term(ours, theirs))
