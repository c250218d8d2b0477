"""Every setting of every method: listed by `methods`, given by `--set`."""

import concurrent.futures
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import pytest

import multidd
from multidd import modality
from multidd.cli.parameters import parameters, plain_values, settings_of
from multidd.cli.values import TextValue, read_value, type_name
from multidd.evaluation import table
from multidd.graph.models.backbones import GCN, SGC
from multidd.learning import SGD, Adam, RunningClip

EVERY = [
    (entry.name, name, method)
    for entry, parts in modality.with_parts()
    for name, method in parts.commands.items()
]
IDS = [f"{kind}.{name}" for kind, name, _ in EVERY]
SFGC = multidd.graph.sfgc


def typed(**values):
    """Settings of `sfgc` as they are typed; `__` stands for the point."""
    words = {k.replace("__", "."): TextValue(v) for k, v in values.items()}
    return settings_of("sfgc", SFGC, words)


# --- values -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (int, "64", 64),
        (float, "1e-3", 1e-3),
        (bool, "True", True),
        (int | None, "none", None),
        (str, "none", "none"),  # a name: there is no None to mean
        (float | int, "100", 100),  # a number of records, and no share
        (float | int, "0.1", 0.1),
        (int | Literal["mean"] | None, "mean", "mean"),
        (int | float | str | None, "8GB", "8GB"),
        (int | tuple[int, ...] | None, "16,32", (16, 32)),
        (tuple[int, int], "(0, 4)", (0, 4)),
        (Sequence[int], "", ()),
    ],
)
def test_text_is_read_by_the_type(hint, text, value):
    result = read_value("name", hint, TextValue(text))
    assert result == value and type(result) is type(value)


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (int, TextValue("many"), "name must be a whole number, got 'many'"),
        (int | None, TextValue("1.5"), "a whole number or none, got '1.5'"),
        (int, "64", "name must be a whole number, got '64'"),  # of TOML
        (int, 1.0, "name must be a whole number, got 1.0"),
        (float, True, "name must be a number, got True"),
        (bool, 1, "name must be true or false, got 1"),
        (str, 3, "name must be a text, got 3"),
        (Literal["a", "b"], TextValue("c"), "name must be a or b, got 'c'"),
        (tuple[int, int], TextValue("1"), "2 whole numbers by commas, got '1'"),
        (tuple[float, ...], [1, "x"], "numbers by commas, got"),
        (
            Callable[[int], int] | None,
            TextValue("os.system"),
            "a Python object or none",
        ),
    ],
)
def test_another_type_is_refused(hint, value, message):
    with pytest.raises(TypeError, match=re.escape(message)):
        read_value("name", hint, value)


# --- settings of a method -------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name", "method"), EVERY, ids=IDS)
def test_every_setting_is_listed_and_can_be_given(kind, name, method):
    """With its default, which read back from text is itself; and with a description."""
    entry = modality.entry(kind)
    others = modality.parts(kind).methods.values()
    listed = parameters(method, others)
    flat = {one.name for one in listed}
    for place in ("options", "run"):
        default = method.__wrapped__.__kwdefaults__.get(place)
        if is_dataclass(default):
            assert {f.name for f in fields(default)} <= flat
    assert not [one.name for one in listed if not one.about]
    values = {
        one.name: TextValue(one.default_text)
        for one in listed
        if one.is_text and "." not in one.name and not is_dataclass(one.default)
    }
    defaults = {one.name: one.default for one in listed}
    read = settings_of(name, method, values)
    assert len(read) > 3
    for key, value in read.items():
        same = defaults[key]
        assert value == (
            tuple(same)
            if isinstance(same, Sequence | set) and not isinstance(same, str)
            else same
        ), key
    assert entry.name == kind


@pytest.mark.parametrize(("kind", "name", "method"), EVERY, ids=IDS)
def test_what_a_file_holds_is_what_was_given(kind, name, method):
    """Defaults as TOML holds them, read back."""

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        result = {}
        for key, value in values.items():
            inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {}
            result |= inner or {prefix + key: value}
        return result

    plain = plain_values(method, {})
    json.dumps(plain, allow_nan=False)
    read = settings_of(name, method, flat(plain))
    defaults = {one.name: one.default for one in parameters(method)}
    assert read == {key: defaults[key] for key in read}


def test_settings_in_settings():
    experts = typed(
        experts__count="5",
        experts__trainer__optimizer__kind="Adam",
        experts__trainer__optimizer__lr="0.1",
    )["experts"]
    assert experts.count == 5 and experts.record_missing
    assert experts.trainer.epochs == 6  # of the method's default
    assert experts.trainer.optimizer == Adam(lr=0.1)
    assert typed(experts__trainer__optimizer__lr="2")["experts"].trainer.optimizer == (
        SGD(lr=2.0, momentum=0.9)
    )
    assert typed(select_best__every="5") == {"select_best": multidd.SelectBest(5)}
    assert typed(model__width="64") == {"model": GCN(width=64)}
    assert typed(model__kind="SGC") == typed(model="SGC") == {"model": SGC()}
    assert typed(model="sgc") == {"model": "sgc"}
    clip = typed(experts__trainer__optimizer__clip__factor="3")["experts"].trainer
    assert clip.optimizer.clip == RunningClip(3.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"expert_epoch": "1"}, "sfgc has no setting 'expert_epoch'; did you mean "),
        ({"experts__cuont": "1"}, "did you mean experts.count"),
        ({"experts__count": "few"}, "experts.count must be a whole number, got 'few'"),
        ({"executor": "os"}, "executor takes a Python object.*multidd.graph.sfgc"),
        ({"model": "sgc", "model__width": "3"}, "give either model or model.width"),
        ({"model__kind": "MLP"}, "model.kind must be SGC or GCN, got 'MLP'"),
    ],
)
def test_what_is_no_setting_is_refused(values, message):
    with pytest.raises((ValueError, TypeError), match=message):
        typed(**values)


@dataclass(frozen=True)
class Inner:
    """Settings that must be given."""

    size: int
    depth: int = 2


@dataclass(frozen=True)
class Outer:
    """Settings with some inside, where they are given."""

    inner: Inner | None = None


def test_settings_that_must_be_given():
    def method(data: Any, *, options: Outer = Outer()) -> None:  # noqa: B008
        """Nothing."""

    one = settings_of("method", method, {"inner.size": 3})
    assert one == {"inner": Inner(3)}
    with pytest.raises(TypeError, match="inner as Inner needs inner.size"):
        settings_of("method", method, {"inner.depth": 3})


def test_set_reaches_the_method(call, fails, tmp_path):
    words = ["distill", "images", "--data", "sample:fashion", "--ipc", "1", "--quiet"]
    words += ["--method", "dm"]
    few = [*words, "--steps", "1", "--set", "width=4,4,4", "--set", "batch-size=8"]
    code, printed, err = call(*few, "--json", "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    result = json.loads(printed)
    assert result["digest"] == multidd.load(tmp_path / "run").digest()
    files = {"summary", "report", "settings", "picture", "json", "page", "log"}
    assert set(result["files"]) == files
    settings = multidd.load(tmp_path / "run").card.settings
    assert (settings["width"], settings["batch_size"]) == ([4, 4, 4], 8)
    out = ["--out", tmp_path / "none"]
    fails(
        "dm has no setting 'bacth_size'; did you mean batch_size",
        *words,
        *out,
        "--set",
        "bacth_size=8",
    )
    fails(
        "batch_size must be a whole number or none, got 'many'",
        *words,
        *out,
        "--set",
        "batch_size=many",
    )
    fails(
        "steps is no setting of --set; give --steps", *words, *out, "--set", "steps=1"
    )
    fails("--set takes NAME=VALUE, got 'width'", *words, *out, "--set", "width")
    assert not (tmp_path / "none").exists()


# --- the lists ------------------------------------------------------------------------


def test_the_page_of_a_method(call, fails):
    code, printed, err = call("methods", "images.dm")
    assert (code, err) == (0, "")
    assert "  --ipc: a whole number or none" in printed
    size = "  batch_size: a whole number or none, default 128, paper 256\n      Real "
    assert size in printed
    assert "From Python only:\n  callbacks" in printed
    code, printed, _ = call("methods", "dm", "--json")
    pages = json.loads(printed)["methods"]
    assert [page["modality"] for page in pages] == ["images", "text"]
    settings = {one["name"]: one for one in pages[0]["settings"]}
    assert settings["batch_size"] == {
        "name": "batch_size",
        "type": "a whole number or none",
        "default": "128",
        "paper": "256",
        "by": "--set",
        "about": settings["batch_size"]["about"],
    }
    assert (settings["ipc"]["by"], settings["callbacks"]["by"]) == ("--ipc", "Python")
    fails("there is no method 'dmm'; did you mean dm", "methods", "dmm")
    fails("modality must be one of graph, .*; got 'sound'", "methods", "sound.dm")


def test_the_list_says_family_year_and_needs(call):
    facts = json.loads(call("methods", "--json")[1])["methods"]
    assert len(facts) == len(EVERY)
    by_name = {(one["modality"], one["method"]): one for one in facts}
    expected = {
        ("graph", "sfgc"): ("trajectory", 2023, "experts", True),
        ("images", "sre2l"): ("decoupled", 2023, "teacher", True),
        ("images", "dm"): ("distribution", 2023, None, True),
        ("recsys", "random"): ("selection", None, None, False),
    }
    for key, (family, year, needs, loop) in expected.items():
        one = by_name[key]
        assert (one["family"], one["needs"], one["loop"]) == (family, needs, loop), key
        assert one["year"] == year, key
    assert all(1950 < one["year"] < 2030 for one in facts if one["year"])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lists_keep_to_a_terminal(call, monkeypatch, width):
    monkeypatch.setattr(table, "terminal_width", lambda: width)
    for words in (["methods"], ["methods", "graph.sfgc"]):
        code, printed, _ = call(*words)
        assert code == 0
        assert max(map(len, printed.splitlines())) <= width


def test_types_in_words():
    assert type_name(concurrent.futures.Executor | None) == "a Python object or none"
    assert type_name(os.PathLike[str] | str) == "a text"
    assert type_name(bool | None) == "true or false or none"
