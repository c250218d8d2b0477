"""`mapped`: order, results on disk, killed workers, errors, warnings, shared values."""

import functools
import os
import resource
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multidd.errors import DivergedError, MultiddError, MultiddWarning, WorkerLostError
from multidd.parallel import mapped
from multidd.parallel.results import ResultFolder, decoded, encoded
from multidd.parallel.worker import Reply
from tests.parallel import work


def forked(workers: int = 2) -> ProcessPoolExecutor:
    """Processes that begin at once, and before there is anything to inherit."""
    executor = ProcessPoolExecutor(workers, get_context("fork"))
    executor.submit(int).result()
    return executor


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with forked() as executor:
        yield executor


@pytest.fixture(params=["none", "threads", "processes"])
def anywhere(request: Any, processes: Executor) -> Iterator[Executor | None]:
    with ThreadPoolExecutor(2) as threads:
        each = {"none": None, "threads": threads, "processes": processes}
        yield each[request.param]


# --- results --------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_jobs(anywhere: Executor | None) -> None:
    assert mapped(work.late_first, range(4), anywhere) == [0, 1, 2, 3]
    assert mapped(work.square, iter([]), anywhere) == []


def test_each_result_is_told_as_it_comes(anywhere: Executor | None) -> None:
    order: list[tuple[int, int]] = []
    mapped(
        work.square,
        [3, 4],
        anywhere,
        on_result=lambda n, value: order.append((n, value)),
    )
    assert sorted(order) == [(0, 9), (1, 16)]


@pytest.mark.parametrize("names", [["a"], ["a", "a"]])
def test_names_fit_the_jobs(names: list[str]) -> None:
    with pytest.raises(ValueError, match="names must be one for each of the 2 jobs"):
        mapped(work.square, [1, 2], names=names)


def test_results_stay_on_disk(tmp_path: Path, anywhere: Executor | None) -> None:
    """The same call takes them from there; other jobs and functions are done."""
    results, done = tmp_path / "results", tmp_path / "done"
    done.mkdir()
    function = functools.partial(work.noted, str(done))
    assert mapped(function, range(3), anywhere, folder=results) == [0, 1, 2]
    assert mapped(function, range(4), anywhere, folder=results) == [0, 1, 2, 3]
    assert len(list(done.iterdir())) == 4
    assert mapped(work.square, range(3), anywhere, folder=results) == [0, 1, 4]


def test_every_kind_of_result_comes_back(tmp_path: Path) -> None:
    first = mapped(work.several_kinds, [2], folder=tmp_path)[0]
    again = mapped(work.several_kinds, [2], folder=tmp_path)[0]
    assert torch.equal(first.pop("tensor"), again.pop("tensor"))
    array = again.pop("array")
    assert np.array_equal(first.pop("array"), array) and array.dtype == np.float32
    assert type(again["scalar"]) is np.float64
    assert first == again


def test_a_result_that_no_file_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="job '0': a result on disk must be of numbers"):
        mapped(set, [[1]], folder=tmp_path)


@pytest.mark.parametrize(
    "form",
    [{"tensor": "t1"}, {"float": "1"}, {"tuple": 3}, {"code": "x"}, {"a": 1, "b": 2}],
)
def test_a_form_of_something_else_is_refused(form: Any) -> None:
    with pytest.raises(ValueError, match="part of a result"):
        decoded({"dict": {"x": form}}, encoded(torch.ones(1))[1])


def test_damaged_results_are_done_again(tmp_path: Path) -> None:
    mapped(work.square, [1, 2, 3], folder=tmp_path)
    folder = ResultFolder(tmp_path, work.square, [1, 2, 3], list("012"))
    content = bytearray(folder.file(1).read_bytes())
    content[-2] ^= 4
    folder.file(1).write_bytes(bytes(content))
    folder.file(2).write_bytes(folder.file(0).read_bytes())
    text = "2 damaged results are done again.*is damaged.*of another job, '0'"
    with pytest.warns(MultiddWarning, match=text):
        assert mapped(work.square, [1, 2, 3], folder=tmp_path) == [1, 4, 9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mapped(work.square, [1, 2, 3], folder=tmp_path) == [1, 4, 9]


# --- faults ---------------------------------------------------------------------------


def test_a_killed_worker_loses_its_job_alone(tmp_path: Path) -> None:
    """The error says what stands; the same call with a new pool does the rest."""
    results, done = tmp_path / "results", tmp_path / "done"
    done.mkdir()
    paths = {"flag": str(tmp_path / "flag"), "done": str(done)}
    function = functools.partial(work.dies_at_two, paths)
    text = r"a worker ended before its job did \(BrokenProcessPool, .*\): 2 of 3 "
    text += f"results stand in {results}. The same call with a new executor does"
    with forked() as executor, pytest.raises(WorkerLostError, match=text):
        mapped(function, range(3), executor, folder=results)
    with pytest.raises(WorkerLostError, match="2 of 3 results stand"):
        mapped(function, range(3), executor_that_broke(), folder=results)
    before = {path.name for path in done.iterdir()}
    (tmp_path / "done" / "0").unlink()
    with forked() as executor:
        assert mapped(function, range(3), executor, folder=results) == [0, 1, 2]
    assert before == {"0", "1"} and not (done / "0").exists()


def executor_that_broke() -> Executor:
    executor = forked(1)
    assert isinstance(executor.submit(work.dies).exception(), BrokenExecutor)
    return executor


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(WorkerLostError, match="none of the 2 results is kept.*folder="):
        mapped(work.square, [1, 2], executor_that_broke())


def test_an_error_names_its_job(anywhere: Executor | None, tmp_path: Path) -> None:
    """Beside an executor the others end first, and their results stay."""
    with pytest.raises(ValueError, match="1 is odd\nin job 'b'") as caught:
        mapped(
            work.fails_at_odd, range(4), anywhere, names=list("abcd"), folder=tmp_path
        )
    count = 1 if anywhere is None else 2
    assert len(list(tmp_path.iterdir())) == count
    if isinstance(anywhere, ProcessPoolExecutor):
        assert "fails_at_odd" in str(caught.value.__cause__)


def test_errors_with_named_arguments_are_sent(processes: Executor) -> None:
    with pytest.raises(DivergedError, match="not finite") as caught:
        mapped(work.diverges, [7], processes)
    assert caught.value.step == 7
    # Where Dask is loaded, pickle sends errors of any kind as they are.
    errors = MultiddError, work.UnsendableError
    with pytest.raises(errors, match="1 and 2\nin job '0'"):
        mapped(work.unsendable, [1], processes)


def test_what_cannot_be_sent_is_refused(processes: Executor) -> None:
    text = "job '0' cannot be sent to another process.*no lambda, none inside"
    with pytest.raises(MultiddError, match=text):
        mapped(lambda number: number, [1, 2], processes)
    with pytest.raises(MultiddError, match=text):
        mapped(work.entry, [1, 2], processes, shared={"function": lambda: 0})
    assert mapped(lambda number: number, [1, 2]) == [1, 2]


def test_results_and_jobs_that_cannot_be_read(processes: Executor) -> None:
    with pytest.raises(MultiddError, match="its result cannot be pickled.*\nin job"):
        mapped(work.unsendable_result, [1], processes)
    text = "cannot read its job .*Can't get attribute 'gone'.*joblib's loky"
    with pytest.raises(MultiddError, match=text):
        mapped(work.gone_elsewhere(), [1], processes)


def test_many_small_tensors_open_no_files(processes: Executor) -> None:
    """Torch's own way of sending tensors has a file for each: here are too many."""
    many = [torch.tensor([n]) for n in range(1000)]
    before = many[0].is_shared()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = len(os.listdir("/proc/self/fd")) + 200
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        results = mapped(work.all_of, [0], processes, shared=many)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(results[0]) == len(many) and int(results[0][-1]) == 999
    assert not before and not many[0].is_shared()


def test_warnings_of_workers_are_told_once(processes: Executor) -> None:
    text = r"labels were mapped \(first in job '[ab]'\)"
    with pytest.warns(MultiddWarning, match=text) as caught:
        mapped(work.warns, range(5), processes, names=list("abcde"))
    assert len(caught) == 1


def test_ctrl_c_takes_back_what_has_not_begun(tmp_path: Path) -> None:
    """Results that have come stay, and the error says so."""

    def stop(number: int, result: Any) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(KeyboardInterrupt) as caught:
            mapped(work.late_first, range(3), executor, folder=tmp_path, on_result=stop)
    assert f"1 of 3 results stand in {tmp_path}" in caught.value.__notes__[0]
    assert len(list(tmp_path.iterdir())) == 1


# --- shared values --------------------------------------------------------------------


def test_what_is_shared_goes_to_each_worker_once(tmp_path: Path) -> None:
    """Not with each job; a second call sends what is then the value."""
    with forked() as executor:
        for factor in 1, 2:
            arrivals = tmp_path / str(factor)
            arrivals.mkdir()
            values = {n: factor * n for n in range(20)}
            table = work.Counted(values, str(arrivals))
            results = mapped(work.entry, range(20), executor, shared=table)
            assert [value for value, _ in results] == list(values.values())
            # Two, or some more where a job with it went to one that had it already.
            assert 1 <= len(list(arrivals.iterdir())) < 10


class Simulated(Executor):
    """Workers by name that do a job as it is submitted; who takes it is said ahead.

    Args:
        turn: number of a packet, from 0, and whether it carries, to the worker.
    """

    def __init__(self, turn: Callable[[int, bool], str]) -> None:
        self.turn, self.packets = turn, 0
        self.holders: list[str] = []  # once for each time that the value came

    def submit(self, function: Any, /, *args: Any, **more: Any) -> Future[Reply]:
        (packet,) = args
        worker = self.turn(self.packets, packet.carries)
        self.packets += 1
        future: Future[Reply] = Future()
        if packet.carries:
            self.holders.append(worker)
        if worker in self.holders:
            result = packet.function({n: -n for n in range(100)}, packet.job)
            future.set_result(Reply(worker, result))
        else:
            future.set_result(Reply(worker, lacks_shared=True))
        return future


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_what_is_shared_is_sent_for_each_worker_that_lacks_it(workers: int) -> None:
    """Jobs that wait at a worker before it has the value all come back; one of them
    takes the value there, unless the others have done them all before."""
    executor = Simulated(lambda number, carries: f"worker {number % workers}")
    results = mapped(work.value_of, range(60), executor, shared={})
    assert results == [-n for n in range(60)]
    assert len(set(executor.holders)) >= 2
    assert len(executor.holders) <= 2 * workers


def test_jobs_that_never_reach_the_worker_that_lacks_it_end() -> None:
    """A worker takes all that come without the value, another all that bring it."""
    executor = Simulated(lambda number, carries: "full" if carries else "empty")
    results = mapped(work.value_of, range(20), executor, shared={})
    assert results == [-n for n in range(20)]
    assert set(executor.holders) == {"full"}


def test_threads_and_this_process_share_the_value_itself() -> None:
    table = {0: object()}
    with ThreadPoolExecutor(2) as executor:
        for one in None, executor:
            assert mapped(work.entry, [0], one, shared=table)[0][0] is table[0]
