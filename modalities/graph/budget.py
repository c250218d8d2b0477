"""How many synthetic nodes each class gets."""

from dataclasses import dataclass

import torch

from multidd.graph.graph import Graph


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
    limit: str = "train",
) -> Budget:
    """Turn exactly one of three budgets into nodes per class.

    Classes share `ratio` and `nodes` in proportion to their training nodes, each with
    one at least.

    Args:
        graph: the graph that the method sees.
        ratio: synthetic nodes / nodes of the graph, in (0, 1]; 70 of Cora's 2,708
            nodes is 0.026.
        nodes: synthetic nodes in all.
        per_class: synthetic nodes of each class.
        limit: `"train"`: a class gets at most its training nodes; `"graph"`: nodes in
            all are at most those of the graph.

    Returns:
        The `Budget`.

    Raises:
        ValueError: no budget or two, or one that does not fit; says what would.

    Example:
        >>> import multidd
        >>> from multidd.graph.graph import as_graph
        >>> plan(as_graph(multidd.samples.cora()), ratio=0.026).counts
        (10, 10, 10, 10, 10, 10, 10)
    """
    given = {"ratio": ratio, "nodes": nodes, "per_class": per_class}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) or "none"
        raise ValueError(f"give exactly one of ratio, nodes and per_class; got {got}")
    n, c = graph.num_nodes, graph.num_classes
    sizes = torch.bincount(graph.y[graph.train], minlength=c)
    if per_class is not None:
        counts = [_whole("per_class", per_class)] * c
    else:
        total = _total(graph, ratio, nodes)
        counts = _share(total, sizes.tolist())
    _check_limit(graph, counts, sizes.tolist(), limit)
    total = sum(counts)
    return Budget(tuple(counts), total, total / n, total / int(graph.train.sum()))


def _total(graph: Graph, ratio: float | None, nodes: int | None) -> int:
    n, c = graph.num_nodes, graph.num_classes
    if ratio is not None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio must be above 0 and at most 1, got {ratio}")
        total = round(ratio * n)
        asked = f"ratio={ratio} of {n} nodes is {total} nodes"
    else:
        total = _whole("nodes", nodes)
        asked = f"nodes={total}"
    if total < c:
        raise ValueError(
            f"{asked}, fewer than the {c} classes; the smallest that fits is "
            f"nodes={c}, ratio={c / n:.4g} ({c / int(graph.train.sum()):.4g} of the "
            "training nodes)"
        )
    return total


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}")
    return value


def _share(total: int, sizes: list[int]) -> list[int]:
    """Largest remainders in proportion to `sizes`, one at least for each."""
    exact = [total * size / sum(sizes) for size in sizes]
    counts = [max(int(part), 1) for part in exact]
    order = sorted(range(len(sizes)), key=lambda i: counts[i] - exact[i])
    step = 1 if sum(counts) < total else -1
    place = 0
    while sum(counts) != total:
        i = order[place % len(order)] if step > 0 else order[-1 - place % len(order)]
        counts[i] += step if step > 0 or counts[i] > 1 else 0
        place += 1
    return counts


def _check_limit(
    graph: Graph, counts: list[int], sizes: list[int], limit: str
) -> None:
    n, total = graph.num_nodes, sum(counts)
    if limit == "graph":
        if total > n:
            raise ValueError(f"{total} nodes were asked for; the graph has {n}")
        return
    over = [i for i, (k, size) in enumerate(zip(counts, sizes, strict=True)) if k > size]
    if over:
        i = over[0]
        most = min(int(total * size / k) for k, size in zip(counts, sizes, strict=True))
        raise ValueError(
            f"class {i} would get {counts[i]} nodes and has {sizes[i]} training nodes "
            f"to start from; ask for at most about nodes={most}, ratio={most / n:.4g}"
        )
