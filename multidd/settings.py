"""Settings as JSON: what a run was made with, printable, savable, comparable."""

import dataclasses
import hashlib
import json
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from multidd._version import __version__


def describe(value: Any) -> Any:
    """`value` as JSON: dataclasses by name and fields, tensors by shape and digest.

    Args:
        value: settings, numbers, texts, containers, tensors or objects with a
            `describe()` of their own.

    Returns:
        Something `json.dumps` takes; equal settings give equal text.

    Example:
        >>> from multidd.learning.optim import SGD
        >>> describe({"x": SGD(lr=0.5)})["x"]["lr"]
        0.5
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return {"tensor": list(value.shape), "sha256": tensor_digest(value)}
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe(v) for v in value]
    if isinstance(value, set | frozenset):  # their order differs between processes
        return sorted((describe(v) for v in value), key=json.dumps)
    if isinstance(value, np.ndarray):
        return describe(torch.from_numpy(np.ascontiguousarray(value)))
    if isinstance(value, torch.dtype | torch.device | pathlib.PurePath):
        return str(value)
    if hasattr(value, "describe"):
        return value.describe()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__} | describe(fields)
    if isinstance(value, np.generic):
        return value.item()
    return {"kind": getattr(value, "__qualname__", type(value).__qualname__)}


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's type, shape and bytes, first 16 digits.

    Sparse tensors count by their coalesced entries.

    Example:
        >>> tensor_digest(torch.ones(2)) == tensor_digest(torch.ones(2))
        True
    """
    head = f"{tensor.dtype} {list(tensor.shape)}".encode()
    sha = hashlib.sha256(head)
    dense = tensor.detach().cpu()
    if dense.layout != torch.strided:
        entries = dense.to_sparse_coo().coalesce()
        sha.update(entries.indices().contiguous().numpy().tobytes())
        dense = entries.values()
    if dense.numel():
        flat = dense.contiguous().reshape(-1)
        sha.update(flat.view(torch.uint8).numpy().data)
    return sha.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of what decides the bits of a run.

    Example:
        >>> sorted(versions())
        ['multidd', 'numpy', 'python', 'torch']
    """
    return {
        "multidd": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
