"""Names that changed: old checkpoints, cards and caches are read by the new ones."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd import RunOptions, SelectBest, distill, settings
from multidd.engine.card import CardInfo
from multidd.engine.checkpoint import CheckpointFolder
from multidd.graph.methods.graph_sets import Density
from multidd.learning import (
    GSAM,
    SGD,
    Bank,
    Experts,
    FinalExperts,
    Fresh,
    Frozen,
    InnerLoop,
    Online,
    Pool,
    Trainer,
)
from multidd.objectives import (
    MMD,
    DistributionMatching,
    GradientMatching,
    Recovery,
    RidgeSearch,
    TrajectoryMatching,
    Unroll,
)
from multidd.parameterizations import (
    BernoulliAdjacency,
    Conditional,
    DecoderFit,
    DecoderNet,
    FromTensors,
    GumbelHistories,
    PairwiseAdjacency,
)
from multidd.recsys.methods.warm_start import FrozenRows, SubsampledFree
from multidd.selection import Pursuit, Random
from multidd.settings import (
    RENAMED,
    current_names,
    current_parameters,
    describe,
    original_names,
)
from multidd.storage.files import read, write
from tests.toy import FAST, Toy, free

TODAY: dict[str, Any] = {
    "Bank": Bank(),
    "BernoulliAdjacency": BernoulliAdjacency(free()),
    "Conditional": Conditional(free()),
    "DecoderFit": DecoderFit(),
    "DecoderNet": DecoderNet(),
    "Density": Density(0.1),
    "FinalExperts": FinalExperts(Experts()),
    "Fresh": Fresh(),
    "FromTensors": FromTensors({}),
    "FrozenRows": FrozenRows(GumbelHistories(free()), torch.zeros(1, 4)),
    "Frozen": Frozen(),
    "GSAM": GSAM(),
    "GradientMatching": GradientMatching(),
    "InnerLoop": InnerLoop(),
    "MMD": MMD(),
    "Online": Online(),
    "PairwiseAdjacency": PairwiseAdjacency(free()),
    "Pool": Pool(),
    "Pursuit": Pursuit(),
    "Recovery": Recovery(),
    "RidgeSearch": RidgeSearch((1.0,)),
    "SelectBest": SelectBest(),
    "SubsampledFree": SubsampledFree(Random(), (1, 1)),
    "Trainer": Trainer(),
    "TrajectoryMatching": TrajectoryMatching(),
    "Unroll": Unroll(),
}
"""One of each class that was renamed, or whose fields were, by its name of today."""


def test_every_renamed_class_is_here() -> None:
    later = {rule.old for rule in RENAMED if rule.old != rule.new}
    assert set(TODAY) == {rule.new for rule in RENAMED} - later


@pytest.mark.parametrize("name", TODAY)
def test_what_was_written_before_reads_as_today(name: str) -> None:
    today = describe(TODAY[name])
    assert today["kind"] == name
    before = original_names(today)
    assert before != today
    assert current_names(before) == today == current_names(today)
    assert original_names(before) == before


def test_an_old_description_reads_as_today() -> None:
    """As commit 115eb88 wrote it."""
    optimizer = describe(SGD(lr=0.5))
    inner = {"kind": "Inner", "steps": 10, "optimizer": optimizer, "rows": 4}
    inner |= {"memory": "exact", "window": None, "paces": [["a", 0.1]]}
    states = {"kind": "Pool", "size": 10, "models": 2, "on": "real", "steps": 1}
    states |= {"max_age": 50, "warm": 5, "optimizer": optimizer, "rows": None}
    before = {"kind": "Unroll", "inner": inner, "states": states, "rates": "each"}
    before |= {"shortest": None}
    now = Unroll(
        InnerLoop(10, SGD(lr=0.5), 4, "exact", None, (("a", 0.1),)),
        Pool(10, 2, "real", 1, 50, 5, SGD(lr=0.5)),
        "each",
    )
    assert current_names(before) == describe(now)
    assert list(current_names(before)) == list(describe(now))


def test_a_namesake_with_other_fields_stays() -> None:
    module = {"kind": "Net", "weights": 3}
    assert current_names(module) == module
    assert current_names({"kind": "Fit"}) == {"kind": "Fit"}


@dataclasses.dataclass(frozen=True)
class Remembering:
    """Settings with a cache."""

    size: int = 1
    _cache: dict[str, int] = dataclasses.field(default_factory=dict)


def test_what_an_object_remembers_is_no_setting() -> None:
    used = Remembering(_cache={"a": 1})
    assert (
        describe(used) == describe(Remembering()) == {"kind": "Remembering", "size": 1}
    )
    assert describe({"_a": 1}) == {"_a": 1}


def test_the_cache_of_an_encoder_was_a_setting_once() -> None:
    """Checkpoints and keys of caches, from a fresh encoder and from one in use."""
    today = {"kind": "Encoder", "tokenizer": {"kind": "T"}, "batch": 64}
    fresh, used = ({"_shells": shells} for shells in ({}, {"7": {"kind": "Bert"}}))
    assert current_names(today | fresh) == current_names(today | used) == today
    assert original_names(today) == today | fresh
    network = {"kind": "Encoder", "sha256": "0"}
    assert original_names(network) == current_names(network) == network


# --- keys of caches -------------------------------------------------------------------


def test_keys_of_experts_stay() -> None:
    """Those of commit 115eb88: experts that were recorded then are found now."""
    cora = multidd.graph.NodeTask.of(multidd.samples.cora())
    assert Experts().store(cora).key == (
        "e9757711e072f3b3d5d3246513167e5ee1b8e17e64b5c9035baea68776bf5d2a"
    )
    optimizer = SGD(lr=0.1, momentum=0.5)
    trainer = Trainer(3, 2, optimizer, batch_size=8, gsam=GSAM(0.05))
    assert Experts(trainer, 2, seed=1).store(Toy("mlp")).key == (
        "ca42cd86fd475a662551a2399791df06b8edaab631009e6a11097c15d499ae31"
    )


# --- checkpoints and cards ------------------------------------------------------------


def run(folder: Path, recipe: dict[str, Any], **options: Any) -> Any:
    return distill(
        Toy(),
        DistributionMatching(states=Fresh(2)),
        free(),
        steps=8,
        optimizer=FAST,
        checkpoint=str(folder),
        run=RunOptions(**options),
        card=CardInfo("toy", recipe),
    )


def grow_old(path: Path) -> None:
    """The file with the names of classes and fields that were used at first."""
    tensors, content = read(path, kind="checkpoint")
    before = original_names(content["info"]["settings"])
    assert before != content["info"]["settings"]
    content["info"]["settings"] = before
    write(path, tensors, content, kind="checkpoint")


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method's parameter that was called otherwise once."""
    table = {"*": {"rate": "lr"}, "toy": {"models": "num_models"}}
    monkeypatch.setattr(settings, "RENAMED_PARAMETERS", table)


def test_an_old_checkpoint_goes_on(tmp_path: Path, renamed: None) -> None:
    whole = run(tmp_path / "whole", {"num_models": 2, "lr": 0.1})
    folder = tmp_path / "half"
    run(folder, {"models": 2, "rate": 0.1}, timeout=0.0)
    (path,) = folder.glob("step-*.safetensors")
    grow_old(path)
    step, _, info = CheckpointFolder(folder).latest()  # type: ignore[misc]
    assert step == 1 and info["settings"]["recipe"] == {"models": 2, "rate": 0.1}
    states = info["settings"]["objective"]["states"]
    assert states == {"kind": "Fresh", "models": 2}
    summary = run(folder, {"num_models": 2, "lr": 0.1})
    assert summary.digest() == whole.digest()
    assert summary.card.settings == whole.card.settings


def test_an_old_card_has_the_names_of_today(tmp_path: Path, renamed: None) -> None:
    data = multidd.samples.cora()
    summary = multidd.graph.random(data, per_class=1)
    before = {"rate": 0.1, "models": 3, "states": {"kind": "Fresh", "models": 3}}
    old = dataclasses.replace(summary.card, settings=before, method="toy")
    path = dataclasses.replace(summary, card=old).save(tmp_path)
    card = multidd.load(path).card
    states = {"kind": "Fresh", "num_models": 3}
    assert card.settings == {"lr": 0.1, "num_models": 3, "states": states}
    other = current_parameters("other", before)
    assert other == {"lr": 0.1, "models": 3, "states": states}
    assert json.dumps(before) == json.dumps(old.settings)
