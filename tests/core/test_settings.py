"""Settings as JSON: equal settings give equal text, others give another one."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multidd.learning.optim import SGD, Adam
from multidd.objectives.distances import MSE, NormalizedMSE
from multidd.selection.basic import KMeans
from multidd.settings import describe, tensor_digest, versions


class Own:
    def describe(self) -> dict[str, int]:
        return {"own": 1}


def helper() -> None:
    """Named in settings."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("a", "a"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: "a"}, {"1": "a"}),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (SGD(lr=0.5), {"kind": "SGD", "lr": 0.5, "momentum": 0.0}),
        (KMeans(2), {"kind": "KMeans", "restarts": 2}),
        (Own(), {"own": 1}),
        (helper, {"kind": "helper"}),
    ],
)
def test_describe(value: Any, expected: Any) -> None:
    result = describe(value)
    if isinstance(expected, dict):
        result = {name: result[name] for name in expected}
    assert result == expected and type(result) is type(expected)
    assert json.loads(json.dumps(describe(value))) == describe(value)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Adam(), SGD()),
        (Adam(lr=0.1), Adam(lr=0.2)),
        (MSE(), NormalizedMSE()),
        ({"x": Adam()}, {"y": Adam()}),
        (torch.ones(2), torch.zeros(2)),
        (torch.ones(2), torch.ones(2, 1)),
        (torch.float32, torch.float64),
        (np.ones(2), np.zeros(2)),
        (Path("a"), Path("b")),
    ],
)
def test_other_settings_read_otherwise(a: Any, b: Any) -> None:
    assert json.dumps(describe(a)) != json.dumps(describe(b))
    assert json.dumps(describe(a)) == json.dumps(describe(a))


def test_equal_sets_read_the_same() -> None:
    """A set of numbers has the order it was made in; one of texts, the process's."""
    first, again = set((0, 8)), set((8, 0))
    assert first == again and list(first) != list(again)
    assert describe(first) == describe(again)


def test_tensor_digest() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    variants = [x, x.T, x.double(), x.reshape(6), x + 1, -x, torch.zeros(0), x.bool()]
    assert len({tensor_digest(v) for v in variants}) == len(variants)
    again = x.T.contiguous().T
    assert not again.is_contiguous() and tensor_digest(again) == tensor_digest(x)
    assert tensor_digest(torch.tensor(1.0)) != tensor_digest(torch.tensor([1.0]))
    sparse = x.to_sparse()
    split = torch.sparse_coo_tensor(
        [[0, 0, 0, 1, 1, 1], [1, 2, 2, 0, 1, 2]],
        [1.0, 0.5, 1.5, 3.0, 4.0, 5.0],
        check_invariants=True,
    )
    assert tensor_digest(split) == tensor_digest(sparse) != tensor_digest(2 * sparse)


def test_versions_are_of_what_runs() -> None:
    result = versions()
    assert result["torch"] == torch.__version__ and result["numpy"] == np.__version__
    assert result["python"] == sys.version.split()[0]
