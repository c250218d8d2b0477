"""The README: short, its snippets are those of the first page, its numbers measured."""

import json
import re

from tests.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAX_LINES = 200
SELECTIONS = "herding kcenter kmeans medoids head svp interactions forgetting".split()

MEASURED = [
    ("graph", "cora", "", "cora 70 condense"),
    ("graph", "citeseer", "", "citeseer 60 condense"),
    ("images", "mnist", "", "mnist 1 dm (factor=2)"),
    (
        "images",
        "fashion-mnist",
        "",
        "fashion-mnist 10 rfad (ridge=0.001, lr=0.02, steps=800)",
    ),
    ("recsys", "ml-1m", ", infinite_ae", "ml-1m 500 distill_cf, infinite_ae"),
    ("recsys", "ml-100k", ", infinite_ae", "ml-100k 50 distill_cf, infinite_ae"),
    ("text", "trec6", ", kernel", "trec6 1 kip, kernel"),
    ("text", "sample:sms", ", logistic", "sample:sms 10 pursuit, logistic"),
]
"""Rows of the README's table: modality, data, model, and the name of the line."""


def blocks(text: str) -> list[str]:
    """Code and output of snippets, in order."""
    return re.findall(r"^```(?:python|text output)\n(.*?)^```$", text, re.S | re.M)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MAX_LINES


def test_its_snippets_are_those_of_the_first_page() -> None:
    """They run, with what they print, when the pages are built."""
    snippets = blocks((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    assert len(snippets) == 8
    assert blocks(README)[:8] == snippets


def score(cells: dict[str, str]) -> str:
    return next(value for key, value in cells.items() if key.startswith("test "))


def test_its_numbers_are_the_measured_ones() -> None:
    """Each row says what was measured, and the best selection."""
    rows = re.findall(r"^\| (.*) \|$", README, re.M)
    table = [[cell.strip() for cell in row.split("|")] for row in rows]
    table = [row for row in table if re.search(r"\d", row[1])]
    assert len(table) == len(MEASURED)
    for row, (modality, data, model, name) in zip(table, MEASURED, strict=True):
        path = ROOT / "docs" / "benchmarks" / f"{modality}.json"
        lines = json.loads(path.read_text(encoding="utf-8"))["lines"]
        scores = {line: score(entry["cells"]) for line, entry in lines.items()}
        size = name.split()[1]
        beside = {
            method: scores[f"{data} {size} {method}{model}"]
            for method in SELECTIONS
            if f"{data} {size} {method}{model}" in scores
        }
        best = max(beside.values(), key=lambda s: float(s.split()[0]), default="")
        whole = scores[f"{data} all whole{model}"]
        random = scores[f"{data} {size} random{model}"]
        assert row[1:5] == [whole, scores[name], random, best], name


def test_its_links_lead_somewhere() -> None:
    """Files by relative paths, all of them there."""
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 15
    assert not [link for link in links if not (ROOT / link).is_file()]
