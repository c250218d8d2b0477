"""The pages as plain Markdown for programs, and llms.txt, the list of them.

    python docs/_ext/llms.py build/docs/markdown build/docs/html

The first folder is what Sphinx's Markdown builder wrote, the second gets `llms.txt` and
a `.md` beside every page.
"""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

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


class PlainNodes(SphinxPostTransform):
    """What the Markdown builder does not know, as what it knows."""

    default_priority = 800
    builders = ("markdown",)

    def run(self, **options: Any) -> None:
        """Marks of signatures and titles of cards as text, gallery pictures as such."""
        for node in list(self.document.findall(nodes.Element)):
            kind = type(node).__name__
            if kind == "abbreviation":
                node.replace_self(nodes.Text(node.astext()))
            elif kind == "PassthroughTextElement":
                node.replace_self(nodes.inline("", *node.children))
            elif kind == "imgsgnode":
                node.replace_self(nodes.Text(f"Picture: {node['alt']}"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Only for the Markdown builder; others see no change."""
    app.add_post_transform(PlainNodes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def first_lines(text: str) -> tuple[str, str]:
    """Title of a page, and the first sentence of its text."""
    title = re.search(r"^# (.+)$", text, re.M)
    body = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    body = re.sub(r"^(?:[#|<:!>]|[*-] |  ).*$", "", body, flags=re.M)
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
