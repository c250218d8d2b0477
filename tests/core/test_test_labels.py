"""What an evaluation chooses, it chooses without the labels of test data.

`docs/concepts/other-evaluations.md` promises it.
"""

from typing import Any

import pytest

import multidd
from multidd import graph, images, recsys
from multidd.recsys.data.splits import TEST
from multidd.recsys.evaluation import evaluator
from multidd.recsys.models import tuning
from tests.golden import tiny


def test_images() -> None:
    """The rate and the epoch, whichever classes test images are said to have."""
    x, y = tiny.images()
    summary = images.kmeans((x, y), ipc=2)
    search = multidd.Protocol("s", 4, lrs=(1e-4, 0.01, 0.1), snapshots=2, width=4)

    def fitted(labels: list[int]) -> dict[str, float]:
        judge = images.Evaluator((x, labels), train=(x, y))
        judge.check(summary)
        return dict(judge.fit(summary, "mlp", search, 0))

    first, other = fitted(y), fitted([(label + 1) % 3 for label in y])
    chosen = ("lr", "epoch", "val_accuracy")
    assert [first[name] for name in chosen] == [other[name] for name in chosen]
    assert first["accuracy"] != other["accuracy"]


def test_nodes() -> None:
    """The epoch, and the ridge of the kernel predictor."""
    data = tiny.nodes()
    summary = graph.kmeans(data, per_class=2)
    other = data.clone()
    other.y[data.test_mask] = (data.y[data.test_mask] + 1) % 3
    protocol = multidd.Protocol("p", 20, check_every=2)
    for model, name in (("gcn", "epoch"), ("kernel", "ridge")):
        scores = [
            graph.Evaluator(one).fit(summary, model, protocol, 0)
            for one in (data, other)
        ]
        assert scores[0][name] == scores[1][name]
        assert scores[0]["accuracy"] != scores[1]["accuracy"]


def test_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ridge, whichever test items there are."""
    models = []

    def noting(*args: Any, **options: Any) -> Any:
        tuned = tuning.best(*args, **options)
        models.append(tuned.model)
        return tuned

    monkeypatch.setattr(evaluator, "best", noting)
    log = tiny.log()
    assert log.part is not None
    other = log.select((log.part != TEST) | (log.items % 2 == 0))
    assert 0 < other.test.nnz < log.test.nnz and other.val.nnz == log.val.nnz
    summary = recsys.kmeans(log, users=6)
    scores = [
        recsys.Evaluator(one).fit(summary, "ease", evaluator.PROTOCOLS["tuned"], 0)
        for one in (log, other)
    ]
    assert len(models) == 2 and models[0] == models[1]
    assert scores[0] != scores[1]
