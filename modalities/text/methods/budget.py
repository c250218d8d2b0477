"""Budgets: how many synthetic texts each class gets."""

from multidd.data.splitting import apportion, check_count
from multidd.text.data.texts import Texts


def plan(texts: Texts, per_class: int | None, total: int | None) -> tuple[int, ...]:
    """How many texts of each class.

    Args:
        texts: the training texts.
        per_class: of each class; or
        total: in all, each class by its size, one at least.

    Raises:
        TypeError: a number of texts that is not whole.
        ValueError: none or both given, or more or fewer than the texts allow.

    Example:
        >>> from multidd.text.data.readers import as_texts
        >>> some = as_texts(["a", "b", "c", "d"], ["x", "x", "x", "y"])
        >>> plan(some, None, 3)
        (2, 1)
    """
    if (per_class is None) == (total is None):
        raise ValueError(
            f"give per_class or total, one of them; got {per_class} and {total}"
        )
    sizes = texts.counts.tolist()
    empty = [texts.classes[i] for i, size in enumerate(sizes) if not size]
    if empty:
        raise ValueError(f"no training texts of {', '.join(map(repr, empty))}")
    if total is not None:
        min_count, max_count = len(sizes), len(texts)
        count = check_count("total", total, None)
        if not min_count <= count <= max_count:
            raise ValueError(
                f"total must be from {min_count} (one of each class) to {max_count} "
                f"(all); got {count}"
            )
        return tuple(apportion(count, sizes, sizes))
    smallest = min(range(len(sizes)), key=sizes.__getitem__)
    count = check_count("per_class", per_class, None)
    if not 1 <= count <= sizes[smallest]:
        raise ValueError(
            f"per_class must be from 1 to {sizes[smallest]}, the training texts of "
            f"the smallest class ({texts.classes[smallest]!r}); got {per_class}; give "
            "total= to share by the sizes of classes"
        )
    return (count,) * len(sizes)
