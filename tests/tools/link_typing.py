"""Link multidd/* and modalities/* into build/typing/multidd, the installed shape.

A type checker reads files, not setuptools' map of modalities/ into multidd.
"""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "build" / "typing" / "multidd"


def main() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    for folder in ("multidd", "modalities"):
        for child in sorted((ROOT / folder).iterdir()):
            if not child.name.startswith((".", "__pycache__")):
                (TREE / child.name).symlink_to(child)


if __name__ == "__main__":
    main()
