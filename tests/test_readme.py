"""The README's own steps, followed: its objective and its modality are made and run."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd import modality
from multidd.cli import main
from multidd.learning.states import Fresh
from multidd.parameterizations import Free
from multidd.selection.basic import Random
from tests import registry

README = Path(__file__).parents[1] / "README.md"


def block(name: str, language: str = "python") -> str:
    """The one code block of that name, without its indent."""
    fence = rf"^( *)```{language} {name}\n(.*?)^ *```$"
    blocks = re.findall(fence, README.read_text(), re.S | re.M)
    assert len(blocks) == 1, f"the README has {len(blocks)} blocks named {name}"
    indent, text = blocks[0]
    return re.sub(rf"^{indent}", "", text, flags=re.M)


def test_add_an_objective() -> None:
    """The README's objective matches on the shipped Cora, twice to the same bits."""
    names: dict[str, object] = {"__name__": "readme_objective"}
    sys.modules["readme_objective"] = type(sys)("readme_objective")
    try:
        exec(compile(block("objective"), "README.md", "exec"), names)
    finally:
        del sys.modules["readme_objective"]
    task = multidd.graph.NodeTask.of(multidd.samples.cora())
    objective = names["LossMatching"](states=Fresh(num_models=2))
    free = Free(Random(), (2,) * 7)
    summaries = [multidd.distill(task, objective, free, steps=3) for _ in range(2)]
    assert summaries[0].digest() == summaries[1].digest()
    assert summaries[0].card.history[-1] != summaries[0].card.history[0]


@pytest.fixture
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The README's modality, installed as a package of its own."""
    project = tomllib.loads(block("entry", "toml"))["project"]
    (tmp_path / "my_vectors.py").write_text(block("modality"))
    registry.install(tmp_path, project["name"], project["entry-points"])
    with registry.on_path(tmp_path, monkeypatch):
        yield multidd.vectors


def test_add_a_modality(vectors: Any, tmp_path: Path) -> None:
    """The README's modality distills, evaluates, saves and loads."""
    names: dict[str, Any] = {}
    exec(compile(block("use"), "README.md", "exec"), names)
    assert names["report"].accuracy("nearest-mean") > 0.8
    path = names["summary"].save(tmp_path / "v.safetensors")
    again = multidd.load(path)
    assert isinstance(again, vectors.VectorSummary)
    assert torch.equal(again.tensors["x"], names["summary"].tensors["x"])


def test_its_commands(
    vectors: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The README's commands, one after the other; `demo` shows this modality alone."""
    entries = [e for e in modality.with_parts() if e[0].name == "vectors"]
    monkeypatch.chdir(tmp_path)
    said = {}
    for line in block("commands", "bash").splitlines():
        words = line.split()
        if words[1] == "demo":
            monkeypatch.setattr(modality, "with_parts", lambda: entries)
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as exit_:
            main.main()
        said[words[1]] = capsys.readouterr().out
        assert not exit_.value.code, line
    assert "vectors   match" in said["methods"] and "graph     gcond" in said["methods"]
    assert "summary, report and settings: runs/vectors\n" in said["distill"]
    summary = multidd.load("runs/vectors")
    assert (summary.card.method, summary.card.steps, len(summary.tensors["y"])) == (
        "match",
        10,
        9,
    )
    assert summary.card.score is not None  # `evaluate` found its data
    assert "Model nearest-mean" in said["curve"]
    assert (tmp_path / "runs/vectors-curve/curve.png").is_file()
    assert "clusters 2 match" in said["bench"]
    assert "90 vectors, distilled to 6 ..." in said["demo"]
    assert multidd.load("runs/demo/vectors").card.steps == 20


def test_it_has_options_of_its_own(
    vectors: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--help` lists it beside the others, with its options in a group of their own."""
    monkeypatch.setenv("COLUMNS", "100")
    said = {}
    for group, command in ("distill", ""), ("distill", "vectors"), ("curve", "vectors"):
        words = ["multidd", group, *command.split(), "--help"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            main.main()
        said[group, command] = capsys.readouterr().out
    assert "Distill labelled vectors, to --per-class." in said["distill", ""]
    rows = re.findall(r"^  (?:-h, )?--([a-z-]+) ", said["distill", "vectors"], re.M)
    names = "method steps set data per-class out seed config quiet json log-json help"
    assert rows == names.split()
    assert (
        "Scores against per_class: a table and a picture." in said["curve", "vectors"]
    )


def test_the_methods_table_names_every_method() -> None:
    """Every method of every modality stands in the README."""
    text = README.read_text()
    methods = [*multidd.graph.METHODS, *multidd.images.METHODS]
    missing = [name for name in methods if f"`{name}`" not in text]
    assert not missing


def test_the_readme_names_every_public_name() -> None:
    """A public name that the README does not tell of is not public."""
    text = README.read_text()
    names = [
        *multidd.__all__,
        *multidd.graph.__all__,
        *multidd.images.__all__,
        *multidd.kernels.__all__,
        *multidd.learning.__all__,
        *multidd.objectives.__all__,
        *multidd.parameterizations.__all__,
        *multidd.samples.__all__,
        *multidd.selection.__all__,
    ]
    missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
    assert not missing
