"""The README's own steps, followed: its objective and its modality are made and run."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch

import multidd
from multidd.learning.states import Fresh
from multidd.parameterizations import Free
from multidd.selection.basic import Random
from multidd.summary import MODALITIES

README = Path(__file__).parents[1] / "README.md"


def block(name: str) -> str:
    """The one code block of that name, without its indent."""
    found = re.findall(
        rf"^( *)```python {name}\n(.*?)^ *```$", README.read_text(), re.S | re.M
    )
    assert len(found) == 1, f"the README has {len(found)} blocks named {name}"
    indent, text = found[0]
    return re.sub(rf"^{indent}", "", text, flags=re.M)


def test_add_an_objective() -> None:
    """The README's objective matches on the shipped Cora, twice to the same bits."""
    names: dict[str, object] = {"__name__": "readme_objective"}
    sys.modules["readme_objective"] = type(sys)("readme_objective")
    try:
        exec(compile(block("objective"), "README.md", "exec"), names)
    finally:
        del sys.modules["readme_objective"]
    task = multidd.graph.NodeTask.of(multidd.samples.cora())
    objective = names["LossMatching"](states=Fresh(models=2))
    free = Free(Random(), (2,) * 7)
    made = [multidd.distill(task, objective, free, steps=3) for _ in range(2)]
    assert made[0].digest() == made[1].digest()
    assert made[0].card.history[-1] != made[0].card.history[0]


@pytest.fixture
def vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The README's modality as `multidd.vectors`, registered as it says."""
    folder = tmp_path / "vectors"
    folder.mkdir()
    (folder / "__init__.py").write_text(block("modality"))
    monkeypatch.setattr(multidd, "__path__", [*multidd.__path__, str(tmp_path)])
    monkeypatch.setitem(MODALITIES, "vectors", "VectorSummary")
    yield importlib.import_module("multidd.vectors")
    sys.modules.pop("multidd.vectors")
    multidd.__dict__.pop("vectors", None)


def test_add_a_modality(vectors, tmp_path: Path) -> None:
    """The README's modality distills, evaluates, saves and loads."""
    names: dict[str, object] = {}
    exec(compile(block("use"), "README.md", "exec"), names)
    assert names["report"].accuracy("nearest-mean") > 0.8
    path = names["summary"].save(tmp_path / "v.safetensors")
    again = multidd.load(path)
    assert isinstance(again, vectors.VectorSummary)
    assert torch.equal(again.tensors["x"], names["summary"].tensors["x"])


def test_the_methods_table_names_every_method() -> None:
    """Every method of every modality stands in the README."""
    text = README.read_text()
    methods = [*multidd.graph.METHODS, *multidd.images.METHODS]
    missing = [name for name in methods if f"`{name}`" not in text]
    assert not missing


def test_the_readme_names_every_public_name() -> None:
    """A public name that the README does not tell of is not public."""
    text = README.read_text()
    names = [
        *multidd.__all__,
        *multidd.graph.__all__,
        *multidd.images.__all__,
        *multidd.kernels.__all__,
        *multidd.objectives.__all__,
        *multidd.parameterizations.__all__,
        *multidd.samples.__all__,
    ]
    missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
    assert not missing
