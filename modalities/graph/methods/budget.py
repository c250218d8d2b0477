"""How many synthetic nodes each class gets."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from multidd.graph.data.graph import Graph


@dataclass(frozen=True)
class Budget:
    """Nodes asked for and given.

    Attributes:
        counts: synthetic nodes of each class.
        nodes: their sum.
        ratio: nodes / nodes of the graph.
        ratio_train: nodes / training nodes.
    """

    counts: tuple[int, ...]
    nodes: int
    ratio: float
    ratio_train: float


def plan(
    graph: Graph,
    ratio: float | None = None,
    nodes: int | None = None,
    per_class: int | None = None,
    *,
    shares: Sequence[int] | None = None,
    most: Sequence[int] | None = None,
) -> Budget:
    """Turn exactly one of three budgets into nodes per class.

    Classes share `ratio` and `nodes` in proportion to `shares`, each with one at least
    and `most` at most.

    Args:
        graph: the graph that the method sees.
        ratio: synthetic nodes / nodes of the graph, in (0, 1]; 70 of Cora's 2,708
            nodes is 0.026.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class.
        shares: of the classes; their training nodes unless given.
        most: nodes of each class to start from; its training nodes unless given.

    Returns:
        The `Budget`.

    Raises:
        ValueError: no budget or two, or one that does not fit; says what would.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> plan(as_graph(multidd.samples.cora()), ratio=0.026).counts
        (10, 10, 10, 10, 10, 10, 10)
    """
    given = {"ratio": ratio, "nodes": nodes, "per_class": per_class}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) or "none"
        raise ValueError(f"give exactly one of ratio, nodes and per_class; got {got}")
    n, trained = graph.num_nodes, int(graph.train.sum())
    sizes = torch.bincount(graph.y[graph.train], minlength=graph.num_classes).tolist()
    most = sizes if most is None else most
    if per_class is not None:
        counts = [whole("per_class", per_class)] * graph.num_classes
        total = sum(counts)
    else:
        total = _total(graph, ratio, nodes)
    if per_class is not None and per_class > min(most):
        _too_many(f"per_class={per_class}", most, f"per_class={min(most)}")
    if total > sum(most):
        fit = sum(most)
        _too_many(f"nodes={total}", most, f"nodes={fit}, ratio={fit / n:.4g}")
    if per_class is None:
        counts = share(total, sizes if shares is None else shares, most)
    return Budget(tuple(counts), total, total / n, total / trained)


def _too_many(asked: str, most: Sequence[int], fit: str) -> None:
    raise ValueError(
        f"{asked} is too many: the classes have {list(most)} nodes to start from; the "
        f"largest that fits is {fit}"
    )


def _total(graph: Graph, ratio: float | None, nodes: int | None) -> int:
    n, c = graph.num_nodes, graph.num_classes
    if ratio is not None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio must be above 0 and at most 1, got {ratio}")
        total = round(ratio * n)
        asked = f"ratio={ratio} of {n} nodes is {total} nodes"
    else:
        total = whole("nodes", nodes)
        asked = f"nodes={total}"
    if total < c:
        raise ValueError(
            f"{asked}, fewer than the {c} classes; the smallest that fits is "
            f"nodes={c}, ratio={c / n:.4g} ({c / int(graph.train.sum()):.4g} of the "
            "training nodes)"
        )
    return total


def whole(name: str, value: object) -> int:
    """`value`, where it is a whole number of 1 or more; else refused by its name."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}")
    return value


def share(total: int, shares: Sequence[int], most: Sequence[int]) -> list[int]:
    """Largest remainders in proportion to `shares`, from one to `most` for each."""
    exact = [total * share / sum(shares) for share in shares]
    pairs = list(zip(exact, most, strict=True))
    counts = [max(min(int(part), limit), 1) for part, limit in pairs]
    while sum(counts) < total:
        free = [i for i, limit in enumerate(most) if counts[i] < limit]
        counts[max(free, key=lambda i: exact[i] - counts[i])] += 1
    while sum(counts) > total:
        free = [i for i, count in enumerate(counts) if count > 1]
        counts[min(free, key=lambda i: exact[i] - counts[i])] -= 1
    return counts
