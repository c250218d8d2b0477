"""Raw folders of benchmarks, small ones and hostile ones, for tests."""

import gzip
import io
import json
import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

PLANETOID = "x tx allx y ty ally graph test.index".split()
NODES, FIRST_TEST, CLASSES, FEATURES = 560, 540, 3, 5


def planetoid_parts(isolated: int = 0) -> dict[str, Any]:
    """What the pickles of a small graph hold; some test nodes may have no line."""
    rng = np.random.default_rng(0)
    x = sp.csr_matrix((rng.random((NODES, FEATURES)) < 0.3).astype(np.float32))
    y = np.eye(CLASSES, dtype=np.int32)[rng.integers(0, CLASSES, NODES)]
    graph = {i: rng.integers(0, NODES, 3).tolist() for i in range(NODES)}
    present = np.r_[FIRST_TEST : NODES - 1 - isolated, NODES - 1]
    return {
        "x": x[:6],
        "y": y[:6],
        "allx": x[:FIRST_TEST],
        "ally": y[:FIRST_TEST],
        "tx": x[present],
        "ty": y[present],
        "graph": graph,
        "test.index": rng.permutation(present),
    }


def write_planetoid(
    folder: Path, name: str = "Cora", protocol: int = 2, **changes: Any
) -> Path:
    """A folder of Planetoid's raw files; `changes` are contents in bytes or values."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    parts = planetoid_parts(isolated=4 if name == "CiteSeer" else 0) | changes
    for part, value in parts.items():
        if part == "test.index" and not isinstance(value, bytes):
            value = "".join(f"{node}\n" for node in value).encode()
        elif not isinstance(value, bytes):
            value = pickle.dumps(value, protocol=protocol)
        (raw / f"ind.{name.lower()}.{part}").write_bytes(value)
    return raw.parent


def npz_parts() -> dict[str, np.ndarray]:
    """Arrays of a small Amazon graph: some edges one way, loops, counts as features."""
    rng = np.random.default_rng(1)
    n = 240
    adjacency = sp.csr_matrix((rng.random((n, n)) < 0.03).astype(np.float32))
    features = sp.csr_matrix(rng.poisson(0.5, (n, 6)).astype(np.float32))
    arrays = {"labels": np.arange(n) % 3}
    for name, matrix in (("adj", adjacency), ("attr", features)):
        for kind in ("data", "indices", "indptr", "shape"):
            arrays[f"{name}_{kind}"] = np.asarray(getattr(matrix, kind))
    return arrays


def write_npz(folder: Path, **changes: Any) -> Path:
    """A folder of Amazon Photo; `changes` are arrays."""
    raw = folder / "Amazon" / "Photo" / "raw"
    raw.mkdir(parents=True)
    np.savez_compressed(raw / "amazon_electronics_photo.npz", **npz_parts() | changes)
    return raw.parent


def write_flickr(folder: Path, **changes: Any) -> Path:
    """A folder of Flickr; `changes` are JSON values of a file."""
    raw = folder / "Flickr" / "raw"
    raw.mkdir(parents=True)
    parts, n = npz_parts(), 240
    csr = {k: parts[f"adj_{k}"] for k in ("data", "indices", "indptr", "shape")}
    np.savez(raw / "adj_full.npz", **csr)
    np.save(raw / "feats.npy", np.random.default_rng(2).standard_normal((n, 4)))
    role = {"tr": list(range(100)), "va": [100, 101, 103], "te": list(range(110, 200))}
    values = {"class_map": {str(i): i % 3 for i in range(n - 1)}, "role": role}
    for name, value in (values | changes).items():
        (raw / f"{name}.json").write_text(json.dumps(value))
    return raw.parent


def write_tu(folder: Path, **changes: str) -> Path:
    """A folder of MUTAG with three graphs; `changes` are texts."""
    raw = folder / "MUTAG" / "raw"
    raw.mkdir(parents=True)
    texts = {
        "A": "1, 2\n2, 1\n2, 2\n4, 5\n5, 4\n6, 5\n6, 5\n",
        "graph_indicator": "1\n1\n1\n2\n2\n2\n3\n",
        "graph_labels": "-1\n1\n1\n",
        "node_labels": "3\n5\n3\n4\n4\n3\n5\n",
        "edge_labels": "0\n0\n1\n2\n2\n1\n1\n",
    }
    for name, text in (texts | changes).items():
        (raw / f"MUTAG_{name}.txt").write_text(text)
    return raw.parent


def write_arxiv(folder: Path, **changes: bytes) -> Path:
    """A folder of ogbn-arxiv with four papers; `changes` are bytes of a table."""
    texts = {
        "raw/node-feat": b"0.5,1\n-1,2.25\n0,0\n1e-3,4\n",
        "raw/node-label": b"0\n1\n1\n0\n",
        "raw/edge": b"0,1\n2,1\n3,0\n",
        "split/time/train": b"0\n1\n",
        "split/time/valid": b"2\n",
        "split/time/test": b"3\n",
    }
    for name, text in texts.items():
        path = folder / "ogbn_arxiv" / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = changes.get(name.rpartition("/")[2].replace("-", "_"), text)
        path.write_bytes(gzip.compress(text))
    return folder / "ogbn_arxiv"


def npy_claiming(shape: tuple[int, ...]) -> bytes:
    """The bytes of an `.npy` whose header claims more than follows."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + b"\0" * 16


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    """A zip of these members, whatever their names."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


# --- hostile pickles ------------------------------------------------------------


class _Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def _bomb(levels: int = 60) -> bytes:
    """Tuples of two of the tuple before: a key whose hash would take for ever."""
    code = b"\x80\x02K\x01q\x00"
    for i in range(levels):
        code += b"h%ch%c\x86q%c" % (i, i, i + 1)
    return code


def hostile(mark: str) -> dict[str, bytes]:
    """Contents that would make the file `mark`, or take all memory, if unpickled."""
    write = f"open({mark!r}, 'w').close()"
    system = pickle.dumps(_Call(os.system, f"touch {mark}"), protocol=2)
    nested = {1: [2], 3: _Call(exec, write)}
    array = pickle.dumps(np.arange(4, dtype=np.int32), protocol=3)
    number = b"(lp0\n"
    shared = b"]q\x01(" + b"K\x01" * 200 + b"e"
    many = b"".join(b"M%c%ch\x01" % (i % 256, i // 256) for i in range(2000))
    long_bytes = b"\x80\x02]q\x01" + b"B\xff\xff\xff\x7f" + b"a" * 9 + b"."
    return {
        "system": system,
        "exec": pickle.dumps(_Call(exec, write), protocol=2),
        "eval in a dict": pickle.dumps(nested, protocol=2),
        "popen by stack global": pickle.dumps(_Call(os.popen, "true"), protocol=4),
        "stack global": b"\x80\x04X\x05\0\0\0posixX\x06\0\0\0system\x93)R.",
        "stack global of an array": pickle.dumps(np.zeros(3), protocol=4),
        "objects": pickle.dumps(np.array([_Call(exec, write)]), protocol=2),
        "structured": pickle.dumps(np.zeros(3, dtype="i4,f4"), protocol=2),
        "numpy load": b"\x80\x02cnumpy\nload\nU\x01a\x85R.",
        "state of a class": b"\x80\x02cnumpy\nndarray\n}U\x01aU\x01bsb.",
        "state of a list": b"\x80\x02](K\x01K\x02K\x03tb.",
        "call of a class": b"\x80\x02cnumpy\nndarray\n)R.",
        "call of a dict": b"\x80\x02}K\x01\x85R.",
        "new array of a class": b"\x80\x02cnumpy\nndarray\n)\x81.",
        "inst": b"(S'touch'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nU\x05touchU\x01ao.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"\x80\x02U\x01aQ.",
        "persistent of protocol 0": b"Pa\n.",
        "text protocol": number + b"I1\na.",
        "dup": b"\x80\x02]2.",
        "memo bomb as a key": b"\x80\x02}" + _bomb()[2:] + b"K\x01s.",
        "memo bomb as a list": _bomb() + b"]h\x0aa.",
        "one list in many places": b"\x80\x02}" + shared + b"0(" + many + b"u.",
        "one list often": b"\x80\x02" + shared + b"q\x021}(" + many + b"u.",
        "a list of itself": b"\x80\x02]q\x01h\x01a.",
        "huge number": b"\x80\x02}\x8a\x0a" + b"\xff" * 9 + b"\x7f]s.",
        "key beyond the file": b"\x80\x02}J\xff\xff\xff\x7f]s.",
        "claimed length": long_bytes,
        "truncated": array[:-20],
        "no end": array[:-1],
        "more after the end": array + b"x",
        "two values": b"\x80\x02]].",
        "empty": b"",
        "no pickle": b"hello",
        "not an array": b"\x80\x02K\x01.",
        "shape too large": array.replace(b"K\x04\x85", b"K\x05\x85"),
        "unbuilt array": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R.",
        "memo that is not there": b"\x80\x02h\x07.",
        "mark alone": b"\x80\x02(.",
        "long": b"\x80\x02]" + b"K\x01a" * 2**20 + b".",
        "deep": b"\x80\x02" + b")" * 20_000 + b".",
    }


def instructions(content: bytes) -> set[str]:
    """Names of the instructions of a pickle."""
    return {opcode.name for opcode, _, _ in pickletools.genops(content)}
