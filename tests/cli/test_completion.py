"""Shells complete names without loading what they name."""

import subprocess
import sys
from pathlib import Path

import pytest

from multidd import modality
from multidd.cli import completion
from multidd.summary import DataSummary

HEAVY = {"torch", "numpy", "pandas", "scipy", "transformers", "matplotlib", "rich"}


@pytest.mark.parametrize("name", modality.own_names())
def test_entries_list_what_there_is(name):
    entry, parts = modality.entry(name), modality.parts(name)
    evaluators = parts.evaluators.values()
    assert list(entry.listed.methods) == list(parts.methods)
    models = [model for one in evaluators for model in one.models]
    assert list(entry.listed.models) == list(dict.fromkeys(models))
    protocols = [protocol for one in evaluators for protocol in one.protocols]
    assert list(entry.listed.protocols) == list(dict.fromkeys(protocols))
    data = {
        one.partition(":")[0] if one.startswith("sample:") else one
        for one in entry.listed.data
    }
    assert data == {
        one.removesuffix(":") if one == "sample:" else one for one in parts.data_names
    }
    assert issubclass(parts.summaries[name], DataSummary)


def complete(words: str, index: int) -> list[str]:
    """What bash is told: the command in this process, by typer's own protocol."""
    code = (
        "import os, sys; sys.argv = ['multidd']; "
        "from multidd.cli.main import main\n"
        "try: main()\n"
        "finally: print('HEAVY', sorted({*%r} & {*sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code % sorted(HEAVY)],
        env={
            "_MULTIDD_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(index),
            "PATH": "/usr/bin:/bin",
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "HEAVY []" in done.stderr, done.stderr
    return done.stdout.split()


def test_bash_completes_a_method_without_torch():
    assert complete("multidd distill images --method i", 4) == [
        "idm",
        "iid",
        "idc",
        "itgan",
    ]


def test_names():
    assert completion.complete_methods("geo") == ["geom"]
    assert completion.complete_methods("text.to") == ["text.tokens"]
    assert completion.starting(["gcn", "sgc"], "gcn,") == ["gcn,sgc"]


def test_models_are_those_of_the_runs_modality(tmp_path):
    class Context:
        params = {"folder": tmp_path}

    every = completion.complete_models(Context, "")
    assert "gcn" in every and "convnet" in every and every.count("mlp") == 1
    (tmp_path / "run.toml").write_text('modality = "graph"\n')
    ours = completion.complete_models(Context, "")
    assert "gcn" in ours and "convnet" not in ours
    assert completion.complete_protocols(Context, "") == ["gcond", "doscond"]
    (tmp_path / "run.toml").write_text("modality = ")
    assert completion.complete_models(Context, "") == every


def test_data_are_names_and_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "cora.csv").write_text("")
    complete = completion.of_entry(modality.entry("graph"), "data")
    assert complete("co") == ["cora", "cora.csv", "corpus/"]
    assert "pubmed" in complete("") and "cora.csv" not in complete("")
