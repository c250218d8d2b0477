"""What pursuit reads of records: targets, proposals beside them, and samples."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.protocols import Records

__all__ = ["masses", "pooled", "sample", "targets"]


def targets(records: Records) -> Tensor:
    """`[n, c]`, one-hot labels with their mean taken off."""
    one_hot = F.one_hot(records.labels, records.num_classes)
    return one_hot.to(records.features.dtype) - 1 / records.num_classes


def pooled(records: Records, proposals: Records | None) -> Records:
    """Records and proposals one after another."""
    if proposals is None:
        return records
    if proposals.features.shape[1:] != records.features.shape[1:]:
        raise ValueError(
            f"proposals must have features [p, {records.features.shape[1]}], got "
            f"{list(proposals.features.shape)}"
        )
    features = torch.cat([records.features, proposals.features.to(records.features)])
    labels = torch.cat([records.labels, proposals.labels.to(records.labels)])
    return Records(features, labels, records.num_classes)


def sample(
    rows: Tensor, pool: Records, counts: Sequence[int], most: int, rng: torch.Generator
) -> Tensor:
    """At most so many rows, or as many as are to be picked, each class by its size."""
    if len(rows) <= most:
        return rows
    order = torch.randperm(len(rows), generator=rng, device=rng.device)
    shuffled, kept = rows[order.to(rows.device)], []
    for label, count in enumerate(counts):
        mine = shuffled[pool.labels[shuffled] == label]
        kept.append(mine[: max(count, most * len(mine) // len(rows))])
    return torch.cat(kept).sort().values


def masses(records: Records, balance: float) -> Tensor:
    """`[n]`, how much each record counts: its weight, times the size of its class to
    the power of minus `balance`; one in all.

    Example:
        >>> masses(Records(torch.eye(3), torch.tensor([0, 0, 1]), 2), 1.0).tolist()
        [0.25, 0.25, 0.5]
    """
    mass = records.features.new_ones(len(records.labels))
    if records.weights is not None:
        mass = records.weights.to(mass.dtype)
    if balance:
        sizes = records.labels.bincount(minlength=records.num_classes)
        mass = mass * (sizes.to(mass) ** -balance)[records.labels]
    return mass / mass.sum()
