"""The house rules of packaging: what is listed, shipped and pinned."""

import os
import tomllib

import pytest

from tests.source import ADAPTERS, MODULES, ROOT


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
    "pyproject.toml README.md CONTRIBUTING.md LICENSE Makefile constraints.txt "
    ".gitignore .ci/run multidd/py.typed".split(),
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
    extras = project["optional-dependencies"]
    expected = project["dependencies"] + extras["test"] + extras["docs"]
    assert not {want.partition(">=")[0] for want in expected} - pins
    # "+cpu" would ask for one build by name, which not every machine can get.
    assert "\ntorch==2.13.0\n" in (ROOT / "constraints.txt").read_text()
