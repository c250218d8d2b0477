"""Pools: processes that are set right, loky, Dask with a killed worker, and Ray."""

import functools
import importlib.util
import multiprocessing
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from multidd.errors import MissingPackageError, WorkerLostError
from multidd.parallel import mapped, pools, ray_executor, workers
from tests.parallel import work


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "usable_cores", lambda: 8)
    assert [pools.threads_of_each(count) for count in (1, 3, 8, 20)] == [8, 2, 1, 1]


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"count": 0}, ValueError, "workers must be 1 or more, got 0"),
        ({"count": "two"}, TypeError, "workers must be a whole number, got 'two'"),
        ({"count": 1, "threads": 0}, ValueError, "threads must be 1 or more, got 0"),
    ],
)
def test_pools_of_nothing_are_refused(settings: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text), workers(**settings):
        pass


def test_workers_are_set_right_and_end_with_the_block() -> None:
    """Their threads; a signal that ends them without a word; an error ends them all."""
    with pytest.raises(ZeroDivisionError), workers(1, threads=1) as executor:
        facts = mapped(work.surroundings, [0], executor)[0]
        assert facts["threads"] == facts["variable"] == 1
        assert facts["handler"] == signal.SIG_DFL
        executor.submit(time.sleep, 60)
        raise ZeroDivisionError
    psutil.Process(facts["process"]).wait(10)


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    """Also where nobody could tell it to: the parent was killed."""
    context = multiprocessing.get_context("fork")
    parent = context.Process(target=work.parent_of_one, args=(str(tmp_path),))
    parent.start()
    while not (names := list(tmp_path.iterdir())):
        time.sleep(0.01)
    worker = psutil.Process(int(names[0].name))
    parent.kill()
    worker.wait(10)


def test_loky_says_what_stands_where_a_worker_was_killed(tmp_path: Path) -> None:
    """joblib's executor breaks as a pool does; a new one does the rest."""
    from joblib.externals.loky import ProcessPoolExecutor

    paths = {"flag": str(tmp_path / "flag"), "done": str(tmp_path / "done")}
    (tmp_path / "done").mkdir()
    function = functools.partial(work.dies_at_two, paths)
    executor = ProcessPoolExecutor(2, context=multiprocessing.get_context("fork"))
    text = r"\(TerminatedWorkerError, .*\): 2 of 3 results stand in"
    with pytest.raises(WorkerLostError, match=text):
        mapped(function, range(3), executor, folder=tmp_path / "results")
    with ProcessPoolExecutor(1, context=multiprocessing.get_context("fork")) as rest:
        assert mapped(function, range(3), rest, folder=tmp_path / "results") == [
            0,
            1,
            2,
        ]


# --- Ray ------------------------------------------------------------------------------


class FakeRay(types.ModuleType):
    """What `ray_executor` asks of Ray, by threads."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.threads = ThreadPoolExecutor(2)
        self.options: dict[str, Any] = {}
        self.cancelled: list[Any] = []

    def remote(self, function: Callable[..., Any]) -> Any:
        return Task(self, function)

    def cancel(self, ref: "Ref") -> None:
        self.cancelled.append(ref)


class Ref:
    """A result that comes."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def future(self) -> Future[Any]:
        return self._future


class Task:
    """A function of Ray's."""

    def __init__(self, ray: FakeRay, function: Callable[..., Any]) -> None:
        self.ray, self.function = ray, function

    def options(self, **options: Any) -> "Task":
        self.ray.options = options
        return self

    def remote(self, *args: Any) -> Ref:
        return Ref(self.ray.threads.submit(self.function, *args))


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    yield fake
    fake.threads.shutdown()


def test_ray_is_an_executor(fake_ray: FakeRay) -> None:
    executor = ray_executor(num_cpus=2, num_gpus=0.5, retries=1)
    assert fake_ray.options == {"num_cpus": 2, "num_gpus": 0.5, "max_retries": 1}
    assert mapped(work.square, range(3), executor) == [0, 1, 4]
    executor.submit(time.sleep, 0.05)
    executor.shutdown()
    assert not fake_ray.cancelled
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(work.square, 1)


def test_jobs_of_ray_are_taken_back(fake_ray: FakeRay) -> None:
    executor = ray_executor()
    for _ in range(3):
        executor.submit(time.sleep, 0.05)
    executor.shutdown(wait=False, cancel_futures=True)
    assert len(fake_ray.cancelled) == 3


def test_what_ray_asks_for(fake_ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="0 or more; got num_gpus is -1"):
        ray_executor(num_gpus=-1)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match="'ray', which is not installed"):
        ray_executor()


@pytest.mark.changes_globals("Ray draws names, and has a handler of SIGTERM")
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed"
)
def test_ray_itself(tmp_path: Path) -> None:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        paths = {"flag": str(tmp_path / "flag"), "done": str(tmp_path / "done")}
        (tmp_path / "done").mkdir()
        function = functools.partial(work.dies_at_two, paths)
        assert mapped(function, range(6), ray_executor()) == list(range(6))
        table = torch.arange(6)
        results = mapped(work.entry, range(6), ray_executor(), shared=table)
        assert [int(value) for value, _ in results] == list(range(6))
    finally:
        ray.shutdown()
