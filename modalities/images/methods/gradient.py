"""Gradient matching: DC, DSA, DCC and IDC."""

from dataclasses import dataclass
from typing import Any

from multidd.engine.options import RunOptions, RunSettings
from multidd.images.methods.options import DSA, ImageOptions, image_optimizer
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD
from multidd.learning.states import Fresh, Online, States
from multidd.objectives import GradientMatching, Mix
from multidd.objectives.distances import distance_by_name
from multidd.objectives.mix import Part
from multidd.storage.atomic import PathLike


@dataclass(frozen=True, kw_only=True)
class DCOptions(ImageOptions):
    """Settings of `multidd.images.dc`, beside those of `ImageOptions`.

    Attributes:
        lr: step size of the images, in their normalized space.
        momentum: of the images.
        matches_per_net: updates with one network; by images per class as in the paper
            (1, 10 or 50) unless given.
        net_steps: training steps of the network between two matches; by images per
            class (1, 50 or 10) unless given.
        distance: `"cosine"`, `"cosine+magnitude"` (Jiang et al.), `"mse"` or `"l1"`.
        inter_class: match the sum over classes too (Jiang et al.).

    Example:
        >>> DCOptions(width=8).width
        8
    """

    lr: float = 0.1
    momentum: float = 0.5
    matches_per_net: int | None = None
    net_steps: int | None = None
    distance: str = "cosine"
    inter_class: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        matches, steps = self.matches_per_net, self.net_steps
        if (matches is not None and matches < 1) or (steps is not None and steps < 0):
            raise ValueError(
                "matches_per_net must be 1 or more and net_steps 0 or more; got "
                f"{matches} and {steps}"
            )


@PRESETS
def dc(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: DCOptions = DCOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by gradient matching (DC).

    $\sum_c D(\nabla_\theta L^S_c, \nabla_\theta L^T_c)$ with D the sum over layers
    and output channels of one minus the cosine. The network is matched on, trained on
    the synthetic images, matched on again; then it starts afresh.

    Differs from the paper: networks 32 wide instead of 128, 128 real images of a class
    instead of 256, fewer steps; images start from real ones, as in DSA (`init="noise"`
    is the paper's). Under `preset="paper"`: the network's SGD has momentum and a weight
    decay.

    Args:
        data: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class; or
        budget_bytes: bytes in all, labels counted. Give exactly one of the two.
        steps: updates.
        options: its other settings.
        preset: see `multidd.images.dm`.
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, callbacks, checkpoints, the best iterate.

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
        >>> few = DCOptions(width=4, batch_size=8)
        >>> dc(train, ipc=1, steps=1, options=few).num_images
        10
    """
    return _class_by_class(
        "dc",
        data,
        ipc,
        budget_bytes,
        options,
        steps,
        RunSettings(seed, device, progress, checkpoint, run, preset),
    )


@dataclass(frozen=True, kw_only=True)
class DSAOptions(DCOptions):
    """Settings of `multidd.images.dsa`, beside those of `DCOptions`.

    Example:
        >>> DSAOptions(width=8).width
        8
    """

    augment: str = DSA


@PRESETS
def dsa(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: DSAOptions = DSAOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Distill images by gradient matching under siamese augmentation (DSA).

    `multidd.images.dc`, with the same differentiable augmentation on both sides;
    arguments and errors are the same.

    Differs from the paper: as `multidd.images.dc`. Under `preset="paper"`: the
    network's SGD has momentum and a weight decay; one operation of the augmentation
    serves all classes of a step.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dc`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Differentiable Siamese Augmentation",
        ICML 2021.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = DSAOptions(width=4, batch_size=8)
        >>> dsa(train, ipc=1, steps=1, options=few).num_images
        10
    """
    return _class_by_class(
        "dsa",
        data,
        ipc,
        budget_bytes,
        options,
        steps,
        RunSettings(seed, device, progress, checkpoint, run, preset),
    )


@dataclass(frozen=True, kw_only=True)
class DCCOptions(DCOptions):
    """Settings of `multidd.images.dcc`, beside those of `DCOptions`.

    Attributes:
        warmup_steps: steps that match class by class.

    Example:
        >>> DCCOptions(width=8).width
        8
    """

    warmup_steps: int = 50


@PRESETS
def dcc(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: DCCOptions = DCCOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by matching class-summed gradients (DCC).

    $D(\sum_c g^S_c, \sum_c g^T_c)$: what tells classes apart stays in the sum. The
    first `warmup_steps` match class by class. `augment` with all operations makes it
    DSAC.

    Differs from the paper: networks, steps and rates are those of `multidd.images.dc`.
    Under `preset="paper"`: the network's SGD has momentum and a weight decay.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dc`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> few = DCCOptions(warmup_steps=1, width=4, batch_size=8)
        >>> dcc(train, ipc=1, steps=2, options=few).num_images
        10
    """
    apart = distance_by_name(options.distance)

    def objective(max_per_class: int) -> Mix:
        states = _states(max_per_class, options)
        each = Part(GradientMatching(apart, states), last=options.warmup_steps)
        both = {"class_wise": options.inter_class, "inter_class": options.inter_class}
        summed = Part(
            GradientMatching(apart, states, **both), first=options.warmup_steps
        )
        return Mix((each, summed))

    return learn(
        "dcc",
        data,
        ipc,
        budget_bytes,
        options,
        objective,
        steps=steps,
        optimizer={"x": SGD(lr=options.lr, momentum=options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=_recipe(options) | {"warm_up": options.warmup_steps},
    )


@dataclass(frozen=True, kw_only=True)
class IDCOptions(ImageOptions):
    """Settings of `multidd.images.idc`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space.
        momentum: moves the images by SGD with it, as the paper does; None takes Adam.
        matches_per_net: updates with one network.
        net_steps: training steps of the network on real images between two matches.
        distance: `"cosine"`, `"cosine+magnitude"` (Jiang et al.), `"mse"` or `"l1"`.
        inter_class: match the sum over classes too (Jiang et al.).

    Example:
        >>> IDCOptions(width=8).width
        8
    """

    lr: float = 0.02
    momentum: float | None = None
    matches_per_net: int = 20
    net_steps: int = 1
    distance: str = "mse"
    inter_class: bool = False
    augment: str = DSA
    factor: int = 2


@PRESETS
def idc(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: IDCOptions = IDCOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by gradient matching on tiles (IDC).

    Every stored image is cut into 2 x 2 tiles, each decoded to a full image, so that
    the bytes of one hold four. The network trains on real images between matches, so
    that its gradients do not die out; the last layer is not matched.

    Differs from the paper: Adam on the images instead of SGD with a rate for each
    dataset, no CutMix, pixels not clamped on the way, networks 32 wide, fewer steps.
    Under `preset="paper"`: no CutMix, pixels are not clamped, and rates are converted.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dc`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> few = IDCOptions(width=4, batch_size=8)
        >>> idc(train, ipc=1, steps=1, options=few).num_images
        40
    """
    sgd = SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)
    objective = GradientMatching(
        distance_by_name(options.distance),
        Online(
            "real", 1, options.net_steps, options.matches_per_net, sgd, batch_size=128
        ),
        inter_class=options.inter_class,
        head=False,
    )
    return learn(
        "idc",
        data,
        ipc,
        budget_bytes,
        options,
        objective,
        steps=steps,
        optimizer={"x": image_optimizer(options.lr, options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=_recipe(options),
    )


def _class_by_class(
    method: str,
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    options: DCOptions,
    steps: int,
    run: RunSettings,
) -> ImageSummary:
    """DC, whose settings alone differ from those of DSA."""
    apart = distance_by_name(options.distance)

    def objective(max_per_class: int) -> GradientMatching:
        states = _states(max_per_class, options)
        return GradientMatching(apart, states, inter_class=options.inter_class)

    return learn(
        method,
        data,
        ipc,
        budget_bytes,
        options,
        objective,
        steps=steps,
        optimizer={"x": SGD(lr=options.lr, momentum=options.momentum)},
        run=run,
        recipe=_recipe(options),
    )


def _recipe(options: DCOptions | IDCOptions) -> dict[str, Any]:
    """Settings that all four share, by the names on their cards."""
    # Cards of runs by Adam do not name it.
    moved = {} if options.momentum is None else {"momentum": options.momentum}
    return {
        "matches": options.matches_per_net,
        "inner": options.net_steps,
        "distance": options.distance,
        "inter_class": options.inter_class,
        "lr": options.lr,
    } | moved


def _states(max_per_class: int, options: DCOptions) -> States:
    """The paper's loops: matches with a network, training steps in between."""
    usual = (
        (1, 1) if max_per_class == 1 else (10, 50) if max_per_class <= 10 else (50, 10)
    )
    matches, steps = options.matches_per_net, options.net_steps
    matches = usual[0] if matches is None else matches
    steps = usual[1] if steps is None else steps
    if matches == 1:
        return Fresh()
    sgd = SGD(lr=0.01, momentum=0.5, weight_decay=5e-4)
    return Online(steps=steps, matches_per_net=matches, optimizer=sgd)
