"""Sums of Gumbel-softmax draws with noise of its own for each row.

The noise is most of the work: rows x draws x items numbers, once more for the gradient.
On a processor each row has a stream that its seed and its place name, so its numbers
are the same in any order and on any number of threads, and are made from whole numbers
by vectorized sums and logarithms while they lie in the cache.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from multidd.numerics import num_threads

__all__ = ["gumbel", "summed_draws", "summed_gradient"]

NOISE_NUMBERS = 2**17
"""Of a block, which stays in the cache of one core."""
LOG2_E = 1.4426950408889634
"""Exponentials are taken to the base of two, which is faster."""
COLD = 0.5
"""Below this temperature ratios of chances overflow, and logits are added to the noise
before the exponential."""

Reduce: TypeAlias = Callable[[Tensor, Tensor, int], Tensor]
"""Exponentials `[draws, items]` of the noise, weights `[items]` and a row's place ->
what the row adds up, `[k, items]`."""


def gumbel(like: Tensor, rng: torch.Generator) -> Tensor:
    """Gumbel noise of the shape of a tensor.

    Example:
        >>> from multidd import seeds
        >>> gumbel(torch.zeros(2, 3), seeds.at(0, "noise")).shape
        torch.Size([2, 3])
    """
    return -exponential(like, rng, *like.shape).log()


def exponential(like: Tensor, rng: torch.Generator, *size: int) -> Tensor:
    """Exponential noise above zero, of the type and on the device of a tensor."""
    noise = torch.empty(size, dtype=like.dtype, device=like.device)
    return noise.exponential_(generator=rng).clamp_(min=torch.finfo(like.dtype).tiny)


def summed_draws(logits: Tensor, draws: int, temperature: float, seed: int) -> Tensor:
    r"""$\sum_t \mathrm{softmax}((Z + g^{(t)}) / \tau)$, each row with its own noise.

    Args:
        logits: `[m, d]`.
        draws: how many.
        temperature: $\tau$.
        seed: of the noise.

    Example:
        >>> summed_draws(torch.zeros(2, 5), 8, 1.0, seed=0).sum(1)
        tensor([8., 8.])
    """
    if logits.device.type != "cpu":
        total = torch.zeros_like(logits)
        for chance in _drawn(logits, draws, temperature, seed):
            total += chance
        return total

    def reduce(ratios: Tensor, weight: Tensor, row: int) -> Tensor:
        return (ratios @ weight).reciprocal_()[None] @ ratios

    weight, sums = _by_rows(logits, draws, temperature, seed, reduce, 1)
    return weight * sums[:, 0]


def summed_gradient(
    logits: Tensor, gradient: Tensor, draws: int, temperature: float, seed: int
) -> Tensor:
    """The gradient by the logits of a loss whose gradient by `summed_draws` is given.

    Args:
        logits, draws, temperature, seed: as of `summed_draws`; the same noise.
        gradient: `[m, d]`.
    """
    if logits.device.type != "cpu":
        total = torch.zeros_like(logits)
        for chance in _drawn(logits, draws, temperature, seed):
            mean = (chance * gradient).sum(1, keepdim=True)
            total += chance * (gradient - mean)
        return total / temperature

    def reduce(ratios: Tensor, weight: Tensor, row: int) -> Tensor:
        share = (ratios @ weight).reciprocal_()
        mean = (ratios @ (weight * gradient[row])) * share
        return torch.stack([share, share * mean]) @ ratios  # (2, items)

    weight, sums = _by_rows(logits, draws, temperature, seed, reduce, 2)
    return weight * (gradient * sums[:, 0] - sums[:, 1]) / temperature


def _drawn(
    logits: Tensor, draws: int, temperature: float, seed: int
) -> Iterator[Tensor]:
    """The draws by the generator of a device."""
    rng = torch.Generator(logits.device).manual_seed(seed)
    for _ in range(draws):
        yield ((logits + gumbel(logits, rng)) / temperature).softmax(1)


def _by_rows(
    logits: Tensor,
    draws: int,
    temperature: float,
    seed: int,
    reduce: Reduce,
    count: int,
) -> tuple[Tensor, Tensor]:
    """Weights `[m, items]`, and sums `[m, count, items]` over all draws of each row."""
    scaled = (logits * (LOG2_E / temperature)).contiguous()
    scaled = scaled - scaled.amax(1, keepdim=True)
    cold = temperature < COLD
    weight = torch.ones_like(scaled) if cold else scaled.exp2()
    rows, items = logits.shape
    sums = logits.new_zeros(rows, count, items)
    block = max(1, min(draws, NOISE_NUMBERS // items))

    def add(row: int) -> None:
        stream = np.random.SFC64(np.random.SeedSequence([seed, row]))
        buffer = logits.new_empty(block, items)
        for start in range(0, draws, block):
            noise = buffer[: min(block, draws - start)]
            log_exponential(noise, stream).mul_(-LOG2_E / temperature)
            if cold:
                noise += scaled[row]
                noise -= noise.amax(1, keepdim=True)
            sums[row] += reduce(noise.exp2_(), weight[row], row)

    workers = min(torch.get_num_threads(), rows)
    # One thread in each worker: threads of torch would wait for each other.
    with torch.no_grad(), num_threads(1):
        if workers == 1:
            for row in range(rows):
                add(row)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(_without_gradients(add), range(rows)))
    return weight, sums


def _without_gradients(add: Callable[[int], None]) -> Callable[[int], None]:
    """The same in a thread of its own, which does not know what its parent set."""

    def run(row: int) -> None:
        with torch.no_grad():
            add(row)

    return run


def log_exponential(noise: Tensor, stream: np.random.SFC64) -> Tensor:
    r"""Logarithms of exponential noise, $\log(-\log(1 - V))$: minus Gumbel noise.

    V, which is uniform, is small where Gumbel noise is large, and a float holds small
    numbers best: the upper tail, which decides draws, is exact down to chances of
    $2^{-32}$.

    Args:
        noise: dense, on the CPU; is filled.
        stream: of 64-bit numbers, of which each makes two.

    Example:
        >>> noise = log_exponential(torch.empty(10_000), np.random.SFC64(0))
        >>> round(-float(noise.mean()), 1)  # Euler's constant is 0.577
        0.6
    """
    count = noise.numel()
    raw = stream.random_raw(-(-count // 2)).view(np.int32)[:count]
    whole = torch.from_numpy(raw).bitwise_and_(2**31 - 1)  # 0 to 2 ** 31 - 1
    noise.copy_(whole.view(noise.shape))
    noise.mul_(-(2.0**-31)).sub_(2.0**-32)
    return noise.log1p_().neg_().log_()
