"""The tables of `multidd bench`: arithmetic by hand, and lines that can be run."""

import inspect
import pathlib
import statistics
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from multidd import modality
from multidd.cli import bench as bench_module
from multidd.errors import MultiddError, MultiddWarning
from multidd.evaluation import benchmark
from multidd.evaluation.benchmark_table import head
from multidd.evaluation.evaluator import BaseEvaluator
from multidd.evaluation.lines import Line, PublishedLines
from multidd.evaluation.report import Report, Row
from multidd.evaluation.results import Results
from multidd.modality import Parts
from tests.registry import register

SCORES = {0: (0.5, 0.7), 1: (0.8, 0.8), None: (0.9, 0.9)}
"""Accuracies of two trainings, by the seed of what they were trained on."""

ONE = {"size": 1}


class Here:
    """A process pool that runs in this process."""

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, function: Any, *args: Any) -> Any:
        result = function(*args)
        return SimpleNamespace(result=lambda: result)


class Made:
    """What the method of the modality made here gives: its seed, as a text."""

    card = SimpleNamespace(steps=4)

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def save(self, path: str) -> None:
        pathlib.Path(path).write_text(str(self.seed))


@pytest.fixture
def bars(monkeypatch):
    """A modality "bars" that notes what it was asked; nothing is trained."""
    table, asked = SimpleNamespace(LINES=()), []

    def method(train: str, *, size: int, lr: int = 1, seed: int = 0) -> Made:
        asked.append((train, {"size": size, "lr": lr, "seed": seed}))
        return Made(seed)

    def load_for_evaluation(data: str, *, seed: int) -> tuple[str, dict[str, Any]]:
        return f"{data}/{seed}", {"on": f"test/{seed}"}

    def evaluate(
        summary: Any, *, models: Any, on: str, seeds: int, **settings: Any
    ) -> Report:
        asked.append((on, settings | {"models": models}))
        rows = [Row("random", "m", {"accuracy": (0.1,) * seeds})]
        for name in models or ("m",):
            whole = settings["rows"] == ["whole"]
            values = [
                v + (name == "n") / 10 for v in SCORES[None if whole else summary]
            ]
            label = "whole" if whole else "best"
            size = 3000 if whole else 1024 * (1 + 2 * summary)
            scores = {"accuracy": tuple(values[:seeds])}
            rows.append(Row(label, name, scores, num_bytes=size))
        return Report(tuple(rows), {}, {}, "best", "accuracy")

    table.SMALLEST, table.same_split = ONE, lambda data: data == "fixed"
    parts = Parts(
        summaries={"bars": SimpleNamespace(kind="bars")},
        evaluators={"bars": BaseEvaluator},
        methods={"best": method, "random": lambda train, size: None},
        with_loop=(),
        load_for_evaluation=load_for_evaluation,
        published=table,
    )
    register(monkeypatch, "bars", lambda: parts)
    monkeypatch.setattr(benchmark, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(benchmark, "evaluate", evaluate)
    monkeypatch.setattr(benchmark, "load", lambda path: int(open(path).read()))
    return SimpleNamespace(table=table, asked=asked)


def measured(line: Line, seeds: int = 2, trainings: int = 2) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        cells = benchmark._measured("bars", line, seeds, trainings, folder)
    heads = head(["accuracy"], benchmark._table("bars").sized)
    return dict(zip(heads, cells, strict=True))


@pytest.mark.parametrize("budget", [ONE, {}], ids=["summary", "whole"])
def test_sizes_where_the_table_tells_them(bars, budget):
    line = Line("fixed", budget, "best" if budget else "whole")
    assert "KiB" not in measured(line)
    bars.table.SIZED = True
    # Summaries of seeds 0 and 1 have one and three KiB.
    assert measured(line)["KiB"] == ("2" if budget else "3")


def test_scores_are_pooled_over_seeds_and_trainings(bars):
    cells = measured(Line("free", ONE, "best", "81"))
    spread = statistics.stdev([50, 70, 80, 80])
    assert cells["test accuracy %"] == f"70.0 ± {spread:.1f}"
    assert cells["worst seed"] == "60.0"
    assert cells["runs"] == "2 x 2"
    assert (cells["line"], cells["published"]) == ("free 1 best", "81")
    assert float(cells["seconds"]) < 1 and float(cells["s / step"]) < 1
    assert float(cells["peak MB"]) > 10


def test_each_seed_has_its_own_split_and_settings(bars):
    line = Line("free", ONE, "best", options={"lr": 3}, protocol="quick")
    measured(line, trainings=1)
    free = [one for one in bars.asked if one[0].startswith("free")]
    assert free == [
        (f"free/{seed}", {"size": 1, "lr": 3, "seed": seed}) for seed in range(2)
    ]
    judged = [one for one in bars.asked if one[0].startswith("test")]
    assert [where for where, _ in judged] == ["test/0", "test/1"]
    for _, settings in judged:
        assert (settings["protocol"], settings["rows"]) == ("quick", [])


def test_a_single_score_has_no_spread(bars):
    assert (
        measured(Line("free", ONE, "best"), 1, 1)["test accuracy %"] == "50.0 (1 seed)"
    )


def test_mean_over_models(bars):
    cells = measured(Line("free", ONE, "best", models=("m", "n")))
    assert cells["line"] == "free 1 best, mean of 2 models"
    spread = statistics.stdev([55, 75, 85, 85])
    assert cells["test accuracy %"] == f"75.0 ± {spread:.1f}"


@pytest.mark.parametrize(("data", "runs"), [("fixed", "1 x 2"), ("free", "2 x 2")])
def test_whole_data_cost_nothing_to_make(bars, data, runs):
    cells = measured(Line(data, {}, "whole"))
    assert cells["line"] == f"{data} all whole"
    assert (cells["runs"], cells["test accuracy %"]) == (runs, "90.0 ± 0.0")
    assert cells["seconds"] == cells["s / step"] == cells["peak MB"] == ""


def test_the_file_is_written_after_each_line(bars, tmp_path, capsys):
    """What was measured is kept where a later line fails."""
    bars.table.LINES = (Line("free", ONE, "best"), Line("free", ONE, "absent"))
    out = tmp_path / "deep/table.md"
    settings = {"seeds": 1, "trainings": 1, "out": out}
    with pytest.raises(KeyError, match="absent"):
        benchmark.measure("bars", only=None, **settings)
    assert "| free 1 best |  | 50.0 (1 seed) | 50.0 | 1 x 1 |" in out.read_text()
    assert "free 1 best" in capsys.readouterr().err
    table = benchmark.measure("bars", only="best", **settings)
    printed = str(table).splitlines()
    assert printed[0].split()[:2] == ["line", "published"]
    assert printed[2].startswith("free 1 best ")
    assert [record["line"] for record in table.records()] == ["free 1 best"]
    with pytest.raises(ValueError, match="no line has 'worst'(.|\n)*free 1 absent"):
        benchmark.measure("bars", only="worst", **settings)


def test_lines_measured_on_other_days_share_a_file(bars, tmp_path):
    """Each says what measures it again; what is not measured now stays as it was."""
    bars.table.LINES = (Line("free", ONE, "best"), Line("free", {}, "whole"))
    out = tmp_path / "table.json"
    benchmark.measure("bars", only="whole", seeds=1, trainings=1, out=out)
    before = Results.read(out, "bars").lines["free all whole"]
    benchmark.measure("bars", only="best", seeds=2, trainings=1, out=out)
    lines = Results.read(out, "bars").lines
    assert lines["free all whole"] == before
    line = lines["free 1 best"]
    assert line.cells["runs"] == "2 x 1"
    assert line.command.startswith("multidd bench bars --only 'free 1 best' --seeds 2")
    rows = benchmark.page("bars", out).splitlines()
    assert rows[2].startswith("| free 1 best |") and rows[2].endswith(f"{line.where} |")
    assert rows[3].startswith("| free all whole |")
    Results("other").write(out)
    with pytest.raises(ValueError, match="holds lines of 'other', not of 'bars'"):
        benchmark.measure("bars", only="best", seeds=2, trainings=1, out=out)


def test_lines_are_jobs_of_an_executor(bars, tmp_path, monkeypatch):
    """The same table and file, in the order of the lines."""
    bars.table.LINES = (Line("free", ONE, "best"), Line("free", {}, "whole"))
    settings = {"only": None, "seeds": 2, "trainings": 2}
    alone, out = benchmark.measure("bars", out=None, **settings), tmp_path / "t.json"
    with ThreadPoolExecutor(2) as executor:
        table = benchmark.measure("bars", out=out, executor=executor, **settings)
        timeless = [
            [{**row, "seconds": "", "s / step": "", "peak MB": ""} for row in records]
            for records in (alone.records(), table.records())
        ]
        assert timeless[0] == timeless[1]
        assert set(Results.read(out, "bars").lines) == {"free 1 best", "free all whole"}
        monkeypatch.setattr(benchmark, "current_process", Daemon)
        with pytest.raises(MultiddError, match="this worker may start none"):
            benchmark.measure("bars", out=None, executor=executor, **settings)


class Daemon:
    """A process that may start none."""

    daemon = True


def test_models_stand_side_by_side(bars, tmp_path):
    """Lines that differ in their model alone are one line of a second table."""
    both = tuple(Line("free", ONE, "best", models=(m,)) for m in "mn")
    bars.table.LINES = (*both, Line("free", ONE, "best", models=("m", "n")))
    out = tmp_path / "table.md"
    benchmark.measure("bars", only=None, seeds=1, trainings=1, out=out)
    tables = out.read_text().split("\n\n")
    assert len(tables) == 3
    head, _, row = tables[1].splitlines()
    assert head == "| line | m | n | seconds |"
    assert row.startswith("| free 1 best | 50.0 (1 seed) | 60.0 (1 seed) | ")


# --- the lines of every modality ------------------------------------------------------


@pytest.mark.parametrize("kind", modality.own_names())
def test_every_line_can_be_run(kind):
    """Its method takes its settings; its evaluator knows its models and protocol."""
    lines = modality.parts(kind).published.LINES
    reasons = {line.name: misfits(kind, line) for line in lines}
    assert not {name: message for name, message in reasons.items() if message}


def misfits(kind: str, line: Line) -> list[str]:
    """What of a line the modality does not know."""
    parts = modality.parts(kind)
    table, evaluator = PublishedLines.of(parts.published), parts.evaluators[kind]
    datasets = import_module(f"multidd.{kind}.data.benchmarks").DATASETS
    known = line.data in datasets or line.data.startswith(("sample:", "power-law:"))
    problems = [] if known else [f"data {line.data}"]
    problems += sorted(set(line.models) - set(evaluator.models))
    if line.protocol is not None and line.protocol not in evaluator.protocols:
        problems.append(f"protocol {line.protocol}")
    if line.method == "whole":
        return problems + list(line.budget) + list(line.options)
    if line.method in table.beside:
        unknown = set() if line.method in evaluator.rows else {line.method}
        return problems + sorted(unknown | set(line.options))
    if line.stage and line.stage not in table.stages:
        problems.append(f"stage {line.stage}")
    methods = {**parts.methods, **table.methods}
    parameters = inspect.signature(methods[line.method]).parameters
    taken = set(parameters)
    for parameter in parameters.values():  # its options and its run
        if is_dataclass(parameter.default):
            taken |= {field.name for field in fields(parameter.default)}
    problems += sorted((set(line.options) | set(line.budget)) - taken)
    return problems if len(line.budget) == 1 else [*problems, f"budget {line.budget}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "nowhere"}, ["data nowhere"]),
        ({"models": ("convnet", "oracle")}, ["oracle"]),
        ({"protocol": "mine"}, ["protocol mine"]),
        ({"options": {"stepz": 3}}, ["stepz"]),
        ({"budget": {}}, ["budget {}"]),
        ({"method": "whole"}, ["ipc"]),
        ({"stage": "polish"}, ["stage polish"]),
    ],
    ids=lambda value: next(iter(value)),
)
def test_a_line_that_cannot_be_run_is_told(change, message):
    line = Line(**{"data": "sample:fashion", "budget": {"ipc": 1}, "method": "dm"})
    assert misfits("images", line) == []
    assert misfits("images", replace(line, **change)) == message


@pytest.mark.parametrize("kind", modality.own_names())
def test_lines_have_names_of_their_own(kind):
    names = [line.name for line in modality.parts(kind).published.LINES]
    assert len(set(names)) == len(names)


def test_data_whose_split_is_the_same_for_all_seeds(monkeypatch):
    """A seed stands for a split only where the data have none of their own."""
    graphs = import_module("multidd.graph.evaluation.published")
    masks = {0: torch.tensor([True, False]), 1: torch.tensor([False, True])}
    loaded = {
        "public": lambda seed: SimpleNamespace(train_mask=masks[0]),
        "drawn": lambda seed: SimpleNamespace(train_mask=masks[seed]),
        "set": lambda seed: [],
    }
    monkeypatch.setattr(graphs, "load", lambda data, seed: loaded[data](seed))
    assert [graphs.same_split(data) for data in loaded] == [True, False, False]
    images = import_module("multidd.images.evaluation.published")
    described = {"whole": lambda seed: "a", "drawn": lambda seed: f"a{seed}"}

    def load(data, seed):
        return SimpleNamespace(
            test=SimpleNamespace(describe=lambda: described[data](seed))
        )

    monkeypatch.setattr(images, "load", load)
    assert [images.same_split(data) for data in described] == [True, False]
    for kind, data in (("recsys", "ml-1m"), ("text", "trec6")):
        published = import_module(f"multidd.{kind}.evaluation.published")
        assert published.same_split(data) is True


def test_whole_data_are_timed_where_the_table_tells_that(bars, monkeypatch):
    asked = []

    def judged(*args):
        asked.append(args)
        cost = {"bytes": 7, "form": "", "seconds": 2.0, "peak": 3.0}
        return {"accuracy": [0.9]}, cost

    monkeypatch.setattr(benchmark, "_judged", judged)
    line = Line("fixed", {}, "whole")
    costs = []
    for timed in (False, True):
        bars.table.TIMED = timed
        scores, cost = benchmark._scores("bars", line, None, 0, 1)
        assert scores == {"accuracy": [0.9]}
        costs.append(cost)
    size = {"bytes": 7, "form": ""}
    assert costs == [size, size | {"seconds": 2.0, "peak": 3.0}]
    assert asked == [("bars", line, None, 0, 1)] * 2


def test_a_modality_without_published_lines_has_no_command():
    graph = modality.entry("graph")
    assert bench_module._command(graph).__doc__.startswith("Graph condensation beside")
    assert bench_module._command(replace(graph, bench=None)) is None


def test_every_recipe_for_images_is_shown_on_the_sample():
    from multidd.images.evaluation.published import LINES, SAMPLE
    from multidd.images.methods.registry import METHODS

    shown = {line.method for line in LINES if line.data == SAMPLE}
    assert shown == {*METHODS, "whole", "random_tiles"}


def test_workers_say_a_warning_once(capsys, monkeypatch):
    """Of three seeds, with filters changed in between, as some code does."""
    others = []
    monkeypatch.setattr(warnings, "showwarning", lambda text, *_: others.append(text))
    begin = benchmark._process()._initializer
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        begin()
        for _ in range(3):
            warnings.warn("edges are not used", MultiddWarning, stacklevel=1)
            warnings.warn("another's", UserWarning, stacklevel=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
    said = capsys.readouterr().err
    assert said.count("multidd: warning: edges are not used\n") == 1
    assert [str(text) for text in others] == ["another's"] * 3
