"""Kernel ridge regression: KIP, RFAD and FRePO."""

from typing import Any, Literal, Unpack

from multidd.data.splitting import check_count
from multidd.engine.recipe import split_options
from multidd.images.methods.options import DSA, Options, Settings, backbone_of
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.kernel_sources import Features, Infinite
from multidd.learning.optim import Adam
from multidd.learning.states import Fresh, Pool
from multidd.objectives import KernelRidge


def kip(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 1000,
    lr: float = 0.04,
    architecture: Literal["fc", "conv", "conv_gap"] = "fc",
    kind: Literal["ntk", "nngp"] = "ntk",
    ridge: float = 1e-6,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images for an infinitely wide network (KIP).

    $\lVert Y_T - K_{TS} (K_{SS} + \lambda \tfrac{\mathrm{tr} K_{SS}}{m} I)^{-1} Y_S
    \rVert^2$ with a closed-form neural tangent kernel.

    Where it departs from the paper: 1,000 real images at a step instead of all or
    5,000, three hidden layers, the rate falls to zero along a cosine.

    What it is for: a result in seconds, for the kernel's own predictor (model
    `"kernel"` of `multidd.evaluate`). The images are adversarial to convolutional
    networks: for those take `dm`, `rfad` or `frepo`.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the images, in their normalized space, and on their labels; it
            falls to zero along a cosine.
        architecture: fully connected, convolutional, or with global average pooling.
        kind: neural tangent kernel, or Gaussian process.
        ridge: relative to the mean of the kernel's diagonal.
        seed: seed of the run.
        **options: see `multidd.images.Settings` (`depth` counts the hidden layers)
            and `multidd.distill`.

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
    size = 1000 if architecture == "fc" else 200
    defaults = Settings(
        labels="onehot", lr_labels=lr, sampler="uniform", batch_size=size, depth=3
    )
    settings, run = split_options(defaults, options, seed)
    depth = 3 if settings.depth is None else settings.depth
    kernel = Infinite(depth, architecture, kind)
    return learn(
        "kip",
        train,
        ipc,
        settings,
        KernelRidge(kernel, "mse", ridge),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        run=run,
        recipe={
            "lr": lr,
            "kernel": {
                "kind": "infinite",
                "architecture": architecture,
                "depth": kernel.depth,
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
    lr: float = 0.05,
    lr_temperature: float = 0.01,
    networks: int = 1,
    loss: Literal["cross_entropy", "mse"] = "mse",
    ridge: float = 5e-3,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by random features of convolutional networks (RFAD).

    Kernel ridge regression with $K = 2 \Phi \Phi^\top / D + 0.01$ on the features of
    fresh random ConvNets, an estimate of the kernel of an infinitely wide one, judged
    by the squared error; or by cross-entropy of $\tau$ times the prediction with a
    learned $\tau$, as in the paper.

    Where it departs from the paper: the squared error, under which networks trained on
    the images do better here; Adam along a cosine instead of AdaBelief; one network 64
    wide at a step, normalized and started as those that will be trained on the images
    (the paper's have no norm and Gaussian weights); both sides under one augmentation;
    no learned linear map of the images.

    Args:
        train, ipc, steps, lr, seed, **options: see `multidd.images.kip`.
        lr_temperature: of Adam on the logarithm of $\tau$.
        networks: random networks at a step.
        loss: `"mse"`, or `"cross_entropy"` with Platt scaling.
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
    check_count("networks", networks)
    defaults = Settings(
        labels="onehot",
        lr_labels=lr,
        sampler="uniform",
        batch_size=512,
        augment=DSA,
        width=64,
    )
    settings, run = split_options(defaults, options, seed)
    backbone = backbone_of(settings)
    features = Features(Fresh(networks), scale=2.0, offset=0.01)
    rates = {"x": Adam(lr=lr, cosine=steps)}
    if loss == "cross_entropy":
        rates["objective.log_temperature"] = Adam(lr=lr_temperature)
    return learn(
        "rfad",
        train,
        ipc,
        settings,
        KernelRidge(features, loss, ridge),
        steps=steps,
        optimizer=rates,
        run=run,
        recipe={
            "lr": lr,
            "lr_temperature": lr_temperature,
            "networks": networks,
            "loss": loss,
            "kernel": {"kind": "random", "ridge": ridge, "models": 8}
            | _network(backbone),
        },
        backbone=backbone,
        center=True,
    )


def frepo(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 0.05,
    pool: int = 10,
    ridge: float = 1e-6,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by regression on the features of a pool of networks (FRePO).

    Kernel ridge regression with $K = \phi\phi^\top$ on the last hidden layer of a
    network, with a regularizer that keeps labels apart. The network is one of a pool
    of all ages, each trained on the synthetic images by a step per use.

    Where it departs from the paper: Adam along a cosine instead of LAMB, networks
    32-64-128 wide instead of 128-256-512, 512 real images at a step instead of 1,024, a
    few hundred steps instead of 500,000.

    Args:
        train, ipc, steps, lr, seed, **options: see `multidd.images.kip`.
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
    check_count("pool", pool)
    defaults = Settings(
        labels="onehot",
        lr_labels=lr,
        sampler="uniform",
        batch_size=512,
        width=(32, 64, 128),
        norm="batch",
    )
    settings, run = split_options(defaults, options, seed)
    backbone = backbone_of(settings)
    states = Pool(pool, on="synthetic", optimizer=Adam(lr=3e-4))
    return learn(
        "frepo",
        train,
        ipc,
        settings,
        KernelRidge(Features(states), "mse", ridge, margin=True),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        run=run,
        recipe={
            "lr": lr,
            "pool": pool,
            "kernel": {"kind": "trained", "ridge": ridge} | _network(backbone),
        },
        backbone=backbone,
        loss="mse",
        center=True,
    )


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
