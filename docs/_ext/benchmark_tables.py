"""The tables of docs/benchmarks, from the measured lines in the files beside them."""

from pathlib import Path

from sphinx.application import Sphinx

from multidd.evaluation import bytes_benchmark
from multidd.evaluation.benchmark import page

FOLDER = Path(__file__).parents[1] / "benchmarks"


def write(app: Sphinx) -> None:
    """Write what changed."""
    tables = FOLDER / "tables"
    tables.mkdir(exist_ok=True)
    for results in FOLDER.glob("*.json"):
        if results.stem.startswith("settings-"):
            continue  # the command writes the page beside it
        of_bytes = results.stem == bytes_benchmark.NAME
        text = (
            bytes_benchmark.page(results) if of_bytes else page(results.stem, results)
        )
        path = tables / f"{results.stem}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write before reading."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
