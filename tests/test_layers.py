"""The house rules of imports: what may import what, and what loads when."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import multidd
from tests.source import ADAPTERS, EVERY_FILE, IMPORTABLE, MODULES, ROOT, tree

# The layers of the core, low to high: a module imports from its own layer or lower.
LAYERS = (
    "_version errors arguments seeds numerics classes protocols modality",
    "settings storage data kernels html parallel",
    "sketches",
    "learning plotting summary card_schema citation samples",
    "selection parameterizations objectives",
    "engine evaluation",
    "ADAPTERS",
    "cli __main__",
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}

# The rooms of a modality, low to high. Its face (`__init__`, cli) stands above them.
ROOMS = ("data", "models", "summary", "tasks", "methods", "evaluation")

# Imports upward that run inside a function only, each with its reason.
LAZY_UPWARD = {
    ("multidd.images.summary.summary", "multidd.images.methods.pruning"): (
        "`ImageSummary.prune` is a door to the stage that trains a judge"
    ),
    ("multidd.text.summary.summary", "multidd.text.evaluation.report"): (
        "`TextSummary.facts` is a door to the report, which uses everything"
    ),
}


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
    path, results = MODULES[name], set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _nodes(tree(path), deep=deep):
        if isinstance(node, ast.Import):
            results |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join((*above, base)) if base else ".".join(above)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if base == "multidd" and alias.name in multidd._NAMES:
                    whole = f"multidd.{multidd._NAMES[alias.name]}"
                results.add(whole if whole in MODULES else base)
    return {module for module in results if module.startswith("multidd.")} - {name}


def _part(module: str) -> str:
    """`multidd.graph.tasks.node_task` -> `graph`."""
    return module.split(".")[1]


def _room(module: str) -> str | None:
    """`multidd.graph.tasks.node_task` -> `tasks`; None for a face or the core."""
    parts = module.split(".")
    return parts[2] if parts[2:] and parts[1] in ADAPTERS else None


def _rank(module: str) -> tuple[int, int]:
    """The layer, and within a modality the room; a face is above all rooms."""
    part, room = _part(module), _room(module)
    if part not in ADAPTERS:
        return RANK[part], 0
    face = len(ROOMS)
    return RANK["ADAPTERS"], ROOMS.index(room) if room in ROOMS else face


def _named(module: str) -> set[str]:
    """Adapters in texts such as "multidd.graph.data": another way to import one."""
    nodes = [n for n in ast.walk(tree(MODULES[module])) if isinstance(n, ast.Constant)]
    results = [re.fullmatch(r"multidd\.(\w+)[.\w]*", str(node.value)) for node in nodes]
    return {match[1] for match in results if match} & ADAPTERS


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


def test_every_modality_has_the_same_rooms():
    for modality in ADAPTERS:
        folder = ROOT / "modalities" / modality
        rooms = {path.parent.name for path in folder.glob("*/__init__.py")}
        files = {path.stem for path in folder.glob("*.py")}
        assert rooms == set(ROOMS), modality
        assert files == {"__init__", "cli", "public"}, modality


def test_importing_multidd_is_light():
    heavy = "torch torch_geometric transformers datasets scipy numpy pandas matplotlib"
    code = f"import sys, multidd; print({{*{heavy.split()}}} & {{*sys.modules}})"
    assert _python(code) == "set()"


def test_faces_and_entries_are_light():
    """So that `multidd distill --help` is."""
    heavy = "torch torch_geometric transformers datasets scipy numpy pandas typer"
    code = "import sys, multidd.images; from multidd import modality; "
    code += "[modality.entry(name).about for name in modality.names()]; "
    code += f"print({{*{heavy.split()}}} & {{*sys.modules}})"
    assert _python(code) == "set()"


def test_what_reads_data_is_light():
    """Images and texts need no other modality's libraries, a log no frames."""
    code = """
import sys
import multidd

def loaded(*names):
    return set(names) & set(sys.modules)

others = "torch_geometric transformers datasets scipy sklearn pandas matplotlib".split()
multidd.images.METHODS
multidd.samples.fashion()
print("images", loaded(*others))
multidd.text.as_texts(["a", "b"], [0, 1])
print("text", loaded(*others))
import multidd.recsys.data.benchmarks, multidd.recsys.data.log
import multidd.recsys.data.readers
print("recsys", loaded("pandas", "pyarrow", "sklearn", "datasets", "matplotlib"))
"""
    assert _python(code) == "images set()\ntext set()\nrecsys set()"


def _on_circles() -> list[str]:
    """Modules whose import leads back to them; each asks for its packages first."""
    arrows = {
        module: (_imported(module, deep=False) | {module.rpartition(".")[0]}) - {module}
        for module in MODULES
    }
    left = set(arrows)
    while True:
        asked = set().union(*(arrows[module] for module in left))
        inner = {module for module in left if arrows[module] & left} & asked
        if inner == left:
            return [module for module in IMPORTABLE if module in left]
        left = inner


def test_every_module_imports_from_a_clean_state():
    """A module on no circle does so where those that it asks for do: what is loaded
    besides does not matter to it, and all are imported once. A module on a circle is
    tried from a clean state, unless importing its package loads it: Python does that
    first, so doing both again would be the same run twice."""
    code = f"""
import importlib, sys, traceback

def load(name):
    try:
        importlib.import_module(name)
    except Exception:
        print(name, traceback.format_exc(limit=-3))

loads = {{}}
for name in {_on_circles()}:
    package = name.rpartition(".")[0]
    if name in loads.get(package, ()):
        loads[name] = loads[package]
        continue
    for loaded in [m for m in sys.modules if m.split(".")[0] == "multidd"]:
        del sys.modules[loaded]
    load(name)
    loads[name] = [m for m in sys.modules if m.split(".")[0] == "multidd"]
for name in {IMPORTABLE}:
    load(name)
"""
    assert _python(code) == ""


def test_nothing_imports_upward():
    upward = [
        f"{module} -> {imported}"
        for module in MODULES
        if module != "multidd"
        for imported in sorted(_imported(module, deep=False))
        if _rank(imported) > _rank(module)
    ]
    assert not upward


def test_lazy_imports_upward_have_a_reason():
    lazy = {
        (module, imported)
        for module in MODULES
        if module != "multidd"
        for imported in _imported(module, deep=True) - _imported(module, deep=False)
        if _rank(imported) > _rank(module)
    }
    assert lazy == set(LAZY_UPWARD)


def test_no_circle_of_imports():
    """Among modules, imports inside functions counted, but for the listed doors."""
    arrows = {
        module: {
            imported
            for imported in _imported(module, deep=True)
            if imported in MODULES and (module, imported) not in LAZY_UPWARD
        }
        for module in MODULES
        if module != "multidd"
    }
    while free := [m for m in arrows if not arrows[m] & set(arrows)]:
        for module in free:
            del arrows[module]
    # What is left lies on a circle or above one.
    assert not {m: sorted(arrows[m] & set(arrows)) for m in arrows}


def test_sub_packages_of_modalities_are_empty():
    full = [
        module
        for module, path in MODULES.items()
        if path.name == "__init__.py" and _room(module) and path.read_text().strip()
    ]
    assert not full


def test_nothing_but_the_command_line_imports_an_adapter():
    offenders = {}
    for module in MODULES:
        if module != "multidd" and _part(module) in ("cli", "__main__"):
            continue
        allowed = set() if module == "multidd" else {_part(module)}
        imports = {_part(m) for m in _imported(module, deep=True)}
        # A sample is read by its modality, which is loaded when it is asked for.
        allowed |= ADAPTERS if module == "multidd.samples" else set()
        if other := ((imports & ADAPTERS) | _named(module)) - allowed:
            offenders[module] = other
    assert not offenders


def test_no_adapter_imports_the_samples():
    """Samples load the adapters, so these read the files and not that module."""
    adapters = [m for m in MODULES if m != "multidd" and _part(m) in ADAPTERS]
    assert not [m for m in adapters if "multidd.samples" in _imported(m, deep=True)]


def test_modalities_is_never_imported_by_that_name():
    offenders = []
    for path in EVERY_FILE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            if [n for n in names if n.split(".")[0] == "modalities"]:
                offenders.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not offenders
