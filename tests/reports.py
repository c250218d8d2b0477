"""A report that has every part, with names that a page must not take as its own."""

from typing import Any

from multidd import images
from multidd.evaluation.curve import Curve, Point
from multidd.evaluation.plain import PlainReport, PlainScores
from multidd.evaluation.report import Report, Row
from multidd.summary import DataSummary

HOSTILE = "<script>alert('x')</script>\"&'"
"""A name of a class, a model or a method, from a file of somebody else."""

CLASSES = ("T-shirt/top", "Trouser", "Pullover", HOSTILE)
ROWS = {"random": 0.46, "herding": 0.6, "kmeans": 0.63, "dm": 0.65}
MODELS = {"convnet": 0.0, "mlp": -0.04}


def report(method: str = "dm", summary: DataSummary | None = None) -> Report:
    """Rows of two models, plain trainings, and notes."""
    rows = [
        Row("whole", model, _scores(0.87 + shift), None, None, None, 30.0)
        for model, shift in MODELS.items()
    ]
    for name, score in ROWS.items():
        label = method if name == "dm" else name
        for model, shift in MODELS.items():
            values = _scores(score + shift)
            seconds = 52.0 if name == "dm" else 0.04
            rows.append(Row(label, model, values, 10, 31_840, seconds, 2.5))
    trainings = [
        PlainScores("cnn", "a CNN", (0.6, 0.62), (0.45, 0.47), (0.86,)),
        PlainScores("logistic", "logistic regression", (0.5, 0.5), (0.4, 0.44), (0.8,)),
        PlainScores("mlp", "an MLP", (), (0.4, 0.44), (0.8,)),
    ]
    return Report(
        tuple(rows),
        {"name": "quick", "epochs": 100, "lr": 0.01},
        {"name": "fashion-mnist"},
        method,
        "accuracy",
        notes=("No better than kmeans, mlp.", f"Above whole data: {HOSTILE}."),
        plain=PlainReport(tuple(trainings), "accuracy"),
        summary=summary,
        commands=("multidd distill --config run.toml", "multidd evaluate ."),
    )


def _scores(mean: float) -> dict[str, tuple[float, ...]]:
    spread = (mean - 0.01, mean, mean + 0.013)
    values: dict[str, tuple[float, ...]] = {"accuracy": spread}
    for place, name in enumerate(CLASSES):
        values[f"accuracy/{name}"] = tuple(one - 0.05 * place for one in spread)
    return values


def parts() -> dict[str, Any]:
    """The parts of the plain form that `report` does not have."""
    regimes: list[dict[str, Any]] = []
    for place, regime in enumerate(("HL", "SL", "SL+KD")):
        for row, score in ROWS.items():
            cannot = row == "kmeans" and regime == "SL+KD"
            values = [] if cannot else [score + 0.05 * place, score + 0.04 * place]
            mean = None if cannot else sum(values) / 2
            one = {"regime": regime, "row": row, "model": "convnet", "values": values}
            one |= {"mean": mean, "sd": 0.0, "updates": 400}
            one |= {"note": "views of means have no meaning" if cannot else ""}
            regimes.append(one)
    scores = {"model": "convnet", "hlr": 0.21, "ior": 0.19, "lrs": 0.42, "ars": 0.4}
    scores |= {"interval": [0.15, 0.23], "p_value": 0.0004}
    stored = {"records": 31_360, "labels": 480, "decoders": 0, "total": 31_840}
    costs = {"seconds": 52.0, "peak_bytes": 700 * 2**20, "teacher_seconds": None}
    costs |= {"bytes": stored, "updates": 400, "break_even_trainings": 1.9}
    better = {"model": "convnet", "best_row": "kmeans", "difference": 0.02}
    better |= {"interval": [-0.01, 0.05], "p_value": 0.12, "test": "paired t"}
    better |= {"pairs": 3, "sentence": "dm is not shown to be better than kmeans."}
    seeds = {"making_sd": 0.01, "training_sd": 0.004}
    seeds |= {"making_seeds": 3, "training_seeds": 3}
    models = ["convnet", "mlp", "resnet", HOSTILE]
    transfer = {"models": models, "mean": 0.6, "worst": HOSTILE}
    transfer |= {"matrix": [[0.65, 0.61, 0.6, 0.53]]}
    epsilon = {"max": 2.1, "quantile": 0.8, "band": [0.7, 0.9]}
    audit = {"epsilon": epsilon | {"sentence": "99 % of losses differ by 0.8 at most."}}
    audit["membership"] = {"advantage": 0.03, "sentence": "The attack gains nothing."}
    return {
        "regimes": regimes,
        "scores": [scores],
        "costs": costs,
        "significance": [better],
        "seeds": seeds,
        "transfer": transfer,
        "audit": audit,
    }


def curve() -> Curve:
    """Two methods at three budgets, and whole data."""
    points = [
        Point(method, ipc, 10 * ipc, (base + 0.04 * place,), 1.0, 3_184 * ipc)
        for method, base in (("dm", 0.6), ("random", 0.45))
        for place, ipc in enumerate((1, 10, 50))
    ]
    return Curve(tuple(points), "ipc", "convnet", "accuracy", (0.87,), ("kip: no",))


def pictures() -> DataSummary:
    """Ten images of the sample, one of each class."""
    from multidd.samples import fashion

    return images.random(fashion().train, ipc=1)


def document(summary: DataSummary | None = None) -> dict[str, Any]:
    """A document with every part but a comparison."""
    return report(summary=summary).to_document(curve()) | parts()
