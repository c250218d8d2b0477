"""Kernels of wide networks: golden values, gradients, symmetry, blocks, bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from multidd.kernels import InfiniteKernel, infinite_kernel

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "kernels.npz"
NAMES = {"flat": "conv", "gap": "conv_gap"}
SPACES = ("fc", "conv", "conv_gap")
every_space = pytest.mark.parametrize("architecture", SPACES)
every_kind = pytest.mark.parametrize("kind", ["ntk", "nngp"])


def inputs(seed: int, n: int, channels: int = 2, size: int = 4) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    shape = (n, channels, size, size)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


# --- values -------------------------------------------------------------------


def golden() -> list[tuple[dict[str, Any], Tensor, Tensor | None, np.ndarray]]:
    """Settings, inputs and wanted values of every matrix in the file."""
    cases = []
    with np.load(GOLDEN, allow_pickle=False) as file:
        for key in file.files:
            data, *rest = key.split("_")
            if len(rest) < 3:
                continue  # an input
            a, b = (torch.from_numpy(file[f"{data}_{side}"]) for side in "ab")
            if data != "fc":
                a, b = a.permute(0, 3, 1, 2), b.permute(0, 3, 1, 2)
            settings = {
                "depth": int(rest[0][1:]),
                "architecture": "fc" if data == "fc" else NAMES[rest[1]],
                "kind": rest[-1],
            }
            cases.append((settings, a, b if rest[-2] == "ab" else None, file[key]))
    return cases


def test_values_of_an_independent_implementation() -> None:
    cases = golden()
    assert len(cases) == 60
    for settings, a, b, expected in cases:
        apart = np.ones(expected.shape, dtype=bool)
        apart[(0, 0) if b is not None else np.diag_indices(len(a))] = False
        gram = infinite_kernel(a, b, **settings).numpy()
        error = np.abs(gram / expected - 1)
        assert error[apart].max() <= 1e-10, settings
        assert error[~apart].max() <= 1e-7, settings


def test_equal_rows_have_angle_zero_in_single_precision() -> None:
    """The diagonal has a closed form; a clamped cosine is off by 5e-4."""
    x = inputs(0, 6).flatten(1).float()
    q = 2 * x.double().square().mean(1) + 0.01
    for b in (None, x.clone()):
        gram = infinite_kernel(x, b, depth=1).diagonal().double()
        torch.testing.assert_close(gram, 2 * q + 0.01, rtol=2e-6, atol=0)


def test_opposite_rows_without_biases() -> None:
    """What a ReLU lets through of x, it keeps from -x: the kernel is zero."""
    x = inputs(0, 3).requires_grad_()
    gram = infinite_kernel(x, -x, depth=1, bias_variance=0.0)
    torch.testing.assert_close(gram.diagonal(), torch.zeros(3, dtype=torch.float64))
    gram.sum().backward()
    assert x.grad is not None and bool(torch.isfinite(x.grad).all())


# --- gradients ----------------------------------------------------------------


@every_space
@every_kind
@pytest.mark.parametrize("depth", [1, 2])
def test_gradients_are_exact(architecture: Any, kind: Any, depth: int) -> None:
    a, b = (inputs(s, 2, size=3).requires_grad_() for s in (0, 1))

    def kernel(*x: Tensor) -> Tensor:
        return infinite_kernel(*x, depth=depth, architecture=architecture, kind=kind)

    assert torch.autograd.gradcheck(kernel, (a, b))
    assert torch.autograd.gradcheck(kernel, (a,))  # equal rows move together


@every_space
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [0.0, 0.01])
def test_gradients_are_finite_at_equal_and_zero_rows(
    architecture: Any, dtype: torch.dtype, bias: float
) -> None:
    x = inputs(0, 3).to(dtype)
    x[1] = 0
    a, b = x.clone().requires_grad_(), torch.cat([x, 1.5 * x]).requires_grad_()
    for other in (None, b):
        gram = infinite_kernel(
            a, other, depth=3, architecture=architecture, bias_variance=bias
        )
        leaves = [a] if other is None else [a, b]
        assert bool(torch.isfinite(gram).all())
        for grad in torch.autograd.grad(gram.square().sum(), leaves):
            assert bool(torch.isfinite(grad).all())
            assert float(grad.abs().sum()) > 0


def test_what_has_no_gradient_gets_none() -> None:
    a, b = inputs(0, 2).flatten(1).requires_grad_(), inputs(1, 2).flatten(1)
    infinite_kernel(a, b, depth=2).sum().backward()
    assert a.grad is not None and b.grad is None
    assert not infinite_kernel(b, depth=2).requires_grad


def test_second_derivatives_are_exact() -> None:
    a, b = (inputs(s, 2, 1, 2).flatten(1).requires_grad_() for s in (0, 1))

    def gradient(a: Tensor, b: Tensor) -> Tensor:
        gram = InfiniteKernel(2)(a, b).square().sum()
        return torch.autograd.grad(gram, a, create_graph=True)[0]

    assert torch.autograd.gradcheck(gradient, (a, b))


def test_function_transforms() -> None:
    """One kernel for each of several sets of rows, and its gradient."""
    sets, b = inputs(0, 3).view(3, 4, 8), inputs(1, 2).view(8, 8)
    kernel = InfiniteKernel(2)
    gram = torch.func.vmap(lambda a: kernel(a, b))(sets)
    torch.testing.assert_close(gram, torch.stack([kernel(a, b) for a in sets]))
    grad = torch.func.grad(lambda a: kernel(a, b).sum())(sets[0])
    leaf = sets[0].clone().requires_grad_()
    kernel(leaf, b).sum().backward()
    torch.testing.assert_close(grad, leaf.grad)


# --- invariances --------------------------------------------------------------


@every_space
@every_kind
def test_symmetric_and_positive(architecture: Any, kind: Any) -> None:
    kernel = InfiniteKernel(2, architecture, kind)
    x = inputs(0, 7)
    gram = kernel(x)
    torch.testing.assert_close(gram, gram.mT, rtol=1e-13, atol=0)
    assert float(torch.linalg.eigvalsh(gram).min()) > 0
    torch.testing.assert_close(kernel(x, x), gram, rtol=0, atol=0)
    torch.testing.assert_close(kernel(x, x.clone()), gram, rtol=1e-7, atol=0)


@every_space
def test_order_of_rows_and_sides(architecture: Any) -> None:
    kernel = InfiniteKernel(2, architecture)
    a, b = inputs(0, 4), inputs(1, 3)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(kernel(a[order], b), kernel(a, b)[order])
    torch.testing.assert_close(kernel(a, b), kernel(b, a).mT)


def test_order_of_inputs_and_flattening() -> None:
    x = inputs(0, 3)
    flat, order = x.flatten(1), torch.arange(32).flip(0)
    torch.testing.assert_close(
        infinite_kernel(flat[:, order], depth=2), infinite_kernel(x, depth=2)
    )


@pytest.mark.parametrize("architecture", ["conv", "conv_gap"])
def test_mirrored_images_keep_their_kernel(architecture: Any) -> None:
    a, b = inputs(0, 3), inputs(1, 2)
    kernel = InfiniteKernel(3, architecture)
    torch.testing.assert_close(kernel(a.flip(-1), b.flip(-1)), kernel(a, b))


# --- blocks -------------------------------------------------------------------


@every_space
@pytest.mark.parametrize("block_bytes", [1, 60_000])
def test_blocks_change_nothing(architecture: Any, block_bytes: int) -> None:
    def both(size: int, other: bool) -> list[Tensor]:
        a = inputs(0, 5).requires_grad_()
        b = inputs(1, 3).requires_grad_()
        kernel = InfiniteKernel(2, architecture, block_bytes=size)
        gram = kernel(a, b if other else None)
        leaves = [a, b] if other else [a]
        return [gram, *torch.autograd.grad(gram.square().sum(), leaves)]

    for other in (False, True):
        for part, whole in zip(
            both(block_bytes, other), both(2**28, other), strict=True
        ):
            torch.testing.assert_close(part, whole, rtol=1e-12, atol=1e-12)


def test_more_memory_means_larger_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    block = InfiniteKernel._block

    def watched(self: InfiniteKernel, a: Tensor, b: Tensor | None) -> Tensor:
        sizes.append(len(a) * len(a if b is None else b))
        return block(self, a, b)

    monkeypatch.setattr(InfiniteKernel, "_block", watched)
    a, b = inputs(0, 6), inputs(1, 4)
    pair = 4 * 4 * 8  # bytes of one array for one pair of images
    kernel = InfiniteKernel(2, "conv", block_bytes=10 * 8 * pair)
    kernel(a, b)
    assert max(sizes) <= 10 and sum(sizes) == 24
    sizes.clear()
    kernel(a.requires_grad_(), b)  # a backward pass needs more for each pair
    assert set(sizes) == {1}


# --- bad input ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"depth": 0}, "depth"),
        ({"depth": 1.5}, "depth"),
        ({"depth": 1, "architecture": "cnn"}, "architecture"),
        ({"depth": 1, "kind": "gp"}, "kind"),
        ({"depth": 1, "weight_variance": 0.0}, "weight_variance"),
        ({"depth": 1, "bias_variance": -1.0}, "bias_variance"),
        ({"depth": 1, "block_bytes": 0}, "block_bytes"),
    ],
)
def test_bad_settings_are_named(settings: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        infinite_kernel(torch.ones(2, 3), **settings)


def test_bad_inputs_are_named() -> None:
    x, image = torch.ones(2, 3), torch.ones(2, 1, 4, 4)
    with pytest.raises(TypeError, match="floating point"):
        infinite_kernel(x.int(), depth=1)
    with pytest.raises(TypeError, match="one type"):
        infinite_kernel(x, x.double(), depth=1)
    with pytest.raises(ValueError, match="agree"):
        infinite_kernel(x, torch.ones(2, 4), depth=1)
    with pytest.raises(ValueError, match=r"\[n, ch, h, w\], got a \[2, 3\]"):
        infinite_kernel(x, depth=1, architecture="conv")
    with pytest.raises(ValueError, match="agree"):
        infinite_kernel(image, torch.ones(2, 1, 5, 4), depth=1, architecture="conv")


def test_the_object_prints_its_settings_in_one_line() -> None:
    assert repr(InfiniteKernel(2, "conv")).startswith(
        "InfiniteKernel(depth=2, architecture='conv', kind='ntk'"
    )
