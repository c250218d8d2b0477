"""Budgets: how many synthetic images each class gets, and the bytes they take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from multidd.data.splitting import apportion, check_count
from multidd.parameterizations.decoding import ByteCost

BALANCES = ("equal", "proportional")

TABLE_BYTES = 64
"""Beside the levels of pixels and labels: those of classes, and starts of streams."""


@dataclass(frozen=True)
class Budget:
    """Images asked for and given.

    Attributes:
        counts: synthetic images of each class.
        items: their sum.
        bytes: of pixels and labels.
    """

    counts: tuple[int, ...]
    items: int
    bytes: int


def item_bytes(shape: Sequence[int], *, soft: int = 0) -> int:
    """Bytes of one stored image: float32 pixels, an int64 label, soft labels if any.

    Args:
        shape: `(ch, h, w)` as stored; tiles are decoded from it without further bytes.
        soft: float32 soft labels stored with each image, 0 for hard labels.

    Example:
        >>> item_bytes((1, 28, 28)), item_bytes((1, 28, 28), soft=10)
        (3144, 3184)
    """
    return 4 * math.prod(shape) + 8 + 4 * soft


def unpacked_bytes(
    budget_bytes: int, bits: int, shape: Sequence[int], num_classes: int
) -> int:
    """Bytes, as float32, of the images that a budget holds in few bits a number.

    Tables of levels and soft labels, which have 4 bits or more, are counted, and what
    the coder gains is not: the budget is kept.

    Args:
        budget_bytes: of the compressed set.
        bits: of a number.
        shape: `(ch, h, w)`.
        num_classes: c.

    Raises:
        TypeError: a budget that is not a whole number.
        ValueError: it is too small for one image of each class.

    Example:
        >>> unpacked_bytes(31_440, 4, (1, 28, 28), 10) // item_bytes((1, 28, 28))
        78
    """
    budget = check_count("budget_bytes", budget_bytes)
    tables = 4 * (shape[0] + 1) * 2 ** max(bits, 4) + TABLE_BYTES
    item_bits = math.prod(shape) * bits + num_classes * max(bits, 4) + 8
    items = 8 * (budget - tables) // item_bits
    if items < num_classes:
        smallest = tables + -(-num_classes * item_bits // 8)
        raise ValueError(
            f"budget_bytes={budget} holds fewer images of {bits} bits a number than "
            f"the {num_classes} classes; the smallest that fits is {smallest}"
        )
    return items * item_bytes(shape, soft=num_classes)


def plan(
    counts: Sequence[int],
    ipc: int | None = None,
    budget_bytes: int | None = None,
    *,
    item_bytes: int,
    class_balance: str = "equal",
    names: Sequence[str] | None = None,
    behind: int = 1,
) -> Budget:
    """Turn exactly one of two budgets into images per class.

    Args:
        counts: training images of each class: at most so many are given.
        ipc: images per class; the mean of it with `class_balance="proportional"`.
        budget_bytes: bytes in all; what is left over is not spent.
        item_bytes: pixels and labels of one synthetic image.
        class_balance: `"equal"`, or `"proportional"` to `counts` with one at least.
        names: of the classes, for messages.
        behind: training images that each synthetic one starts from.

    Returns:
        The `Budget`.

    Raises:
        TypeError: a budget that is not a whole number.
        ValueError: no budget or two, or one that does not fit; says what would.

    Example:
        >>> plan([30, 10], ipc=4, item_bytes=100, class_balance="proportional")
        Budget(counts=(6, 2), items=8, bytes=800)
    """
    names = names or [str(i) for i in range(len(counts))]
    _check(counts, ipc, budget_bytes, class_balance, names)
    _check_behind(counts, behind, names, "stored image", "a smaller factor")
    if ipc is not None:
        total = check_count("ipc", ipc) * len(counts)
        asked = f"ipc={ipc}"
    else:
        total = _fitting(budget_bytes, item_bytes, len(counts))
        asked = f"budget_bytes={budget_bytes}, {total} images,"
    room = [size // behind for size in counts]
    shared = _counts(total, counts, room, class_balance, asked, names)
    return Budget(shared, sum(shared), sum(shared) * item_bytes)


def plan_codes(
    counts: Sequence[int],
    ipc: int | None = None,
    budget_bytes: int | None = None,
    *,
    cost: ByteCost,
    free: int,
    class_balance: str = "equal",
    names: Sequence[str] | None = None,
    behind: int = 1,
    max_per_class: int | None = None,
) -> Budget:
    """Turn exactly one of two budgets into codes per class of a factorized set.

    Args:
        counts: training images of each class: no code goes without one of its own.
        ipc: images per class whose bytes the whole set may take; or
        budget_bytes: bytes in all. What is left over is not spent.
        cost: bytes of the set.
        free: bytes of an image that is stored as it is, with its label.
        class_balance: `"equal"`, or `"proportional"` to `counts`.
        names: of the classes, for messages.
        behind: training images that each code starts from.
        max_per_class: codes of a class, at most.

    Returns:
        The `Budget`, in codes.

    Raises:
        ValueError: no budget or two, or one that is too small; says what would fit.

    Example:
        >>> cost = ByteCost(fixed=1000, item=100)
        >>> plan_codes([30, 30], ipc=1, cost=cost, free=3144)
        Budget(counts=(26, 26), items=52, bytes=6200)
    """
    names = names or [str(i) for i in range(len(counts))]
    _check(counts, ipc, budget_bytes, class_balance, names)
    _check_behind(counts, behind, names, "code", "fewer decoders")
    if ipc is not None:
        budget = check_count("ipc", ipc) * len(counts) * free
    else:
        budget = check_count("budget_bytes", budget_bytes)
    total = cost.fitting(budget, len(counts))
    room = [min(size // behind, max_per_class or size) for size in counts]
    if class_balance == "proportional":
        shared = tuple(apportion(min(total, sum(room)), counts, room))
    else:
        shared = tuple(min(total // len(counts), limit) for limit in room)
    return Budget(shared, sum(shared), cost.fixed + sum(shared) * cost.item)


def _check(
    counts: Sequence[int],
    ipc: int | None,
    budget_bytes: int | None,
    class_balance: str,
    names: Sequence[str],
) -> None:
    if (ipc is None) == (budget_bytes is None):
        got = "none" if ipc is None else f"ipc={ipc} and budget_bytes={budget_bytes}"
        raise ValueError(f"give exactly one of ipc and budget_bytes; got {got}")
    if class_balance not in BALANCES:
        raise ValueError(
            f"class_balance must be one of {BALANCES}, got {class_balance!r}"
        )
    for name, size in zip(names, counts, strict=True):
        if size < 1:
            raise ValueError(f"class {name!r} has no training images; leave it out")


def _check_behind(
    counts: Sequence[int], behind: int, names: Sequence[str], noun: str, smaller: str
) -> None:
    smallest = min(counts)
    if smallest < behind:
        name = names[list(counts).index(smallest)]
        raise ValueError(
            f"each {noun} starts from {behind} real ones, and class {name!r} has "
            f"{smallest}: take {smaller}"
        )


def _counts(
    total: int,
    sizes: Sequence[int],
    room: Sequence[int],
    class_balance: str,
    asked: str,
    names: Sequence[str],
) -> tuple[int, ...]:
    if class_balance == "proportional":
        if total > sum(room):
            raise ValueError(
                f"{asked} is {total} images; there is room for {sum(room)} "
                f"({sum(sizes)} training images)"
            )
        return tuple(apportion(total, sizes, room))
    each, limit = total // len(sizes), min(room)
    if each > limit:
        place = list(room).index(limit)
        raise ValueError(
            f"{asked} is {each} of each class, but class {names[place]!r} has "
            f"{sizes[place]} training images; ask for at most {limit} of each, or "
            'class_balance="proportional"'
        )
    return (each,) * len(sizes)


def _fitting(budget: int | None, item: int, classes: int) -> int:
    items = check_count("budget_bytes", budget) // item
    if items < classes:
        raise ValueError(
            f"budget_bytes={budget} holds {items} images of {item} bytes, fewer than "
            f"the {classes} classes; the smallest that fits is {classes * item}"
        )
    return items
