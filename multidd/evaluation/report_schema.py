"""What `report.json` holds: every field, checked before a program reads it.

Keys stay; more may come. What is not finite is null.
"""

import pathlib
from typing import Any

from multidd.errors import SchemaError
from multidd.storage.atomic import user_path
from multidd.storage.fields import (
    Field,
    Flag,
    FreeJSON,
    Items,
    Maybe,
    Number,
    Record,
    Text,
)
from multidd.storage.limits import load_json

__all__ = ["CURVE", "REPORT", "read_curve", "read_report"]

FORMAT = 1
"""Of the file; another number is read by other versions."""

ANY = FreeJSON(max_depth=16, max_items=1_000_000)
_MORE: dict[str, Any] = {"others": ANY}

SCORE = Maybe(Number())
SCORES = Items(SCORE, max_count=100_000)
NAME = Text(max_length=10_000)
AMOUNT = Maybe(Number(low=0, high=2**63))
INTERVAL = Maybe(Items(SCORE, min_count=2, max_count=2))
SENTENCES = Items(Text(max_length=100_000), max_count=100_000)

ROW = Record(
    {
        "row": NAME,
        "model": NAME,
        "mean": SCORE,
        "sd": SCORE,
        "runs": AMOUNT,
        "size": AMOUNT,
        "form": NAME,
        "bytes": AMOUNT,
        "distill_seconds": AMOUNT,
        "training_seconds": AMOUNT,
        "values": Record(others=SCORES),
    },
    **_MORE,
)
"""One training set and model; `values` has the scores of each training by metric."""

PLAIN = Record(
    {
        "share": SCORE,
        "interval": INTERVAL,
        "worst": Maybe(NAME),
        "trainings": Items(
            Record(
                {
                    "training": NAME,
                    "about": NAME,
                    "summary": SCORES,
                    "random": SCORES,
                    "whole": SCORES,
                    "share": SCORE,
                },
                **_MORE,
            )
        ),
    },
    **_MORE,
)
"""What plain trainings gain."""

REGIME = Record(
    {
        "regime": NAME,
        "row": NAME,
        "model": NAME,
        "values": SCORES,
        "mean": SCORE,
        "sd": SCORE,
        "updates": AMOUNT,
        "note": Text(max_length=10_000),
    },
    **_MORE,
)

FIELD_SCORES = Record(
    {
        "model": NAME,
        **dict.fromkeys(("hlr", "ior", "lrs", "ars"), SCORE),
        "interval": INTERVAL,
        "p_value": SCORE,
    },
    **_MORE,
)

COSTS = Record(
    {
        "seconds": AMOUNT,
        "peak_bytes": AMOUNT,
        "teacher_seconds": AMOUNT,
        "bytes": Record(dict.fromkeys("records labels decoders total".split(), AMOUNT)),
        "updates": AMOUNT,
        "break_even_trainings": AMOUNT,
    },
    **_MORE,
)

TRANSFER = Record(
    {"models": Items(NAME), "mean": SCORE, "worst": NAME, "matrix": Items(SCORES)},
    **_MORE,
)

SIGNIFICANCE = Record(
    {
        "model": NAME,
        "best_row": NAME,
        "difference": SCORE,
        "interval": INTERVAL,
        "p_value": SCORE,
        "test": Maybe(NAME),
        "pairs": AMOUNT,
        "sentence": Text(max_length=10_000),
    },
    **_MORE,
)

SEEDS = Record(
    {
        "making_sd": SCORE,
        "training_sd": SCORE,
        "making_seeds": AMOUNT,
        "training_seeds": AMOUNT,
    },
    **_MORE,
)

AUDIT = Record(
    others=Record({"sentence": Text(max_length=10_000)}, **_MORE), max_others=100
)

COMPARED = Record(
    {
        "row": NAME,
        "model": NAME,
        "is_baseline": Flag(),
        "values": SCORES,
        "mean": SCORE,
        "sd": SCORE,
        "size": AMOUNT,
        "bytes": AMOUNT,
        "distill_seconds": AMOUNT,
        "share": SCORE,
        "worst_share": SCORE,
    },
    **_MORE,
)

COMPARISON = Record(
    {
        "names": Items(NAME),
        "metric": NAME,
        "rows": Items(COMPARED),
        "notes": SENTENCES,
    },
    **_MORE,
)

CURVE = Record(
    {
        "budget": NAME,
        "model": NAME,
        "metric": NAME,
        "left_out": SENTENCES,
        "points": Items(
            Record(
                {
                    "method": NAME,
                    "budget": SCORE,
                    "size": AMOUNT,
                    "bytes": AMOUNT,
                    "values": SCORES,
                    "seconds": AMOUNT,
                },
                **_MORE,
            )
        ),
    },
    **_MORE,
)

SUMMARY = Record(
    {
        "kind": NAME,
        "repr": Text(max_length=10_000),
        "method": NAME,
        "bytes": AMOUNT,
        "digest": Text(pattern="[0-9a-f]{64}"),
        "card": Record(others=ANY),
    },
    **_MORE,
)
"""The summary, or the first of several."""

_FIELDS: dict[str, Field] = {
    "format": Number(low=FORMAT, high=FORMAT, whole=True),
    "multidd": NAME,
    "headline": Text(max_length=10_000),
    "commands": SENTENCES,
    "summary": Maybe(SUMMARY),
    "method": Maybe(NAME),
    "metric": Maybe(NAME),
    "extra_metrics": Items(NAME),
    "digits": Number(low=0, high=20, whole=True),
    "rows": Items(ROW),
    "protocol": Maybe(Record(others=ANY)),
    "data": Maybe(Record(others=ANY)),
    "footer": Text(max_length=100_000),
    "notes": SENTENCES,
    "facts": Text(max_length=1_000_000),
    "plain": Maybe(PLAIN),
    "regimes": Maybe(Items(REGIME)),
    "scores": Maybe(Items(FIELD_SCORES)),
    "teacher": Maybe(NAME),
    "significance": Maybe(Items(SIGNIFICANCE)),
    "transfer": Maybe(TRANSFER),
    "costs": Maybe(COSTS),
    "seeds": Maybe(SEEDS),
    "audit": Maybe(AUDIT),
    "comparison": Maybe(COMPARISON),
    "curve": Maybe(CURVE),
}

REPORT = Record(_FIELDS, **_MORE)
"""`report.json`: every key is there, and None where a report has no such part."""


def read_report(path: str | pathlib.Path) -> dict[str, Any]:
    """Read a `report.json`.

    Args:
        path: the file, or a folder that holds it.

    Returns:
        The plain form of a report.

    Raises:
        FileNotFoundError: there is no such file.
        SchemaError: a field is not what it must be; says which.

    Example:
        >>> import tempfile
        >>> from multidd.evaluation.report import Report, Row
        >>> row = Row("dm", "mlp", {"accuracy": (0.8, 0.82)})
        >>> folder = tempfile.mkdtemp()
        >>> _ = Report((row,), {"name": "quick"}, {}, "dm", "accuracy").save(folder)
        >>> read_report(folder)["rows"][0]["runs"]
        2
    """
    return _read(path, "report.json", REPORT, "evaluate the summary again")


def read_curve(path: str | pathlib.Path) -> dict[str, Any]:
    """Read a `curve.json`, as `multidd curve` writes it.

    Args:
        path: the file, or a folder that holds it.

    Raises:
        FileNotFoundError: there is no such file.
        SchemaError: a field is not what it must be; says which.
    """
    return _read(path, "curve.json", CURVE, "draw the curve again")


def _read(
    path: str | pathlib.Path, name: str, form: Record, advice: str
) -> dict[str, Any]:
    path = user_path(path)
    path = path / name if path.is_dir() else path
    value: dict[str, Any] = load_json(path)
    if fault := form.fault(value, ""):
        raise SchemaError(f"{path} is not a {name} of multidd: {fault}; {advice}")
    return value
