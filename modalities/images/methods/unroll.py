"""Unrolled training: DD, SLDD, LD and RaT-BPTT."""

from typing import Any, Literal, Unpack

from multidd.engine.options import RunSettings
from multidd.engine.recipe import split_options
from multidd.images.methods.options import Options, Settings
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD, Adam, Optimizer, RunningClip
from multidd.learning.states import Fresh
from multidd.learning.unroll import InnerLoop
from multidd.objectives import Unroll
from multidd.objectives.unroll import LrMode
from multidd.parameterizations import Free

Whole = Literal["exact", "checkpointed", "stored", "first_order"]
"""What may be kept of a learner all of whose steps count; see `InnerLoop`."""

FIXED_LABELS = ("hard", "centered", "teacher_once")


def dd(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 150,
    lr: float = 0.1,
    inner_steps: int = 20,
    lr_inner: float = 0.02,
    momentum: float = 0.9,
    lr_rates: float = 0.02,
    rates: LrMode = "each",
    models: int = 1,
    memory: Whole = "checkpointed",
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images through the training of a network on them (DD).

    $L^T(\theta_N)$ of fresh networks after N steps of gradient descent on the synthetic
    images, whose step sizes are learned too.

    Where it departs from the paper: every step sees all images (there each step has its
    own), networks 16 wide with instance norm instead of a LeNet, with momentum, 150
    steps; step sizes are learned by their logarithms, so that they stay positive, and
    stand in `card.settings["learned"]`.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the images, in their normalized space; it falls to zero along a
            cosine.
        inner_steps: N.
        lr_inner: step size of the network at the start.
        momentum: of the network.
        lr_rates: of Adam on the logarithms of the step sizes.
        rates: `"each"` step has its own learned size, all have `"one"`, or it is
            `"fixed"`.
        models: networks at a step.
        memory: what is kept of the way; see `multidd.learning.unroll.InnerLoop`.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Wang, Zhu, Torralba, Efros, "Dataset Distillation", arXiv 1811.10959, 2018.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> made = dd(train, ipc=1, steps=2, inner_steps=2, width=4, batch_size=50)
        >>> len(made.card.settings["learned"]["rate"])
        2
    """
    settings, run = split_options(unrolled(), options, seed)
    recipe = _recipe(
        lr, inner_steps, lr_inner, momentum, lr_rates, rates, models, memory
    )
    return _learn_images("dd", train, ipc, settings, recipe, steps, run)


def sldd(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 150,
    lr: float = 0.1,
    inner_steps: int = 20,
    lr_inner: float = 0.02,
    momentum: float = 0.9,
    lr_rates: float = 0.02,
    rates: LrMode = "each",
    models: int = 1,
    memory: Whole = "checkpointed",
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images and their soft labels through training on them (SLDD).

    `dd` with labels that are learned beside the images, from one-hot ones.

    Where it departs from the paper: as `dd` does; and labels stay probabilities, which
    a network may be trained on for longer than N steps. Any real number would do for
    N steps alone.

    Args:
        train, ipc, steps, lr, inner_steps, lr_inner, momentum, lr_rates, rates, models,
            memory, seed, **options: see `multidd.images.dd`; `lr_labels` is of Adam on
            the labels, which may start from a `"teacher"`'s too.

    Returns:
        An `ImageSummary` with soft labels.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Sucholutsky, Schonlau, "Soft-Label Dataset Distillation and Text Dataset
        Distillation", IJCNN 2021.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> made = sldd(train, ipc=1, steps=2, inner_steps=2, width=4, batch_size=50)
        >>> made.card.labels
        'soft'
    """
    defaults = unrolled(labels="onehot", lr_labels=0.02)
    settings, run = split_options(defaults, options, seed)
    _check_labels("sldd", settings)
    recipe = _recipe(
        lr, inner_steps, lr_inner, momentum, lr_rates, rates, models, memory
    )
    return _learn_images("sldd", train, ipc, settings, recipe, steps, run)


def ld(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 150,
    lr: float = 0.05,
    inner_steps: int = 20,
    lr_inner: float = 0.02,
    momentum: float = 0.9,
    models: int = 1,
    memory: Whole = "checkpointed",
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Learn the labels of real images through training on them (LD).

    The images are chosen, by `init`, and stay as they are; their labels are learned,
    from one-hot ones.

    Where it departs from the paper: the loss on real images is that after N steps of a
    fresh network (there one network is trained on along the run), with momentum; labels
    stay probabilities.

    Args:
        train, ipc, steps, inner_steps, lr_inner, momentum, models, memory, seed,
            **options: see `multidd.images.dd`.
        lr: of Adam on the labels; it falls to zero along a cosine.

    Returns:
        An `ImageSummary` with soft labels.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Bohdal, Yang, Hospedales, "Flexible Dataset Distillation: Learn Labels Instead
        of Images", arXiv 2006.08572, 2020.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> made = ld(train, ipc=1, steps=2, inner_steps=2, width=4, batch_size=50)
        >>> made.card.labels
        'soft'
    """
    defaults = unrolled(labels="onehot", lr_labels=lr)
    settings, run = split_options(defaults, options, seed)
    _check_labels("ld", settings)
    if settings.init == "noise":
        raise ValueError(
            "ld labels real images: init must be one of random, kmeans, herding, "
            "kcenter; got 'noise'"
        )
    inner = InnerLoop(inner_steps, SGD(lr=lr_inner, momentum=momentum), backprop=memory)
    return learn(
        "ld",
        train,
        ipc,
        settings,
        Unroll(inner, Fresh(models)),
        steps=steps,
        optimizer={"y_soft": Adam(lr=settings.lr_labels, simplex=True, cosine=steps)},
        run=run,
        recipe={
            "lr": settings.lr_labels,
            "inner_steps": inner_steps,
            "lr_inner": lr_inner,
            "momentum": momentum,
            "models": models,
            "memory": memory,
        },
        records=lambda start, counts: Free(start, counts, learn=()),
    )


def _recipe(
    lr: float,
    inner_steps: int,
    lr_inner: float,
    momentum: float,
    lr_rates: float,
    rates: LrMode,
    models: int,
    memory: Whole,
) -> dict[str, Any]:
    """Settings that `dd` and `sldd` share, by name."""
    return dict(locals())


def _learn_images(
    method: str,
    train: Any,
    ipc: int | None,
    settings: Settings,
    recipe: dict[str, Any],
    steps: int,
    run: RunSettings,
) -> ImageSummary:
    """Learn images, and step sizes unless they are fixed."""
    sgd = SGD(lr=recipe["lr_inner"], momentum=recipe["momentum"])
    inner = InnerLoop(recipe["inner_steps"], sgd, backprop=recipe["memory"])
    optimizer: dict[str, Optimizer] = {"x": Adam(lr=recipe["lr"], cosine=steps)}
    if recipe["rates"] != "fixed":
        optimizer["objective.log_rate"] = Adam(lr=recipe["lr_rates"])
    return learn(
        method,
        train,
        ipc,
        settings,
        Unroll(inner, Fresh(recipe["models"]), recipe["rates"]),
        steps=steps,
        optimizer=optimizer,
        run=run,
        recipe=recipe,
    )


def unrolled(**changes: Any) -> Settings:
    """Shared settings of these recipes."""
    return Settings(sampler="uniform", batch_size=256, width=16, **changes)


def _check_labels(method: str, settings: Settings) -> None:
    """Refuse settings by which no label would be learned."""
    if settings.labels in FIXED_LABELS:
        raise ValueError(
            f"{method} learns labels: labels must be 'onehot' or 'teacher'; got "
            f"{settings.labels!r}"
        )


def rat_bptt(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 150,
    lr: float = 0.1,
    window: int = 20,
    longest: int = 40,
    lr_inner: float = 0.003,
    clip: float = 2.0,
    models: int = 1,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images through random truncated windows of training (RaT-BPTT).

    $L^T(\theta_N)$ of fresh networks after N steps of Adam on the synthetic images, N
    drawn anew at each step from `window` to `longest`; the last `window` of them are
    differentiated. The gradient is clipped at a multiple of its running norm.

    Where it departs from the paper: windows of 20 in at most 40 steps instead of 60 in
    200 (at ten images per class of CIFAR-10), at three times the rate to make up for
    it; networks 16 wide, 256 real images at a step instead of 5,000, 150 steps instead
    of tens of thousands, a start from real images.

    Args:
        train, ipc, steps, lr, models, seed, **options: see `multidd.images.dd`.
        window: last steps of the network, which are differentiated.
        longest: most steps of the network.
        lr_inner: of Adam on the network.
        clip: limit of the gradient's norm, in units of its running mean.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Feng, Vedantam, Kempe, "Embarrassingly Simple Dataset Distillation", ICLR 2024.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> small = {"window": 2, "longest": 3, "width": 4, "batch_size": 50}
        >>> rat_bptt(train, ipc=1, steps=2, **small).num_images
        10
    """
    inner = InnerLoop(longest, Adam(lr=lr_inner), None, "truncated", window)
    rule = Adam(lr=lr, cosine=steps, clip=RunningClip(clip))
    settings, run = split_options(unrolled(augment="flip_rotate"), options, seed)
    return learn(
        "rat_bptt",
        train,
        ipc,
        settings,
        Unroll(inner, Fresh(models), min_steps=window),
        steps=steps,
        optimizer={"x": rule},
        run=run,
        recipe={
            "lr": lr,
            "window": window,
            "longest": longest,
            "lr_inner": lr_inner,
            "clip": clip,
            "models": models,
        },
    )
