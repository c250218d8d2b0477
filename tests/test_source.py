"""The house rules of the source: short files, nothing unpickled, every name said."""

import ast
import importlib
import inspect

import pytest

import multidd
from tests.source import IMPORTABLE, MODULES, tree

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
    nodes = ast.walk(tree(MODULES[module]))
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


@pytest.mark.parametrize("module", IMPORTABLE)
def test_every_public_name_is_documented(module):
    package = importlib.import_module(module)
    kinds = (inspect.ismodule, inspect.isroutine, inspect.isclass)
    undocumented = []
    for name in getattr(package, "__all__", ()):
        value = getattr(package, name)
        doc = (value.__doc__ or "").strip()
        # A dataclass without a docstring gets its signature as one.
        bare = not doc or doc.startswith(f"{name}(")
        if bare and any(kind(value) for kind in kinds):
            undocumented.append(name)
    assert not undocumented


@pytest.mark.parametrize(
    "name", "graph images kernels objectives parameterizations samples text".split()
)
def test_every_public_package_is_an_attribute(name):
    assert name in multidd.__all__ and name in dir(multidd)
    assert getattr(multidd, name).__all__
