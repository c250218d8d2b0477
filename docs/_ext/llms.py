"""The pages as plain Markdown for programs, and llms.txt, the list of them.

    python docs/_ext/llms.py build/docs/markdown build/docs/html

The first folder is what Sphinx's Markdown builder wrote, the second gets `llms.txt` and
a `.md` beside every page.
"""

import re
import shutil
import sys
from pathlib import Path

HEADINGS = {
    "": "Start",
    "guides": "Guides",
    "concepts": "Concepts",
    "extend": "Extend",
    "benchmarks": "Benchmarks",
    "gallery": "Gallery",
    "api": "API reference",
}
ABOUT = """# multidd

> A Python library for dataset distillation of graphs, images, recommender logs and
> texts: a small set that trains models as the large one does, and its measure.
"""


def first_lines(text: str) -> tuple[str, str]:
    """Title of a page, and the first sentence of its text."""
    title = re.search(r"^# (.+)$", text, re.M)
    body = re.sub(r"```.*?```|^[#|<:!>*-].*$|^\s+.*$", "", text, flags=re.S | re.M)
    sentence = next((" ".join(p.split()) for p in body.split("\n\n") if p.strip()), "")
    sentence = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", sentence)
    name = title[1] if title else ""
    return name.replace("\\_", "_"), re.split(r"(?<=[.:])\s", sentence)[0][:160]


def index(pages: dict[str, str]) -> str:
    """llms.txt: every page by its group, with its first sentence."""
    lines = [ABOUT]
    for folder, heading in HEADINGS.items():
        names = [n for n in pages if n.rpartition("/")[0] == folder]
        if not names:
            continue
        lines += [f"## {heading}", ""]
        for name in names:
            title, sentence = first_lines(pages[name])
            lines.append(f"- [{title or name}]({name}.md): {sentence}".rstrip(": "))
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Copy the pages and write the list."""
    source, target = map(Path, sys.argv[1:])
    paths = sorted(source.rglob("*.md"))
    pages = {p.relative_to(source).with_suffix("").as_posix(): p for p in paths}
    for name, path in pages.items():
        place = target / f"{name}.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    texts = {name: path.read_text(encoding="utf-8") for name, path in pages.items()}
    (target / "llms.txt").write_text(index(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
