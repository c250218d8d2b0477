"""Budgets: how many synthetic nodes each class gets."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from multidd.data.splitting import apportion, check_count
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
    max_counts: Sequence[int] | None = None,
) -> Budget:
    """Turn exactly one of three budgets into nodes per class.

    Classes share `ratio` and `nodes` in proportion to `shares`, each with one at least
    and `max_counts` at most.

    Args:
        graph: the graph that the method sees.
        ratio: synthetic nodes / nodes of the graph, in (0, 1]; 70 of Cora's 2,708
            nodes is 0.026.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class.
        shares: of the classes; their training nodes unless given.
        max_counts: nodes of each class to start from; its training nodes unless given.

    Returns:
        The `Budget`.

    Raises:
        TypeError: a number of nodes that is not whole.
        ValueError: no budget or two, or one that does not fit; says what would.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> plan(as_graph(multidd.samples.cora()), ratio=0.026).counts
        (10, 10, 10, 10, 10, 10, 10)
    """
    sizes = torch.bincount(graph.y[graph.train], minlength=graph.num_classes).tolist()
    max_counts = sizes if max_counts is None else max_counts
    total = check_budget(graph, ratio, nodes, per_class, max_counts)
    counts = [total // graph.num_classes] * graph.num_classes
    if per_class is None:
        counts = apportion(total, sizes if shares is None else shares, max_counts)
    trained = int(graph.train.sum())
    return Budget(tuple(counts), total, total / graph.num_nodes, total / trained)


def check_budget(
    graph: Graph,
    ratio: float | None,
    nodes: int | None,
    per_class: int | None,
    max_counts: Sequence[int] | None = None,
) -> int:
    """The synthetic nodes that one of three budgets asks for, in all.

    Args:
        graph, ratio, nodes, per_class: as of `plan`.
        max_counts: nodes of each class to start from; unless given as many as the graph
            has, which is all that can be said before a teacher is trained.

    Raises:
        TypeError: a number of nodes that is not whole.
        ValueError: no budget or two, or one that does not fit; says what would.

    Example:
        >>> import multidd
        >>> from multidd.graph.data.graph import as_graph
        >>> check_budget(as_graph(multidd.samples.cora()), None, None, 2)
        14
    """
    budgets = {"ratio": ratio, "nodes": nodes, "per_class": per_class}
    names = [name for name, value in budgets.items() if value is not None]
    if len(names) != 1:
        got = " and ".join(names) or "none"
        raise ValueError(f"give exactly one of ratio, nodes and per_class; got {got}")
    n, c = graph.num_nodes, graph.num_classes
    max_counts = [n] * c if max_counts is None else max_counts
    if per_class is None:
        total = _total(graph, ratio, nodes)
    else:
        total = check_count("per_class", per_class) * c
        if per_class > min(max_counts):
            _too_many(
                f"per_class={per_class}", max_counts, f"per_class={min(max_counts)}"
            )
    if total > sum(max_counts):
        largest = sum(max_counts)
        fit = f"nodes={largest}, ratio={largest / n:.4g}"
        _too_many(f"nodes={total}", max_counts, fit)
    return total


def _too_many(asked: str, max_counts: Sequence[int], fit: str) -> None:
    raise ValueError(
        f"{asked} is too many: the classes have {list(max_counts)} nodes to start "
        f"from; the largest that fits is {fit}"
    )


def _total(graph: Graph, ratio: float | None, nodes: int | None) -> int:
    n, c = graph.num_nodes, graph.num_classes
    if ratio is not None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio must be above 0 and at most 1, got {ratio}")
        total = round(ratio * n)
        asked = f"ratio={ratio} of {n} nodes is {total} nodes"
    else:
        total = check_count("nodes", nodes)
        asked = f"nodes={total}"
    if total < c:
        raise ValueError(
            f"{asked}, fewer than the {c} classes; the smallest that fits is "
            f"nodes={c}, ratio={c / n:.4g} ({c / int(graph.train.sum()):.4g} of the "
            "training nodes)"
        )
    return total
