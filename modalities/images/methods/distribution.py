"""Distribution matching: DM, M3D, CAFE, IDM, IID and NCFM."""

from typing import Any, Unpack

from multidd.data.splitting import check_count
from multidd.engine.recipe import split_options
from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Online, Pool
from multidd.objectives import DistributionMatching
from multidd.objectives.terms import (
    MMD,
    Centralization,
    Characteristic,
    Covariance,
    CrossEntropy,
    Discrimination,
    Means,
)


def dm(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 1.0,
    momentum: float = 0.5,
    reuse: int = 1,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by distribution matching (DM): the fast default on a CPU.

    $\sum_c \lVert \mu^S_c - \mu^T_c \rVert^2$ of the last hidden layer of a fresh
    random network at every step, both sides under the same augmentation.

    Where it departs from the paper: networks 32 wide instead of 128, 128 real images
    of a class instead of 256, 300 steps instead of 20,000; each class has its own
    parameters of one operation per step.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: step size of the images times their number per class, in their
            normalized space.
        momentum: of the images.
        reuse: steps for which one random network serves.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> dm(train, ipc=1, steps=2, width=4, batch_size=8).num_images
        10
    """
    settings, run = split_options(Settings(augment=DSA), options, seed)
    return learn(
        "dm",
        train,
        ipc,
        settings,
        DistributionMatching((Means(),), Online(steps=0, matches_per_net=reuse)),
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        run=run,
        recipe={"lr": lr, "momentum": momentum, "reuse": reuse},
    )


def m3d(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 10.0,
    momentum: float = 0.5,
    bandwidth: float = 1.0,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by matching all moments of their embeddings (M3D).

    $\sum_c \mathrm{MMD}^2(S_c, T_c)$ with a Gaussian kernel on the last hidden layer.

    Where it departs from the paper, whose code is not public: the squared kernel width
    is `bandwidth` times the mean squared distance of a class's real embeddings; the
    networks are random, as in DM.

    Args:
        train, ipc, steps, lr, momentum, seed, **options: see `multidd.images.dm`.
        bandwidth: factor on the squared width of the kernel.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhang et al., "M3D: Dataset Condensation by Minimizing Maximum Mean
        Discrepancy", AAAI 2024.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> m3d(train, ipc=1, steps=2, width=4, batch_size=8, factor=1).num_images
        10
    """
    settings, run = split_options(Settings(augment=DSA, factor=2), options, seed)
    return learn(
        "m3d",
        train,
        ipc,
        settings,
        DistributionMatching((MMD(bandwidth=bandwidth),)),
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        run=run,
        recipe={"lr": lr, "momentum": momentum, "bandwidth": bandwidth},
    )


def cafe(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 1.0,
    momentum: float = 0.5,
    matches: int = 10,
    inner: int = 5,
    discrimination: float = 0.01,
    layers: tuple[float, ...] = (1.0, 1.0, 0.1, 0.1),
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by aligning the features of every layer (CAFE).

    $\sum_l a_l \sum_c \lVert \mu^S_{cl} - \mu^T_{cl} \rVert^2$, and a discrimination
    loss: real images are classified by their product with the synthetic class means.

    Where it departs from the paper: the network trains on the synthetic images for
    `inner` steps after each match and starts afresh after `matches`, without the
    thresholds that break the paper's loops off; networks are 32 wide.

    Args:
        train, ipc, steps, lr, momentum, seed, **options: see `multidd.images.dm`.
        matches: updates with one network.
        inner: training steps of the network between two matches.
        discrimination: weight of the discrimination loss.
        layers: weight $a_l$ of each layer, from the logits backwards.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", CVPR
        2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> cafe(train, ipc=1, steps=2, width=4, batch_size=8).num_images
        10
    """
    sgd = SGD(lr=0.01, momentum=0.5, weight_decay=5e-4)
    terms = (Means(tuple(layers)), Discrimination(discrimination))
    settings, run = split_options(Settings(augment=DSA), options, seed)
    return learn(
        "cafe",
        train,
        ipc,
        settings,
        DistributionMatching(terms, Online("synthetic", 1, inner, matches, sgd)),
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        run=run,
        recipe={
            "lr": lr,
            "momentum": momentum,
            "matches": matches,
            "inner": inner,
            "discrimination": discrimination,
            "layers": layers,
        },
    )


def idm(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 1.0,
    momentum: float = 0.5,
    pool: int = 10,
    cross_entropy: float = 0.5,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by improved distribution matching (IDM).

    DM with a queue of networks trained on the real images, the cross-entropy of the
    synthetic ones under them (weighted by their accuracy), and images stored as tiles.

    Where it departs from the paper: a pool of `pool` networks instead of up to 100,
    embeddings not averaged over places, networks 32 wide.

    Args:
        train, ipc, steps, lr, momentum, seed, **options: see `multidd.images.dm`.
        pool: networks in the pool.
        cross_entropy: weight of the cross-entropy.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Li, Qin, Yu, "Improved Distribution Matching for Dataset Condensation",
        CVPR 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> idm(train, ipc=1, steps=1, width=4, batch_size=8, pool=2).num_images
        40
    """
    terms = (Means(), CrossEntropy(weight=cross_entropy))
    settings, run = split_options(Settings(augment=DSA, factor=2), options, seed)
    return learn(
        "idm",
        train,
        ipc,
        settings,
        DistributionMatching(terms, _real_pool(pool)),
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        run=run,
        recipe={
            "lr": lr,
            "momentum": momentum,
            "pool": pool,
            "cross_entropy": cross_entropy,
        },
    )


def iid(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 1.0,
    momentum: float = 0.5,
    pool: int = 10,
    covariance: float = 0.01,
    centralization: float = 0.05,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by relations between samples and between features (IID).

    IDM's matching of means, the covariance of local features (channels over places)
    of each class, and a term that holds the synthetic images of a class together.

    Where it departs from the paper: see `multidd.images.idm`.

    Args:
        train, ipc, steps, lr, momentum, seed, **options: see `multidd.images.dm`.
        pool: networks in the pool.
        covariance: weight of the covariance term.
        centralization: weight of the class centralization.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Deng et al., "Exploiting Inter-sample and Inter-feature Relations in Dataset
        Distillation", CVPR 2024.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> iid(train, ipc=1, steps=1, width=4, batch_size=8, pool=2).num_images
        40
    """
    defaults = Settings(augment=DSA, factor=2)
    settings, run = split_options(defaults, options, seed)
    width = settings.width
    width = width[-1] if isinstance(width, tuple) else width
    local = width if settings.model == "convnet" else None
    terms = (
        Means(),
        CrossEntropy(),
        Covariance(local, covariance),
        Centralization(weight=centralization),
    )
    return learn(
        "iid",
        train,
        ipc,
        settings,
        DistributionMatching(terms, _real_pool(pool)),
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        run=run,
        recipe={
            "lr": lr,
            "momentum": momentum,
            "pool": pool,
            "covariance": covariance,
            "centralization": centralization,
        },
    )


def ncfm(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 0.01,
    pool: int = 10,
    frequencies: int = 1024,
    cross_entropy: float = 0.5,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by the characteristic function of their embeddings (NCFM).

    See `multidd.objectives.terms.Characteristic` for the distance.

    Where it departs from the paper: frequencies are Gaussian and fixed (as in the
    released configurations, not the text), one network of a pool at a time instead of
    a mixture of two, 32 wide, and cross-entropy under it instead of a calibrating
    network.

    Args:
        train, ipc, steps, seed, **options: see `multidd.images.dm`.
        lr: of Adam on the images, in their normalized space.
        pool: networks in the pool.
        frequencies: at which the functions are compared.
        cross_entropy: weight of the cross-entropy.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Wang et al., "Dataset Distillation with Neural Characteristic Function: A
        Minmax Perspective", CVPR 2025.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = {"width": 4, "batch_size": 8, "pool": 2, "frequencies": 16}
        >>> ncfm(train, ipc=1, steps=1, **few).num_images
        40
    """
    terms = (Characteristic(frequencies), CrossEntropy(weight=cross_entropy))
    settings, run = split_options(Settings(augment=DSA, factor=2), options, seed)
    return learn(
        "ncfm",
        train,
        ipc,
        settings,
        DistributionMatching(terms, _real_pool(pool)),
        steps=steps,
        optimizer={"x": Adam(lr=lr)},
        run=run,
        recipe={
            "lr": lr,
            "pool": pool,
            "frequencies": frequencies,
            "cross_entropy": cross_entropy,
        },
    )


def _real_pool(size: int) -> Pool:
    """Networks trained on real images: ten steps at the start, one after each use."""
    check_count("pool", size)
    return Pool(size, 1, "real", 1, 50, 10, Adam(lr=1e-3), batch_size=128)
