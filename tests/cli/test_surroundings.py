"""What stands around a command costs no finished run: pictures, homes, encodings."""

import os
import pathlib
import subprocess
import sys

import pytest
import torch

import multidd
from multidd.graph.summary.summary import GraphSummary
from multidd.storage import cache

WORDS = "distill graph --data sample:cora --method random --nodes 14 --quiet --out"


def test_a_picture_that_cannot_be_drawn_is_a_warning(call, tmp_path, monkeypatch):
    def plot(*_, **__):
        raise ZeroDivisionError("no room for an axis")

    monkeypatch.setattr(GraphSummary, "plot", plot)
    code, printed, err = call(*WORDS.split(), tmp_path)
    assert code == 0 and f"summary, report and settings: {tmp_path}" in printed
    assert "the summary is saved, but its picture could not be drawn: Zero" in err
    assert multidd.load(tmp_path).num_nodes == 14


def run(words, **variables):
    env = os.environ | variables
    command = [sys.executable, "-m", "multidd", *map(str, words)]
    return subprocess.run(command, env=env, capture_output=True)


def test_the_backend_of_a_notebook(tmp_path):
    few = "distill recsys --method random --users 10"
    words = [*few.split(), "--quiet", "--out", tmp_path]
    done = run(words, MPLBACKEND="module://no.such.backend")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "summary.png").is_file()


def test_letters_that_the_output_lacks(tmp_path):
    texts = multidd.text.as_texts(["good \U0001f600", "bad \u0431"], [1, 0])
    encoder = multidd.text.Encoder.of()
    multidd.text.random(texts, per_class=1, encoder=encoder).save(tmp_path)
    done = run(["show", tmp_path], PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"good ?" in done.stdout


def test_without_a_home_the_cache_goes_with_the_process(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    for name in ("MULTIDD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pathlib.Path, "home", staticmethod(home))
    cache.write_cached("test", {"a": 1}, {"b": 2})
    assert cache.read_cached("test", {"a": 1}) == {"b": 2}
    assert cache.folder().is_relative_to(cache.folder().parent)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    summary = multidd.graph.random(multidd.samples.cora(), per_class=1)
    saved = summary.save("~/runs/a.safetensors")
    assert saved == home / "runs/a.safetensors"
    assert multidd.load("~/runs/a.safetensors").digest() == summary.digest()
    task = multidd.graph.NodeTask.of(multidd.samples.cora())
    free = multidd.parameterizations.Free(multidd.selection.Random(), (1,) * 7)
    matching = multidd.objectives.GradientMatching()
    options = {"steps": 1, "progress": False, "checkpoint": "~/runs/steps"}
    multidd.distill(task, matching, free, **options)
    assert (home / "runs/steps/step-00000001.safetensors").is_file()
    assert list(here.iterdir()) == []


@pytest.mark.changes_globals("the default dtype")
def test_a_command_within_a_program_that_changed_the_dtype(call, tmp_path):
    torch.set_default_dtype(torch.float64)
    try:
        assert call(*WORDS.split(), tmp_path)[0] == 0
    finally:
        torch.set_default_dtype(torch.float32)
    same = multidd.graph.random(multidd.samples.cora(), nodes=14)
    assert multidd.load(tmp_path).digest() == same.digest()
