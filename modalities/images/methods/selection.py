"""Selections as methods: random, herding, kcenter, kmeans, forgetting."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.splitting import at_most
from multidd.engine.card import CardInfo, card_without_loop
from multidd.engine.loop import select
from multidd.engine.options import RunOptions, RunSettings
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes, plan
from multidd.images.methods.options import ImageSelectionOptions
from multidd.images.methods.presets import PRESETS
from multidd.images.models.backbone import Backbone
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.optim import SGD
from multidd.learning.states import training_step
from multidd.parameterizations import Free, Tiles
from multidd.protocols import Selection, Tree
from multidd.selection.basic import Herding, KCenter, KMeans, Random, Scored
from multidd.settings import describe


def forgetting_counts(task: ImageTask, epochs: int, width: int, seed: int) -> Tensor:
    """`[n]`, forgetting events of each training image.

    Args:
        task: the images.
        epochs: passes over them; one event at most is seen between two.
        width: of the ConvNet that is trained.
        seed: of its weights and of the order of the images.

    Returns:
        Counts; images that were never classified rightly have `epochs`.
    """
    task = replace(task, backbone=Backbone(width=width), batch_size=None)
    device = task.device
    batch = task.batch(seeds.at(seed, "forgetting", device=device))
    weights = task.weights(seeds.at(seed, "forgetting/weights", device=device), 1)
    sgd = SGD(lr=0.05, momentum=0.9, weight_decay=5e-4)
    moments: Tree = {name: sgd.init(w) for name, w in weights.items()}
    events = torch.zeros(len(batch.y), device=batch.y.device)
    ever = torch.zeros_like(events).bool()
    before = ever
    for epoch in range(epochs):
        rng = seeds.at(seed, "forgetting/order", epoch, device)
        order = torch.randperm(len(batch.y), generator=rng, device=rng.device)
        for rows in order.split(64):
            part = task.take(batch, rows)
            weights, moments = training_step(task, weights, moments, sgd, part, rng)
        one = {name: w[0] for name, w in weights.items()}
        with torch.no_grad():
            right = task.features(one, batch, 1)[0].argmax(1) == batch.y
        events += before & ~right
        ever, before = ever | right, right
    events[~ever] = epochs
    return events


SELECTIONS: dict[str, Selection] = {
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
    "kmeans": KMeans(restarts=1),
}


@public_function
def random(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    options: ImageSelectionOptions = ImageSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Real images drawn uniformly within each class.

    Args:
        data: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class; or
        budget_bytes: bytes in all, labels counted. Give exactly one of the two.
        options: shares of the classes, whitening.
        seed: seed of the draw.
        device: where it computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        run: a time limit; settings of a loop are refused.

    Returns:
        An `ImageSummary` of real images.

    Raises:
        ValueError: bad images or budget; says what would fit.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> random(train, ipc=2).num_images
        20
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _select("random", data, ipc, budget_bytes, options, run_settings)


@public_function
def herding(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    options: ImageSelectionOptions = ImageSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Real images whose running mean of pixels stays nearest to the class's.

    Args, returns and errors as `multidd.images.random`; the seed changes nothing.

    Reference:
        Welling, "Herding Dynamical Weights to Learn", ICML 2009.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> herding(train, ipc=1).num_images
        10
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _select("herding", data, ipc, budget_bytes, options, run_settings)


@public_function
def kcenter(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    options: ImageSelectionOptions = ImageSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Real images that lie far apart: greedy k-center on pixels.

    Args, returns and errors as `multidd.images.random`; the seed changes nothing.

    Reference:
        Sener, Savarese, "Active Learning for Convolutional Neural Networks: A Core-Set
        Approach", ICLR 2018.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> kcenter(train, ipc=1).num_images
        10
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _select("kcenter", data, ipc, budget_bytes, options, run_settings)


@public_function
def kmeans(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    options: ImageSelectionOptions = ImageSelectionOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Centroids of class-wise k-means on pixels: means of images, not images.

    Args, returns and errors as `multidd.images.random`.

    Reference:
        Lloyd, "Least Squares Quantization in PCM", IEEE Trans. Inf. Theory, 1982.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> kmeans(train, ipc=1).num_images
        10
    """
    run_settings = RunSettings(seed, device, progress, None, run)
    return _select("kmeans", data, ipc, budget_bytes, options, run_settings)


@dataclass(frozen=True, kw_only=True)
class ForgettingOptions(ImageSelectionOptions):
    """Settings of `multidd.images.forgetting`, beside those of all selections.

    Attributes:
        epochs: passes over the images; one event at most is seen between two.
        width: of the ConvNet that is trained.

    Raises:
        ValueError: no epoch or no width.

    Example:
        >>> ForgettingOptions(epochs=3).width
        16
    """

    epochs: int = 5
    width: int = 16

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.width < 1:
            raise ValueError(
                "epochs and width must be 1 or more, got "
                f"{self.epochs} and {self.width}"
            )


@PRESETS
def forgetting(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    options: ForgettingOptions = ForgettingOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Real images that a network forgets most often; below random at few per class.

    A ConvNet is trained on all images; an image is forgotten where it was classified
    rightly in an epoch and wrongly in the next. Images never learned come first.

    Args:
        data, ipc, budget_bytes, seed, device, progress, run: see
            `multidd.images.random`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Returns:
        An `ImageSummary` of real images.

    Raises:
        ValueError: bad images or budget; says what would fit.

    Reference:
        Toneva et al., "An Empirical Study of Example Forgetting during Deep Neural
        Network Learning", ICLR 2019.

    Example:
        >>> import multidd, torch
        >>> train, test = multidd.samples.fashion()
        >>> small = train.subset(torch.arange(200))
        >>> few = ForgettingOptions(epochs=1, width=4)
        >>> forgetting(small, ipc=1, options=few).num_images
        10
    """
    name, started = "forgetting", time.perf_counter()
    run_settings = RunSettings(seed, device, progress, None, run, preset)
    stages = run_settings.stages(name)
    task, counts = _prepare(data, ipc, budget_bytes, options)
    with stages("training"):
        on_device, width = task.to(device), options.width
        scores = forgetting_counts(on_device, options.epochs, width, seed)
    settings = _recipe(ipc, counts, options)
    settings |= {"epochs": options.epochs, "width": options.width}
    settings |= run_settings.preset_settings()
    card = CardInfo(name, settings, time.perf_counter() - started)
    chooser, rest = Scored(tuple(scores.tolist())), run_settings.without_loop(name)
    return select(task, chooser, counts, card=card, **rest)


def of_counts(
    name: str, task: ImageTask, counts: Sequence[int], seed: int
) -> ImageSummary:
    """The selection of that name with `counts[i]` images of class i, in the space of
    the task. A class with fewer images than its count gives all that it has.

    Args:
        name: `"random"`, `"herding"`, `"kcenter"` or `"kmeans"`.
        task: the training images and their preprocessing.
        counts: of each class.
        seed: of the draw.

    Returns:
        An `ImageSummary`.
    """
    fitting = at_most(counts, task.images.counts.tolist())
    return select(task, SELECTIONS[name], fitting, seed=seed)


def random_tiles(
    task: ImageTask, counts: Sequence[int], factor: int, seed: int
) -> ImageSummary:
    """Random images, shrunken to tiles: what methods that store tiles start from.

    Args:
        task: the training images and their preprocessing.
        counts: stored images of each class; a class with too few images for their
            tiles stores fewer.
        factor: tiles along each side.
        seed: of the draw.

    Returns:
        An `ImageSummary` of the bytes of `counts` images.

    Raises:
        ValueError: a class has not even the tiles of one image.
    """
    started, tiles = time.perf_counter(), factor**2
    most = [count // tiles for count in task.images.counts.tolist()]
    stored = at_most(counts, most)
    form = Tiles(Free(Random(), tuple(tiles * count for count in stored)), factor)
    rng = seeds.at(seed, "selection", device=task.device)
    draw = form.final(form.init(task, rng), rng)
    card = card_without_loop(
        "random_tiles",
        form,
        task.describe()["data"],
        seed=seed,
        started=started,
        decoder=form.decoder,
    )
    return task.summary(draw, card)


def _select(
    name: str,
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    options: ImageSelectionOptions,
    run: RunSettings,
) -> ImageSummary:
    rest, selection = run.without_loop(name), SELECTIONS[name]
    task, counts = _prepare(data, ipc, budget_bytes, options)
    settings = _recipe(ipc, counts, options) | describe(selection)
    return select(task, selection, counts, card=CardInfo(name, settings), **rest)


def _recipe(
    ipc: int | None, counts: Sequence[int], options: ImageSelectionOptions
) -> dict[str, Any]:
    """Settings for the card."""
    shared = {"balance": options.class_balance, "zca": options.zca}
    return {"ipc": ipc, "counts": list(counts)} | shared


def _prepare(
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    options: ImageSelectionOptions,
) -> tuple[ImageTask, tuple[int, ...]]:
    images: Images = as_images(data)
    budget = plan(
        images.counts.tolist(),
        ipc,
        budget_bytes,
        item_bytes=item_bytes(images.shape),
        class_balance=options.class_balance,
        names=images.classes,
    )
    preprocessing = Preprocessing.fit(images, zca=options.zca)
    return ImageTask(images, preprocessing), budget.counts
