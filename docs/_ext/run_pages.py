"""Run the code of the pages, and compare what it prints with what they show.

    python docs/_ext/run_pages.py             # every page
    python docs/_ext/run_pages.py --write quickstart guides/text

A block that begins with ```` ```python ```` runs, in one namespace for a page; the
value of its last line is shown as in a notebook. A block ```` ```bash run ```` runs
`multidd` commands. A block ```` ```text output ```` after one of them is what it
prints: words must be the same, and numbers need not be, as they differ between
processors and machines, but for scores (`81.8 ± 1.1`), which may differ by five points.
`--write` writes these blocks anew. Blocks with a name, such as
```` ```python objective ````, are run by tests.
"""

import argparse
import ast
import contextlib
import io
import logging
import os
import re
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["COLUMNS"] = "88"

DOCS = Path(__file__).resolve().parents[1]
SKIPPED = {"_ext", "_static", "api", "gallery", "tables"}
BLOCK = re.compile(r"^( *)```([^\n`]+)\n(.*?)^ *```$", re.S | re.M)
SCORE = re.compile(r"(\d+\.\d+) (?:±|\()")
NUMBER = re.compile(r"<?-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
MAX_POINTS = 5.0


@dataclass(frozen=True)
class Block:
    """A block of a page: its first line, its text, and where the text stands."""

    info: str
    text: str
    start: int
    end: int


def blocks(page: str) -> Iterator[Block]:
    """Blocks of code of a page, in order."""
    for match in BLOCK.finditer(page):
        yield Block(match[2].strip(), match[3], match.start(3), match.end(3))


def run_python(code: str, names: dict[str, Any]) -> None:
    """Run statements, and show the value of the last one if it is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<page>", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<page>", "eval"), names)
        if value is not None:
            print(value if isinstance(value, str) else repr(value))


def run_commands(text: str) -> None:
    """Run `multidd` commands in this process, which has its libraries loaded."""
    from multidd.cli import main

    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        argv, sys.argv = sys.argv, words
        try:
            main.main()
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"{line}: exit status {end.code}") from None
        finally:
            sys.argv = argv


def words_of(line: str) -> str:
    """The line without its numbers, and without the lines of a table."""
    return " ".join(NUMBER.sub("#", line).replace("-", "").split())


def differences(expected: str, printed: str) -> list[str]:
    """Lines that do not fit; none where all do."""
    pairs = list(zip(expected.splitlines(), printed.splitlines(), strict=False))
    faults = []
    if len(expected.splitlines()) != len(printed.splitlines()):
        faults.append(f"other lines were printed:\n{printed}")
    for old, new in pairs:
        scores = zip(SCORE.findall(old), SCORE.findall(new), strict=False)
        far = any(abs(float(a) - float(b)) > MAX_POINTS for a, b in scores)
        if far or words_of(old) != words_of(new):
            faults.append(f"shown:   {old}\nprinted: {new}")
    return faults


def run_page(path: Path) -> tuple[str, list[str]]:
    """The page with its outputs written anew, and what did not fit."""
    page = path.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "__main__"}
    printed, faults, pieces, position = "", [], [], 0
    for block in blocks(page):
        if block.info in ("python", "bash run"):
            out = io.StringIO()
            try:
                with contextlib.redirect_stdout(out):
                    if block.info == "python":
                        run_python(block.text, names)
                    else:
                        run_commands(block.text)
            except Exception:
                faults.append(f"{block.text}\n{traceback.format_exc(limit=-3)}")
                break
            lines = out.getvalue().splitlines()
            printed = "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"
        elif block.info == "text output":
            faults += differences(block.text, printed)
            pieces += [page[position : block.start], printed]
            position = block.end
    return "".join([*pieces, page[position:]]), faults


def pages(chosen: list[str]) -> list[Path]:
    """The pages of these names, without their ending; all pages where none is named."""
    if chosen:
        return [DOCS / f"{name}.md" for name in chosen]
    every = sorted(DOCS.rglob("*.md"))
    return [p for p in every if not SKIPPED & set(p.relative_to(DOCS).parts)]


def main() -> None:
    """Run the pages; the exit status is 1 where one did not fit."""
    parser = argparse.ArgumentParser(description="Run the code of the pages.")
    parser.add_argument("pages", nargs="*", help="such as guides/text; all if left out")
    parser.add_argument("--write", action="store_true", help="write the outputs anew")
    arguments = parser.parse_args()
    faults, home = 0, Path.cwd()
    for path in pages(arguments.pages):
        start = time.process_time()
        logger = logging.getLogger("multidd")
        handlers, level = logger.handlers[:], logger.level
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                text, wrong = run_page(path)
            finally:
                os.chdir(home)
                logger.handlers[:] = handlers
                logger.setLevel(level)
        name = path.relative_to(DOCS)
        print(f"{name}: {time.process_time() - start:.1f} s of processor time")
        if arguments.write:
            path.write_text(text, encoding="utf-8")
            wrong = [fault for fault in wrong if "Traceback" in fault]
        for fault in wrong:
            print(f"{name} does not fit what its code does:\n{fault}", file=sys.stderr)
        faults += len(wrong)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
