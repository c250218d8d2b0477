"""Unrolled training: DD, SLDD, LD and RaT-BPTT."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from multidd.engine.options import RunOptions, RunSettings
from multidd.images.methods.options import ImageOptions, Sampler
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD, Adam, Optimizer, RunningClip
from multidd.learning.states import Fresh
from multidd.learning.unroll import InnerLoop
from multidd.objectives import Unroll
from multidd.objectives.unroll import LrMode
from multidd.parameterizations import Free
from multidd.parameterizations.labels import Policy
from multidd.storage.atomic import PathLike

Whole = Literal["exact", "checkpointed", "stored", "first_order"]
"""What may be kept of a learner all of whose steps count; see `InnerLoop`."""

FIXED_LABELS = ("hard", "centered", "teacher_once")


@dataclass(frozen=True, kw_only=True)
class UnrollOptions(ImageOptions):
    """Settings of methods that learn through the whole training of a network.

    Attributes:
        syn_steps: N, training steps of a network on the synthetic images.
        lr_net: step size of the network at the start.
        net_momentum: of the network.
        num_models: networks at a step.
        backprop: what is kept of the way; see `multidd.learning.unroll.InnerLoop`.

    Example:
        >>> UnrollOptions(syn_steps=30).width
        16
    """

    syn_steps: int = 20
    lr_net: float = 0.02
    net_momentum: float = 0.9
    num_models: int = 1
    backprop: Whole = "checkpointed"
    sampler: Sampler = "uniform"
    batch_size: int | None = 256
    width: int | tuple[int, ...] | None = 16

    def inner_loop(self, batch_syn: int | None = None) -> InnerLoop:
        """How a network is trained on the synthetic images.

        Args:
            batch_syn: images at a step; None takes all.
        """
        sgd = SGD(lr=self.lr_net, momentum=self.net_momentum)
        return InnerLoop(self.syn_steps, sgd, batch_syn, self.backprop)

    def card_settings(self) -> dict[str, Any]:
        """These settings by the names on cards."""
        return {
            "inner_steps": self.syn_steps,
            "lr_inner": self.lr_net,
            "momentum": self.net_momentum,
            "models": self.num_models,
            "memory": self.backprop,
        }


def _check_labels(method: str, options: ImageOptions) -> None:
    """Refuse settings by which no label would be learned."""
    if options.labels in FIXED_LABELS:
        raise ValueError(
            f"{method} learns labels: labels must be 'onehot' or 'teacher'; got "
            f"{options.labels!r}"
        )


@dataclass(frozen=True, kw_only=True)
class DDOptions(UnrollOptions):
    """Settings of `multidd.images.dd`, beside those of `UnrollOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space; it falls to zero along a
            cosine.
        lr_lr: of Adam on the logarithms of the step sizes.
        rates: `"each"` step has its own learned size, all have `"one"`, or it is
            `"fixed"`.

    Example:
        >>> DDOptions(width=8).width
        8
    """

    lr: float = 0.1
    lr_lr: float = 0.02
    rates: LrMode = "each"


@PRESETS
def dd(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 150,
    options: DDOptions = DDOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images through the training of a network on them (DD).

    $L^T(\theta_N)$ of fresh networks after N steps of gradient descent on the synthetic
    images, whose step sizes are learned too.

    Differs from the paper: every step sees all images (there each step has its own),
    networks 16 wide with instance norm instead of a LeNet, with momentum, 150 steps;
    step sizes are learned by their logarithms, so that they stay positive, and stand in
    `card.settings["learned"]`. Under `preset="paper"`: every step sees all images; the
    rate does not fall by halves.

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
        Wang, Zhu, Torralba, Efros, "Dataset Distillation", arXiv 1811.10959, 2018.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = DDOptions(syn_steps=2, width=4, batch_size=50)
        >>> summary = dd(train, ipc=1, steps=2, options=few)
        >>> len(summary.card.settings["learned"]["rate"])
        2
    """
    return _learn_images(
        "dd",
        data,
        ipc,
        budget_bytes,
        options,
        steps,
        RunSettings(seed, device, progress, checkpoint, run, preset),
    )


@dataclass(frozen=True, kw_only=True)
class SLDDOptions(DDOptions):
    """Settings of `multidd.images.sldd`, beside those of `DDOptions`.

    Example:
        >>> SLDDOptions(width=8).width
        8
    """

    labels: Policy = "onehot"
    lr_labels: float | None = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_labels("sldd", self)


@PRESETS
def sldd(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 150,
    options: SLDDOptions = SLDDOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images and their soft labels through training on them (SLDD).

    `dd` with labels that are learned beside the images, from one-hot ones.

    Differs from the paper: as `dd` does; and labels stay probabilities, which a network
    may be trained on for longer than N steps. Any real number would do for N steps
    alone. Under `preset="paper"`: as `dd`; labels stay probabilities.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dd`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> few = SLDDOptions(syn_steps=2, width=4, batch_size=50)
        >>> summary = sldd(train, ipc=1, steps=2, options=few)
        >>> summary.card.labels
        'soft'
    """
    return _learn_images(
        "sldd",
        data,
        ipc,
        budget_bytes,
        options,
        steps,
        RunSettings(seed, device, progress, checkpoint, run, preset),
    )


@dataclass(frozen=True, kw_only=True)
class LDOptions(UnrollOptions):
    """Settings of `multidd.images.ld`, beside those of `UnrollOptions`.

    Attributes:
        lr: of Adam on the labels; it falls to zero along a cosine.

    Example:
        >>> LDOptions(width=8).width
        8
    """

    lr: float = 0.05
    labels: Policy = "onehot"
    lr_labels: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_labels("ld", self)
        if self.init == "noise":
            raise ValueError(
                "ld labels real images: init must be one of random, kmeans, herding, "
                "kcenter; got 'noise'"
            )


@PRESETS
def ld(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 150,
    options: LDOptions = LDOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Learn the labels of real images through training on them (LD).

    The images are chosen, by `init`, and stay as they are; their labels are learned,
    from one-hot ones.

    Differs from the paper: the loss on real images is that after N steps of a fresh
    network (there one network is trained on along the run), with momentum; labels stay
    probabilities. Under `preset="paper"`: networks are fresh at each step, not trained
    on along the run.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dd`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> few = LDOptions(syn_steps=2, width=4, batch_size=50)
        >>> summary = ld(train, ipc=1, steps=2, options=few)
        >>> summary.card.labels
        'soft'
    """
    rate = options.lr if options.lr_labels is None else options.lr_labels
    options = replace(options, lr_labels=rate)
    return learn(
        "ld",
        data,
        ipc,
        budget_bytes,
        options,
        Unroll(options.inner_loop(), Fresh(options.num_models)),
        steps=steps,
        optimizer={"y_soft": Adam(lr=rate, simplex=True, cosine=steps)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=options.card_settings() | {"lr": rate},
        records=lambda start, counts: Free(start, counts, learn=()),
    )


def _learn_images(
    method: str,
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    options: DDOptions,
    steps: int,
    run: RunSettings,
) -> ImageSummary:
    """Learn images, and step sizes unless they are fixed."""
    optimizer: dict[str, Optimizer] = {"x": Adam(lr=options.lr, cosine=steps)}
    if options.rates != "fixed":
        optimizer["objective.log_rate"] = Adam(lr=options.lr_lr)
    networks = Fresh(options.num_models)
    return learn(
        method,
        data,
        ipc,
        budget_bytes,
        options,
        Unroll(options.inner_loop(), networks, options.rates),
        steps=steps,
        optimizer=optimizer,
        run=run,
        recipe=options.card_settings()
        | {"lr": options.lr, "lr_rates": options.lr_lr, "rates": options.rates},
    )


@dataclass(frozen=True, kw_only=True)
class RaTBPTTOptions(ImageOptions):
    """Settings of `multidd.images.rat_bptt`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space; it falls to zero along a
            cosine.
        window: last steps of the network, which are differentiated.
        max_unroll: most steps of the network.
        lr_net: of Adam on the network.
        clip: limit of the gradient's norm, in units of its running mean.
        num_models: see `multidd.images.dd`.

    Example:
        >>> RaTBPTTOptions(width=8).width
        8
    """

    lr: float = 0.1
    window: int = 20
    max_unroll: int = 40
    lr_net: float = 0.003
    clip: float = 2.0
    num_models: int = 1
    augment: str = "flip_rotate"
    sampler: Sampler = "uniform"
    batch_size: int | None = 256
    width: int | tuple[int, ...] | None = 16


@PRESETS
def rat_bptt(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 150,
    options: RaTBPTTOptions = RaTBPTTOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images through random truncated windows of training (RaT-BPTT).

    $L^T(\theta_N)$ of fresh networks after N steps of Adam on the synthetic images, N
    drawn anew at each step from `window` to `max_unroll`; the last `window` of them are
    differentiated. The gradient is clipped at a multiple of its running norm.

    Differs from the paper: windows of 20 in at most 40 steps instead of 60 in 200 (at
    ten images per class of CIFAR-10), at three times the rate to make up for it;
    networks 16 wide, 256 real images at a step instead of 5,000, 150 steps instead of
    tens of thousands, a start from real images. Under `preset="paper"`: the running
    norm takes clipped gradients.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dd`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> few = RaTBPTTOptions(window=2, max_unroll=3, width=4, batch_size=50)
        >>> rat_bptt(train, ipc=1, steps=2, options=few).num_images
        10
    """
    inner = InnerLoop(
        options.max_unroll, Adam(lr=options.lr_net), None, "truncated", options.window
    )
    rule = Adam(lr=options.lr, cosine=steps, clip=RunningClip(options.clip))
    return learn(
        "rat_bptt",
        data,
        ipc,
        budget_bytes,
        options,
        Unroll(inner, Fresh(options.num_models), min_steps=options.window),
        steps=steps,
        optimizer={"x": rule},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "window": options.window,
            "longest": options.max_unroll,
            "lr_inner": options.lr_net,
            "clip": options.clip,
            "models": options.num_models,
        },
    )
