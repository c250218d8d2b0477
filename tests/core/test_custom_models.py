"""Models of a caller's own in `multidd.evaluate`, in every modality."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

import multidd
from multidd import graph, images, recsys, text
from multidd.evaluation.custom_models import fit_estimator
from multidd.evaluation.report import Report
from multidd.recsys.models.ease import EASE
from tests.golden import tiny

SHORT = multidd.Protocol(
    "short", epochs=3, width=4, batch=8, whole_batch=8, whole_patience=4, whole_cap=4
)


class Convolutional(nn.Module):
    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(shape[0], 4, 3), nn.BatchNorm2d(4)
        self.dropout, self.head = nn.Dropout(0.5), nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(self.norm(self.conv(x)).relu().flatten(1)))


class Graphs(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.conv = GCNConv(features, classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        dropped = nn.functional.dropout(x, 0.5, self.training)
        return self.conv(dropped, edge_index)


def vowels(texts: list[str]) -> list[list[float]]:
    return [[1.0, *map(one.count, "aeiou")] for one in texts]


def popular(rows: Any, weight: Any, rng: torch.Generator) -> Any:
    counts = np.asarray(rows.sum(axis=0)).ravel()
    return lambda histories: np.tile(counts, (histories.shape[0], 1))


def of_images(models: Any) -> Report:
    data = tiny.images()
    summary = images.random(data, 3)
    short = {"protocol": SHORT, "seeds": 1, "rows": ["whole", "random"]}
    return multidd.evaluate(summary, data, train=data, models=models, **short)


def of_nodes(models: Any) -> Report:
    data = tiny.nodes()
    summary = graph.random(data, nodes=9)
    short = {"protocol": SHORT, "seeds": 1, "rows": ["whole", "herding"]}
    return multidd.evaluate(summary, data, models=models, **short)


def of_texts(models: Any) -> Report:
    data = tiny.texts()
    summary = text.random(data, 3, encoder=vowels)
    evaluator = text.Evaluator(data, train=data, encoder=vowels)
    short = {"protocol": SHORT, "seeds": 1, "rows": ["whole", "kmeans"]}
    return multidd.evaluate(summary, evaluator, models=models, **short)


def of_users(models: Any) -> Report:
    log = tiny.log()
    summary = recsys.random(log, 6)
    short = {"seeds": 1, "rows": ["whole", "head"], "protocol": "untuned"}
    return multidd.evaluate(summary, log, models=models, **short)


every = pytest.mark.parametrize(
    ("table", "models", "names"),
    [
        (of_images, [Convolutional, SVC()], ["Convolutional", "SVC"]),
        (of_nodes, [Graphs, LogisticRegression()], ["Graphs", "LogisticRegression"]),
        (
            of_texts,
            [nn.Linear, DecisionTreeClassifier()],
            ["Linear", "DecisionTreeClassifier"],
        ),
        (of_users, [popular, EASE(ridge=50.0)], ["popular", "EASE"]),
    ],
)


@every
def test_every_modality_trains_them(
    table: Any, models: list[Any], names: list[Any]
) -> None:
    """Beside one by name; the same scores again, and the models stay as they were."""
    before = torch.get_rng_state()
    first, again = table([*models]), table(models)
    assert [row.values for row in first.rows] == [row.values for row in again.rows]
    labels = list(dict.fromkeys(row.model for row in first.rows))
    assert labels == names
    assert torch.equal(torch.get_rng_state(), before)
    assert not hasattr(models[1], "classes_")  # a clone was fitted


def test_two_of_one_name_are_two_rows() -> None:
    two = [DecisionTreeClassifier(max_depth=1), DecisionTreeClassifier()]
    labels = {row.model for row in of_images(["mlp", *two]).rows}
    assert labels == {"mlp", "DecisionTreeClassifier", "DecisionTreeClassifier-2"}


def test_one_model_alone() -> None:
    assert {row.model for row in of_images(LogisticRegression()).rows} == {
        "LogisticRegression"
    }


def test_the_same_recommender_by_name_and_by_function() -> None:
    rows = of_users(["poprec", popular]).rows
    for name in ("whole", "head", "random"):
        ours, theirs = (row.values for row in rows if row.name == name)
        assert ours == theirs


def test_scores_of_whole_data_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The code behind a name may have changed."""
    calls: list[str] = []
    monkeypatch.setattr("multidd.evaluation.whole_data.read_cached", lambda *_: None)
    monkeypatch.setattr(
        "multidd.evaluation.whole_data.write_cached",
        lambda folder, key, scores: calls.append(key["model"]),
    )
    of_images(["mlp", Convolutional])
    assert calls == ["mlp"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression, r"give an estimator, LogisticRegression\(...\), not its"),
        (nn.Linear(2, 2), "is a Linear that is made already"),
        (3, "must be a name or a function that gives an nn.Module; got 3"),
    ],
)
def test_what_is_no_model_is_refused(model: Any, message: str) -> None:
    for table in (of_images, of_nodes, of_texts):
        with pytest.raises(TypeError, match=message):
            table([model])


def test_what_is_no_recommender_is_refused() -> None:
    with pytest.raises(TypeError, match=r"settings such as EASE\(ridge=10.0\)"):
        of_users([EASE])


@pytest.mark.parametrize("none", [[], ()])
def test_no_model_at_all_is_refused(none) -> None:
    data = tiny.images()
    with pytest.raises(ValueError, match="models names none; give one or several of"):
        multidd.evaluate(images.random(data, 1), data, models=none)


def test_an_evaluator_by_names_alone_says_so() -> None:
    class Names(images.Evaluator):
        add_model = None

    data = tiny.images()
    with pytest.raises(TypeError, match="Names trains models by name alone: convnet"):
        multidd.evaluate(images.random(data, 1), Names(data), models=[Convolutional])


# --- estimators -----------------------------------------------------------------------


def test_weights_and_seeds_reach_an_estimator() -> None:
    x, targets = torch.zeros(3, 1), torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    prior = DummyClassifier(strategy="prior")
    assert fit_estimator(prior, x, targets)(x).tolist() == [0, 0, 0]
    weight = torch.tensor([1.0, 1.0, 9.0])
    assert fit_estimator(prior, x, targets, weight=weight)(x).tolist() == [1, 1, 1]
    drawn = make_pipeline(StandardScaler(), DummyClassifier(strategy="uniform"))
    many = torch.zeros(50, 1)
    answers = [fit_estimator(drawn, x, targets, seed=s)(many) for s in (0, 0, 1)]
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])


def test_one_class_needs_no_estimator() -> None:
    targets = torch.tensor([[0.1, 0.9], [0.4, 0.6]])
    answer = fit_estimator(LogisticRegression(), torch.zeros(2, 1), targets)
    assert answer(torch.zeros(3, 1)).tolist() == [1, 1, 1]
