"""The registry: entries that are discovered, refused, and named nowhere else."""

import ast
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import multidd
from multidd import modality
from multidd.errors import (
    MissingPackageError,
    ModalityError,
    MultiddWarning,
    WrongKindError,
    require,
)
from multidd.storage import files
from tests import registry
from tests.source import ADAPTERS, MODULES, ROOT, tree

GROUP = "multidd.modalities"

SOUND = """
from multidd.modality import Curve, Demo, Modality, Parts

class Summary:
    kind = "toy"

class Evaluator:
    models, rows = ("m",), ()

def method(train, *, seed=0):
    "Nothing."

def options(method):
    "Distill toys."
    return {"data": "toys"}, {}

def parts(**changes):
    return Parts(**{
        "summaries": {"toy": Summary},
        "evaluators": {"toy": Evaluator},
        "methods": {"make": method},
        "with_loop": (),
        "load_for_evaluation": lambda name, seed=0: (None, {}),
        **changes,
    })

def entry(parts=parts, **changes):
    return Modality(**{
        "name": "toy",
        "about": "Toys",
        "face": "toys",
        "method": "make",
        "options": options,
        "parts": parts,
        **changes,
    })
"""
"""Module `toys` but for its last line, `ENTRY = entry()`."""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("toys", "entry()")`: a package of that module, its entry so made."""
    with registry.on_path(tmp_path, monkeypatch):

        def install(module: str, entry: str, name: str = "toy") -> None:
            (tmp_path / f"{module}.py").write_text(f"{SOUND}\nENTRY = {entry}\n")
            groups = {GROUP: {name: f"{module}:ENTRY"}}
            registry.install(tmp_path, f"the-{module}", groups)
            modality._claims.cache_clear()

        yield install


def listed() -> tuple[list[str], list[str]]:
    """Names of what loads, and the warnings about what does not."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        names = [entry.name for entry, _ in modality.with_parts()]
    return names, [str(w.message) for w in said if w.category is MultiddWarning]


# --- multidd's own --------------------------------------------------------------------


def test_every_folder_is_registered():
    assert set(modality.own_names()) == ADAPTERS
    for name in modality.own_names():
        entry = modality.entry(name)
        assert entry.face == f"multidd.{name}"
        assert entry.demo and entry.curve and entry.bench
        assert modality.parts(name).methods is getattr(multidd, name).METHODS


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_the_loader_has_its_name_and_the_one_before(name):
    face = getattr(multidd, name)
    assert face.given is face.load_for_evaluation


def test_a_bare_checkout_knows_its_own(tmp_path):
    """Without an installation: -S leaves site-packages and editable finders out."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); from multidd import modality; "
    code += "print(modality.names(), 'torch' in sys.modules)"
    words = [sys.executable, "-S", "-c", code, str(ROOT)]
    said = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert said.stdout.strip() == "['graph', 'images', 'recsys', 'text'] False"


def test_discovering_imports_no_modality(tmp_path):
    code = "import sys; from multidd import modality; modality.names(); "
    code += "print([m for m in sys.modules if m.startswith('multidd.')])"
    words = [sys.executable, "-c", code]
    said = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    loaded = {"multidd._version", "multidd.errors", "multidd.modality"}
    assert set(ast.literal_eval(said.stdout)) == loaded


# --- others ---------------------------------------------------------------------------


def test_a_sound_entry(install):
    install("toys", "entry()")
    assert modality.names() == [*modality.own_names(), "toy"]
    assert multidd.toy.ENTRY is modality.entry("toy")
    assert "toy" in dir(multidd) and "toy" not in multidd.__all__
    assert modality.parts("toy").methods["make"] is multidd.toy.method
    assert listed() == ([*modality.own_names(), "toy"], [])


BROKEN = {
    "does not load .ZeroDivisionError: division by zero.": "1 / 0",
    "is a int, not a multidd.modality.Modality": "1",
    "does not load .TypeError: .*missing 1 required .*'parts'": (
        "Modality('toy', 'Toys', 'toys', 'make', options)"
    ),
    "has an entry that names itself 'toys'": "entry(name='toys')",
    "has options that cannot be called": "entry(options={})",
    "has a demo that is not a multidd.modality.Demo": "entry(demo='make')",
    "has a curve that is not a multidd.modality.Curve": "entry(curve=('make',))",
    "has a bench that is not a multidd.modality.Bench": "entry(bench=3)",
}
LACKING = {
    "does not load .KeyError: 'no'": "entry(lambda: {}['no'])",
    "gives a dict, not multidd.modality.Parts": "entry(dict)",
    "has summaries of the kinds none; they must be 'toy'": (
        "entry(lambda: parts(summaries={}))"
    ),
    "has summaries of the kinds toy, toys; they must be 'toy' and 'toy.<more>'": (
        "entry(lambda: parts(summaries={'toy': Summary, 'toys': Summary}))"
    ),
    "has summaries whose kind is not 'toy.b'": (
        "entry(lambda: parts(summaries={'toy': Summary, 'toy.b': Summary}))"
    ),
    "lacks an evaluator for each kind": "entry(lambda: parts(evaluators={}))",
    "has a load_for_evaluation that cannot be called": (
        "entry(lambda: parts(load_for_evaluation=None))"
    ),
    "names methods under method that it lacks: make": (
        "entry(lambda: parts(methods={}))"
    ),
    "names methods under with_loop that it lacks: a, b": (
        "entry(lambda: parts(with_loop=('b', 'make', 'a')))"
    ),
    "names methods under demo that it lacks: do": "entry(demo=Demo('', 'd', 'do'))",
    "names methods under curve that it lacks: do": (
        "entry(curve=Curve('d', ['make', 'do'], 'n', [1], 'n'))"
    ),
}


@pytest.mark.parametrize("fault", [*BROKEN, *LACKING])
def test_a_broken_entry_is_refused_by_one_sentence(install, fault, tmp_path):
    """It names the package; the modalities beside it work."""
    install("toys", (BROKEN | LACKING)[fault])
    sentence = f"^the modality 'toy' of the package the-toys {fault}"
    with pytest.raises(ModalityError, match=sentence) as error:
        modality.parts("toy")
    assert "\n" not in str(error.value)
    names, said = listed()
    assert names == modality.own_names()
    assert said == [f"{error.value}; it is left out"]
    files.write(tmp_path / "x.safetensors", {}, {"card": {}}, kind="toy")
    with pytest.raises(ModalityError, match=sentence):
        multidd.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_entry_is_no_attribute(install, fault):
    install("toys", BROKEN[fault])
    with pytest.raises(ModalityError, match=fault):
        _ = multidd.toy


def test_a_bench_needs_lines(install):
    install("toys", "entry(bench=__import__('multidd').modality.Bench())")
    with pytest.raises(ModalityError, match="has a bench, but no published LINES"):
        modality.parts("toy")


@pytest.mark.parametrize("name", ["kernels", "cli", "load", "_toy", "my-toy"])
def test_names_that_no_modality_can_have(install, name):
    install("toys", f"entry(name={name!r})", name)
    reason = "has a name that (multidd uses itself|is no attribute)"
    with pytest.raises(
        ModalityError, match=f"{name}' of the package the-toys {reason}"
    ):
        modality.entry(name)


def test_a_name_claimed_twice(install):
    install("toys", "entry()")
    install("games", "entry()")
    with pytest.raises(ModalityError) as error:
        modality.entry("toy")
    sentence = "the packages the-games and the-toys both name a modality 'toy'"
    assert str(error.value) == f"{sentence}; uninstall one"
    assert listed() == (modality.own_names(), [f"{error.value}; it is left out"])


def test_a_name_of_multidd_stays_its_own(install):
    install("toys", "entry(name='graph')", "graph")
    assert modality.entry("graph").face == "multidd.graph"
    names, said = listed()
    assert names == modality.own_names()
    assert said == [
        "the package the-toys names a modality 'graph', which multidd has itself; it "
        "is left out"
    ]


def test_without_a_checkout_the_installed_package_says_what_is_its_own(monkeypatch):
    from importlib import metadata

    monkeypatch.setattr(multidd, "CHECKOUT", None)

    def distribution(name):
        assert name == "multidd"
        points = [("toy", "toys:ENTRY", GROUP), ("multidd", "a:b", "console_scripts")]
        entries = [metadata.EntryPoint(*point) for point in points]
        return SimpleNamespace(entry_points=metadata.EntryPoints(entries))

    monkeypatch.setattr(metadata, "distribution", distribution)
    assert [(p.name, p.value) for p in modality._own_points()] == [
        ("toy", "toys:ENTRY")
    ]

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert modality._own_points() == []


@pytest.mark.parametrize("name", modality.own_names())
def test_names_of_a_modality(name):
    face = getattr(multidd, name)
    assert {*face.public.__all__, "public", "data"} <= set(dir(face))
    assert face.data is sys.modules[f"multidd.{name}.data"]
    for absent in ("sound", "_sound"):
        with pytest.raises(AttributeError, match=f"'multidd.{name}' has no attribute"):
            getattr(face, absent)


def test_a_fault_inside_a_module_is_not_an_absent_name(tmp_path, monkeypatch):
    """The package that it lacks is named, not the attribute."""

    def lacking(module):
        raise ModuleNotFoundError("No module named 'numbers2'", name="numbers2")

    monkeypatch.setattr(multidd, "import_module", lacking)
    with pytest.raises(ModuleNotFoundError, match="numbers2"):
        _ = multidd.storage2
    monkeypatch.undo()
    (tmp_path / "lacks.py").write_text("import numbers2")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="^No module named 'numbers2'$"):
        require("lacks")
    text = "'absent-of-all', which is not installed; run: pip install absent-of-all"
    with pytest.raises(MissingPackageError, match=text):
        require("absent_of_all")


def test_unknown_names():
    with pytest.raises(ValueError, match="must be one of graph, images.*got 'sound'"):
        modality.entry("sound")
    with pytest.raises(AttributeError, match="no attribute 'sound'"):
        _ = multidd.sound


def test_a_kind_that_a_modality_does_not_read(tmp_path):
    path = tmp_path / "x.safetensors"
    files.write(path, {}, {"card": {}}, kind="graph.trees")
    sentence = "'graph.trees', which this version does not read; .*: graph, graph.sets"
    with pytest.raises(WrongKindError, match=sentence):
        multidd.load(path)
    files.write(path, {}, {"card": {}}, kind="sound")
    with pytest.raises(WrongKindError, match="'sound', not a summary; modalities inst"):
        multidd.load(path)


def test_commands_leave_a_broken_entry_out(install, monkeypatch, capsys):
    """The list says so once, on standard error; its own command is one sentence."""
    from multidd.cli import main

    def call(*words: str) -> tuple[Any, str, str]:
        monkeypatch.setattr(sys, "argv", ["multidd", *words])
        with pytest.raises(SystemExit) as exit_:
            main.main()
        return exit_.value.code, *capsys.readouterr()

    install("toys", "1 / 0")
    code, out, err = call("distill", "--help")
    assert not code and "graph" in out and "toy" not in out
    fault = "the modality 'toy' of the package the-toys does not load (ZeroDivision"
    assert err.startswith(f"multidd: warning: {fault}") and err.count("\n") == 1
    code, out, err = call("distill", "toy", "--out", "x")
    assert (code, out) == (2, "")
    assert err.startswith(f"multidd: {fault}") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("hint", "fault"),
    [
        ("seed: Annotated[int, 'Seed.'] = 0", "that every modality has: seed"),
        ("size: int = 0", "an option 'size' without a help text: annotate it as"),
        ("size = 0", "an option 'size' without a help text"),
    ],
)
def test_options_that_cannot_be_shown(hint, fault):
    from multidd.cli.distill import _command

    names: dict[str, Any] = {}
    exec(f"from typing import Annotated\ndef options(method, {hint}): 'x'", names)
    entry = replace(modality.entry("graph"), options=names["options"])
    with pytest.raises(ModalityError, match=fault):
        _command(entry)


# --- nothing else names a modality ----------------------------------------------------

NAMED_FOR_A_REASON = {
    "multidd/samples/__init__.py": "each sample comes in the form of its modality",
    "multidd/parameterizations/decoding.py": "a noun: stored records are images",
}


def _names_of_modalities(path: Path) -> set[str]:
    """Names of modalities in strings and imports; docstrings and types left out."""
    some = "|".join(sorted(ADAPTERS))
    whole = re.compile(rf"(multidd\.)?({some})(\.[\w.]+)?")
    names = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if isinstance(node, ast.Constant) and whole.fullmatch(str(node.value)):
            names.add(str(node.value))
        if isinstance(node, ast.Attribute) and node.attr in ADAPTERS:
            names.update(filter(whole.fullmatch, [ast.unparse(node)]))
        if isinstance(node, ast.ImportFrom) and whole.fullmatch(node.module or ""):
            names.add(str(node.module))
        if isinstance(node, ast.alias) and whole.fullmatch(node.name):
            names.add(node.name)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree(path))
    return names


def test_the_core_names_no_modality():
    core = [p for p in MODULES.values() if p.is_relative_to(ROOT / "multidd")]
    naming = {
        str(path.relative_to(ROOT)): names
        for path in core
        if (names := _names_of_modalities(path))
    }
    assert set(naming) == set(NAMED_FOR_A_REASON), naming
    assert len(core) > 80


@pytest.mark.parametrize(
    "source",
    [
        'kind = "graph"',
        'import_module("multidd.text.data")',
        "multidd.images.dm(x)",
        "from multidd.recsys.data.log import InteractionLog",
        "import multidd.graph",
    ],
)
def test_a_named_modality_is_seen(source, tmp_path):
    (tmp_path / "core.py").write_text(source)
    assert _names_of_modalities(tmp_path / "core.py")
