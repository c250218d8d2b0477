"""Division of interactions into training, validation and test."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

TRAIN, VAL, TEST = 0, 1, 2

WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "dev": VAL,
    "test": TEST,
}
"""What a part may be called."""

MIN_HISTORY = 3  # a shorter history is not divided
BLOCK = 2**22  # interactions divided at a time

BY = ("user-random", "leave-last-out", "time")


def assign(
    indptr: np.ndarray,
    time: np.ndarray | None,
    by: Any = "user-random",
    shares: Sequence[float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> np.ndarray:
    """The part of every interaction; see `InteractionLog.split`.

    Args:
        indptr: `[U + 1]` where each user's interactions begin.
        time: `[n]` or None.
        by: one of `BY`, or an array of `n` parts.
        shares: of train, validation and test.
        seed: of `"user-random"`.

    Returns:
        `[n]` int8: 0 train, 1 validation, 2 test.

    Raises:
        ValueError: unknown `by`, shares that are none, no times where they are needed.

    Example:
        >>> assign(np.array([0, 3]), np.array([30, 10, 20]), "leave-last-out")
        array([2, 0, 1], dtype=int8)
    """
    if not isinstance(by, str):
        return parts_of(by, int(indptr[-1]))
    train, val, _ = check_shares(shares)
    if by == "user-random":
        from multidd import seeds  # which loads torch: readers of columns need none

        rng = np.random.default_rng(seeds.key(seed, "split"))
        return user_random(indptr, shares, rng)
    if by not in BY:
        raise ValueError(
            f"by must be one of {', '.join(BY)}, or an array with the part of each "
            f"interaction; got {by!r}"
        )
    if time is None:
        raise ValueError(
            f"split by {by!r} needs times, and this log has none; read it with "
            "time='the column of times', or split by 'user-random'"
        )
    if by == "time":
        return by_time(time, train, val)
    return leave_last_out(indptr, time)


def check_shares(shares: Sequence[float]) -> tuple[float, float, float]:
    """Three shares, none negative, of sum one.

    Example:
        >>> check_shares((0.9, 0.1, 0))
        (0.9, 0.1, 0.0)
    """
    numbers = tuple(float(share) for share in shares)
    # Written so that NaN fails too.
    sound = len(numbers) == 3 and all(share >= 0 for share in numbers)
    if not sound or not abs(sum(numbers) - 1) < 1e-6:
        raise ValueError(
            f"shares must be those of train, validation and test, such as "
            f"(0.8, 0.1, 0.1), with sum 1; got {tuple(shares)}"
        )
    return numbers[0], numbers[1], numbers[2]


def describe_split(by: Any, shares: Sequence[float], seed: int) -> str:
    """A split in words, for descriptions.

    Example:
        >>> describe_split("user-random", (0.8, 0.1, 0.1), 3)
        'user-random 0.8/0.1/0.1 seed 3'
    """
    if not isinstance(by, str):
        return "given"
    parts = "/".join(f"{share:g}" for share in shares)
    seeded = f" {parts} seed {seed}"
    return by + {"user-random": seeded, "time": f" {parts}"}.get(by, "")


def user_random(
    indptr: np.ndarray, shares: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Each user's items shuffled: the first is test, then shares of the places.

    Of `c` items place 0 is test, those below `floor(0.8 c)` train, below
    `floor(0.9 c)` validation, the rest test: the protocol of the ∞-AE and DISTILL-CF
    papers, except that users of fewer than 3 items train with all of them, where the
    authors' code leaves them out. With no share of test nothing is test.

    Args:
        indptr: `[U + 1]` where each user's interactions begin.
        shares: of train, validation and test.
        rng: shuffles.

    Example:
        >>> parts = user_random(
        ...     np.array([0, 10]), (0.8, 0.1, 0.1), np.random.default_rng(0)
        ... )
        >>> np.bincount(parts)
        array([7, 1, 2])

    Reference:
        Sachdeva et al., "Infinite Recommendation Networks: A Data-Centric Approach",
        NeurIPS 2022.
    """
    train, val, test = check_shares(shares)

    def divide(row: np.ndarray, count: np.ndarray, place: np.ndarray, _: slice) -> Any:
        # Random whole numbers below each user's own: one sort shuffles every user.
        key = row << 32 | rng.integers(2**32, size=len(row), dtype=np.int64)
        ends = [np.floor(share * count + 1e-9) for share in (train, train + val)]
        parts = (place >= ends[0]).astype(np.int8) + (place >= ends[1])
        if test > 0:
            parts[place == 0] = TEST
        else:  # no share, and none by rounding either
            parts[parts == TEST] = VAL if val > 0 else TRAIN
        return np.argsort(key, kind="stable"), parts

    return _user_by_user(indptr, divide)


def leave_last_out(indptr: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Each user's last item is test and the one before it validation.

    Items of the same time are taken in the order of the items; users of fewer than 3
    items train with all of them.

    Example:
        >>> leave_last_out(np.array([0, 4]), np.array([1, 2, 2, 1]))
        array([0, 1, 2, 0], dtype=int8)
    """

    def divide(
        row: np.ndarray, count: np.ndarray, place: np.ndarray, span: slice
    ) -> Any:
        parts = np.maximum(place - count + MIN_HISTORY, TRAIN).astype(np.int8)
        return np.lexsort((time[span], row)), parts  # stable: ties stay in order

    return _user_by_user(indptr, divide)


def by_time(time: np.ndarray, train: float, val: float) -> np.ndarray:
    """One cut through all users: training is before validation, that before test.

    Interactions of the same time stay together.

    Example:
        >>> by_time(np.arange(10), 0.8, 0.1)
        array([0, 0, 0, 0, 0, 0, 0, 0, 1, 2], dtype=int8)
    """
    ordered = np.sort(time)
    parts = np.zeros(len(time), np.int8)
    for share in (train, train + val):
        first = int(np.floor(share * len(time) + 1e-9))
        if first < len(time):
            parts += time >= ordered[first]
    if train > 0 and not (parts == TRAIN).any():
        raise ValueError(
            f"split by 'time' leaves nothing to train on: {len(time)} interactions, "
            f"the first share of them all at {ordered[0]}; split by 'user-random'"
        )
    return parts


def parts_of(values: Any, count: int) -> np.ndarray:
    """Parts as 0, 1 and 2, from these or from words such as `"train"`.

    Example:
        >>> parts_of(["train", "test", "valid"], 3)
        array([0, 2, 1], dtype=int8)
    """
    array = np.asarray(values)
    if array.dtype.kind == "f" and np.array_equal(array, np.floor(array)):
        array = array.astype(np.int64)
    if array.dtype.kind == "O":
        array = array.astype(str)
    if array.shape != (count,):
        raise ValueError(
            f"parts must be one for each of {count} interactions, in the order of "
            f"the log; got shape {list(array.shape)}"
        )
    names, place = np.unique(array, return_inverse=True)
    numbers = {**WORDS, **{str(part): part for part in (TRAIN, VAL, TEST)}}
    parts = [numbers.get(str(name).lower(), -1) for name in names.tolist()]
    if -1 in parts:
        bad = names.tolist()[parts.index(-1)]
        raise ValueError(
            f"parts must be 0, 1, 2 or one of {', '.join(WORDS)}; got {bad!r}; leave "
            "interactions out with log.select"
        )
    return np.array(parts, np.int8)[place]


def _user_by_user(indptr: np.ndarray, divide: Callable[..., Any]) -> np.ndarray:
    """Parts of every user's interactions, some users at a time for their memory.

    `divide` gets user, length of its history and place in it of `n` interactions, and
    which they are; it gives an order that keeps users together, and their parts in it.
    """
    parts = np.empty(int(indptr[-1]), np.int8)
    start = 0
    while start < len(indptr) - 1:
        last_row = np.searchsorted(indptr, indptr[start] + BLOCK, side="right") - 1
        stop = max(int(last_row), start + 1)
        span = slice(int(indptr[start]), int(indptr[stop]))
        counts = np.diff(indptr[start : stop + 1])
        row = np.repeat(np.arange(stop - start), counts)
        place = np.arange(len(row)) - (indptr[start:stop] - span.start)[row]
        order, divided = divide(row, counts[row], place, span)
        divided[counts[row] < MIN_HISTORY] = TRAIN
        parts[span][order] = divided
        start = stop
    return parts
