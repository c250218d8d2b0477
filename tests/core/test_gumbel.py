"""Gumbel noise of rows: its distribution, and that nothing but the seed decides it."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from multidd import seeds
from multidd.numerics import num_threads
from multidd.parameterizations import gumbel
from multidd.parameterizations.gumbel import (
    log_exponential,
    summed_draws,
    summed_gradient,
)


def noise_of(count: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return -log_exponential(torch.empty(count, dtype=dtype), np.random.SFC64(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", [0, 1])
def test_noise_is_gumbel(dtype: torch.dtype, seed: int) -> None:
    """By Kolmogorov and Smirnov, and by chi-square in both tails."""
    noise = noise_of(300_000, seed, dtype).double().numpy()
    assert stats.kstest(noise, "gumbel_r").pvalue > 1e-3
    ends = stats.gumbel_r.ppf([0, 1e-4, 1e-2, 0.1, 0.5, 0.9, 0.99, 0.9999, 1])
    counts = np.histogram(noise, ends)[0]
    expected = len(noise) * np.diff(stats.gumbel_r.cdf(ends))
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_a_wrong_scale_would_be_seen() -> None:
    """The test above has the power to fail."""
    noise = 1.02 * noise_of(300_000, 0).double().numpy()
    assert stats.kstest(noise, "gumbel_r").pvalue < 1e-6


def test_neighbours_are_not_correlated() -> None:
    noise = noise_of(200_000, 3).double()
    centered = (noise - noise.mean()) / noise.std()
    for lag in (1, 2, 7, 3706):
        mean = float((centered[lag:] * centered[:-lag]).mean())
        assert abs(mean) < 4 / math.sqrt(len(noise) - lag)


def test_draws_are_categorical() -> None:
    """At a temperature of nearly zero each draw is one item, with the right chance."""
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, 0.5]]).repeat(6, 1)
    draws = 4000
    counts = summed_draws(logits, draws, 1e-4, seed=5).double()
    torch.testing.assert_close(counts.sum(1), torch.full((6,), float(draws)).double())
    expected = draws * logits.double().softmax(1)
    for row in range(6):
        scores = stats.chisquare(counts[row].round().numpy(), expected[row].numpy())
        assert scores.pvalue > 1e-3
    assert len({tuple(row) for row in counts.round().tolist()}) == 6


@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0, 10.0])
def test_sums_and_gradients_are_those_of_the_noise(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same streams, by softmax and its derivative; blocks divide nothing."""
    logits = 3 * torch.randn(3, 11, generator=seeds.at(0, "z"), dtype=torch.float64)
    gradient = torch.randn(3, 11, generator=seeds.at(0, "g"), dtype=torch.float64)
    monkeypatch.setattr(gumbel, "NOISE_NUMBERS", 44)  # four draws a block, and two
    draws, noise = 10, []
    for row in range(3):
        stream = np.random.SFC64(np.random.SeedSequence([7, row]))
        parts = []
        for size in (4, 4, 2):
            part = torch.empty(size, 11, dtype=torch.float64)
            parts.append(-log_exponential(part, stream))
        noise.append(torch.cat(parts))
    z = logits.clone().requires_grad_()
    each = ((z[:, None] + torch.stack(noise)) / temperature).softmax(2)
    total = each.sum(1)  # (rows, items)
    (total * gradient).sum().backward()
    close: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
    sums = summed_draws(logits, draws, temperature, 7)
    torch.testing.assert_close(sums, total.detach(), **close)
    slopes = summed_gradient(logits, gradient, draws, temperature, 7)
    torch.testing.assert_close(slopes, z.grad, **close)


def test_threads_and_other_rows_change_no_bit() -> None:
    logits = torch.randn(9, 300, generator=seeds.at(0, "z"))
    gradient = torch.randn(9, 300, generator=seeds.at(0, "g"))
    results = []
    for threads in (1, 2, 5):
        with num_threads(threads):
            sums = summed_draws(logits, 50, 10.0, 3)
            slopes = summed_gradient(logits, gradient, 50, 10.0, 3)
            assert torch.get_num_threads() == threads
        results.append((sums, slopes))
    for sums, slopes in results[1:]:
        assert torch.equal(sums, results[0][0]) and torch.equal(slopes, results[0][1])
    assert torch.equal(summed_draws(logits[:4], 50, 10.0, 3), results[0][0][:4])
    assert not torch.equal(summed_draws(logits, 50, 10.0, 4), results[0][0])


def test_an_infinite_time_is_no_draw() -> None:
    """The largest whole number makes a chance of one, whose noise is minus infinity."""

    class Extremes:
        def random_raw(self, count: int) -> Any:
            both = np.array([2**31 - 1, 0], np.int32)
            return np.tile(both, count).view(np.uint64)

    noise = -log_exponential(torch.empty(2), Extremes())  # type: ignore[arg-type]
    assert noise[0] == -math.inf
    assert float(noise[1]) == pytest.approx(32 * math.log(2), rel=1e-6)
