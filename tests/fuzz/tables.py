"""Tables that summaries are read back from, with a mutated card or columns."""

import base64
import io
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

import multidd
from multidd.errors import MultiddError
from multidd.recsys.data.ids import NAMES
from multidd.recsys.summary import export
from multidd.storage import files
from tests.fuzz.mutations import Content, to_text
from tests.golden.make_stored_runs import STORED


class RefusedTableError(MultiddError):
    """A table in memory that was refused; it has no file that could be named."""


class Counted:
    """An evaluator that counts its trainings."""

    metric = "accuracy"

    def __init__(self) -> None:
        self.fits = 0

    def describe(self) -> dict[str, Any]:
        """Nothing much."""
        return {"sha256": "ab"}

    def model_key(self, model: str) -> str:
        """The name."""
        return model

    def fit(self, *args: Any) -> dict[str, float]:
        """Always the same scores."""
        self.fits += 1
        return {"accuracy": 0.5, "macro_f1": 0.4}


# --- users --------------------------------------------------------------------


def users_content() -> Content:
    """Card, id table, weights and columns of a parquet file of users."""
    summary = multidd.load(STORED / "recsys-kmeans")
    columns = export._columns(summary)
    tensors = {f"column:{n}": torch.from_numpy(c.copy()) for n, c in columns.items()}
    ids = {n: t for n, t in summary.tensors.items() if n in NAMES}
    tensors |= {f"table:{n}": t for n, t in ids.items()}
    tensors |= {"table:weight": summary.tensors["weight"]}
    card = json.loads(json.dumps(asdict(summary.card)))
    return Content({"card": card}, dict(sorted(tensors.items())), "recsys")


def write_users(path: Path, content: Content) -> None:
    """A parquet file with these, and a seal of what they hold."""
    import pyarrow
    from pyarrow import parquet

    parts = content.tensors
    packed = {n.partition(":")[2]: t for n, t in parts.items() if n[:6] == "table:"}
    columns = {n.partition(":")[2]: t for n, t in parts.items() if n[:7] == "column:"}
    data = {n: t.reshape(-1).numpy() for n, t in columns.items()}
    rows = min((len(c) for c in data.values()), default=0)
    table = pyarrow.table({n: c[:rows] for n, c in data.items()})
    raw = safetensors.torch.save({n: t.contiguous() for n, t in packed.items()})
    packed_text = base64.b64encode(zlib.compress(raw)).decode()
    about: dict[str, Any] = dict(content.info) | {"tables": packed_text}
    about["seal"] = _seal(table, packed, content.info)
    table = table.replace_schema_metadata({export.MARK: to_text(about)})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    path.write_bytes(buffer.getvalue())


def _seal(table: Any, packed: dict[str, Any], info: Any) -> str:
    """As the library seals it, where the content can be read at all."""
    try:
        card = info["card"]
        ids = export.unpack(packed, card["source"]["item_type"])
        weight, frame = packed["weight"].numpy(), table.to_pandas()
        user, item = export.names(card["source"])
        places = export._places(frame[item].to_numpy(), ids)
        rows = frame[user].to_numpy(dtype="int64")
        shape = (len(weight), len(ids))
        matrix, _ = export._matrix(frame, rows, places, shape)
        ids_alone = {n: t for n, t in packed.items() if n in NAMES}
        tensors = export.store(export.as_matrix(matrix), weight) | ids_alone
        return export._seal(tensors, card)
    except Exception:
        return files.digest({})


# --- texts --------------------------------------------------------------------


def texts_content() -> Content:
    """Card and columns of a dataset of distilled texts."""
    summary = multidd.load(STORED / "text-medoids")
    card = json.loads(json.dumps(asdict(summary.card)))
    names = {"x": "embedding", "y": "label", "weight": "weight"}
    names |= {"source": "source_index"}
    tensors = {column: summary.tensors[name] for name, column in names.items()}
    return Content({"multidd": card}, tensors, "text")


def dataset_of(content: Content) -> Any:
    """A dataset with these columns, the texts, and the card in its description."""
    from datasets import Dataset, DatasetInfo

    columns: dict[str, Any] = {n: t.tolist() for n, t in content.tensors.items()}
    columns = {n: c if isinstance(c, list) else [c] for n, c in columns.items()}
    rows = min((len(c) for c in columns.values()), default=0)
    texts = list(multidd.load(STORED / "text-medoids").texts or ())
    rows = min(rows, len(texts))
    columns = {n: c[:rows] for n, c in columns.items()} | {"text": texts[:rows]}
    info = DatasetInfo(description=to_text(content.info))
    return Dataset.from_dict(columns, info=info)
