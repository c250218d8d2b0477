"""Models that are trained on a graph and tested on another, from PyG layers.

The parameters live in PyG's own layers. The products with constant matrices go
through `Inputs`, which makes each operator of a graph once;
`tests/graph/test_models.py` holds every model against PyG's own forward. Initial
values and dropout come from a generator that is passed in, never from the global one.
"""

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import APPNP as Propagation
from torch_geometric.nn import ChebConv, GATConv, GCNConv, SAGEConv, SGConv
from torch_geometric.nn.dense import Linear
from torch_geometric.utils import softmax

from multidd.graph.models.module_backbone import edges_of
from multidd.graph.models.propagation import Operator, Sparse, normalized, operator

__all__ = ["MODELS", "Inputs", "build"]


class Inputs:
    """A graph as models run on it: features and operators, each made once.

    Args:
        x: `[n, d]`.
        adjacency: `[n, n]`, symmetric, zero diagonal.
        device: where it lives.
    """

    def __init__(
        self, x: Tensor, adjacency: sp.csr_array, device: torch.device | str = "cpu"
    ) -> None:
        self.num_nodes, self.num_features = x.shape
        self.adjacency = sp.csr_array(adjacency)
        self.device = device
        self.x = operator(x.numpy(), device)

    @cached_property
    def gcn(self) -> Operator:
        r"""$D^{-1/2} (A + I) D^{-1/2}$."""
        return operator(normalized(self.adjacency), self.device)

    @cached_property
    def mean(self) -> Operator:
        """Rows of A + I, each divided by its sum: the mean over a node and around."""
        looped = sp.csr_array(self.adjacency + sp.eye_array(self.num_nodes))
        return operator(sp.diags_array(1.0 / looped.sum(axis=1)) @ looped, self.device)

    @cached_property
    def laplacian(self) -> Operator:
        r"""$-D^{-1/2} A D^{-1/2}$: the scaled Laplacian for $\lambda_{max} = 2$."""
        degree = self.adjacency.sum(axis=1)
        scale = np.divide(
            1.0, np.sqrt(degree), where=degree > 0, out=np.zeros_like(degree)
        )
        half = sp.diags_array(scale)
        return operator(-(half @ self.adjacency @ half), self.device)

    @cached_property
    def edges(self) -> Tensor:
        """`[2, e]`, source and target, self-loops included."""
        looped = sp.coo_array(self.adjacency + sp.eye_array(self.num_nodes))
        pairs = np.stack([looped.col, looped.row]).astype(np.int64)
        return torch.from_numpy(pairs).to(self.device)

    @cached_property
    def plain(self) -> tuple[Tensor, Tensor, Tensor]:
        """Dense features, `edge_index` and `edge_weight`, as modules of PyG take them;
        without self-loops."""
        x = self.x.matrix.toarray() if isinstance(self.x, Sparse) else self.x
        index, weight = edges_of(self.adjacency)
        dense = torch.as_tensor(x).to(self.device)
        return dense, index.to(self.device), weight.to(self.device)

    @cached_property
    def twice(self) -> Operator:
        """Features propagated twice."""
        features = self.x.matrix if isinstance(self.x, Sparse) else self.x.cpu().numpy()
        step = normalized(self.adjacency)
        return operator(step @ (step @ features), self.device)


def apply(layer: Any, x: Operator) -> Tensor:
    """`layer` (any with weight and maybe bias) on dense or sparse features."""
    product = x @ layer.weight.T
    return product if layer.bias is None else product + layer.bias


class _Two(nn.Module):
    """Two layers with ReLU and dropout between; what a layer does is `hop`'s."""

    def __init__(self, first: nn.Module, second: nn.Module, dropout: float) -> None:
        super().__init__()
        self.first, self.second, self.dropout = first, second, dropout

    def forward(self, graph: Inputs, rng: torch.Generator | None = None) -> Tensor:
        """`[n, c]` logits; with dropout drawn by `rng`, without where it is None."""
        hidden = self.hop(self.first, graph.x, graph).relu()
        if rng is not None and self.dropout:
            keep = torch.empty_like(hidden).bernoulli_(1 - self.dropout, generator=rng)
            hidden = hidden * keep / (1 - self.dropout)
        return self.hop(self.second, hidden, graph)

    def hop(self, layer: Any, x: Operator, graph: Inputs) -> Tensor:
        """One layer."""
        return apply(layer, x)


class GCN(_Two):
    """Two `GCNConv`."""

    def hop(self, layer: Any, x: Operator, graph: Inputs) -> Tensor:
        """Propagate after the product."""
        return graph.gcn @ apply(layer.lin, x) + layer.bias


class GraphSAGE(_Two):
    """Two `SAGEConv` with the mean; a node counts among its own neighbours."""

    def hop(self, layer: Any, x: Operator, graph: Inputs) -> Tensor:
        """The node's part and its surroundings' part."""
        around = graph.mean @ (x @ layer.lin_l.weight.T) + layer.lin_l.bias
        return around + apply(layer.lin_r, x)


class ChebNet(_Two):
    """Two `ChebConv` of order one (K=2)."""

    def hop(self, layer: Any, x: Operator, graph: Inputs) -> Tensor:
        """The identity's and the Laplacian's part."""
        identity, neighbors = (x @ lin.weight.T for lin in layer.lins)
        return identity + graph.laplacian @ neighbors + layer.bias


class GAT(_Two):
    """Two `GATConv`, the first with heads side by side; edge weights are not seen."""

    def hop(self, layer: Any, x: Operator, graph: Inputs) -> Tensor:
        """Attention over a node's neighbours and itself."""
        source, target = graph.edges
        h = apply(layer.lin, x).view(-1, layer.heads, layer.out_channels)
        left, right = (h * layer.att_src).sum(-1), (h * layer.att_dst).sum(-1)
        score = F.leaky_relu(left[source] + right[target], layer.negative_slope)
        share = softmax(score, target, num_nodes=len(h))
        out = torch.zeros_like(h).index_add(0, target, share[..., None] * h[source])
        return out.flatten(1) + layer.bias


class MLP(_Two):
    """Two linear layers; the graph is not seen."""


class APPNP(_Two):
    """Two linear layers, then ten steps of personalized PageRank."""

    def __init__(self, first: nn.Module, second: nn.Module, dropout: float) -> None:
        super().__init__(first, second, dropout)
        self.propagation = Propagation(K=10, alpha=0.1)

    def forward(self, graph: Inputs, rng: torch.Generator | None = None) -> Tensor:
        """`[n, c]` logits."""
        start = super().forward(graph, rng)
        out, alpha = start, self.propagation.alpha
        for _ in range(self.propagation.K):
            out = (1 - alpha) * (graph.gcn @ out) + alpha * start
        return out


class SGC(nn.Module):
    """One `SGConv` of two hops."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, graph: Inputs, rng: torch.Generator | None = None) -> Tensor:
        """`[n, c]` logits."""
        return apply(self.layer.lin, graph.twice)


MODELS = ("gcn", "sgc", "appnp", "sage", "chebnet", "gat", "mlp")


def build(
    name: str,
    d: int,
    c: int,
    rng: torch.Generator,
    *,
    width: int = 256,
    dropout: float = 0.5,
) -> Any:
    """A model by name with random weights: matrices Glorot uniform, vectors zero.

    Args:
        name: one of `MODELS`.
        d: features.
        c: classes.
        rng: draws the weights.
        width: of the hidden layer; GAT divides it by its 16 heads.
        dropout: chance that a hidden unit is dropped in training.

    Returns:
        A module that maps `Inputs` to logits `[n, c]`.

    Raises:
        ValueError: no such model.

    Example:
        >>> type(build("sage", 5, 2, torch.Generator())).__name__
        'GraphSAGE'
    """
    heads = 16
    make: dict[str, Any] = {
        "gcn": lambda: GCN(GCNConv(d, width), GCNConv(width, c), dropout),
        "sgc": lambda: SGC(SGConv(d, c, K=2)),
        "appnp": lambda: APPNP(Linear(d, width), Linear(width, c), dropout),
        "sage": lambda: GraphSAGE(SAGEConv(d, width), SAGEConv(width, c), dropout),
        "chebnet": lambda: ChebNet(
            ChebConv(d, width, 2), ChebConv(width, c, 2), dropout
        ),
        "gat": lambda: GAT(
            GATConv(d, width // heads, heads), GATConv(width, c), dropout
        ),
        "mlp": lambda: MLP(Linear(d, width), Linear(width, c), dropout),
    }
    if name not in make:
        raise ValueError(f"model must be one of {', '.join(MODELS)}; got {name!r}")
    with torch.device("meta"):  # so that the layers draw nothing themselves
        model = make[name]()
    return drawn(model.to_empty(device=rng.device), rng)


@torch.no_grad()
def drawn(model: nn.Module, rng: torch.Generator) -> nn.Module:
    """The model with random weights: matrices Glorot uniform, vectors zero."""
    for weight in model.parameters():
        if weight.dim() < 2:
            weight.zero_()
            continue
        bound = (6.0 / (weight.shape[-1] + weight.shape[-2])) ** 0.5
        weight.uniform_(-bound, bound, generator=rng)
    return model
