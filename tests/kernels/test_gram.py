"""Gram matrices in blocks, and kernels of features."""

import pytest
import torch
from torch import Tensor

from multidd.kernels import (
    conjugate_kernel,
    gram,
    gram_blocks,
    random_feature_kernel,
)


def rows(seed: int, n: int, d: int = 4) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


class Watched:
    """A kernel that notes the shape of each block."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, a: Tensor, b: Tensor | None) -> Tensor:
        result = torch.tanh(a @ (a if b is None else b).mT)
        self.sizes.append(result.numel())
        return result


@pytest.mark.parametrize("pairs", [1, 7, 20, 35, 1000])
@pytest.mark.parametrize("m", [None, 5, 40])
def test_blocks_are_bounded_and_change_nothing(pairs: int, m: int | None) -> None:
    def both(pairs: int) -> tuple[Tensor, Tensor, list[int]]:
        watched, a = Watched(), rows(0, 9).requires_grad_()
        b = None if m is None else rows(1, m)
        result = gram(watched, a, b, pairs=pairs)
        (grad,) = torch.autograd.grad(result.square().sum(), a)
        return result, grad, watched.sizes

    result, grad, sizes = both(pairs)
    whole, expected, _ = both(10**6)
    assert max(sizes) <= pairs or sizes == [81] or sizes == [9 * (m or 9)]
    torch.testing.assert_close(result, whole)
    torch.testing.assert_close(grad, expected)


def test_symmetric_blocks_are_computed_once() -> None:
    watched = Watched()
    gram(watched, rows(0, 6), pairs=4)
    assert sum(watched.sizes) == 6 * 4  # 3 on the diagonal and 3 above it


def test_bands_cover_the_rows() -> None:
    a, b = rows(0, 7), rows(1, 3)
    bands = list(gram_blocks(conjugate_kernel, a, b, pairs=6))
    assert [part for part, _ in bands] == [
        slice(0, 2),
        slice(2, 4),
        slice(4, 6),
        slice(6, 7),
    ]
    torch.testing.assert_close(torch.cat([band for _, band in bands]), a @ b.mT)
    assert not list(gram_blocks(conjugate_kernel, a[:0], b))


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="pairs"):
        gram(conjugate_kernel, rows(0, 2), pairs=0)


def test_random_features_of_several_networks_are_one_long_row() -> None:
    a, b = rows(0, 6).view(2, 3, 4), rows(1, 4).view(2, 2, 4)
    joined = [x.transpose(0, 1).flatten(1) for x in (a, b)]
    gram = random_feature_kernel(a, b)
    torch.testing.assert_close(gram, random_feature_kernel(*joined))
    torch.testing.assert_close(gram, 2 * joined[0] @ joined[1].mT / 8 + 0.01)


def test_conjugate_kernel_keeps_networks_apart() -> None:
    a = rows(0, 6).view(2, 3, 4)
    gram = conjugate_kernel(a)
    assert gram.shape == (2, 3, 3)
    torch.testing.assert_close(gram[1], a[1] @ a[1].mT)
