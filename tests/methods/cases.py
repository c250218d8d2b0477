"""Every public method on tiny data, briefly: the one table of options that tests use.

A method that is not in the table fails the suite; a parameter that is renamed is
renamed here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from multidd import graph, images, recsys, text
from multidd.engine.recipe import call
from multidd.graph.models.backbones import GCN
from multidd.images.methods.budget import item_bytes
from multidd.images.models.autoencoder import Autoencoder
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD
from multidd.summary import DataSummary
from tests.golden import tiny

Options = dict[str, Any]

LOOP: Options = {"steps": 3, "progress": False}
"""Options of every method that has a loop."""

WITHIN: Options = {"start_epochs": (0, 1), "expert_epochs": 1, "syn_steps": 2}
"""The same by the names of images."""

# --- short options of every method ---------------------------------------------------

NODES: Options = LOOP | {"model": GCN(width=8)}
NODES |= {"start_epochs": (0, 1), "expert_epochs": 1, "syn_steps": 2}
NODES |= {"experts": Experts(Trainer(2, 3, SGD(0.5)), count=2)}

GRAPH: dict[str, Options] = {
    **dict.fromkeys(("gcond_x", "dm_x", "gcsntk"), LOOP),
    **dict.fromkeys(("gcond", "gcdm"), LOOP | {"structure": "pairwise"}),
    "doscond": LOOP | {"structure": "bernoulli"},
    "gdem": LOOP | {"structure": "spectral"},
    **dict.fromkeys(("sfgc", "geom"), NODES),
    **dict.fromkeys(("cgc", "condense", "random", "herding", "kcenter", "kmeans"), {}),
}

NARROW: Options = LOOP | {"width": 4, "batch_size": 6}
FOLLOWED: Options = NARROW | WITHIN
FOLLOWED |= {"experts": Experts(Trainer(epochs=2, steps=2), count=2)}
POOL: Options = NARROW | {"pool_size": 2}
UNROLLED: Options = NARROW | {"syn_steps": 2}
DECODER: Options = NARROW | {"channels": 1, "hidden": 1, "shrink": 2}
CODER: Options = NARROW | {"autoencoder": Autoencoder(width=2, steps=2)}

IMAGES: dict[str, Options] = {
    **dict.fromkeys(("dm", "m3d", "cafe", "idc", "kip", "rfad"), NARROW),
    **dict.fromkeys(("idm", "iid", "ncfm"), POOL),
    **dict.fromkeys(("dc", "dsa", "dcc"), NARROW | {"net_steps": 2}),
    "frepo": POOL | {"width": (4, 4, 4)},
    **dict.fromkeys(("mtt", "tesla", "ftd"), FOLLOWED),
    "datm": FOLLOWED | {"first_end": 0, "growth_steps": 2},
    **dict.fromkeys(("dd", "sldd", "ld"), UNROLLED),
    "rat_bptt": NARROW | {"window": 2, "max_unroll": 3},
    # Codes and decoders that fit into the bytes of two images of each class.
    "linba": UNROLLED | {"bases": 4, "batch_syn": 4},
    "kfs": DECODER | {"fit_steps": 2},
    "gtn": DECODER
    | {"noise_size": 2, "max_per_class": 4, "syn_steps": 2, "batch_syn": 4},
    "haba": FOLLOWED | {"hidden": 1, "shrink": 8, "hallucinators": 2},
    "itgan": CODER | {"invert_steps": 2},
    "latent": CODER,
    "sre2l": NARROW | {"teacher_steps": 3},
    "rded": {"width": 4, "teacher_steps": 3},
    "forgetting": {"epochs": 2, "width": 4},
    **dict.fromkeys(("random", "herding", "kcenter", "kmeans"), {}),
}

DRAWS: Options = LOOP | {"draws": 4, "gumbel_temperature": 1.0, "batch_size": 12}

RECSYS: dict[str, Options] = {
    "distill_cf": DRAWS | {"init": "random", "validate_every": None},
    **dict.fromkeys(("random", "head", "herding", "kcenter", "kmeans"), {}),
    **dict.fromkeys(("svp", "interactions"), {}),
}

VECTORS: Options = LOOP | {"length": 5}

TEXT: dict[str, Options] = {
    "kip": LOOP,
    "frepo": LOOP | {"width": 8, "pool_size": 2},
    "dm": LOOP | {"width": 8},
    "dc": LOOP | {"num_models": 2},
    "mtt": LOOP
    | {"start_epochs": (0, 1), "expert_epochs": 1, "syn_steps": 2}
    | {"experts": Experts(Trainer(2, 2, SGD(lr=1.0)), count=1), "lr_net": 1.0},
    "tbptt": VECTORS | {"model": "linear", "syn_steps": 3},
    "tokens": VECTORS | {"ridge": 0.01},
    "attention_labels": VECTORS | {"warmup_steps": 2, "syn_steps": 3},
    **dict.fromkeys(("pursuit", "random", "herding", "kcenter"), {}),
    **dict.fromkeys(("medoids", "kmeans"), {}),
}

SHORT: dict[str, dict[str, Options]] = {
    "graph": GRAPH,
    "images": IMAGES,
    "recsys": RECSYS,
    "text": TEXT,
}

# --- budgets --------------------------------------------------------------------------

IMAGE_SHAPE = (1, 8, 8)
CODED = ("kfs", "haba", "gtn", "linba")
"""Methods for images that store no images."""

SOFT_LABELS = dict.fromkeys(("kip", "rfad", "frepo", "datm", "sre2l", "sldd", "ld"), 3)
SOFT_LABELS |= {"rded": 12}
"""Numbers of the labels of a stored image, of three classes."""

Budget = tuple[Options, list[int] | int]
"""Options, and the items of each class, or in all, that they must give."""


def _image_budgets(name: str) -> list[Budget]:
    size = item_bytes(IMAGE_SHAPE, soft=SOFT_LABELS.get(name, 0))
    if name in CODED:
        return []
    return [
        ({"budget_bytes": 6 * size + 5}, [2, 2, 2]),
        ({"budget_bytes": 6 * size - 1}, [1, 1, 1]),
        ({"budget_bytes": 4 * size, "class_balance": "proportional"}, [2, 1, 1]),
    ]


# --- a case ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Modality:
    """What the methods of a modality are tried on.

    Attributes:
        face: the package.
        arguments: names of the first parameters, the data and the budget.
        budget: the usual one; `budget_names` are those of all.
        counts: the items of each class, or in all, that the usual one gives.
        budgets: other ones, of a method.
        bad_budgets: options, error, message.
        data: makes the data, anew each time.
        again: the same data in another form that methods take.
        bad_data: makes data that are refused, and by which message.
        fixed: options that are made anew for each run.
    """

    face: Any
    arguments: tuple[str, str]
    budget: Options
    budget_names: tuple[str, ...]
    counts: list[int] | int
    budgets: Callable[[str], list[Budget]]
    bad_budgets: list[tuple[Options, type[Exception], str]]
    data: Callable[[], Any]
    again: Callable[[], Any]
    bad_data: Callable[[], tuple[Any, str]]
    fixed: Callable[[], Options] = dict


@dataclass(frozen=True, eq=False, repr=False)
class Case:
    """A method with what it is tried on."""

    name: str
    kind: str
    method: Callable[..., DataSummary]
    on: Modality
    options: Options

    def __repr__(self) -> str:
        return f"{self.kind}-{self.name}"

    @property
    def has_loop(self) -> bool:
        """Whether it takes `steps`, `checkpoint` and the like."""
        return "steps" in self.options

    def run(self, data: Any = None, **changes: Any) -> DataSummary:
        """Call it; a budget among the changes takes the place of the usual one."""
        options = self.options | self.on.fixed() | changes
        if not set(self.on.budget_names) & set(changes):
            options = self.on.budget | options
        data = self.on.data() if data is None else data
        return call(self.method, data, **options)

    def refuses(self, data: Any, budget: Options) -> DataSummary:
        """Call it with this budget and no other."""
        return call(self.method, data, **self.options | self.on.fixed() | budget)

    def start(self, data: Any = None, **changes: Any) -> DataSummary:
        """The same before the first step, where it has steps."""
        return self.run(data, **({"steps": 0} if self.has_loop else {}) | changes)


def _read_only_nodes() -> Any:
    data = tiny.nodes()
    for key, value in data.to_dict().items():
        array = value.numpy().copy()
        array.setflags(write=False)
        data[key] = torch.from_numpy(array)
    return data


def _nodes_with_nan() -> tuple[Any, str]:
    data = tiny.nodes()
    data.x[4, 2] = torch.nan
    return data, "data.x has 1 entries that are NaN"


def _graphs_with_nan() -> tuple[Any, str]:
    data = tiny.graphs()
    data[3].x[0, 0] = torch.nan
    return data, "graph 3: data.x has 1 entries that are NaN"


def _images_with_nan() -> tuple[Any, str]:
    x, labels = tiny.images()
    x = x.astype(np.float32) / 255
    x[4, 2, 2] = np.nan
    return (x, labels), "1 of 36 images hold NaN.*image 4"


def _tensor_images() -> Any:
    x, labels = tiny.images()
    return torch.from_numpy(x)[:, None], torch.tensor(labels)


def _texts_with_a_gap() -> tuple[Any, str]:
    rows, labels = tiny.texts()
    return ([*rows[:4], "", *rows[5:]], labels), "1 of 27 texts are empty"


NODE_BUDGETS = [
    ({}, ValueError, "exactly one of ratio, nodes and per_class; got none"),
    ({"ratio": 0.5, "nodes": 4}, ValueError, "got ratio and nodes"),
    ({"nodes": 0}, ValueError, "nodes must be 1 or more, got 0"),
    ({"nodes": 2}, ValueError, "fewer than the 3 classes"),
    ({"ratio": 1.5}, ValueError, "ratio must be above 0 and at most 1, got 1.5"),
]

NODES_OF = Modality(
    graph,
    ("data", "ratio"),
    {"nodes": 9},
    ("ratio", "nodes", "per_class"),
    [3, 3, 3],
    lambda name: [({"ratio": 1 / 8}, [3, 3, 3]), ({"per_class": 2}, [2, 2, 2])],
    NODE_BUDGETS,
    tiny.nodes,
    _read_only_nodes,
    _nodes_with_nan,
)

GRAPH_BUDGETS = [
    ({}, ValueError, "exactly one of ratio and per_class; got none"),
    ({"ratio": 0.5, "per_class": 2}, ValueError, "got both"),
    ({"per_class": 0}, ValueError, "per_class must be 1 or more, got 0"),
    ({"per_class": 99}, ValueError, "largest that fits is per_class=8"),
    ({"ratio": 2}, ValueError, "ratio must be above 0 and at most 1, got 2"),
]

GRAPHS_OF = Modality(
    graph,
    ("data", "ratio"),
    {"per_class": 2},
    ("ratio", "per_class"),
    [2, 2],
    lambda name: [({"ratio": 0.25}, [2, 2])],
    GRAPH_BUDGETS,
    tiny.graphs,
    tiny.graphs,
    _graphs_with_nan,
)

IMAGES_OF = Modality(
    images,
    ("data", "ipc"),
    {"ipc": 2},
    ("ipc", "budget_bytes"),
    [2, 2, 2],
    _image_budgets,
    [
        ({}, ValueError, "exactly one of ipc and budget_bytes; got none"),
        ({"ipc": 1, "budget_bytes": 9999}, ValueError, "exactly one of ipc and budget"),
        ({"ipc": 0}, ValueError, "ipc must be 1 or more, got 0"),
        ({"ipc": 1.5}, TypeError, "ipc must be a whole number, got 1.5"),
        ({"budget_bytes": 100}, ValueError, "(holds 0 images|too few).*smallest"),
        (
            {"ipc": 2, "class_balance": "fair"},
            ValueError,
            "balance must be one of.*'fair'",
        ),
    ],
    tiny.images,
    _tensor_images,
    _images_with_nan,
)

USERS_OF = Modality(
    recsys,
    ("data", "users"),
    {"users": 4},
    ("users",),
    4,
    lambda name: [({"users": 1}, 1), ({"users": np.int64(7)}, 7)],
    [
        ({"users": None}, ValueError, "give users="),
        ({"users": 0}, ValueError, "from 1 to .*got 0"),
        ({"users": 41}, ValueError, "got 41"),
        ({"users": 2.5}, TypeError, "users must be a whole number, got 2.5"),
    ],
    tiny.log,
    tiny.log,
    lambda: (tiny.log().train, "must be an InteractionLog, got csr_array"),
)

TEXTS_OF = Modality(
    text,
    ("data", "per_class"),
    {"per_class": 2},
    ("per_class", "total"),
    [2, 2, 2],
    lambda name: [({"total": 9}, [3, 3, 3])],
    [
        ({}, ValueError, "give per_class or total, one of them; got None and None"),
        ({"per_class": 2, "total": 9}, ValueError, "got 2 and 9"),
        ({"per_class": 0}, ValueError, "per_class must be from 1 to 8, .* got 0"),
        ({"per_class": 99}, ValueError, "smallest class .* got 99"),
        ({"per_class": 1.5}, TypeError, "per_class must be a whole number, got 1.5"),
        ({"total": 2}, ValueError, "total must be from 3 .* to 27 .*; got 2"),
    ],
    tiny.texts,
    tiny.texts,
    _texts_with_a_gap,
    lambda: {"encoder": tiny.encoder()},
)

MODALITIES = {
    "graph": NODES_OF,
    "images": IMAGES_OF,
    "recsys": USERS_OF,
    "text": TEXTS_OF,
}

CASES = [
    Case(name, kind, on.face.METHODS[name], on, SHORT[kind][name])
    for kind, on in MODALITIES.items()
    for name in on.face.METHODS
    if name in SHORT[kind]
]
CASES.append(
    Case("doscond_graphs", "graph", graph.doscond_graphs, GRAPHS_OF, dict(LOOP))
)
"""Every public method."""


def families(kind: str) -> list[str]:
    """The first method of each file of a modality, for what the methods of a file do
    alike."""
    files = {c.method.__module__: c.name for c in reversed(CASES) if c.kind == kind}
    return sorted(files.values())


@cache
def made_by(case: Case) -> DataSummary:
    """What a method makes of its data; each is made once, and nobody changes it."""
    return case.run()
