"""DISTILL-CF: runs that go on, from older summaries too, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

import multidd
from multidd.engine.options import SelectBest
from multidd.errors import CheckpointMismatchError
from multidd.recsys import random
from multidd.recsys.data.log import InteractionLog
from multidd.recsys.methods import kernel as module
from multidd.recsys.methods.warm_start import replayed
from tests.recsys.users import ITEMS, make_log, rows, run
from tests.recsys.worlds import two_tastes


@pytest.fixture(scope="module")
def log():
    return make_log()


# --- going on -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampler": "independent", "rank": 2},
        {"length": 4, "init": "kmeans"},
        {"length": 4, "validate_every": None},
        {"warm_start": True, "validate_every": None},
    ],
    ids=["plain", "low rank", "histories", "last histories", "warm"],
)
def test_a_stopped_run_goes_on_to_the_same_bits(log, tmp_path, options):
    if "warm_start" in options:
        options = {"warm_start": run(make_log(1), 4)}
    options = {"select_best": SelectBest(every=2), "steps": 5} | options
    whole = run(log, **options)
    short = run(log, timeout=0.0, checkpoint=str(tmp_path), **options)
    assert short.card.steps == 1
    resumed = run(log, checkpoint=str(tmp_path), **options)
    assert resumed.digest() == whole.digest()
    assert resumed.card.history == whole.card.history
    assert resumed.card.settings == whole.card.settings
    assert run(log, checkpoint=str(tmp_path), **options).digest() == whole.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"users": 4},
        {"draws": 5},
        {"gumbel_temperature": 2.0},
        {"sampler": "mean"},
        {"lr": 0.1},
        {"batch_size": None},
        {"holdout": 0.2},
        {"popularity_weight": 0.0},
        {"depth": 2},
        {"init": "head"},
        {"rank": 2},
        {"length": 3},
        {"log": 5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_run_is_not_gone_on_with(log, tmp_path, change):
    run(log, steps=1, checkpoint=str(tmp_path))
    if "log" in change:
        log, change = make_log(5), {}
    change = {"init": "kmeans"} if "init" in change else change
    with pytest.raises(CheckpointMismatchError):
        run(log, **{"steps": 1, "checkpoint": str(tmp_path)} | change)


# --- from an older summary ------------------------------------------------------------


@pytest.mark.parametrize("length", [None, 4])
def test_old_rows_stay_bit_for_bit(log, length):
    older = run(make_log(1), 4, length=length)
    summary = run(log, 3, warm_start=older, length=length)
    assert rows(summary).shape == (7, ITEMS)
    assert rows(summary)[:4].tobytes() == rows(older).tobytes()
    assert summary.card.settings["warm_start"] == older.digest()
    assert summary.card.settings["users"] == 3
    start = run(log, 3, warm_start=older, length=length, steps=0, validate_every=None)
    last = run(log, 3, warm_start=older, length=length, validate_every=None)
    assert start.digest() != last.digest()  # the new ones are learned
    assert run(log, 3, length=length).digest() != summary.digest()


@pytest.mark.parametrize("kind", ["numbers", "texts"])
def test_items_of_either_are_items_of_the_result(kind):
    """The last month's catalogue had 24 items; this month's has lost 6 and won 3."""
    write = str if kind == "texts" else int
    old_names = [write(10 + i) for i in range(ITEMS)]
    older = run(make_log(1, old_names), 4)
    names = [*old_names[6:], *(write(90 + i) for i in range(3))]
    whole = InteractionLog.from_csr(two_tastes(60, 21), item_ids=names).split(seed=1)
    summary = run(whole, 3, warm_start=older)
    assert summary.item_ids.tolist() == sorted({*old_names, *names})
    places = [summary.item_ids.tolist().index(name) for name in old_names]
    assert rows(summary)[:4][:, places].tobytes() == rows(older).tobytes()
    assert not np.delete(rows(summary)[:4], places, axis=1).any()
    # It serves whoever liked a new item, and whoever liked an old one.
    for item in names[-1], old_names[0]:
        assert len(multidd.recsys.recommend(summary, [item], 5)) == 5


def test_the_past_is_predicted_too(log, monkeypatch):
    """Histories of real length, of the old rows, are among the users of a batch."""
    results, task = [], module.UserTask

    def noted(*args, **options):
        results.append(task(*args, **options))
        return results[-1]

    monkeypatch.setattr(module, "UserTask", noted)
    older = run(make_log(1), 4)
    run(log, 3, warm_start=older)
    (first, second) = results
    assert first.extra is None
    past = second.extra.toarray()
    assert (past == replayed(older.to_csr(), log).toarray()).all()
    assert len(second.rows) == int((log.train.sum(axis=1) > 0).sum()) + 4


def test_it_goes_on_from_a_selection_too(log):
    older = random(make_log(2), 6)
    summary = run(log, 2, warm_start=older)
    assert (rows(summary)[:6] == rows(older)).all()


# --- refusals -------------------------------------------------------------------------


REFUSED = [
    ({"users": 0}, ValueError, "users must be from 1 to .*got 0"),
    ({"users": -1}, ValueError, "got -1"),
    ({"users": 61}, ValueError, "the users of the log .* got 61"),
    ({"users": 5.0}, TypeError, "users must be a whole number, got 5.0"),
    ({"users": None}, ValueError, "give users="),
    ({"init": "head"}, ValueError, "random, herding, kcenter, kmeans; got 'head'"),
    ({"sampler": "exact"}, ValueError, "'exact'"),
    ({"draws": 0}, ValueError, "draws must be 1 or more"),
    ({"gumbel_temperature": 0.0}, ValueError, "gumbel_temperature must be above 0"),
    ({"rank": 0}, ValueError, "rank must be 1 or more, got 0"),
    ({"length": 0}, ValueError, "whole number from 1, or 'mean'; got 0"),
    ({"length": 2.5}, ValueError, "got 2.5"),
    ({"length": True}, ValueError, "got True"),
    ({"length": "median"}, ValueError, "got 'median'"),
    ({"length": ITEMS}, ValueError, "below the 24 items of the log, got 24"),
    ({"steps": -1}, ValueError, "steps must be 0 or more, got -1"),
    ({"depth": 0}, ValueError, "depth must be 1 or more, got 0"),
    ({"holdout": 1.0}, ValueError, "holdout must be .* below 1.*got 1.0"),
    ({"holdout": -0.1}, ValueError, "got -0.1"),
    ({"popularity_weight": -1.0}, ValueError, "weight must be 0 or more, got -1.0"),
    ({"batch_size": 0}, ValueError, "batch_size must be .*got 0"),
    ({"warm_start": "runs/x"}, TypeError, "warm_start must be .*got str"),
]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    REFUSED,
    ids=[f"{name}={value}" for case in REFUSED for name, value in case[0].items()],
)
def test_bad_settings(log, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        run(log, checkpoint=str(tmp_path / "run"), **options)
    assert not (tmp_path / "run").exists()


def test_what_is_no_log(log):
    for other in log.train, two_tastes().toarray(), "events.parquet", None:
        with pytest.raises(TypeError, match="must be an InteractionLog, got"):
            run(other)


def test_a_log_with_nothing_to_learn_from(log):
    part = np.full(log.num_interactions, 2, np.int8)
    with pytest.raises(ValueError, match="has no training interactions"):
        run(replace(log, part=part))


def test_a_log_whose_users_can_spare_nothing_to_validate_on():
    short = InteractionLog.from_csr(csr_array(np.eye(ITEMS) + np.eye(ITEMS, k=1)))
    with pytest.raises(ValueError, match="the longest history has 2 training items"):
        run(short)


def test_ids_of_two_kinds(log):
    older = run(make_log(1, [f"film {i}" for i in range(ITEMS)]), 2)
    with pytest.raises(ValueError, match="'film 0', those of the log like .*one kind"):
        run(log, warm_start=older)
