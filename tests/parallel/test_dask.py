"""Dask's executor: the same results, also where a worker was killed."""

import functools
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest
from dask import config
from distributed import Client, LocalCluster

from multidd.parallel import mapped
from tests.parallel import work

pytestmark = pytest.mark.changes_globals("Dask draws names from `random`")


@pytest.fixture(scope="module")
def dask() -> Iterator[Executor]:
    """Two processes of this machine that have loaded what they need, and nothing that
    listens beyond it."""
    options = {"host": "127.0.0.1", "dashboard_address": None, "silence_logs": 50}
    with (
        config.set({"distributed.worker.multiprocessing-method": "fork"}),
        LocalCluster(n_workers=2, threads_per_worker=1, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor()


def test_a_killed_worker_costs_nothing(dask: Executor, tmp_path: Path) -> None:
    paths = {"flag": str(tmp_path / "flag"), "done": str(tmp_path / "done")}
    (tmp_path / "done").mkdir()
    function = functools.partial(work.dies_at_two, paths)
    assert mapped(function, range(6), dask) == list(range(6))
    assert (tmp_path / "flag").exists()


def test_errors_and_shared_values(dask: Executor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 is odd\nin job '1'"):
        mapped(work.fails_at_odd, range(3), dask)
    table = work.Counted({n: -n for n in range(30)}, str(tmp_path))
    results = mapped(work.entry, range(30), dask, shared=table)
    assert [value for value, _ in results] == [-n for n in range(30)]
    # Two, or some more where a job with the value went to one that had it already; the
    # scheduler, which is here, reads each on its way.
    read = [path.name.partition("-")[0] for path in tmp_path.iterdir()]
    assert 1 <= sum(process != str(os.getpid()) for process in read) < 10
