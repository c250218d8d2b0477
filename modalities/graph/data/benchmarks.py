"""Benchmark graphs by name, offline where the raw files are there."""

import hashlib
import io
import os
import pathlib
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data, download_url, extract_zip
from torch_geometric.transforms import NormalizeFeatures

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.sources import bundled
from multidd.errors import MultiddError
from multidd.graph.data.graph_set import split_graphs
from multidd.storage import cache

__all__ = ["DATASETS", "load", "split"]


@dataclass(frozen=True)
class GraphSource:
    """A benchmark: where its raw files lie and what reads them.

    Attributes:
        folders: its folder below a data root, the first name that exists.
        read: makes a list or dataset in a root, with one graph unless it is a set.
        scaling: of the features, as the field does it: `"rows"` sum to one,
            `"columns"` are standardized on the training nodes.
        is_set: it is a set of graphs.
    """

    folders: tuple[str, ...]
    read: Callable[[str], Any]
    scaling: str | None = None
    is_set: bool = False


def _pyg(kind: str, root: str, *name: str) -> Any:
    """A dataset class of PyG's, loaded when it is needed."""
    return getattr(import_module("torch_geometric.datasets"), kind)(root, *name)


def _planetoid(name: str) -> GraphSource:
    folders = (name, f"graph/{name}")
    return GraphSource(folders, lambda root: _pyg("Planetoid", root, name), "rows")


def _tu(name: str) -> GraphSource:
    folders = (name, f"graph/{name}")
    return GraphSource(folders, lambda root: _pyg("TUDataset", root, name), is_set=True)


def _arxiv(root: str) -> list[Data]:
    """ogbn-arxiv from its raw tables: OGB's own reader would unpickle a file."""
    home = pathlib.Path(root) / "ogbn_arxiv"
    if not (home / "raw").is_dir():
        url = "http://snap.stanford.edu/ogb/data/nodeproppred/arxiv.zip"
        extract_zip(download_url(url, root), root)
        shutil.move(pathlib.Path(root) / "arxiv", home)

    def table(name: str) -> Tensor:
        import pandas  # loads slowly, used only here

        return torch.from_numpy(pandas.read_csv(home / name, header=None).to_numpy())

    x, edges = table("raw/node-feat.csv.gz").float(), table("raw/edge.csv.gz").T
    data = Data(x=x, edge_index=edges, y=table("raw/node-label.csv.gz")[:, 0])
    for name, part in (("train", "train"), ("val", "valid"), ("test", "test")):
        data[f"{name}_mask"] = torch.zeros(len(x), dtype=torch.bool)
        data[f"{name}_mask"][table(f"split/time/{part}.csv.gz")[:, 0]] = True
    return [data]


DATASETS = {
    "cora": _planetoid("Cora"),
    "citeseer": _planetoid("CiteSeer"),
    "pubmed": _planetoid("PubMed"),
    "amazon-photo": GraphSource(
        ("Amazon/Photo", "graph/Amazon/Photo"),
        lambda root: _pyg("Amazon", f"{root}/Amazon", "Photo"),
    ),
    "flickr": GraphSource(
        ("Flickr", "graph/Flickr"),
        lambda root: _pyg("Flickr", f"{root}/Flickr"),
        "columns",
    ),
    "ogbn-arxiv": GraphSource(("ogbn_arxiv", "graph/ogbn_arxiv"), _arxiv, "columns"),
    "mutag": _tu("MUTAG"),
}

SAMPLE = "sample:cora"


@public_function
def load(name: str, *, seed: int = 0) -> Any:
    """A benchmark graph as a PyG `Data` with masks, or a set of graphs as a list.

    Raw files are looked for under the folder `MULTIDD_DATA`, then in the cache; they
    are copied before PyG reads them, since PyG writes beside them. Without them PyG
    downloads; Cora ships with the library. Planetoid graphs come row-normalized; a
    graph without a public split gets a seeded one: 20 nodes of each class to train, 30
    to validate, the rest.

    Args:
        name: `"cora"`, `"citeseer"`, `"pubmed"`, `"amazon-photo"`, `"flickr"`,
            `"ogbn-arxiv"`, `"mutag"`, a folder that holds the raw files of one of
            them, or `"sample:cora"`, which ships with the library.
        seed: of the split, where there is no public one.

    Returns:
        A `Data` with `x`, `edge_index`, `y` and three masks; for a set of graphs a list
        of `Data` with one `y` each, see `multidd.graph.split_graphs`.

    Raises:
        ValueError: unknown name.
        MultiddError: the files are not there and cannot be downloaded.

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

    Args:
        data: a PyG `Data` with `y`.
        train: training nodes of each class.
        val: validation nodes of each class.
        seed: of the draw.

    Returns:
        A new `Data`; tensors that did not change are shared with `data`.

    Raises:
        ValueError: a class is too small.

    Example:
        >>> import multidd
        >>> int(split(multidd.samples.cora(), train=5).train_mask.sum())
        35
    """
    y, n = data.y, len(data.y)
    order = torch.randperm(n, generator=seeds.at(seed, "split"))
    place = torch.full((n,), 2)
    for label in range(int(y.max()) + 1):
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
    root = _root(folder)
    home = root / source.folders[0]
    if folder is not None and not home.exists():
        aside = root.with_name(f"{root.name}.{os.getpid()}")
        skipped = shutil.ignore_patterns("processed")
        shutil.copytree(folder, aside / source.folders[0], ignore=skipped)
        try:
            aside.rename(root)
        except OSError:  # another process was first, with the same files
            shutil.rmtree(aside)
    try:
        with redirect_stderr(io.StringIO()):  # PyG's "Processing... Done!"
            data = source.read(str(root))
    except OSError as error:  # URLError and aiohttp's connection errors are these
        if (home / "raw").is_dir() and any((home / "raw").iterdir()):
            raise  # the files are there: not the network's fault
        raise MultiddError(
            f"{name} is neither under MULTIDD_DATA nor in {home}, and downloading it "
            f"failed ({error}); put its raw files into {home / 'raw'}, or use "
            "multidd.samples.cora(), which ships with the library"
        ) from error
    return list(data) if source.is_set else _scaled(data[0], source.scaling)


def _root(folder: pathlib.Path | None) -> pathlib.Path:
    """Where PyG may write: a copy for every folder and state of its raw files."""
    if folder is None:
        return cache.folder() / "data"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    raw = [path for path in files if "processed" not in path.relative_to(folder).parts]
    stamps = [f"{p} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in raw]
    key = hashlib.sha256("\n".join([str(folder.resolve()), *stamps]).encode())
    return cache.folder() / "read" / key.hexdigest()[:16]


def _scaled(data: Data, scaling: str | None) -> Data:
    if scaling == "rows":
        return NormalizeFeatures()(data)
    if scaling == "columns":
        seen = data.x[data.train_mask]
        deviation, mean = torch.std_mean(seen, dim=0)
        data.x = (data.x - mean) / deviation.clamp(min=1e-12)
    return data
