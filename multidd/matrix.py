"""Lines of a benchmark side by side: one for each set, one column for each model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multidd.bench import Line

__all__ = ["matrix"]


def matrix(lines: Sequence["Line"], cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """Scores by set and model, and the seconds of making the set.

    Args:
        lines: the lines measured, those of several models at once left out.
        cells: the table of them, its head first: the scores of the first metric are in
            its third column, the seconds in the one of that name.

    Returns:
        The head and one line for each set; nothing where no set has two models.

    Example:
        >>> from multidd.bench import Line, head
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
    head = [*columns, "seconds"]
    return [
        ["line", *head],
        *(
            [name, *(own.get(column, "") for column in head)]
            for name, own in rows.items()
        ),
    ]
