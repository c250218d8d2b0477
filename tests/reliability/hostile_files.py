"""Hostile files of every kind: they would run code, or reach out of their folder.

What runs leaves the file `mark`; what is read from outside is the file `secret`.
"""

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import torch
from pyarrow import parquet

SECRET = "text,label\nthe secret,1\nanother secret,0\n"


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def pickled(mark: Path) -> bytes:
    """A pickle that makes the mark."""
    return pickle.dumps(Call(os.system, f"touch {mark}"), protocol=2)


def torch_zip(mark: Path) -> bytes:
    """What `torch.save` makes of an object that makes the mark."""
    buffer = io.BytesIO()
    torch.save({"x": Call(os.system, f"touch {mark}")}, buffer)
    return buffer.getvalue()


def object_npz(mark: Path, *names: str) -> bytes:
    """An archive of object arrays, which NumPy would unpickle."""
    buffer = io.BytesIO()
    value = np.array([Call(os.system, f"touch {mark}")], dtype=object)
    np.savez(buffer, **dict.fromkeys(names or ("x", "y"), value))
    return buffer.getvalue()


def object_npy(mark: Path) -> bytes:
    """One object array."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Call(os.system, f"touch {mark}")], dtype=object))
    return buffer.getvalue()


def expression_npy(mark: Path) -> bytes:
    """An array whose header is an expression instead of a dict."""
    header = f"__import__('os').system('touch {mark}')\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def zip_of(members: dict[str, bytes]) -> bytes:
    """A zip of members of any names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def anywhere(mark: Path) -> dict[str, bytes]:
    """Contents that are handed to every reader, under the names that it takes."""
    script = f"#!/bin/sh\ntouch {mark}\n".encode()
    python = f"import os\nos.system('touch {mark}')\n".encode()
    return {
        "pickle": pickled(mark),
        "torch.save": torch_zip(mark),
        "object npz": object_npz(mark),
        "object npy": object_npy(mark),
        "expression npy": expression_npy(mark),
        "shell script": script,
        "python": python,
        "yaml": f"!!python/object/apply:os.system ['touch {mark}']\n".encode(),
        "zip that leaves its folder": zip_of({"../../mark": b"", "/tmp/mark": b""}),
        "gzip of a pickle": gzip.compress(pickled(mark)),
        "huge header": struct.pack("<Q", 2**62) + b"{}",
        "deep JSON": b"[" * 200_000,
        "empty": b"",
        "zeros": b"\0" * 4096,
    }


# --- pictures -----------------------------------------------------------------


def png(size: int = 8) -> bytes:
    """A sound picture."""
    buffer = io.BytesIO()
    PIL.Image.new("L", (size, size), 90).save(buffer, "PNG")
    return buffer.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def _png_of(width: int, *chunks: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, width, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


def pictures(mark: Path) -> dict[str, bytes]:
    """Files of other decoders, some of which start a program, and bombs."""
    run = f"(%pipe%touch {mark}) (r) file"
    contents = {
        "eps": f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n{run}\n".encode(),
        "pdf": b"%PDF-1.4\n1 0 obj<</OpenAction<</S/Launch/F(/bin/sh)>>>>endobj\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///"/></svg>',
        "wmf": b"\xd7\xcd\xc6\x9a" + b"\0" * 18 + b"\1\0\x09\0" + b"\0" * 14,
        "emf": b"\1\0\0\0" + b"\0" * 36 + b" EMF" + b"\0" * 60,
        "hdf5": b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
        "grib": b"GRIB\0\0\0\1" + b"\0" * 64,
        "bufr": b"BUFR" + b"\0" * 64,
        "fits": b"SIMPLE  =                    T" + b" " * 50 + b"END" + b" " * 2797,
        "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1024,
        "pixels beyond memory": _png_of(30_000, _chunk(b"IDAT", b"")),
        "text bomb": _png_of(
            8, _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 9))
        ),
    }
    for form in ("PPM", "ICO", "TGA", "PCX", "SGI", "XBM", "JPEG2000", "DDS", "PDF"):
        buffer = io.BytesIO()
        mode = {"XBM": "1", "DDS": "RGB"}.get(form, "L")
        PIL.Image.new(mode, (16, 16), 1).save(buffer, form)
        contents[f"PIL's {form}"] = buffer.getvalue()
    return contents


# --- Arrow --------------------------------------------------------------------


def extension_schema(mark: Path) -> pa.Schema:
    """Columns of a type that old readers made by unpickling what stands beside it."""
    notes = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickled(mark),
    }
    kinds = {"text": pa.string(), "label": pa.int64()}
    return pa.schema([pa.field(n, t, metadata=notes) for n, t in kinds.items()])


def extension_parquet(path: Path, mark: Path) -> None:
    """Such columns as parquet."""
    columns = [pa.array(["a", "b"]), pa.array([0, 1])]
    parquet.write_table(pa.table(columns, schema=extension_schema(mark)), path)


def _arrow_stream(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)


def saved_folders(root: Path, mark: Path, secret: Path) -> dict[str, Path]:
    """Folders that look as if `save_to_disk` had written them, each hostile."""

    def folder(name: str, table: pa.Table | None = None, **changes: Any) -> Path:
        path = root / name
        path.mkdir(parents=True)
        if table is None:
            table = pa.table({"text": ["a", "b"], "label": [0, 1]})
        _arrow_stream(path / "data-0.arrow", table)
        kinds = {"text": "string", "label": "int64"}
        features = {n: {"dtype": t, "_type": "Value"} for n, t in kinds.items()}
        features = changes.pop("features", features)
        state: dict[str, Any] = {
            "_data_files": [{"filename": "data-0.arrow"}],
            "_fingerprint": "0",
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        } | changes
        (path / "state.json").write_text(json.dumps(state))
        (path / "dataset_info.json").write_text(json.dumps({"features": features}))
        return path

    outside = root / "outside.arrow"
    root.mkdir(parents=True, exist_ok=True)
    _arrow_stream(outside, pa.table({"text": ["secret", "b"], "label": [0, 1]}))
    unpickling = pa.table(
        [pa.array(["a", "b"]), pa.array([0, 1])], schema=extension_schema(mark)
    )
    pickled_features = {"text": {"_type": "Array2D", "dtype": "O", "shape": [1, 1]}}
    folders = {
        "files above it": folder(
            "above", _data_files=[{"filename": "../outside.arrow"}]
        ),
        "files of the root": folder("rooted", _data_files=[{"filename": str(outside)}]),
        "files of the net": folder(
            "net", _data_files=[{"filename": "http://127.0.0.1:9/a.arrow"}]
        ),
        "a file that is a secret": folder(
            "secret", _data_files=[{"filename": os.path.relpath(secret, root / "x")}]
        ),
        "names of no files": folder("no-files", _data_files={"filename": 3}),
        "unknown features": folder(
            "features", features={"text": {"_type": "os.system"}}
        ),
        "features of objects": folder("objects", features=pickled_features),
        "types that unpickle": folder("types", unpickling),
        "an unknown format": folder("format", _format_type="os.system"),
    }
    broken = folder("pickled")
    (broken / "data-0.arrow").write_bytes(pickled(mark))
    folders["pickled data"] = broken
    linked = folder("linked")
    (linked / "data-0.arrow").unlink()
    os.mkfifo(linked / "data-0.arrow")
    folders["a pipe of data"] = linked
    parts = root / "parts"
    parts.mkdir()
    splits = {"splits": ["../above", "train"]}
    (parts / "dataset_dict.json").write_text(json.dumps(splits))
    shutil.copytree(folder("part"), parts / "train")
    folders["parts above it"] = parts
    return folders


def image_paths(root: Path, target: str) -> Path:
    """A saved dataset whose pictures are paths of somebody else's files."""
    path = root / "by-path"
    path.mkdir(parents=True)
    cells = [{"bytes": None, "path": target}, {"bytes": None, "path": target}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    _arrow_stream(
        path / "data-0.arrow",
        pa.table({"image": pa.array(cells, kind), "label": [0, 1]}),
    )
    state = {"_data_files": [{"filename": "data-0.arrow"}], "_fingerprint": "0"}
    state |= {"_format_columns": None, "_format_kwargs": {}, "_format_type": None}
    state |= {"_output_all_columns": False, "_split": None}
    (path / "state.json").write_text(json.dumps(state))
    label = {"dtype": "int64", "_type": "Value"}
    features = {"image": {"_type": "Image"}, "label": label}
    (path / "dataset_info.json").write_text(json.dumps({"features": features}))
    return path


# --- encoders -----------------------------------------------------------------


def encoder_folders(root: Path, sound: Path, mark: Path) -> dict[str, Path]:
    """Copies of a sound encoder's folder, each with a hostile change."""
    evil = f"import os\nos.system('touch {mark}')\nclass Evil: ...\n"
    auto = {"AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}

    def weights_removed(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(torch_zip(mark))

    def index(*names: Any) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            (folder / "pytorch_model.bin").write_bytes(torch_zip(mark))
            (root / "outside.safetensors").write_bytes(
                (sound / "model.safetensors").read_bytes()
            )
            content = {"weight_map": dict(enumerate(names)), "metadata": {}}
            path = folder / "model.safetensors.index.json"
            path.write_text(json.dumps(content))

        return change

    def config(**changes: Any) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            (folder / "evil.py").write_text(evil)
            (folder / "pytorch_model.bin").write_bytes(torch_zip(mark))
            path = folder / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))

        return change

    def tokenizer(content: bytes | None = None, **changes: Any) -> Callable[..., None]:
        def change(folder: Path) -> None:
            (folder / "evil.py").write_text(evil)
            path = folder / "tokenizer_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | changes))
            if content is not None:
                (folder / "tokenizer.json").write_bytes(content)

        return change

    def weights(content: bytes) -> Callable[[Path], None]:
        return lambda folder: _write(folder / "model.safetensors", content)

    changes: dict[str, Callable[[Path], Any]] = {
        "pickled weights alone": weights_removed,
        "an index of pickled weights": index("pytorch_model.bin"),
        "an index of files above": index("../outside.safetensors"),
        "an index of the root": index(str(root / "outside.safetensors")),
        "an index of numbers": index(3),
        "weights by config": config(transformers_weights="pytorch_model.bin"),
        "weights above by config": config(transformers_weights="../a.safetensors"),
        "a model of its own": config(auto_map=auto, model_type="evil"),
        "a tokenizer of its own": tokenizer(auto_map=auto, tokenizer_class="Evil"),
        "a tokenizer of no class": tokenizer(b"", tokenizer_class="os.system"),
        "a pickled tokenizer": tokenizer(pickled(mark)),
        "weights that are a pickle": weights(pickled(mark)),
        "weights that are torch's": weights(torch_zip(mark)),
        "weights of a huge header": weights(struct.pack("<Q", 2**62) + b"{}"),
        "an adapter": lambda folder: _write(folder / "adapter_config.json", b"{}"),
    }
    folders = {}
    for number, (name, change) in enumerate(changes.items()):
        folders[name] = root / f"encoder-{number}"
        shutil.copytree(sound, folders[name])
        change(folders[name])
    return folders


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
