"""Fractional rows as models of whole histories can be trained on."""

from dataclasses import replace

import torch
from scipy.sparse import csr_array

from multidd.recsys.summary.summary import RecsysSummary

__all__ = ["sharpened"]

LEAST = 0.02
"""Entries below are left out: they are noise, and most of the bytes."""


def sharpened(summary: RecsysSummary) -> RecsysSummary:
    r"""Rows drawn at a high temperature, as they would be at temperature one.

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
        >>> made = multidd.recsys.distill_cf(log, users=5, steps=2)
        >>> once = sharpened(made)
        >>> once is made, sharpened(once) is once
        (False, True)
    """
    temperature = summary.card.settings.get("temperature")
    drawn = temperature is not None and "sharpened" not in summary.card.settings
    if not drawn or summary.binary:
        return summary
    rows = torch.from_numpy(summary.to_csr().toarray())
    logits = float(temperature or 1.0) * rows.clamp(min=1e-9).log()
    found = (summary.mean_length * logits.softmax(1)).clamp(max=1)
    found[found < LEAST] = 0
    settings = summary.card.settings | {"sharpened": True}
    card = replace(summary.card, settings=settings, protocol=None, score=None)
    matrix = csr_array(found.numpy())
    kept = {"item_ids": summary.item_ids, "weight": summary.weight}
    return RecsysSummary.of(matrix, card, **kept)
