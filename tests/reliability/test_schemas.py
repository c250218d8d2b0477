"""Schemas, limits and regular files: what is refused, and in which words."""

import json
import os
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd import distill
from multidd.card_schema import PROTOCOL
from multidd.engine.options import RunOptions
from multidd.errors import (
    CheckpointMismatchError,
    CorruptFileError,
    MultiddWarning,
    SchemaError,
    StorageError,
)
from multidd.evaluation.protocol import Protocol
from multidd.objectives import DistributionMatching, Representative
from multidd.storage import cache, files
from multidd.storage.fields import (
    Either,
    Flag,
    FreeJSON,
    Items,
    Maybe,
    Number,
    Record,
    Text,
    shown,
)
from multidd.storage.limits import (
    Limits,
    load_json,
    open_regular,
    parse_json,
    read_regular,
)
from multidd.storage.schema import Schema, TensorField, forms_of
from tests.golden import tiny
from tests.golden.make_stored_runs import CHECKPOINT, STORED, half_done
from tests.golden.runs import RUNS
from tests.toy import FAST, Toy, ToySummary, free

# --- fields of JSON -----------------------------------------------------------

COUNT = Number(low=1, high=9, whole=True)


@pytest.mark.parametrize(
    "field, good, bad",
    [
        (COUNT, [1, 9], [0, 10, 1.0, True, "1", None, 10**400]),
        (Number(low=0), [0, 0.5, 10**9], [-1, float("nan"), float("inf"), 10**400]),
        (Text(choices=("a", "b")), ["a"], ["c", 1, None]),
        (Text(pattern="[0-9]{2}", max_length=5), ["12"], ["123", "x", ""]),
        (Text(max_length=2), ["", "ab"], ["abc", b"a"]),
        (Flag(), [True, False], [0, "true", None]),
        (Maybe(COUNT), [None, 3], [0, "x"]),
        (Either(COUNT, Text()), [3, "x"], [0, None, []]),
        (Items(COUNT, 1, 2), [[1], [1, 2], (3,)], [[], [1, 2, 3], [0], "1", {}]),
        (FreeJSON(max_depth=1, max_items=2), [1, [1, 2]], [[[1]], [1, 2, 3]]),
        (FreeJSON(), [{"a": [None]}], [float("nan"), [float("inf")]]),
        (Record({"a": COUNT}), [{"a": 1}], [{}, {"a": 0}, {"a": 1, "b": 1}, []]),
        (Record({"a": COUNT}, frozenset("a")), [{}, {"a": 1}], [{"a": 0}]),
        (Record(others=COUNT), [{}, {"b": 1}], [{"b": 0}, None]),
        (Items(COUNT, 2, 2), [[1, 2]], [[1], [1, 2, 3]]),
    ],
)
def test_a_field_takes_what_it_says(field: Any, good: list, bad: list) -> None:
    for value in good:
        assert field.fault(value, "card.x") is None, value
    for value in bad:
        fault = field.fault(value, "card.x")
        assert fault is not None and fault.startswith("card.x"), value
        assert len(fault) < 1000
    assert str(field)


def test_a_record_of_too_many_other_keys() -> None:
    record = Record(others=COUNT, max_others=2)
    assert record.fault({"a": 1, "b": 1}, "card.x") is None
    fault = record.fault(dict.fromkeys("abc", 1), "card.x")
    assert fault == "card.x has 3 other keys; at most 2"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**40, "a number of 34 hexadecimal digits"),
        (dict.fromkeys(map(str, range(61))), "a dict of 61 items"),
        ([0] * 61, "a list of 61 items"),
        ("a" * 90, '"' + "a" * 59 + "..."),
    ],
)
def test_values_are_shown_in_a_few_letters(value: Any, text: str) -> None:
    assert shown(value) == text


def test_settings_of_a_protocol_are_bounded_each() -> None:
    assert set(PROTOCOL.fields) == {one.name for one in fields(Protocol)}
    for modality in ("graph", "images", "recsys", "text"):
        for evaluator in multidd.modality.parts(modality).evaluators.values():
            for protocol in evaluator.protocols.values():
                settings = json.loads(json.dumps(vars(protocol)))
                assert PROTOCOL.fault(settings, "protocol") is None
    fault = PROTOCOL.fault({"name": "x", "epochs": 10**9}, "card.protocol")
    assert fault == (
        "card.protocol.epochs is 1000000000; it must be a whole number in 0..10,000,000"
    )


# --- tensors ------------------------------------------------------------------

PARTS: dict[str, TensorField] = {
    "x": TensorField(("m", "d")),
    "y": TensorField(("m",), ("I64",), low=0, below="classes"),
    "ends": TensorField(("e",), ("I64",), rises="d", optional=True),
    "weight": TensorField(("m",), positive=True, optional=True),
}
SCHEMA = Schema(
    Record({"classes": COUNT}),
    lambda info, forms: PARTS,
    lambda info: {"classes": info["classes"]},
    decoded_bytes=lambda info, forms: 2 * forms["x"].shape[0],
)
GOOD = {"x": torch.ones(2, 3), "y": torch.tensor([0, 1])}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": None}, "no tensor x"),
        ({"z": torch.ones(1)}, "unknown tensor 'z'; known here are x, y"),
        ({"x": torch.ones(2, 3).double()}, r"'x' is torch.float64 \[2, 3\]; x must"),
        ({"x": torch.ones(2)}, r"with 2 axes"),
        ({"x": torch.ones(2, 0)}, "with d of 1 or more"),
        ({"y": torch.tensor([0])}, r"'y' is torch.int64 \[1\].*m = 2, as in 'x'"),
        ({"y": torch.tensor([0, 4])}, "run from 0 to 4, the most is 4; y must.* = 4"),
        ({"y": torch.tensor([-1, 3])}, "the least is -1"),
        ({"ends": torch.tensor([0, 4, 3])}, "'ends' falls.*rise from 0 to d = 3"),
        ({"ends": torch.tensor([0, 2])}, "ends must rise"),
        ({"weight": torch.zeros(2)}, "'weight' has.*above 0"),
    ],
)
def test_a_tensor_that_does_not_fit(change: dict, message: str, tmp_path: Path) -> None:
    tensors = {n: t for n, t in (GOOD | change).items() if t is not None}
    with pytest.raises(
        SchemaError, match=f"a.file does not fit its schema: .*{message}"
    ):
        SCHEMA.check("a.file", {"classes": 4}, tensors)
    path = tmp_path / "a.file"
    files.write(path, tensors, {"classes": 4}, kind="note")
    with pytest.raises(
        SchemaError, match=f"a.file does not fit its schema: .*{message}"
    ):
        files.read(path, schema=SCHEMA)


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.file"
    files.write(path, GOOD, {"classes": 4}, kind="note")
    tensors, _ = files.read(path, kind="note", schema=SCHEMA)
    assert forms_of(tensors) == forms_of(GOOD)
    with pytest.raises(
        SchemaError, match="take 4 bytes .*more than 3; .*decoded_bytes"
    ):
        files.read(path, schema=SCHEMA, limits=Limits(decoded_bytes=3))


def test_types_are_refused_before_a_tensor_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.file"
    files.write(path, GOOD | {"z": torch.ones(2)}, {"classes": 4}, kind="note")
    monkeypatch.setattr("safetensors.torch.load", pytest.fail)
    with pytest.raises(SchemaError, match="unknown tensor 'z'"):
        files.read(path, schema=SCHEMA)


# --- limits -------------------------------------------------------------------


def test_json_within_limits() -> None:
    few = Limits(json_depth=3, json_items=5)
    assert parse_json('{"a": [[1, "[[[[", "\\"[[["]]}', few) == {
        "a": [[1, "[[[[", '"[[[']]
    }
    with pytest.raises(ValueError, match='nested 4 deep in "b", more than 3.*raise'):
        parse_json('{"a": 1, "b": [[[1]]]}', few)
    with pytest.raises(ValueError, match="has 6 items, more than 5.*json_items"):
        parse_json("[1, 2, 3, 4, 5, 6]", few)
    deep = "[" * 10**6
    with pytest.raises(ValueError, match="nested 1000000 deep"):
        parse_json(deep)


def test_limits_are_settable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    files.write(path, {}, {"a": [[[1]]]}, kind="note")
    files.read(path)
    with pytest.raises(CorruptFileError, match=r"nested 4 deep.*MULTIDD_LIMITS"):
        files.read(path, limits=Limits(json_depth=3))
    with pytest.raises(CorruptFileError, match="its header takes .* more than 20"):
        files.peek(path, limits=Limits(header_bytes=20))
    monkeypatch.setenv("MULTIDD_LIMITS", "json_depth=3, json_items=100")
    with pytest.raises(CorruptFileError, match="nested 4 deep"):
        files.read(path)
    for text in ("depth=3", "json_depth", "json_depth=-1"):
        monkeypatch.setenv("MULTIDD_LIMITS", text)
        with pytest.raises(ValueError, match="must be like 'json_depth=100'"):
            Limits.current()
    with pytest.raises(ValueError, match="json_depth must be a whole number of 1"):
        Limits(json_depth=0)


def test_a_summary_is_loaded_within_limits() -> None:
    with pytest.raises(SchemaError, match=r"records take .* bytes once card.decoder"):
        multidd.load(STORED / "images-idc", limits=Limits(decoded_bytes=1000))
    multidd.load(STORED / "images-idc", limits=Limits(decoded_bytes=10**5))


def test_a_file_larger_than_asked_for_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_regular(tmp_path / "a", 5) == b"12345"
    with pytest.raises(StorageError, match="/a: it takes 5 bytes, more than 4; if the"):
        read_regular(tmp_path / "a", 4)


@pytest.mark.parametrize("shape", ["pipe", "folder", "link to a device"])
def test_only_regular_files_are_opened(shape: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    if shape == "pipe":
        os.mkfifo(path)
    elif shape == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    noun = shape.removeprefix("link to a ")
    for reader in (load_json, files.read, files.peek):
        with pytest.raises(StorageError, match=f"/a: not a file but a {noun[:4]}"):
            reader(path)
    with pytest.raises(FileNotFoundError, match="no file"), open_regular("/none"):
        pass


def test_fields_say_what_they_take() -> None:
    assert str(TensorField(("m",), ("I64",), high=3)) == "torch.int64 [m], at most 3"
    anything = TensorField(None, ())
    assert str(anything) == "any type of any shape"
    forms = forms_of({"x": torch.ones(2, 3)})
    assert anything.form_fault(forms["x"], {}, {}) is None
    rows = dict(SCHEMA.rows({"classes": 4}, forms))
    assert rows["classes"] == str(COUNT) and rows["x"] == str(PARTS["x"])
    nested = Schema(Record({"card": Record({"classes": COUNT}), "seed": COUNT}))
    assert dict(nested.rows({}, {})) == dict.fromkeys(
        ("card.classes", "seed"), str(COUNT)
    )


# --- what the library does with such files ------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_what_was_stored_fits_its_schema(name: str) -> None:
    summary = multidd.load(STORED / name)
    assert summary.schema.tensors is not None


def resealed(tmp_path: Path, name: str, change: Any) -> Path:
    """A stored summary with a changed card, sealed anew."""
    path = STORED / name / "summary.safetensors"
    kind, _, info = files.peek(path)
    tensors, _ = files.read(path)
    change(info["card"], tensors)
    files.write(tmp_path / "a.safetensors", tensors, info, kind=kind)
    return tmp_path / "a.safetensors"


def put(key: str, value: Any) -> Any:
    def change(card: dict, tensors: dict) -> None:
        *above, last = key.split(".")
        for part in above:
            card = card[part]
        card[last] = value

    return change


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("graph-kmeans", put("steps", -1), "card.steps is -1; it must be a whole"),
        ("graph-kmeans", put("notes", 1), 'card has the unknown field "notes"'),
        ("graph-kmeans", put("source.classes", 2), "'y' has.*below classes = 2"),
        ("images-dm", put("source.labels", [0]), "card.source.labels has 1 entries"),
        ("images-idc", put("decoder.factor", 9), "decoder.factor is 9; images of"),
        ("images-idc", put("decoder.kind", "x"), "card.decoder.kind is 'x'; this"),
        ("images-dm", put("protocol", {"name": "p", "epochs": 1e9}), "protocol.epochs"),
        ("images-dm", put("protocol", {"name": "p", "augment": "x"}), "augment is 'x'"),
        ("text-kip", put("settings.kernel.depth", 10**6), "settings.kernel.depth is"),
        ("text-tbptt", put("settings.inner_steps", 10**9), "settings.inner_steps"),
        ("recsys-kmeans", put("source.item_type", "x"), "item_type.*one of 'int'"),
    ],
)
def test_a_card_that_does_not_fit(
    name: str, change: Any, message: str, tmp_path: Path
) -> None:
    path = resealed(tmp_path, name, change)
    with pytest.raises(SchemaError, match=rf"a\.safetensors does not fit.*{message}"):
        multidd.load(path)


def test_a_card_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors, _ = files.read(STORED / "graph-kmeans" / "summary.safetensors")
    files.write(path, tensors, {"card": 3}, kind="graph")
    with pytest.raises(SchemaError, match=r"a\.safetensors does not fit.*card is 3; "):
        multidd.load(path)


def test_a_number_noted_as_a_score_is_taken(tmp_path: Path) -> None:
    path = resealed(tmp_path, "graph-kmeans", put("score", {"gcn": 0.5}))
    assert multidd.load(path).card.score == {"gcn": 0.5}


def test_what_only_the_class_can_tell_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True, eq=False, repr=False)
    class Picky(ToySummary):
        def __post_init__(self) -> None:
            if "z" in self.tensors:
                raise ValueError("z must not be there")

    monkeypatch.setattr("multidd.summary._class_of", lambda kind, path: Picky)
    card = multidd.load(STORED / "graph-kmeans").card
    path = Picky({"x": torch.ones(2)}, card).save(tmp_path)
    assert type(multidd.load(path)) is Picky
    with pytest.raises(NotImplementedError, match="a toy summary has no picture"):
        multidd.load(path).plot()
    kind, _, info = files.peek(path)
    files.write(path, {"x": torch.ones(2), "z": torch.ones(2)}, info, kind=kind)
    with pytest.raises(SchemaError, match=f"{path.name} does not fit.*: z must not"):
        multidd.load(path)


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    summary = multidd.load(STORED / "graph-kmeans")
    odd = type(summary)(summary.tensors | {"z": torch.ones(1)}, summary.card)
    with pytest.raises(SchemaError, match="unknown tensor 'z'"):
        odd.save(tmp_path)
    y = summary.tensors["y"] + 9
    odd = type(summary)(summary.tensors | {"y": y}, summary.card)
    with pytest.warns(MultiddWarning, match="will not be read again.*'y'"):
        odd.save(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"params::x": torch.ones(9, 8)},
            r"'params::x' is torch.float32 \[9, 8\], and",
        ),
        ({"params::y": torch.full((6,), 9)}, "'params::y' holds 9; it must be 2 or"),
        ({"params::y": -torch.ones(6).long()}, "'params::y' holds -1; it must be 0 or"),
        ({"moments::x::square": None}, r"'moments::x::square' is \(absent\), and in"),
        ({"extra": torch.ones(2)}, r"info.order does not name each tensor once"),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    change: dict, message: str, tmp_path: Path
) -> None:
    half_done(RUNS["graph-doscond"], tmp_path)
    path = tmp_path / CHECKPOINT
    tensors, content = files.read(path)
    dropped = [name for name, tensor in change.items() if tensor is None]
    order = [name for name in content["info"]["order"] if name not in dropped]
    content["info"]["order"] = order
    tensors = {n: t for n, t in (tensors | change).items() if n not in dropped}
    files.write(path, tensors, content, kind="checkpoint")
    errors = (CheckpointMismatchError, SchemaError)
    with pytest.raises(errors, match=f"{CHECKPOINT}.*{message}"):
        RUNS["graph-doscond"](checkpoint=str(tmp_path))
    assert path.exists()


def test_what_a_checkpoint_says_of_the_run_fits_it(tmp_path: Path) -> None:
    half_done(RUNS["graph-doscond"], tmp_path)
    path = tmp_path / CHECKPOINT
    tensors, content = files.read(path)
    info, errors = content["info"], (CheckpointMismatchError, SchemaError)

    def refused(step: int = content["step"], **changes: Any) -> str:
        target = tmp_path / f"step-{step:08d}.safetensors"
        changed = {"step": step, "info": info | changes}
        files.write(target, tensors, changed, kind="checkpoint")
        with pytest.raises(errors, match=target.name) as error:
            RUNS["graph-doscond"](checkpoint=str(tmp_path))
        return str(error.value)

    twice = [info["order"][0], *info["order"]]
    assert "order does not name each tensor once: '" in refused(order=twice)
    assert "info.stale is 99 after " in refused(stale=99)
    assert "info.best_score is a number, and this run has" in refused(best_score=0.5)
    assert "step is 99, and this run has " in refused(step=99)


def test_a_state_with_lists_of_varying_length_goes_on(tmp_path: Path) -> None:
    """The records nearest to the centers of clusters may coincide."""
    objective = Representative(DistributionMatching(), per_class=4, every=1)
    options: dict[str, Any] = {"steps": 8, "optimizer": FAST, "progress": False}

    def run(folder: Path, **more: Any) -> Any:
        settings = RunOptions(**more)
        return distill(
            Toy(), objective, free(), **options, checkpoint=str(folder), run=settings
        )

    whole = run(tmp_path / "whole")
    run(tmp_path / "half", timeout=0.0)
    path = next((tmp_path / "half").glob("step-*"))
    tensors, content = files.read(path)
    assert "state::rows" in tensors
    assert run(tmp_path / "half").digest() == whole.digest()
    shutil.rmtree(tmp_path / "half")
    run(tmp_path / "half", timeout=0.0)
    tensors["state::rows"] = tensors["state::rows"] + 10**6
    files.write(path, tensors, content, kind="checkpoint")
    with pytest.raises(CheckpointMismatchError, match=f"{path.name}.*'state::rows'"):
        run(tmp_path / "half")
    tensors["state::rows"] = tensors["state::rows"][:1] * 0
    files.write(path, tensors, content, kind="checkpoint")
    run(tmp_path / "half", timeout=0.0)


def test_a_cached_result_that_does_not_fit_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))
    number = Record({"accuracy": Number()})
    cache.write_cached("whole", {"a": 1}, {"accuracy": "high"})
    (path,) = tmp_path.rglob("*.json")
    with pytest.warns(
        MultiddWarning, match=rf"{path.name}.*value.accuracy is \"high\""
    ):
        assert cache.read_cached("whole", {"a": 1}, number) is None
    cache.write_cached("whole", {"a": 1}, {"accuracy": float("nan")})  # is left out
    assert "high" in path.read_text()
    path.unlink()
    os.mkfifo(path)
    with pytest.warns(MultiddWarning, match="not a file but a pipe"):
        assert cache.read_cached("whole", {"a": 1}) is None


def test_kept_features_that_do_not_fit_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from multidd.text.models.feature_cache import features

    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))
    encoder, texts = tiny.encoder(), tiny.texts()[0]
    x = features(encoder, texts)
    (path,) = tmp_path.rglob("*.safetensors")
    files.write(path, {"features": x.double()}, {"cut": 0}, kind="text features")
    with pytest.warns(MultiddWarning, match=rf"{path.name} does not fit.*'features'"):
        assert torch.equal(features(encoder, texts), x)
    shutil.rmtree(tmp_path / "multidd")


# --- the docs -----------------------------------------------------------------


def test_the_docs_name_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs/concepts/files.md").read_text()
    for name in RUNS:
        path = STORED / name / "summary.safetensors"
        schema, (_, _, info) = multidd.load(path).schema, files.peek(path)
        for field, _ in schema.rows(info, forms_of(files.read(path)[0])):
            last = field.rpartition(".")[2] if field.startswith("card.") else field
            last = last.replace("/1.", "/0.").replace("/2.", "/0.")
            assert f"`{last}`" in page, (name, field)
    for one in fields(Limits):
        assert f"| `{one.name}` | {one.default:,} |" in page
