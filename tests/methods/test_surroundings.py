"""What stands around a call of a method changes nothing: every public method."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import multidd
from multidd.engine.recipe import call
from tests.methods.cases import CASES, Case, made_by

pytestmark = [
    pytest.mark.usefixtures("short_teachers"),
    pytest.mark.filterwarnings("ignore:The given NumPy array is not writable"),
    pytest.mark.changes_globals("the surroundings of the calls; set back by each"),
]

every = pytest.mark.parametrize("case", CASES, ids=str)


@contextmanager
def notebook() -> Iterator[None]:
    """All that a notebook may have set for models of its own."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", dtype=torch.bfloat16),
            torch.device("meta"),
            np.errstate(all="raise"),
        ):
            yield
            assert torch.get_default_dtype() == torch.float64
            assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()
            assert torch.is_autocast_enabled("cpu")
            assert torch.get_default_device().type == "meta"
    finally:
        torch.set_default_dtype(dtype)


def foreign(value: Any) -> Any:
    """The same number as another library has it."""
    if type(value) is int:
        return np.int64(value)
    if type(value) is float:
        return np.float64(value)
    return tuple(map(foreign, value)) if type(value) is tuple else value


@cache
def within_a_notebook(case: Case) -> Any:
    """The summary of a call with numbers as NumPy has them, in a notebook."""
    with torch.inference_mode():  # where the data may have been read too
        data = case.on.data()
        options = case.on.budget | case.options | case.on.fixed() | {"seed": 0}
    with notebook():
        numbers = {name: foreign(value) for name, value in options.items()}
        return call(case.method, data, **numbers)


@every
def test_a_notebook_around_it_changes_no_bit(case: Case) -> None:
    assert within_a_notebook(case).digest() == made_by(case).digest()


@every
def test_numbers_of_other_libraries_are_plain_numbers(
    case: Case, tmp_path: Path
) -> None:
    result, usual = within_a_notebook(case), made_by(case)
    assert result.digest() == usual.digest()
    assert json.dumps(result.card.settings) == json.dumps(usual.card.settings)
    assert multidd.load(result.save(tmp_path)).digest() == usual.digest()


@every
def test_what_is_no_whole_number_is_refused(case: Case) -> None:
    for seed in ("abc", None, 1.0, True, np.float32(2)):
        with pytest.raises(TypeError, match="seed must be a whole number, got "):
            case.run(seed=seed)
    for steps in ("2", 2.5, True) if case.has_loop else ():
        with pytest.raises(TypeError, match="steps must be a whole number, got "):
            case.run(steps=steps)
