"""Label policies: where each starts, what moves, and what the card says."""

from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import distill, seeds
from multidd.learning.states import Frozen
from multidd.objectives import KernelRidge
from multidd.parameterizations import BernoulliAdjacency, Labels, Tiles
from tests.tables import FOURFOLD
from tests.toy import FAST, Toy, free

POLICIES = ("hard", "centered", "onehot", "teacher", "teacher_once")
TASK = Toy("mlp", edges=False)
ONE_HOT = torch.eye(3).double()[[0, 0, 1, 1, 1, 2]]
TEACHER = Frozen(2, steps=30)


def labels(policy: Any, **settings: Any) -> Labels:
    return Labels(free(), policy, teacher=TEACHER, **settings)


def start(form: Labels, task: Toy = TASK) -> dict[str, Tensor]:
    return form.init(task, seeds.at(0, "start"))


def taught(task: Toy, x: Tensor, rng: torch.Generator) -> Tensor:
    """Mean probabilities of the two teachers, one after the other."""
    weights = TEACHER.init(task, rng)["weights"]
    results = []
    for k in range(2):
        one = {n: w[k] for n, w in weights.items()}
        hidden = torch.tanh(x @ one["inner"].T + one["inner_bias"])
        logits = hidden @ one["weight"].T + one["bias"]
        results.append(logits.exp() / logits.exp().sum(1, keepdim=True))
    return (results[0] + results[1]) / 2


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("policy", POLICIES)
def test_where_labels_start(policy: str, center: bool, scale: float) -> None:
    params = start(labels(policy, center=center, scale=scale))
    if policy == "hard":
        assert "y_soft" not in params
        return
    soft = ONE_HOT
    if policy.startswith("teacher"):
        rng = seeds.at(0, "start")
        x = free().init(TASK, rng)["x"]
        soft = taught(TASK, x, rng)
        assert float((soft - ONE_HOT).abs().max()) > 0.01
    if center or policy == "centered":
        soft = soft - soft.mean(1, keepdim=True)
    torch.testing.assert_close(params["y_soft"], scale * soft)
    assert params["y"].tolist() == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_moves(policy: str) -> None:
    """Learned labels move and fixed ones stay, to the bit; class numbers stay."""
    form = labels(policy)
    summary = distill(
        TASK, KernelRidge(ridge=0.1), form, steps=3, optimizer=FAST, seed=0
    )
    first = start(form)
    learned = policy in ("onehot", "teacher")
    assert form.groups == (("x", "y_soft") if learned else ("x",))
    assert torch.equal(summary.tensors["y"], first["y"])
    assert not torch.equal(summary.tensors["x"], first["x"])
    assert ("y_soft" in summary.tensors) == (policy != "hard")
    if policy != "hard":
        same = torch.equal(summary.tensors["y_soft"], first["y_soft"])
        assert same != learned


@pytest.mark.parametrize(
    ("policy", "center", "kind"),
    [
        ("hard", True, "hard"),
        ("hard", False, "hard"),
        ("centered", False, "centered"),
        ("onehot", True, "centered"),
        ("onehot", False, "soft"),
        ("teacher", False, "soft"),
        ("teacher_once", True, "centered"),
    ],
)
def test_the_card_says_the_kind(policy: Any, center: bool, kind: str) -> None:
    summary = distill(
        TASK, KernelRidge(ridge=0.1), labels(policy, center=center), steps=0
    )
    assert labels(policy, center=center).label_kind == kind
    assert summary.card.labels == kind


def test_the_card_of_plain_records_says_hard() -> None:
    assert distill(TASK, KernelRidge(), free(), steps=0).card.labels == "hard"


def test_teachers_see_what_models_see() -> None:
    """A draw, not the numbers behind it: here edges, not their logits."""
    task = Toy("mlp")
    base = BernoulliAdjacency(free(), edge_logit=8.0, straight_through=True)
    form = Labels(base, "teacher_once", center=False, teacher=TEACHER)
    params = form.init(task, seeds.at(0, "start"))
    plain = Labels(free(), "teacher_once", center=False, teacher=TEACHER)
    expected = plain.init(task, seeds.at(0, "start"))
    assert torch.equal(params["x"], expected["x"])
    edges = base.final(params, seeds.at(0, "final"))["adjacency"]
    assert torch.equal(edges, expected["adjacency"])
    # Drawn edges are those of the start, up to a chance of one in thousands each.
    gap = float((params["y_soft"] - expected["y_soft"]).abs().mean())
    assert gap < 0.05
    assert bool((params["y_soft"] >= 0).all())


def test_unknown_policy() -> None:
    with pytest.raises(ValueError, match="smooth"):
        Labels(free(), "smooth")  # type: ignore[arg-type]


def test_tiles_go_around() -> None:
    """Inside, each tile's label and the card's decoder would be lost."""
    with pytest.raises((ValueError, TypeError), match="Tiles"):
        Labels(Tiles(free(FOURFOLD)), "onehot")
