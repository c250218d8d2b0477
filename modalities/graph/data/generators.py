"""A stochastic block model of any size, drawn in parts."""

import torch
from torch import Tensor
from torch_geometric.data import Data

from multidd import seeds
from multidd.arguments import public_function

PART = 2**21
"""Edges, or feature rows times 16, that are drawn at a time."""


@public_function
def blocks(
    nodes: int,
    edges: int,
    features: int = 128,
    classes: int = 40,
    seed: int = 0,
    *,
    homophily: float = 0.5,
    signal: float = 0.1,
    confusion: float = 0.1,
    train: float = 0.1,
    val: float = 0.05,
) -> Data:
    r"""Generate a stochastic block model whose features depend on the classes.

    Each node lies in one of c blocks of nearly equal size. An edge has a first end
    drawn from all nodes; its second one is of the same block with chance `homophily`,
    else of another. Features are $x = s\,\mu_{block} + \epsilon$ with standard normal
    $\mu$ and $\epsilon$. A share of the nodes (`confusion`) has a label drawn anew,
    which neither edges nor features tell: no model can know it.

    int32 edges and float32 features are drawn in parts, so beside the graph itself
    almost no memory is taken: 2 million nodes with 40 million edges and 128 features
    are 1.7 GB.

    Args:
        nodes: n.
        edges: undirected ones; `edge_index` holds both directions of each, so twice as
            many columns. A pair may be drawn twice, which is rare in sparse graphs.
        features: d.
        classes: c, two or more.
        seed: of every draw.
        homophily: chance that an edge stays within its block.
        signal: s, how far the blocks' features lie apart.
        confusion: share of nodes whose label is drawn anew.
        train: share of training nodes, at least one of each class.
        val: share of validation nodes; the rest are test nodes.

    Returns:
        A PyG `Data` with `x`, int32 `edge_index`, `y` and three masks.

    Raises:
        ValueError: sizes or shares out of range.

    Example:
        >>> data = blocks(1000, 4000, features=8, classes=4)
        >>> data.num_nodes, data.num_edges, int(data.y.max())
        (1000, 8000, 3)
    """
    _check(nodes, edges, features, classes)
    for name, share in (("homophily", homophily), ("confusion", confusion)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} must be from 0 to 1, got {share}")
    if not (train > 0 and val >= 0 and train + val <= 1):
        raise ValueError(
            f"train must be above 0, val 0 or more, their sum at most 1; got {train} "
            f"and {val}"
        )
    rng = seeds.at(seed, "blocks/nodes")
    block = torch.arange(nodes) % classes
    other = torch.randint(classes, (nodes,), generator=rng)
    y = torch.where(torch.rand(nodes, generator=rng) < confusion, other, block)
    y[:classes] = torch.arange(classes)  # so that every class is trained on
    data = Data(
        x=_features(block, features, classes, signal, seed),
        edge_index=_edges(nodes, edges, classes, homophily, seed),
        y=y,
    )
    place = torch.rand(nodes, generator=rng)
    place[:classes] = 0.0
    data.train_mask = place < train
    data.val_mask = (place >= train) & (place < train + val)
    data.test_mask = place >= train + val
    return data


def _check(nodes: int, edges: int, features: int, classes: int) -> None:
    if classes < 2 or nodes < 2 * classes:
        raise ValueError(
            f"a block model has 2 classes or more and 2 nodes of each; got {nodes} "
            f"nodes and {classes} classes"
        )
    if edges < 0 or features < 1 or nodes >= 2**31:
        raise ValueError(
            "edges must be 0 or more, features 1 or more, nodes below 2**31; got "
            f"{edges}, {features} and {nodes}"
        )


def _features(block: Tensor, d: int, c: int, signal: float, seed: int) -> Tensor:
    means = signal * torch.randn(c, d, generator=seeds.at(seed, "blocks/means"))
    x = torch.empty(len(block), d)
    rows = max(16 * PART // d, 1)
    for part, start in enumerate(range(0, len(block), rows)):
        chunk = x[start : start + rows]
        chunk.normal_(generator=seeds.at(seed, "blocks/x", part))
        chunk += means[block[start : start + rows]]
    return x


def _edges(n: int, e: int, c: int, homophily: float, seed: int) -> Tensor:
    edges = torch.empty(2, 2 * e, dtype=torch.int32)
    for part, start in enumerate(range(0, e, PART)):
        rng = seeds.at(seed, "blocks/edges", part)
        chunk_size = min(PART, e - start)
        first = torch.randint(n, (chunk_size,), generator=rng)
        away = torch.randint(1, c, (chunk_size,), generator=rng)
        away[torch.rand(chunk_size, generator=rng) < homophily] = 0
        # Node i lies in block i mod c, so a block's nodes are counted by i // c.
        block = (first + away) % c
        sizes = (n - block + c - 1) // c
        drawn = (
            torch.rand(chunk_size, generator=rng, dtype=torch.float64) * sizes
        ).long()
        drawn = drawn.clamp(max=sizes - 1)
        second = drawn * c + block
        same = second == first
        second[same] = (((drawn + 1) % sizes) * c + block)[same]
        both = torch.stack([first, second]).int()
        edges[:, start : start + chunk_size] = both
        edges[:, e + start : e + start + chunk_size] = both.flip(0)
    return edges
