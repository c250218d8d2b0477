"""What the gallery shows of an example: its memory, and figures of the library."""

import threading
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import psutil
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

INTERVAL_SECONDS = 0.02


def peak_memory(run: Callable[[], Any]) -> tuple[float, Any]:
    """The most memory of this process while `run` runs, in MB, and its result."""
    process = psutil.Process()
    peak = process.memory_info().rss
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(INTERVAL_SECONDS):
            peak = max(peak, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        result = run()
    finally:
        ended.set()
        thread.join()
    return max(peak, process.memory_info().rss) / 2**20, result


def library_figures(
    block: Any, block_vars: dict[str, Any], conf: dict[str, Any]
) -> str:
    """Save figures that the library drew, of which pyplot does not know."""
    known = {id(plt.figure(number)) for number in plt.get_fignums()}
    drawn = block_vars["example_globals"].setdefault("__drawn__", set())
    paths = []
    for value in list(block_vars["example_globals"].values()):
        if not isinstance(value, Figure) or id(value) in known | drawn:
            continue
        path = next(block_vars["image_path_iterator"])
        value.savefig(path, bbox_inches="tight")
        drawn.add(id(value))
        paths.append(path)
    return str(figure_rst(paths, conf["src_dir"]))
