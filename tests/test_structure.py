"""The README's picture of the structure is the structure."""

import re

from tests.source import ADAPTERS, MODULES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def drawn() -> dict[str, set[str]]:
    """Folder of the picture -> the names drawn in it."""
    block = re.search(r"```text tree\n(.*?)```", README, re.S)
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
    """The families of the README's table are the objectives' files, and those of every
    modality that has one."""
    objectives = {path.stem for path in (ROOT / "multidd" / "objectives").glob("*.py")}
    families = {"gradient", "distribution", "trajectory", "kernel", "unroll"}
    assert families <= objectives
    for family in families:
        assert [m for m in MODULES if m.endswith(f".methods.{family}")], family
