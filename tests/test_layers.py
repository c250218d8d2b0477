"""The house rules of imports: what may import what, and what loads when."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import multidd
from tests.source import ADAPTERS, EVERY_FILE, IMPORTABLE, MODULES, ROOT, tree

# The layers, low to high: a module imports from its own layer or lower.
LAYERS = (
    "errors seeds classes protocols _content _files _works _works_more storage "
    "settings samples "
    "numerics schedules report labels splitting sources strings tables",
    "summary cache checkpoint distances kernels learning callbacks",
    "parameterizations objectives selection pursuit pursuit_losses "
    "pursuit_records pursuit_search",
    "run resume loop options evaluation citation plotting heatmap runs bench curve "
    "machine bench_table",
    "ADAPTERS",
    "commands curve_commands cli __main__",
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _nodes(parent: ast.AST, *, deep: bool) -> Iterator[ast.AST]:
    """Nodes that run: not those under TYPE_CHECKING; inside functions only if deep."""
    for child in ast.iter_child_nodes(parent):
        if _is_type_checking(child):
            continue
        yield child
        if deep or not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _nodes(child, deep=deep)


def _imported(name: str, *, deep: bool) -> set[str]:
    """The library's modules that a module imports, by their installed names."""
    path, found = MODULES[name], set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _nodes(tree(path), deep=deep):
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
    part = _part(module)
    return RANK["ADAPTERS" if part in ADAPTERS else part]


def _named(module: str) -> set[str]:
    """Adapters in texts such as "multidd.graph.data.benchmarks": another way to import one."""
    nodes = [n for n in ast.walk(tree(MODULES[module])) if isinstance(n, ast.Constant)]
    found = [re.fullmatch(r"multidd\.(\w+)[.\w]*", str(node.value)) for node in nodes]
    return {match[1] for match in found if match} & ADAPTERS


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


def test_every_module_has_a_layer():
    parts = {_part(module) for module in MODULES if module != "multidd"}
    assert parts == (set(RANK) - {"ADAPTERS"}) | ADAPTERS


def test_importing_multidd_is_light():
    heavy = "torch torch_geometric transformers datasets scipy numpy pandas matplotlib"
    code = f"import sys, multidd; print({{*{heavy.split()}}} & {{*sys.modules}})"
    assert _python(code) == "set()"


def test_importing_images_loads_no_graphs():
    heavy = "torch_geometric transformers datasets scipy sklearn pandas matplotlib"
    code = "import sys, multidd; multidd.images; multidd.samples.fashion(); "
    code += f"print({{*{heavy.split()}}} & {{*sys.modules}})"
    assert _python(code) == "set()"


def test_every_module_imports_from_a_clean_state():
    """A module that importing its package loads is imported by that: Python does it
    first, so doing both again would be the same run twice."""
    code = f"""
import importlib, sys, traceback
loads = {{}}
for name in {IMPORTABLE}:
    package = name.rpartition(".")[0]
    if name in loads.get(package, ()):
        continue
    for loaded in [m for m in sys.modules if m.split(".")[0] == "multidd"]:
        del sys.modules[loaded]
    try:
        importlib.import_module(name)
    except Exception:
        print(name, traceback.format_exc(limit=-3))
    loads[name] = [m for m in sys.modules if m.split(".")[0] == "multidd"]
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
    # Samples come in the form that the adapter gives all its data; Cora is PyG's.
    own |= {"images", "recsys", "text"} if module == "multidd.samples" else set()
    assert not ((imports & ADAPTERS) | _named(module)) - own


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda p: str(p.relative_to(ROOT)))
def test_modalities_is_never_imported_by_that_name(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        assert not [n for n in names if n.split(".")[0] == "modalities"], node.lineno
