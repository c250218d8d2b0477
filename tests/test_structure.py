"""The picture of the structure in the pages is the structure."""

import re

from tests.source import ADAPTERS, MODULES, ROOT

PAGE = (ROOT / "docs/concepts/design.md").read_text(encoding="utf-8")


def drawn() -> dict[str, set[str]]:
    """Folder of the picture -> the names drawn in it."""
    block = re.search(r"```text tree\n(.*?)```", PAGE, re.S)
    assert block is not None
    folders: dict[str, set[str]] = {}
    for line in block[1].splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = folders.setdefault(name, set())
        else:
            folder.add(name)
    return folders


def packages(folder: str) -> set[str]:
    return {f"{path.parent.name}/" for path in (ROOT / folder).glob("*/__init__.py")}


def test_the_core_is_as_drawn():
    files = {path.name for path in (ROOT / "multidd").glob("*.py")}
    assert drawn()["multidd/"] == files | packages("multidd")


def test_every_modality_is_as_drawn():
    for name in ADAPTERS:
        files = {path.name for path in (ROOT / "modalities" / name).glob("*.py")}
        inside = files | packages(f"modalities/{name}")
        assert drawn()["modalities/NAME/"] == inside, name


def test_methods_lie_in_files_of_their_family():
    """The families of that page's table are the objectives' files, and those of every
    modality that has one."""
    objectives = {path.stem for path in (ROOT / "multidd" / "objectives").glob("*.py")}
    families = {"gradient", "distribution", "trajectory", "kernel", "unroll"}
    assert families <= objectives
    for family in families:
        assert [m for m in MODULES if m.endswith(f".methods.{family}")], family


MIN_LINES, MAX_LINES = 60, 500
"""Of a source file: a shorter one is a fragment, a longer one holds two nouns."""

SHORT_FILES = {
    "modalities/images/summary/export.py",
    "modalities/recsys/methods/setup.py",
    "modalities/recsys/models/poprec.py",
    "modalities/text/evaluation/plain.py",
    "modalities/text/methods/budget.py",
    "multidd/citation.py",
    "multidd/engine/schedules.py",
}
"""Short files that are each a noun of the common plan, which every modality has under
the same name; no other may be added."""


def line_counts() -> dict[str, int]:
    """Source file -> its lines; without those that only gather or start."""
    gathering = {"__init__.py", "__main__.py", "_version.py"}
    return {
        path.relative_to(ROOT).as_posix(): len(path.read_bytes().splitlines())
        for path in MODULES.values()
        if path.name not in gathering
    }


def test_a_file_is_one_noun():
    counts = line_counts()
    assert not {name: n for name, n in counts.items() if n > MAX_LINES}
    short = {name for name, n in counts.items() if n < MIN_LINES}
    assert short == SHORT_FILES
