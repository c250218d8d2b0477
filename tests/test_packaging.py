"""The house rules of packaging: what is listed, shipped and pinned."""

import email.message
import os
import tomllib

import pytest

from tests.source import ADAPTERS, MODULES, ROOT
from tests.tools import release


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


def test_version_changelog_and_citations_agree():
    assert list(release.open_points_of_versions()) == []


def test_other_versions_are_open_points(tmp_path):
    for name in ("multidd/_version.py", "docs/changelog.md", "docs/citation.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    stated = f"version = {{{release.version()}}}"
    (tmp_path / "README.md").write_text(text.replace(stated, "version = {9.9.9}"))
    (tmp_path / "docs/changelog.md").write_text("# Changelog\n\n## Unreleased\n")
    changelog, readme = release.open_points_of_versions(tmp_path)
    assert "begins with 'Unreleased'; wanted" in changelog
    assert "README.md cites version 9.9.9" in readme


def test_metadata_of_a_wheel_are_asked_for():
    message = email.message.Message()
    message["Version"] = "0.0.1"
    points = list(release.open_points_of_metadata(message, "0.0.1"))
    assert not any("Version is '0.0.1'" in point for point in points)
    assert "the wheel's metadata lack Classifier" in points


def test_constraints_pin_every_dependency():
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    expected = project["dependencies"] + sum(extras.values(), [])
    assert not {want.partition(">=")[0] for want in expected} - pins
    # "+cpu" would ask for one build by name, which not every machine can get.
    assert "\ntorch==2.13.0\n" in (ROOT / "constraints.txt").read_text()
