"""Logs larger than memory, measured: shards, their sketch, a distillation."""

import pathlib
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import numpy as np

from multidd import seeds
from multidd.engine.progress import announce
from multidd.evaluation.benchmark import peak_megabytes
from multidd.recsys.data.generators import BLOCK, SPREAD, Tastes
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.data.sketch import sketch
from multidd.recsys.methods.kernel import distill_cf
from multidd.sketches.costs import worker_costs

__all__ = ["distilled_line", "sketch_line", "write_log"]

GROUPS = 20  # of items


def write_log(
    folder: pathlib.Path,
    users: int,
    items: int,
    events: int,
    *,
    files: int = 8,
    seed: int = 0,
    exponent: float = 1.0,
) -> pathlib.Path:
    """A generated log in parquet files, its events in random order.

    A user's events are log-normal in number; the item of rank r is drawn in proportion
    to `r ** -exponent`, most often from three groups that the user prefers. A pair may
    come again. A block of events is in memory at a time.

    Args:
        folder: made, if it is not there.
        users: U; some may stay without events.
        items: I; some may stay without events.
        events: of all files.
        files: how many.
        seed: of all draws.
        exponent: of the popularity.

    Returns:
        The folder.

    Example:
        >>> folder = write_log(pathlib.Path("log"), 50, 20, 300, files=2)
        >>> sorted(path.name for path in folder.iterdir())
        ['part-000.parquet', 'part-001.parquet']
    """
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seeds.key(seed, "scale"))
    ends = np.cumsum(np.exp(SPREAD * rng.standard_normal(users)))
    taste = Tastes(items, exponent, GROUPS, rng)
    preferred = taste.choose(users, rng)
    bounds = np.linspace(0, events, files + 1).astype(np.int64)
    schema = pyarrow.schema(
        [(name, pyarrow.int64()) for name in ("user_id", "item_id")]
    )
    for number, count in enumerate(np.diff(bounds).tolist()):
        path = folder / f"part-{number:03d}.parquet"
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            while count:
                size = min(count, BLOCK)
                user = np.searchsorted(ends, rng.random(size) * ends[-1], side="right")
                item = taste.draw(user, preferred, rng)
                columns = [user.astype(np.int64), item.astype(np.int64)]
                writer.write_table(pyarrow.table(columns, schema=schema))
                count -= size
    return folder


@contextmanager
def _folder_of(folder: pathlib.Path | None) -> Iterator[pathlib.Path]:
    """The folder, or one that goes away afterwards."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield pathlib.Path(temporary)


def _sketched(
    folder: pathlib.Path, keep: int, workers: int
) -> tuple[InteractionLog, dict[str, Any]]:
    """The sketch by spawned processes, and what these took."""
    # Started afresh, a worker holds nothing of this process's memory.
    with ProcessPoolExecutor(workers, get_context("spawn")) as executor:
        started = time.perf_counter()
        log = sketch(folder, users=keep, executor=executor)
        wall = time.perf_counter() - started
        costs = worker_costs(executor, workers)
    seconds = sum(cost.seconds for cost in costs)
    return log, {
        "events": log.sketch["events"],
        "users": log.sketch["users"],
        "kept_users": log.sketch["kept_users"],
        "seconds": round(wall, 1),
        "worker_seconds": round(seconds, 1),
        "events_per_core_second": round(log.sketch["events"] / seconds),
        "worker_megabytes": round(max(cost.megabytes for cost in costs)),
    }


def sketch_line(
    events: int = 20_000_000,
    *,
    users: int = 400_000,
    items: int = 5_000,
    keep: int = 20_000,
    workers: int = 2,
    folder: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Events a second of a core, and megabytes of a worker, of one sketch.

    Seconds of workers are of the processor and count their start.

    Args:
        events: of the generated log.
        users: U of it.
        items: I of it.
        keep: users of the sketch.
        workers: processes.
        folder: of the log, which is written where there is none; None: a temporary one.

    Returns:
        Names of numbers -> numbers.
    """
    with _folder_of(folder) as place:
        if not any(place.glob("*.parquet")):
            write_log(place, users, items, events)
        return _sketched(place, keep, workers)[1]


def distilled_line(
    events: int = 100_000_000,
    *,
    users: int = 2_000_000,
    items: int = 5_000,
    keep: int = 200_000,
    synthetic: int = 500,
    steps: int | None = None,
    workers: int = 2,
    folder: pathlib.Path | None = None,
    shown: bool | None = None,
) -> dict[str, Any]:
    """A log of shards to the end: generated, sketched, distilled by `distill_cf`.

    Args:
        events: of the generated log.
        users: U of it.
        items: I of it.
        keep: users of the sketch.
        synthetic: users of the summary.
        steps: of `distill_cf`; None: as many as it takes by itself.
        workers: processes that sketch.
        folder: as of `sketch_line`.
        shown: print each stage as it ends; None does on terminals.

    Returns:
        Names of numbers -> numbers: seconds of each stage, peak megabytes of this
        process and of a worker.
    """
    with _folder_of(folder) as place:
        started = time.perf_counter()
        if not any(place.glob("*.parquet")):
            write_log(place, users, items, events, files=32)
        written = time.perf_counter()
        announce(f"written: {written - started:.0f} s", shown)
        size = sum(path.stat().st_size for path in place.glob("*.parquet"))
        log, line = _sketched(place, keep, workers)
    announce(f"sketched: {line}", shown)
    begun = time.perf_counter()
    log = log.split()
    budget: dict[str, Any] = {} if steps is None else {"steps": steps}
    summary = distill_cf(log, users=synthetic, progress=False, **budget)
    ended = time.perf_counter()
    announce(f"distilled: {ended - begun:.0f} s", shown)
    return {
        **line,
        "log_megabytes": round(size / 1e6),
        "log_items": log.num_items,
        "log_interactions": log.num_interactions,
        "write_seconds": round(written - started, 1),
        "distill_seconds": round(ended - begun, 1),
        "driver_megabytes": round(peak_megabytes()),
        "loss": summary.card.history[-1],
    }
