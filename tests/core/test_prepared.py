"""What evaluators prepare of their data: once for all rows, seeds and models."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import multidd
from multidd.evaluation.evaluator import (
    BaseEvaluator,
    PreparedValues,
    class_accuracies,
)
from multidd.graph.models import propagation
from multidd.images.data.preprocessing import Preprocessing
from multidd.recsys.tasks import user_task
from multidd.text.models.encoder import Encoder
from multidd.text.models.word_vectors import StaticTable

pytestmark = pytest.mark.usefixtures("short_teachers")

QUICK = multidd.Protocol(
    "quick",
    epochs=2,
    lr=0.01,
    width=4,
    batch=8,
    whole_batch=8,
    whole_patience=1,
    whole_cap=2,
)
"""Two epochs on whole data too."""
CALL: dict[str, Any] = {"seeds": 3, "protocol": QUICK, "cache": False}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Watches a function; gives the sizes of what it is called with."""

    def watch(place: Any, name: str, argument: int) -> list[int]:
        sizes, known = [], getattr(place, name)

        def counting(*args: Any, **options: Any) -> Any:
            sizes.append(len(args[argument]))
            return known(*args, **options)

        monkeypatch.setattr(place, name, counting)
        return sizes

    return watch


@pytest.fixture
def pictures() -> tuple[Any, Any]:
    train, test = multidd.samples.fashion()
    return train.subset(torch.arange(200)), test.subset(torch.arange(70))


# --- counted --------------------------------------------------------------------------


def test_gcond_propagates_once(counted: Callable[..., list[int]]) -> None:
    """The teacher and the task share one propagation."""
    sizes = counted(propagation, "propagate", 1)
    operators = counted(propagation, "scales", 0)
    data = multidd.samples.cora()
    multidd.graph.gcond(data, per_class=1, steps=1, progress=False)
    assert sizes == [data.num_nodes] and operators == []


@pytest.mark.parametrize("inductive", [False, True])
def test_a_graph_is_propagated_once(
    counted: Callable[..., list[int]], inductive: bool
) -> None:
    data = multidd.samples.cora()
    summary = multidd.graph.random(data, per_class=1)
    sizes = counted(propagation, "propagate", 1)
    report = multidd.evaluate(
        summary, data, inductive=inductive, models=["gcn", "mlp"], **CALL
    )
    assert sizes == [int(data.train_mask.sum()) if inductive else data.num_nodes]
    assert [len(row.values["accuracy"]) for row in report.rows] == [3] * 10


def test_images_are_normalized_once(
    pictures: tuple[Any, Any], counted: Callable[..., list[int]]
) -> None:
    """Of whole data each epoch normalizes one batch."""
    train, test = pictures
    summary = multidd.images.random(train, ipc=1)
    sizes = counted(Preprocessing, "apply", 1)
    multidd.evaluate(summary, test, train=train, models=["mlp", "lenet"], **CALL)
    batches, models, seeds, epochs = sizes.count(8), 2, 3, 2
    assert batches == models * seeds * epochs
    rest = [size for size in sizes if size != 8]
    assert sorted(rest, reverse=True)[0] == len(train)
    held_out, first = len(train) // 10, 1  # looked at for its shape
    assert sum(rest) == len(train) + len(test) + held_out + 2 * first


def test_images_are_normalized_once_for_several_calls(
    pictures: tuple[Any, Any], counted: Callable[..., list[int]]
) -> None:
    train, test = pictures
    evaluator = multidd.images.Evaluator(test, train=train)
    summary = multidd.images.random(train, ipc=1)
    call = CALL | {"models": ["mlp"], "rows": ["herding"]}
    first = multidd.evaluate(summary, evaluator, **call)
    sizes = counted(Preprocessing, "apply", 1)
    again = multidd.evaluate(summary, evaluator, **call)
    assert sizes == []
    for name in ("herding", "random"):
        assert again.row("mlp", name).values == first.row("mlp", name).values


def test_images_of_another_space_are_normalized_in_it(
    pictures: tuple[Any, Any],
) -> None:
    """An evaluator that has seen another space gives the scores of a fresh one."""
    train, test = pictures
    plain, white = (
        multidd.images.random(
            train, 1, options=multidd.images.ImageSelectionOptions(zca=zca)
        )
        for zca in (False, True)
    )
    evaluator, call = multidd.images.Evaluator(test, train=train), CALL | {"seeds": 1}
    call |= {"models": ["mlp", "kernel"], "rows": ["kmeans", "whole"]}
    for summary in (plain, white, plain):
        used = multidd.evaluate(summary, evaluator, **call)
        fresh = multidd.evaluate(summary, test, train=train, **call)
        assert [row.values for row in used.rows] == [row.values for row in fresh.rows]


def test_images_that_are_too_many_are_not_kept(
    pictures: tuple[Any, Any], counted: Callable[..., list[int]]
) -> None:
    train, test = pictures
    evaluator = multidd.images.Evaluator(test, train=train)
    evaluator.prepared.max_bytes = 4 * test.x.numel() - 1
    summary = multidd.images.random(train, ipc=1)
    call = CALL | {"models": ["mlp"], "rows": ["herding"]}
    sizes = counted(Preprocessing, "apply", 1)
    multidd.evaluate(summary, evaluator, **call)
    assert sum(sizes) == 3 * len(train) + 6 * (len(test) + 1)
    assert evaluator.prepared.num_bytes == 0


def test_texts_are_encoded_once(
    counted: Callable[..., list[int]],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))
    whole = multidd.samples.sms()
    train = whole.train.take(torch.arange(60))
    test = whole.test.take(torch.arange(20))
    sizes = counted(Encoder, "encode_counted", 1)
    summary = multidd.text.random(train, per_class=1)
    multidd.evaluate(
        summary, test, train=train, models=["kernel", "logistic", "softmax"], **CALL
    )
    assert sorted(sizes) == [20, 60]


def test_texts_are_looked_up_in_word_vectors_once(
    counted: Callable[..., list[int]],
) -> None:
    whole = multidd.samples.sms()
    train = whole.train.take(torch.arange(60))
    test = whole.test.take(torch.arange(20))
    words = ["you", "call", "free", "the", "to"]
    evaluator = multidd.text.Evaluator(test, train=train, vectors=(words, torch.eye(5)))
    summary = multidd.text.random(train, per_class=1)
    sizes = counted(StaticTable, "ids", 1)
    multidd.evaluate(
        summary, evaluator, models=["textcnn"], rows=["whole", "herding"], **CALL
    )
    assert sizes.count(54) == sizes.count(6) == sizes.count(20) == 1


def test_users_are_embedded_once(counted: Callable[..., list[int]]) -> None:
    """Rows are those of the methods, which embed the users themselves."""
    log = multidd.recsys.power_law(60, 40, 900).split()
    summary = multidd.recsys.random(log, users=5)
    evaluator = multidd.recsys.Evaluator(log)
    sizes = counted(user_task, "embed", 0)
    rows = ["herding", "kcenter", "kmeans"]
    call: dict[str, Any] = {"models": ["poprec"], "protocol": "untuned"}
    report = multidd.evaluate(
        summary, evaluator, rows=rows, seeds=3, cache=False, **call
    )
    assert sizes == [60]
    for name in rows:
        assert len(report.row("poprec", name).values["hr@10"]) == 3
        for seed in range(3):
            alone = multidd.recsys.METHODS[name](log, users=5, seed=seed)
            assert evaluator.row(name, summary, seed).digest() == alone.digest()
    assert sizes == [60] * 10


# --- the base -------------------------------------------------------------------------


def test_the_oldest_values_go_first() -> None:
    values, results = PreparedValues(10), []

    def make(name: str) -> str:
        results.append(name)
        return name

    for name in ("a", "b", "a", "c", "b", "a"):
        assert values.get(name, lambda name=name: make(name), num_bytes=4) == name
    assert results == ["a", "b", "c", "a"] and values.num_bytes == 8
    assert values.get("large", lambda: 1, num_bytes=11) == 1
    assert values.get("large", lambda: 2, num_bytes=11) == 2
    assert values.num_bytes == 8


def test_bytes_are_those_of_the_tensors() -> None:
    values = PreparedValues(100)
    values.get("one", lambda: torch.ones(3))
    assert values.num_bytes == 12
    values.get("two", lambda: (torch.ones(2), torch.ones(1, dtype=torch.float64)))
    assert values.num_bytes == 28


def test_what_a_modality_must_give() -> None:
    assert BaseEvaluator.__abstractmethods__ == {"describe", "check", "row", "fit"}


def test_accuracies_of_classes_that_are_there() -> None:
    predicted, labels = torch.tensor([0, 0, 2]), torch.tensor([0, 2, 2])
    scores = class_accuracies(predicted, labels, ("a", "b", "c"))
    assert scores == {
        "accuracy": pytest.approx(2 / 3),
        "accuracy/a": 1.0,
        "accuracy/c": 0.5,
    }
