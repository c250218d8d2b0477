"""Kernel ridge regression: KIP, RFAD and FRePO."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from multidd.engine.options import RunOptions, RunSettings
from multidd.images.data.images import as_images
from multidd.images.methods.options import DSA, ImageOptions, Sampler, backbone_of
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.setup import Records, learn
from multidd.images.models.module_backbone import ModuleBackbone
from multidd.images.summary.summary import ImageSummary
from multidd.kernels import Linear
from multidd.learning.kernel_sources import Features, Infinite, Plain
from multidd.learning.optim import Adam
from multidd.learning.states import Fresh, Pool
from multidd.objectives import KernelRidge, Mix, Part
from multidd.parameterizations.labels import Policy
from multidd.protocols import Objective, learned_tensors
from multidd.storage.atomic import PathLike


@dataclass(frozen=True, kw_only=True)
class KIPOptions(ImageOptions):
    """Settings of `multidd.images.kip`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space, and on their labels; it
            falls to zero along a cosine.
        architecture: fully connected, convolutional, or with global average pooling.
        kernel: neural tangent kernel, or Gaussian process.
        ridge: relative to the mean of the kernel's diagonal.
        batch_size: real images at a step; `"auto"` takes 1,000, or 200 where the
            architecture is convolutional; None takes all.
        depth: hidden layers.

    Example:
        >>> KIPOptions(width=8).width
        8
    """

    lr: float = 0.04
    architecture: Literal["fc", "conv", "conv_gap"] = "fc"
    kernel: Literal["ntk", "nngp"] = "ntk"
    ridge: float = 1e-6
    labels: Policy = "onehot"
    lr_labels: float | None = None
    sampler: Sampler = "uniform"
    batch_size: int | Literal["auto"] | None = "auto"  # type: ignore[assignment]
    depth: int | None = 3

    def _check_batch_size(self) -> None:
        if self.batch_size != "auto":
            super()._check_batch_size()


@PRESETS
def kip(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 1000,
    options: KIPOptions = KIPOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images for an infinitely wide network (KIP); below random in a CNN.

    $\lVert Y_T - K_{TS} (K_{SS} + \lambda \tfrac{\mathrm{tr} K_{SS}}{m} I)^{-1} Y_S
    \rVert^2$ with a closed-form neural tangent kernel.

    Differs from the paper: 1,000 real images at a step instead of all or 5,000, three
    hidden layers, the rate falls to zero along a cosine. Under `preset="paper"`: the
    rate falls along a cosine; the number of updates is not the paper's, which stops by
    the test score.

    What it is for: a result in seconds, for the kernel's own predictor (model
    `"kernel"` of `multidd.evaluate`). The images are adversarial to convolutional
    networks: for those take `dm`, `rfad` or `frepo`.

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
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR
        2021; Nguyen, Novak, Xiao, Lee, "Dataset Distillation with Infinitely Wide
        Convolutional Networks", NeurIPS 2021.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> kip(train, ipc=1, steps=2, options=KIPOptions(batch_size=200)).card.labels
        'centered'
    """
    if not isinstance(options.model, str):
        raise ValueError(
            "kip compares images by the kernel of an infinitely wide network, not by "
            "a model: leave model out, or take rfad or frepo, which go through it"
        )
    if options.batch_size == "auto":
        size = 1000 if options.architecture == "fc" else 200
        options = replace(options, batch_size=size)
    options = replace(options, lr_labels=_lr_labels(options))
    depth = 3 if options.depth is None else options.depth
    kernel = Infinite(depth, options.architecture, options.kernel)
    return learn(
        "kip",
        data,
        ipc,
        budget_bytes,
        options,
        KernelRidge(kernel, "mse", options.ridge),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, cosine=steps)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "kernel": {
                "kind": "infinite",
                "architecture": options.architecture,
                "depth": kernel.depth,
                "type": options.kernel,
                "ridge": options.ridge,
            },
        },
        center=True,
    )


@dataclass(frozen=True, kw_only=True)
class RFADOptions(ImageOptions):
    """Settings of `multidd.images.rfad`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space, and on their labels; it
            falls to zero along a cosine.
        lr_temperature: of Adam on the logarithm of $\tau$.
        num_models: random networks at a step.
        loss: `"mse"`, or `"cross_entropy"` with Platt scaling.
        ridge: relative to the mean of the kernel's diagonal.
        beside: further kernels that the set has to serve: `"mlp"`, that of an
            infinitely wide hidden layer, and `"pixels"`, the linear one.
        label_space: learned labels are any `"real"` numbers of mean zero, or stay on
            the `"simplex"`: probabilities, which any training takes.

    Raises:
        ValueError: no such kernel or space of labels.

    Example:
        >>> RFADOptions(width=8).width
        8
    """

    lr: float = 0.05
    lr_temperature: float = 0.01
    num_models: int = 1
    loss: Literal["cross_entropy", "mse"] = "mse"
    ridge: float = 0.005
    labels: Policy = "onehot"
    lr_labels: float | None = None
    sampler: Sampler = "uniform"
    batch_size: int | None = 512
    augment: str = DSA
    width: int | tuple[int, ...] | None = 64
    beside: tuple[str, ...] = ()
    label_space: Literal["real", "simplex"] = "real"

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := sorted(set(self.beside) - set(BESIDE)):
            raise ValueError(
                f"beside must name kernels among {', '.join(BESIDE)}; got "
                f"{', '.join(map(repr, unknown))}"
            )
        if self.label_space not in ("real", "simplex"):
            raise ValueError(
                f"label_space must be 'real' or 'simplex'; got {self.label_space!r}"
            )


def _mlp(pixels: int) -> Part:
    kernel = Infinite(1, "fc", "ntk")
    return Part(KernelRidge(kernel, "mse", 0.005), weight=3.0)


def _pixels(pixels: int) -> Part:
    kernel = Plain(Linear(offset=0.1 * pixels))
    return Part(KernelRidge(kernel, "mse", 0.1), weight=5.0)


BESIDE: dict[str, Callable[[int], Part]] = {"mlp": _mlp, "pixels": _pixels}
"""Regressions of plain models without convolutions, by the pixels of an image. Their
losses weigh more than that of the features, on which fresh networks draw noise."""


@PRESETS
def rfad(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: RFADOptions = RFADOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by random features of convolutional networks (RFAD).

    Kernel ridge regression with $K = 2 \Phi \Phi^\top / D + 0.01$ on the features of
    fresh random ConvNets, an estimate of the kernel of an infinitely wide one, judged
    by the squared error; or by cross-entropy of $\tau$ times the prediction with a
    learned $\tau$, as in the paper.

    Differs from the paper: the squared error, under which networks trained on the
    images do better here; for trainings of any kind, kernels of other models `beside`
    it and labels that stay probabilities; Adam along a cosine instead of AdaBelief; one
    network 64 wide at a step, normalized and started as those that will be trained on
    the images (the paper's have no norm and Gaussian weights, as `model="cnn"` has);
    both sides under one augmentation; no learned linear map of the images. Under
    `preset="paper"`: Adam along a cosine, no stop by validation, no learned linear map.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.kip`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Loo, Hasani, Amini, Rus, "Efficient Dataset Distillation Using Random Feature
        Approximation", NeurIPS 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = RFADOptions(width=8, batch_size=50)
        >>> rfad(train, ipc=1, steps=2, options=few).card.labels
        'centered'
    """
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    return learn_rfad(data, ipc, budget_bytes, steps, options, settings)


def learn_rfad(
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    steps: int,
    options: RFADOptions,
    run: RunSettings,
    records: Records | None = None,
    label_bytes: Callable[[int], int] | None = None,
) -> ImageSummary:
    """See `rfad`; with a start of the caller's.

    Args:
        data, ipc, budget_bytes, steps, options, run: see `rfad`.
        records, label_bytes: see `multidd.images.methods.setup.prepare`.
    """
    options = replace(options, lr_labels=_lr_labels(options))
    # Without norms PyTorch's own start shrinks features from layer to layer.
    start = {"init": "gaussian", "bias": 0.1} if options.model == "cnn" else {}
    backbone = backbone_of(options, **start)
    features = Features(Fresh(options.num_models), scale=2.0, offset=0.01)
    objective: Objective = KernelRidge(features, options.loss, options.ridge)
    if options.beside:
        data = as_images(data)
        further = [BESIDE[name](math.prod(data.shape)) for name in options.beside]
        objective = Mix((Part(objective), *further))
    rates = {"x": Adam(lr=options.lr, cosine=steps)}
    for name in learned_tensors(objective):
        rates[f"objective.{name}"] = Adam(lr=options.lr_temperature)
    return learn(
        "rfad",
        data,
        ipc,
        budget_bytes,
        options,
        objective,
        steps=steps,
        optimizer=rates,
        run=run,
        recipe={
            "lr": options.lr,
            "lr_temperature": options.lr_temperature,
            "networks": options.num_models,
            "loss": options.loss,
            "kernel": {"kind": "random", "ridge": options.ridge, "models": 8}
            | _network(backbone),
        }
        | _later_settings(options),
        backbone=backbone,
        center=options.label_space == "real",
        records=records,
        label_bytes=label_bytes,
    )


@dataclass(frozen=True, kw_only=True)
class FRePoOptions(ImageOptions):
    """Settings of `multidd.images.frepo`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space, and on their labels; it
            falls to zero along a cosine.
        pool_size: networks in the pool.
        ridge: relative to the mean of the kernel's diagonal.

    Example:
        >>> FRePoOptions(width=8).width
        8
    """

    lr: float = 0.05
    pool_size: int = 10
    ridge: float = 1e-6
    labels: Policy = "onehot"
    lr_labels: float | None = None
    sampler: Sampler = "uniform"
    batch_size: int | None = 512
    width: int | tuple[int, ...] | None = (32, 64, 128)
    norm: str = "batch"


@PRESETS
def frepo(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: FRePoOptions = FRePoOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by regression on the features of a pool of networks (FRePO).

    Kernel ridge regression with $K = \phi\phi^\top$ on the last hidden layer of a
    network, with a regularizer that keeps labels apart. The network is one of a pool
    of all ages, each trained on the synthetic images by a step per use.

    Differs from the paper: Adam along a cosine instead of LAMB, networks 32-64-128 wide
    instead of 128-256-512, 512 real images at a step instead of 1,024, a few hundred
    steps instead of 500,000. Under `preset="paper"`: Adam along a cosine instead of
    LAMB.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.kip`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhou, Nezhadarya, Ba, "Dataset Distillation using Neural Feature Regression",
        NeurIPS 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = FRePoOptions(width=8, batch_size=50, pool_size=2)
        >>> frepo(train, ipc=1, steps=2, options=few).card.labels
        'centered'
    """
    options = replace(options, lr_labels=_lr_labels(options))
    backbone = backbone_of(options)
    states = Pool(options.pool_size, on="synthetic", optimizer=Adam(lr=3e-4))
    return learn(
        "frepo",
        data,
        ipc,
        budget_bytes,
        options,
        KernelRidge(Features(states), "mse", options.ridge, margin=True),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, cosine=steps)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "pool": options.pool_size,
            "kernel": {"kind": "trained", "ridge": options.ridge} | _network(backbone),
        },
        backbone=backbone,
        loss="mse",
        center=True,
    )


def _later_settings(options: RFADOptions) -> dict[str, Any]:
    """Settings that came later, where they are not the defaults: checkpoints of before,
    which do not name them, go on."""
    default = RFADOptions()
    names = ("beside", "label_space")
    values = {name: getattr(options, name) for name in names}
    changed = {n: v for n, v in values.items() if v != getattr(default, n)}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in changed.items()}


def _lr_labels(options: KIPOptions | RFADOptions | FRePoOptions) -> float:
    """That of the images unless given."""
    return options.lr if options.lr_labels is None else options.lr_labels


def _network(backbone: Any) -> dict[str, Any]:
    """What a kernel predictor has to know of the networks."""
    module = {"module": True} if isinstance(backbone, ModuleBackbone) else {}
    return module | {
        "model": backbone.name,
        "width": backbone.width,
        "depth": backbone.depth,
        "norm": backbone.norm,
        "init": backbone.init,
        "bias": backbone.bias,
    }
