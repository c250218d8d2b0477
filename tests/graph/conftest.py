"""Small seeded graphs: a stochastic block model of three classes and twelve features.

They stay off the global generators, so that a test can too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import multidd
from multidd.engine.recipe import call
from multidd.graph.data.graph import Graph, as_graph
from tests.methods.cases import GRAPH

CLASSES, FEATURES = 3, 12


def block_model(seed: int = 0, size: int = 40, train: int = 10, val: int = 10) -> Data:
    """`3 * size` nodes; in each class `train`, then `val`, then test nodes."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), size)
    n = len(y)
    chance = np.where(y[:, None] == y, 6 / size, 0.6 / size)
    upper = np.triu(rng.random((n, n)) < chance, 1)
    edges = np.argwhere(upper | upper.T).T
    means = 2 * rng.standard_normal((CLASSES, FEATURES))
    x = means[y] + rng.standard_normal((n, FEATURES))
    place = np.tile(np.arange(size), CLASSES)
    data = Data(
        x=torch.from_numpy(x.astype(np.float32)),
        edge_index=torch.from_numpy(np.ascontiguousarray(edges)),
        y=torch.from_numpy(y),
    )
    data.train_mask = torch.from_numpy(place < train)
    data.val_mask = torch.from_numpy((place >= train) & (place < train + val))
    data.test_mask = torch.from_numpy(place >= train + val)
    return data


@pytest.fixture
def make() -> Callable[..., Data]:
    """The maker of small graphs, for tests that need several."""
    return block_model


@pytest.fixture
def small() -> Data:
    """120 nodes, 3 classes, 12 features; 30 train, 30 validation, 60 test nodes."""
    return block_model()


@pytest.fixture
def graph(small: Data) -> Graph:
    """`small`, checked."""
    return as_graph(small)


@pytest.fixture(scope="session")
def cora() -> Data:
    """The shipped Cora; tests leave it as it is."""
    return multidd.samples.cora()


@pytest.fixture(scope="session")
def quick() -> multidd.Protocol:
    """A cheap training, near the GCond protocol in its scores."""
    return multidd.Protocol(
        "quick",
        epochs=120,
        check_every=10,
        lr=0.01,
        weight_decay=5e-4,
        dropout=0.5,
        width=64,
    )


@pytest.fixture
def run() -> Callable[..., Any]:
    """Any method by name on a small graph: few steps, no bar."""

    def run(name: str, data: Data, **options: Any) -> Any:
        if not {"ratio", "nodes", "per_class"} & set(options):
            options["nodes"] = 9
        return call(multidd.graph.METHODS[name], data, **GRAPH[name] | options)

    return run


@pytest.fixture
def flat_bytes() -> Callable[[Data], dict[str, Any]]:
    """Dtype, shape and bytes of every tensor of a `Data`."""

    def flat_bytes(data: Data) -> dict[str, Any]:
        return {
            key: (str(value.dtype), tuple(value.shape), value.numpy().tobytes())
            for key, value in data.to_dict().items()
        }

    return flat_bytes
