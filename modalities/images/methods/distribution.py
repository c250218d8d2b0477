"""Distribution matching: DM, M3D, CAFE, IDM, IID and NCFM."""

from dataclasses import dataclass
from typing import Any

from multidd.engine.options import RunOptions, RunSettings
from multidd.images.methods.options import DSA, ImageOptions, SGDOptions
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Online, Pool
from multidd.objectives import DistributionMatching, terms
from multidd.storage.atomic import PathLike


@dataclass(frozen=True, kw_only=True)
class DMOptions(SGDOptions):
    """Settings of `multidd.images.dm`, beside those of `SGDOptions`.

    Attributes:
        matches_per_net: steps for which one random network serves.

    Example:
        >>> DMOptions(width=8).width
        8
    """

    matches_per_net: int = 1


@PRESETS
def dm(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: DMOptions = DMOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill a few images per class by distribution matching (DM): the CPU default.

    $\sum_c \lVert \mu^S_c - \mu^T_c \rVert^2$ of the last hidden layer of a fresh
    random network at every step, both sides under the same augmentation.

    With 50 images per class it was measured below random images (83.7 and 84.5 % on
    Fashion-MNIST): it is for one to ten.

    Differs from the paper: networks 32 wide instead of 128, 128 real images of a class
    instead of 256, 300 steps instead of 20,000. Under `preset="paper"`: one operation
    of the augmentation serves all classes of a step.

    Args:
        data: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class; or
        budget_bytes: bytes in all, labels counted. Give exactly one of the two.
        steps: updates.
        options: its other settings.
        preset: `"paper"` takes the settings of the paper, which `multidd.images.preset`
            tells; what is named beats them one by one, `options` all of the options.
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
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = DMOptions(width=4, batch_size=8)
        >>> dm(train, ipc=1, steps=2, options=few).num_images
        10
    """
    states = Online(steps=0, matches_per_net=options.matches_per_net)
    return learn(
        "dm",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching((terms.Means(),), states),
        steps=steps,
        optimizer={"x": SGD(lr=options.lr, momentum=options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=options.method_settings(matches_per_net="reuse"),
    )


@dataclass(frozen=True, kw_only=True)
class M3DOptions(SGDOptions):
    """Settings of `multidd.images.m3d`, beside those of `SGDOptions`.

    Attributes:
        bandwidth: factor on the squared width of the kernel.

    Example:
        >>> M3DOptions(width=8).width
        8
    """

    lr: float = 10.0
    bandwidth: float = 1.0
    factor: int = 2


@PRESETS
def m3d(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: M3DOptions = M3DOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by matching all moments of their embeddings (M3D).

    $\sum_c \mathrm{MMD}^2(S_c, T_c)$ with a Gaussian kernel on the last hidden layer.

    Differs from the paper: its code is not public; four images are stored as the tiles
    of one (`factor=1` goes without); the squared kernel width is `bandwidth` times the
    mean squared distance of a class's real embeddings. Under `preset="paper"`: the rate
    is the default, and networks are random, as in DM.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dm`, whose errors these are too.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Zhang et al., "M3D: Dataset Condensation by Minimizing Maximum Mean
        Discrepancy", AAAI 2024.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = M3DOptions(width=4, batch_size=8, factor=1)
        >>> m3d(train, ipc=1, steps=2, options=few).num_images
        10
    """
    return learn(
        "m3d",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching((terms.MMD(bandwidth=options.bandwidth),)),
        steps=steps,
        optimizer={"x": SGD(lr=options.lr, momentum=options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=options.method_settings(),
    )


@dataclass(frozen=True, kw_only=True)
class CAFEOptions(SGDOptions):
    """Settings of `multidd.images.cafe`, beside those of `SGDOptions`.

    Attributes:
        matches_per_net: updates with one network.
        net_steps: training steps of the network between two matches.
        discrimination: weight of the discrimination loss.
        layer_weights: weight $a_l$ of each layer, from the logits backwards.

    Example:
        >>> CAFEOptions(width=8).width
        8
    """

    matches_per_net: int = 10
    net_steps: int = 5
    discrimination: float = 0.01
    layer_weights: tuple[float, ...] = (1.0, 1.0, 0.1, 0.1)


@PRESETS
def cafe(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: CAFEOptions = CAFEOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by aligning the features of every layer (CAFE).

    $\sum_l a_l \sum_c \lVert \mu^S_{cl} - \mu^T_{cl} \rVert^2$, and a discrimination
    loss: real images are classified by their product with the synthetic class means.

    Differs from the paper: both sides go through DSA's augmentation, networks are 32
    wide. Under `preset="paper"`: the network trains on the synthetic images for
    `net_steps` after each match and starts afresh after `matches_per_net`, without the
    thresholds that break the paper's loops off; the rate does not fall.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dm`, whose errors these are too.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Wang et al., "CAFE: Learning to Condense Dataset by Aligning Features", CVPR
        2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = CAFEOptions(width=4, batch_size=8)
        >>> cafe(train, ipc=1, steps=2, options=few).num_images
        10
    """
    sgd = SGD(lr=0.01, momentum=0.5, weight_decay=5e-4)
    states = Online("synthetic", 1, options.net_steps, options.matches_per_net, sgd)
    discrimination = terms.Discrimination(options.discrimination)
    parts = (terms.Means(tuple(options.layer_weights)), discrimination)
    return learn(
        "cafe",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching(parts, states),
        steps=steps,
        optimizer={"x": SGD(lr=options.lr, momentum=options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=options.method_settings(
            matches_per_net="matches", net_steps="inner", layer_weights="layers"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class IDMOptions(SGDOptions):
    """Settings of `multidd.images.idm`, beside those of `SGDOptions`.

    Attributes:
        pool_size: networks in the pool.
        cross_entropy: weight of the cross-entropy.

    Example:
        >>> IDMOptions(width=8).width
        8
    """

    pool_size: int = 10
    cross_entropy: float = 0.5
    factor: int = 2


@PRESETS
def idm(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: IDMOptions = IDMOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by improved distribution matching (IDM).

    DM with a queue of networks trained on the real images, the cross-entropy of the
    synthetic ones under them (weighted by their accuracy), and images stored as tiles.

    Differs from the paper: a pool of `pool_size` networks instead of up to 100, 32
    wide. Under `preset="paper"`: embeddings are not averaged over places.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dm`, whose errors these are too.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Zhao, Li, Qin, Yu, "Improved Distribution Matching for Dataset Condensation",
        CVPR 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = IDMOptions(width=4, batch_size=8, pool_size=2)
        >>> idm(train, ipc=1, steps=1, options=few).num_images
        40
    """
    parts = (terms.Means(), terms.CrossEntropy(weight=options.cross_entropy))
    return learn(
        "idm",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching(parts, _real_pool(options.pool_size)),
        steps=steps,
        optimizer={"x": SGD(lr=options.lr, momentum=options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=options.method_settings(pool_size="pool"),
    )


@dataclass(frozen=True, kw_only=True)
class IIDOptions(SGDOptions):
    """Settings of `multidd.images.iid`, beside those of `SGDOptions`.

    Attributes:
        pool_size: networks in the pool.
        covariance: weight of the covariance term.
        centralization: weight of the class centralization.

    Example:
        >>> IIDOptions(width=8).width
        8
    """

    pool_size: int = 10
    covariance: float = 0.01
    centralization: float = 0.05
    factor: int = 2


@PRESETS
def iid(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: IIDOptions = IIDOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by relations of features (IID); below random in a plain CNN.

    IDM's matching of means, the covariance of local features (channels over places)
    of each class, and a term that holds the synthetic images of a class together.

    Differs from the paper: see `multidd.images.idm`, under `preset="paper"` too.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dm`, whose errors these are too.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Deng et al., "Exploiting Inter-sample and Inter-feature Relations in Dataset
        Distillation", CVPR 2024.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = IIDOptions(width=4, batch_size=8, pool_size=2)
        >>> iid(train, ipc=1, steps=1, options=few).num_images
        40
    """
    width = options.width[-1] if isinstance(options.width, tuple) else options.width
    local = width if options.model == "convnet" else None
    parts = (
        terms.Means(),
        terms.CrossEntropy(),
        terms.Covariance(local, options.covariance),
        terms.Centralization(weight=options.centralization),
    )
    return learn(
        "iid",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching(parts, _real_pool(options.pool_size)),
        steps=steps,
        optimizer={"x": SGD(lr=options.lr, momentum=options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=options.method_settings(pool_size="pool"),
    )


@dataclass(frozen=True, kw_only=True)
class NCFMOptions(ImageOptions):
    """Settings of `multidd.images.ncfm`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space.
        pool_size: networks in the pool.
        frequencies: at which the functions are compared.
        cross_entropy: weight of the cross-entropy.

    Example:
        >>> NCFMOptions(width=8).width
        8
    """

    lr: float = 0.01
    pool_size: int = 10
    frequencies: int = 1024
    cross_entropy: float = 0.5
    augment: str = DSA
    factor: int = 2


@PRESETS
def ncfm(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: NCFMOptions = NCFMOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by the characteristic function of their embeddings (NCFM).

    See `multidd.objectives.terms.Characteristic` for the distance.

    Differs from the paper: a pool of networks 32 wide, fewer frequencies and steps.
    Under `preset="paper"`: nothing is maximized: frequencies are Gaussian and fixed (as
    in the released configurations, not the text); one network of the pool at a time
    instead of a mixture of two, and its cross-entropy instead of a calibrating
    network's.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.dm`, whose errors these are too.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Wang et al., "Dataset Distillation with Neural Characteristic Function: A
        Minmax Perspective", CVPR 2025.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = NCFMOptions(width=4, batch_size=8, pool_size=2, frequencies=16)
        >>> ncfm(train, ipc=1, steps=1, options=few).num_images
        40
    """
    cross_entropy = terms.CrossEntropy(weight=options.cross_entropy)
    parts = (terms.Characteristic(options.frequencies), cross_entropy)
    return learn(
        "ncfm",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching(parts, _real_pool(options.pool_size)),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe=options.method_settings(pool_size="pool"),
    )


def _real_pool(size: int) -> Pool:
    """Networks trained on real images: ten steps at the start, one after each use."""
    return Pool(size, 1, "real", 1, 50, 10, Adam(lr=1e-3), batch_size=128)
