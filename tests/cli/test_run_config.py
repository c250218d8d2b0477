"""`run.toml`: written beside each run, and read to repeat it bit for bit."""

import json
import shutil
import tomllib

import pytest
import tomli_w

import multidd
from multidd import modality
from multidd.cli import run_config
from tests.cli import logs

FEW = ["--method", "dm", "--steps", "2", "--set", "width=4", "--set", "batch_size=8"]
FEW += ["--quiet"]
DISTILL = ["distill", "images", "--data", "sample:fashion", "--ipc", "1", *FEW]
DISTILL += ["--method", "dm"]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder for the run that others repeat."""
    return tmp_path_factory.mktemp("first") / "run"


@pytest.fixture
def images(call, first):
    """A short run, made once."""
    if not first.exists():
        assert call(*DISTILL, "--out", first)[0] == 0
    return first


def digest(folder):
    return multidd.load(folder).digest()


def changed(folder, copy, **changes):
    """A copy of the file with other values; None takes a key away."""
    content = tomllib.loads((folder / "run.toml").read_text("utf-8"))
    for key, value in changes.items():
        *path, last = key.split("__")
        table = content
        for part in path:
            table = table[part]
        if value is None:
            del table[last]
        else:
            table[last] = value
    copy.mkdir(exist_ok=True)
    (copy / "run.toml").write_text(tomli_w.dumps(content), "utf-8")
    return copy / "run.toml"


def test_a_run_is_repeated_bit_for_bit(call, images, tmp_path):
    content = tomllib.loads((images / "run.toml").read_text("utf-8"))
    assert content["options"]["ipc"] == 1 and content["steps"] == 2
    settings = content["settings"]
    assert (settings["width"], settings["momentum"]) == (4, 0.5)
    assert settings["threads"] == multidd.load(images).card.threads
    again = ["--quiet", "--out", tmp_path / "again"]
    code, _, err = call("distill", "--config", images / "run.toml", *again)
    assert (code, err) == (0, "")
    assert digest(tmp_path / "again") == digest(images)
    twin = tmp_path / "again/run.toml"
    assert twin.read_bytes() == (images / "run.toml").read_bytes()


def test_the_command_line_wins(call, images, tmp_path):
    """The folder will do for the file, and the modality may be named."""
    words = ["distill", "images", f"--config={images}", "--quiet", "--json"]
    words += ["--seed", "5", "--ipc", "2", "--set", "width=8", "--steps", "1"]
    code, printed, _ = call(*words, "--out", tmp_path / "other")
    assert code == 0
    assert json.loads(printed)["steps"] == 1
    summary = multidd.load(tmp_path / "other")
    assert (summary.num_images, summary.card.seed) == (20, 5)
    settings = summary.card.settings
    assert (settings["width"], settings["batch_size"]) == (8, 8)


def test_out_is_relative_to_the_file(call, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = changed(images, tmp_path / "there", out="../results")
    assert call("distill", "--config", file, "--quiet")[0] == 0
    assert digest(tmp_path / "results") == digest(images)


def test_a_file_of_the_users_own(call, events, tmp_path, monkeypatch):
    """Its path is absolute, or relative to the file; other data are refused."""
    there = tmp_path / "run"
    assert call(*logs.quick(events), "--method", "random", "--out", there)[0] == 0
    content = tomllib.loads((there / "run.toml").read_text("utf-8"))
    assert content["options"]["data"] == str(events)
    assert "steps" not in content and "threads" not in content["settings"]
    assert call("distill", "--config", there, "--out", tmp_path / "b")[0] == 0
    assert digest(tmp_path / "b") == digest(there)
    # Beside the file, wherever the command is given.
    shutil.copy(events, tmp_path / "beside.parquet")
    file = changed(there, tmp_path / "c", options__data="../beside.parquet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("distill", "--config", file)[0] == 0
    assert digest(tmp_path / "c") == digest(there)
    (tmp_path / "elsewhere/mine.parquet").write_bytes(b"x")
    file = changed(there, tmp_path / "d", options__data="mine.parquet")
    code, _, err = call("distill", "--config", file)
    assert code == 2 and "as data, which lies in the working directory and not" in err
    file = changed(there, tmp_path / "e", data_sha256="0" * 64)
    code, _, err = call("distill", "--config", file)
    assert code == 2 and f"{events} is not what " in err and "0" * 64 in err
    words = ["--data", events, "--out", tmp_path / "f"]
    assert call("distill", "--config", file, *words)[0] == 0


def test_paths_of_settings_are_written_absolute(call, events, tmp_path, monkeypatch):
    """An older summary, named from where the command was given."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(logs.write_run(tmp_path / "old", events), tmp_path / "older")
    words = [*logs.quick(events), "--length", "8", "--users", "12", "--steps", "2"]
    warm = ["--set", "warm_start=older", "--out", "warm"]
    assert call(*words, *warm)[0] == 0
    content = tomllib.loads((tmp_path / "warm/run.toml").read_text("utf-8"))
    assert content["settings"]["warm_start"] == str(tmp_path / "older")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert call("distill", "--config", "../warm", "--out", "again", "--quiet")[0] == 0
    assert digest("again") == digest("../warm")
    file = changed(tmp_path / "warm", tmp_path / "x", settings__warm_start="../older")
    assert run_config.read(file).settings["warm_start"] == str(tmp_path / "x/../older")
    hub = changed(tmp_path / "warm", tmp_path / "y", settings__warm_start="who/what")
    assert run_config.read(hub).settings["warm_start"] == "who/what"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mehtod": "dm"}, "a key 'mehtod', which is none; did you mean method"),
        ({"options__ipcs": 1}, "a key 'options.ipcs', which is none; did you mean ipc"),
        ({"settings__lrr": 1.0}, "dm has no setting 'lrr'; did you mean lr"),
        ({"settings__run": "import os"}, "dm has no setting 'run'"),
        ({"settings__callbacks": ["print"]}, "callbacks takes a Python object"),
        ({"settings__seed": 1}, "seed is no setting of --set; give --seed"),
        (
            {"settings__batch_size": "8"},
            "batch_size must be a whole number or none, got",
        ),
        ({"options__ipc": 1.5}, "options.ipc must be a whole number or none, got 1.5"),
        ({"steps": "2"}, "steps must be a whole number, got '2'"),
        ({"modality": "sound"}, "modality must be one of graph, .*; got 'sound'"),
        ({"modality": None}, "names no modality"),
        ({"settings": 3}, "settings must be a table"),
        ({"data_sha256": 3}, "data_sha256 must be text, got 3"),
        ({"method": "os.system"}, "--method must be one of distill, dm, "),
    ],
)
def test_what_does_not_belong_there_is_refused(
    fails, images, tmp_path, changes, message
):
    file = changed(images, tmp_path / "x", **changes)
    fails(message, "distill", "--config", file, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_such_file_is_refused(fails, images, tmp_path):
    fails("cannot read .*absent.toml", "distill", "--config", tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    for content in (b"modality = ", b"\xff\xfe"):
        broken.write_bytes(content)
        fails("broken.toml is not TOML", "distill", "--config", broken)
    broken.write_bytes(b"#" * (run_config.MAX_BYTES + 1))
    fails("is larger than 1 MiB", "distill", "--config", broken)
    fails("is of the modality 'images'", "distill", "graph", "--config", images)


def test_settings_of_a_table_are_flat():
    table = {"a": 1, "experts": {"count": 2, "trainer": {"epochs": 3}}}
    assert dict(run_config._flat(table)) == {
        "a": 1,
        "experts.count": 2,
        "experts.trainer.epochs": 3,
    }


def test_every_modality_names_its_data():
    """Under one of the names that are paths relative to the file."""
    for entry in modality.entries():
        assert set(run_config.DATA) & set(run_config._hints(entry)), entry.name
