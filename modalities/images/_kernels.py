"""KIP, RFAD and FRePO: the learner on the synthetic images in closed form."""

from dataclasses import replace
from typing import Any, Literal, Unpack

from multidd.images.settings import Options, Settings, backbone_of
from multidd.images.setup import learn
from multidd.images.summary import ImageSummary
from multidd.learning.grams import Features, Infinite
from multidd.learning.optim import Adam
from multidd.learning.pool import Pool
from multidd.learning.states import Fresh
from multidd.objectives import KernelRidge


def kip(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 500,
    lr: float = 0.04,
    lr_labels: float = 0.01,
    depth: int = 1,
    architecture: Literal["fc", "conv", "conv_gap"] = "fc",
    kind: Literal["ntk", "nngp"] = "ntk",
    ridge: float = 1e-6,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images for an infinitely wide network (KIP).

    $\lVert Y_T - K_{TS} (K_{SS} + \lambda \tfrac{\mathrm{tr} K_{SS}}{m} I)^{-1} Y_S
    \rVert^2$ with a closed-form neural tangent kernel.

    What it is for: a result in seconds, for the kernel's own predictor (model
    `"kernel"` of `multidd.evaluate`). The images are adversarial to convolutional
    networks: for those take `dm`, `rfad` or `frepo`.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the images, in their normalized space.
        lr_labels: of Adam on the labels, where they are learned.
        depth: hidden layers.
        architecture: fully connected, convolutional, or with global average pooling.
        kind: neural tangent kernel, or Gaussian process.
        ridge: relative to the mean of the kernel's diagonal.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

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
        >>> kip(train, ipc=1, steps=2, batch_size=200).card.labels
        'centered'
    """
    kernel = Infinite(depth, architecture, kind)
    size = 5000 if architecture == "fc" else 200
    defaults = Settings(labels="onehot", sampler="uniform", batch_size=size)
    return learn(
        "kip",
        train,
        ipc,
        defaults,
        options,
        KernelRidge(kernel, "mse", ridge),
        steps=steps,
        optimizer=_rates(defaults, options, lr, lr_labels),
        seed=seed,
        recipe={
            "lr": lr,
            "lr_labels": lr_labels,
            "kernel": {
                "kind": "infinite",
                "architecture": architecture,
                "depth": depth,
                "type": kind,
                "ridge": ridge,
            },
        },
        center=True,
    )


def rfad(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 0.02,
    lr_labels: float = 0.02,
    lr_temperature: float = 0.01,
    networks: int = 1,
    ridge: float = 5e-3,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by random features of convolutional networks (RFAD).

    Kernel ridge regression with $K = 2 \Phi \Phi^\top / D + 0.01$ on the features of
    fresh random ConvNets, an estimate of the kernel of an infinitely wide one, judged
    by cross-entropy of $\tau$ times the prediction with a learned $\tau$.

    Where it departs from the paper: Adam instead of AdaBelief, fewer and narrower
    networks, no learned linear map of the images.

    Args:
        train, ipc, steps, lr, lr_labels, seed, **options: see `multidd.images.kip`.
        lr_temperature: of Adam on the logarithm of $\tau$.
        networks: random networks at a step.
        ridge: relative to the mean of the kernel's diagonal.

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
        >>> rfad(train, ipc=1, steps=2, width=8, batch_size=50).card.labels
        'centered'
    """
    defaults = Settings(
        labels="onehot", sampler="uniform", batch_size=512, width=64, norm="none"
    )
    backbone = backbone_of(defaults, options, init="gaussian", bias=0.1)
    features = Features(Fresh(networks), scale=2.0, offset=0.01)
    rates = _rates(defaults, options, lr, lr_labels)
    rates["objective.log_temperature"] = Adam(lr=lr_temperature)
    return learn(
        "rfad",
        train,
        ipc,
        defaults,
        options,
        KernelRidge(features, "cross_entropy", ridge),
        steps=steps,
        optimizer=rates,
        seed=seed,
        recipe={
            "lr": lr,
            "lr_labels": lr_labels,
            "lr_temperature": lr_temperature,
            "networks": networks,
            "kernel": {"kind": "random", "ridge": ridge} | _network(backbone),
        },
        backbone=backbone,
        center=True,
    )


def frepo(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 0.02,
    lr_labels: float = 0.02,
    pool: int = 10,
    ridge: float = 1e-6,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by regression on the features of a pool of networks (FRePO).

    Kernel ridge regression with $K = \phi\phi^\top$ on the last hidden layer of a
    network, with a regularizer that keeps labels apart. The network is one of a pool
    of all ages, each trained on the synthetic images by a step per use.

    Where it departs from the paper: Adam instead of LAMB, networks 32-64-128 wide
    instead of 128-256-512, 512 real images at a step instead of 1,024, a few hundred
    steps instead of 500,000.

    Args:
        train, ipc, steps, lr, lr_labels, seed, **options: see `multidd.images.kip`.
        pool: networks in the pool.
        ridge: relative to the mean of the kernel's diagonal.

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
        >>> frepo(train, ipc=1, steps=2, width=8, batch_size=50, pool=2).card.labels
        'centered'
    """
    defaults = Settings(
        labels="onehot",
        sampler="uniform",
        batch_size=512,
        width=(32, 64, 128),
        norm="batch",
    )
    backbone = backbone_of(defaults, options)
    states = Pool(pool, on="synthetic", optimizer=Adam(lr=3e-4))
    return learn(
        "frepo",
        train,
        ipc,
        defaults,
        options,
        KernelRidge(Features(states), "mse", ridge, margin=True),
        steps=steps,
        optimizer=_rates(defaults, options, lr, lr_labels),
        seed=seed,
        recipe={
            "lr": lr,
            "lr_labels": lr_labels,
            "pool": pool,
            "kernel": {"kind": "trained", "ridge": ridge} | _network(backbone),
        },
        backbone=backbone,
        loss="mse",
        center=True,
    )


def _rates(
    defaults: Settings, options: Options, lr: float, lr_labels: float
) -> dict[str, Adam]:
    """Adam on images and, where they are learned, on labels."""
    policy = replace(defaults, labels=options.get("labels", defaults.labels)).labels
    learned = policy in ("onehot", "teacher")
    return {"x": Adam(lr=lr)} | ({"y_soft": Adam(lr=lr_labels)} if learned else {})


def _network(backbone: Any) -> dict[str, Any]:
    """What a kernel predictor has to know of the networks."""
    return {
        "model": backbone.name,
        "width": backbone.width,
        "depth": backbone.depth,
        "norm": backbone.norm,
        "init": backbone.init,
        "bias": backbone.bias,
    }
