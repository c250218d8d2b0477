"""The house rules of the source: nothing is unpickled, every name is documented."""

import ast
import importlib
import inspect
from collections.abc import Iterator

import pytest

import multidd
from tests.source import EVERY_FILE, IMPORTABLE, MODULES, ROOT, tree

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
    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
    return (
        called in {"eval", "exec", "compile", "builtins.eval", "builtins.exec"}
        or called.endswith(("read_pickle", "torch_load", "load_state_dict_from_url"))
        or (called == "torch.load" and keywords.get("weights_only") != "True")
        or keywords.get("allow_pickle", "False") != "False"
    )


def test_no_unpickling_in_source():
    # A file from elsewhere must not run code. Planetoid's raw files are pickles, whose
    # instructions `multidd.graph.data.pickled_arrays` follows without running any.
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES.values()
        for node in ast.walk(tree(path))
        if _runs_data_as_code(node)
    ]
    assert not offenders


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


def _is_documented(value: object, name: str) -> bool:
    """Whether it has a docstring, if it is of a kind that has one."""
    kinds = (inspect.ismodule, inspect.isroutine, inspect.isclass)
    doc = (value.__doc__ or "").strip()
    # A dataclass without a docstring gets its signature as one.
    bare = not doc or doc.startswith(f"{name}(")
    return not (bare and any(kind(value) for kind in kinds))


def test_every_public_name_is_documented():
    undocumented = []
    for module in IMPORTABLE:
        package = importlib.import_module(module)
        for name in getattr(package, "__all__", ()):
            if not _is_documented(getattr(package, name), name):
                undocumented.append(f"{module}.{name}")
    assert not undocumented


def test_every_public_package_is_an_attribute():
    packages = "graph images kernels learning objectives parallel parameterizations"
    for name in [*packages.split(), "recsys", "samples", "selection", "text"]:
        assert name in multidd.__all__ and name in dir(multidd), name
        assert getattr(multidd, name).__all__, name


def _first_lines() -> Iterator[tuple[str, str]]:
    """Name and first docstring line of every module, and of every public callable."""
    for path in MODULES.values():
        yield str(path.relative_to(ROOT)), ast.get_docstring(tree(path)) or "None."
    for module in IMPORTABLE:
        package = importlib.import_module(module)
        for name in getattr(package, "__all__", ()):
            value = getattr(package, name)
            if inspect.isroutine(value) or inspect.isclass(value):
                yield f"{module}.{name}", inspect.getdoc(value) or ""


def test_the_first_line_of_a_docstring_stands_alone():
    # `help()` and lists of names show this line only.
    offenders = []
    for name, docstring in _first_lines():
        line = docstring.partition("\n")[0]
        if len(line) > 80 or not line.endswith("."):
            offenders.append(f"{name}: {line}")
    assert not offenders


HOW_IT_CAME = set("found kept told given own made wanted".split())
"""Names that say how a value came to be, and not what it is."""

PUBLIC_ALIASES = {"public.py": {"given"}}
"""File -> such names in it that users import, and that stay for them: `given` is what
`load_for_evaluation` was called before."""


def _named_by_origin(module: ast.Module) -> set[str]:
    """Which of these words are names of variables, parameters, functions or classes."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname)
    return names & HOW_IT_CAME


def test_a_name_says_what_a_value_is():
    offenders = {}
    for path in EVERY_FILE:
        name = path.relative_to(ROOT).as_posix()
        words = _named_by_origin(tree(path)) - PUBLIC_ALIASES.get(path.name, set())
        if words:
            offenders[name] = sorted(words)
    assert not offenders


@pytest.mark.parametrize(
    "source, words",
    [
        ("found = 1", {"found"}),
        ("kept, size = 1, 2", {"kept"}),
        ("for told in []: pass", {"told"}),
        ("[given for given in []]", {"given"}),
        ("def own(): pass", {"own"}),
        ("lambda made: 1", {"made"}),
        ("with open(a) as wanted: pass", {"wanted"}),
        ("x.found = y.kept(told=1)", set()),
        ("known = found", set()),
    ],
)
def test_names_by_origin_are_recognized(source, words):
    assert _named_by_origin(ast.parse(source)) == words
