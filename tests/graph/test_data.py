"""`load` and `split`: the benchmark graphs, offline, their folders untouched."""

import os
import shutil
import socket

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import Planetoid
from torch_geometric.transforms import NormalizeFeatures

import multidd
from multidd.errors import MultiddError
from multidd.graph import load, split

SIZES = {
    # nodes, features, classes, undirected edges, train, val, test
    "cora": (2708, 1433, 7, 5278, 140, 500, 1000),
    "citeseer": (3327, 3703, 6, 4552, 120, 500, 1000),
    "amazon-photo": (7650, 745, 8, 119081, 160, 240, 7250),
}
FOLDERS = {"cora": "Cora", "citeseer": "CiteSeer", "amazon-photo": "Amazon/Photo"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """An empty cache, so that nothing comes from an earlier run."""
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def nothing_here(monkeypatch):
    """No data folder."""
    monkeypatch.delenv("MULTIDD_DATA", raising=False)


@pytest.fixture
def no_network(monkeypatch):
    """Every connection fails, as it does without a network."""

    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    def unreachable(*args, **kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def listing(folder):
    """Path, size and time of every file and folder."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def same(one, other):
    assert sorted(one.keys()) == sorted(other.keys())
    for key in one.keys():  # noqa: SIM118  (a Data iterates over itself)
        assert torch.equal(one[key], other[key]), key


@pytest.mark.data("graph/Cora", "graph/CiteSeer", "graph/Amazon/Photo")
@pytest.mark.parametrize("name", sorted(SIZES))
def test_benchmark(name, data_root, no_network):
    before = listing(data_root / "graph")
    data = load(name)
    graph = multidd.graph.data.graph.as_graph(data)
    result = (graph.num_nodes, graph.x.shape[1], graph.num_classes)
    result += (graph.adjacency.nnz // 2,)
    result += tuple(int(getattr(graph, m).sum()) for m in ("train", "val", "test"))
    assert result == SIZES[name]
    same(load(name), data)  # from the cache now
    folder = data_root / "graph" / FOLDERS[name]
    same(load(str(folder)), data)
    assert listing(data_root / "graph") == before


@pytest.mark.data("graph/CiteSeer")
def test_planetoid_features_sum_to_one():
    sums = load("citeseer").x.sum(1)
    assert ((sums - 1).abs() < 1e-5).sum() == 3327 - 15  # papers without a word
    assert (sums == 0).sum() == 15


@pytest.mark.data("graph/Cora")
def test_shipped_cora_is_that_of_pyg(data_root, tmp_path, cora):
    shutil.copytree(data_root / "graph/Cora/raw", tmp_path / "Cora/raw")
    theirs = Planetoid(str(tmp_path), "Cora", transform=NormalizeFeatures())[0]
    assert cora.x.dtype == torch.float32
    for key in ("x", "y", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(cora[key], theirs[key]), key
    pairs = [set(map(tuple, d.edge_index.T.tolist())) for d in (cora, theirs)]
    assert pairs[0] == pairs[1]
    assert cora.num_edges == theirs.num_edges == 10556


def test_cora_ships_with_the_library(nothing_here, no_network, cora):
    same(load("cora"), cora)


@pytest.mark.parametrize("name", ["pubmed", "amazon-photo", "flickr", "ogbn-arxiv"])
def test_no_data_and_no_network(name, nothing_here, no_network, tmp_path):
    for _ in range(2):  # what the first call left behind must not mislead the second
        with pytest.raises(MultiddError) as caught:
            load(name)
        message = str(caught.value)
        assert message.startswith(
            f"{name} is neither under MULTIDD_DATA nor in {tmp_path}"
        )
        assert "downloading it failed (" in message
        assert "put its raw files into" in message
        assert message.endswith("multidd.samples.cora(), which ships with the library")


@pytest.mark.parametrize("name", ["core", "Cora", "/nowhere/Cora", ""])
def test_unknown_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="cora, citeseer, pubmed|not a folder named"):
        load(name)


def test_unknown_folder(tmp_path):
    with pytest.raises(ValueError, match=r"is not a folder named Cora, .* with a raw/"):
        load(str(tmp_path))
    (tmp_path / "Cora").mkdir()
    with pytest.raises(ValueError, match=r"is not a folder named Cora, .* with a raw/"):
        load(str(tmp_path / "Cora"))


@pytest.mark.data("graph/Amazon/Photo")
def test_two_folders_of_one_name(data_root, tmp_path):
    """Each folder gives its own graph, though both bear the benchmark's name."""
    raw = data_root / "graph/Amazon/Photo/raw/amazon_electronics_photo.npz"
    with np.load(raw) as file:
        parts = {name: file[name] for name in file.files}
    parts["labels"] = parts["labels"][::-1]
    for name in ("a", "b"):
        (tmp_path / name / "Amazon/Photo/raw").mkdir(parents=True)
    shutil.copy(raw, tmp_path / "a/Amazon/Photo/raw")
    np.savez(tmp_path / "b/Amazon/Photo/raw" / raw.name, **parts)
    one, other = (load(str(tmp_path / name / "Amazon/Photo")) for name in ("a", "b"))
    assert torch.equal(other.y, one.y.flip(0))


# --- split ----------------------------------------------------------------------


def test_split(small, flat_bytes):
    before = flat_bytes(small)
    result = split(small, train=5, val=7, seed=3)
    assert isinstance(result, Data)
    assert flat_bytes(small) == before
    masks = torch.stack([result.train_mask, result.val_mask, result.test_mask])
    assert masks.dtype == torch.bool
    assert (masks.sum(0) == 1).all()
    for mask, size in zip(masks, (5, 7, 28), strict=True):
        assert torch.bincount(result.y[mask]).tolist() == [size] * 3
    assert torch.equal(result.x, small.x)


def test_split_follows_its_seed(small):
    one, same_seed, other = (split(small, train=5, seed=s) for s in (0, 0, 1))
    assert torch.equal(one.train_mask, same_seed.train_mask)
    assert not torch.equal(one.train_mask, other.train_mask)


def test_split_needs_enough_of_each_class(small):
    expected = r"class 0 has 40 nodes, the split takes 20 \+ 30; ask for fewer"
    with pytest.raises(ValueError, match=expected):
        split(small)


@pytest.mark.data("graph/Amazon/Photo")
def test_split_of_a_benchmark_follows_the_seed(data_root):
    one, other = load("amazon-photo"), load("amazon-photo", seed=1)
    assert torch.equal(one.x, other.x)
    assert not torch.equal(one.train_mask, other.train_mask)
    for data in (one, other):
        assert torch.bincount(data.y[data.train_mask]).tolist() == [20] * 8
