"""DM and M3D: embeddings of the synthetic images match those of the real ones."""

from typing import Any, Unpack

from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD
from multidd.learning.states import Online
from multidd.objectives import DistributionMatching
from multidd.objectives.statistics import MMD, Means


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
    return learn(
        "dm",
        train,
        ipc,
        Settings(augment=DSA),
        options,
        DistributionMatching((Means(),), Online(steps=0, restart=reuse)),
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        seed=seed,
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
    return learn(
        "m3d",
        train,
        ipc,
        Settings(augment=DSA, factor=2),
        options,
        DistributionMatching((MMD(width=bandwidth),)),
        steps=steps,
        optimizer={"x": SGD(lr=lr, momentum=momentum)},
        seed=seed,
        recipe={"lr": lr, "momentum": momentum, "bandwidth": bandwidth},
    )
