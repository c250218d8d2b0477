"""An undirected graph with features and labels, validated, from a PyG `Data`."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from multidd.data.array_files import native_tensor
from multidd.data.labels import class_numbers, count_classes, number_array
from multidd.errors import MultiddWarning
from multidd.graph.data.adjacency import CHUNK, adjacency_digest, adjacency_of
from multidd.settings import tensor_digest

SUPPORTED = (
    "multidd.graph condenses for node classification: one class for each node (every "
    "method), or several labels, 0/1 of shape [nodes, labels] (condense)"
)


@dataclass(frozen=True, eq=False)
class Graph:
    """An undirected graph without self-loops or duplicate edges.

    Attributes:
        x: `[n, d]` float32.
        y: `[n]` integers, below zero where a node has no label.
        adjacency: `[n, n]` scipy CSR, symmetric, zero diagonal, weights as given or 1.
        train, val, test: `[n]` boolean masks of nodes with a label; val and test may be
            all False.
        num_classes: c.
        multi_label: `[n, c]` of 0 and 1 where nodes have several labels; then y is
            zeros.
    """

    x: Tensor
    y: Tensor
    adjacency: sp.csr_array
    train: Tensor
    val: Tensor
    test: Tensor
    num_classes: int
    multi_label: Tensor | None = None

    @property
    def num_nodes(self) -> int:
        """n."""
        return len(self.x)

    def describe(self) -> dict[str, Any]:
        """Sizes and digests: which data this is."""
        a = self.adjacency
        return {
            "nodes": self.num_nodes,
            "edges": int(a.nnz),
            "features": self.x.shape[1],
            "classes": self.num_classes,
            "train": int(self.train.sum()),
            "x": tensor_digest(self.x),
            "y": tensor_digest(
                self.y if self.multi_label is None else self.multi_label
            ),
            "adjacency": adjacency_digest(a),
            "masks": tensor_digest(torch.stack([self.train, self.val, self.test])),
        }

    def subgraph(self, nodes: Tensor) -> "Graph":
        """The graph induced by `nodes` (indices), in their order."""
        at = nodes.cpu().numpy()
        adjacency = sp.csr_array(self.adjacency[at][:, at])
        masks = (self.train[nodes], self.val[nodes], self.test[nodes])
        multi_label = None if self.multi_label is None else self.multi_label[nodes]
        x, y = self.x[nodes], self.y[nodes]
        return Graph(x, y, adjacency, *masks, self.num_classes, multi_label)


def as_graph(data: Any, multi_label: bool = False) -> Graph:
    """Check a PyG `Data` and bring it into the form of `Graph`; `data` is not changed.

    Features of any type become float32, SciPy's sparse matrices, NumPy's arrays and
    lists too. A node whose label is below zero or NaN has none: it is in no part, which
    a warning says of validation and test nodes. Directed edges are made
    undirected (the larger weight where both directions differ), duplicate edges are
    merged (their weights add up), self-loops are dropped (normalization adds one to
    every node), isolated nodes stay and see themselves only.

    Args:
        data: with `x`, `edge_index` (or `adj_t`), `y` and `train_mask`; `val_mask`,
            `test_mask` and `edge_weight` are taken where present.
        multi_label: take a 0/1 matrix `y` `[n, c]` too: several labels for a node.

    Returns:
        A `Graph`.

    Raises:
        TypeError: not a PyG `Data`.
        ValueError: something is missing, out of range, of another type or not finite,
            or a class without training nodes; says where.

    Example:
        >>> import multidd
        >>> as_graph(multidd.samples.cora()).adjacency.nnz
        10556
    """
    if isinstance(data, Graph):
        return data
    if not hasattr(data, "edge_index") or not hasattr(data, "keys"):
        hint = "for a dataset of one graph pass dataset[0]"
        if hasattr(data, "node_types"):
            hint = "pass multidd.graph.homogeneous(data, node_type) of one type"
        raise TypeError(
            "data must be a torch_geometric.data.Data of one graph, got "
            f"{type(data).__name__}; {hint}"
        )
    x = checked_features(data)
    n = len(x)
    train, val, test = (_mask(data, name, n) for name in ("train", "val", "test"))
    y, c, labels, labelled = labels_of(data, train, n, multi_label)
    val, test = (
        _labelled(val, labelled, "validation"),
        _labelled(test, labelled, "test"),
    )
    return Graph(x, y, checked_adjacency(data, n), train, val, test, c, labels)


def _labelled(mask: Tensor, labelled: Tensor, part: str) -> Tensor:
    """The nodes of a part that have a label."""
    rest = mask & labelled
    left_out, count = int((mask & ~labelled).sum()), int(mask.sum())
    if left_out:
        warnings.warn(
            f"{left_out} of {count} {part} nodes have no label (data.y below zero or "
            "NaN) and are left out of that part",
            MultiddWarning,
            stacklevel=4,
        )
    return rest


def as_tensor(value: Any, name: str) -> Any:
    """Numbers in arrays, lists, series and SciPy's matrices as a tensor; None stays.

    Args:
        value: tensors stay as they are.
        name: what messages call it.

    Raises:
        ValueError: no numbers, or complex ones; names the type.

    Example:
        >>> as_tensor([[1, 2]], "data.x")
        tensor([[1, 2]])
    """
    if isinstance(value, Tensor):
        if value.dtype in (torch.uint16, torch.uint32, torch.uint64):
            value = value.to(torch.int64)  # torch can hardly compute with these
        if value.is_complex():
            raise ValueError(
                f"{name} holds complex numbers; give their real and imaginary parts"
            )
        return value
    if value is None:
        return None
    if hasattr(value, "to_torch_sparse_coo_tensor"):  # torch_sparse's own class
        return value.to_torch_sparse_coo_tensor()
    if sp.issparse(value):
        coo = value.tocoo()
        where = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        entries = as_tensor(coo.data, name)
        return torch.sparse_coo_tensor(
            where, entries, coo.shape, check_invariants=True
        ).coalesce()
    try:
        array = np.asarray(value)
        if array.dtype == np.dtype(object) and not isinstance(value, str):
            array = array.astype(np.float64)
    except (TypeError, ValueError):  # lists of several lengths, or of other things
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        held = f" of {array.dtype}" if array.dtype != np.dtype(object) else ""
        raise ValueError(
            f"{name} must be a tensor, array or matrix of real numbers, got "
            f"{type(value).__name__}{held}"
        )
    return native_tensor(array)


def checked_features(data: Any) -> Tensor:
    """`[n, d]` float32 of a `Data`, dense; refused where it is not finite numbers."""
    x = as_tensor(data.x, "data.x")
    if x is None:
        raise ValueError(
            "data.x is missing; give nodes features, such as one-hot degrees "
            "(torch_geometric.transforms.OneHotDegree)"
        )
    x = (x.to_dense() if x.layout != torch.strided else x).detach().cpu()
    if x.dim() != 2 or not x.numel():
        raise ValueError(f"data.x must be [nodes, features], got {list(x.shape)}")
    values, x = x, x.to(torch.float32).contiguous()
    if not _finite(x):
        bad = (~torch.isfinite(x)).nonzero()
        row, column = bad[0].tolist()
        raise ValueError(
            f"data.x has {len(bad)} entries that are NaN, infinite or too large for "
            f"float32, the first at row {row}, column {column} "
            f"({values[row, column].item()}); clean or drop them first"
        )
    return x


def _finite(x: Tensor) -> bool:
    """Whether all entries are, looked at in parts."""
    rows = max(CHUNK // x.shape[1], 1)
    return all(bool(torch.isfinite(part).all()) for part in x.split(rows))


def _mask(data: Any, name: str, n: int) -> Tensor:
    mask = as_tensor(getattr(data, f"{name}_mask", None), f"data.{name}_mask")
    if mask is None:
        if name == "train":
            raise ValueError(
                "data.train_mask is missing; make one, for example with "
                "torch_geometric.transforms.RandomNodeSplit, or load the data with "
                "multidd.graph.load"
            )
        return torch.zeros(n, dtype=torch.bool)
    mask = mask.detach().cpu()
    if mask.dim() == 2:
        raise ValueError(
            f"data.{name}_mask holds {mask.shape[1]} splits; choose one, for example "
            f"data.{name}_mask = data.{name}_mask[:, 0]"
        )
    if mask.shape != (n,) or mask.dtype != torch.bool:
        raise ValueError(
            f"data.{name}_mask must be {n} booleans, got {mask.dtype} of shape "
            f"{list(mask.shape)}"
        )
    if name == "train" and not mask.any():
        raise ValueError("data.train_mask is empty; mark the nodes to learn from")
    return mask.clone()


def labels_of(
    data: Any, train: Tensor, n: int, multi_label: bool
) -> tuple[Tensor, int, Tensor | None, Tensor]:
    """The classes of the nodes, how many, and the labels of nodes that have several.

    Args:
        data: with `y`.
        train: `[n]`, the training nodes.
        n: nodes.
        multi_label: whether a 0/1 matrix of labels is taken.

    Returns:
        `[n]` classes (zeros where nodes have several labels), c, `[n, c]` or None, and
        `[n]` which nodes have a label.

    Raises:
        ValueError: no labels, or of a kind that is not supported; says which are.
    """
    array = label_array(data)
    absent = array < 0 if array.dtype.kind != "f" else ~(array >= 0)
    several = array.ndim == 2 and len(array) == n and array.shape[1] > 0
    if several:
        labelled = torch.from_numpy(~absent.all(axis=1))
        known = array[labelled.numpy()]
        several = bool(((known == 0) | (known == 1)).all())
    if several and multi_label:
        _check_labelled(train, labelled, array)
        table = torch.from_numpy(np.where(absent, 0, array).astype(np.float32))
        _check_different(table[train])
        none = torch.zeros(n, dtype=torch.int64)
        return none, array.shape[1], table, labelled
    whole = array.ndim == 1 and len(array) == n
    y = class_numbers(array, noun="node") if whole else None
    if y is None:
        problem = "several labels for a node are not supported by this method"
        if not several:
            problem = "regression targets are not supported (bin them into classes)"
        dtype = getattr(data.y, "dtype", array.dtype)
        raise ValueError(
            f"data.y must be {n} integers (one class for each node), got {dtype} of "
            f"shape {list(array.shape)}; {problem}. {SUPPORTED}"
        )
    labelled = y >= 0
    _check_labelled(train, labelled, array)
    c = count_classes(
        y,
        train,
        noun="node",
        learned_noun="training nodes",
        advice=(
            "mark some in data.train_mask, relabel the data without these classes, or "
            "give -1 to nodes without a label"
        ),
    )
    if c < 2:
        raise ValueError("all nodes have one class; there is nothing to classify")
    return y, c, None, labelled


def label_array(data: Any) -> np.ndarray:
    """The labels of a `Data` as numbers, `[n]` where they are a column.

    Raises:
        ValueError: there are none, or they are no numbers.
    """
    y = getattr(data, "y", None)
    if y is None:
        links = getattr(data, "edge_label_index", getattr(data, "edge_label", None))
        asked = "" if links is None else " (link prediction is not supported)"
        raise ValueError(
            f"data.y is missing; node classification needs labels{asked}. {SUPPORTED}"
        )
    array = number_array(y, name="data.y", noun="node")
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _check_labelled(train: Tensor, labelled: Tensor, array: np.ndarray) -> None:
    unlabelled = (train & ~labelled).nonzero()
    if len(unlabelled):
        node = int(unlabelled[0])
        raise ValueError(
            f"training node {node} has label {array[node].tolist()}; want 0..c-1"
        )


def _check_different(y: Tensor) -> None:
    if bool((y == y[:1]).all()):
        raise ValueError(
            "all training nodes have the same labels; there is nothing to classify"
        )


def checked_adjacency(data: Any, n: int) -> sp.csr_array:
    """The undirected adjacency of a `Data` of n nodes; see `adjacency_of`."""
    edges, weight = _edges(data)
    return adjacency_of(edges, weight, n)


def _edges(data: Any) -> tuple[Tensor, Tensor | None]:
    """`[2, e]` and weights, from `edge_index` or from the transposed `adj_t`."""
    edges, flipped = as_tensor(data.edge_index, "data.edge_index"), False
    if edges is None and getattr(data, "adj_t", None) is not None:
        edges, flipped = as_tensor(data.adj_t, "data.adj_t"), True
    if edges is None:
        raise ValueError("data.edge_index is missing; it may be empty, [2, 0]")
    if edges.layout != torch.strided:
        entries = edges.detach().cpu().to_sparse_coo().coalesce()
        where = entries.indices()
        return where.flip(0) if flipped else where, entries.values()
    weight = as_tensor(getattr(data, "edge_weight", None), "data.edge_weight")
    return edges.detach().cpu(), None if weight is None else weight.detach().cpu()
