"""One suite for every public parameterization, and what each must equal by hand."""

import dataclasses
import inspect
import json
import math
from typing import Any

import pytest
import torch

import multidd
from multidd import distill, protocols, seeds
from multidd.objectives import DistributionMatching
from multidd.parameterizations import (
    BernoulliAdjacency,
    Free,
    PairwiseAdjacency,
    decoding,
)
from multidd.selection.basic import Herding, KCenter, KMeans, Random
from multidd.settings import describe
from tests.tables import ALL_PARAMETERIZATIONS, BOTH, PARAMETERIZATIONS, toy_for
from tests.toy import COUNTS, Toy, free, label

every = pytest.mark.parametrize("form", ALL_PARAMETERIZATIONS, ids=label)
LABELS = [0, 0, 1, 1, 1, 2]


def start(form: Any, task: Toy | None = None, seed: int = 0) -> dict:
    return form.init(task or toy_for(form), seeds.at(seed, "params"))


def edges(form: Any, params: dict, seed: int = 0, step: int = 0) -> torch.Tensor:
    return form.draw(params, seeds.at(seed, "draw"), step)["adjacency"]


def assert_adjacency(a: torch.Tensor, soft: bool) -> None:
    assert a.shape == (6, 6)
    torch.testing.assert_close(a, a.T, rtol=0, atol=1e-12)
    assert bool((a.diagonal() == 0).all())
    assert bool(((a >= 0) & (a <= 1)).all()) and bool(a.sum() > 0)
    between = bool(((a > 0) & (a < 1)).any())
    assert between == soft


def test_every_parameterization_is_tried() -> None:
    package = multidd.parameterizations
    public = {n for n in package.__all__ if hasattr(getattr(package, n), "draw")}
    # What starts from given tensors draws nothing of its own: tests.core.test_given.
    assert set(PARAMETERIZATIONS) == public - {"FromTensors"}
    for name, configurations in PARAMETERIZATIONS.items():
        kind = getattr(multidd.parameterizations, name)
        assert configurations and all(type(one) is kind for one in configurations)


@every
def test_parameter_names(form: Any) -> None:
    names = {
        "init": ["task", "rng"],
        "draw": ["params", "rng", "step"],
        "final": ["params", "rng"],
        "decode": ["stored"],
    }
    for method, expected in names.items():
        for owner in (protocols.Parameterization, type(form)):
            results = list(inspect.signature(getattr(owner, method)).parameters)
            assert results == ["self", *expected], (owner, method)


@every
def test_settings(form: Any) -> None:
    """Frozen, one line, JSON, equal to a copy and to nothing else in the table."""
    for field in dataclasses.fields(form):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(form, field.name, None)
    assert "\n" not in repr(form) and "tensor(" not in repr(form)
    copy = dataclasses.replace(form)
    assert copy == form and repr(copy) == repr(form)
    text = json.dumps(describe(form))
    assert json.loads(text) == describe(copy)
    same = [a for a in ALL_PARAMETERIZATIONS if json.dumps(describe(a)) == text]
    assert same == [form]


@every
def test_draws_hold_the_set(form: Any) -> None:
    """Labels and sizes as asked for; no input is changed; `final` is detached."""
    params = start(form)
    before = {name: tensor.clone() for name, tensor in params.items()}
    final = form.final(params, seeds.at(0, "final"))
    assert final["y"].tolist() == LABELS
    held = form.decode(final)
    for draw in (form.draw(params, seeds.at(0, "draw"), 2), held):
        many = len(draw["x"]) // 6
        assert draw["y"].tolist() == [c for c in LABELS for _ in range(many)]
        assert draw["x"].shape == (6 * many, *toy_for(form).data[0].shape[1:])
        assert many == decoding.records_per_item(getattr(form, "decoder", {}))
        assert draw["x"].dtype == torch.float64
        assert all(bool(torch.isfinite(t).all()) for t in draw.values())
    assert all(torch.equal(held[n], form.decode(final)[n]) for n in held)
    leaves = {
        n: t.requires_grad_() if t.is_floating_point() else t for n, t in params.items()
    }
    assert not any(
        t.requires_grad for t in form.final(leaves, seeds.at(0, "f")).values()
    )
    assert all(torch.equal(params[name].detach(), before[name]) for name in before)


@every
def test_groups_name_params(form: Any) -> None:
    moving = {name.split("/")[0] for name in start(form)} & set(form.groups)
    assert moving == set(form.groups)


@every
def test_same_seed_same_start(form: Any) -> None:
    first, again, other = (start(form, seed=seed) for seed in (1, 1, 2))
    assert list(first) == list(again)
    assert all(torch.equal(first[name], again[name]) for name in first)
    if not isinstance(getattr(form, "start", None), KMeans):
        assert any(not torch.equal(first[name], other[name]) for name in first)


@every
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
@pytest.mark.parametrize("x", [0.0, 1.0])
def test_equal_records_stay_finite(form: Any, x: float) -> None:
    size = len(toy_for(form).data[1])
    task = toy_for(form, x=torch.full((size, 4), x, dtype=torch.float64))
    summary = distill(task, DistributionMatching(), form, steps=3)
    assert all(bool(torch.isfinite(t).all()) for t in summary.tensors.values())


# --- free ---------------------------------------------------------------------------


@pytest.mark.parametrize("selection", [Random(), Herding(), KCenter(), KMeans()])
def test_free_starts_from_its_selection(selection: Any) -> None:
    task = Toy()
    params = start(Free(selection, COUNTS), task)
    picks = selection.pick(task.records(), COUNTS, seeds.at(0, "params"))
    assert torch.equal(params["x"], picks.weights.to_dense() @ task.data[0])


@pytest.mark.parametrize("counts", [(100, 1, 1), (0, 1, 1), (1, 1), (-1, 2, 2)])
@pytest.mark.parametrize("selection", [Random(), Herding(), KCenter(), KMeans()])
def test_counts_that_cannot_be_filled_are_refused(selection: Any, counts: Any) -> None:
    with pytest.raises(ValueError, match="class|counts"):
        distill(Toy(), DistributionMatching(), Free(selection, counts), steps=1)


def test_what_is_not_learned_stays() -> None:
    for form, still in ((free(), True), (BOTH, False)):
        summary = distill(Toy(), DistributionMatching(), form, steps=5)
        params = start(form, seed=0)
        first = form.init(Toy(), seeds.at(0, "start"))
        assert summary.tensors["adjacency"].shape == params["adjacency"].shape
        same = torch.equal(summary.tensors["adjacency"], first["adjacency"])
        assert same == still
        assert not torch.equal(summary.tensors["x"], first["x"])


# --- pairwise -----------------------------------------------------------------------


@pytest.mark.parametrize("batch_norm", [False, True])
def test_pairwise_adjacency(batch_norm: bool) -> None:
    form = PairwiseAdjacency(free(), width=6, degree=2.0, batch_norm=batch_norm)
    assert_adjacency(edges(form, start(form)), soft=True)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_split_first_layer_equals_concatenation(batch_norm: bool) -> None:
    form = PairwiseAdjacency(free(), width=6, batch_norm=batch_norm)
    params = start(form)
    net = {n.removeprefix("adjacency/"): t for n, t in params.items()}
    for name in ("first_shift", "second_shift", "first_scale", "second_scale"):
        if name in net:
            noise = torch.rand(6, generator=seeds.at(0, name), dtype=torch.float64)
            net[name] = params[f"adjacency/{name}"] = noise + 0.5
    x = params["x"] * params["x"].square().mean().rsqrt()
    pairs = torch.stack([torch.cat([a, b]) for a in x for b in x])
    weight = torch.cat([net["left"], net["right"]], dim=1)

    def layer(values: torch.Tensor, name: str) -> torch.Tensor:
        if batch_norm:
            norm = torch.nn.BatchNorm1d(6).double().train()
            values = norm(values) * net[f"{name}_scale"]
        return (values + net[f"{name}_shift"]).relu()

    hidden = layer(pairs @ weight.T, "first")
    hidden = layer(hidden @ net["middle"].T, "second")
    logits = (hidden @ net["last"].T).view(6, 6)
    expected = torch.sigmoid((logits + logits.T) / 2 + net["bias"])
    expected = expected * (1 - torch.eye(6, dtype=expected.dtype))
    torch.testing.assert_close(edges(form, params), expected.detach())


def test_pairs_at_a_time_are_one_at_least() -> None:
    with pytest.raises(ValueError, match="pairs must be 1 or more, got 0"):
        PairwiseAdjacency(free(), pairs=0)


def test_pairwise_threshold_and_degree() -> None:
    sparse = PairwiseAdjacency(free(), width=6, degree=2.0, threshold=0.34)
    params = start(sparse)
    full, final = edges(sparse, params), sparse.final(params, None)["adjacency"]
    assert torch.equal(final, torch.where(full >= 0.34, full, 0.0))
    assert 0 < int((final > 0).sum()) < int((full > 0).sum())
    plain = PairwiseAdjacency(free(), degree=0.3)
    degrees = edges(plain, start(plain, Toy(edges=False))).sum(1)
    assert bool((degrees > 0.1).all()) and bool((degrees < 0.9).all())


def test_pairwise_warm_start_learns_the_edges_of_the_start() -> None:
    goal = start(free())["adjacency"] > 0
    apart = ~torch.eye(6, dtype=torch.bool)
    assert bool(goal.any()) and bool((~goal & apart).any())
    gaps = []
    for steps in (0, 400):
        form = PairwiseAdjacency(free(), width=16, warmup_steps=steps)
        result = edges(form, start(form)).detach()
        gaps.append(float(result[goal].mean() - result[~goal & apart].mean()))
    assert abs(gaps[0]) < 0.1 and gaps[1] > 0.5


# --- Bernoulli ----------------------------------------------------------------------


@pytest.mark.parametrize("hard", [False, True])
def test_bernoulli_adjacency(hard: bool) -> None:
    form = BernoulliAdjacency(free(), edge_logit=0.5, straight_through=hard)
    params = start(form)
    draws = [edges(form, params, seed) for seed in range(5)]
    for draw in draws:
        assert_adjacency(draw, soft=not hard)
    assert any(not torch.equal(draws[0], draw) for draw in draws[1:])


def test_bernoulli_starts_from_the_edges_of_its_start() -> None:
    form = BernoulliAdjacency(free(), edge_logit=3.0)
    block = start(free())["adjacency"]
    assert torch.equal(start(form)["adjacency"], 6 * block - 3)
    assert torch.equal(form.final(start(form), seeds.at(0, "f"))["adjacency"], block)
    bare = start(form, Toy(edges=False))["adjacency"]
    assert bool((bare == -3).all())


def test_bernoulli_noise_is_logistic() -> None:
    """Drawn edges of logit w appear with probability sigmoid(w)."""
    form = BernoulliAdjacency(free(), straight_through=True, finish="sample")
    params = start(form) | {"adjacency": torch.full((6, 6), 0.8).double()}
    upper = torch.ones(6, 6).triu(1).bool()
    expected = 1 / (1 + math.exp(-0.8))
    drawn = torch.stack([edges(form, params, s)[upper] for s in range(300)])
    final = [form.final(params, seeds.at(s, "f"))["adjacency"] for s in range(300)]
    for result in (drawn, torch.stack([f[upper] for f in final])):
        assert set(result.unique().tolist()) == {0.0, 1.0}
        assert float(result.mean()) == pytest.approx(expected, abs=0.03)


def test_bernoulli_temperature() -> None:
    """Geometric from the first to the last in `anneal` steps, then constant."""
    form = BernoulliAdjacency(free(), edge_logit=0.5, temperature=(2.0, 0.5), anneal=10)
    params = start(form)
    logit = {step: torch.logit(edges(form, params, 0, step)) for step in (0, 5, 10, 99)}
    upper = torch.ones(6, 6).triu(1).bool()
    for step, tau in ((5, 1.0), (10, 0.5), (99, 0.5)):
        ratio = (logit[step] / logit[0])[upper]
        torch.testing.assert_close(ratio, torch.full_like(ratio, 2.0 / tau))


def test_bernoulli_finish() -> None:
    params = start(BernoulliAdjacency(free()))
    logits = torch.randn(6, 6, generator=seeds.at(0, "w"), dtype=torch.float64)
    params |= {"adjacency": logits}
    keep = BernoulliAdjacency(free()).final(params, seeds.at(0, "f"))["adjacency"]
    assert_adjacency(keep, soft=False)
    likely = (logits + logits.T > 0).double().fill_diagonal_(0)
    assert torch.equal(keep, likely)
    sample = BernoulliAdjacency(free(), finish="sample")
    draws = [sample.final(params, seeds.at(s, "f"))["adjacency"] for s in range(5)]
    assert any(not torch.equal(draws[0], draw) for draw in draws[1:])
    with pytest.raises(ValueError, match="round"):
        BernoulliAdjacency(free(), finish="round")  # type: ignore[arg-type]


def test_straight_through_has_the_gradient_of_the_relaxation() -> None:
    """Equal for a linear function of the edges: the bias is that of the rounding."""
    params = start(BernoulliAdjacency(free(), edge_logit=0.5))
    weight = torch.randn(6, 6, generator=seeds.at(0, "w"), dtype=torch.float64)
    results = []
    for hard in (False, True):
        form = BernoulliAdjacency(free(), edge_logit=0.5, straight_through=hard)
        leaf = params["adjacency"].clone().requires_grad_()
        value = (weight * edges(form, params | {"adjacency": leaf}, step=1)).sum()
        results.append(torch.autograd.grad(value, leaf)[0].flatten())
    cosine = torch.cosine_similarity(results[0], results[1], dim=0)
    assert float(cosine) == pytest.approx(1.0) and bool(results[0].abs().max() > 0.01)
