"""Settings of a run, and parts of methods without a loop."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import multidd
from multidd import RunOptions, SelectBest, select
from multidd.data.splitting import at_most, check_count
from multidd.engine.callbacks import Every
from multidd.engine.card import CardInfo
from multidd.engine.options import RunSettings
from multidd.engine.recipe import call
from multidd.engine.stages import Stages
from multidd.errors import MultiddError, OutOfTimeError
from multidd.protocols import Records
from multidd.selection.basic import Random
from multidd.selection.pursuit import Pursuit
from multidd.settings import current_names, describe
from tests.toy import COUNTS, Toy

LOOPED = (
    ("checkpoint", RunSettings(checkpoint="folder")),
    ("checkpoint_every", RunSettings(options=RunOptions(checkpoint_every=5))),
    ("select_best", RunSettings(options=RunOptions(select_best=SelectBest()))),
    ("callbacks", RunSettings(options=RunOptions(callbacks=[Every(1, print)]))),
)


def test_settings_are_those_of_the_loop() -> None:
    run = RunSettings(3, "cpu", False, "there", RunOptions(timeout=2.0))
    assert run.keywords() == {
        "seed": 3,
        "device": "cpu",
        "progress": False,
        "checkpoint": "there",
        "run": RunOptions(timeout=2.0),
    }


@pytest.mark.parametrize(("name", "run"), LOOPED, ids=[name for name, _ in LOOPED])
def test_a_method_without_a_loop_refuses_what_is_for_loops(
    name: str, run: RunSettings
) -> None:
    message = f"^herding takes no {name}: it has no loop$"
    with pytest.raises(TypeError, match=message):
        run.without_loop("herding")
    if run.checkpoint is None:
        message = f"^random takes no {name}: it has no loop$"
        with pytest.raises(TypeError, match=message):
            select(Toy(), Random(), COUNTS, run=run.options)


def test_the_card_of_a_selection_says_what_it_is_told() -> None:
    plain = select(Toy(), Random(), COUNTS, seed=2)
    card = CardInfo("mine", {"tensor": torch.ones(1)}, seconds=7.0)
    selection_card = select(Toy(), Random(), COUNTS, seed=2, card=card).card
    assert (plain.card.method, plain.card.settings) == ("random", {"kind": "Random"})
    assert (selection_card.method, selection_card.seed, selection_card.steps) == (
        "mine",
        2,
        0,
    )
    assert (
        selection_card.settings == {"tensor": describe(torch.ones(1))}
        and selection_card.seconds >= 7
    )
    assert selection_card.source == plain.card.source


def test_the_best_by_its_first_name_is_the_same() -> None:
    stored = {"kind": "Best", "every": 5, "patience": None}
    assert current_names(stored) == describe(SelectBest(5))
    with pytest.raises(ValueError, match="every must be 1 or more, got 0"):
        SelectBest(every=0)


# --- time --------------------------------------------------------------------------


def test_no_part_begins_when_the_time_is_over(capsys: Any) -> None:
    stages = Stages("mine", shown=True, timeout=3600.0)
    with stages("first"):
        pass
    assert list(stages.seconds) == ["first"] and not stages.late
    assert capsys.readouterr().err.startswith("mine: first 0.0 s")
    over = Stages("mine", timeout=5.0, spent=5.0)
    with pytest.raises(OutOfTimeError, match="mine had 5.0 s.* its part 'second'"):
        with over("second"):
            raise AssertionError("the part began")
    assert issubclass(OutOfTimeError, (MultiddError, TimeoutError))
    assert over.late and not over.seconds


def test_a_selection_keeps_to_the_time() -> None:
    late = CardInfo("svp", {}, seconds=2.0)
    with pytest.raises(OutOfTimeError, match="svp had 1.0 s"):
        select(Toy(), Random(), COUNTS, run=RunOptions(timeout=1.0), card=late)
    timely = RunOptions(timeout=3600.0)
    plain = select(Toy(), Random(), COUNTS)
    assert select(Toy(), Random(), COUNTS, run=timely).digest() == plain.digest()


def test_pursuit_leaves_swaps_out_when_it_is_late() -> None:
    """As without swaps: the picks are all there."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=rng).double()
    records = Records(x, (x[:, 0] > 0).long(), 2)
    swapped, none = Pursuit(swaps=3), Pursuit(swaps=0)
    late = swapped.choose(records, (4, 4), rng, stopped=lambda: True)
    assert torch.equal(late, none.choose(records, (4, 4), rng))
    timely = swapped.choose(records, (4, 4), rng, stopped=lambda: False)
    assert torch.equal(timely, swapped.choose(records, (4, 4), rng))
    assert not torch.equal(timely, late)


# --- counts ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [3, torch.tensor(3), torch.tensor(3).numpy()[()]])
def test_whole_numbers_of_any_library_are_counts(value: Any) -> None:
    count = check_count("nodes", value)
    assert count == 3 and type(count) is int


@pytest.mark.parametrize(
    ("value", "least", "error", "message"),
    [
        (True, 1, TypeError, "nodes must be a whole number, got True"),
        (2.0, 1, TypeError, r"nodes must be a whole number, got 2\.0"),
        ("2", 1, TypeError, "nodes must be a whole number, got '2'"),
        (None, None, TypeError, "nodes must be a whole number, got None"),
        (0, 1, ValueError, "nodes must be 1 or more, got 0"),
        (-1, 0, ValueError, "nodes must be 0 or more, got -1"),
    ],
)
def test_what_is_no_count_is_refused(
    value: Any, least: int | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        check_count("nodes", value, least)


def test_counts_that_classes_cannot_fill_are_cut() -> None:
    assert at_most((3, 3), (5, 1)) == [3, 1]
    assert check_count("nodes", -4, None) == -4


def test_the_loop_shows_twelve_parameters() -> None:
    import inspect

    names = list(inspect.signature(multidd.distill).parameters)
    assert len(names) == 12 and names[-2:] == ["run", "card"]


@dataclass(frozen=True, kw_only=True)
class WalkOptions:
    """Of a method that walks."""

    stride: float = 1.0
    turns: int = 2


def walk(
    data: str,
    far: int = 1,
    *,
    seed: int = 0,
    options: WalkOptions = WalkOptions(stride=0.5),
    run: RunOptions = RunOptions(),
) -> tuple[Any, ...]:
    """Tells what it was called with."""
    return data, far, seed, options, run


def test_call_finds_the_place_of_every_setting() -> None:
    flat = {"far": 3, "turns": 5, "timeout": 2.0, "seed": 1}
    quick = RunOptions(timeout=2.0)
    walked = ("here", 3, 1, WalkOptions(stride=0.5, turns=5), quick)
    assert call(walk, "here", **flat) == walked
    base = WalkOptions(stride=9.0)
    there = call(walk, "there", options=base, turns=1)
    assert there[3:] == (WalkOptions(stride=9.0, turns=1), RunOptions())


def test_call_names_what_there_is() -> None:
    known = "far, precision, seed, select_best, stride, threads, timeout, turns"
    with pytest.raises(TypeError, match=f"walk has no setting spin; it has .*{known}"):
        call(walk, "here", spin=1)
