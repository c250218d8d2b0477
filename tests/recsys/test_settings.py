"""Settings of the methods: which there are, where they go, and what they refuse."""

from dataclasses import fields

import pytest

from multidd import RunOptions, SelectBest
from multidd.errors import OutOfTimeError
from multidd.recsys import METHODS, DistillCFOptions, distill_cf
from multidd.recsys.methods.kernel import STARTS
from multidd.recsys.methods.selection import SELECTIONS
from tests.methods.test_parameters import ROWS
from tests.recsys.users import make_log, rows, run


@pytest.fixture(scope="module")
def log():
    return make_log()


def test_the_options_are_all_visible_and_of_the_glossary():
    names = {f.name for f in fields(DistillCFOptions)}
    assert all(f"{name}=" in repr(DistillCFOptions()) for name in names)
    assert names <= {name for name, _ in ROWS}


def test_options_are_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        DistillCFOptions(6)


def test_one_setting_changes_and_nothing_else(log):
    def settings(**options):
        options = DistillCFOptions(**options)
        summary = distill_cf(log, 2, steps=0, options=options, progress=False)
        return summary.card.settings

    usual = settings()
    for changes, key in (
        ({"draws": 3}, "draws"),
        ({"gumbel_temperature": 2.0}, "temperature"),
        ({"popularity_weight": 0.0}, "balance"),
        ({"lr": 0.3}, "lr"),
    ):
        (value,) = changes.values()
        ridge = {"ridge": (other := settings(**changes))["ridge"]}
        assert other == usual | {key: value} | ridge and usual[key] != value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"draws": 0}, "draws must be 1 or more, got 0"),
        ({"validate_every": 0}, "validate_every must be 1 or more, got 0"),
        ({"rank": 0}, "rank must be 1 or more, got 0"),
        ({"holdout": 1.0}, "holdout must be 0 or more and below 1, got 1.0"),
        ({"popularity_weight": float("nan")}, "weight must be 0 or more, got nan"),
        ({"init": "noise"}, f"init must be one of {', '.join(STARTS)}; got 'noise'"),
        ({"sampler": "exact"}, "sampler must be one of shared, .*got 'exact'"),
    ],
    ids=str,
)
def test_bad_options(settings, message):
    with pytest.raises(ValueError, match=message):
        DistillCFOptions(**settings)


def test_a_time_limit_leaves_the_looks_at_validation(log, monkeypatch):
    """What is kept does not depend on whether a run has a time limit."""
    one, other = run(log), run(log, timeout=600.0)
    assert one.digest() == other.digest()
    last = run(log, validate_every=None)
    first = run(log, select_best=SelectBest(every=1), validate_every=None)
    assert run(log, select_best=SelectBest(every=1)).digest() == first.digest()
    assert rows(last).shape == rows(first).shape


@pytest.mark.parametrize("name", SELECTIONS)
def test_selections_refuse_what_a_loop_has(log, name):
    for options in RunOptions(select_best=SelectBest()), RunOptions(callbacks=[print]):
        with pytest.raises(TypeError, match=f"{name} takes no .*: it has no loop"):
            SELECTIONS[name](log, 3, run=options)


@pytest.mark.parametrize("name", SELECTIONS)
def test_selections_within_a_time_limit(log, name):
    with pytest.raises(OutOfTimeError, match=f"{name} had 0.0 s"):
        SELECTIONS[name](log, 3, run=RunOptions(timeout=0.0))
    summary = SELECTIONS[name](log, 3, progress=False, run=RunOptions(timeout=600.0))
    assert summary.digest() == METHODS[name](log, 3, device="cpu").digest()
