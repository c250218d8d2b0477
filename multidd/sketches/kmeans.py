"""k-means of vectors in shards: sums and counts, merged after each round."""

import os
import pathlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from multidd.sketches.hashing import mix, seed_key
from multidd.sketches.merging import sketched

__all__ = ["Clusters", "kmeans"]

BLOCK_NUMBERS = 2**22  # distances computed at a time
TOLERANCE = 1e-4  # relative gain of a round below which it is the last


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of vectors in shards.

    Attributes:
        centers: `[k, d]` float32.
        counts: `[k]` int64, vectors of each in the last round.
        inertia: mean squared distance of a vector to its center, in the last round.
        rounds: that were made over all shards.
    """

    centers: np.ndarray
    counts: np.ndarray
    inertia: float
    rounds: int


def kmeans(
    shards: Sequence[Any],
    k: int,
    *,
    seed: int = 0,
    rounds: int = 25,
    restarts: int = 4,
    sample: int = 20_000,
    start: np.ndarray | None = None,
    executor: Executor | None = None,
) -> Clusters:
    """k centers of vectors that are more than a machine holds (Lloyd's algorithm).

    In each round every shard gives the sums and counts of the vectors nearest to each
    center, `k * (d + 1)` numbers, which are added up: the result is that of one machine
    from the same start, to rounding. A center that no vector is nearest to stays where
    it is. The start matters more than the rounds: it is the best of `restarts` of
    k-means++ on a sample of all shards.

    Args:
        shards: paths of .npy files, or arrays, of `[n, d]` numbers each.
        k: centers.
        seed: of the sample and of k-means++.
        rounds: over all shards, at most; fewer where a round gains less than 1/10,000.
        restarts: of k-means on the sample.
        sample: vectors that it has.
        start: `[k, d]` centers to begin with instead.
        executor: each shard is a job of it; None: this process.

    Returns:
        The centers, in the order of the start.

    Raises:
        ValueError: fewer vectors than centers, vectors of several lengths or that are
            not finite; names the shard.
        MultiddError: a worker of the executor was killed.

    Reference:
        Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information
        Theory 1982; Arthur, Vassilvitskii, "k-means++", SODA 2007.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> shards = [rng.normal(size=(50, 2)) + 9 * shift for shift in (0, 1)]
        >>> clusters = kmeans(shards, 2, restarts=1)
        >>> clusters.centers.shape, clusters.counts.tolist()
        ((2, 2), [50, 50])
    """
    for name, value in (("k", k), ("rounds", rounds), ("restarts", restarts)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    numbered = list(enumerate(shards))
    if start is None:
        read = partial(_sampled, keep=max(sample, k), key=seed_key(seed))
        rows = sketched(read, numbered, executor).rows
        if len(rows) < k:
            raise ValueError(
                f"k must be at most the number of vectors, {len(rows)}; got {k}"
            )
        start = _started(rows, k, seed, restarts)
    centers = np.array(start, np.float64)
    if centers.ndim != 2 or len(centers) != k:
        raise ValueError(
            f"start must be {k} centers, [{k}, d]; got shape {list(centers.shape)}"
        )
    before = np.inf
    count = 0
    while count < rounds:
        count += 1
        total = sketched(partial(_summed, centers=centers), numbered, executor)
        is_met = total.counts > 0
        centers[is_met] = total.sums[is_met] / total.counts[is_met, None]
        inertia = total.distance / total.counts.sum()
        if before - inertia < TOLERANCE * inertia:
            break
        before = inertia
    return Clusters(centers.astype(np.float32), total.counts, float(inertia), count)


@dataclass(frozen=True, eq=False)
class _Sample:
    """The rows with the smallest hashes of their numbers, and these hashes."""

    rows: np.ndarray
    hashes: np.ndarray
    keep: int

    def merge(self, other: "_Sample") -> "_Sample":
        hashes = np.concatenate([self.hashes, other.hashes])
        rows = np.concatenate([self.rows, other.rows])
        order = np.argsort(hashes, kind="stable")[: self.keep]
        return replace(self, rows=rows[order], hashes=hashes[order])


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums and counts of the vectors of each center, and the sum of their distances."""

    sums: np.ndarray
    counts: np.ndarray
    distance: float

    def merge(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.sums + other.sums,
            self.counts + other.counts,
            self.distance + other.distance,
        )


def _opened(shard: tuple[int, Any], width: int | None) -> np.ndarray:
    """The vectors of a shard; those of a file are mapped, not read."""
    number, data = shard
    if isinstance(data, str | os.PathLike):
        label = str(data)
        rows = np.load(pathlib.Path(data), mmap_mode="r", allow_pickle=False)
    else:
        label, rows = f"shard {number}", np.asarray(data)
    if rows.ndim != 2 or rows.dtype.kind not in "iuf":
        raise ValueError(
            f"{label} must hold vectors, [n, d] numbers; got {rows.dtype} of shape "
            f"{list(rows.shape)}"
        )
    if width is not None and rows.shape[1] != width:
        raise ValueError(
            f"{label} holds vectors of {rows.shape[1]} numbers, and the centers have "
            f"{width}; all shards must have the same"
        )
    if not all(
        np.isfinite(rows[at : at + 2**16]).all() for at in range(0, len(rows), 2**16)
    ):
        raise ValueError(f"{label} holds NaN or infinity; clean it, or leave rows out")
    return rows


def _sampled(shards: Sequence[tuple[int, Any]], keep: int, key: int) -> _Sample:
    whole: _Sample | None = None
    for shard in shards:
        rows = _opened(shard, None if whole is None else whole.rows.shape[1])
        size = max(1, BLOCK_NUMBERS // max(1, rows.shape[1]))
        for start in range(0, max(1, len(rows)), size):
            block = np.asarray(rows[start : start + size], np.float64)
            part = _Sample(block, _hashes(block, key), keep)
            # Cut to the smallest at once: blocks are larger than samples may be.
            whole = (
                whole or replace(part, rows=block[:0], hashes=part.hashes[:0])
            ).merge(part)
    assert whole is not None
    return whole


def _hashes(rows: np.ndarray, key: int) -> np.ndarray:
    """`[n]` uint64 of the numbers of each row, whatever shard it stands in."""
    words = (rows + 0.0).view(np.uint64)  # -0.0 and 0.0 are one number
    odd = mix(np.arange(rows.shape[1]), key) | np.uint64(1)
    return mix((words * odd).sum(1, dtype=np.uint64), key)


def _started(rows: np.ndarray, k: int, seed: int, restarts: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    state = seed_key(seed) % 2**32
    return np.asarray(
        KMeans(k, n_init=restarts, random_state=state).fit(rows).cluster_centers_
    )


def _summed(shards: Sequence[tuple[int, Any]], centers: np.ndarray) -> _Sums:
    k, width = centers.shape
    sums, counts, distance = np.zeros((k, width)), np.zeros(k, np.int64), 0.0
    norms = np.square(centers).sum(1)
    size = max(1, BLOCK_NUMBERS // k)
    for shard in shards:
        rows = _opened(shard, width)
        for start in range(0, len(rows), size):
            block = np.asarray(rows[start : start + size], np.float64)
            # Without the norm of the vector, which is the same for all centers.
            gaps = norms - 2 * block @ centers.T  # (b, k)
            nearest = gaps.argmin(1)
            order = np.argsort(nearest, kind="stable")
            of_block = np.bincount(nearest, minlength=k)
            first = np.flatnonzero(of_block)
            starts = (np.cumsum(of_block) - of_block)[first]
            sums[first] += np.add.reduceat(block[order], starts)
            counts += of_block
            least = gaps[np.arange(len(block)), nearest]
            distance += float((least + np.square(block).sum(1)).sum())
    return _Sums(sums, counts, distance)
