"""`Report`: numbers by row and model, as text, Markdown and pandas."""

import pytest

from multidd.evaluation.report import Report, Row, notes_on_whole

ROWS = (
    Row(
        "whole",
        "gcn",
        {"accuracy": (0.8, 0.9), "loss": (1.0, 3.0)},
        training_seconds=2.0,
    ),
    Row("random", "gcn", {"accuracy": (0.5,), "loss": (2.0,)}, 70, 2048, 0.5, 0.25),
    Row("ours", "gcn", {"accuracy": (0.7, 0.8), "loss": (1.0, 1.0)}, 70, 3072, 1.0),
    Row("ours", "mlp", {"accuracy": (0.6, 0.6), "loss": (1.0, 1.0)}, 70, 3072, 1.0),
)
PROTOCOL = {"name": "quick", "epochs": 5, "lr": 0.01}


def make_report(*rows: Row) -> Report:
    return Report(rows or ROWS, PROTOCOL, {"n": 3}, "ours", "accuracy")


def test_values() -> None:
    report = make_report()
    assert report.accuracy("gcn") == pytest.approx(0.75)
    assert report.accuracy("mlp") == pytest.approx(0.6)
    assert report.accuracy("gcn", "whole") == pytest.approx(0.85)
    assert report.value("gcn", "loss", "whole") == pytest.approx(2.0)
    assert report.row("gcn", "random") is ROWS[1]


@pytest.mark.parametrize(("model", "row"), [("gat", None), ("mlp", "random")])
def test_unknown_rows_are_named(model: str, row: str | None) -> None:
    with pytest.raises(KeyError, match=f"no row .*/{model}; there are ours/gcn"):
        make_report().accuracy(model, row)


def test_accuracy_of_another_metric_is_refused() -> None:
    row = Row("ours", "gcn", {"ndcg": (0.5,)})
    with pytest.raises(KeyError):
        Report((row,), PROTOCOL, {}, "ours", "ndcg").accuracy("gcn")


def test_mean_and_sample_deviation() -> None:
    row = Row("a", "m", {"x": (1.0, 2.0, 6.0), "one": (3.0,)})
    assert row.mean("x") == pytest.approx(3.0)
    assert row.sd("x") == pytest.approx(7**0.5)  # divided by n - 1
    assert row.sd("one") == 0.0


def test_pandas() -> None:
    frame = make_report().to_pandas()
    assert list(frame.row) == ["whole", "random", "ours", "ours"]
    assert list(frame.model) == ["gcn", "gcn", "gcn", "mlp"]
    assert frame["mean"].tolist() == pytest.approx([0.85, 0.5, 0.75, 0.6])
    assert frame["sd"].tolist() == pytest.approx([0.005**0.5, 0, 0.005**0.5, 0])
    assert frame.runs.tolist() == [2, 1, 2, 2]
    assert frame["bytes"].isna().tolist() == [True, False, False, False]
    assert set(frame.columns) >= {"size", "distill_seconds", "training_seconds"}


def test_markdown() -> None:
    head, rule, *rest = make_report().to_markdown().splitlines()
    assert head.startswith("| row | model | accuracy % | runs |")
    assert rule.count("---") == head.count("|") - 1 == 8
    assert rest[0] == "| whole | gcn | 85.0 ± 7.1 | 2 | all |  |  | 2.0 |"
    assert rest[1] == "| random | gcn | 50.0 (1 seed) | 1 | 70 | 2 | 0.5 | 0.2 |"
    assert rest[-1] == "Protocol 'quick': epochs 5, lr 0.01."
    assert rest[4] == "" and len(rest) == 6


def test_text_lines_up() -> None:
    lines = str(make_report()).splitlines()
    assert len(lines) == 2 + 4 + 1
    column = lines[0].index("accuracy %")
    assert [line[column : column + 4] for line in lines[2:6]] == [
        "85.0",
        "50.0",
        "75.0",
        "60.0",
    ]
    assert lines[-1].startswith("Protocol 'quick'")


def test_repr_is_the_means_of_the_method() -> None:
    assert repr(make_report()) == (
        "Report(ours, accuracy %: gcn 75.0, mlp 60.0, rows=4)"
    )


def test_settings_that_are_off_are_not_named() -> None:
    settings = {
        "batch": 0,
        "augment": "",
        "lrs": (),
        "optimizer": "adam",
        "soft": False,
    }
    report = Report(
        ROWS, PROTOCOL | settings | {"momentum": 0.9}, {}, "ours", "accuracy"
    )
    assert str(report).endswith("epochs 5, lr 0.01, soft False, momentum 0.9.")


def test_accuracy_of_each_class() -> None:
    values = {
        "accuracy": (0.5, 0.7),
        "accuracy/a": (0.4, 0.6),
        "accuracy/b/c": (1.0, 1.0),
    }
    row = Row("ours", "gcn", values)
    assert make_report(row).per_class("gcn") == pytest.approx({"a": 0.5, "b/c": 1.0})
    with pytest.raises(KeyError, match="no accuracies by class"):
        make_report().per_class("gcn")


def test_lone_row_says_so() -> None:
    assert "No rows beside it." in str(make_report(*ROWS[2:]))
    assert "No rows beside it." not in str(make_report())


def test_rows_above_whole_data_are_named() -> None:
    def row(name: str, model: str, score: float, **more: float) -> Row:
        values = {"accuracy": score} | more
        return Row(name, model, {metric: (v,) for metric, v in values.items()})

    rows = [
        row("whole", "gcn", 0.8, capped=0),
        row("random", "gcn", 0.81),
        row("kmeans", "gcn", 0.8),
        row("ours", "gcn", 0.85),
        row("whole", "mlp", 0.6, capped=1),
        row("ours", "mlp", 0.5),
        row("ours", "gat", 0.9),
    ]
    notes = notes_on_whole(rows, "accuracy")
    assert notes == [
        "Above whole data, gcn: random 81.0, ours 85.0 > 80.0.",
        "Whole data, mlp: the cap ended a training that was still rising; no ceiling.",
    ]
    report = Report(tuple(rows), PROTOCOL, {}, "ours", "accuracy", notes=tuple(notes))
    for text in (str(report), report.to_markdown()):
        assert text.rstrip().endswith("\n".join(notes))
    assert str(make_report()).count("\n") == len(ROWS) + 2
