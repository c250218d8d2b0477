"""Compiled passes: refused where they cannot be, and the same loss where they are."""

from pathlib import Path

import pytest
import torch

from multidd.errors import CheckpointMismatchError
from multidd.learning import compiling
from tests.methods.cases import CASES

BY_NAME = {str(case): case for case in CASES}


@pytest.mark.parametrize("name", ["images-dc", "images-kip", "text-kip", "images-dd"])
def test_what_cannot_be_compiled_is_refused(name: str) -> None:
    message = "differentiates it twice, which compiled code cannot; leave compile out"
    with pytest.raises(ValueError, match=message):
        BY_NAME[name].run(compile=True)


def test_selections_take_no_compile() -> None:
    with pytest.raises(TypeError, match="random takes no compile: it has no loop"):
        BY_NAME["images-random"].run(compile=True)


def test_without_a_compiler_nothing_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("CXX", "my++")
    with pytest.raises(ValueError, match=r"none of my\+\+, g\+\+, .* is found; inst"):
        BY_NAME["images-dm"].run(compile=True)
    with pytest.raises(ValueError, match="needs triton on 'cuda:1', which is not inst"):
        compiling.check_compiler("cuda:1")


@pytest.mark.full
def test_compiled_passes_give_the_same_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the parts of torch's compiler that write no machine code."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    case = BY_NAME["images-dm"]
    plain = case.run()
    compiled = case.run(compile=True, checkpoint=str(tmp_path))
    assert compiled.card.settings["compile"] is True
    assert torch.allclose(compiled.tensors["x"], plain.tensors["x"], atol=1e-4)
    assert compiled.card.history == pytest.approx(plain.card.history, rel=1e-4)
    with pytest.raises(CheckpointMismatchError, match="compile"):
        case.run(checkpoint=str(tmp_path))
