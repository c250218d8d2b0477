"""Gumbel and top histories: what they must equal by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from multidd import distill, seeds
from multidd.learning.optim import Adam
from multidd.objectives import DistributionMatching
from multidd.parameterizations import GumbelHistories, TopHistories
from tests.toy import Toy, free

LOGITS = torch.tensor([[0.0, 1.0, 2.0, -1.0], [0.5, 0.5, 0.5, 0.5]]).double()


def drawn(form: Any, x: Tensor = LOGITS, seed: int = 0, step: int = 0) -> Tensor:
    params = {"x": x, "y": torch.zeros(len(x)).long()}
    return form.draw(params, seeds.at(seed, "draw"), step)["x"]


def gumbel(**settings: Any) -> GumbelHistories:
    return GumbelHistories(free(), **settings)


def test_mean_by_hand() -> None:
    result = drawn(gumbel(draws=2, temperature=1.0, sampler="mean"))
    expected = (2 * LOGITS.softmax(1)).clamp(max=1)
    assert float(expected[0].max()) == 1.0
    torch.testing.assert_close(result, expected)


def test_expected_is_the_chance_to_appear() -> None:
    """Against counting: three draws with replacement, by `torch.multinomial`."""
    result = drawn(gumbel(draws=3, temperature=1.0, sampler="expected"))
    chance = LOGITS.softmax(1)
    torch.testing.assert_close(result, 1 - (1 - chance) ** 3)
    rng = torch.Generator().manual_seed(0)
    times = torch.stack(
        [torch.multinomial(chance, 3, True, generator=rng) for _ in range(4000)]
    )
    seen = torch.stack([(times == i).any(2).double().mean(0) for i in range(4)], 1)
    torch.testing.assert_close(result, seen, atol=0.03, rtol=0)


def test_expected_stays_exact_for_rare_items() -> None:
    logits = torch.tensor([[0.0, -30.0]], dtype=torch.float32)
    result = drawn(gumbel(draws=200, temperature=1.0, sampler="expected"), logits)
    assert result[0, 1].item() == pytest.approx(200 * math.exp(-30), rel=1e-4)
    assert result[0, 0].item() == pytest.approx(1.0)


@pytest.mark.parametrize("temperature", [0.7, 10.0])
def test_samplers_agree_on_average(temperature: float) -> None:
    """Each row of the shared noise is distributed like one of independent noise."""
    means = []
    for sampler in ("shared", "independent"):
        form = gumbel(draws=2, temperature=temperature, sampler=sampler)
        draws = torch.stack([drawn(form, seed=seed) for seed in range(1500)])
        means.append(draws.mean(0))
    torch.testing.assert_close(means[0], means[1], atol=0.03, rtol=0)


@pytest.mark.parametrize("sampler", ["shared", "independent"])
def test_rows_sum_to_the_draws_below_the_cut(sampler: Any) -> None:
    x = torch.zeros(2, 400).double()
    result = drawn(gumbel(draws=5, temperature=5.0, sampler=sampler), x)
    assert float(result.max()) < 1
    torch.testing.assert_close(result.sum(1), torch.full((2,), 5.0).double())


def test_shared_noise_is_shared() -> None:
    form = gumbel(draws=4, temperature=1.0)
    same = drawn(form, LOGITS[1:].repeat(3, 1))
    torch.testing.assert_close(same[0], same[1])
    other = drawn(gumbel(draws=4, temperature=1.0, sampler="independent"), same)
    assert not torch.equal(other[0], other[1])


def test_large_logits_stay_finite() -> None:
    x = torch.tensor([[80.0, 0.0, -80.0]])
    for sampler, temperature in (("shared", 0.5), ("independent", 0.1)):
        form = gumbel(draws=3, temperature=temperature, sampler=sampler)
        result = drawn(form, x.requires_grad_())
        slope = torch.autograd.grad(result[:, 1:].sum(), x)[0]
        assert bool(torch.isfinite(result).all() and torch.isfinite(slope).all())
        assert result[0, 0].item() == 1.0


def test_low_rank_logits() -> None:
    """Full rank starts from the records; less, from their best approximation."""
    task = Toy(edges=False)
    plain = gumbel(sampler="mean").init(task, seeds.at(0, "p"))["x"]
    for rank in (2, 9):
        form = gumbel(sampler="mean", rank=rank)
        params = form.init(task, seeds.at(0, "p"))
        size = min(rank, *plain.shape)
        assert params["x/rows"].shape == (6, size)
        assert params["x/columns"].shape == (size, 4)
        gap = (params["x/rows"] @ params["x/columns"] - plain).norm()
        left = torch.linalg.svdvals(plain)[size:].norm()
        torch.testing.assert_close(gap, left, atol=1e-9, rtol=1e-6)


# --- top histories --------------------------------------------------------------------


def test_the_largest_are_ones() -> None:
    form = TopHistories(free(), 2)
    assert drawn(form, LOGITS[:1]).tolist() == [[0.0, 1.0, 1.0, 0.0]]
    params = {"x": LOGITS, "y": torch.zeros(2).long()}
    final = form.final(params, seeds.at(0, "final"))["x"]
    assert final.sum(1).tolist() == [2.0, 2.0] and final[0].tolist() == [0, 1, 1, 0]


def test_gradient_is_that_of_the_sigmoid() -> None:
    """Around the middle between the second and the third logit, at temperature 1/2."""
    x = LOGITS[:1].clone().requires_grad_()
    weight = torch.tensor([[1.0, -2.0, 3.0, 0.5]]).double()
    form = TopHistories(free(), 2, temperature=(0.5, 0.5))
    gradients = torch.autograd.grad((weight * drawn(form, x)).sum(), x)[0]
    s = torch.sigmoid((x.detach() - 0.5) / 0.5)
    torch.testing.assert_close(gradients, weight * s * (1 - s) / 0.5)


def test_temperature_falls() -> None:
    x = LOGITS[:1].clone().requires_grad_()
    form = TopHistories(free(), 2, temperature=(2.0, 0.5), anneal=10)
    slopes = {}
    for step, tau in ((0, 2.0), (5, 1.0), (10, 0.5), (99, 0.5)):
        value = drawn(form, x, step=step)[0, 1]
        slopes[step] = torch.autograd.grad(value, x)[0][0, 1].item()
        s = 1 / (1 + math.exp(-0.5 / tau))
        assert slopes[step] == pytest.approx(s * (1 - s) / tau)


def test_noise_moves_the_draws_not_the_summary() -> None:
    form = TopHistories(free(), 2, noise=3.0)
    draws = [drawn(form, seed=seed) for seed in range(5)]
    assert any(not torch.equal(draws[0], other) for other in draws[1:])
    params = {"x": LOGITS, "y": torch.zeros(2).long()}
    final = [form.final(params, seeds.at(seed, "f"))["x"] for seed in range(3)]
    assert torch.equal(final[0], final[1]) and torch.equal(final[0], final[2])


def test_the_largest_change_as_they_are_learned() -> None:
    form = TopHistories(free(), 2)
    starts, ends = (
        distill(Toy(), DistributionMatching(), form, steps=steps, optimizer=Adam(0.3))
        for steps in (0, 30)
    )
    assert not torch.equal(starts.tensors["x"], ends.tensors["x"])
    assert bool((ends.tensors["x"].sum(1) == 2).all())


def test_longer_than_the_row() -> None:
    with pytest.raises(ValueError, match="4 items cannot have 4 ones"):
        TopHistories(free(), 4).init(Toy(edges=False), seeds.at(0, "p"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"sampler": "exact"}, "'exact'"),
        ({"draws": 0}, "draws"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": 0.3}, "from temperature 0.5 on"),
        ({"rank": 0}, "rank"),
    ],
)
def test_bad_gumbel_settings(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gumbel(**bad)


@pytest.mark.parametrize(
    "bad", [{"length": 0}, {"temperature": (1.0, 0.0)}, {"noise": -1.0}]
)
def test_bad_top_settings(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TopHistories(free(), **{"length": 2} | bad)
