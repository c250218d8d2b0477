"""The lines of `multidd bench images`."""

from multidd.bench import Line
from multidd.images.data import load

SMALLEST = {"ipc": 1}
"""A budget that any data set has."""

ONE, TEN = {"ipc": 1}, {"ipc": 10}

KERNEL = ("kernel",)

SAMPLE = "sample:fashion"

LINES = (
    # The kernel's own predictor.
    Line("mnist", ONE, "kip", "85.5", models=KERNEL),
    Line("mnist", TEN, "kip", "97.2", models=KERNEL),
    Line("fashion-mnist", ONE, "kip", models=KERNEL),
    # ConvNet-3 of width 128 by the DSA protocol.
    Line("mnist", {}, "whole"),
    Line("mnist", ONE, "random"),
    Line("mnist", ONE, "herding"),
    Line("mnist", ONE, "kcenter"),
    Line("mnist", ONE, "kmeans"),
    Line("mnist", ONE, "dm", "89.7 (DM)"),
    Line("mnist", ONE, "dm", "93.0 (FRePO), 94.4 (RFAD)", {"factor": 2}),
    Line("mnist", TEN, "random"),
    Line("mnist", TEN, "kmeans"),
    Line("mnist", TEN, "dm", "97.4 (DC), 98.6 (FRePO)", {"factor": 2}),
    Line("fashion-mnist", {}, "whole"),
    Line("fashion-mnist", TEN, "random"),
    Line("fashion-mnist", TEN, "kmeans"),
    Line("fashion-mnist", TEN, "dm", "82.3 (DC), 87.0 (RFAD)", {"factor": 2}),
)


def same_split(data: str) -> bool:
    """Whether a set's test part is its own, so the same for every seed."""
    first, other = (load(data, seed=seed).test.describe() for seed in (0, 1))
    return first == other
