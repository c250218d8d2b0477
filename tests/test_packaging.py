"""The house rules: what is packaged, what imports what, and how the source is kept."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (ROOT / "multidd", ROOT / "modalities")
PUBLIC = (
    "multidd",
    "multidd.graph",
    "multidd.objectives",
    "multidd.parameterizations",
    "multidd.samples",
)

# The layers, low to high: a module imports from its own layer or lower.
LAYERS = (
    "errors seeds classes protocols storage settings samples",
    "summary distances learning kernels callbacks",
    "parameterizations objectives selection",
    "loop evaluation citation plotting",
    "ADAPTERS",
    "cli __main__",
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}


def _modules() -> dict[str, Path]:
    """Installed module name -> file, for every file of the library."""
    found = {}
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join(("multidd", *parts))] = path
    return found


MODULES = _modules()
ADAPTERS = {p.parent.name for p in (ROOT / "modalities").glob("*/__init__.py")}
EVERY_FILE = [
    path
    for folder in (*FOLDERS, ROOT / "tests", ROOT / "examples")
    for path in sorted(folder.rglob("*.py"))
]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _nodes(tree: ast.AST, *, deep: bool) -> Iterator[ast.AST]:
    """Nodes that run: not those under TYPE_CHECKING; inside functions only if deep."""
    for child in ast.iter_child_nodes(tree):
        if _is_type_checking(child):
            continue
        yield child
        if deep or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _nodes(child, deep=deep)


def _imported(name: str, *, deep: bool) -> set[str]:
    """The library's modules that a module imports, by their installed names."""
    import multidd

    path, found = MODULES[name], set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _nodes(_tree(path), deep=deep):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join((*above, base)) if base else ".".join(above)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if base == "multidd" and alias.name in multidd._NAMES:
                    whole = f"multidd.{multidd._NAMES[alias.name]}"
                found.add(whole if whole in MODULES else base)
    return {module for module in found if module.startswith("multidd.")}


def _part(module: str) -> str:
    """`multidd.graph.task` -> `graph`."""
    return module.split(".")[1]


def _rank(module: str) -> int:
    """The layer; of a helper that no layer names, the highest that it imports."""
    part = _part(module)
    if part in ADAPTERS:
        return RANK["ADAPTERS"]
    if part in RANK:
        return RANK[part]
    seen, waiting = set(), {module}
    while waiting:
        helper = waiting.pop()
        seen.add(helper)
        imports = _imported(helper, deep=False)
        waiting |= {m for m in imports if _part(m) not in {*RANK, *ADAPTERS}} - seen
    named = {m for h in seen for m in _imported(h, deep=False)} - seen
    return max((_rank(m) for m in named), default=0)


def _python(code: str) -> str:
    """Run code in a new interpreter; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- what is packaged ---------------------------------------------------------


def test_every_package_is_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    setuptools = project["tool"]["setuptools"]
    assert set(setuptools["packages"]) == packages
    assert setuptools["package-dir"] == {
        f"multidd.{name}": f"modalities/{name}" for name in sorted(ADAPTERS)
    }


def test_every_folder_with_code_is_a_package():
    bare = {
        path.parent
        for path in MODULES.values()
        if not (path.parent / "__init__.py").is_file()
    }
    assert not bare


@pytest.mark.parametrize(
    "name",
    "pyproject.toml README.md LICENSE Makefile constraints.txt .gitignore .ci/run "
    "multidd/py.typed".split(),
)
def test_top_level_file_exists(name):
    assert (ROOT / name).is_file()


def test_ci_is_executable():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_constraints_pin_every_dependency():
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["test"]
    assert not {want.partition(">=")[0] for want in wanted} - pins
    # "+cpu" would ask for one build by name, which not every machine can get.
    assert "\ntorch==2.13.0\n" in (ROOT / "constraints.txt").read_text()


# --- what imports what --------------------------------------------------------


def test_importing_multidd_is_light():
    heavy = "torch torch_geometric transformers datasets scipy numpy pandas matplotlib"
    code = f"import sys, multidd; print({{*{heavy.split()}}} & {{*sys.modules}})"
    assert _python(code) == "set()"


def test_every_module_imports_from_a_clean_state():
    code = f"""
import importlib, sys, traceback
for name in {[m for m in MODULES if not m.endswith("__main__")]}:
    for loaded in [m for m in sys.modules if m.split(".")[0] == "multidd"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception:
        print(name, traceback.format_exc(limit=-3))
"""
    assert _python(code) == ""


@pytest.mark.parametrize("module", [m for m in MODULES if m != "multidd"])
def test_nothing_imports_upward(module):
    imports = {m: _rank(m) for m in _imported(module, deep=False)}
    above = {m for m, rank in imports.items() if rank > _rank(module)}
    assert not above, f"{module} imports from a layer above its own: {above}"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_but_the_command_line_imports_an_adapter(module):
    if module != "multidd" and RANK.get(_part(module)) == RANK["cli"]:
        return
    own = set() if module == "multidd" else {_part(module)}
    imports = {_part(m) for m in _imported(module, deep=True)}
    assert not (imports & ADAPTERS) - own


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda p: str(p.relative_to(ROOT)))
def test_modalities_is_never_imported_by_that_name(path):
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        assert not [n for n in names if n.split(".")[0] == "modalities"], node.lineno


# --- how the source is kept ---------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_no_file_over_300_lines(module):
    assert len(MODULES[module].read_text().splitlines()) <= 300


UNPICKLERS = set(
    "pickle _pickle cPickle dill cloudpickle joblib shelve marshal".split()
)


def _runs_data_as_code(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in UNPICKLERS for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] in UNPICKLERS
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    given = {k.arg: ast.unparse(k.value) for k in node.keywords}
    return (
        called in {"eval", "exec", "compile", "builtins.eval", "builtins.exec"}
        or called.endswith(("read_pickle", "torch_load", "load_state_dict_from_url"))
        or (called == "torch.load" and given.get("weights_only") != "True")
        or given.get("allow_pickle", "False") != "False"
    )


@pytest.mark.parametrize("module", MODULES)
def test_no_unpickling_in_source(module):
    # A file from elsewhere must not run code. PyG's own reader of raw Planetoid
    # files does unpickle, inside PyG; the library itself has no exception.
    nodes = ast.walk(_tree(MODULES[module]))
    lines = [n.lineno for n in nodes if _runs_data_as_code(n)]
    assert not lines, f"{MODULES[module]}, lines {lines}"


@pytest.mark.parametrize(
    "source, caught",
    [
        ("import pickle", True),
        ("from dill import loads", True),
        ("torch.load(path)", True),
        ("torch.load(path, weights_only=False)", True),
        ("torch.load(path, weights_only=True)", False),
        ("np.load(path, allow_pickle=True)", True),
        ("np.load(path)", False),
        ("eval(text)", True),
        ("model.eval()", False),
    ],
)
def test_unpickling_is_recognized(source, caught):
    assert any(_runs_data_as_code(n) for n in ast.walk(ast.parse(source))) == caught


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_documented(module):
    package = importlib.import_module(module)
    kinds = (inspect.ismodule, inspect.isroutine, inspect.isclass)
    undocumented = []
    for name in package.__all__:
        value = getattr(package, name)
        doc = (value.__doc__ or "").strip()
        # A dataclass without a docstring gets its signature as one.
        bare = not doc or doc.startswith(f"{name}(")
        if bare and any(kind(value) for kind in kinds):
            undocumented.append(name)
    assert not undocumented
