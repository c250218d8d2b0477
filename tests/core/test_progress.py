"""Progress is one bar and one logger, which is silent unless somebody listens."""

import logging
import sys
from itertools import count
from types import SimpleNamespace

import pytest
from tqdm.auto import tqdm

import multidd
from multidd.engine import progress
from multidd.engine.card import CardInfo
from multidd.engine.progress import LOGGER, Bar, Estimate, announce, is_shown
from multidd.engine.stages import Stages
from multidd.objectives import GradientMatching
from multidd.parameterizations import Free
from multidd.selection.basic import Random
from tests.source import MODULES
from tests.toy import COUNTS, Toy


class Listener(logging.Handler):
    """Keeps the records."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)


@pytest.fixture
def listener():
    listener = Listener()
    LOGGER.addHandler(listener)
    LOGGER.setLevel(logging.DEBUG)
    yield listener
    LOGGER.removeHandler(listener)
    LOGGER.setLevel(logging.NOTSET)


def events(listener):
    return [record.progress for record in listener.records]


def test_a_run_tells_its_steps(listener):
    free, matching = Free(Random(), COUNTS), GradientMatching()
    card = CardInfo("mine")
    settings = {"steps": 3, "progress": False, "card": card}
    summary = multidd.distill(Toy(), matching, free, **settings)
    facts = events(listener)
    assert [fact["event"] for fact in facts] == ["start", *["step"] * 3, "end"]
    assert {fact["task"] for fact in facts} == {"mine"}
    steps = facts[1:-1]
    assert [fact["loss"] for fact in steps] == list(summary.card.history)
    assert [fact["step"] for fact in steps] == [1, 2, 3]
    assert steps[-1]["eta"] == 0 < steps[0]["eta"]
    assert {record.name for record in listener.records} == {"multidd"}


def test_an_evaluation_and_parts_tell_theirs(listener):
    data = multidd.samples.cora()
    short = multidd.Protocol("short", epochs=2, check_every=1)
    summary = multidd.graph.random(data, nodes=14)
    settings = {"seeds": 2, "protocol": short, "rows": [], "progress": False}
    multidd.evaluate(summary, data, **settings)
    steps = [fact for fact in events(listener) if fact["event"] == "step"]
    assert [(fact["model"], fact["seed"]) for fact in steps] == [("gcn", 0), ("gcn", 1)]
    with Stages("mine", shown=False)("first"):
        pass
    last = events(listener)[-1]
    assert (last["event"], last["task"], last["part"]) == ("part", "mine", "first")


def test_it_is_silent_by_default(capsys):
    assert not LOGGER.isEnabledFor(logging.INFO)
    assert any(isinstance(one, logging.NullHandler) for one in LOGGER.handlers)
    with Bar("dm", 2) as bar:
        bar.advance(loss=0.5)
    announce("a line")
    LOGGER.warning("said to nobody")
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_that_of_tqdm(capsys):
    with Bar("dm", 4, shown=True, step=1) as bar:
        assert isinstance(bar._bar, tqdm)
        bar.advance(loss=0.25)
        bar._bar.refresh()
    printed = capsys.readouterr().err
    assert "dm:" in printed and "2/4" in printed and "loss=0.25" in printed


def test_where_it_is_shown(monkeypatch):
    assert not is_shown(None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert is_shown(None) and not is_shown(False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    kernel = SimpleNamespace(config={"IPKernelApp": {}})
    shell = SimpleNamespace(get_ipython=lambda: kernel)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert is_shown(None)
    kernel.config.clear()
    assert not is_shown(None)


@pytest.mark.parametrize(
    ("seconds", "steps", "timeout", "text"),
    [
        (3.0, 1000, None, "dm: about 50 min for 1,000 steps of 3 s"),
        (3.0, 1000, 60.0, "; its timeout of 60 s ends it after about 20"),
        (0.5, 100_000, None, "dm: about 14 h for 100,000 steps of 0.5 s"),
        (0.5, 100, None, None),
        (30.0, 2, None, None),
    ],
)
def test_a_long_run_says_so_once(monkeypatch, listener, seconds, steps, timeout, text):
    """By a clock that is turned by hand; short ones, and the last step, say nothing."""
    clock = [0.0]
    monkeypatch.setattr(
        progress, "time", SimpleNamespace(perf_counter=lambda: clock[0])
    )
    estimate = Estimate("dm", steps, timeout)
    for step in range(1, min(steps, 20) + 1):
        clock[0] += seconds
        estimate.look(step)
    estimates = [r for r in listener.records if r.progress["event"] == "estimate"]
    assert [text in record.getMessage() for record in estimates] == [True] * (
        text is not None
    )
    assert estimate.seconds == pytest.approx(seconds * steps)


def test_a_slow_first_step_does_not_count(monkeypatch, listener):
    """It also loads and compiles; what it took is in the estimate, once."""
    clock = [0.0]
    monkeypatch.setattr(
        progress, "time", SimpleNamespace(perf_counter=lambda: clock[0])
    )
    estimate = Estimate("dm", 100)
    for step, seconds in enumerate((50.0, 1.0, 1.0), 1):
        clock[0] += seconds
        estimate.look(step)
    assert estimate.seconds == pytest.approx(50 + 99)
    text = listener.records[-1].getMessage()
    assert text == "dm: about 2 min for 100 steps of 1 s"


def test_a_run_looks_at_its_steps(monkeypatch, listener):
    """Ten seconds pass between any two looks at the clock."""
    ticks = count(0, 10)
    clock = SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    monkeypatch.setattr(progress, "time", clock)
    free, matching = Free(Random(), COUNTS), GradientMatching()
    settings = {"steps": 9, "progress": False, "card": CardInfo("mine")}
    multidd.distill(Toy(), matching, free, **settings)
    estimates = [r for r in listener.records if r.progress["event"] == "estimate"]
    assert len(estimates) == 1 and estimates[0].progress["task"] == "mine"
    assert estimates[0].levelname == "INFO" and estimates[0].progress["steps"] == 9


def test_no_other_bar_or_logger():
    """Of the library's own; those of other libraries are silenced where they are."""
    for name, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        if name != progress.__name__:
            assert "import tqdm" not in text and "tqdm(" not in text, name
            assert "logging.getLogger" not in text, name
