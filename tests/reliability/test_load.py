"""Under load: two writers, a full disk, little memory, many readers, interrupts."""

import json
import os
import random
import resource
import signal
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.sparse import csr_array

import multidd
from multidd import graph, recsys
from multidd.cli.run_folder import RunFolder
from multidd.errors import MultiddWarning, StorageError
from multidd.learning.memory import available_memory
from multidd.storage import cache
from multidd.summary import FILE
from tests.cli import logs
from tests.golden import tiny
from tests.golden.make_stored_runs import STORED
from tests.graph import raw_folders
from tests.reliability import load
from tests.reliability.load import FullDisk, command, run
from tests.reliability.test_interrupts import assert_equal

MANY = [pytest.param(True, marks=pytest.mark.full, id="many")]
QUICK_OR_MANY = [pytest.param(False, id="quick"), *MANY]
PNG = b"\x89PNG\r\n\x1a\n"


def stored(name: str) -> Any:
    return multidd.load(STORED / name)


def strays(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*.tmp")]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and pictures that are written and not rendered."""
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Figure, "savefig", lambda _, file, **how: file.write(PNG))


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small log, as a file."""
    path: Path = logs.write_events(tmp_path_factory.mktemp("log") / "events.parquet")
    return path


def distill_words(events: Path, out: Path, seed: int = 0) -> list[str]:
    """A quick run of the command line."""
    more = ["--method", "random", "--seed", seed, "--out", out]
    return [str(word) for word in (*logs.quick(events), *more)]


# --- two writers --------------------------------------------------------------


@pytest.mark.parametrize("many", QUICK_OR_MANY)
def test_one_of_two_summaries_is_whole(
    many: bool, children: Any, tmp_path: Path
) -> None:
    path, ready = tmp_path / FILE, children.Event()
    times = 1000 if many else 30
    digests = {stored(name).digest() for name in load.SUMMARIES}
    assert len(digests) == 2
    stored(load.SUMMARIES[0]).save(path)
    writers = [
        children.Process(target=load.save_often, args=(name, path, times, ready))
        for name in load.SUMMARIES
    ]
    for writer in writers:
        writer.start()
    ready.set()
    reads = 0
    while any(writer.is_alive() for writer in writers) or not reads:
        assert multidd.load(path).digest() in digests
        reads += 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert multidd.load(path).digest() in digests
    assert os.listdir(tmp_path) == [FILE]
    print(f"{2 * times} saves, {reads} reads")


@pytest.mark.parametrize("many", QUICK_OR_MANY)
def test_one_of_two_runs_is_whole(many: bool, children: Any, tmp_path: Path) -> None:
    expected, refused = run().digest(), 0
    for number in range(50 if many else 1):
        ready, results = children.Event(), children.SimpleQueue()
        place = (tmp_path / str(number), torch.get_num_threads(), ready, results)
        runs = [children.Process(target=load.run_once, args=place) for _ in range(3)]
        for one in runs:
            one.start()
        ready.set()
        ends = [results.get() for _ in runs]
        for one in runs:
            one.join()
        assert expected in ends
        others = [end for end in ends if end != expected]
        assert all(end.startswith("LockedError: ") for end in others), others
        assert all("is in use by process" in e or "not yet said" in e for e in others)
        refused += len(others)
        assert run(place[0]).digest() == expected and not strays(tmp_path)
    print(f"{refused} of {3 * (number + 1)} refused")


def test_a_run_folder_in_use_is_refused(events: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert command(*distill_words(events, out))[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    message = f"multidd: {out} is in use by process {os.getpid()} on "
    with RunFolder(out).lock():
        for words in (
            distill_words(events, out, seed=1),
            ["evaluate", str(out), "--models", "poprec", "--quiet"],
        ):
            code, printed, err = command(*words)
            assert (code, printed) == (2, "") and err.startswith(message), err
            assert err.count("\n") == 1
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert after == before
    assert command(*distill_words(events, out, seed=1))[0] == 0
    assert multidd.load(out).card.seed == RunFolder(out).source()["seed"] == 1


@pytest.mark.full
def test_one_of_two_commands_is_whole(
    children: Any, events: Path, tmp_path: Path
) -> None:
    refused = 0
    for number in range(20):
        ready, results = children.Event(), children.SimpleQueue()
        out = tmp_path / str(number)
        commands = [
            children.Process(
                target=load.command_once,
                args=(distill_words(events, out, seed), ready, results),
            )
            for seed in (0, 1)
        ]
        for one in commands:
            one.start()
        ready.set()
        codes, _, errors = zip(*(results.get() for _ in commands), strict=True)
        for one in commands:
            one.join()
        assert 0 in codes and set(codes) <= {0, 2}
        assert all("is in use by" in e for e, c in zip(errors, codes, strict=True) if c)
        refused += codes.count(2)
        seed = multidd.load(out).card.seed
        assert seed == RunFolder(out).source()["seed"]
        assert f"| seed | {seed} |" in (out / "report.md").read_text()
    print(f"{refused} of 40 refused")


# --- a full disk --------------------------------------------------------------


def tried_until_enough(work: Any, folder: Path, check: Any) -> int:
    """Refuse each request for room in its turn, until none is left to refuse.

    Args:
        work: does all its writing; called anew each time.
        folder: holds what it writes.
        check: called with the error, or None, after each try.

    Returns:
        How many requests were refused.
    """
    number = 0
    while True:
        number += 1
        disk, error = FullDisk(number), None
        with disk.patched():
            try:
                work()
            except Exception as caught:
                error = caught
        if disk.count < number:
            assert error is None
            return number - 1
        assert error is None or isinstance(error, StorageError), repr(error)
        assert not strays(folder), (number, strays(folder))
        check(error)


def names_place(error: Exception | None, place: Path) -> bool:
    """Whether an error is one sentence that says where there is no space."""
    text = str(error)
    return str(place) in text and "No space left" in text and "\n" not in text


def test_a_disk_that_is_full_at_any_write_of_a_summary(tmp_path: Path) -> None:
    old, new = (stored(name) for name in load.SUMMARIES)
    path = old.save(tmp_path / "runs")

    def check(error: Exception | None) -> None:
        digest = multidd.load(path).digest()
        if error is None:  # of a folder that is there already
            assert digest == new.digest()
        else:
            assert names_place(error, tmp_path / "runs")
            # Behind the rename only the folder is flushed.
            assert digest in (old.digest(), new.digest())
            assert new.save(path) == path
            assert multidd.load(path).digest() == new.digest()
        old.save(path)

    count = tried_until_enough(lambda: new.save(path), tmp_path, check)
    assert count >= 8
    print(f"{count} writes")


def test_a_disk_that_is_full_at_any_write_of_a_run(tmp_path: Path) -> None:
    expected = run(steps=3)
    folders = (tmp_path / str(number) for number in range(10**6))
    place: list[Path] = []
    summaries: list[Any] = []
    messages: list[str] = []

    def work() -> None:
        place.append(next(folders))
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always")
            summaries.append(run(place[-1], steps=3, every=1))
        for note in notes:
            assert note.category is MultiddWarning
            messages.append(str(note.message))
            assert "summary is returned" in messages[-1], messages[-1]
            assert str(place[-1]) in messages[-1]

    def check(error: Exception | None) -> None:
        if error is None:  # the last checkpoint, or nothing that matters
            assert_equal(summaries[-1], expected)
        else:
            assert names_place(error, place[-1])
        assert_equal(run(place[-1], steps=3, every=1), expected)

    count = tried_until_enough(work, tmp_path, check)
    assert count >= 25 and len(messages) >= 3
    print(f"{count} writes")


def test_a_disk_that_is_full_at_any_write_of_the_caches(tmp_path: Path) -> None:
    cache.write_cached("whole", load.KEY, {"accuracy": 0.5})
    features, texts = torch.ones(2, 4), ["a film", "a city"]
    facts = {"key": "ab" * 32, "dim": 4, "max_length": 8}
    encoded: Any = SimpleNamespace(encode_counted=lambda *_: (features, 0), **facts)
    home = str(raw_folders.write_planetoid(tmp_path / "home"))
    x = graph.load(home).x

    def work() -> None:
        cache.write_cached("whole", load.KEY, {"accuracy": 0.25})
        assert multidd.text.features(encoded, texts).equal(features)
        assert graph.load(home).x.equal(x)

    def check(error: Exception | None) -> None:
        assert error is None  # a cache that cannot be written only costs time
        value = cache.read_cached("whole", load.KEY)
        assert value in ({"accuracy": 0.5}, {"accuracy": 0.25})
        for path in (tmp_path / "cache" / "multidd").glob("[fr]*/*"):
            path.unlink()  # features, and what was read
        cache.write_cached("whole", load.KEY, {"accuracy": 0.5})

    count = tried_until_enough(work, tmp_path, check)
    assert count >= 20
    print(f"{count} writes")


@pytest.mark.parametrize("many", QUICK_OR_MANY)
def test_a_disk_that_is_full_at_any_write_of_a_command(
    many: bool, events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run folder of before stays whole, or has the new summary; nothing is lost."""
    out, rescue = tmp_path / "out", tmp_path / "rescue"
    rescue.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(rescue))
    assert command(*distill_words(events, out))[0] == 0
    old = multidd.load(out).digest()
    words = distill_words(events, out, seed=1)
    assert command(*distill_words(events, tmp_path / "new", seed=1))[0] == 0
    new = multidd.load(tmp_path / "new").digest()
    assert new != old
    ends: list[tuple[int, str, str]] = []
    rescued: list[Path] = []

    def check(error: Exception | None) -> None:
        code, printed, err = ends[-1]
        digest = multidd.load(out).digest()
        assert digest in (old, new)
        if code == 0:  # the picture alone: a warning
            assert digest == new and "RecsysSummary" in printed
        else:
            assert code == 2 and err.startswith("multidd: ") and str(tmp_path) in err
            assert "No space left" in err and err.count("\n") == 1, err
            for path in list(rescue.rglob(FILE)):
                rescued.append(path)
                assert str(path) in err and multidd.load(path).digest() == new
                path.unlink()
                path.parent.rmdir()
        if many or len(ends) % 8 == 0:
            assert command(*words)[0] == 0
            assert multidd.load(out).digest() == new
            assert RunFolder(out).source()["seed"] == 1
        stored_old(out)

    source = RunFolder(out).source()
    summary = multidd.load(out)

    def stored_old(folder: Path) -> None:
        RunFolder(folder).write(summary, source)

    def work() -> None:
        ends.append(command(*words))

    count = tried_until_enough(work, tmp_path, check)
    assert count >= 20 and len(rescued) >= 4 and not list(rescue.iterdir())
    print(f"{count} writes")


def test_a_folder_that_is_written_anew_is_not_mixed(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another command writes between the reading and the lock."""
    out, lock = tmp_path / "out", RunFolder.lock
    assert command(*distill_words(events, out))[0] == 0

    def late(folder: RunFolder) -> Any:
        monkeypatch.setattr(RunFolder, "lock", lock)
        assert command(*distill_words(events, out, seed=1))[0] == 0
        return lock(folder)

    monkeypatch.setattr(RunFolder, "lock", late)
    code, _, err = command("evaluate", out, "--models", "poprec", "--quiet")
    assert code == 2 and "was written anew while it was read; repeat" in err
    assert multidd.load(out).card.score is None


def test_scores_are_printed_before_they_are_written(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert command(*distill_words(events, out))[0] == 0
    words = ["evaluate", out, "--models", "poprec", "--rows", "", "--quiet"]

    def full(*_: Any) -> None:
        raise StorageError("cannot write it: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_report", full)
        code, printed, err = command(*words)
    assert code == 2 and "No space left" in err
    assert command(*words)[1].startswith(printed) and "HR@10" in printed


# --- little memory ------------------------------------------------------------


def test_a_limit_of_the_process_counts_as_memory() -> None:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2**29
    items = csr_array(np.eye(3, 20_000, dtype=np.float32))
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    try:
        assert 0 < (available_memory() or 0) <= 2**29
        with pytest.raises(MemoryError, match="20,000 items needs about 6.0 GiB, 0"):
            recsys.EASE(form="primal").fit(items)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_what_does_not_fit_is_refused_before_it_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("multidd.learning.memory._address_space", lambda: 1000)
    with pytest.raises(ValueError, match="condensing this graph takes about .*free"):
        graph.condense(tiny.nodes(), nodes=6, progress=False)
    with pytest.raises(ValueError, match="1000 bytes|1.0 KB"):
        graph.doscond_graphs(tiny.graphs(), per_class=2, steps=1, progress=False)


@pytest.mark.parametrize("allocate", [torch.empty, np.empty])
def test_memory_that_is_not_there_is_one_sentence(
    allocate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multidd.cli.main.app", lambda: allocate(2**55))
    code, _, err = command("methods")
    assert code == 2 and err.startswith("multidd: ") and err.count("\n") == 1
    assert "allocate" in err


# --- many readers -------------------------------------------------------------


@pytest.mark.parametrize("many", QUICK_OR_MANY)
def test_readers_of_a_cache_that_is_written(
    many: bool, children: Any, tmp_path: Path
) -> None:
    """Thirty-two at once: each read is right, or a miss."""
    done, results = children.Event(), children.SimpleQueue()
    times = 2000 if many else 20
    writer = children.Process(target=load.write_often, args=(tmp_path, done))
    readers = [
        children.Process(target=load.read_often, args=(tmp_path, times, results))
        for _ in range(32)
    ]
    for process in (writer, *readers):
        process.start()
    counts = [results.get() for _ in readers]
    done.set()
    for process in (*readers, writer):
        process.join()
    faults = [count for count in counts if not isinstance(count, int)]
    assert not faults, faults
    assert sum(counts) > 32 * times / 2 and writer.exitcode == 0
    assert not strays(tmp_path)
    print(f"{sum(counts)} reads")


# --- interrupts ---------------------------------------------------------------

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stopped(children: Any, dice: random.Random, longest: float, *work: Any) -> int:
    """Start a child, send it a signal at a random moment; its exit code."""
    here, there = children.Pipe(duplex=False)
    target, *arguments = work
    child = children.Process(target=target, args=(*arguments, there))
    child.start()
    there.close()
    assert here.recv() == "ready"
    time.sleep(dice.uniform(0, longest))
    with suppress(ProcessLookupError):  # it has ended already
        os.kill(child.pid, dice.choice(SIGNALS))
    child.join()
    return int(child.exitcode)


@pytest.mark.parametrize("many", QUICK_OR_MANY)
def test_a_run_stopped_at_random_moments(
    many: bool, children: Any, tmp_path: Path
) -> None:
    dice, steps, moments = random.Random(0), 40, 0
    expected = run(steps=steps)
    threads = torch.get_num_threads()
    for chain in range(60 if many else 1):
        folder = tmp_path / str(chain)
        for _ in range(5):
            stopped(children, dice, 0.15, load.run_to_the_end, folder, threads, steps)
            moments += 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_equal(run(folder, steps=steps, every=1), expected)
        assert not strays(folder)
    print(f"{moments} moments")


@pytest.mark.parametrize("many", QUICK_OR_MANY)
def test_a_save_stopped_at_random_moments(
    many: bool, children: Any, tmp_path: Path
) -> None:
    dice, moments = random.Random(1), 300 if many else 4
    digests = {stored(name).digest() for name in load.SUMMARIES}
    path = stored(load.SUMMARIES[0]).save(tmp_path)
    for _ in range(moments):
        assert stopped(children, dice, 0.05, load.save_in_turns, path) != 0
        assert multidd.load(path).digest() in digests
    print(f"{moments} moments")


@pytest.mark.parametrize("many", QUICK_OR_MANY)
def test_an_evaluation_stopped_at_random_moments(
    many: bool, children: Any, events: Path, tmp_path: Path
) -> None:
    dice, moments = random.Random(2), 200 if many else 3
    out = tmp_path / "out"
    assert command(*distill_words(events, out))[0] == 0
    before = multidd.load(out)
    note = (out / "run.json").read_bytes()
    words = ["evaluate", str(out), "--models", "poprec", "--rows", "whole", "--quiet"]
    assert command(*words)[0] == 0
    expected, report = multidd.load(out), (out / "report.md").read_text()
    for _ in range(moments):
        before.save(out)
        code = stopped(children, dice, 0.4, load.command_to_the_end, words)
        assert code in (0, 130, -signal.SIGTERM, -signal.SIGINT, 1), code
        card = multidd.load(out).card
        assert card.score in (before.card.score, expected.card.score)
        assert (out / "run.json").read_bytes() == note
        assert command(*words)[0] == 0
        after = multidd.load(out)
        assert after.digest() == before.digest()
        assert json.dumps(after.card.score) == json.dumps(expected.card.score)
        assert scores_of((out / "report.md").read_text()) == scores_of(report)
        assert not strays(out)
    print(f"{moments} moments")


def scores_of(report: str) -> str:
    """The tables of a report without the numbers of the clock, and what these decide:
    whether making has paid, and sentences on it."""
    rows = report.partition("## Scores")[2].partition("Making took")[0].splitlines()
    rows = [row for row in rows if row.startswith("|") and "has paid" not in row]
    return "\n".join(row.rpartition("|")[0][:60] for row in rows)
