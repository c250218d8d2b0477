"""Summaries out and in again: whatever they hold, the same bits come back.

Each summary is made of tensors that hypothesis draws, given out in the form that other
programs take, and read from it; and it goes through a file.
"""

import tempfile
from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from torch_geometric.data import Data

import multidd
from multidd.graph import GraphSetSummary, GraphSummary
from multidd.images import ImageSummary
from multidd.recsys import RecsysSummary
from multidd.summary import Card, DataSummary
from multidd.text import TextSummary

few = settings(max_examples=15, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def through_a_file(summary: DataSummary) -> DataSummary:
    with tempfile.TemporaryDirectory() as folder:
        return multidd.load(summary.save(folder))


def check(summary: DataSummary, again: DataSummary) -> None:
    assert type(again) is type(summary) and again.digest() == summary.digest()
    assert through_a_file(summary).digest() == summary.digest()


def _graph(rng: np.random.Generator, nodes: int, label: Any) -> Data:
    """Any features; edges that go both ways, with weights."""
    upper = np.triu(rng.random((nodes, nodes)) < 0.4, 1)
    a, b = np.nonzero(upper)
    edges = torch.from_numpy(np.stack([np.r_[a, b], np.r_[b, a]]))
    x = torch.from_numpy(rng.standard_normal((nodes, 3)).astype(np.float32))
    weight = torch.from_numpy(np.tile(rng.random(len(a)).astype(np.float32) + 0.1, 2))
    return Data(x=x, edge_index=edges, edge_weight=weight, y=label)


@few
@given(SEEDS, st.integers(2, 9), st.booleans())
def test_a_graph(seed: int, nodes: int, soft: bool) -> None:
    rng = np.random.default_rng(seed)
    data = _graph(rng, nodes, torch.arange(nodes) % 2)
    if soft:
        data.y_soft = torch.from_numpy(rng.dirichlet((1, 1), nodes)).float()
    source = {"nodes": 90, "train": 30, "classes": 2}
    result = GraphSummary.from_pyg(data, source=source, method="mine")
    check(result, GraphSummary.from_pyg(result.to_pyg(), source=source, method="mine"))


@few
@given(SEEDS, st.lists(st.integers(2, 7), min_size=1, max_size=5))
def test_a_set_of_graphs(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    graphs = [_graph(rng, n, torch.tensor([i % 2])) for i, n in enumerate(sizes)]
    for graph in graphs:
        del graph.edge_weight
    source = {"graphs": 30, "classes": 2}
    result = GraphSetSummary.from_pyg(graphs, source=source, method="mine")
    again = GraphSetSummary.from_pyg(result.to_pyg(), source=source, method="mine")
    check(result, again)


@few
@given(SEEDS, st.integers(1, 6), st.sampled_from([1, 3]), st.booleans())
def test_images(seed: int, count: int, channels: int, soft: bool) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(count, channels, 4, 4, generator=rng)
    y = torch.rand(count, 3, generator=rng) if soft else torch.arange(count) % 3
    source = {"images": 30, "classes": 3, "shape": [channels, 4, 4]}
    source |= {"labels": [0, 1, 2]}
    summary = ImageSummary.from_tensors(x, y, source=source, method="mine")
    parts = summary.to_tensors()
    assert torch.equal(parts[0], x) and torch.equal(parts[1], y)
    check(summary, ImageSummary.from_tensors(*parts, source=source, method="mine"))


IDS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=9, unique=True),
    st.lists(st.text(max_size=4), min_size=3, max_size=9, unique=True),
)


@few
@given(SEEDS, IDS, st.integers(1, 5), st.booleans())
def test_users(seed: int, ids: list[Any], users: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.random((users, len(ids))) * (rng.random((users, len(ids))) < 0.5)
    rows[:, 0] = 0.5
    weight = rng.random(users).astype(np.float32) + 0.1 if weighted else None
    settings: dict[str, Any] = {"method": "mine", "item_ids": ids}
    settings["source"] = {"users": 30, "train": 90}
    summary = RecsysSummary.from_csr(
        csr_array(rows.astype("f4")), weight=weight, **settings
    )
    check(
        summary,
        RecsysSummary.from_csr(summary.to_csr(), weight=summary.weight, **settings),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = summary.to_parquet(f"{folder}/users.parquet")
        assert RecsysSummary.from_parquet(path).digest() == summary.digest()


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@few
@given(SEEDS, st.lists(WORDS, min_size=1, max_size=5), st.booleans(), st.booleans())
def test_texts(seed: int, texts: list[str], pairs: bool, soft: bool) -> None:
    rng, count = torch.Generator().manual_seed(seed), len(texts)
    draw = {"x": torch.randn(count, 4, generator=rng), "y": torch.arange(count) % 2}
    if soft:
        draw["y_soft"] = torch.rand(count, 2, generator=rng)
    source = {"texts": 30, "classes": 2, "labels": [0, 1], "names": ["no", "yes"]}
    card = Card("mine", {}, 0, source, {}, labels="soft" if soft else "hard")
    result = TextSummary.of(draw, card, texts, texts[::-1] if pairs else None)
    again = TextSummary.from_dataset(result.to_dataset(embeddings=True))
    assert again.texts == tuple(texts)
    check(result, again)
