"""The pages: their objective and modality are made and run, and they name everything.

The code of the other pages runs when they are built (`make docs`).
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd import errors, modality
from multidd.cli import main
from multidd.kernels import SolveError
from multidd.learning.states import Fresh
from multidd.parameterizations import Free
from multidd.selection.basic import Random
from tests import registry
from tests.source import MODULES, ROOT, tree

DOCS = ROOT / "docs"
WRITTEN = [
    path
    for path in sorted(DOCS.rglob("*.md"))
    if not {"api", "gallery", "tables"} & set(path.relative_to(DOCS).parts)
]
"""Pages that are not written by a build."""


def block(name: str, language: str = "python") -> str:
    """The one code block of that name, without its indent."""
    fence = rf"^( *)```{language} {name}\n(.*?)^ *```$"
    text = "\n".join(page.read_text() for page in sorted(DOCS.glob("extend/*.md")))
    blocks = re.findall(fence, text, re.S | re.M)
    assert len(blocks) == 1, f"docs/extend has {len(blocks)} blocks named {name}"
    indent, text = blocks[0]
    return re.sub(rf"^{indent}", "", text, flags=re.M)


def test_add_an_objective() -> None:
    """The page's objective matches on the shipped Cora, twice to the same bits."""
    names: dict[str, object] = {"__name__": "page_objective"}
    sys.modules["page_objective"] = type(sys)("page_objective")
    try:
        exec(compile(block("objective"), "docs/extend", "exec"), names)
    finally:
        del sys.modules["page_objective"]
    task = multidd.graph.NodeTask.of(multidd.samples.cora())
    objective = names["LossMatching"](states=Fresh(num_models=2))
    free = Free(Random(), (2,) * 7)
    summaries = [multidd.distill(task, objective, free, steps=3) for _ in range(2)]
    assert summaries[0].digest() == summaries[1].digest()
    assert summaries[0].card.history[-1] != summaries[0].card.history[0]


@pytest.fixture
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The page's modality, installed as a package of its own."""
    project = tomllib.loads(block("entry", "toml"))["project"]
    (tmp_path / "my_vectors.py").write_text(block("modality"))
    registry.install(tmp_path, project["name"], project["entry-points"])
    with registry.on_path(tmp_path, monkeypatch):
        yield multidd.vectors


def test_add_a_modality(vectors: Any, tmp_path: Path) -> None:
    """The page's modality distills, evaluates, saves and loads."""
    names: dict[str, Any] = {}
    exec(compile(block("use"), "docs/extend", "exec"), names)
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
    """The page's commands, one after the other; `demo` shows this modality alone."""
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
    names = "method preset steps set data per-class out seed config ranks workers"
    assert rows == [*names.split(), "quiet", "json", "log-json", "help"]
    assert (
        "Scores for each per_class: a table, and a picture against bytes."
        in said["curve", "vectors"]
    )


def test_the_guides_name_every_method() -> None:
    """Every method of every modality stands in its guide."""
    missing = []
    for kind in "graph", "images", "recsys", "text":
        text = (DOCS / "guides" / f"{kind}.md").read_text()
        methods = getattr(multidd, kind).METHODS
        missing += [f"{kind}.{name}" for name in methods if f"`{name}`" not in text]
    assert not missing


def test_the_pages_name_every_public_name() -> None:
    """A public name that no page tells of is not public."""
    text = "\n".join(page.read_text() for page in WRITTEN)
    names = [
        *multidd.__all__,
        *multidd.graph.__all__,
        *multidd.images.__all__,
        *multidd.kernels.__all__,
        *multidd.learning.__all__,
        *multidd.objectives.__all__,
        *multidd.parallel.__all__,
        *multidd.parameterizations.__all__,
        *multidd.samples.__all__,
        *multidd.selection.__all__,
        *multidd.sketches.__all__,
    ]
    missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_every_page_is_in_a_table_of_contents() -> None:
    """A page that nothing leads to is found by nobody."""
    listed = set()
    for page in WRITTEN:
        trees = re.findall(r"^```{toctree}\n(.*?)```", page.read_text(), re.S | re.M)
        names = [name for name in "".join(trees).split() if not name.startswith(":")]
        paths = [(page.parent / name).relative_to(DOCS) for name in names]
        listed |= {path.as_posix() for path in paths}
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in WRITTEN}
    assert listed - pages == {"gallery/index", "api/index"}  # a build writes these
    assert pages - listed == {"index"}


def error_classes() -> dict[str, type]:
    """Errors and warnings of the library's own, by name."""
    bases = (errors.MultiddError, errors.MultiddWarning, errors.RunInterrupted)
    values = [*vars(errors).values(), *vars(multidd.kernels).values(), SolveError]
    return {
        value.__name__: value
        for value in values
        if isinstance(value, type) and issubclass(value, bases)
    }


def pieces(node: ast.expr) -> list[str]:
    """The constant pieces of a text that is put together."""
    if isinstance(node, ast.BinOp):
        return [*pieces(node.left), *pieces(node.right)]
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    constants = [v.value for v in values if isinstance(v, ast.Constant)]
    return [value for value in constants if isinstance(value, str)]


def messages() -> dict[str, set[str]]:
    """Class -> what its messages are known by: the longest constant piece of each."""
    names = error_classes()
    texts: dict[str, set[str]] = {}
    for path in MODULES.values():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            if name == "warn":
                name = ast.unparse(node.args[1])
            name = "MultiddWarning" if name == "warn_caller" else name
            longest = max(pieces(node.args[0]), key=len, default="")
            text = " ".join(longest.strip(" ;:,()").split())
            if name in names and len(text) > 6:
                texts.setdefault(name, set()).add(text)
    return texts


def test_every_error_has_an_entry() -> None:
    """Every class, and every sentence that is raised as one, with its cure."""
    page = (DOCS / "troubleshooting.md").read_text()
    sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", page, re.S | re.M))
    headless = {"StorageError", "MultiddError", "MultiddWarning"}
    assert set(sections) == set(error_classes()) | headless
    known = messages()
    assert len(known) > 12 and sum(map(len, known.values())) > 80
    missing = {
        f"{name}: {text}"
        for name, texts in known.items()
        for text in texts
        if f"{text}" not in sections[name]
    }
    assert not missing
