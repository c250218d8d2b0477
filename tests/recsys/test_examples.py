"""The examples of this modality, run as a reader runs them, on a small log."""

import sys

import numpy as np
import pandas
import pytest

import multidd
from tests.examples import example


@pytest.fixture
def there(tmp_path, monkeypatch):
    """An empty folder to work in, with a cache of its own."""
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    monkeypatch.undo()  # before the globals are compared


@pytest.fixture
def events(there):
    """A file of events: seven of them twice, and a user who has one alone."""
    log = multidd.recsys.power_law(80, 60, 1600, seed=3)
    users, items = log.user_ids[log.rows], log.item_ids[log.items]
    frame = pandas.DataFrame({"user": users, "item": items})
    alone = pandas.DataFrame({"user": [10_000], "item": items[:1]})
    pandas.concat([frame, frame.head(7), alone]).to_csv("events.csv", index=False)
    return "events.csv"


def test_summarize(events, there, monkeypatch, capsys):
    words = f"summarize {events} --user user --item item --users 5 --steps 3"
    words += " --min-user 2 --length mean --out small.parquet"
    monkeypatch.setattr(sys, "argv", words.split())
    example("summarize", monkeypatch).main()
    printed, report = capsys.readouterr().out, (there / "small.md").read_text()
    for text in (printed, report):
        assert "left out, duplicates: 7" in text
        assert "left out, users below min_user: 1" in text
        assert all(row in text for row in ("whole", "random", "distill_cf"))
        assert "synthetic users: " in text and "other real users: " in text
    summary = multidd.recsys.RecsysSummary.from_parquet("small.parquet")
    assert summary.num_users == 5 and summary.binary
    assert list(summary.to_frame())[:2] == ["user", "item"]
    assert (there / "small.png").read_bytes().startswith(b"\x89PNG")


LINES = {
    "curve": ("whole", "distill_cf", "random", "head", "kmeans", "nystrom", "drawn"),
    "noise": ("0.0", "0.1", "0.3", "0.5", "distill_cf", "random", "whole"),
    "merge": ("first half", "second, first kept", "all at once", "random"),
    "search": ("Kendall's tau", "regret", "distilled as whole", "ALS(factors=16"),
    "discrete": ("dense, largest", "dense, drawn", "distilled as whole", "lightgcn"),
}


@pytest.mark.parametrize("what", LINES)
def test_study(what, events, there, monkeypatch, capsys):
    study = example("recsys_study", monkeypatch)
    if what == "discrete":  # the graph model takes longer than all else here
        quick = multidd.recsys.LightGCN(updates=5)
        monkeypatch.setitem(
            multidd.recsys.evaluation.evaluator.MODELS, "lightgcn", quick
        )
    many = "4 6" if what == "curve" else "4"
    words = f"{what} --data {events} --users {many} --seeds 2 --steps 2"
    study.main(words.split())
    printed = capsys.readouterr().out
    assert all(text in printed for text in LINES[what])
    assert "nan" not in printed.lower()
    assert (there / "curve.png").exists() == (what == "curve")


def test_the_whole_log_ranks_settings_as_itself(events, there, monkeypatch):
    study = example("recsys_study", monkeypatch)
    log = multidd.recsys.load(events)
    values, _ = study.validated(log, log.train, np.ones(log.num_users))
    tau, within, regret = study.ranked("whole", log.num_users, values, values, 0.0)
    assert tau["score"] == within["score"] == pytest.approx(1)
    assert regret["score"] == 0
    worst = [-value for value in values]
    tau, within, regret = study.ranked("", log.num_users, values, worst, 0.0)
    assert tau["score"] == within["score"] == pytest.approx(-1)
    assert regret["score"] == pytest.approx(max(values) - min(values))
