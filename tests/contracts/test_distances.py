"""Distances against naive numpy and hand values."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from multidd.objectives import distances
from multidd.objectives.distances import (
    L1,
    MSE,
    ColumnCosine,
    CosineMagnitude,
    LayerCosine,
    NormalizedMSE,
)

SHAPES = ((3, 4), (3,), (2, 3, 2))


def layers(seed: int, *lead: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [
        torch.randn(*lead, *shape, generator=rng, dtype=torch.float64)
        for shape in SHAPES
    ]


def channels(layer: np.ndarray) -> np.ndarray:
    return layer.reshape(len(layer), -1)


def cosine(p: np.ndarray, q: np.ndarray) -> float:
    return float(p @ q / np.linalg.norm(p) / np.linalg.norm(q))


def column_cosine(a: list, b: list) -> float:
    pairs = [
        (u, v)
        for p, q in zip(a, b, strict=True)
        for u, v in zip(channels(p), channels(q), strict=True)
    ]
    return sum(1 - cosine(u, v) for u, v in pairs)


def layer_cosine(a: list, b: list) -> float:
    return sum(1 - cosine(p.ravel(), q.ravel()) for p, q in zip(a, b, strict=True))


def mse(a: list, b: list) -> float:
    return sum(float(((p - q) ** 2).sum()) for p, q in zip(a, b, strict=True))


def normalized(a: list, b: list) -> float:
    return mse(a, b) / sum(float((q**2).sum()) for q in b)


def per_column(a: list, b: list) -> float:
    total = 0.0
    for p, q in zip(a, b, strict=True):
        gap = (channels(p - q) ** 2).sum(1)
        total += float((gap / (channels(q) ** 2).sum(1)).sum())
    return total


def absolute(a: list, b: list) -> float:
    return sum(float(np.abs(p - q).sum()) for p, q in zip(a, b, strict=True))


def magnitude(a: list, b: list) -> float:
    gaps = [
        np.linalg.norm(channels(p - q), axis=1).sum() for p, q in zip(a, b, strict=True)
    ]
    return column_cosine(a, b) + float(sum(gaps))


NAIVE: dict[str, list[tuple[Any, Any]]] = {
    "ColumnCosine": [(ColumnCosine(), column_cosine)],
    "LayerCosine": [(LayerCosine(), layer_cosine)],
    "MSE": [(MSE(), mse)],
    "NormalizedMSE": [
        (NormalizedMSE(), normalized),
        (NormalizedMSE(per_column=True), per_column),
    ],
    "L1": [(L1(), absolute)],
    "CosineMagnitude": [(CosineMagnitude(), magnitude)],
}
ALL = [pair for pairs in NAIVE.values() for pair in pairs]
every = pytest.mark.parametrize(
    ("distance", "naive"), ALL, ids=lambda v: getattr(v, "__name__", repr(v)[:30])
)


def test_every_distance_is_tried() -> None:
    assert set(NAIVE) == set(distances.__all__) - {"distance_by_name"}
    for name, pairs in NAIVE.items():
        assert pairs and all(type(d).__name__ == name for d, _ in pairs)


@every
def test_equals_the_naive_one(distance: Any, naive: Any) -> None:
    """One number for each entry of the leading axes `[k, c]`."""
    a, b = layers(0, 2, 3), layers(1, 2, 3)
    result = distance(a, b, 2)
    assert result.shape == (2, 3)
    expected = [
        [
            naive([p[k, c].numpy() for p in a], [q[k, c].numpy() for q in b])
            for c in range(3)
        ]
        for k in range(2)
    ]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9)


@every
def test_zero_of_itself(distance: Any, naive: Any) -> None:
    a, b = layers(0), layers(1)
    assert abs(distance(a, a, 0).item()) < 1e-6 < 0.1 < distance(a, b, 0).item()


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_at_zero_and_at_itself(
    distance: Any, naive: Any, dtype: torch.dtype
) -> None:
    zero, some = ([v * t.to(dtype) for t in layers(0)] for v in (0, 1))
    for a, b in ((zero, zero), (zero, some), (some, zero), (some, some)):
        leaves = [t.clone().requires_grad_() for t in a]
        result = distance(leaves, b, 0)
        gradients = torch.autograd.grad(result, leaves)
        assert bool(torch.isfinite(result))
        assert all(bool(torch.isfinite(g).all()) for g in gradients)


@every
def test_gradients_are_exact(distance: Any, naive: Any) -> None:
    leaves = tuple(t.requires_grad_() for t in layers(0, 2))
    real = layers(1, 2)
    assert torch.autograd.gradcheck(lambda *a: distance(a, real, 1), leaves)


@every
def test_parameter_names_and_repr(distance: Any, naive: Any) -> None:
    names = list(inspect.signature(type(distance).__call__).parameters)
    assert names == ["self", "a", "b", "lead"]
    assert "\n" not in repr(distance)


def test_different_numbers_of_layers_are_refused() -> None:
    for distance, _ in ALL:
        with pytest.raises(ValueError):
            distance(layers(0), layers(1)[:2], 0)


def test_hand_values() -> None:
    a = [torch.tensor([[3.0, 4.0], [1.0, 0.0]])]
    b = [torch.tensor([[6.0, 8.0], [0.0, 2.0]])]
    results = {
        "column": ColumnCosine()(a, b, 0),
        "layer": LayerCosine()(a, b, 0),
        "mse": MSE()(a, b, 0),
        "ratio": NormalizedMSE()(a, b, 0),
        "ratios": NormalizedMSE(per_column=True)(a, b, 0),
        "both": CosineMagnitude()(a, b, 0),
    }
    expected = {
        "column": 0.0 + 1.0,
        "layer": 1 - 50 / (26 * 104) ** 0.5,
        "mse": 25.0 + 5.0,
        "ratio": 30 / 104,
        "ratios": 25 / 100 + 5 / 4,
        "both": 1.0 + 5.0 + 5**0.5,
    }
    for name, value in expected.items():
        assert results[name].item() == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cosine", distances.ColumnCosine),
        ("cosine+magnitude", distances.CosineMagnitude),
        ("mse", distances.MSE),
        ("l1", distances.L1),
    ],
)
def test_distances_by_name(name: str, kind: type) -> None:
    assert type(distances.distance_by_name(name)) is kind


def test_no_such_distance() -> None:
    with pytest.raises(ValueError, match=r"one of cosine, .*got 'l3'"):
        distances.distance_by_name("l3")
