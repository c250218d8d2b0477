"""Selections as methods: random, herding, kcenter, kmeans, forgetting."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from multidd import seeds
from multidd.data.splitting import at_most
from multidd.engine.card import CardInfo
from multidd.engine.loop import select
from multidd.engine.options import RunSettings
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes, plan
from multidd.images.models.backbone import Backbone
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.optim import SGD
from multidd.learning.states import training_step
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

    Raises:
        ValueError: no epoch or no width.
    """
    if epochs < 1 or width < 1:
        raise ValueError(
            f"epochs and width must be 1 or more, got {epochs} and {width}"
        )
    task = replace(task, backbone=Backbone(width=width), batch_size=None)
    batch = task.batch(seeds.at(seed, "forgetting"))
    weights = task.weights(seeds.at(seed, "forgetting/weights"), 1)
    sgd = SGD(lr=0.05, momentum=0.9, weight_decay=5e-4)
    moments: Tree = {name: sgd.init(w) for name, w in weights.items()}
    events, ever = torch.zeros(len(batch.y)), torch.zeros(len(batch.y)).bool()
    before = ever
    for epoch in range(epochs):
        rng = seeds.at(seed, "forgetting/order", epoch)
        for rows in torch.randperm(len(batch.y), generator=rng).split(64):
            part = task.take(batch, rows)
            weights, moments = training_step(task, weights, moments, sgd, part, rng)
        one = {name: w[0] for name, w in weights.items()}
        with torch.no_grad():
            right = task.features(one, batch, 1)[0].argmax(1) == batch.y
        events += before & ~right
        ever, before = ever | right, right
    events[~ever] = epochs
    return events


Balance = Literal["equal", "proportional"]

SELECTIONS: dict[str, Selection] = {
    "random": Random(),
    "herding": Herding(),
    "kcenter": KCenter(),
    "kmeans": KMeans(restarts=1),
}


def random(
    train: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    balance: Balance = "equal",
    zca: bool = False,
    seed: int = 0,
) -> ImageSummary:
    """Real images drawn uniformly within each class.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class; or
        budget_bytes: bytes in all, labels counted. Give exactly one of the two.
        balance: images per class `"equal"`, or `"proportional"` to its size.
        zca: whiten the pixels.
        seed: seed of the draw.

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
    run = RunSettings(seed)
    return _select("random", train, ipc, budget_bytes, balance, zca, run)


def herding(
    train: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    balance: Balance = "equal",
    zca: bool = False,
    seed: int = 0,
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
    run = RunSettings(seed)
    return _select("herding", train, ipc, budget_bytes, balance, zca, run)


def kcenter(
    train: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    balance: Balance = "equal",
    zca: bool = False,
    seed: int = 0,
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
    run = RunSettings(seed)
    return _select("kcenter", train, ipc, budget_bytes, balance, zca, run)


def kmeans(
    train: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    balance: Balance = "equal",
    zca: bool = False,
    seed: int = 0,
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
    run = RunSettings(seed)
    return _select("kmeans", train, ipc, budget_bytes, balance, zca, run)


def forgetting(
    train: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    balance: Balance = "equal",
    zca: bool = False,
    epochs: int = 5,
    width: int = 16,
    seed: int = 0,
) -> ImageSummary:
    """Real images that a network in training forgets most often.

    A ConvNet is trained on all images; an image is forgotten where it was classified
    rightly in an epoch and wrongly in the next. Images never learned come first.

    Args:
        train, ipc, budget_bytes, balance, zca, seed: see `multidd.images.random`.
        epochs: passes over the images.
        width: of the ConvNet.

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
        >>> forgetting(small, ipc=1, epochs=1, width=4).num_images
        10
    """
    started, run = time.perf_counter(), RunSettings(seed)
    task, counts = _prepare(train, ipc, budget_bytes, balance, zca)
    with run.stages("forgetting")("training"):
        scores = forgetting_counts(task, epochs, width, run.seed)
    settings = _recipe(ipc, counts, balance, zca) | {"epochs": epochs, "width": width}
    card = CardInfo("forgetting", settings, time.perf_counter() - started)
    chooser, rest = Scored(tuple(scores.tolist())), run.without_loop("forgetting")
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


def _select(
    name: str,
    train: Any,
    ipc: int | None,
    budget_bytes: int | None,
    balance: Balance,
    zca: bool,
    run: RunSettings,
) -> ImageSummary:
    rest, selection = run.without_loop(name), SELECTIONS[name]
    task, counts = _prepare(train, ipc, budget_bytes, balance, zca)
    settings = _recipe(ipc, counts, balance, zca) | describe(selection)
    return select(task, selection, counts, card=CardInfo(name, settings), **rest)


def _recipe(
    ipc: int | None, counts: Sequence[int], balance: Balance, zca: bool
) -> dict[str, Any]:
    """Settings for the card."""
    return {"ipc": ipc, "counts": list(counts), "balance": balance, "zca": zca}


def _prepare(
    train: Any,
    ipc: int | None,
    budget_bytes: int | None,
    balance: Balance,
    zca: bool,
) -> tuple[ImageTask, tuple[int, ...]]:
    images: Images = as_images(train)
    budget = plan(
        images.counts.tolist(),
        ipc,
        budget_bytes,
        item_bytes=item_bytes(images.shape),
        balance=balance,
        names=images.classes,
    )
    return ImageTask(images, Preprocessing.fit(images, zca=zca)), budget.counts
