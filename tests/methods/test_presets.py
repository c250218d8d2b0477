"""`preset="paper"`: every recipe with a paper, by the table of `cases`."""

import json
from dataclasses import fields, is_dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from multidd import graph, images, recsys, text
from multidd.arguments import grouped
from multidd.engine.options import RunOptions
from multidd.engine.presets import presets_of, with_preset
from multidd.engine.recipe import call
from multidd.errors import CheckpointMismatchError
from multidd.images.methods.papers import ImageFacts
from multidd.objectives import TrajectoryMatching
from multidd.settings import describe
from tests.methods.cases import CASES, MODALITIES, Case

pytestmark = pytest.mark.usefixtures("short_teachers")

BY_NO_PAPER = ("condense", "pursuit", "tokens")
"""Methods of this library."""

AS_THEY_ARE = ("random", "head", "herding", "kcenter", "kmeans", "medoids")
AS_THEY_ARE += ("svp", "interactions")
"""Selections that have no settings of a paper."""

TINY: dict[str, dict[str, Any]] = {
    "rfad": {"num_models": 1},
    "dd": {"model": "convnet"},
    "sldd": {"model": "convnet"},
    "sre2l": {"model": "convnet"},
    "gcond": {"net_steps": 1, "matches_per_net": 2},
    "gcond_x": {"net_steps": 1, "matches_per_net": 2},
    "gcsntk": {"hops": 1},
    "gdem": {"vectors": 0.5},
}
"""Beside the short options: what a preset makes too large for tiny data."""

WITH_PAPER = [case for case in CASES if case.name not in BY_NO_PAPER + AS_THEY_ARE]

every = pytest.mark.parametrize("case", WITH_PAPER, ids=str)


def short(case: Case, **changes: Any) -> Any:
    """A run of one step with the preset, and all that is slow made small."""
    steps = {"steps": 1} if case.has_loop else {}
    return case.run(preset="paper", **TINY.get(case.name, {}), **steps | changes)


def merged(case: Case, **changes: Any) -> dict[str, Any]:
    flat = case.on.budget | {"preset": "paper"} | changes
    return with_preset(case.method, case.on.data(), flat)[1]


def test_every_recipe_with_a_paper_has_a_preset() -> None:
    names = {case.name for case in CASES if presets_of(case.method)}
    assert names == {case.name for case in WITH_PAPER}
    for kind, on in MODALITIES.items():
        table = on.face.preset.__globals__["PRESETS"].table
        mine = {c.name for c in WITH_PAPER if c.kind == kind}
        assert set(table) == mine and all(entry.remains for entry in table.values())


@every
def test_its_settings_are_those_of_the_method(case: Case) -> None:
    """They make valid options, and one step with what is large made small runs."""
    presets = presets_of(case.method)
    assert presets is not None
    settings = presets.settings(case.name)
    arguments = grouped(case.method, settings)
    assert set(arguments) <= set(signature(case.method).parameters)
    assert settings and "seed" not in settings and "device" not in settings
    summary = short(case)
    assert summary.card.settings["preset"] == "paper"
    assert json.loads(json.dumps(summary.card.settings)) == summary.card.settings


@every
def test_what_is_named_beats_the_preset(case: Case) -> None:
    """One by one; `options` as a whole, but not the parameters beside them."""
    settings = merged(case)
    parameters = signature(case.method).parameters
    default = parameters["options"].default
    inside = {f.name for f in fields(default)}
    name = next(key for key in settings if key in inside)
    changed = merged(case, **{name: "mine"})
    assert changed == settings | {name: "mine"}
    whole = merged(case, options=default)
    assert not inside & set(whole) and whole["options"] is default
    beside = set(settings) - inside
    assert all(whole[key] == settings[key] for key in beside)
    assert merged(case, run=RunOptions(timeout=9.0))["run"].timeout == 9.0


@every
def test_others_are_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="^preset must be 'paper' or None; got 'papr'"):
        case.run(preset="papr")


def test_methods_without_a_paper_refuse_it() -> None:
    for case in CASES:
        if case not in WITH_PAPER:
            with pytest.raises(TypeError, match="has no setting preset"):
                case.run(preset="paper")


def test_distill_takes_it() -> None:
    for kind, name in {"graph": "dm_x", "images": "dm", "text": "dm"}.items():
        on = MODALITIES[kind]
        case = next(c for c in CASES if c.kind == kind and c.name == name)
        tiny = case.options | {"steps": 1}
        summary = on.face.distill(
            on.data(), **on.budget | on.fixed(), method=name, preset="paper", **tiny
        )
        assert summary.digest() == short(case).digest()
    with pytest.raises(TypeError, match="preset='paper' is of a method: give method="):
        images.distill(MODALITIES["images"].data(), 1, preset="paper")


def test_a_resumed_run_has_the_same_preset(tmp_path: Path) -> None:
    """Named or not, other settings are refused; the same ones go on."""
    case = next(c for c in CASES if str(c) == "images-dm")
    folder = {"checkpoint": str(tmp_path), "steps": 2}
    first = short(case, timeout=0.0, **folder)
    assert first.card.steps == 1
    with pytest.raises(CheckpointMismatchError, match="preset was 'paper' and is now"):
        case.run(**folder | {"lr": 1.0})
    assert short(case, **folder).card.steps == 2


def test_card_says_what_was_used() -> None:
    case = next(c for c in CASES if str(c) == "images-idm")
    used = short(case, width=4).card.settings
    assert (used["width"], used["lr"], used["factor"]) == (4, 0.2, 2)
    assert used["cross_entropy"] == 0.5 and used["preset"] == "paper"
    plain = case.run(steps=1).card.settings
    assert "preset" not in plain and plain["lr"] == 1.0


# --- values, by hand ------------------------------------------------------------------


def test_dm() -> None:
    paper = images.preset("dm", ipc=10)
    assert (paper["steps"], paper["width"], paper["batch_size"]) == (20_000, 128, 256)
    assert paper["augment"] == "color_crop_cutout_flip_scale_rotate"
    options = grouped(images.dm, paper)["options"]
    assert (options.norm, options.init, options.momentum) == ("instance", "random", 0.5)
    rates = [images.preset("dm", ipc=ipc)["lr"] for ipc in (1, 10, 50, 500)]
    assert rates == [1.0, 1.0, 1.0, 10.0]


def test_dc() -> None:
    names = ("steps", "matches_per_net", "net_steps")
    rows = [[images.preset("dc", ipc)[name] for name in names] for ipc in (1, 10, 50)]
    assert rows == [[1000, 1, 1], [10_000, 10, 50], [50_000, 50, 10]]
    paper = images.preset("dc")
    assert (paper["init"], paper["lr"], paper["augment"]) == ("noise", 0.1, "none")
    assert images.preset("dsa")["init"] == "random"


def test_mtt() -> None:
    data = MODALITIES["images"].data()
    names = ("syn_steps", "expert_epochs", "start_epochs", "lr")
    rows = [[images.preset("mtt", ipc)[name] for name in names] for ipc in (1, 10, 50)]
    assert rows == [
        [50, 2, (0, 2), 100.0],
        [30, 2, (0, 20), 100.0],
        [30, 2, (0, 40), 1000.0],
    ]
    paper = images.preset("mtt")
    trainer = paper["experts"].trainer
    assert (paper["experts"].count, trainer.epochs, trainer.steps) == (100, 50, 196)
    assert paper["zca"] and not images.preset("mtt", ipc=50)["zca"]
    gray = images.preset("mtt", data=data)
    assert not gray["zca"] and gray["experts"].trainer.steps == 1


@pytest.mark.parametrize("name", ["mtt", "tesla", "ftd", "datm", "haba"])
@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("ipc", [1, 5, 10, 20, 50, 100, 500])
def test_windows_fit_their_experts(name: str, classes: int, ipc: int) -> None:
    method = images.METHODS[name]
    presets = presets_of(method)
    assert presets is not None
    facts = ImageFacts(ipc, 50_000, classes)
    options = grouped(method, presets.table[name].settings(facts))["options"]
    assert isinstance(options.trajectories().objective(), TrajectoryMatching)


def test_kip_and_frepo() -> None:
    kip, frepo = images.preset("kip"), images.preset("frepo")
    assert (kip["depth"], kip["ridge"], kip["lr"]) == (1, 1e-6, 0.04)
    assert kip["labels"] == "centered" and kip["batch_size"] == 5000 and kip["zca"]
    assert (frepo["steps"], frepo["pool_size"]) == (500_000, 10)
    assert frepo["width"] == (128, 256, 512) and frepo["batch_size"] == 1024
    assert frepo["lr"] == 3e-4 and frepo["norm"] == "batch"


def test_gcond_and_doscond() -> None:
    data = MODALITIES["graph"].data()
    paper = graph.preset("gcond")
    assert (paper["steps"], paper["matches_per_net"]) == (600 * 20, 20)
    assert (paper["net_steps"], paper["lr_adjacency"]) == (15, 1e-4)
    assert paper["distance"] == "cosine" and paper["supervision"] == "train"
    # Rows of Cora add up to one: 1e-4 in units of 1,433 features of a row of length 1.
    assert paper["lr"] == pytest.approx(1e-4 * 1433**0.5, rel=1e-3)
    one_step = graph.preset("doscond", data=data)
    assert (one_step["structure"], one_step["distance"]) == ("none", "mse")
    graphs = next(c for c in CASES if c.name == "doscond_graphs").on.data()
    of_sets = graph.preset("doscond", data=graphs)
    assert of_sets == graph.preset("doscond_graphs", data=graphs)
    assert (of_sets["steps"], of_sets["edge_temperature"]) == (1000, (1.0, 0.01))


def test_doscond_of_a_set_takes_the_preset_of_sets() -> None:
    on = next(c for c in CASES if c.name == "doscond_graphs").on
    both = [
        call(method, on.data(), per_class=2, preset="paper", steps=1, progress=False)
        for method in (graph.doscond, graph.doscond_graphs)
    ]
    assert both[0].digest() == both[1].digest()
    assert all(one.card.settings["preset"] == "paper" for one in both)
    assert both[0].card.settings["init"] == "random"


def test_distill_cf() -> None:
    paper = recsys.preset("distill_cf")
    options = grouped(recsys.distill_cf, paper)["options"]
    as_in_the_docstring = recsys.DistillCFOptions(
        holdout=0,
        popularity_weight=0,
        scale=1,
        batch_size=None,
        init="random",
        sampler="independent",
        draws=200,
        lr=0.04,
    )
    assert replace(options) == as_in_the_docstring and paper["steps"] == 500


def test_access_without_data_and_errors() -> None:
    assert text.preset("dc", per_class=1)["steps"] == 1000
    assert text.preset("dm", total=30)["steps"] == 20_000
    with pytest.raises(ValueError, match="random has no preset; those .* are dm, m3d"):
        images.preset("random")
    with pytest.raises(ValueError, match="preset must be 'paper' or None; got 'mine'"):
        images.preset("dm", name="mine")


def test_values_are_plain() -> None:
    """Each may stand on a card, and a mapping that was handed out is the caller's."""
    for case in WITH_PAPER:
        presets = presets_of(case.method)
        assert presets is not None
        settings = presets.settings(case.name)
        json.dumps(describe(settings))
        settings.clear()
        assert presets.settings(case.name)
        assert all(not is_dataclass(v) or v == replace(v) for v in settings.values())
