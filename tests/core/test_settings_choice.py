"""Settings chosen on held-out data: arithmetic by hand, candidates that can be run."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from multidd import modality
from multidd.cli import bench
from multidd.errors import DivergedError
from multidd.evaluation import settings_choice
from multidd.evaluation.benchmark import PublishedLines
from multidd.evaluation.report import Report, Row
from multidd.evaluation.results import Results
from multidd.evaluation.settings_choice import (
    HeldOut,
    Scores,
    SettingsChoice,
    defaults,
    main,
    page,
)
from multidd.modality import Parts
from tests.core.test_bench import misfits
from tests.registry import register

WITH_CHOICES = [
    kind for kind in modality.own_names() if modality.parts(kind).choices is not None
]

RECORDED = Path(__file__).parents[2] / "docs" / "benchmarks"

RATES = {1: 0.5, 2: 0.6, 3: 0.4}
"""Score of each rate with seed 0; with seed 1 a tenth more."""


@dataclass(frozen=True)
class Options:
    """Of the method of the modality here."""

    lr: int = 1
    depth: int = 1


def rates(**more: Any) -> SettingsChoice:
    settings = {"lr": (1, 2, 3)}
    return SettingsChoice("best", settings, [("few", {"size": 4})], **more)


def scores(*rows: tuple[float, ...]) -> Scores:
    return Scores(rates(), 0, {"few 4": rows})


@pytest.fixture
def bars(monkeypatch):
    """A modality "bars" that notes what it was asked; nothing is trained."""
    asked = []

    def method(data: str, size: int, *, options: Any = Options(), seed: int = 0) -> Any:
        asked.append((data, size, options, seed))
        if options.depth > 2:
            raise DivergedError("the loss is not a number", step=3)
        return SimpleNamespace(lr=options.lr, card=SimpleNamespace(seconds=2.5))

    class Evaluator:
        metric, digits = "accuracy", 1

        def __init__(self, on: str) -> None:
            self.on = on

    def evaluate(summary: Any, on: Any, **settings: Any) -> Report:
        assert settings["rows"] == [] and on.on.startswith("held out of few")
        values = (RATES[summary.lr] + settings["seeds"][0] / 10,)
        rows = tuple(Row("best", m, {"accuracy": values}) for m in "ab")
        return Report(rows, {}, {}, "best", "accuracy")

    def held_out(data: str, seed: int) -> tuple[str, dict[str, Any]]:
        return f"{data}/{seed}", {"on": f"held out of {data}/{seed}"}

    choices = SimpleNamespace(CHOICES=(rates(),), held_out=held_out)
    parts = Parts(
        summaries={"bars": SimpleNamespace(kind="bars")},
        evaluators={"bars": Evaluator},
        methods={"best": method},
        with_loop=(),
        load_for_evaluation=lambda data: (data, {}),
        choices=choices,
    )
    register(monkeypatch, "bars", lambda: parts)
    monkeypatch.setattr(settings_choice, "evaluate", evaluate)
    return SimpleNamespace(choices=choices, asked=asked)


# --- candidates -------------------------------------------------------------------


def test_candidates_are_every_combination():
    grid = SettingsChoice("best", {"lr": (1, 2), "depth": (1, 3)}, [])
    assert [tuple(one.values()) for one in grid.candidates] == [
        (1, 1),
        (1, 3),
        (2, 1),
        (2, 3),
    ]
    assert (grid.name, rates(options={"depth": 2}).name) == (
        "best lr, depth",
        "best lr (depth=2)",
    )


@pytest.mark.parametrize(
    ("settings", "options"),
    [({}, {}), ({"lr": (1,)}, {}), ({"lr": (1, 2)}, {"lr": 3})],
)
def test_choices_without_a_choice_are_refused(settings, options):
    with pytest.raises(ValueError, match="two candidates or more for each setting"):
        SettingsChoice("best", settings, [], options)


def test_the_default_must_be_a_candidate(bars):
    method = modality.parts("bars").methods["best"]
    assert defaults(method) == {"lr": 1, "depth": 1, "seed": 0}
    assert rates().default(method) == 0
    other = SettingsChoice("best", {"lr": (2, 3)}, [])
    with pytest.raises(ValueError, match=r"defaults {'lr': 1} among its candidates"):
        other.default(method)


# --- what scores say --------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "best", "stands", "verdict"),
    [
        # Above by 20 and 30 points.
        (
            [(0.5, 0.6), (0.7, 0.9), (0.4, 0.4)],
            1,
            False,
            "lr=1 does not stand: lr=2 is above by 25.0 ± 7.1 in 2 runs.",
        ),
        # Above by 10 and below by 4.
        (
            [(0.5, 0.6), (0.6, 0.56), (0.4, 0.4)],
            1,
            True,
            "lr=1 stands: lr=2 is above by 3.0 ± 9.9 in 2 runs.",
        ),
        (
            [(0.5, 0.6), (0.5, 0.6), (0.4, 0.4)],
            0,
            True,
            "lr=1 stands, and is the best in 2 runs.",
        ),
        (
            [(0.5,), (0.4,), (0.6,)],
            2,
            None,
            "lr=1 is undecided: lr=3 is above by 10.0 (1 seed).",
        ),
    ],
    ids=["above", "within", "best", "one"],
)
def test_a_default_stands_within_one_deviation(rows, best, stands, verdict):
    compared = scores(*rows)
    assert (compared.best, compared.stands) == (best, stands)
    assert compared.verdict == f"best lr: the default {verdict}"


def test_differences_are_of_the_same_split():
    """What a split is worth takes no part, nor do seeds that one of them lacks."""
    compared = scores((0.1, 0.9), (0.2, 1.0, 0.7), (0.1, 0.8))
    assert compared.over_default(1) == [0.1, 0.1]
    assert compared.over_default(2) == [0.0, -0.1]
    assert compared.table() == [
        ["candidate", "few 4", "over the default", ""],
        ["lr=1", "50.0 ± 56.6", "", "default"],
        ["lr=2", "63.3 ± 40.4", "+10.0 ± 0.0", "best"],
        ["lr=3", "45.0 ± 49.5", "-5.0 ± 7.1", ""],
    ]


# --- the command ------------------------------------------------------------------


def test_candidates_are_run_once_for_each_split(bars, tmp_path, capsys):
    more = SettingsChoice("best", {"depth": (1, 2)}, rates().cells, {"lr": 1})
    bars.choices.CHOICES = (rates(), more)
    out = tmp_path / "bars.json"
    main("bars", seeds=2, out=out)
    tried = [(options.lr, options.depth, seed) for _, _, options, seed in bars.asked]
    # The default belongs to both choices.
    both = [(1, 1), (2, 1), (3, 1), (1, 2)]
    assert tried == [(*one, seed) for one in both for seed in (0, 1)]
    assert {data for data, *_ in bars.asked} == {"few/0", "few/1"}
    said = capsys.readouterr()
    assert "best lr: the default lr=1 does not stand: lr=2 is above by 10.0" in said.out
    assert "depth=1 stands, and is the best in 2 runs." in said.out
    assert "few 4 best (lr=2) 0.600000 0.700000 2.5\n" in said.err
    assert (
        "| lr=2 | 65.0 ± 7.1 | +10.0 ± 0.0 | best |"
        in out.with_suffix(".md").read_text()
    )
    line = json.loads(out.read_text())["lines"]["few 4 best (lr=3)"]
    assert line["cells"] == {"scores": "0.400000 0.500000", "seconds": "2.5"}
    assert line["command"] == "multidd bench settings bars --seeds 2"


def test_candidates_are_jobs_of_an_executor(bars, tmp_path):
    """The same scores and verdict; equal candidates are one job."""
    more = SettingsChoice("best", {"depth": (1, 2)}, rates().cells, {"lr": 1})
    bars.choices.CHOICES = (rates(), more)
    alone, together = tmp_path / "alone.json", tmp_path / "together.json"
    main("bars", seeds=2, out=alone)
    count = len(bars.asked)
    with ThreadPoolExecutor(2) as executor:
        main("bars", seeds=2, out=together, executor=executor)
    assert len(bars.asked) == 2 * count
    lines = [Results.read(path, "bars").lines for path in (alone, together)]
    cells = [{name: line.cells for name, line in one.items()} for one in lines]
    assert cells[0] == cells[1] and len(cells[0]) == 5
    texts = [path.with_suffix(".md").read_text() for path in (alone, together)]
    # What comes behind says how busy the machine was.
    verdicts = [text.partition("Measured at")[0] for text in texts]
    assert verdicts[0] == verdicts[1] and "best lr" in verdicts[0]


def test_scores_of_earlier_calls_stay(bars, tmp_path, capsys):
    """Some data today, others tomorrow: the verdict is over all of them."""
    cells = [("few", {"size": 4}), ("few", {"size": 5})]
    bars.choices.CHOICES = (SettingsChoice("best", {"lr": (1, 2, 3)}, cells),)
    out = tmp_path / "bars.json"
    main("bars", only="few 4 best", seeds=1, out=out)
    assert "lr=1 is undecided" in capsys.readouterr().out
    main("bars", only="few 5 best", seeds=1, out=out)
    assert "above by 10.0 ± 0.0 in 2 runs" in capsys.readouterr().out
    assert len(bars.asked) == 6


def test_a_run_that_diverges_scores_nothing(bars):
    choice = SettingsChoice("best", {"depth": (1, 3)}, rates().cells)
    line = choice.line(choice.cells[0], choice.candidates[1])
    score, seconds = HeldOut("bars").measured(line, 0)
    assert score == 0 and seconds < 1


def test_choices_are_named_where_none_fits(bars):
    with pytest.raises(ValueError, match="has 'nothing' in its name.*\nfew 4 best lr"):
        main("bars", only="nothing")


def test_a_modality_without_choices_says_so():
    assert modality.parts("graph").choices is None
    with pytest.raises(ValueError, match="graph lists no settings to choose"):
        HeldOut("graph")


def test_the_command_hands_its_options_on(monkeypatch):
    calls: list[Any] = []
    monkeypatch.setattr(settings_choice, "main", lambda *a, **k: calls.append((a, k)))
    bench.settings("bars", only="few", seeds=1)
    more = {"only": "few", "seeds": 1, "out": None, "executor": None}
    assert calls == [(("bars",), more)]


# --- those of the library ---------------------------------------------------------


@pytest.mark.parametrize("kind", WITH_CHOICES)
def test_every_candidate_can_be_run(kind):
    """The method takes it, its default is among them, and no name means two things."""
    parts = modality.parts(kind)
    table = PublishedLines.of(parts.published)
    further = getattr(parts.choices, "METHODS", {})
    methods = {**parts.methods, **table.methods, **further}
    lines = []
    for choice in parts.choices.CHOICES:
        choice.default(methods[choice.method])
        for cell in choice.cells:
            some = [choice.line(cell, one) for one in choice.candidates]
            lines += some
            if choice.method not in further:
                assert not [fault for one in some for fault in misfits(kind, one)]
    assert len({line.name for line in lines}) == len(lines)


@pytest.mark.parametrize("kind", WITH_CHOICES)
def test_recorded_scores_are_those_of_the_command(kind):
    recorded = RECORDED / f"settings-{kind}.json"
    text = page(kind, recorded)
    assert text == recorded.with_suffix(".md").read_text(encoding="utf-8")
    assert " stand" in text and "| default" in text


def test_scores_of_unknown_candidates_are_refused(bars, tmp_path):
    out = tmp_path / "bars.json"
    main("bars", seeds=1, out=out)
    assert page("bars", out).startswith("# Settings of bars: held-out accuracy %")
    line = Results.read(out, "bars").lines["few 4 best (lr=1)"]
    Results("bars").with_line("few 4 best (lr=9)", line).write(out)
    with pytest.raises(ValueError, match=r"lr=9.*`multidd bench settings bars` does"):
        page("bars", out)


def test_items_held_out_are_none_of_the_test_items():
    choices, recsys = modality.parts("recsys").choices, modality.parts("recsys")
    whole, _ = recsys.load_for_evaluation("sample:movietweetings")
    log, exam = choices.held_out("sample:movietweetings", 0)
    other, _ = choices.held_out("sample:movietweetings", 1)
    assert exam["on"] is log and log.test.nnz > 2000
    assert log.matrix.multiply(whole.test).nnz == 0
    assert (log.matrix != whole.train + whole.val).nnz == 0
    assert (log.test != other.test).nnz > 0  # each seed has a division of its own


@pytest.mark.parametrize("kind", ["text", "images"])
def test_records_held_out_are_training_records(kind):
    parts = modality.parts(kind)
    data = parts.choices.CHOICES[-1].cells[-1][0]
    whole, _ = parts.load_for_evaluation(data)
    train, exam = parts.choices.held_out(data, 0)

    def records(one: Any) -> Counter[Any]:
        values = one.texts if kind == "text" else map(bytes, one.x.flatten(1).numpy())
        return Counter(zip(values, one.labels.tolist(), strict=True))

    assert exam["train"] is train and len(exam["on"]) > 500
    assert records(train) + records(exam["on"]) == records(whole)
