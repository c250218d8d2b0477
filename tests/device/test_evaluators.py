"""Every evaluator on a device: models are trained there, scores come back.

`make test` walks a model of each modality, `make test-all` all of them, plain
trainings, label regimes and audits too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch

import multidd
from multidd import graph, images, recsys, seeds, text
from multidd.evaluation.regimes import LABEL_REGIMES
from multidd.graph.models.graph_networks import SET_MODELS
from multidd.graph.models.networks import MODELS as NODE_MODELS
from multidd.recsys.evaluation.evaluator import MODELS as RECOMMENDERS
from multidd.recsys.models.ease import EASE
from multidd.recsys.models.infinite_ae import InfiniteAE
from multidd.recsys.models.itemknn import ItemKNN
from multidd.recsys.models.poprec import PopRec
from tests.device.walk import DEVICE, watched
from tests.golden import tiny

pytestmark = pytest.mark.changes_globals("torch.Generator, while a device is watched")

SHORT = multidd.Protocol("short", epochs=2, width=16, check_every=1, whole_cap=2)


@dataclass(frozen=True)
class Judged:
    """What an evaluation of a modality takes.

    Attributes:
        summary: makes a set.
        exam: the data, by the names of `evaluate`.
        models: all of the modality.
        protocol: a short one.
    """

    summary: Callable[[], Any]
    exam: Callable[[], dict[str, Any]]
    models: tuple[str, ...]
    protocol: Any = SHORT


def _halves(records: Any, labels: Any) -> dict[str, Any]:
    """Every other record to train on, the others to test on."""
    return {
        "on": (records[1::2], labels[1::2]),
        "train": (records[::2], labels[::2]),
    }


@cache
def _texts() -> dict[str, Any]:
    rows, labels = tiny.texts()
    return _halves(list(rows), list(labels))


def _text_exam() -> dict[str, Any]:
    evaluator = text.Evaluator(
        **_texts(), encoder=tiny.encoder(), vectors=tiny.vectors(), device=DEVICE
    )
    return {"on": evaluator}


def _image_exam() -> dict[str, Any]:
    return _halves(*tiny.images()) | {"device": DEVICE}


def _graph_set_exam() -> dict[str, Any]:
    graphs = tiny.graphs()
    parts = {"on": graphs[1::3], "val": graphs[2::3], "train": graphs[::3]}
    return parts | {"device": DEVICE}


CASES: Mapping[str, Judged] = {
    "graph": Judged(
        lambda: graph.random(tiny.nodes(), nodes=6),
        lambda: {"on": tiny.nodes(), "device": DEVICE},
        (*NODE_MODELS, "kernel"),
    ),
    "graph.sets": Judged(
        lambda: graph.random(tiny.graphs()[::3], per_class=2),
        _graph_set_exam,
        SET_MODELS,
    ),
    "images": Judged(
        lambda: images.random(_image_exam()["train"], ipc=2),
        _image_exam,
        ("convnet", "kernel"),
    ),
    "recsys": Judged(
        lambda: recsys.random(tiny.log(), users=6),
        lambda: {"on": tiny.log(), "device": DEVICE},
        tuple(RECOMMENDERS),
        "untuned",
    ),
    "text": Judged(
        lambda: text.random(_texts()["train"], per_class=2, encoder=tiny.encoder()),
        _text_exam,
        ("kernel", "softmax", "logistic", "textcnn", "gru"),
    ),
}


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two updates where there are hundreds."""
    for name, settings in RECOMMENDERS.items():
        short = {"lightgcn": {"updates": 2}, "multvae": {"updates": 2}}.get(name, {})
        short = {"als": {"sweeps": 2}}.get(name, short)
        monkeypatch.setitem(RECOMMENDERS, name, replace(settings, **short))
    monkeypatch.setattr("multidd.evaluation.plain.UPDATES", 2)
    monkeypatch.setattr("multidd.evaluation.plain.WHOLE", replace(SHORT, name="plain"))
    monkeypatch.setattr("multidd.graph.evaluation.plain.EPOCHS", 2)


@cache
def _summary(name: str) -> Any:
    return CASES[name].summary()


def _judge(name: str, **settings: Any) -> Any:
    """A report of a case, models trained on the device."""
    case = CASES[name]
    quick = {"protocol": case.protocol, "seeds": 1, "cache": False, "regimes": ()}
    with watched():
        return multidd.evaluate(
            _summary(name), **case.exam(), **quick | {"progress": False} | settings
        )


@pytest.mark.parametrize("name", CASES)
def test_models_are_trained_there(name: str) -> None:
    """One quick case of each modality; the score is a number of the CPU."""
    case = CASES[name]
    model = "ease" if name == "recsys" else case.models[0]
    report = _judge(name, models=[model], rows=["kmeans"])
    scores = [value for row in report.rows for value in row.values[report.metric]]
    assert len(scores) == 2 and all(0 <= score <= 1 for score in scores)


@pytest.mark.full
@pytest.mark.parametrize("name", CASES)
def test_all_models_are_trained_there(name: str) -> None:
    report = _judge(name, models=list(CASES[name].models), rows=["whole", "kcenter"])
    assert len(report.rows) == 3 * len(CASES[name].models)


@pytest.mark.full
@pytest.mark.parametrize("name", [n for n in CASES if n != "graph.sets"])
def test_regimes_plain_trainings_and_audits_run_there(name: str) -> None:
    model = "ease" if name == "recsys" else CASES[name].models[0]
    report = _judge(
        name,
        models=[model],
        rows=["kmeans"],
        regimes=["plain", *LABEL_REGIMES],
        audit=True,
    )
    assert report.plain is not None and report.audit is not None
    assert report.regimes is not None


def test_the_device_of_an_evaluator_is_checked() -> None:
    with pytest.raises(ValueError, match="there is no device 'gpu' here"):
        recsys.Evaluator(tiny.log(), device="gpu")
    evaluator = recsys.Evaluator(tiny.log(), device=torch.device("cpu"))
    assert evaluator.device == "cpu" and evaluator.place == {}


SOLVED = {
    "ease by items": EASE(2.0, "primal"),
    "ease by rows": EASE(2.0, "dual"),
    "ease in double precision": EASE(1e-5, "dual"),
    "item kNN": ItemKNN(neighbours=4, shrink=1.0),
    "popularity": PopRec(),
    "kernel regression": InfiniteAE(ridge=0.1),
    "kernel regression on centers": InfiniteAE(ridge=0.1, centers=40),
}
"""Recommenders that draw nothing, or what does not matter."""


@pytest.mark.parametrize("name", SOLVED)
def test_what_is_solved_there_is_what_the_processor_solves(name: str) -> None:
    model, rows = SOLVED[name], tiny.log().train
    expected = model.train(rows, None, seeds.at(0, "train"))(rows)
    with watched():
        rng = seeds.at(0, "train", device=DEVICE)
        scores = model.train(rows, None, rng)(rows).cpu()
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-4)
