"""A file with tensors of every kind, for tests of storage."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multidd.storage import files

INFO = {"seed": 0, "name": "naïve", "nested": {"list": [1, 2.5, None, True]}}


def tensors() -> dict[str, Tensor]:
    base = torch.arange(12.0).reshape(3, 4)
    return {
        "float32": base,
        "transposed": base.T,
        "every second": base[:, ::2],
        "expanded": torch.ones(1).expand(2, 3),
        "float64": base.double() / 3,
        "float16": base.half(),
        "adam::bfloat16": base.bfloat16(),
        "adjacency/int32": base.int(),
        "int64": torch.tensor([-(2**62), 2**62]),
        "bool": torch.tensor([[True], [False]]),
        "uint8": torch.arange(3, dtype=torch.uint8),
        "complex64": torch.tensor([1 + 2j]).conj(),
        "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3),
        "learned": torch.nn.Parameter(torch.ones(2)),
    }


def save(path: Path, **changes: Any) -> Path:
    files.write(path, tensors(), INFO, kind="summary", **changes)
    return path


def assert_alone(path: Path) -> None:
    """No temporary file is left beside it."""
    assert os.listdir(path.parent) == [path.name]
