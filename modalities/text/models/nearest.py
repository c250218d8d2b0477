"""The nearest row of a table to each vector."""

from importlib.util import find_spec
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Metric", "most_alike", "nearest"]

Metric = Literal["cosine", "l2", "dot"]
"""How vectors are compared with rows; `"dot"` favours long rows."""

LARGE = 10**6
"""Rows of a corpus above which faiss searches, where it is installed."""

BLOCK = 2**17
"""Rows of a corpus that are compared at a time."""

BATCH_SIZE = 2048
"""Vectors that are compared with all rows at a time."""


def nearest(
    x: Tensor, rows: Tensor, among: Tensor | None = None, metric: Metric = "cosine"
) -> tuple[Tensor, Tensor]:
    r"""Place and similarity of the row that is nearest to each vector.

    $\arg\max_v s(x, E_v)$ with $s = \cos$, $-\lVert x - E_v \rVert$ or $x^\top E_v$.

    Args:
        x: `[..., e]`.
        rows: `[V, e]`.
        among: places of the rows to choose from; all unless given.
        metric: `"cosine"`, `"l2"` or `"dot"`.

    Returns:
        Places `[...]` int64 and similarities `[...]`. No gradient flows.

    Raises:
        ValueError: no such metric, other widths, or no row to choose from.

    Example:
        >>> nearest(torch.tensor([0.9, 0.1]), torch.eye(2))[0].item()
        0
    """
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be 'cosine', 'l2' or 'dot'; got {metric!r}")
    if rows.dim() != 2 or x.shape[-1] != rows.shape[1]:
        raise ValueError(
            f"vectors of width {x.shape[-1]} cannot be compared with a table "
            f"{list(rows.shape)}; take the table that they were learned in"
        )
    candidates = rows if among is None else rows[among]
    if not len(candidates):
        raise ValueError("no row of the table is left to choose from")
    with torch.no_grad():
        flat = x.detach().reshape(-1, x.shape[-1]).to(candidates.dtype)
        parts = [_best(part, candidates, metric) for part in flat.split(BATCH_SIZE)]
    place = torch.cat([best for best, _ in parts]).view(x.shape[:-1])
    value = torch.cat([best for _, best in parts]).view(x.shape[:-1])
    return (place if among is None else among[place]), value


def most_alike(x: Tensor, corpus: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Inner products and places of the rows of a corpus that are most alike.

    Where faiss is installed and the corpus is large, by its flat index.

    Args:
        x: `[m, d]`.
        corpus: `[n, d]`.
        count: k, rows for each; no more than n.

    Returns:
        `[m, k]` inner products, the largest first, and `[m, k]` places.

    Example:
        >>> most_alike(torch.eye(2), torch.eye(2), 1)[1].tolist()
        [[0], [1]]
    """
    if len(corpus) > LARGE and find_spec("faiss") is not None:
        import faiss  # type: ignore[import-not-found,import-untyped,unused-ignore]

        index = faiss.IndexFlatIP(corpus.shape[1])
        index.add(corpus.cpu().float().numpy())
        value, place = index.search(x.cpu().float().numpy(), count)
        return torch.from_numpy(value), torch.from_numpy(place)
    values, places = [], []
    for start in range(0, len(corpus), BLOCK):
        top = (x @ corpus[start : start + BLOCK].mT).topk(
            min(count, len(corpus) - start, BLOCK), dim=1
        )
        values.append(top.values)
        places.append(top.indices + start)
    best = torch.cat(values, 1).topk(count, dim=1)
    return best.values, torch.cat(places, 1).gather(1, best.indices)


def _best(x: Tensor, rows: Tensor, metric: Metric) -> tuple[Tensor, Tensor]:
    if metric == "cosine":
        x, rows = F.normalize(x, dim=1), F.normalize(rows, dim=1)
    score = x @ rows.mT
    if metric == "l2":
        score = 2 * score - rows.square().sum(1)
    place = score.argmax(1)
    if metric == "l2":
        return place, -(x - rows[place]).norm(dim=1)
    return place, score.gather(1, place[:, None])[:, 0]
