"""`evaluate`, with an evaluator that counts: who trains on what, how often, and how."""

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from multidd import Protocol, evaluate, samples, select
from multidd import graph as graphs
from multidd.engine.card import CardInfo
from multidd.evaluation.evaluator import BaseEvaluator
from multidd.evaluation.report import Report
from multidd.modality import Parts
from multidd.protocols import Evaluator
from multidd.selection.basic import Random
from multidd.summary import DataSummary
from tests.registry import register
from tests.toy import COUNTS, Toy, ToySummary

QUICK, SLOW = Protocol("quick", epochs=2), Protocol("slow", epochs=9)
FITS: list[tuple] = []


class Counting(BaseEvaluator[DataSummary]):
    """Scores by name and seed, and writes down every training."""

    models = ("gcn", "mlp")
    rows = ("whole", "random", "herding")
    protocols = {"quick": QUICK, "slow": SLOW}

    def __init__(self, on: Any, *, train: Any = None, device: str = "cpu") -> None:
        self.on, self.train, self.device = on, train, device

    def describe(self) -> dict[str, Any]:
        return {"n": len(self.on), "train": self.train, "device": self.device}

    def check(self, summary: DataSummary) -> None:
        if summary.tensors["x"].shape[1] != 4:
            raise ValueError("the summary does not fit")

    def row(self, name: str, summary: DataSummary, seed: int) -> Any:
        if name == "whole":
            return None
        counts = summary.tensors["y"].bincount().tolist()
        return select(Toy(), Random(), counts, seed=seed, card=CardInfo(name))

    def fit(self, summary: Any, model: str, protocol: Protocol, seed: int) -> dict:
        name = "whole" if summary is None else summary.card.method
        FITS.append((name, model, protocol, seed))
        return {"accuracy": 0.5 + 0.1 * seed, "loss": 1.0}


def registered(monkeypatch: pytest.MonkeyPatch, evaluator: type) -> None:
    """Vectors are evaluated by it, until the test ends."""
    parts = Parts(
        summaries={"toy": ToySummary},
        evaluators={"toy": evaluator},
        methods={"ours": make_summary},
        with_loop=(),
        load_for_evaluation=lambda name, **settings: (name, {}),
    )
    register(monkeypatch, "toy", lambda: parts)


@pytest.fixture(autouse=True)
def modality(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    registered(monkeypatch, Counting)
    monkeypatch.setenv("MULTIDD_CACHE", str(tmp_path))
    FITS.clear()


def make_summary(seed: int = 0, method: str = "ours") -> DataSummary:
    return select(Toy(), Random(), COUNTS, seed=seed, card=CardInfo(method))


def report(summary: Any = None, on: Any = "data", **options: Any) -> Report:
    return evaluate(make_summary() if summary is None else summary, on, **options)


# --- what is trained ------------------------------------------------------------------


def test_every_row_model_and_seed_once() -> None:
    result = report(models=["gcn", "mlp"], seeds=2)
    names = ("whole", "random", "herding", "ours")
    expected = [
        (n, m, QUICK, s) for m in ("gcn", "mlp") for n in names for s in range(2)
    ]
    assert FITS == expected
    assert [(r.name, r.model) for r in result.rows] == [
        (n, m) for m in ("gcn", "mlp") for n in names
    ]
    assert result.row("mlp", "random").values == {
        "accuracy": (0.5, 0.6),
        "loss": (1.0, 1.0),
    }
    assert result.protocol == asdict(QUICK) and result.data == {
        "n": 4,
        "train": None,
        "device": "cpu",
    }
    assert (result.method, result.metric) == ("ours", "accuracy")


def test_defaults_are_one_model_three_seeds_all_rows() -> None:
    result = report()
    assert {row.model for row in result.rows} == {"gcn"}
    assert [row.name for row in result.rows] == [
        "whole",
        "random",
        "herding",
        "ours",
    ]
    assert all(len(row.values["accuracy"]) == 3 for row in result.rows)


def test_seeds_may_be_named() -> None:
    result = report(seeds=[4, 2], rows=[])
    assert [fit[3] for fit in FITS] == [4, 2]
    assert result.row("gcn").values["accuracy"] == (0.9, 0.7)


def test_rows_are_made_with_each_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Seen(Counting):
        def row(self, name: str, summary: DataSummary, seed: int) -> Any:
            asked.append((name, seed))
            return super().row(name, summary, seed)

    asked: list[tuple] = []
    registered(monkeypatch, Seen)
    report(seeds=2, rows=["random"])
    assert asked == [("random", 0), ("random", 1)]


def test_rows_are_made_once_for_all_models() -> None:
    class Seen(Counting):
        def row(self, name: str, summary: DataSummary, seed: int) -> Any:
            asked.append((name, seed))
            return super().row(name, summary, seed)

    asked: list[tuple] = []
    result = report(on=Seen("data"), models=["gcn", "mlp"], seeds=2, rows=["random"])
    assert asked == [("random", 0), ("random", 1)] and len(FITS) == 8
    assert result.row("mlp", "random").size == result.row("gcn", "random").size == 6


def test_several_summaries_are_pooled() -> None:
    some = [make_summary(0), make_summary(1), make_summary(2)]
    result = report(some, seeds=2, rows=["random"])
    assert len(result.row("gcn").values["accuracy"]) == 6
    assert len(result.row("gcn", "random").values["accuracy"]) == 2
    making = sum(one.card.seconds for one in some) / 3
    assert result.row("gcn").distill_seconds == pytest.approx(making)


def test_a_row_does_not_stand_beside_itself() -> None:
    result = report(make_summary(method="random"))
    assert [row.name for row in result.rows] == ["whole", "herding", "random"]


@pytest.fixture
def other_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has a device called meta."""
    monkeypatch.setattr("multidd.arguments._is_there", lambda device: True)


@pytest.mark.usefixtures("other_device")
def test_settings_reach_the_evaluator() -> None:
    data = report(seeds=1, train="more", device="meta").data
    assert data == {"n": 4, "train": "more", "device": "meta"}


def test_an_evaluator_stands_for_its_data() -> None:
    assert report(on=Counting("longer", train="x"), seeds=1).data["n"] == 6
    with pytest.raises(TypeError, match="its own settings; give it train, device"):
        report(on=Counting("data"), train="x", device="cpu")


def test_settings_that_the_modality_does_not_take() -> None:
    with pytest.raises(TypeError, match="evaluating toy takes no val, inductive"):
        report(val="data", inductive=True)
    assert FITS == []


@pytest.mark.parametrize(
    ("digits", "metrics", "footer"),
    [(1, (), "Protocol 'quick': epochs 2"), (2, ("loss",), "As the field does.")],
)
def test_optional_members_have_defaults(
    digits: int, metrics: tuple, footer: str
) -> None:
    class Telling(Counting):
        extra_metrics = metrics

        def describe_protocol(self, protocol: Protocol) -> str:
            return footer

    Telling.digits = digits
    kind = Telling if metrics else Counting
    result = report(on=kind("data"), seeds=1, rows=["random"])
    assert isinstance(kind("data"), Evaluator)
    assert (result.digits, result.extra_metrics) == (digits, metrics)
    assert footer in str(result) and ("loss %" in str(result)) == bool(metrics)


def test_models_solved_to_the_optimum_name_no_protocol() -> None:
    class Solving(Counting):
        closed_form_models = ("mlp",)

    solved = report(on=Solving("data"), models=["mlp"], seeds=1)
    assert "No protocol of training: mlp solved" in str(solved)
    assert "Protocol 'quick'" in str(report(on=Solving("data"), seeds=1))


def test_models_that_a_row_does_not_support() -> None:
    class Choosy(Counting):
        def supports(self, row: str, model: str) -> bool:
            return (row, model) != ("random", "mlp")

    result = report(on=Choosy("data"), models=["gcn", "mlp"], seeds=1)
    assert [r.name for r in result.rows if r.model == "mlp"] == [
        "whole",
        "herding",
        "ours",
    ]


# --- what is refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["cnn"]}, "model must be one of gcn, mlp; got 'cnn'"),
        ({"models": ["gcn", "cnn"]}, "got 'cnn'"),
        ({"rows": ["worst"]}, "row must be one of whole, .*got 'worst'"),
        ({"protocol": "best"}, "protocol must be one of quick, slow; got 'best'"),
        ({"seeds": 0}, "seeds must be 1 or more"),
        ({"seeds": []}, "seeds must be 1 or more"),
        ({"seeds": -1}, "seeds must be 1 or more"),
    ],
)
def test_refused_before_any_training(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report(**options)
    assert FITS == []


def test_summaries_that_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="no summary"):
        report([])
    with pytest.raises(ValueError, match=r"2 methods \(ours, theirs\).*on their own"):
        report([make_summary(), make_summary(method="theirs"), make_summary(1)])
    short = replace(make_summary(), tensors={"x": torch.ones(3, 2)})
    with pytest.raises(ValueError, match="does not fit"):
        report([make_summary(), short])
    assert FITS == []


def test_rows_that_need_training_data(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lone(Counting):
        rows = ()

    registered(monkeypatch, Lone)
    assert [row.name for row in report(seeds=1).rows] == ["ours"]
    with pytest.raises(ValueError, match="give train="):
        report(rows=["random"])


def test_a_real_evaluator_refuses_another_graph() -> None:
    data = samples.cora()
    summary = graphs.random(data, per_class=1)
    data.x = data.x[:, :100]
    with pytest.raises(ValueError, match="has 1433 features.*the data has 100"):
        evaluate(summary, data)


# --- the cache -----------------------------------------------------------------------


def whole_fits() -> int:
    return sum(fit[0] == "whole" for fit in FITS)


def test_whole_data_are_trained_on_once() -> None:
    first = report(seeds=2)
    assert whole_fits() == 2
    again = report(make_summary(1), seeds=2)
    assert whole_fits() == 2 and len(FITS) == 8 + 6
    assert again.row("gcn", "whole").values == first.row("gcn", "whole").values
    report(seeds=3)
    assert whole_fits() == 3


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "slow"},
        {"protocol": Protocol("quick", epochs=2, lr=0.1)},
        {"models": ["mlp"]},
        {"device": "meta"},
        {"cache": False},
    ],
)
@pytest.mark.usefixtures("other_device")
def test_other_trainings_are_other_entries(other: dict) -> None:
    report(seeds=1)
    report(**({"seeds": 1} | other))
    assert whole_fits() == 2


def test_nothing_is_kept_without_the_cache(tmp_path: Path) -> None:
    report(seeds=1, cache=False)
    assert list(tmp_path.rglob("*.json")) == []


# --- the protocol -------------------------------------------------------------------


def test_hash_changes_with_any_setting() -> None:
    base, hashes = Protocol("a"), {Protocol("a").hash}
    for one in fields(Protocol):
        value = getattr(base, one.name)
        changes = {
            bool: lambda v: not v,
            str: lambda v: v + "b",
            tuple: lambda v: (1.0,),
        }
        other = changes.get(type(value))
        changed = replace(base, **{one.name: other(value) if other else value + 1})
        assert changed != base
        hashes.add(changed.hash)
    assert len(hashes) == len(fields(Protocol)) + 1
    assert all(len(result) == 10 for result in hashes)
    assert Protocol("a").hash == base.hash


def test_protocol_by_name_or_as_it_is() -> None:
    protocol = Protocol("own", epochs=3)
    for inputs, expected in (("slow", SLOW), (protocol, protocol), (None, QUICK)):
        assert report(protocol=inputs, seeds=1, rows=[]).protocol == asdict(expected)


def test_bar_is_hidden_without_a_terminal(capfd: pytest.CaptureFixture) -> None:
    report(seeds=1)
    assert capfd.readouterr() == ("", "")
    report(seeds=1, progress=True)
    assert "evaluate" in capfd.readouterr().err


def test_what_is_no_summary_is_refused() -> None:
    with pytest.raises(
        TypeError, match="takes a summary, .* got 'a.safetensors'.*load"
    ):
        evaluate("a.safetensors", torch.zeros(3, 4))
    with pytest.raises(ValueError, match="no summary was given"):
        evaluate([], torch.zeros(3, 4))


def test_nothing_counts_twice() -> None:
    one = make_summary()
    with pytest.raises(ValueError, match="the same summary was given twice"):
        evaluate([one, one], torch.zeros(3, 4), seeds=1)
    with pytest.raises(ValueError, match=r"seeds must differ, .* got \[0, 0\]"):
        evaluate(one, torch.zeros(3, 4), seeds=[0, 0])
    for seeds in (True, 1.5, None):
        with pytest.raises(TypeError, match="seeds must be a whole number, got "):
            evaluate(one, torch.zeros(3, 4), seeds=seeds)
    with pytest.raises(TypeError, match="rows must be names, got 5"):
        evaluate(one, torch.zeros(3, 4), rows=5)
