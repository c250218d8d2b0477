"""Training by a protocol: what the models of every modality share."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multidd.evaluation.kernel_predictor import kernel_predictor, predicted_classes
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.training import (
    BestScore,
    EvaluationSet,
    TrainingSet,
    epochs,
    make_optimizer,
    row_batches,
    train_and_choose_epoch,
    train_until_plateau,
)
from multidd.seeds import at


def test_the_optimizer_is_the_protocols() -> None:
    net = nn.PReLU()
    protocol = Protocol("p", optimizer="sgd", momentum=0.5, weight_decay=0.1)
    group = make_optimizer(net.parameters(), protocol, 0.3).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.3, 0.5, 0.1)
    other = make_optimizer(net.parameters(), Protocol("p"), 0.3)
    assert isinstance(other, torch.optim.Adam)


def test_the_rate_drops_at_half_with_a_new_optimizer() -> None:
    protocol = Protocol("p", epochs=5, lr=1.0, lr_drop=0.1)
    results = list(epochs(nn.PReLU(), protocol))
    assert [epoch for epoch, _ in results] == [1, 2, 3, 4, 5]
    rates = [optimizer.param_groups[0]["lr"] for _, optimizer in results]
    assert rates == [1.0, 1.0, 0.1, 0.1, 0.1]
    assert len({id(optimizer) for _, optimizer in results}) == 2


def test_a_cosine_has_no_drop() -> None:
    protocol = Protocol("p", epochs=4, lr=2.0, lr_drop=0.1, schedule="cosine")
    course = epochs(nn.PReLU(), protocol)
    rates = [optimizer.param_groups[0]["lr"] for _, optimizer in course]
    angles = [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]
    assert rates == pytest.approx([1 + math.cos(angle) for angle in angles])


def test_batches_are_a_partition_of_the_rows() -> None:
    batches = row_batches(7, 3, at(0, "rows"))
    assert [len(rows) for rows in batches] == [3, 3, 1]
    assert torch.cat(batches).sort().values.tolist() == list(range(7))
    rng = at(0, "rows")
    state = rng.get_state()
    for size in (0, 7, 9):
        assert [rows.tolist() for rows in row_batches(7, size, rng)] == [[*range(7)]]
    assert torch.equal(rng.get_state(), state)  # nothing is drawn


def test_the_first_of_equal_scores_is_the_best() -> None:
    best = BestScore()
    assert [best.improves(score) for score in (0.2, 0.2, 0.1, 0.3)] == [1, 0, 0, 1]


class Told(EvaluationSet):
    """Scores that are told, one after another."""

    def __init__(self, *scores: float) -> None:
        super().__init__(None, torch.ones(1))
        object.__setattr__(self, "left", list(scores))

    def score(self, model: object) -> float:
        return self.left.pop(0)


def test_the_epoch_is_chosen_on_validation_data_alone() -> None:
    protocol, passes = Protocol("p", epochs=7, check_every=2), []
    val, test = Told(0.5, 0.9, 0.9, 0.7), Told(0.1, 0.2, 0.3)
    result = train_and_choose_epoch(nn.PReLU(), protocol, passes.append, val, test)
    assert result == {"accuracy": 0.2, "val_accuracy": 0.9, "epoch": 4}
    assert len(passes) == 7 and val.left == [] and test.left == [0.3]


def test_scores_are_shares_of_rows() -> None:
    some = EvaluationSet(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    assert some.predict(nn.Identity()).tolist() == [0, 1, 2, 3]
    assert some.score(nn.Identity()) == 0.75 and some.metric == "accuracy"


def test_centered_targets_are_regressed() -> None:
    targets = torch.eye(2)
    assert TrainingSet(None, targets).cost == "cross_entropy"
    assert TrainingSet(None, targets - 0.5, centered=True).cost == "mse"


# --- the kernel predictor -------------------------------------------------------------


def test_the_predictor_is_ridge_regression() -> None:
    x = torch.randn(5, 3, generator=at(0, "x"), dtype=torch.float64)
    t = torch.randn(4, 3, generator=at(1, "x"), dtype=torch.float64)
    y = torch.randn(5, 2, generator=at(2, "x"), dtype=torch.float64)
    kernel = x @ x.T
    ridge = 0.1 * kernel.diagonal().mean() * torch.eye(5, dtype=torch.float64)
    by_hand = t @ x.T @ torch.linalg.solve(kernel + ridge, y)
    result = kernel_predictor(kernel, y, 0.1, lambda rows: rows @ x.T)(t)
    torch.testing.assert_close(result, by_hand)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_classes_do_not_depend_on_the_parts(size: int) -> None:
    scores = torch.randn(3, 5, 4, generator=at(0, "scores"))  # (ridges, b, c)
    asked: list[int] = []

    def some(rows: Tensor) -> Tensor:
        asked.append(len(rows))
        return scores[:, rows]

    result = predicted_classes(some, 5, size)
    assert torch.equal(result, scores.argmax(2))
    assert max(asked) == min(size, 5) and sum(asked) == 5


# --- whole data -----------------------------------------------------------------------


class Walk:
    """A weight that moves by the rate at each epoch, and what it scores where."""

    def __init__(self, score: Callable[[float], float]) -> None:
        self.weight = torch.zeros(1, requires_grad=True)
        self.score_at, self.rates = score, list[float]()

    def train_epoch(self, optimizer: torch.optim.Optimizer) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])
        with torch.no_grad():
            self.weight += self.rates[-1]

    def score(self) -> float:
        return self.score_at(round(self.weight.item(), 3))

    def train(self, **settings: Any) -> dict[str, float]:
        protocol = Protocol("p", lr=1.0, optimizer="sgd", **settings)
        state = {"weight": self.weight.detach()}
        return train_until_plateau(
            state, [self.weight], protocol, self.train_epoch, self.score
        )


def scores_at(scores: dict[float, float]) -> Callable[[float], float]:
    return lambda place: scores.get(place, 0.0)


def test_whole_data_train_until_the_score_has_stopped_rising() -> None:
    """Twenty epochs beyond the best, at each rate, the second from the best state."""
    walk = Walk(scores_at({10: 0.5, 24: 0.7, 26: 0.7, 30: 0.8}))
    result = walk.train(epochs=20, lr_drop=0.125)
    assert result == {"epoch": 30, "held_out": 0.8, "capped": 0}
    assert walk.rates == [1.0] * 50 + [0.125] * 20
    assert walk.weight.item() == 30


def test_a_rise_at_the_lower_rate_counts() -> None:
    scores = scores_at({2: 0.5, 2.5: 0.9, 7: 1.0})
    walk = Walk(scores)
    result = walk.train(epochs=100, whole_patience=4, lr_drop=0.5)
    assert result == {"epoch": 7, "held_out": 0.9, "capped": 0}
    assert walk.rates == [1.0] * 6 + [0.5] * 5 and walk.weight.item() == 2.5
    assert Walk(scores).train(epochs=4) == {"epoch": 2, "held_out": 0.5, "capped": 0}


def test_a_cap_ends_what_still_rises_and_says_so() -> None:
    walk = Walk(lambda place: place)
    result = walk.train(epochs=3, lr_drop=0.5, whole_patience=10, whole_cap=25)
    assert result == {"epoch": 50, "held_out": 37.5, "capped": 1}
    assert walk.rates == [1.0] * 25 + [0.5] * 25
    walk = Walk(lambda place: place)
    assert walk.train(epochs=3)["epoch"] == 60  # twenty times the epochs


def test_of_whole_data_the_best_state_is_tested() -> None:
    net = nn.PReLU(init=0.0)

    def train_pass(optimizer: torch.optim.Optimizer) -> None:
        with torch.no_grad():
            net.weight += 1

    class Judge:
        metric = "accuracy"

        def __init__(self, best: int) -> None:
            self.best = best

        def score(self, model: nn.Module) -> float:
            return 1 / (1 + abs(self.best - net.weight.item()))

    protocol = Protocol("p", epochs=50, check_every=3)
    result = train_and_choose_epoch(
        net, protocol, train_pass, Judge(6), Judge(7), whole=True
    )
    assert result == {"accuracy": 0.5, "val_accuracy": 1.0, "epoch": 6, "capped": 0}
