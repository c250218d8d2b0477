"""Formats of benchmark graphs: tensors of a graph from its raw files.

Each reader gives what PyG's dataset class of that name gives, bit for bit, and checks
that the sizes in the files fit together before it takes memory for them.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch_geometric.utils import coalesce, remove_self_loops, to_undirected

from multidd.errors import CorruptFileError
from multidd.graph.data.pickled_arrays import checked_csr, read_pickled
from multidd.graph.data.raw_files import RawFolder

__all__ = ["arxiv", "check_tensors", "flickr", "npz_graph", "planetoid", "tu_graphs"]

Tensors: TypeAlias = dict[str, Tensor]

MAX_DENSE = 2**28
"""Entries of features that are made dense, 1 GiB of float32; CiteSeer's are 2**24."""

VALIDATION_NODES = 500
"""That follow the training nodes in Planetoid's public split."""

PARTS = ("train", "val", "test")


def planetoid(raw: RawFolder, prefix: str) -> Tensors:
    """A graph of Planetoid's with its public split, as PyG's `Planetoid`.

    Test nodes without a line of their own in the files (CiteSeer has 15) are nodes
    without features and in no part.

    Args:
        raw: with `raw/ind.PREFIX.x` and its likes.
        prefix: of the files.
    """
    name = f"raw/ind.{prefix}."

    def matrix(part: str) -> Tensor:
        label = str(raw.folder / f"{name}{part}")
        value = read_pickled(raw.pickle(f"{name}{part}"), label)
        if isinstance(value, dict) or value.ndim != 2:
            raise raw.refusal(f"{name}{part}", "it holds no matrix")
        return _dense(value, raw, f"{name}{part}")

    x, tx, allx, y, ty, ally = (matrix(p) for p in "x tx allx y ty ally".split())
    pairs = {"x": (x, y), "tx": (tx, ty), "allx": (allx, ally)}
    for part, (features, labels) in pairs.items():
        if len(features) != len(labels) or features.shape[1] != x.shape[1]:
            raise raw.refusal(
                f"{name}{part}",
                f"features {list(features.shape)} do not fit labels "
                f"{list(labels.shape)} and the {x.shape[1]} columns of x",
            )
        if labels.shape[1] != y.shape[1] or not labels.shape[1]:
            raise raw.refusal(f"{name}{part}", f"labels have {labels.shape[1]} columns")
    first, index = len(allx), raw.table(f"{name}test.index")
    test = torch.from_numpy(index.reshape(-1))
    order = test.sort().values
    span = int(order[-1]) - first + 1
    distinct = bool((order[1:] != order[:-1]).all())
    if len(test) != len(tx) or int(order[0]) != first or not distinct:
        raise raw.refusal(
            f"{name}test.index",
            f"it must hold {len(tx)} different nodes, the first {first}",
        )
    tx, ty = (
        _spread(tx, order - first, span, raw),
        _spread(ty, order - first, span, raw),
    )
    x = torch.cat([allx, tx])
    x[test] = x[order]
    classes = torch.cat([ally, ty]).max(dim=1)[1]
    classes[test] = classes[order]
    n = first + span
    if len(y) + VALIDATION_NODES > n:
        raise raw.refusal(f"{name}y", f"{len(y)} training nodes and 500 of {n} nodes")
    places = (
        torch.arange(len(y)),
        torch.arange(len(y), len(y) + VALIDATION_NODES),
        test,
    )
    edges = _planetoid_edges(raw, f"{name}graph", n)
    return {"x": x, "edge_index": edges, "y": classes} | _masks(places, n, raw, name)


def _spread(rows: Tensor, places: Tensor, span: int, raw: RawFolder) -> Tensor:
    """`[span, d]` zeros with these rows in their places."""
    if span * rows.shape[1] > MAX_DENSE:
        raise CorruptFileError(
            f"{raw.folder} is damaged: its test nodes span {span} nodes of "
            f"{rows.shape[1]} features; use another copy"
        )
    spread = torch.zeros(span, rows.shape[1], dtype=rows.dtype)
    spread[places] = rows
    return spread


def _planetoid_edges(raw: RawFolder, name: str, n: int) -> Tensor:
    table = read_pickled(raw.pickle(name), str(raw.folder / name))
    if not isinstance(table, dict):
        raise raw.refusal(name, "it holds no lists of neighbours")
    sizes = torch.tensor([len(ends) for ends in table.values()], dtype=torch.int64)
    rows = torch.tensor(list(table), dtype=torch.int64).repeat_interleave(sizes)
    flat = [node for ends in table.values() for node in ends]
    edges = torch.stack([rows, torch.tensor(flat, dtype=torch.int64)])
    _check_edges(edges, n, raw, name)
    edges, _ = remove_self_loops(edges)
    return coalesce(edges, num_nodes=n, sort_by_row=False)


def npz_graph(raw: RawFolder, name: str) -> Tensors:
    """An undirected graph in an `.npz` file, as PyG's `Amazon`; features are 0 or 1.

    Args:
        raw: with the file.
        name: of the file.
    """
    kinds = ("data", "indices", "indptr", "shape")
    keys = [f"{part}_{kind}" for part in ("attr", "adj") for kind in kinds]
    arrays = raw.npz(name, [*keys, "labels"])
    label = str(raw.folder / name)
    features, adjacency = (
        checked_csr(label, *(arrays[f"{part}_{kind}"] for kind in kinds))
        for part in ("attr", "adj")
    )
    x = _dense(features, raw, name)
    x[x > 0] = 1
    y = _labels(arrays["labels"], len(x), raw, name)
    edges, _ = remove_self_loops(_csr_edges(adjacency, len(x), raw, name))
    return {"x": x, "edge_index": to_undirected(edges, num_nodes=len(x)), "y": y}


def flickr(raw: RawFolder) -> Tensors:
    """Flickr's graph with its split, as PyG's `Flickr`; nodes without a class have -1.

    Args:
        raw: with `adj_full.npz`, `feats.npy`, `class_map.json` and `role.json`.
    """
    files = ("raw/adj_full.npz", "raw/feats.npy", "raw/class_map.json", "raw/role.json")
    parts = raw.npz(files[0], ("data", "indices", "indptr", "shape"))
    x = torch.from_numpy(raw.npy(files[1])).to(torch.float)
    if x.dim() != 2:
        raise raw.refusal(files[1], f"features are {list(x.shape)}, not a matrix")
    adjacency = checked_csr(str(raw.folder / files[0]), *parts.values())
    y = torch.full((len(x),), -1)
    classes = raw.json(files[2])
    nodes = [int(key) if key.isdecimal() and len(key) < 10 else -1 for key in classes]
    y[_nodes(nodes, len(x), raw, files[2])] = _nodes(
        list(classes.values()), len(x), raw, files[2]
    )
    role = raw.json(files[3])
    places = [_nodes(role.get(k), len(x), raw, files[3]) for k in ("tr", "va", "te")]
    edges = _csr_edges(adjacency, len(x), raw, files[0])
    return {"x": x, "edge_index": edges, "y": y} | _masks(places, len(x), raw, files[3])


def arxiv(raw: RawFolder) -> Tensors:
    """ogbn-arxiv with its split by time, from the tables of its archive.

    Args:
        raw: with `raw/node-feat.csv.gz` and its likes.
    """
    name = "raw/node-feat.csv.gz"
    x = torch.from_numpy(raw.gzip_table(name, np.float64)).float()
    labels = raw.gzip_table("raw/node-label.csv.gz")[:, 0]
    y = _labels(labels, len(x), raw, "raw/node-label.csv.gz")
    edges = torch.from_numpy(raw.gzip_table("raw/edge.csv.gz").T).contiguous()
    _check_edges(edges, len(x), raw, "raw/edge.csv.gz")
    files = [f"split/time/{part}.csv.gz" for part in ("train", "valid", "test")]
    places = [torch.from_numpy(raw.gzip_table(file)[:, 0]) for file in files]
    return {"x": x, "edge_index": edges, "y": y} | _masks(places, len(x), raw, files[0])


def tu_graphs(raw: RawFolder, name: str) -> Tensors:
    """A set of graphs of the TU collection, as PyG's `TUDataset`.

    Labels of nodes are one-hot features; attributes are left aside.

    Args:
        raw: with `raw/NAME_A.txt` and its likes.
        name: of the set.

    Returns:
        Tensors of all graphs together, and how many nodes and edges each has.
    """
    prefix = f"raw/{name}_"
    edges = torch.from_numpy(raw.table(f"{prefix}A.txt").T).contiguous() - 1
    graph = torch.from_numpy(raw.table(f"{prefix}graph_indicator.txt")[:, 0]) - 1
    labels = torch.from_numpy(raw.table(f"{prefix}graph_labels.txt")[:, 0])
    n, steps = len(graph), graph[1:] - graph[:-1]
    follow = bool(((steps == 0) | (steps == 1)).all())
    if int(graph[0]) != 0 or int(graph[-1]) != len(labels) - 1 or not follow:
        raise raw.refusal(
            f"{prefix}graph_indicator.txt",
            f"it does not go through the {len(labels)} graphs one after another",
        )
    _check_edges(edges, n, raw, f"{prefix}A.txt")
    if not torch.equal(graph[edges[0]], graph[edges[1]]):
        raise raw.refusal(f"{prefix}A.txt", "an edge joins two graphs")
    kinds = _indicators(raw, f"{prefix}edge_labels.txt", edges.shape[1])
    edges, kinds = remove_self_loops(edges, kinds)
    if kinds is None:
        edges = coalesce(edges, num_nodes=n)
    else:
        edges, kinds = coalesce(edges, kinds, n)
    sizes, at = graph.bincount(), graph[edges[0]]
    first = sizes.cumsum(0) - sizes
    tensors = {
        "x": _indicators(raw, f"{prefix}node_labels.txt", n),
        "edge_index": edges - first[at],
        "edge_attr": kinds,
        "y": labels.unique(return_inverse=True)[1],
        "sizes": sizes,
        "edge_counts": at.bincount(minlength=len(labels)),
    }
    return {key: value for key, value in tensors.items() if value is not None}


def _indicators(raw: RawFolder, name: str, count: int) -> Tensor | None:
    """One-hot columns of the labels in a file, or None where there is none."""
    if name not in raw:
        return None
    labels = torch.from_numpy(raw.table(name))
    if len(labels) != count:
        raise raw.refusal(name, f"it has {len(labels)} lines for {count} entries")
    low, high = labels.min(0).values, labels.max(0).values
    widths = [int(b) - int(a) + 1 for a, b in zip(low, high, strict=True)]
    if sum(widths) * count > MAX_DENSE:
        raise raw.refusal(name, f"labels of {sum(widths)} kinds are too many")
    columns = [
        one_hot(column, width).float()
        for column, width in zip((labels - low).T, widths, strict=True)
    ]
    return torch.cat(columns, dim=1)


# --- checks that the formats share ----------------------------------------------


def check_tensors(tensors: Mapping[str, Any]) -> str | None:
    """What is wrong with the tensors of a graph or of a set of graphs, if anything.

    Args:
        tensors: as a reader of this module gives them, perhaps from another file.

    Returns:
        A fault for a message, or None.

    Example:
        >>> check_tensors({"y": torch.zeros(2).long()})
        'edge_index is missing'
    """
    is_set = "sizes" in tensors
    kinds = {"edge_index": (2, torch.int64), "y": (1, torch.int64)}
    kinds |= {"sizes": (1, torch.int64), "edge_counts": (1, torch.int64)}
    kinds |= {"x": (2, torch.float32), "edge_attr": (2, torch.float32)}
    kinds |= {f"{part}_mask": (1, torch.bool) for part in PARTS}
    needed = {"edge_index", "y"} | ({"sizes", "edge_counts"} if is_set else {"x"})
    for name in sorted(needed - tensors.keys()):
        return f"{name} is missing"
    for name, tensor in tensors.items():
        if name not in kinds or (tensor.dim(), tensor.dtype) != kinds[name]:
            return f"{name} is {tensor.dtype} of shape {list(tensor.shape)}"
    edges = tensors["edge_index"]
    if edges.shape[0] != 2 or (edges.numel() and int(edges.min()) < 0):
        return "edge_index is not of nodes"
    return _set_fault(tensors) if is_set else _graph_fault(tensors)


def _graph_fault(tensors: Mapping[str, Tensor]) -> str | None:
    n, edges = len(tensors["x"]), tensors["edge_index"]
    masks = [tensors[f"{part}_mask"] for part in PARTS if f"{part}_mask" in tensors]
    if any(len(tensor) != n for tensor in (tensors["y"], *masks)):
        return f"y or a mask is not of its {n} nodes"
    return "an edge has no node" if edges.numel() and int(edges.max()) >= n else None


def _set_fault(tensors: Mapping[str, Tensor]) -> str | None:
    sizes, counts, edges = (tensors[k] for k in ("sizes", "edge_counts", "edge_index"))
    if not len(sizes) == len(counts) == len(tensors["y"]):
        return "its graphs, sizes and labels are not as many"
    if int(sizes.min()) < 1 or int(counts.min()) < 0:
        return "a graph has no nodes"
    if "x" in tensors and len(tensors["x"]) != int(sizes.sum()):
        return "its nodes and features are not as many"
    attributes = tensors.get("edge_attr", edges.T)
    if not int(counts.sum()) == edges.shape[1] == len(attributes):
        return "its edges are not as many as their attributes"
    within = edges < sizes.repeat_interleave(counts)
    return None if bool(within.all()) else "an edge has no node"


def _dense(value: np.ndarray | sp.csr_matrix, raw: RawFolder, name: str) -> Tensor:
    """A matrix as float32, dense."""
    if value.shape[0] * value.shape[1] > MAX_DENSE:
        raise raw.refusal(name, f"{list(value.shape)} is too large a matrix")
    array = np.asarray(value if isinstance(value, np.ndarray) else value.todense())
    native = array.astype(array.dtype.newbyteorder("="))
    return torch.from_numpy(native).to(torch.float)


def _labels(labels: np.ndarray, n: int, raw: RawFolder, name: str) -> Tensor:
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise raw.refusal(
            name, f"labels are {labels.dtype} {list(labels.shape)} for {n} nodes"
        )
    return torch.from_numpy(labels.astype(np.int64))


def _nodes(values: Any, n: int, raw: RawFolder, name: str) -> Tensor:
    """A list of JSON as whole numbers of 0..n-1."""
    listed = isinstance(values, list)
    if not listed or not all(type(v) is int and 0 <= v < n for v in values):
        raise raw.refusal(name, f"it holds something else than numbers 0..{n - 1}")
    return torch.tensor(values, dtype=torch.int64)


def _csr_edges(a: sp.csr_matrix, n: int, raw: RawFolder, name: str) -> Tensor:
    if a.shape != (n, n):
        raise raw.refusal(name, f"its adjacency is {list(a.shape)} for {n} nodes")
    coo = a.tocoo()
    ends = (coo.row.astype(np.int64), coo.col.astype(np.int64))
    return torch.from_numpy(np.stack(ends))


def _check_edges(edges: Tensor, n: int, raw: RawFolder, name: str) -> None:
    if edges.shape[0] != 2:
        raise raw.refusal(name, f"its edges have {edges.shape[0]} ends, not two")
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < n:
        raise raw.refusal(
            name,
            f"its edges go from {int(edges.min())} to {int(edges.max())}, its nodes "
            f"from 0 to {n - 1}",
        )


def _masks(places: Any, n: int, raw: RawFolder, name: str) -> Tensors:
    """`[n]` masks of the training, validation and test nodes."""
    masks = {}
    for part, nodes in zip(PARTS, places, strict=True):
        if len(nodes) and not 0 <= int(nodes.min()) <= int(nodes.max()) < n:
            raise raw.refusal(name, f"its {part} part has nodes outside 0..{n - 1}")
        masks[f"{part}_mask"] = torch.zeros(n, dtype=torch.bool)
        masks[f"{part}_mask"][nodes] = True
    return masks
