"""The tables of docs/benchmarks, from the measured lines in the files beside them."""

from pathlib import Path

from sphinx.application import Sphinx

from multidd.evaluation import (
    bytes_benchmark,
    paper_benchmark,
    plain_benchmark,
    speed_benchmark,
)
from multidd.evaluation.benchmark import page
from multidd.evaluation.regimes_benchmark import not_above_random
from multidd.evaluation.regimes_benchmark import page as regimes_page

ACROSS = {
    bench.NAME: bench
    for bench in (bytes_benchmark, paper_benchmark, plain_benchmark, speed_benchmark)
}
"""Tables over all modalities."""

FOLDER = Path(__file__).parents[1] / "benchmarks"


def write(app: Sphinx) -> None:
    """Write what changed."""
    tables = FOLDER / "tables"
    tables.mkdir(exist_ok=True)
    texts = {}
    for results in FOLDER.glob("*.json"):
        if results.stem == "regimes":
            texts[results.stem] = regimes_page(results)
            texts["not-above-random"] = not_above_random(results)
        elif results.stem in ACROSS:
            texts[results.stem] = ACROSS[results.stem].page(results)
        # These have pages of their own.
        elif results.stem != "scale" and not results.stem.startswith("settings-"):
            texts[results.stem] = page(results.stem, results)
    for name, text in texts.items():
        path = tables / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write before reading."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
