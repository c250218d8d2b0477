"""Benchmark graphs by name, offline where the raw files are there."""

import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.labels import class_numbers, count_classes
from multidd.data.sources import bundled
from multidd.errors import CorruptFileError, MultiddError, StorageError
from multidd.graph.data import raw_formats
from multidd.graph.data.downloads import SHA256, download, download_archive
from multidd.graph.data.graph import label_array
from multidd.graph.data.graph_set import split_graphs
from multidd.graph.data.raw_cache import cached
from multidd.graph.data.raw_files import RawFolder
from multidd.storage import cache

__all__ = ["DATASETS", "load", "split"]


@dataclass(frozen=True)
class GraphSource:
    """A benchmark: where its raw files lie and what reads them.

    Attributes:
        folders: its folder below a data root, the first name that exists.
        files: its raw files below that folder.
        read: makes tensors of the raw files.
        urls: where the files come from, one each or one archive of all.
        archive: folder in the archive -> folder below its own, where there is one.
        optional: files that may be absent.
        scaling: of the features, as the field does it: `"rows"` sum to one,
            `"columns"` are standardized on the training nodes.
        is_set: it is a set of graphs.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]
    read: Callable[[RawFolder], dict[str, Tensor]]
    urls: tuple[str, ...]
    archive: dict[str, str] | None = None
    optional: tuple[str, ...] = ()
    scaling: str | None = None
    is_set: bool = False

    def download(self, home: pathlib.Path) -> None:
        """Put the raw files that are absent into a folder.

        Args:
            home: the folder, which holds `raw/`.

        Raises:
            StorageError: no connection, or another file than is known.
        """
        if self.archive is not None:
            download_archive(self.urls[0], home, self.archive)
            return
        for url, file in zip(self.urls, self.files, strict=True):
            download(url, home / file, SHA256.get(pathlib.PurePath(file).name))


def _planetoid(name: str) -> GraphSource:
    parts = "x tx allx y ty ally graph test.index".split()
    files = [f"ind.{name.lower()}.{part}" for part in parts]
    root = "https://github.com/kimiyoung/planetoid/raw/master/data"
    return GraphSource(
        (name, f"graph/{name}"),
        tuple(f"raw/{file}" for file in files),
        partial(raw_formats.planetoid, prefix=name.lower()),
        tuple(f"{root}/{file}" for file in files),
        scaling="rows",
    )


def _tu(name: str) -> GraphSource:
    kinds = ("A", "graph_indicator", "graph_labels")
    return GraphSource(
        (name, f"graph/{name}"),
        tuple(f"raw/{name}_{kind}.txt" for kind in kinds),
        partial(raw_formats.tu_graphs, name=name),
        (f"https://www.chrsmrrs.com/graphkerneldatasets/{name}.zip",),
        archive={name: "raw"},
        optional=(f"raw/{name}_node_labels.txt", f"raw/{name}_edge_labels.txt"),
        is_set=True,
    )


PHOTO = "amazon_electronics_photo.npz"
FLICKR_IDS = {
    "adj_full.npz": "1crmsTbd1-2sEXsGwa2IKnIB7Zd3TmUsy",
    "feats.npy": "1join-XdvX3anJU_MLVtick7MgeAQiWIZ",
    "class_map.json": "1uxIkbtg5drHTsKt-PAsZZ4_yJmgFmle9",
    "role.json": "1htXCtuktuCW8TR8KiKfrFDAxUgekQoV7",
}
ARXIV_FILES = (
    *(f"raw/{part}.csv.gz" for part in ("node-feat", "node-label", "edge")),
    *(f"split/time/{part}.csv.gz" for part in ("train", "valid", "test")),
)

DATASETS = {
    "cora": _planetoid("Cora"),
    "citeseer": _planetoid("CiteSeer"),
    "pubmed": _planetoid("PubMed"),
    "amazon-photo": GraphSource(
        ("Amazon/Photo", "graph/Amazon/Photo"),
        (f"raw/{PHOTO}",),
        partial(raw_formats.npz_graph, name=f"raw/{PHOTO}"),
        (f"https://github.com/shchur/gnn-benchmark/raw/master/data/npz/{PHOTO}",),
    ),
    "flickr": GraphSource(
        ("Flickr", "graph/Flickr"),
        tuple(f"raw/{file}" for file in FLICKR_IDS),
        raw_formats.flickr,
        tuple(
            f"https://drive.usercontent.google.com/download?id={file_id}&confirm=t"
            for file_id in FLICKR_IDS.values()
        ),
        scaling="columns",
    ),
    "ogbn-arxiv": GraphSource(
        ("ogbn_arxiv", "graph/ogbn_arxiv"),
        ARXIV_FILES,
        raw_formats.arxiv,
        ("https://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip",),
        archive={"arxiv/raw": "raw", "arxiv/split/time": "split/time"},
        scaling="columns",
    ),
    "mutag": _tu("MUTAG"),
    "proteins": _tu("PROTEINS"),
}

SAMPLE = "sample:cora"


@public_function
def load(name: str, *, seed: int = 0) -> Any:
    """A benchmark graph as a PyG `Data` with masks, or a set of graphs as a list.

    Raw files are looked for under the folder `MULTIDD_DATA`, then in the cache; without
    them they are downloaded; Cora ships with the library. Planetoid's files are
    pickles; nothing in them is run, and PyG's `processed/` is neither read nor written.
    What was read stays in the cache, by the SHA-256 of the raw files. Planetoid graphs
    come row-normalized; a graph without a public split gets a seeded one: 20 nodes of
    each class to train, 30 to validate, the rest.

    Args:
        name: `"cora"`, `"citeseer"`, `"pubmed"`, `"amazon-photo"`, `"flickr"`,
            `"ogbn-arxiv"`, the sets of graphs `"mutag"` and `"proteins"`, a folder that
            holds the raw files of one of them, or `"sample:cora"`, which ships with the
            library.
        seed: of the split, where there is no public one.

    Returns:
        A `Data` with `x`, `edge_index`, `y` and three masks; for a set of graphs a list
        of `Data` with one `y` each, see `multidd.graph.split_graphs`.

    Raises:
        ValueError: unknown name.
        MultiddError: the files are not there and cannot be downloaded, or are damaged
            (`CorruptFileError`).

    Example:
        >>> load("sample:cora").num_nodes
        2708
        >>> load("core")
        Traceback (most recent call last):
        ...
        ValueError: data must be one of cora, ... sample:cora, or a folder; got 'core'
    """
    path = pathlib.Path(name)
    if name == SAMPLE or (name == "cora" and _find(DATASETS[name]) is None):
        return _bundled_cora()  # the same values as the benchmark's
    if name in DATASETS:
        data = _read(name, DATASETS[name], _find(DATASETS[name]))
    elif path.is_dir():
        data = _read(*_recognize(path), path)
    else:
        known = ", ".join((*DATASETS, SAMPLE))
        raise ValueError(f"data must be one of {known}, or a folder; got {name!r}")
    whole = isinstance(data, list) or "train_mask" in data
    return data if whole else split(data, seed=seed)


@public_function
def load_for_evaluation(
    name: str, *, seed: int = 0, inductive: bool = False
) -> tuple[Any, dict[str, Any]]:
    """A graph or a set of graphs by name, for methods and for `multidd.evaluate`.

    Args:
        name: what `load` takes.
        seed: of the split, for those without a public one.
        inductive: test on the graph of the test nodes alone.

    Returns:
        What methods take, and the keywords with which `evaluate` judges a summary.

    Example:
        >>> data, exam = load_for_evaluation("sample:cora", inductive=True)
        >>> exam["on"] is data, exam["inductive"]
        (True, True)
    """
    data = load(name, seed=seed)
    if isinstance(data, list):
        train, val, test = split_graphs(data, seed=seed)
        return train, {"on": test, "val": val, "train": train}
    return data, {"on": data, "inductive": inductive}


@public_function
def split(data: Data, *, train: int = 20, val: int = 30, seed: int = 0) -> Data:
    """A copy of `data` with random masks: so many nodes of each class, and the rest.

    Nodes without a label (below zero, or NaN) are in no part.

    Args:
        data: a PyG `Data` with `y`.
        train: training nodes of each class.
        val: validation nodes of each class.
        seed: of the draw.

    Returns:
        A new `Data`; tensors that did not change are shared with `data`.

    Raises:
        ValueError: a class is too small, or labels are no classes 0..c-1.

    Example:
        >>> import multidd
        >>> int(split(multidd.samples.cora(), train=5).train_mask.sum())
        35
    """
    y = _one_class_each(data)
    labelled, n = y >= 0, len(y)
    count = count_classes(
        y,
        labelled,
        noun="node",
        learned_noun="nodes",
        advice="relabel the data without them, or give -1 to nodes without a label",
    )
    order = torch.randperm(n, generator=seeds.at(seed, "split"))
    place = torch.where(labelled, 2, 3)
    for label in range(count):
        members = order[y[order] == label]
        if len(members) < train + val:
            raise ValueError(
                f"class {label} has {len(members)} nodes, the split takes "
                f"{train} + {val}; ask for fewer"
            )
        place[members[:train]], place[members[train : train + val]] = 0, 1
    copy = Data(**data.to_dict())
    for number, name in enumerate(("train", "val", "test")):
        copy[f"{name}_mask"] = place == number
    return copy


def _one_class_each(data: Any) -> Tensor:
    """`[n]` classes of the nodes, below zero where one has no label."""
    array = label_array(data)
    y = class_numbers(array, noun="node") if array.ndim == 1 else None
    if y is None:
        raise ValueError(
            "split takes as many nodes of each class: data.y must be one class for "
            f"each node, got {array.dtype} of shape {list(array.shape)}"
        )
    return y


def _bundled_cora() -> Data:
    """Cora with Planetoid's public split, from the file that ships."""
    with np.load(bundled("cora.npz"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    counts = arrays["words_per_node"].astype(np.int64)
    n = len(counts)
    x = torch.zeros(n, int(arrays["num_words"]))
    rows = np.repeat(np.arange(n), counts)
    x[rows, arrays["words"].astype(np.int64)] = torch.from_numpy(
        (1.0 / np.maximum(counts, 1)[rows]).astype(np.float32)
    )
    half = torch.from_numpy(arrays["edges"].astype(np.int64))
    edges = torch.cat([half, half.flip(0)], dim=1)
    edges = edges[:, (edges[0] * n + edges[1]).argsort()]
    y = torch.from_numpy(arrays["y"].astype(np.int64))
    data = Data(x=x, edge_index=edges, y=y)
    for name in ("train", "val", "test"):
        mask = torch.zeros(n, dtype=torch.bool)
        mask[torch.from_numpy(arrays[name].astype(np.int64))] = True
        data[f"{name}_mask"] = mask
    return data


def _find(source: GraphSource) -> pathlib.Path | None:
    """Its folder under `MULTIDD_DATA`, where that holds raw files."""
    root = os.environ.get("MULTIDD_DATA")
    for name in source.folders if root else ():
        if (pathlib.Path(str(root)) / name / "raw").is_dir():
            return pathlib.Path(str(root)) / name
    return None


def _recognize(path: pathlib.Path) -> tuple[str, GraphSource]:
    """Which benchmark a folder holds, by its last names."""
    for name, source in DATASETS.items():
        last = pathlib.PurePath(source.folders[0]).parts
        if path.resolve().parts[-len(last) :] == last and (path / "raw").is_dir():
            return name, source
    names = ", ".join(source.folders[0] for source in DATASETS.values())
    raise ValueError(f"{path} is not a folder named {names} with a raw/ inside")


def _read(name: str, source: GraphSource, folder: pathlib.Path | None) -> Any:
    home = folder
    if home is None:
        home = cache.folder() / "data" / source.folders[0]
        _download(name, source, home)
    raw = RawFolder(home, source.files, source.optional)
    tensors = cached(name, raw, source.read)
    if source.is_set:
        return _graphs(tensors)
    names = ("x", "edge_index", "y", "train_mask", "val_mask", "test_mask")
    parts = {name: tensors[name] for name in names if name in tensors}
    return _scaled(Data(**parts), source.scaling)


def _download(name: str, source: GraphSource, home: pathlib.Path) -> None:
    """Download what is not there."""
    absent = [file for file in source.files if not os.path.lexists(home / file)]
    if not absent:
        return
    try:
        source.download(home)
    except CorruptFileError:
        raise
    except StorageError as error:
        raise MultiddError(
            f"{name} is neither under MULTIDD_DATA nor in {home}, and downloading it "
            f"failed ({error}); put its raw files into {home / 'raw'}, or use "
            "multidd.samples.cora(), which ships with the library"
        ) from error


def _graphs(tensors: dict[str, Tensor]) -> list[Data]:
    """The graphs of a set, one `Data` each."""
    sizes, counts = tensors["sizes"].tolist(), tensors["edge_counts"].tolist()
    parts = {"edge_index": tensors["edge_index"].split(counts, dim=1)}
    parts["y"] = tensors["y"].split(1)
    for name, rows in (("x", sizes), ("edge_attr", counts)):
        if name in tensors:
            parts[name] = tensors[name].split(rows)
    graphs = [
        Data(**dict(zip(parts, values, strict=True)))
        for values in zip(*parts.values(), strict=True)
    ]
    if "x" not in tensors:
        for graph, size in zip(graphs, sizes, strict=True):
            graph.num_nodes = size
    return graphs


def _scaled(data: Data, scaling: str | None) -> Data:
    if scaling == "rows":
        return NormalizeFeatures()(data)
    if scaling == "columns":
        seen = data.x[data.train_mask]
        deviation, mean = torch.std_mean(seen, dim=0)
        data.x = (data.x - mean) / deviation.clamp(min=1e-12)
    return data
