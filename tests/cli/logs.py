"""A log of events with odd column names, and a run folder of a summary of it."""

import numpy as np
import pandas

import multidd
from multidd.cli.run_data import record, with_files
from multidd.cli.run_folder import RunFolder

COLUMNS = {"user": "Who Is It", "item": "película", "rating": "stars", "time": "when"}
NAMES = ["--user", COLUMNS["user"], "--item", COLUMNS["item"]]
USERS, FILMS = 60, 40


def write_events(path):
    """Sixty people of two tastes, and what they watched: a parquet file."""
    rng = np.random.default_rng(0)
    taste = np.arange(USERS)[:, None] % 2 == np.arange(FILMS) % 2
    users, films = np.nonzero(rng.random((USERS, FILMS)) < np.where(taste, 0.5, 0.05))
    frame = pandas.DataFrame(
        {
            "other": 1,
            COLUMNS["item"]: [f"film {i}" for i in films],
            COLUMNS["user"]: users * 10**15,
            COLUMNS["rating"]: rng.integers(1, 6, len(users)) / 2,
            COLUMNS["time"]: rng.permutation(len(users)),
        }
    )
    frame.sample(frac=1, random_state=0).to_parquet(path, index=False)
    return path


def read(events):
    """What the command line reads with seed 0."""
    return multidd.recsys.load(events, user=COLUMNS["user"], item=COLUMNS["item"])


def write_run(folder, events):
    """A run folder of ten short histories."""
    options = {"length": 8, "steps": 50, "progress": False}
    summary = multidd.recsys.distill_cf(read(events), 10, **options)
    source = {"data": str(events), "seed": 0}
    source |= {"user": COLUMNS["user"], "item": COLUMNS["item"]}
    source = record("recsys", source)
    RunFolder(folder).write(with_files(summary, source), source)
    return folder


def quick(events):
    """A quick run on the log."""
    return ["distill", "recsys", "--data", events, *NAMES, "--users", "5", "--quiet"]
