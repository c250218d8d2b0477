"""Runs in bfloat16 and TF32: finite, recorded, resumed alike, refused where unsound.

`make test-all` compares the quality of `dm` in float32 and bfloat16 on the shipped
pictures too.
"""

import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

import multidd
from multidd.engine.options import RunOptions
from multidd.errors import CheckpointMismatchError
from multidd.learning.functional import cost
from multidd.learning.precision import (
    computing_in,
    is_lower,
    network_pass,
    takes_lower_precision,
)
from tests.methods.cases import CASES, Case

BY_NAME = {str(case): case for case in CASES}
QUICK = ("images-dm", "images-dc", "images-mtt", "images-dd")
MORE = ("images-idc", "images-sre2l", "images-rat_bptt", "text-tbptt")
CLOSED = ("images-kip", "graph-gcond_x", "recsys-distill_cf", "text-dm")


def _cases(names: tuple[str, ...], *marks: Any) -> list[Any]:
    return [pytest.param(BY_NAME[name], id=name, marks=marks) for name in names]


@pytest.mark.usefixtures("short_teachers")
@pytest.mark.parametrize(
    "case", [*_cases(QUICK), *_cases(MORE, pytest.mark.full)], ids=str
)
def test_a_run_in_bfloat16_is_finite_and_recorded(case: Case) -> None:
    exact, lower = case.run(), case.run(precision="bf16")
    assert lower.card.settings["precision"] == "bf16"
    assert "precision" not in exact.card.settings
    assert all(torch.isfinite(t).all() for t in lower.tensors.values())
    assert {t.dtype for t in lower.tensors.values()} == {
        t.dtype for t in exact.tensors.values()
    }
    # Other digits, and the same loss to two of them or so.
    assert lower.digest() != exact.digest()
    first, second = exact.card.history[0], lower.card.history[0]
    assert second == pytest.approx(first, rel=0.15)


@pytest.mark.parametrize("case", _cases(CLOSED))
def test_what_is_solved_refuses_fewer_digits(case: Case) -> None:
    with pytest.raises(ValueError, match="needs float32; got precision='bf16': leave"):
        case.run(precision="bf16")


def test_selections_take_no_precision() -> None:
    with pytest.raises(TypeError, match="random takes no precision: it has no loop"):
        BY_NAME["images-random"].run(precision="bf16")


def test_names_and_places_are_checked() -> None:
    with pytest.raises(ValueError, match="one of float32, tf32, bf16; got 'fp16'"):
        RunOptions(precision="fp16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'tf32' is a format of NVIDIA's GPUs"):
        BY_NAME["images-dm"].run(precision="tf32")
    assert not takes_lower_precision(object(), object())


def test_a_run_goes_on_in_its_own_precision(tmp_path: Path) -> None:
    case, folder = BY_NAME["images-dm"], {"checkpoint": str(tmp_path)}
    whole = case.run(precision="bf16")
    case.run(precision="bf16", timeout=0.0, **folder)
    with pytest.raises(CheckpointMismatchError, match="precision"):
        case.run(**folder)
    assert case.run(precision="bf16", **folder).digest() == whole.digest()


def test_settings_of_torch_are_those_of_the_caller_afterwards() -> None:
    parts: Any = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [part.allow_tf32 for part in parts]
    for precision in ("tf32", "float32"):
        with pytest.raises(KeyError):
            with computing_in(precision, "meta"):  # type: ignore[arg-type]
                assert {part.allow_tf32 for part in parts} == {precision == "tf32"}
                raise KeyError
    assert [part.allow_tf32 for part in parts] == before and not is_lower()


def test_a_pass_gives_float32() -> None:
    x, y = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)), torch.eye(4)
    with computing_in("bf16", "cpu"):
        (lower,) = network_pass(lambda x: [x @ x], x)
        loss = network_pass(lambda x: cost(x @ x, y), x)
    assert lower.dtype == loss.dtype == torch.float32
    assert 0 < (lower - x @ x).abs().max() < 0.1
    assert torch.allclose(loss, cost(lower, y))


@pytest.mark.full
def test_images_of_dm_are_as_good_in_bfloat16() -> None:
    """Three sets each on the shipped pictures: the gap is within two errors."""
    train, test = multidd.samples.fashion()
    quick = multidd.Protocol("quick", epochs=60, lr=0.01, width=16, optimizer="sgd")
    settings = {"steps": 15, "width": 8, "batch_size": 64, "progress": False}
    judged = {"protocol": quick, "seeds": 1, "rows": [], "regimes": ()}
    scores: dict[str, list[float]] = {}
    for precision in ("float32", "bf16"):
        run = RunOptions(precision=precision)  # type: ignore[arg-type]
        sets = [
            multidd.images.dm(train, 1, seed=seed, run=run, **settings)
            for seed in range(3)
        ]
        scores[precision] = [
            multidd.evaluate(one, test, **judged).accuracy("convnet") for one in sets
        ]
    gap = statistics.fmean(scores["float32"]) - statistics.fmean(scores["bf16"])
    errors = [statistics.stdev(values) ** 2 / 3 for values in scores.values()]
    assert abs(gap) < 2 * sum(errors) ** 0.5 + 0.02, scores
