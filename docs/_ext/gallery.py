"""Memory that an example of the gallery takes, for the line below it."""

import threading
from collections.abc import Callable
from typing import Any

import psutil

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
