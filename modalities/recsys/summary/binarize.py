"""Fractional rows of items as histories: a set number of whole interactions each."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_array

from multidd import seeds
from multidd.arguments import public_function, whole_number
from multidd.summary import Card

if TYPE_CHECKING:
    from multidd.recsys.summary.summary import RecsysSummary


HOW = ("top", "sample")


def lengths(matrix: csr_array) -> np.ndarray:
    """How many items a row stands for: its effective length.

    (Σ x)² / Σ x², which is the count of the entries where they are all alike, and less
    the more unequal they are.

    Args:
        matrix: `[m, I]`, entries 0 or more.

    Returns:
        `[m]` float64; 0 for a row without entries.

    Example:
        >>> lengths(csr_array(np.array([[1.0, 1.0, 0.0], [3.0, 1.0, 0.0]]))).tolist()
        [2.0, 1.6]
    """
    wide = matrix.astype(np.float64)
    total, square = wide.sum(axis=1), (wide * wide).sum(axis=1)
    return np.divide(total**2, square, out=np.zeros(len(total)), where=square > 0)


def mean_length(interactions: int, users: int, items: int) -> int:
    """Items of a history of mean length: a whole number from 1 to all of them.

    Args:
        interactions: of all users.
        users: those who are counted, 1 or more.
        items: I.

    Example:
        >>> mean_length(29, users=3, items=40), mean_length(29, users=3, items=5)
        (10, 5)
    """
    return min(max(1, round(interactions / users)), items)


def histories(
    matrix: csr_array, length: int, how: str = "top", seed: int = 0
) -> csr_array:
    """The `length` items of each row that stand for it, once each.

    Args:
        matrix: `[m, I]`, entries 0 or more, canonical.
        length: items of each row; a row with fewer entries keeps them all.
        how: `"top"` takes the largest entries (of equal ones the first items),
            `"sample"` draws without replacement, in proportion to the entries.
        seed: of the draws.

    Returns:
        `[m, I]` float32 of ones, canonical.

    Raises:
        ValueError: another `how`, or a length that is not in 1..I.

    Example:
        >>> histories(csr_array(np.array([[0.2, 0.9, 0.0, 0.5]])), 2).indices.tolist()
        [1, 3]

    Reference: drawing without replacement by the largest noisy logarithms: Kool, van
    Hoof and Welling, Stochastic Beams and Where to Find Them, ICML 2019.
    """
    _check(length, how, matrix.shape[1])
    keys = np.asarray(matrix.data, dtype=np.float64)
    if how == "sample":
        rng = np.random.default_rng(seeds.key(seed, "binarize"))
        with np.errstate(divide="ignore"):  # a stored 0 is never drawn before others
            keys = np.log(keys) + rng.gumbel(size=len(keys))
    counts = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    # Within each row by falling key; lexsort is stable, so equal keys stay in order.
    order = np.lexsort((-keys, rows))
    place = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], counts)
    chosen = np.sort(order[place < length])
    chosen = chosen[matrix.data[chosen] > 0]
    ends = np.concatenate(
        [[0], np.cumsum(np.bincount(rows[chosen], minlength=len(counts)))]
    )
    ones = np.ones(len(chosen), dtype=np.float32)
    return csr_array((ones, matrix.indices[chosen], ends), shape=matrix.shape)


def _check(length: int, how: str, items: int) -> None:
    if how not in HOW:
        raise ValueError(f"how must be 'top' or 'sample', got {how!r}")
    whole_number("length", length)
    if not 1 <= length <= items:
        raise ValueError(f"length must be 1 to the {items} items, got {length}")


def method_label(card: Card) -> str:
    """The method, and how its rows were made binary, if they were.

    Example:
        >>> cut = {"binarize": {"how": "top", "length": 83}}
        >>> method_label(Card("distill_cf", cut, 0, {}, {}))
        'distill_cf, 83 largest of each row'
    """
    if (cut := card.settings.get("binarize")) is None:
        return card.method
    words = {"top": "largest of", "sample": "drawn from"}
    return f"{card.method}, {cut['length']} {words[cut['how']]} each row"


MIN_ENTRY = 0.02
"""Entries below are left out: they are noise, and most of the bytes."""


@public_function
def sharpened(summary: "RecsysSummary") -> "RecsysSummary":
    r"""Sharpen fractional rows to what they would be at temperature one.

    `distill_cf` draws rows $S \propto e^{Z / \tau}$ at a temperature $\tau$ of ten, at
    which all items are nearly alike: kernels and linear models see the small
    differences, models of whole histories (Mult-VAE, ALS, LightGCN, item-kNN) do not.
    They are trained on

    $$\min\big(1,\; n\, \mathrm{softmax}(\tau \log S)\big)$$

    with n the mean length of a real history.

    Args:
        summary: synthetic users.

    Returns:
        A new summary, entries below 0.02 left out; the same one where its rows are
        whole, or were not drawn at a temperature.

    Example:
        >>> import multidd
        >>> log = multidd.recsys.power_law(60, 40, 600)
        >>> summary = multidd.recsys.distill_cf(log, users=5, steps=2)
        >>> once = sharpened(summary)
        >>> once is summary, sharpened(once) is once
        (False, True)
    """
    temperature = summary.card.settings.get("temperature")
    drawn = temperature is not None and "sharpened" not in summary.card.settings
    if not drawn or summary.binary:
        return summary
    rows = torch.from_numpy(summary.to_csr().toarray())
    logits = float(temperature or 1.0) * rows.clamp(min=1e-9).log()
    rows = (summary.mean_length * logits.softmax(1)).clamp(max=1)
    rows[rows < MIN_ENTRY] = 0
    settings = summary.card.settings | {"sharpened": True}
    card = replace(summary.card, settings=settings, protocol=None, score=None)
    matrix = csr_array(rows.numpy())
    attributes = {"item_ids": summary.item_ids, "weight": summary.weight}
    return type(summary).of(matrix, card, **attributes)
