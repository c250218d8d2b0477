"""The release checklist: `make release-check` runs it and says what is open.

Each check returns the points that are open, as sentences. The last lines name the
steps that only a person can take.
"""

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
RELEASED = re.compile(r"(\d+\.\d+\.\d+) \((\d{4}-\d{2}-\d{2})\)")
"""A version of the changelog and its day."""

ADDRESSES = ("Homepage", "Documentation", "Source", "Issues", "Changelog")
LATER = """Left to a person:
  1. run .ci/run on a fresh clone and read its last lines;
  2. git tag -s v{version} && git push --tags;
  3. twine upload the two files that this command names, to the test index first;
  4. install from there in a fresh environment, and run `multidd demo`;
  5. publish the pages of `make docs`."""


def version(root: Path = ROOT) -> str:
    """The version that the library states."""
    text = (root / "multidd" / "_version.py").read_text(encoding="utf-8")
    statement = re.search(r'__version__ = "(.+)"', text)
    assert statement is not None, "multidd/_version.py states no version"
    return statement[1]


def open_points_of_versions(root: Path = ROOT) -> Iterator[str]:
    """The version, the first heading of the changelog and the citations agree."""
    stated = version(root)
    heading = HEADING.search((root / "docs" / "changelog.md").read_text("utf-8"))
    title = "" if heading is None else heading[1]
    released = RELEASED.fullmatch(title)
    if released is None or released[1] != stated:
        yield (
            f"docs/changelog.md begins with {title!r}; wanted '{stated} (the day)', "
            "as multidd/_version.py says"
        )
    for page in ("README.md", "docs/citation.md"):
        cited = re.findall(
            r"version = \{(\d[^}]*)\}", (root / page).read_text(encoding="utf-8")
        )
        if set(cited) != {stated}:
            yield f"{page} cites version {', '.join(cited) or 'none'}, not {stated}"


def open_points_of_numbers(root: Path = ROOT) -> Iterator[str]:
    """Every measured line names a commit of this history, and no busy machine."""
    for path in sorted((root / "docs" / "benchmarks").glob("*.json")):
        lines = json.loads(path.read_text(encoding="utf-8")).get("lines", {})
        commits = {line["commit"] for line in lines.values() if "commit" in line}
        for commit in sorted(commits):
            if commit.startswith("version "):
                continue
            is_past = ["git", "merge-base", "--is-ancestor", commit, "HEAD"]
            if subprocess.run(is_past, cwd=root, capture_output=True).returncode:
                yield f"{path.name} has lines of {commit}, which is not in the history"


def open_points_of_tree(root: Path = ROOT) -> Iterator[str]:
    """Everything is committed."""
    command = ["git", "status", "--porcelain"]
    status = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if changed := status.stdout.split("\n")[:-1]:
        yield f"{len(changed)} files are not committed, such as {changed[0][3:]}"


def open_points_of_addresses(root: Path = ROOT) -> Iterator[str]:
    """The project names where it lives: relative links of the README need that."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    missing = [name for name in ADDRESSES if name not in project.get("urls", {})]
    if missing:
        yield (
            f"[project.urls] in pyproject.toml lacks {', '.join(missing)}: without a "
            "public address the README's links lead nowhere outside the repository"
        )


def open_points_of_artifacts(root: Path, folder: Path) -> Iterator[str]:
    """Source and wheel build, their metadata render, and the wheel works elsewhere."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(build, cwd=root, check=True, stdout=subprocess.DEVNULL)
    wheel, source = next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))
    check = [sys.executable, "-m", "twine", "check", "--strict", wheel, source]
    checked = subprocess.run(check, capture_output=True, text=True)
    if checked.returncode:
        yield f"twine check: {' '.join((checked.stdout + checked.stderr).split())}"
    yield from open_points_of_metadata(metadata(wheel), version(root))
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("LICENSE", "README.md", "pyproject.toml", "multidd/measured.json"):
        if name not in names:
            yield f"{source.name} lacks {name}"
    target = folder / "installed"
    install = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    install += ["--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    smoke = [sys.executable, str(root / "tests" / "wheel_smoke.py"), str(target)]
    if subprocess.run(smoke, cwd=folder, stdout=subprocess.DEVNULL).returncode:
        yield f"{wheel.name} fails tests/wheel_smoke.py"
    for path in (wheel, source):
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")


def metadata(wheel: Path) -> Message:
    """The metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/METADATA"))
        return BytesParser().parsebytes(archive.read(name))


def open_points_of_metadata(message: Message, stated: str) -> Iterator[str]:
    """What an index shows of a package is there.

    Args:
        message: metadata of a wheel.
        stated: the version.
    """
    expected = {
        "Version": stated,
        "License-Expression": "Apache-2.0",
        "Description-Content-Type": "text/markdown",
        "Requires-Python": ">=3.11",
    }
    for name, value in expected.items():
        if message[name] != value:
            yield f"the wheel's {name} is {message[name]!r}; wanted {value!r}"
    for name in ("Summary", "Keywords", "Classifier", "License-File"):
        if not message[name]:
            yield f"the wheel's metadata lack {name}"


def main() -> int:
    """Run every check, print what is open, and return how many points that is."""
    with tempfile.TemporaryDirectory() as folder:
        checks = {
            "committed": open_points_of_tree(),
            "versions": open_points_of_versions(),
            "numbers": open_points_of_numbers(),
            "wheel and source": open_points_of_artifacts(ROOT, Path(folder)),
            "addresses": open_points_of_addresses(),
        }
        count = 0
        for name, check in checks.items():
            points = list(check)
            count += len(points)
            print(f"{name}: {'open' if points else 'fine'}")
            for point in points:
                print(f"  {point}")
    print(LATER.format(version=version()))
    return min(count, 1)


if __name__ == "__main__":
    sys.exit(main())
