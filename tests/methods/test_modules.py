"""Models of a caller's own in every recipe that goes through a network or an encoder.

By the table of `cases`: two steps on tiny data. What evaluations do with them is in
`tests/core/test_custom_models.py`, what is refused in `tests/core/test_modules.py`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv, SAGEConv

from multidd import evaluate, graph, images, text
from multidd.engine.recipe import call
from multidd.errors import CheckpointMismatchError
from multidd.graph.models.backbones import GCN
from multidd.graph.models.module_backbone import ModuleBackbone as NodeBackbone
from multidd.images.models.backbone import Backbone
from multidd.images.models.module_backbone import ModuleBackbone, backbone_by
from multidd.seeds import at
from multidd.summary import load
from tests.golden import tiny
from tests.methods.cases import CASES, SHORT, Case

pytestmark = pytest.mark.usefixtures("short_teachers")


class NormedCNN(nn.Module):
    """Two convolutions with batch norm, dropout and a linear layer."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv2d(shape[0], 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.BatchNorm2d(6)])
        self.dropout = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x)).relu_()
        return self.head(self.dropout(self.pool(x).flatten(1)))


def perceptron() -> nn.Module:
    """Asks for nothing: its first layer learns its size from the images."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.Tanh(), nn.Linear(8, 3))


class TwoGCN(nn.Module):
    """Two `GCNConv`, as the built-in GCN; dropout while it is trained."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = GCNConv(features, 8), GCNConv(8, classes)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        hidden = self.first(x, edge_index, edge_weight).relu()
        hidden = nn.functional.dropout(hidden, 0.5, self.training)
        return self.second(hidden, edge_index, edge_weight)


class Mean(nn.Module):
    """Sees the edges, not their weights."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.hidden, self.conv = nn.Linear(features, 6), SAGEConv(6, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.conv(self.hidden(x).relu(), edge_index)


def letters(texts: list[str]) -> list[list[float]]:
    """How often some letters come, as an encoder."""
    return [[1.0, *map(one.count, "aeiost")] for one in texts]


def cases(kind: str, without: tuple[str, ...] = ()) -> Any:
    options = SHORT[kind]
    steps = [c for c in CASES if c.kind == kind and c.name in options]
    named = [c for c in steps if "steps" in options[c.name] and c.name not in without]
    return pytest.mark.parametrize("case", named, ids=str)


def run(case: Case, model: Any, **changes: Any) -> Any:
    """Two steps through a model of the caller's own."""
    options = {k: v for k, v in case.options.items() if k != "width"}
    options |= case.on.budget | {"steps": 2, "model": model} | changes
    return call(case.method, case.on.data(), **options)


# --- images ---------------------------------------------------------------------------

NO_FEATURES = ("dc", "mtt", "dd")
"""Recipes that need a loss alone, so any module will do."""


@cases("images", without=("kip",))
def test_recipes_for_images(case: Case) -> None:
    summary = run(case, NormedCNN)
    assert summary.card.settings["model"] == "NormedCNN"
    assert len(summary.card.settings["module"]) == 16
    assert all(torch.isfinite(t).all() for t in summary.tensors.values())


@pytest.mark.parametrize("name", ["dc", "cafe", "frepo", "dd"])
def test_a_module_of_lazy_layers(name: str) -> None:
    case = next(c for c in CASES if (c.kind, c.name) == ("images", name))
    summary = run(case, perceptron)
    assert summary.card.settings["model"] == "Sequential"
    assert summary.digest() == run(case, perceptron).digest()


@pytest.mark.parametrize("name", NO_FEATURES)
def test_a_loss_alone_needs_no_last_layer(name: str) -> None:
    def averaged(shape: tuple[int, int, int], classes: int) -> nn.Module:
        conv = nn.Conv2d(shape[0], classes, 3)
        return nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())

    case = next(c for c in CASES if (c.kind, c.name) == ("images", name))
    assert run(case, averaged).card.settings["model"] == "Sequential"
    with pytest.raises(ValueError, match="its last step must be a layer with weights"):
        images.dm(tiny.images(), 1, steps=1, model=averaged)


def test_kip_goes_through_no_network() -> None:
    with pytest.raises(ValueError, match="^kip compares images by the kernel of an"):
        images.kip(tiny.images(), 1, steps=1, model=NormedCNN)


def test_relabel_and_rded_take_a_teacher_of_ones_own() -> None:
    few = {"teacher_steps": 2, "model": NormedCNN}
    summary = images.rded(tiny.images(), 1, **few)
    assert summary.card.settings["model"] == "NormedCNN"
    images.relabel(summary, tiny.images(), **few)


def test_the_kernel_of_a_module_is_in_no_file(tmp_path: Path) -> None:
    summary = images.rfad(tiny.images(), 2, steps=1, model=NormedCNN, batch_size=6)
    summary.save(tmp_path / "few.safetensors")
    stored = load(tmp_path / "few.safetensors")
    with pytest.raises(ValueError, match="kernel of this set is of NormedCNN"):
        evaluate(stored, tiny.images(), models="kernel", seeds=1)


def twin(width: int) -> Callable[..., nn.Module]:
    """The library's own ConvNet, as a module that nothing is known of."""

    class Twin(nn.Module):
        def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
            super().__init__()
            net = images.models.networks.build(
                "convnet", shape, classes, at(0, "net"), width=width
            )
            self.blocks, self.head = net.blocks, net.head

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x)
            return self.head(x.flatten(1))

    return Twin


def test_features_are_those_of_the_same_named_network() -> None:
    named, module = Backbone(width=4), backbone_by(twin(4))
    weights = {n: w[0] for n, w in named.weights(at(0, "w"), 1, (1, 8, 8), 3).items()}
    x = torch.rand(5, 1, 8, 8, generator=at(0, "x"))
    for last in (None, 2, 1):
        pairs = zip(
            named.features(weights, x, 3, last),
            module.features(weights, x, 3, last),
            strict=True,
        )
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
    assert module.channels((1, 8, 8), 3) == named.channels((1, 8, 8), 3)


@pytest.mark.parametrize("name", ["dm", "cafe", "dc", "frepo", "dd", "sre2l"])
def test_a_run_is_that_of_the_same_named_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same weights; a factory draws its own."""
    form = {"width": (4, 4, 4) if name == "frepo" else 4, "norm": "instance"}
    case = next(c for c in CASES if (c.kind, c.name) == ("images", name))
    named = run(case, "convnet", **form)
    width = Backbone(width=4)
    monkeypatch.setattr(
        ModuleBackbone, "weights", lambda self, *args: width.weights(*args)
    )
    module = run(case, twin(4))
    assert torch.allclose(named.tensors["x"], module.tensors["x"], atol=1e-4)
    assert named.card.history == pytest.approx(module.card.history, rel=1e-3)


# --- graphs ---------------------------------------------------------------------------


@cases("graph", without=("gcsntk", "doscond_graphs"))
def test_recipes_for_graphs(case: Case) -> None:
    summary = run(case, TwoGCN)
    assert summary.card.settings["backbone"]["kind"] == "TwoGCN"
    assert all(torch.isfinite(t).all() for t in summary.tensors.values())


@pytest.mark.parametrize("name", ["doscond", "dm_x", "sfgc"])
def test_a_run_is_that_of_the_same_named_gcn(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same weights, on dense edges and on none, real and synthetic."""
    case = next(c for c in CASES if (c.kind, c.name) == ("graph", name))
    named, names = run(case, GCN(width=8)), {}
    for i, layer in enumerate(("first", "second")):
        names |= {f"weight{i}": f"wrapped.{layer}.lin.weight"}
        names |= {f"bias{i}": f"wrapped.{layer}.bias"}

    def weights(self: NodeBackbone, *args: Any) -> dict[str, Tensor]:
        drawn = GCN(width=8).weights(*args)
        return {names[name]: tensor for name, tensor in drawn.items()}

    monkeypatch.setattr(NodeBackbone, "weights", weights)
    module = run(case, TwoGCN)
    assert named.card.history == pytest.approx(module.card.history, rel=1e-3)
    assert torch.allclose(named.tensors["x"], module.tensors["x"], atol=1e-4)


@pytest.mark.parametrize("name", ["gcond_x", "gdem"])
def test_a_module_that_sees_no_weights(name: str) -> None:
    case = next(c for c in CASES if (c.kind, c.name) == ("graph", name))
    assert run(case, Mean).card.settings["backbone"]["kind"] == "Mean"


def test_sets_of_graphs_take_no_module() -> None:
    with pytest.raises(ValueError, match="model"):
        graph.doscond(tiny.graphs(), per_class=1, steps=1, model=TwoGCN)


# --- texts ----------------------------------------------------------------------------

ON_TOKENS = ("tbptt", "tokens", "attention_labels")


@pytest.mark.parametrize("name", sorted(set(SHORT["text"]) - set(ON_TOKENS)))
def test_methods_for_texts(name: str) -> None:
    options = SHORT["text"][name] | {"per_class": 2, "encoder": letters}
    options |= {"steps": 2} if "steps" in options else {}
    summary = call(text.METHODS[name], tiny.texts(), **options)
    assert summary.card.settings["encoder"]["name"] == "letters"
    assert summary.tensors["x"].shape[1] == 7


@pytest.mark.parametrize("name", ["tokens", "attention_labels"])
def test_methods_on_token_vectors_need_them(name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name} learns token vectors, which letters"):
        text.METHODS[name](tiny.texts(), 1, encoder=letters)


def test_an_object_that_encodes() -> None:
    class Sentences:
        def encode(self, texts: list[str]) -> Tensor:
            return torch.tensor(letters(texts))

    summary = text.random(tiny.texts(), 2, encoder=Sentences())
    assert summary.card.settings["encoder"]["name"] == "Sentences"
    same = text.random(tiny.texts(), 2, encoder=letters)
    assert torch.equal(summary.tensors["x"], same.tensors["x"])


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda texts: [1.0] * len(texts), r"one vector of each text, \[27, d\]"),
        (lambda texts: [[1.0]] * 5, r"one vector of each text, \[\d+, d\]"),
        (lambda texts: [[float("nan")]] * len(texts), "numbers that are not finite"),
        (lambda texts: "no", "it gave str"),
    ],
)
def test_bad_functions_are_refused(encoder: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        text.random(tiny.texts(), 1, encoder=encoder)


# --- resuming -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "models"),
    [
        ("images", "dc", (NormedCNN, perceptron)),
        ("graph", "gcond_x", (TwoGCN, Mean)),
    ],
)
def test_a_run_goes_on_with_the_same_module_only(
    kind: str, name: str, models: tuple[Any, Any], tmp_path: Path
) -> None:
    case = next(c for c in CASES if (c.kind, c.name) == (kind, name))
    first, second = models
    whole, folder = run(case, first), {"checkpoint": str(tmp_path)}
    assert run(case, first, timeout=0.0, **folder).card.steps == 1
    with pytest.raises(CheckpointMismatchError, match="module was"):
        run(case, second, **folder)
    assert run(case, first, **folder).digest() == whole.digest()
    stored = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert first.__name__.encode() in stored and b"forward" not in stored


def test_resuming_sees_another_encoder(tmp_path: Path) -> None:
    options = {"steps": 2, "checkpoint": str(tmp_path), "progress": False}
    text.dm(tiny.texts(), 2, encoder=letters, timeout=0.0, **options)
    with pytest.raises(CheckpointMismatchError, match="features was"):
        text.dm(
            tiny.texts(), 2, encoder=lambda t: [[len(s), 1.0] for s in t], **options
        )


def test_two_factories_of_one_name_are_two_models():
    """Lambdas all have one name: a cache by names would give the first network."""
    factories = [
        lambda shape, classes, width=width: nn.Sequential(
            nn.Conv2d(shape[0], width, 3), nn.Flatten(), nn.Linear(36 * width, classes)
        )
        for width in (2, 3)
    ]
    widths = [backbone_by(f).channels((1, 8, 8), 3) for f in factories]
    assert widths == [(72,), (108,)]
