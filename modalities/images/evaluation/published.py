"""The lines of `multidd bench images`."""

from typing import Any

from torch import Tensor

from multidd.evaluation.lines import Line
from multidd.images.data.benchmarks import load
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.evaluation import speed
from multidd.images.methods import selection
from multidd.images.methods.relabeling import DEFAULT_TEMPERATURE, relabel
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask


def random_tiles(data: Any, ipc: int, *, seed: int = 0) -> ImageSummary:
    """Random images, four shrunken ones in each that is stored.

    Args:
        data: training images.
        ipc: stored images of a class.
        seed: of the draw.

    Example:
        >>> import multidd
        >>> random_tiles(multidd.samples.fashion().train, 1).num_images
        40
    """
    images = as_images(data)
    task = ImageTask(images, Preprocessing.fit(images))
    counts = [ipc] * images.num_classes
    return selection.random_tiles(task, counts, 2, seed)


def taught_random(
    data: Any, ipc: int, *, teacher_steps: int = 600, seed: int = 0
) -> ImageSummary:
    """Random images with the labels of the teacher that `distill` has.

    Args:
        data: training images.
        ipc: images of a class.
        teacher_steps: of its training.
        seed: of the draw and of the teacher.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> taught_random(train, 1, teacher_steps=1).card.labels
        'soft'
    """
    summary = selection.random(data, ipc, seed=seed)
    return relabel(
        summary,
        data,
        label_temperature=DEFAULT_TEMPERATURE,
        teacher_steps=teacher_steps,
        seed=seed,
    )


METHODS = {"random_tiles": random_tiles, "random, teacher": taught_random}
"""Controls that are no method of their own."""

SIZED = True
"""Codes and tiles are told from images by their bytes."""

SMALLEST = {"ipc": 1}
"""A budget that any data set has."""

GPU = speed.GPU
"""Lines of `multidd bench gpu`."""

ONE, TEN = {"ipc": 1}, {"ipc": 10}

KERNEL = ("kernel",)

SAMPLE = "sample:fashion"

SELECTED = ("rded", "random", "herding", "kcenter", "kmeans", "forgetting")

SHORT: dict[str, dict[str, Any]] = {
    "dm": {"steps": 100},
    "m3d": {"steps": 100},
    "cafe": {"steps": 100},
    "idm": {"steps": 100},
    "iid": {"steps": 100},
    "ncfm": {"steps": 100},
    "dc": {"steps": 50},
    "dsa": {"steps": 50},
    "dcc": {"steps": 50, "warmup_steps": 25},
    "idc": {"steps": 50},
    "kip": {"steps": 300},
    "rfad": {"steps": 100, "batch_size": 256},
    "frepo": {"steps": 100, "batch_size": 256},
    "mtt": {"steps": 60},
    "tesla": {"steps": 60},
    "ftd": {"steps": 60},
    "datm": {"steps": 60},
    "dd": {"steps": 60, "width": 16},
    "sldd": {"steps": 60, "width": 16},
    "ld": {"steps": 60, "width": 16},
    "rat_bptt": {"steps": 60, "width": 16},
    "linba": {"steps": 40, "width": 16},
    "sre2l": {"steps": 100},
    "kfs": {"steps": 50},
    "gtn": {"steps": 50, "max_per_class": 8},
    "itgan": {"steps": 100},
    "latent": {"steps": 100},
}
"""The small fixed budget at which every recipe is shown on the shipped sample."""

HERDED = {"batch_size": 64, "init": "herding", "steps": 600}
TILES = {"batch_size": 64, "factor": 2, "steps": 150}

BEST = {"ridge": 1e-3, "lr": 0.02, "steps": 800}

CROSSED = ("convnet", "mlp", "lenet", "vgg11", "resnet18")
"""Models of the matrix across architectures, a quarter as wide as the protocol's."""

COMPARED: dict[str, dict[str, Any]] = {
    "rfad": BEST,
    "frepo": {"steps": 300},
    "random": {},
    "herding": {},
}
"""What stands in that matrix."""

LINES = (
    # The kernel's own predictor.
    Line("mnist", ONE, "kip", "85.5", models=KERNEL),
    Line("mnist", TEN, "kip", "97.2", {"steps": 2500}, models=KERNEL),
    Line("fashion-mnist", ONE, "kip", models=KERNEL),
    Line(SAMPLE, ONE, "random", models=KERNEL),
    Line(SAMPLE, ONE, "kip", options=SHORT["kip"], models=KERNEL),
    # ConvNet-3 of width 128 by the DSA protocol.
    Line("mnist", ONE, "kip"),
    Line("mnist", ONE, "random"),
    Line("mnist", ONE, "herding"),
    Line("mnist", ONE, "kcenter"),
    Line("mnist", ONE, "kmeans"),
    Line("mnist", ONE, "dm", "89.7 (DM, 20,000 steps)", {"batch_size": 64}),
    Line("mnist", ONE, "dm", "89.7", HERDED),
    Line("mnist", ONE, "dm", "89.7", TILES),
    Line("mnist", ONE, "dm", "93.0 (FRePO), 94.4 (RFAD), 94.2 (IDC)", {"factor": 2}),
    Line("mnist", TEN, "random"),
    Line(
        "mnist",
        TEN,
        "rfad",
        "98.5 (RFAD), 98.6 (FRePO), 97.4 (DC)",
        BEST | {"width": 128, "steps": 600},
    ),
    Line("fashion-mnist", ONE, "random"),
    Line("fashion-mnist", ONE, "herding"),
    Line(
        "fashion-mnist",
        ONE,
        "rfad",
        "78.6 (RFAD), 75.6 (FRePO), 81.0 (IDC)",
        BEST | {"factor": 2, "steps": 1200},
    ),
    Line("fashion-mnist", TEN, "random"),
    Line("fashion-mnist", TEN, "rfad", "87.0 (RFAD), 86.2 (FRePO), 82.3 (DC)", BEST),
    # Free images and factorized ones under one objective, in the same bytes.
    Line("fashion-mnist", TEN, "dm", protocol="quick", note="equal bytes"),
    Line("fashion-mnist", TEN, "kfs", protocol="quick", note="equal bytes"),
    # One set, five architectures.
    *(
        Line(
            "fashion-mnist",
            TEN,
            name,
            options=options,
            models=(model,),
            protocol="quick",
            note="across architectures",
        )
        for name, options in COMPARED.items()
        for model in CROSSED
    ),
    # The step of the authors' DC: width 128, 256 real images of a class.
    Line(
        "mnist",
        ONE,
        "dc",
        "8.3 s a step (authors' code)",
        {"width": 128, "batch_size": 256, "init": "noise", "steps": 10},
        protocol="quick",
        note="step time",
    ),
    # Every recipe on the shipped sample, a narrow ConvNet.
    *(Line(SAMPLE, ONE, name, protocol="quick") for name in SELECTED),
    *(
        Line(SAMPLE, ONE, name, options=options, protocol="quick")
        for name, options in SHORT.items()
    ),
    # Where each starts: real images, tiles of them, noise, or a first fit of codes.
    *(
        Line(SAMPLE, ONE, name, options=options | {"steps": 0}, protocol="quick")
        for name, options in SHORT.items()
    ),
    # The field's cheapest recipes in the bytes of tiles.
    Line(SAMPLE, ONE, "random_tiles", protocol="quick"),
    Line(SAMPLE, ONE, "dm", options=SHORT["dm"] | {"factor": 2}, protocol="quick"),
    # Its bases alone take the bytes of one image of each class.
    Line(SAMPLE, {"ipc": 2}, "haba", options={"steps": 20}, protocol="quick"),
    Line("mnist", {}, "whole"),
    Line("fashion-mnist", {}, "whole"),
    Line(SAMPLE, {}, "whole", protocol="quick"),
)

REGIMES = tuple(
    Line(SAMPLE, ONE, name, options=SHORT.get(name, {}), protocol="quick")
    for name in ("kmeans", "dm", "m3d", "kip", "frepo", "rfad", "idc", "mtt")
)
"""The lines of `multidd bench regimes`."""


PAPER_LINES = tuple(
    Line(SAMPLE, ONE, name, options=options, protocol="quick")
    for name, options in {
        "dm": {"steps": 50},
        "dc": {"steps": 25},
        "kip": {},
        "frepo": {},
    }.items()
) + tuple(
    Line(SAMPLE, {"ipc": 10}, name, protocol="quick")
    for name in ("dm", "dc", "kip", "frepo")
)
"""The lines of `multidd bench paper`."""


TAUGHT = {"labels": "teacher"}
PLAIN_CELLS = (
    (SAMPLE, 10),
    ("fashion-mnist", 1),
    ("fashion-mnist", 10),
    ("fashion-mnist", 50),
    ("mnist", 1),
    ("mnist", 10),
    ("mnist", 50),
    ("cifar10", 10),
    ("cifar10", 50),
)
PLAIN_METHODS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("random", {}),
    ("random", TAUGHT),
    ("herding", {}),
    ("kcenter", {}),
    ("kmeans", {}),
    ("dm", {}),
    ("rfad", {}),
    ("distill", {}),
)
"""`distill` beside what it is to be better than."""

PLAIN_LINES = tuple(
    Line(data, {"ipc": ipc}, method, options=options)
    for data, ipc in PLAIN_CELLS
    for method, options in PLAIN_METHODS
)
"""The lines of `multidd bench plain`."""


ONE_IN_BYTES = {
    "fashion-mnist": 31_360,
    "mnist": 31_360,
    "cifar10": 122_880,
}
"""Bytes of the pixels of one image of each class, 4 a number."""

BYTES = (
    Line(SAMPLE, {"ipc": 10}, "kip", options={"steps": 300}, models=KERNEL),
    Line(SAMPLE, {"ipc": 10}, "dm", options={"steps": 100}),
    *(
        Line(
            name,
            {"budget_bytes": times * size},
            "distill",
            protocol=protocol,
            note=protocol,
        )
        for protocol in ("quick", "dsa")
        for times in (1, 10)
        for name, size in ONE_IN_BYTES.items()
    ),
)
BYTES_CONTROLS = ("random, teacher",)


SPEED = (
    Line("fashion-mnist", {"ipc": 10}, "dm"),
    Line(
        "fashion-mnist",
        {"ipc": 10},
        "dm",
        options={"width": 128, "batch_size": 256},
    ),
    Line("fashion-mnist", {"ipc": 1}, "dc", options={"width": 128}),
    *(Line("fashion-mnist", {"ipc": 10}, name) for name in ("dc", "idm", "rfad")),
    *(Line("fashion-mnist", {"ipc": 10}, name) for name in ("frepo", "linba")),
)
"""The lines of `multidd bench speed`."""


def whole_tensors(images: Images) -> dict[str, Tensor]:
    """Pixels and labels of all images."""
    return {"x": images.x, "y": images.labels}


WHOLE_TENSORS = whole_tensors


def same_split(data: str) -> bool:
    """Whether a set's test part is its own, so the same for every seed."""
    first, other = (load(data, seed=seed).test.describe() for seed in (0, 1))
    return first == other
