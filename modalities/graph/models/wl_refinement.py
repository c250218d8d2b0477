"""Nodes that no layer can tell apart, computed once.

After l layers of a graph network a node's state depends on its features and on what is
around it up to l edges away. Nodes alike in that, in whatever graph, have equal states;
so each level holds one row for each kind of node. Of the 2,697 nodes of 150 molecules
79, 333 and 862 differ after one, two and three layers.

Reference:
    Weisfeiler, Lehman, "The reduction of a graph to canonical form and the algebra
    which appears therein", NTI 2, 1968.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.graph.data.graph_set import GraphSet
from multidd.graph.models.propagation import Sparse, normalized

__all__ = ["Levels", "kinds", "pooling"]

Matrices = tuple[sp.csr_array, ...]


class Levels:
    """A set of graphs as networks of so many layers run on it.

    Args:
        graphs: the graphs.
        layers: of the network.
        device: where tensors live.
    """

    def __init__(
        self, graphs: GraphSet, layers: int, device: torch.device | str = "cpu"
    ) -> None:
        self.graphs, self.device = graphs, device
        self._of = kinds(graphs, layers)  # the kind of each node, at each level
        self._first = [np.unique(colors, return_index=True)[1] for colors in self._of]
        self.x = graphs.x[torch.from_numpy(self._first[0])].to(device)

    @cached_property
    def gcn(self) -> Matrices:
        r"""$D^{-1/2} (A + I) D^{-1/2}$ from each level to the next."""
        return self._between(normalized(self.graphs.adjacency))

    @cached_property
    def mean(self) -> Matrices:
        """The mean over a node and its neighbours."""
        looped = self._looped
        scale = sp.diags_array(1 / looped.sum(axis=1))
        return self._between(sp.csr_array(scale @ looped))

    @cached_property
    def looped(self) -> Matrices:
        """The sum over a node and its neighbours."""
        return self._between(self._looped)

    @cached_property
    def previous_rows(self) -> tuple[Tensor, ...]:
        """Where each row of a level lies in the level before it."""
        pairs = zip(self._of[:-1], self._first[1:], strict=True)
        return tuple(torch.from_numpy(of[at]).to(self.device) for of, at in pairs)

    @cached_property
    def pools(self) -> Matrices:
        """The mean over the nodes of each graph, of every level after the first."""
        pool = pooling(self.graphs.sizes)
        return tuple(sp.csr_array(pool @ _member(colors)) for colors in self._of[1:])

    def tensors(self, matrices: Sequence[sp.csr_array]) -> tuple[Sparse, ...]:
        """Matrices as operators on tensors."""
        return tuple(Sparse(matrix, self.device) for matrix in matrices)

    @cached_property
    def _looped(self) -> sp.csr_array:
        eye = sp.eye_array(len(self.graphs.x), format="csr", dtype=np.float32)
        return sp.csr_array(self.graphs.adjacency + eye)

    def _between(self, step: sp.csr_array) -> Matrices:
        pairs = zip(self._of[:-1], self._first[1:], strict=True)
        matrices = (sp.csr_array(step[at] @ _member(of)) for of, at in pairs)
        return tuple(matrix.astype(np.float32) for matrix in matrices)


def kinds(graphs: GraphSet, layers: int) -> list[np.ndarray]:
    """The kind of each node, from its features and degree to `layers` edges around.

    Example:
        >>> from torch_geometric.data import Data
        >>> from multidd.graph.data.graph_set import as_graph_set
        >>> path = Data(torch.ones(4, 1), torch.tensor([[0, 1, 2], [1, 2, 3]]), y=0)
        >>> [len(np.unique(row)) for row in kinds(as_graph_set([path], like=1), 2)]
        [2, 2, 2]
    """
    degree = np.diff(graphs.adjacency.indptr)[:, None]
    rows = np.concatenate([graphs.x.numpy().astype(np.float64), degree], axis=1)
    edges = graphs.adjacency.astype(np.uint64)
    draw = np.random.default_rng(0)
    numbers = [_numbered(rows)]
    for _ in range(layers):
        # Sums of random 64-bit numbers, modulo 2**64, tell which kinds are around.
        codes = draw.integers(2**64, size=(len(degree), 2), dtype=np.uint64)
        around = edges @ codes[numbers[-1]]
        before = numbers[-1][:, None].astype(np.uint64)
        numbers.append(_numbered(np.concatenate([before, around], axis=1)))
    return numbers


def pooling(sizes: Tensor) -> sp.csr_array:
    """`[n, nodes]`, the mean over the nodes of each graph.

    Example:
        >>> pooling(torch.tensor([1, 2])).toarray().tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    counts = sizes.numpy()
    values = np.repeat(1 / counts, counts).astype(np.float32)
    ends = np.concatenate([[0], counts.cumsum()])
    shape = (len(counts), int(ends[-1]))
    return sp.csr_array((values, np.arange(shape[1]), ends), shape=shape)


def _numbered(rows: np.ndarray) -> np.ndarray:
    """For each row the number of its value among the different ones."""
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)


def _member(of: np.ndarray) -> sp.csr_array:
    """`[nodes, kinds]`, which kind a node is of."""
    ones, ends = np.ones(len(of), np.float32), np.arange(len(of) + 1)
    return sp.csr_array((ones, of, ends), shape=(len(of), int(of.max()) + 1))
