"""Settings of distilled images that are chosen on held-out training data."""

from typing import Any

from multidd.evaluation.settings_choice import SettingsChoice
from multidd.images.data.benchmarks import load
from multidd.images.data.images import Images
from multidd.images.evaluation.published import SAMPLE, SHORT

HELD_OUT = 1000
"""Training images to judge on."""


def held_out(data: str, seed: int) -> tuple[Images, dict[str, Any]]:
    """Training images, and others of them to judge on; test images are not looked at.

    Args:
        data: name of the images.
        seed: of the division.

    Returns:
        The images to distill, and the keywords of the evaluator.

    Example:
        >>> train, exam = held_out("sample:fashion", 0)
        >>> len(train), len(exam["on"])
        (2500, 1000)
    """
    train, judged = load(data).train.split(HELD_OUT, seed)
    return train, {"on": judged, "train": train}


RATES: dict[str, tuple[float, ...]] = {
    "dm": (0.3, 1.0, 3.0, 10.0),
    "m3d": (3.0, 10.0, 30.0),
    "cafe": (0.3, 1.0, 3.0),
    "idm": (0.3, 1.0, 3.0),
    "iid": (0.3, 1.0, 3.0),
    "ncfm": (0.003, 0.01, 0.03),
    "dc": (0.03, 0.1, 0.3),
    "dsa": (0.03, 0.1, 0.3),
    "idc": (0.007, 0.02, 0.06),
    "kip": (0.01, 0.04, 0.12),
    "rfad": (0.02, 0.05, 0.15),
    "frepo": (0.02, 0.05, 0.15),
    "mtt": (0.01, 0.03, 0.1),
    "tesla": (0.01, 0.03, 0.1),
    "ftd": (0.01, 0.03, 0.1),
    "datm": (0.01, 0.03, 0.1),
    "dd": (0.03, 0.1, 0.3),
    "kfs": (0.007, 0.02, 0.06),
}
"""Candidates for `lr`, steps of three times and less, the default among them."""

SMALL = ((SAMPLE, {"ipc": 1}),)

CHOICES = (
    *(
        SettingsChoice(method, {"lr": rates}, SMALL, SHORT[method], protocol="quick")
        for method, rates in RATES.items()
    ),
    # Added once networks had judged `kip`: its images are for its own kernel.
    SettingsChoice("kip", {"lr": RATES["kip"]}, SMALL, SHORT["kip"], ("kernel",)),
)
"""At the small fixed budget of the table, in its order. The grid was written down
before any of it was run, but for what is said to be added."""
