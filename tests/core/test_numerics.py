"""Denormals are flushed inside the block alone, whatever happens there; and of two
records that are equally near the first is taken."""

import pytest
import torch

from multidd.numerics import (
    distances_to,
    first_nearest,
    flush_denormals,
    flushes_denormals,
)

TINY = 1e-40


def product() -> float:
    return (torch.full((64,), TINY) * 1.0).max().item()


def test_only_inside_the_block() -> None:
    assert product() > 0 and not flushes_denormals()
    with flush_denormals():
        assert product() == 0 and flushes_denormals()
        assert (torch.tensor([1e-30]) * 1.0).item() > 0
    assert product() > 0 and not flushes_denormals()


def test_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), flush_denormals():
        assert product() == 0
        raise KeyError("inside")
    assert product() > 0


def test_nested_and_already_on() -> None:
    with flush_denormals():
        with flush_denormals():
            assert product() == 0
        assert product() == 0
    assert product() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_of_two_that_are_equally_near_the_first(
    dtype: torch.dtype, size: float
) -> None:
    """Their middle is rounded this way or that."""
    rng = torch.Generator().manual_seed(0)
    pairs = size * torch.randn(200, 2, 7, generator=rng, dtype=torch.float64)
    plain = []
    for x in pairs.to(dtype):
        apart = distances_to(x.mean(0, keepdim=True), x)
        assert first_nearest(apart, x).tolist() == [0]
        plain.append(int(apart.argmin()))
    assert 0 < sum(plain) < 200  # without it


def test_the_nearest_is_the_nearest() -> None:
    """Also where the centers lie on records far from zero."""
    x = 1e3 + torch.randn(300, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first_nearest(distances_to(x, x), x), torch.arange(300))
