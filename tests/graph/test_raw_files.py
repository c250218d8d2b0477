"""Raw files of benchmarks: read to the bit, refused where they are hostile."""

import hashlib
import io
import os
import pickle
import re
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given as by_examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch_geometric.datasets import Flickr, TUDataset
from torch_geometric.io import read_npz, read_planetoid_data

from multidd.errors import CorruptFileError, MultiddError, MultiddWarning
from multidd.graph import load
from multidd.graph.data import raw_cache, raw_files
from multidd.graph.data.pickled_arrays import read_pickled
from multidd.graph.data.raw_formats import check_tensors
from tests.graph import raw_folders

HOSTILE = raw_folders.hostile("nowhere")
GOLDEN = {  # of x, edges, labels and masks, as PyG 2.8.1 read them
    "Cora": "14048a96e18123e4b085864568317c6c51a2afd4d9c63a00972c8c267f953638",
    "CiteSeer": "abb07598a5a97b6670ef5ba4ad002424e9e1996740b4347a0a56678e9a7329a2",
    "Amazon/Photo": "9217e7cefa4197fc5b69b546d9824256345a76d742b66a0b1aa420f4f7bb572e",
    "MUTAG": "845059b686f10e9bcca9e1249b23258ccc323f74247fb862fb4e63858a452b36",
}


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """An empty cache, so that nothing comes from an earlier run."""
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "multidd" / "read"


def digest(data):
    """SHA-256 of the tensors of a graph or of a set."""
    sha = hashlib.sha256()
    for graph in data if isinstance(data, list) else [data]:
        for key in sorted(graph.keys()):
            tensor = graph[key].contiguous()
            sha.update(f"{key} {tensor.dtype} {list(tensor.shape)} ".encode())
            sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()


def same(one, other):
    """Assert that two graphs hold the same tensors."""
    assert sorted(one.keys()) == sorted(other.keys())
    for key in one.keys():  # noqa: SIM118  (a Data iterates over itself)
        assert one[key].dtype == other[key].dtype, key
        assert torch.equal(one[key], other[key]), key


# --- the same bits as before ----------------------------------------------------


@pytest.mark.data("graph/Cora", "graph/CiteSeer", "graph/Amazon/Photo", "graph/MUTAG")
@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_benchmarks_are_those_of_pyg(name, data_root):
    for _ in range(2):  # from the raw files, then from the cache
        assert digest(load(str(data_root / "graph" / name))) == GOLDEN[name]


def scaled(x):
    """Rows that sum to one, as PyG's NormalizeFeatures."""
    return x / x.sum(1, keepdim=True).clamp(min=1.0)


@pytest.mark.parametrize("name", ["Cora", "CiteSeer", "PubMed"])
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_small_planetoid_folder(name, protocol, tmp_path):
    home = raw_folders.write_planetoid(tmp_path, name, protocol)
    theirs = read_planetoid_data(str(home / "raw"), name.lower())
    theirs.x = scaled(theirs.x)
    same(load(str(home)), theirs)
    assert {path.name for path in home.iterdir()} == {"raw"}


def test_a_small_npz_folder(tmp_path):
    home = raw_folders.write_npz(tmp_path)
    theirs = read_npz(str(home / "raw/amazon_electronics_photo.npz"))
    data = load(str(home))
    for key in ("x", "edge_index", "y"):
        assert torch.equal(data[key], theirs[key]), key


def test_a_small_flickr_folder(tmp_path):
    home = raw_folders.write_flickr(tmp_path)
    data = load(str(home))
    assert {path.name for path in home.iterdir()} == {"raw"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = Flickr(str(home))[0]
    x = theirs.x[theirs.train_mask]
    deviation, mean = torch.std_mean(x, dim=0)
    theirs.x = (theirs.x - mean) / deviation
    same(data, theirs)
    assert int(data.y[-1]) == -1


def test_a_small_arxiv_folder(tmp_path):
    data = load(str(raw_folders.write_arxiv(tmp_path)))
    assert data.y.tolist() == [0, 1, 1, 0]
    assert data.edge_index.tolist() == [[0, 2, 3], [1, 1, 0]]
    masks = [data.train_mask, data.val_mask, data.test_mask]
    assert [mask.nonzero().flatten().tolist() for mask in masks] == [[0, 1], [2], [3]]
    assert data.x.dtype == torch.float32
    x = torch.tensor([[0.5, 1], [-1, 2.25], [0, 0], [1e-3, 4]])
    deviation, mean = torch.std_mean(x[:2], dim=0)
    assert torch.equal(data.x, (x - mean) / deviation)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge": b"0,4\n"}, "its edges go from 0 to 4, its nodes from 0 to 3"),
        ({"edge": b"0\n"}, "its edges have 1 ends, not two"),
        ({"node_label": b"0\n1\n"}, r"labels are int64 \[2\] for 4 nodes"),
        ({"test": b"9\n"}, "its test part has nodes outside 0..3"),
        ({"train": b"a\n"}, "it is no table of whole numbers"),
        ({"valid": b"0\n" * 2**21}, "it unpacks to more than 1048576 bytes"),
    ],
)
def test_compressed_tables_that_do_not_fit(changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr(raw_files, "MAX_TEXT_BYTES", 2**20)
    home = raw_folders.write_arxiv(tmp_path, **changes)
    with pytest.raises(CorruptFileError, match=message):
        load(str(home))


def test_a_small_set_of_graphs(tmp_path):
    home = raw_folders.write_tu(tmp_path)
    graphs = load(str(home))
    assert {path.name for path in home.iterdir()} == {"raw"}
    theirs = list(TUDataset(str(tmp_path), "MUTAG"))
    assert len(theirs) == 2  # PyG loses the last graphs where they have no edges
    for one, other in zip(graphs[:2], theirs, strict=True):
        same(one, other)
    assert graphs[2].x.tolist() == [[0, 0, 1]] and graphs[2].edge_index.shape == (2, 0)
    assert [int(graph.y) for graph in graphs] == [0, 1, 1]


def test_a_set_of_graphs_without_labels_of_nodes(tmp_path):
    home = raw_folders.write_tu(tmp_path)
    for name in ("node_labels", "edge_labels"):
        (home / f"raw/MUTAG_{name}.txt").unlink()
    for _ in range(2):
        graphs = load(str(home))
        assert [graph.num_nodes for graph in graphs] == [3, 3, 1]
        assert graphs[0].x is None and graphs[0].edge_attr is None


# --- pickles --------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_pickles_are_refused(name):
    with pytest.raises(CorruptFileError, match=r"^ind\.x is .*; use another copy$"):
        read_pickled(HOSTILE[name], "ind.x")


def test_a_refusal_says_what_and_where():
    message = r"ind.x is no pickle .* at byte 2, GLOBAL, the name 'posix system', which"
    with pytest.raises(CorruptFileError, match=message):
        read_pickled(HOSTILE["system"], "ind.x")
    with pytest.raises(CorruptFileError, match="at byte 23, STACK_GLOBAL, an i"):
        read_pickled(HOSTILE["stack global"], "ind.x")
    with pytest.raises(CorruptFileError, match="the dtype 'O8', which is no number"):
        read_pickled(HOSTILE["objects"], "ind.x")


def test_hostile_pickles_hold_what_they_are_to_hold():
    listed = {
        "inst": "INST",
        "obj": "OBJ",
        "extension": "EXT1",
        "persistent": "BINPERSID",
        "persistent of protocol 0": "PERSID",
        "popen by stack global": "STACK_GLOBAL",
        "dup": "DUP",
        "state of a class": "BUILD",
    }
    for name, opcode in listed.items():
        assert opcode in raw_folders.instructions(HOSTILE[name])


numbers = st.sampled_from("b1 i1 i2 i4 i8 u1 u4 f2 f4 f8 >i4 >f8".split())


@settings(max_examples=60, deadline=None)
@by_examples(st.data(), st.sampled_from([2, 3]))
def test_arrays_survive_a_pickle(data, protocol):
    shape = st.tuples(st.integers(0, 5), st.integers(0, 5))
    array = data.draw(arrays(data.draw(numbers), data.draw(shape)))
    if data.draw(st.booleans()):
        array = np.asfortranarray(array)
    result = read_pickled(pickle.dumps(array, protocol), "x")
    assert result.dtype == array.dtype and result.shape == array.shape
    assert result.tobytes() == array.tobytes()


@settings(max_examples=60, deadline=None)
@by_examples(st.data(), st.sampled_from([2, 3]))
def test_matrices_survive_a_pickle(data, protocol):
    shape = st.tuples(st.integers(1, 6), st.integers(1, 6))
    whole = st.integers(-3, 3).map(float)
    dense = data.draw(arrays(np.float64, data.draw(shape), elements=whole))
    matrix = sp.csr_matrix(dense)
    result = read_pickled(pickle.dumps(matrix, protocol), "x")
    assert np.array_equal(result.toarray(), dense)


@settings(max_examples=60, deadline=None)
@by_examples(
    st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 2**30), max_size=9)),
    st.sampled_from([2, 3]),
)
def test_dicts_of_lists_survive_a_pickle(table, protocol):
    result = read_pickled(pickle.dumps(table, protocol), "graph")
    assert result == table and list(result) == list(table)


SOUND = [
    pickle.dumps(value, protocol)
    for value in (sp.csr_matrix(np.eye(3)), np.ones((2, 3)), {0: [1, 2], 1: []})
    for protocol in (2, 3)
]


@settings(max_examples=300, deadline=None)
@by_examples(
    st.sampled_from(SOUND),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3),
)
def test_a_changed_pickle_is_read_or_refused(content, changes):
    changed = bytearray(content)
    for at, byte in changes:
        changed[at % len(content)] = byte
    try:
        read_pickled(bytes(changed), "x")
    except CorruptFileError:
        return


def test_a_matrix_whose_parts_do_not_fit():
    for change in (
        {"indices": np.array([0, 9], dtype=np.int32)},
        {"indices": np.array([0, -1], dtype=np.int32)},
        {"indptr": np.array([0, 2, 1], dtype=np.int32)},
        {"indptr": np.array([0, 1, 5], dtype=np.int32)},
        {"indptr": np.array([0, 1], dtype=np.int32)},
        {"data": np.ones(5)},
    ):
        matrix = sp.csr_matrix(np.eye(2))
        for name, part in change.items():
            setattr(matrix, name, part)
        with pytest.raises(CorruptFileError, match="^ind.x is damaged: .*matrix|rows"):
            read_pickled(pickle.dumps(matrix, 2), "ind.x")


# --- files that do not fit together ---------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tx": sp.csr_matrix(np.ones((20, 4)))}, "tx is damaged: features .20, 4. do"),
        ({"ty": np.ones((19, 3))}, "tx is damaged: features .* do not fit labels"),
        ({"ty": np.ones((20, 4))}, "ind.cora.tx is damaged: labels have 4 columns"),
        (
            {"x": sp.csr_matrix((70, 5)), "y": np.ones((70, 3))},
            "ind.cora.y is damaged: 70 training nodes and 500 of 560 nodes",
        ),
        ({"y": np.ones(6)}, "ind.cora.y is damaged: it holds no matrix"),
        ({"y": {0: [1]}}, "ind.cora.y is damaged: it holds no matrix"),
        ({"graph": np.ones((2, 2))}, "graph is damaged: it holds no lists of neighb"),
        ({"graph": {0: [560]}}, "its edges go from 0 to 560, its nodes from 0 to 559"),
        ({"graph": {0: [-1]}}, "its edges go from -1 to 0, its nodes from 0 to 559"),
        ({"test.index": [540] * 20}, "must hold 20 different nodes, the first 540"),
        ({"test.index": b""}, "test.index is damaged: it is empty"),
        ({"test.index": b"a\n"}, "test.index is damaged: it is no table of whole num"),
        (
            {"test.index": [*range(540, 559), 10**12]},
            "its test nodes span 999999999461 nodes",
        ),
        (
            {part: sp.csr_matrix((n, 10**6)) for part, n in [("x", 6), ("allx", 540)]}
            | {"tx": sp.csr_matrix((20, 10**6))},
            r"\[540, 1000000\] is too large a matrix",
        ),
    ],
)
def test_planetoid_files_that_do_not_fit(changes, message, tmp_path):
    home = raw_folders.write_planetoid(tmp_path, **changes)
    with pytest.raises(CorruptFileError, match=message):
        load(str(home))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.array([None] * 240)}, "labels is damaged: it holds object, not"),
        ({"labels": np.arange(5)}, r"labels are int64 \[5\] for 240 nodes"),
        ({"labels": np.ones(240)}, r"labels are float64 \[240\] for 240 nodes"),
        ({"attr_shape": np.array([240, 10**9])}, r"\[240, 1000000000\] is too large"),
        ({"adj_shape": np.array([241, 240])}, "matrix of 241 rows has 241 row ends"),
        (
            {"adj_indices": np.zeros(3, dtype=int)},
            "matrix of 240 rows has .* 3 ind",
        ),
    ],
)
def test_npz_files_that_do_not_fit(changes, message, tmp_path):
    home = raw_folders.write_npz(tmp_path, **changes)
    with pytest.raises(CorruptFileError, match=message):
        load(str(home))


def test_archives_take_no_more_than_they_hold(tmp_path, monkeypatch):
    home = raw_folders.write_npz(tmp_path)
    path = home / "raw/amazon_electronics_photo.npz"
    members = {}
    with np.load(path) as file:
        for name in file.files:
            buffer = io.BytesIO()
            np.save(buffer, file[name])
            members[f"{name}.npy"] = buffer.getvalue()
    claims = raw_folders.npy_claiming((10**12,))
    raw_folders.zip_of(path, members | {"labels.npy": claims})
    message = r"labels is damaged: \[1000000000000\] of float32 are not 16 bytes"
    with pytest.raises(CorruptFileError, match=message):
        load(str(home))
    monkeypatch.setattr(raw_files, "MAX_UNPACKED_BYTES", 2**20)
    raw_folders.zip_of(path, members | {"labels.npy": b"\0" * 2**21})
    assert path.stat().st_size < 2**16
    with pytest.raises(CorruptFileError, match="photo.npz is damaged: it unpacks to"):
        load(str(home))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptFileError, match=r"photo.npz is damaged: it is no whole"):
        load(str(home))
    del members["labels.npy"]
    raw_folders.zip_of(path, members)
    with pytest.raises(CorruptFileError, match=r"it is no whole .npz .*labels.npy"):
        load(str(home))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_map": {"7": 10**12}}, "class_map.json is damaged: it holds something"),
        ({"class_map": {"-1": 0}}, "holds something else than numbers 0..239"),
        ({"class_map": {"a": 0}}, "holds something else than numbers 0..239"),
        ({"class_map": [1]}, "it is no JSON object"),
        (
            {"role": {"tr": [1], "va": [2], "te": [240]}},
            "role.json is damaged: it h",
        ),
        ({"role": {"tr": [1], "va": [2]}}, "role.json is damaged: it holds something"),
    ],
)
def test_json_files_that_do_not_fit(changes, message, tmp_path):
    home = raw_folders.write_flickr(tmp_path, **changes)
    with pytest.raises(CorruptFileError, match=message):
        load(str(home))


def test_flickr_arrays_that_do_not_fit(tmp_path):
    raw = raw_folders.write_flickr(tmp_path) / "raw"
    parts = {"data": np.ones(0), "indices": np.ones(0, int), "shape": [239, 239]}
    np.savez(raw / "adj_full.npz", indptr=np.zeros(240, int), **parts)
    message = r"adj_full.npz is damaged: its adjacency is \[239, 239\] for 240 nodes"
    with pytest.raises(CorruptFileError, match=message):
        load(str(raw.parent))
    np.save(raw / "feats.npy", np.ones(240))
    with pytest.raises(
        CorruptFileError, match=r"feats.npy .*: features are \[240\], n"
    ):
        load(str(raw.parent))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"A": "1, 2, 3\n"}, "A.txt is damaged: its edges have 3 ends, not two"),
        ({"A": "1, 9\n"}, "its edges go from 0 to 8, its nodes from 0 to 6"),
        ({"A": "1, 4\n"}, "an edge joins two graphs"),
        ({"graph_indicator": "1\n1\n1000000000000\n"}, "does not go through the 3 gra"),
        ({"node_labels": f"0\n{10**12}\n0\n0\n0\n0\n0\n"}, "of 1000000000001 kinds"),
        ({"node_labels": "1\n"}, "it has 1 lines for 7 entries"),
        ({"graph_labels": "a\n1\n1\n"}, "it is no table of whole numbers"),
    ],
)
def test_text_tables_that_do_not_fit(changes, message, tmp_path):
    home = raw_folders.write_tu(tmp_path, **changes)
    with pytest.raises(CorruptFileError, match=message):
        load(str(home))


def test_only_plain_files_are_opened(tmp_path):
    home = raw_folders.write_planetoid(tmp_path)
    path = home / "raw/ind.cora.x"
    path.unlink()
    with pytest.raises(MultiddError, match=r"lacks raw/ind\.cora\.x; put the raw"):
        load(str(home))
    with open(path, "wb") as file:
        file.truncate(2**40)  # takes no room, and would take hours to read
    with pytest.raises(CorruptFileError, match="ind.cora.x is damaged: it takes more"):
        load(str(home))
    path.unlink()
    os.mkfifo(path)  # opening it would wait for ever
    with pytest.raises(MultiddError, match="ind.cora.x is not a plain file"):
        load(str(home))
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(MultiddError, match="ind.cora.x is not a plain file"):
        load(str(home))


# --- the cache ------------------------------------------------------------------


def test_what_was_read_is_kept(tmp_path, cache_folder, monkeypatch):
    home = raw_folders.write_planetoid(tmp_path)
    data = load(str(home))
    (file,) = cache_folder.iterdir()

    def refuse(*arguments, **keywords):
        raise AssertionError("the raw files were read again")

    with monkeypatch.context() as patch:
        patch.setattr("multidd.graph.data.raw_formats.read_pickled", refuse)
        same(load(str(home)), data)
    (home / "raw/ind.cora.test.index").write_text(
        "".join(f"{node}\n" for node in reversed(range(540, 560)))
    )
    assert not torch.equal(load(str(home)).x, data.x)
    assert len(list(cache_folder.iterdir())) == 2 and file.is_file()


def _damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _other_tensors(path):
    tensors, info = raw_cache.files.read(path)
    tensors["edge_index"][0, 0] = 10**9
    raw_cache.files.write(path, tensors, info, kind=raw_cache.KIND)


def _other_files(path):
    tensors, info = raw_cache.files.read(path)
    raw_cache.files.write(path, tensors, info | {"raw": {}}, kind=raw_cache.KIND)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda path: path.write_bytes(b""), "truncated"),
        (_damage, "is damaged"),
        (_other_tensors, "an edge has no node"),
        (_other_files, "it is of other raw files"),
    ],
    ids=["empty", "flipped bit", "other tensors", "other files"],
)
def test_a_cache_file_that_does_not_fit(change, fault, tmp_path, cache_folder):
    home = raw_folders.write_planetoid(tmp_path)
    data = load(str(home))
    (file,) = cache_folder.iterdir()
    change(file)
    with pytest.warns(MultiddWarning, match=rf"does not fit \(.*{fault}.*\); the raw"):
        same(load(str(home)), data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(load(str(home)), data)


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    home = raw_folders.write_planetoid(tmp_path)
    before = load(str(home))
    monkeypatch.setenv("MULTIDD_CACHE", "/proc/none")
    same(load(str(home)), before)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "file"))
    same(load(str(home)), before)


def test_the_files_that_pyg_keeps_are_left_alone(tmp_path):
    home = raw_folders.write_planetoid(tmp_path)
    (home / "processed").mkdir()
    content = HOSTILE["exec"]
    (home / "processed/data.pt").write_bytes(content)
    assert load(str(home)).num_nodes == raw_folders.NODES
    assert [p.name for p in (home / "processed").iterdir()] == ["data.pt"]
    assert (home / "processed/data.pt").read_bytes() == content


SET = {
    "sizes": torch.ones(3).long(),
    "edge_counts": torch.tensor([1, 0, 0]),
    "edge_index": torch.zeros(2, 1).long(),
}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (SET, None),
        ({"x": None}, "x is missing"),
        ({"x": torch.zeros(3).double()}, r"x is torch.float64 of shape \[3\]"),
        ({"z": torch.zeros(3)}, r"z is torch.float32 of shape \[3\]"),
        ({"y": torch.zeros(2).long()}, "y or a mask is not of its 3 nodes"),
        ({"val_mask": torch.zeros(2).bool()}, "y or a mask is not of its 3 nodes"),
        ({"edge_index": torch.tensor([[0], [3]])}, "an edge has no node"),
        ({"edge_index": torch.tensor([[0], [-1]])}, "edge_index is not of nodes"),
        (
            {"sizes": torch.tensor([2, 2]), "edge_counts": torch.tensor([1, 0])},
            "its graphs, sizes and labels are not as many",
        ),
        ({"sizes": torch.tensor([3]), "x": None}, "edge_counts is missing"),
        (SET | {"sizes": torch.tensor([1, 0, 2])}, "a graph has no nodes"),
        (SET | {"sizes": torch.tensor([1, 1, 2])}, "its nodes and features are not as"),
        (
            SET | {"edge_counts": torch.tensor([1, 1, 0])},
            "its edges are not as many as",
        ),
        (SET | {"edge_attr": torch.zeros(2, 1)}, "its edges are not as many as their"),
        (SET | {"edge_index": torch.tensor([[0], [1]])}, "an edge has no node"),
    ],
)
def test_tensors_that_do_not_fit(changes, fault):
    tensors = {
        "x": torch.zeros(3, 2),
        "edge_index": torch.tensor([[0], [1]]),
        "y": torch.zeros(3).long(),
    }
    assert check_tensors(tensors) is None
    tensors = {k: v for k, v in (tensors | changes).items() if v is not None}
    outcome = check_tensors(tensors)
    assert outcome is None if fault is None else re.search(fault, outcome)
