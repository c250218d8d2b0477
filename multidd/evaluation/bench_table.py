"""What the tables of `multidd bench` are made of: lines, heads, models side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["Line", "head", "matrix"]


@dataclass(frozen=True)
class Line:
    """One line of a table: a method on a data set, judged by one or more models.

    Attributes:
        data: name of the data set.
        budget: the method's budget, such as `{"ipc": 10}`; empty for whole data.
        method: name of the method.
        published: what its authors report, or who else did.
        options: settings other than the defaults.
        models: models whose mean is taken; the modality's first one unless given.
        protocol: that they are trained by; the modality's first one unless given.
        stage: what is done with the set before it is judged, by its name in the
            modality's `STAGES`, such as `"words"` for texts.
        note: what else the name says.
    """

    data: str
    budget: Mapping[str, int]
    method: str
    published: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    protocol: str | None = None
    stage: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """What the table and `--only` call it."""
        told = ", ".join(f"{key}={value}" for key, value in self.options.items())
        size = " ".join(str(value) for value in self.budget.values()) or "all"
        models = f", {self.models[0]}" if len(self.models) == 1 else ""
        if len(self.models) > 1:
            models = f", mean of {len(self.models)} models"
        named = f"{self.data} {size} {self.method}{f' ({told})' if told else ''}"
        more = "".join(f", {part}" for part in (self.stage, self.note) if part)
        return f"{named}{models}{more}"


def head(metrics: Sequence[str], sized: bool = False) -> list[str]:
    """Names of the columns; the worst seed is by the first metric.

    Example:
        >>> head(["accuracy"])[:4]
        ['line', 'published', 'test accuracy %', 'worst seed']
    """
    scores = [f"test {metric} %" for metric in metrics]
    cost = ["seconds", "s / step", "peak MB"]
    size = ["KiB"] if sized else []
    return ["line", "published", *scores, "worst seed", "runs", *size, *cost]


def matrix(lines: Sequence[Line], cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """Scores by set and model, and the seconds of making the set.

    Args:
        lines: the lines measured, those of several models at once left out.
        cells: the table of them, its head first: the scores of the first metric are in
            its third column, the seconds in the one of that name.

    Returns:
        The head and one line for each set; nothing where no set has two models.

    Example:
        >>> both = [Line("cora", {"nodes": 7}, "gcond", models=(m,)) for m in "ab"]
        >>> rest = ["9", "1 x 1", "4.0", "", ""]
        >>> told = [[line.name, "", score, *rest] for line, score in zip(both, "89")]
        >>> matrix(both, [head(["accuracy"]), *told])
        [['line', 'a', 'b', 'seconds'], ['cora 7 gcond', '8', '9', '4.0']]
    """
    columns, place = list[str](), list(cells[0]).index("seconds") if cells else 0
    rows: dict[str, dict[str, str]] = {}
    for line, row in zip(lines, cells[1:], strict=False):
        if len(line.models) != 1:
            continue
        model, own = line.models[0], rows.setdefault(replace(line, models=()).name, {})
        own |= {model: row[2], "seconds": row[place]}
        columns += [] if model in columns else [model]
    if all(len(own) < 3 for own in rows.values()):
        return []
    named = [*columns, "seconds"]
    return [
        ["line", *named],
        *(
            [name, *(own.get(column, "") for column in named)]
            for name, own in rows.items()
        ),
    ]
