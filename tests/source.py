"""The library's own source: its files and what is in them, for the house rules."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (ROOT / "multidd", ROOT / "modalities")


def _modules() -> dict[str, Path]:
    """Installed module name -> file, for every file of the library."""
    results = {}
    for folder in FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            results[".".join(("multidd", *parts))] = path
    return results


MODULES = _modules()
IMPORTABLE = [name for name in MODULES if not name.endswith("__main__")]
ADAPTERS = {p.parent.name for p in (ROOT / "modalities").glob("*/__init__.py")}
EVERY_FILE = [
    path
    for folder in (*FOLDERS, ROOT / "tests", ROOT / "examples")
    for path in sorted(folder.rglob("*.py"))
]


@cache
def tree(path: Path) -> ast.Module:
    """The file, parsed; nobody changes it."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))
