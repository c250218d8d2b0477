"""Counts of records: checked, shared out by class, drawn and held out."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.arguments import real_number, whole_number


def check_count(name: str, value: Any, minimum: int | None = 1) -> int:
    """`value` as a whole number, refused by its name where it is none.

    Args:
        name: of the setting.
        value: an integer of any library.
        minimum: the smallest that is taken; None where the caller says what fits.

    Raises:
        TypeError: no whole number.
        ValueError: below `minimum`.

    Example:
        >>> check_count("ipc", 10)
        10
    """
    count = whole_number(name, value)
    if minimum is not None and count < minimum:
        raise ValueError(f"{name} must be {minimum} or more, got {count}")
    return count


def at_most(counts: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Each count, or the size of its class where that is smaller.

    Example:
        >>> at_most([2, 2], [5, 1])
        [2, 1]
    """
    return [min(count, size) for count, size in zip(counts, sizes, strict=True)]


def apportion(
    total: int, shares: Sequence[int], max_counts: Sequence[int], min_count: int = 1
) -> list[int]:
    """`total` split in proportion to `shares` by largest remainder, within limits.

    Args:
        total: from `min_count` of each to the sum of `max_counts`.
        shares: of each class.
        max_counts: upper limit of each class.
        min_count: lower limit of every class; an upper limit below it wins.

    Example:
        >>> apportion(10, [90, 9, 1], [90, 9, 1])
        [8, 1, 1]
    """
    exact = [total * share / max(sum(shares), 1) for share in shares]
    floor = [min(min_count, limit) for limit in max_counts]
    limits = list(zip(exact, floor, max_counts, strict=True))
    counts = [min(max(int(part), low), high) for part, low, high in limits]
    while sum(counts) < total:
        free = [i for i, limit in enumerate(max_counts) if counts[i] < limit]
        counts[max(free, key=lambda i: exact[i] - counts[i])] += 1
    while sum(counts) > total:
        free = [i for i, count in enumerate(counts) if count > floor[i]]
        counts[min(free, key=lambda i: exact[i] - counts[i])] -= 1
    return counts


def drawn(labels: Tensor, counts: Sequence[int], rng: torch.Generator) -> Tensor:
    """Rows of `counts[i]` records of class i, drawn without replacement, sorted.

    Args:
        labels: `[n]`, `0..c-1`.
        counts: of each class.
        rng: of the draw.

    Example:
        >>> len(drawn(torch.tensor([0, 1, 1, 0]), [1, 2], seeds.at(0, "take")))
        3
    """
    order = torch.randperm(len(labels), generator=rng)
    shuffled = labels[order]
    rows = [order[shuffled == i][:count] for i, count in enumerate(counts)]
    return torch.cat(rows).sort().values


def hold_out(
    labels: Tensor,
    classes: int,
    share_or_count: float | int,
    seed: int,
    *,
    noun: str,
) -> tuple[Tensor, Tensor]:
    """Part of each class held out, in proportion, at random.

    Args:
        labels: `[n]`, `0..c-1`.
        classes: c.
        share_or_count: below one the share held out, else the number of records.
        seed: of the draw.
        noun: what messages call a record.

    Returns:
        Rows of the rest and of what is held out, both ascending.

    Raises:
        ValueError: nothing would be held out, or nothing left of a class.

    Example:
        >>> rest, held = hold_out(torch.tensor([0, 1] * 5), 2, 0.2, 0, noun="text")
        >>> len(rest), len(held)
        (8, 2)
    """
    n, total = len(labels), _held_out(share_or_count, len(labels), noun)
    sizes = torch.bincount(labels, minlength=classes).tolist()
    max_counts = [max(size - 1, 0) for size in sizes]
    if total > sum(max_counts):
        raise ValueError(
            f"{share_or_count} holds out {total} of {n} {noun}s, but each class keeps "
            f"one; at most {sum(max_counts)}"
        )
    counts = apportion(total, sizes, max_counts, min_count=0)
    held = drawn(labels, counts, seeds.at(seed, "split"))
    chosen = torch.zeros(n, dtype=torch.bool)
    chosen[held] = True
    return (~chosen).nonzero().flatten(), held


def _held_out(size: float | int, n: int, noun: str) -> int:
    with suppress(TypeError):
        size = real_number("share", size)
    whole = isinstance(size, int) and not isinstance(size, bool) and size >= 1
    if not whole and not (isinstance(size, float) and 0 < size < 1):
        raise ValueError(
            f"hold out a share between 0 and 1 or a whole number, got {size!r}"
        )
    total = int(size) if whole else round(size * n)
    if not total:
        raise ValueError(f"{size} of {n} {noun}s is none; hold out a larger share")
    return total
