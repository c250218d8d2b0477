"""Gradient matching: DC, DSA, DCC and IDC."""

from collections.abc import Mapping
from typing import Any, Unpack

from multidd.engine.options import RunSettings
from multidd.engine.recipe import split_options
from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Fresh, Online, States
from multidd.objectives import GradientMatching, Mix
from multidd.objectives.distances import distance_by_name
from multidd.objectives.mix import Part


def dc(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.1,
    momentum: float = 0.5,
    matches: int | None = None,
    inner: int | None = None,
    distance: str = "cosine",
    inter_class: bool = False,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by gradient matching (DC).

    $\sum_c D(\nabla_\theta L^S_c, \nabla_\theta L^T_c)$ with D the sum over layers
    and output channels of one minus the cosine. The network is matched on, trained on
    the synthetic images, matched on again; then it starts afresh.

    Where it departs from the paper: networks 32 wide instead of 128, 128 real images
    of a class instead of 256, fewer steps; images start from real ones, as in DSA
    (`init="noise"` is the paper's).

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: step size of the images, in their normalized space.
        momentum: of the images.
        matches: updates with one network; by images per class as in the paper (1, 10
            or 50) unless given.
        inner: training steps of the network between two matches; by images per class
            (1, 50 or 10) unless given.
        distance: `"cosine"`, `"cosine+magnitude"` (Jiang et al.), `"mse"` or `"l1"`.
        inter_class: match the sum over classes too (Jiang et al.).
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021;
        Jiang, Gu, Liu, Pan, "Delving into Effective Gradient Matching for Dataset
        Condensation", COINS 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> dc(train, ipc=1, steps=1, width=4, batch_size=8).num_images
        10
    """
    recipe = {
        "matches": matches,
        "inner": inner,
        "distance": distance,
        "inter_class": inter_class,
        "lr": lr,
        "momentum": momentum,
    }
    settings, run = split_options(Settings(), options, seed)
    return _class_by_class("dc", train, ipc, settings, recipe, steps, run)


def dsa(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.1,
    momentum: float = 0.5,
    matches: int | None = None,
    inner: int | None = None,
    distance: str = "cosine",
    inter_class: bool = False,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    """Distill images by gradient matching under siamese augmentation (DSA).

    `multidd.images.dc`, with the same differentiable augmentation on both sides;
    arguments, departures and errors are the same.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation",
        ICML 2021.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> dsa(train, ipc=1, steps=1, width=4, batch_size=8).num_images
        10
    """
    recipe = {
        "matches": matches,
        "inner": inner,
        "distance": distance,
        "inter_class": inter_class,
        "lr": lr,
        "momentum": momentum,
    }
    settings, run = split_options(Settings(augment=DSA), options, seed)
    return _class_by_class("dsa", train, ipc, settings, recipe, steps, run)


def dcc(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    warm_up: int = 50,
    lr: float = 0.1,
    momentum: float = 0.5,
    matches: int | None = None,
    inner: int | None = None,
    distance: str = "cosine",
    inter_class: bool = False,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by matching class-summed gradients (DCC).

    $D(\sum_c g^S_c, \sum_c g^T_c)$: what tells classes apart stays in the sum. The
    first `warm_up` steps match class by class. `augment` with all operations makes it
    DSAC.

    Args:
        train, ipc, steps, lr, momentum, matches, inner, distance, seed, **options: see
            `multidd.images.dc`.
        warm_up: steps that match class by class.
        inter_class: match class by class beside the sum after them too.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Lee, Chun, Jung, Yun, Yoon, "Dataset Condensation with Contrastive Signals",
        ICML 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> dcc(train, ipc=1, steps=2, warm_up=1, width=4, batch_size=8).num_images
        10
    """
    apart = distance_by_name(distance)

    def objective(most: int) -> Mix:
        states = _states(most, matches, inner)
        each = Part(GradientMatching(apart, states), last=warm_up)
        both = {"class_wise": inter_class, "inter_class": inter_class}
        summed = Part(GradientMatching(apart, states, **both), first=warm_up)
        return Mix((each, summed))

    recipe = {
        "matches": matches,
        "inner": inner,
        "distance": distance,
        "inter_class": inter_class,
        "warm_up": warm_up,
        "lr": lr,
        "momentum": momentum,
    }
    settings, run = split_options(Settings(), options, seed)
    return learn(
        "dcc",
        train,
        ipc,
        settings,
        objective,
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        run=run,
        recipe=recipe,
    )


def _class_by_class(
    method: str,
    train: Any,
    ipc: int | None,
    settings: Settings,
    recipe: Mapping[str, Any],
    steps: int,
    run: RunSettings,
) -> ImageSummary:
    """DC, whose settings alone differ from those of DSA."""
    apart = distance_by_name(recipe["distance"])

    def objective(most: int) -> GradientMatching:
        states = _states(most, recipe["matches"], recipe["inner"])
        return GradientMatching(apart, states, inter_class=recipe["inter_class"])

    return learn(
        method,
        train,
        ipc,
        settings,
        objective,
        steps=steps,
        optimizer={"x": SGD(lr=recipe["lr"], momentum=recipe["momentum"])},
        run=run,
        recipe=recipe,
    )


def _states(most: int, matches: int | None, inner: int | None) -> States:
    """The paper's loops: matches with a network, training steps in between."""
    usual = (1, 1) if most == 1 else (10, 50) if most <= 10 else (50, 10)
    matches = usual[0] if matches is None else matches
    inner = usual[1] if inner is None else inner
    if matches < 1 or inner < 0:
        raise ValueError(
            f"matches must be 1 or more and inner 0 or more; got {matches} and {inner}"
        )
    if matches == 1:
        return Fresh()
    sgd = SGD(lr=0.01, momentum=0.5, weight_decay=5e-4)
    return Online(steps=inner, matches_per_net=matches, optimizer=sgd)


def idc(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.02,
    matches: int = 20,
    inner: int = 1,
    distance: str = "mse",
    inter_class: bool = False,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by gradient matching on tiles (IDC).

    Every stored image is cut into 2 x 2 tiles, each decoded to a full image, so that
    the bytes of one hold four. The network trains on real images between matches, so
    that its gradients do not die out; the last layer is not matched.

    Where it departs from the paper: Adam on the images instead of SGD with a rate for
    each dataset, no CutMix, pixels not clamped on the way, networks 32 wide, fewer
    steps.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: stored images per class, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the images, in their normalized space.
        matches: updates with one network.
        inner: training steps of the network on real images between two matches.
        distance, inter_class: see `multidd.images.dc`.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Kim et al., "Dataset Condensation via Efficient Synthetic-Data
        Parameterization", ICML 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> idc(train, ipc=1, steps=1, width=4, batch_size=8).num_images
        40
    """
    sgd = SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)
    objective = GradientMatching(
        distance_by_name(distance),
        Online("real", 1, inner, matches, sgd, batch_size=128),
        inter_class=inter_class,
        head=False,
    )
    settings, run = split_options(Settings(augment=DSA, factor=2), options, seed)
    return learn(
        "idc",
        train,
        ipc,
        settings,
        objective,
        steps=steps,
        optimizer={"x": Adam(lr=lr)},
        run=run,
        recipe={
            "lr": lr,
            "matches": matches,
            "inner": inner,
            "distance": distance,
            "inter_class": inter_class,
        },
    )
