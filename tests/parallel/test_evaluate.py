"""`evaluate` by executors: the report of one process, whoever did the trainings."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from dask import config
from distributed import Client, LocalCluster
from joblib.externals import loky

import multidd
from multidd import graph, images, recsys, text
from multidd.errors import MultiddError, WorkerLostError
from multidd.evaluation import plain
from multidd.evaluation.curve import curve
from multidd.graph.evaluation import plain as graph_plain
from tests.golden import tiny
from tests.parallel import work
from tests.parallel.test_mapped import forked

QUICK = multidd.Protocol(
    "quick", epochs=3, width=4, batch=8, whole_batch=8, whole_patience=1, whole_cap=2
)

pytestmark = pytest.mark.changes_globals("Dask draws names from `random`")


def _graph() -> tuple[Any, dict[str, Any]]:
    nodes = tiny.nodes()
    summaries = [graph.random(nodes, per_class=2, seed=seed) for seed in range(2)]
    return summaries, {"on": nodes, "models": ["mlp", work.Linear]}


def _graphs() -> tuple[Any, dict[str, Any]]:
    sets = tiny.graphs()
    return graph.random(sets, per_class=1), {"on": sets[6:], "train": sets, "val": sets}


def _images() -> tuple[Any, dict[str, Any]]:
    sets = tiny.images()
    more = {"models": work.linear_on_images, "regimes": ["plain", "HL", "SL"]}
    return images.random(sets, ipc=1), {"on": sets, "train": sets, **more}


def _recsys() -> tuple[Any, dict[str, Any]]:
    evaluator = recsys.Evaluator(tiny.log())
    more = {
        "models": ["ease", "als", work.popularity],
        "protocol": "untuned",
        "rows": ["whole", "random"],
    }
    return recsys.random(evaluator.log, users=6), {"on": evaluator, **more}


def _text() -> tuple[Any, dict[str, Any]]:
    sets, encoder = tiny.texts(), tiny.encoder()
    on = text.Evaluator(sets, train=sets, encoder=encoder)
    return text.random(sets, per_class=2, encoder=encoder), {
        "on": on,
        "regimes": ["plain"],
    }


@pytest.fixture(scope="module")
def short_trainings() -> Iterator[None]:
    """Here, and in every process that begins later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "WHOLE", multidd.Protocol("p", 4, whole_cap=8))
        patch.setattr(plain, "UPDATES", 4)
        patch.setattr(graph_plain, "EPOCHS", 4)
        yield


@pytest.fixture(scope="module")
def executors(short_trainings: None) -> Iterator[Mapping[str, Executor]]:
    """Of every kind; processes have loaded what they need when they begin."""
    options = {"host": "127.0.0.1", "dashboard_address": None, "silence_logs": 50}
    with ExitStack() as stack:
        stack.enter_context(
            config.set({"distributed.worker.multiprocessing-method": "fork"})
        )
        cluster = LocalCluster(n_workers=2, threads_per_worker=1, **options)
        client = stack.enter_context(Client(stack.enter_context(cluster)))
        pool = loky.ProcessPoolExecutor(2, context=get_context("fork"))
        yield {
            "processes": stack.enter_context(forked()),
            "loky": stack.enter_context(pool),
            "Dask": client.get_executor(),
            "threads": stack.enter_context(ThreadPoolExecutor(2)),
        }


def facts(report: Any) -> Any:
    """A report without what a clock says."""

    def timeless(value: Any) -> Any:
        if isinstance(value, list):
            return [timeless(one) for one in value]
        if not isinstance(value, dict):
            return value
        names = [
            n for n in value if "seconds" not in n and n not in ("costs", "teacher")
        ]
        return {name: timeless(value[name]) for name in names}

    return timeless(json.loads(json.dumps(report.to_dict())))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (_graph, ["processes", "loky", "Dask", "threads"]),
        (_graphs, ["processes", "threads"]),
        (_images, ["processes", "threads"]),
        (_recsys, ["processes", "threads"]),
        (_text, ["processes"]),
    ],
)
def test_every_executor_gives_the_same_report(
    make: Any, names: list[str], executors: Mapping[str, Executor]
) -> None:
    """With models of the caller's own, label regimes and plain trainings."""
    summary, settings = make()
    options = {"seeds": 2, "protocol": QUICK, "rows": ["whole", "random"]}
    options |= {"cache": False, "progress": False, **settings}
    expected = facts(multidd.evaluate(summary, **options))
    for name in names:
        report = multidd.evaluate(summary, **options, executor=executors[name])
        assert facts(report) == expected, name


def test_a_comparison_trains_equal_rows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Baselines of two summaries of one size: by an executor too."""
    nodes = tiny.nodes()
    sets = [graph.herding(nodes, per_class=2), graph.kmeans(nodes, per_class=2)]
    options: dict[str, Any] = {"seeds": 2, "protocol": QUICK, "rows": ["random"]}
    options |= {"cache": False, "progress": False}
    expected = facts(multidd.compare(sets, nodes, **options))
    trained = work.watch_trainings(graph.Evaluator, tmp_path, monkeypatch)
    with forked() as executor:
        report = multidd.compare(sets, nodes, executor=executor, **options)
    assert facts(report) == expected
    assert len(list(trained.iterdir())) == 6


def test_what_a_killed_worker_leaves_is_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says how many scores stand; the same call trains the others, and then
    nothing is left of them on disk."""
    nodes = tiny.nodes()
    summary = graph.random(nodes, per_class=2)
    options: dict[str, Any] = {"protocol": QUICK, "rows": ["whole"], "progress": False}
    expected = facts(multidd.evaluate(summary, nodes, cache=False, **options))
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "multidd" / "trainings"
    trained = work.watch_trainings(graph.Evaluator, tmp_path, monkeypatch, kill_at=2)
    with forked() as executor, pytest.raises(WorkerLostError, match=str(folder)) as e:
        multidd.evaluate(summary, nodes, executor=executor, **options)
    count = len(list(folder.iterdir()))
    assert count >= 1 and f"{count} of 6 results stand" in str(e.value)
    before = len(list(trained.iterdir()))
    with forked() as executor:
        report = multidd.evaluate(summary, nodes, executor=executor, **options)
    assert facts(report) == expected
    assert len(list(trained.iterdir())) == before + 6 - count
    assert not list(folder.iterdir())


def test_models_that_no_process_can_get(executors: Mapping[str, Executor]) -> None:
    """A lambda stands in no module; threads and this process take it."""
    nodes = tiny.nodes()
    summary = graph.random(nodes, per_class=2)
    options: dict[str, Any] = {"models": lambda d, c: work.Linear(d, c), "rows": []}
    options |= {"seeds": 1, "protocol": QUICK, "progress": False}
    with pytest.raises(MultiddError, match="random.*seed 0' cannot be sent.*no lambda"):
        multidd.evaluate(summary, nodes, executor=executors["processes"], **options)
    multidd.evaluate(summary, nodes, executor=executors["threads"], **options)


def test_a_curve_by_workers(tmp_path: Path) -> None:
    """The same points; a first budget that is refused leaves whole data in."""
    source, methods = {"data": "sample:cora"}, ["random", "kmeans"]
    options: dict[str, Any] = {"protocol": QUICK, "progress": False}

    def points(name: str, executor: Executor | None) -> Any:
        folder = tmp_path / name
        curve(
            "graph",
            source,
            methods,
            "nodes",
            [3, 7],
            out=folder,
            executor=executor,
            **options,
        )
        facts = json.loads((folder / "curve.json").read_text())
        return [{**one, "seconds": None} for one in facts["points"]], facts["left_out"]

    expected = points("alone", None)
    assert [one["method"] for one in expected[0]] == ["whole", "random", "kmeans"]
    assert len(expected[1]) == 2
    with forked() as executor:
        assert points("workers", executor) == expected
