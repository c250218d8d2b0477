"""What methods for sets of graphs check first: budgets, starts and memory."""

from collections.abc import Sequence
from typing import Any

from multidd.data.splitting import apportion, at_most, check_count
from multidd.engine.card import CardInfo
from multidd.engine.loop import select
from multidd.engine.options import RunSettings
from multidd.graph.data.graph_set import GraphSet
from multidd.graph.methods.resources import as_bytes
from multidd.graph.summary.graph_set_summary import GraphSetSummary
from multidd.graph.tasks.graph_set_task import GraphSetTask
from multidd.learning.memory import available_memory, format_bytes
from multidd.protocols import Selection
from multidd.selection.basic import Herding, KCenter, Medoids, Random

STARTS: dict[str, Selection] = {
    "kmeans": Medoids(),
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
}
"""Selections of graphs by name; a mean of graphs is no graph, so `kmeans` gives the
graphs nearest to its centroids."""


def plan_graphs(
    graphs: GraphSet, ratio: float | None = None, per_class: int | None = None
) -> tuple[int, ...]:
    """Turn exactly one of two budgets into graphs per class.

    Args:
        graphs: the training graphs.
        ratio: synthetic graphs / graphs, in (0, 1], shared by the classes' sizes.
        per_class: synthetic graphs of each class.

    Returns:
        Graphs of each class, one at least and as many as it has at most.

    Raises:
        ValueError: no budget or two, or one that does not fit; says what would.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> x, edges = torch.eye(2), torch.tensor([[0, 1], [1, 0]])
        >>> four = [Data(x=x, edge_index=edges, y=label) for label in (0, 0, 0, 1)]
        >>> plan_graphs(as_graph_set(four), ratio=0.75)
        (2, 1)
    """
    if (ratio is None) == (per_class is None):
        got = "none" if ratio is None else "both"
        raise ValueError(f"give exactly one of ratio and per_class; got {got}")
    n, class_counts = len(graphs), graphs.counts
    if per_class is not None:
        if check_count("per_class", per_class) > min(class_counts):
            raise ValueError(
                f"per_class={per_class} is too many: the classes have {class_counts} "
                f"graphs; the largest that fits is per_class={min(class_counts)}"
            )
        return (per_class,) * len(class_counts)
    if not 0 < float(ratio or 0) <= 1:
        raise ValueError(f"ratio must be above 0 and at most 1, got {ratio}")
    total = round(float(ratio or 0) * n)
    if total < len(class_counts):
        raise ValueError(
            f"ratio={ratio} of {n} graphs is {total}, fewer than the "
            f"{len(class_counts)} classes; the smallest that fits is "
            f"ratio={len(class_counts) / n:.4g}"
        )
    return tuple(apportion(total, class_counts, class_counts))


def largest_start(
    graphs: GraphSet, counts: Sequence[int], max_nodes: int | None
) -> int:
    """Nodes of the largest graph that a start may choose.

    Unless given, twice the mean: one huge graph would pad all others to its size; more
    where a class has too few such graphs.

    Raises:
        ValueError: a class has too few graphs of so many nodes.
    """
    needed = [
        int(graphs.sizes[graphs.y == label].sort().values[count - 1])
        for label, count in enumerate(counts)
    ]
    if max_nodes is None:
        return max(*needed, int(2 * graphs.sizes.float().mean()))
    if check_count("max_nodes", max_nodes) < max(needed):
        raise ValueError(
            f"max_nodes={max_nodes} leaves a class too few graphs to start from; the "
            f"smallest that fits is max_nodes={max(needed)}"
        )
    return max_nodes


def check_memory(
    task: GraphSetTask, counts: Sequence[int], limit: int | str | None = None
) -> None:
    """Refuse what would not fit, before anything of its size is allocated.

    Args:
        task: with the model and the largest graph that may be chosen.
        counts: synthetic graphs of each class.
        limit: bytes at hand, or text such as `"2 GB"`; None asks the machine.

    Raises:
        ValueError: says what it takes, and what there is.
    """
    room = available_memory(task.device) if limit is None else as_bytes(limit)
    takes = estimate(task, counts)
    if room is None or takes <= room:
        return
    p = task.max_nodes or int(task.graphs.sizes.max())
    raise ValueError(
        f"{sum(counts)} synthetic graphs of up to {p} nodes take about "
        f"{format_bytes(takes)}, and {format_bytes(room)} are free; choose fewer "
        "graphs, a smaller max_nodes (all pairs of nodes count), or give more "
        "max_memory="
    )


def estimate(task: GraphSetTask, counts: Sequence[int]) -> int:
    """Bytes that a step takes at its peak: pairs of synthetic nodes (logits, moments,
    noise, samples, operators and their gradients), and hidden units of both sides."""
    m, p = sum(counts), task.max_nodes or int(task.graphs.sizes.max())
    d, width = task.graphs.form.features, task.backbone.width * task.backbone.layers
    largest = min(max(task.graphs.counts), task.batch_size or len(task.graphs))
    real = largest * len(counts) * float(task.graphs.sizes.float().mean())
    pairs, units = 16 * m * p * p, m * p * (6 * d + 8 * width)
    return int(4 * (pairs + units + real * (2 * d + 4 * width)))


def selected(
    name: str, graphs: GraphSet, counts: Sequence[int], run: RunSettings
) -> GraphSetSummary:
    """The selection of that name, with `counts[i]` graphs of class i.

    A class with fewer graphs than its count gives all that it has.
    """
    fitting = at_most(counts, graphs.counts)
    settings = run.without_loop(name)
    card = CardInfo(name)
    return select(GraphSetTask(graphs), STARTS[name], fitting, card=card, **settings)


def refuse_node_settings(**settings: Any) -> None:
    """Refuse what is said of the nodes of one graph where there is a set of them.

    Args:
        **settings: by name, None or False where they were left out.

    Raises:
        ValueError: one was given.
    """
    names = [name for name, value in settings.items() if value not in (None, False)]
    if names:
        raise ValueError(
            f"{' and '.join(names)} is for the nodes of one graph, and data is a set "
            "of graphs; its budget is per_class= or ratio= (graphs / graphs)"
        )
