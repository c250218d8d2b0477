"""The lines of `multidd bench graph`."""

from typing import Any

import torch
from scipy.sparse import triu
from torch import Tensor

from multidd.evaluation.lines import Line
from multidd.evaluation.scale_benchmark import ScaleLine
from multidd.graph.data.benchmarks import load
from multidd.graph.data.graph import as_graph
from multidd.graph.evaluation.scale import evaluations
from multidd.graph.models.networks import MODELS

SMALLEST = {"per_class": 1}
"""A budget that any data set has."""

START = {"steps": 0}

PAPER: dict[str, Any] = {"init": "random", "supervision": "train"}
"""The start and the real side of GCOND's paper: random training nodes."""

FOUR = ("gcn", "sage", "gat", "mlp")
"""With edge weights, with means, with attention, without edges."""

LINES: tuple[Line, ...] = (
    Line("cora", {}, "whole", "81.2 ± 0.2"),
    Line("cora", {"nodes": 70}, "random", "72.8 ± 1.1"),
    Line("cora", {"nodes": 70}, "herding", "73.4 ± 1.0"),
    Line("cora", {"nodes": 70}, "kcenter", "73.2 ± 1.2"),
    Line("cora", {"nodes": 70}, "kmeans"),
    Line("cora", {"nodes": 70}, "gcond_x", options=START),
    Line("cora", {"nodes": 70}, "gcond_x", "75.7 ± 0.9"),
    Line("cora", {"nodes": 70}, "gcond", "80.1 ± 0.6"),
    Line("cora", {"nodes": 70}, "gcond", options={"supervision": "train"}),
    Line("cora", {"nodes": 70}, "gcond", options={"structure": "pairwise"}),
    Line("cora", {"nodes": 70}, "gcond_x", options=START | PAPER),
    Line("cora", {"nodes": 70}, "gcond_x", options={"steps": 1000} | PAPER),
    Line(
        "cora",
        {"nodes": 70},
        "gcond",
        options={"steps": 1000, "structure": "pairwise"} | PAPER,
    ),
    Line("cora", {"nodes": 70}, "doscond", "80.4 ± 1.8"),
    Line("cora", {"nodes": 70}, "doscond", options={"structure": "none"}),
    Line("cora", {"nodes": 70}, "doscond", options={"lr_adjacency": 0.01}),
    Line("cora", {"nodes": 70}, "doscond", options=START),
    Line("cora", {"nodes": 70}, "gcdm"),
    Line("cora", {"nodes": 70}, "dm_x"),
    Line("cora", {"nodes": 70}, "cgc", "81.8 ± 0.6 (SGC)"),
    Line("cora", {"nodes": 70}, "cgc", options={"structure": True}),
    Line("cora", {"nodes": 70}, "gcsntk", "78.0"),
    Line("cora", {"nodes": 70}, "gcsntk", "82.4 ± 0.5", models=("kernel",)),
    Line("cora", {"nodes": 70}, "sfgc", "81.7 ± 0.5"),
    Line("cora", {"nodes": 70}, "geom"),
    Line("cora", {"nodes": 70}, "gdem", "80.7 (SGC)"),
    Line("cora", {"nodes": 70}, "condense", "81.7 ± 0.5 (SFGC), 81.8 ± 0.1 (CTRL)"),
    Line("cora", {"nodes": 35}, "gcond_x", options=START),
    Line("cora", {"nodes": 35}, "gcond_x", "75.9 ± 1.2"),
    Line("cora", {"nodes": 35}, "gcond", "79.8 ± 1.3"),
    Line("cora", {"nodes": 35}, "cgc", "79.0 ± 0.8 (SGC)"),
    Line("cora", {"nodes": 35}, "gcsntk", "82.2 ± 0.3", models=("kernel",)),
    Line("cora", {"nodes": 35}, "sfgc", "80.1 ± 0.4"),
    Line("cora", {"nodes": 35}, "gdem", "80.8 (SGC)"),
    Line("cora", {"nodes": 35}, "condense", "80.1 ± 0.4 (SFGC), 81.9 ± 0.1 (CTRL)"),
    Line("cora", {"nodes": 140}, "gcond_x", options=START),
    Line("cora", {"nodes": 140}, "gcond_x", "76.0 ± 0.9"),
    Line("cora", {"nodes": 140}, "gcond", "79.3 ± 0.3"),
    Line("cora", {"nodes": 140}, "cgc"),
    Line("cora", {"nodes": 140}, "gcsntk", "82.1 ± 0.1", models=("kernel",)),
    Line("cora", {"nodes": 140}, "sfgc", "81.6 ± 0.8"),
    Line("cora", {"nodes": 140}, "gdem"),
    Line("cora", {"nodes": 140}, "condense", "81.6 ± 0.8 (SFGC), 81.8 ± 0.1 (CTRL)"),
    Line("citeseer", {}, "whole", "71.7 ± 0.1"),
    Line("citeseer", {"nodes": 60}, "random", "64.2 ± 1.7"),
    Line("citeseer", {"nodes": 60}, "kmeans"),
    Line("citeseer", {"nodes": 60}, "gcond_x", options=START),
    Line("citeseer", {"nodes": 60}, "gcond_x"),
    Line("citeseer", {"nodes": 60}, "gcond", "70.6 ± 0.9"),
    Line("citeseer", {"nodes": 60}, "cgc", "70.6 ± 0.4 (SGC)"),
    Line("citeseer", {"nodes": 60}, "gcsntk"),
    Line("citeseer", {"nodes": 60}, "sfgc", "72.4 ± 0.4"),
    Line("citeseer", {"nodes": 60}, "geom"),
    Line("citeseer", {"nodes": 60}, "gdem", "72.6 ± 0.6"),
    Line("citeseer", {"nodes": 60}, "condense", "72.4 ± 0.5 (SFGC), 73.5 ± 0.1 (CTRL)"),
    Line("amazon-photo", {}, "whole", "about 90 (users)"),
    Line("amazon-photo", {"nodes": 76}, "random", "66 to 72 (users)"),
    Line("amazon-photo", {"nodes": 76}, "kmeans"),
    Line("amazon-photo", {"nodes": 76}, "gcond_x", options=START),
    Line("amazon-photo", {"nodes": 76}, "gcond_x"),
    Line("amazon-photo", {"nodes": 76}, "gcond", "24 (users, official code)"),
    Line("amazon-photo", {"nodes": 76}, "herding"),
    Line("amazon-photo", {"nodes": 76}, "kcenter"),
    Line("amazon-photo", {"nodes": 76}, "cgc"),
    Line("amazon-photo", {"nodes": 76}, "gcsntk"),
    Line("amazon-photo", {"nodes": 76}, "sfgc"),
    Line("amazon-photo", {"nodes": 76}, "gdem"),
    Line("amazon-photo", {"nodes": 76}, "condense"),
    Line("cora", {}, "whole", models=MODELS),
    Line("cora", {"nodes": 70}, "gcond_x", models=MODELS),
    Line("cora", {"nodes": 70}, "gcond", "76.0 (35 nodes)", models=MODELS),
    Line("cora", {"nodes": 70}, "condense", models=MODELS),
    *(
        Line(data, {"nodes": nodes}, method, options=options, models=(model,))
        for data, nodes in (("amazon-photo", 76), ("cora", 70), ("citeseer", 60))
        for method, options in (
            ("gcond_x", {}),
            ("gcond", {}),
            ("gcond", {"structure": "pairwise"}),
        )
        for model in FOUR
    ),
)


MUTAG = (
    Line("mutag", {}, "whole", "88.6 (reported, unchecked)"),
    *(
        Line("mutag", {"per_class": k}, method)
        for k in (1, 10)
        for method in ("random", "herding", "kcenter", "kmeans")
    ),
    *(
        Line("mutag", {"per_class": k}, "doscond", published)
        for k, published in (
            (1, "82.2 (one split of 19 graphs, reported, unchecked)"),
            (10, "82.8 (one split of 19 graphs, reported, unchecked)"),
        )
    ),
)
"""Sets of graphs: a seed is a split. Measure with `--seeds 60 --trainings 2`: twenty
splits tell means apart by three points or more."""

LINES = (*LINES, *MUTAG)

PAPER_LINES = tuple(
    Line("sample:cora", {"nodes": 70}, name) for name in ("gcond", "doscond")
)
"""The lines of `multidd bench paper`."""


REGIMES = tuple(
    Line("sample:cora", {"nodes": 70}, name, options=options)
    for name, options in {
        "kmeans": {},
        "gcond_x": {},
        "gcond": {"structure": "pairwise"},
        "doscond": {},
        "gcsntk": {},
        "gdem": {},
        "cgc": {},
        "condense": {},
    }.items()
)
"""The lines of `multidd bench regimes`."""

BYTES = (Line("cora", {"nodes": 70}, "condense"),)

SCALE = (ScaleLine("evaluate with 2 workers, 12 trainings", evaluations),)
"""Lines of `multidd bench scale`."""


def whole_tensors(data: Any) -> dict[str, Tensor]:
    """Features, labels and edges of a whole graph, each edge once."""
    graph = as_graph(data)
    edges = triu(graph.adjacency, format="csr")
    places = {"indptr": edges.indptr, "indices": edges.indices}
    parts = {name: torch.from_numpy(array) for name, array in places.items()}
    return {"x": graph.x, "y": graph.y, **parts}


WHOLE_TENSORS = whole_tensors


def same_split(data: str) -> bool:
    """Whether a graph's split is public, so the same for every seed."""
    graphs = [load(data, seed=seed) for seed in (0, 1)]
    if isinstance(graphs[0], list):
        return False
    first, other = (graph.train_mask for graph in graphs)
    return bool((first == other).all())
