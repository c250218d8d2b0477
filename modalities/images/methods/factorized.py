"""Sets stored as codes and what decodes them: KFS, GTN, LinBa and HaBa."""

from typing import Any, Unpack

from multidd.engine.recipe import Trajectories, split_options
from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import learn
from multidd.images.methods.trajectory import EXPERTS, follow
from multidd.images.methods.unroll import Whole, unrolled
from multidd.images.summary.summary import ImageSummary
from multidd.learning.experts import Experts
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Fresh
from multidd.learning.unroll import Backprop, InnerLoop
from multidd.objectives import Contrast, DistributionMatching, Unroll
from multidd.objectives.mix import Part
from multidd.parameterizations import Bases, Conditional, Hallucinators, SharedDecoder
from multidd.parameterizations.decoder_nets import DecoderFit, DecoderNet


def kfs(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.02,
    lr_decoders: float = 0.005,
    decoders: int = 2,
    channels: int = 4,
    hidden: int = 8,
    shrink: int = 4,
    fit: int = 200,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill latent codes and small decoders that all classes share (KFS).

    $x_{ij} = D_j(z_i)$, matched by distribution as in `multidd.images.dm`. The bytes of
    `ipc` images per class hold decoders, codes and labels; every code becomes as many
    images as there are decoders.

    Where it departs from the paper: decoders of a few convolutions, codes and decoders
    are fitted to real images first, networks 32 wide, 64 real images of a class, a few
    hundred steps.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class whose bytes are taken, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the codes.
        lr_decoders: of Adam on the decoders.
        decoders: how many.
        channels: of a code.
        hidden: channels inside a decoder.
        shrink: how much smaller than an image a code is along each side: 2, 4, ...
        fit: steps of the fit to real images.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary` of codes and decoders.

    Raises:
        ValueError: bad images, or a budget too small for the decoders and a code of
            each class; says the smallest that fits.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Lee, Lee, Hwang, "Dataset Condensation with Latent Space Knowledge Factorization
        and Sharing", arXiv 2208.10494, 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> made = kfs(train, ipc=1, steps=1, width=4, batch_size=8, fit=2)
        >>> made.num_images, made.num_bytes <= 10 * (28 * 28 * 4 + 8)
        (60, True)
    """
    net = DecoderNet(channels, hidden, shrink)
    settings, run = split_options(Settings(augment=DSA, batch_size=64), options, seed)
    return learn(
        "kfs",
        train,
        ipc,
        settings,
        DistributionMatching(),
        steps=steps,
        optimizer={"codes": Adam(lr=lr), "decoders": Adam(lr=lr_decoders)},
        run=run,
        recipe={
            "lr": lr,
            "lr_decoders": lr_decoders,
            "decoders": decoders,
            "channels": channels,
            "hidden": hidden,
            "shrink": shrink,
            "fit": fit,
        },
        around=lambda base: SharedDecoder(base, decoders, net, DecoderFit(fit)),
    )


def gtn(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.01,
    noise: int = 16,
    channels: int = 4,
    hidden: int = 8,
    shrink: int = 4,
    images: int = 32,
    inner: int = 16,
    rows: int = 64,
    rate: float = 0.03,
    memory: Backprop = "checkpointed",
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill a generator of training images by unrolling learners on them (GTN).

    $L^T(\theta_N)$ of fresh networks after N steps on $G(z, y)$, with a fixed
    curriculum of noise z that is stored with G. Nothing starts from real images.

    Where it departs from the paper: the learner draws its rows from the curriculum at
    random; a generator of a few convolutions, networks 32 wide, SGD with momentum at a
    fixed rate, a few hundred updates.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class whose bytes may be taken, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the generator.
        noise: length of z.
        channels: of what the generator's first layer makes.
        hidden: channels inside.
        shrink: how much smaller than an image its first layer is along each side.
        images: of each class, at most; a budget may hold fewer.
        inner: N.
        rows: images at a step of the learner.
        rate: the learner's rate.
        memory: what is kept of the N steps; see `multidd.learning.unroll`.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary` of a generator and its curriculum.

    Raises:
        ValueError: bad images, or a budget too small for the generator and a code of
            each class; says the smallest that fits.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Such, Rawal, Lehman, Stanley, Clune, "Generative Teaching Networks: Accelerating
        Neural Architecture Search by Learning to Generate Synthetic Training Data",
        ICML 2020.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = {"images": 4, "inner": 2, "width": 4, "batch_size": 20}
        >>> gtn(train, ipc=1, steps=1, **few).num_images
        40
    """
    net = DecoderNet(channels, hidden, shrink)
    learner = InnerLoop(inner, SGD(lr=rate, momentum=0.9), rows, memory)
    defaults = Settings(augment=DSA, sampler="uniform", batch_size=256)
    settings, run = split_options(defaults, options, seed)
    return learn(
        "gtn",
        train,
        ipc,
        settings,
        Unroll(learner),
        steps=steps,
        optimizer={"generator": Adam(lr=lr, cosine=steps)},
        run=run,
        recipe={
            "lr": lr,
            "noise": noise,
            "channels": channels,
            "hidden": hidden,
            "shrink": shrink,
            "images": images,
            "inner": inner,
            "rows": rows,
            "rate": rate,
            "memory": memory,
        },
        around=lambda base: Conditional(base, noise, net, max_per_class=images),
    )


def linba(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 100,
    lr: float = 0.05,
    bases: int = 16,
    smaller: int = 2,
    decay: float = 1e-4,
    inner_steps: int = 30,
    rows: int | None = 50,
    lr_inner: float = 0.02,
    momentum: float = 0.9,
    models: int = 1,
    memory: Whole = "stored",
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images into bases and the codes that read them (LinBa).

    $L^T(\theta_N)$ of fresh networks after N steps of gradient descent with momentum on
    the images that codes make of bases shared by all classes. States are stored and
    the steps run again for the gradient, so that N may be large.

    Where it departs from the paper: 30 steps on 50 of the images each instead of 150,
    networks 16 wide, Adam on bases and codes, bases that start from the leading
    singular vectors of real images, a hundred steps.

    Args:
        train, ipc, steps, models, memory, seed, **options: see `multidd.images.dd`; the
            bytes of `ipc` images go to bases and codes.
        lr: of Adam on bases and codes; it falls to zero along a cosine.
        bases: how many.
        smaller: how much smaller than an image a basis is along each side.
        decay: L2 penalty of the codes.
        inner_steps: N.
        rows: images at a step of the network; None takes all.
        lr_inner, momentum: of the network.

    Returns:
        An `ImageSummary` that stores codes and bases.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Deng, Russakovsky, "Remember the Past: Distilling Datasets into Addressable
        Memories for Neural Networks", NeurIPS 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> small = {"inner_steps": 2, "rows": 10, "width": 4, "batch_size": 50}
        >>> linba(train, ipc=1, steps=2, **small).num_images
        260
    """
    inner = InnerLoop(inner_steps, SGD(lr=lr_inner, momentum=momentum), rows, memory)
    settings, run = split_options(unrolled(), options, seed)
    return learn(
        "linba",
        train,
        ipc,
        settings,
        Unroll(inner, Fresh(models)),
        steps=steps,
        optimizer={
            "codes": Adam(lr=lr, cosine=steps, weight_decay=decay),
            "bases": Adam(lr=lr, cosine=steps),
        },
        run=run,
        recipe={
            "lr": lr,
            "bases": bases,
            "smaller": smaller,
            "decay": decay,
            "inner_steps": inner_steps,
            "rows": rows,
            "lr_inner": lr_inner,
            "momentum": momentum,
            "models": models,
            "memory": memory,
        },
        around=lambda form: Bases(form, bases, smaller),
    )


def haba(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 100,
    lr: float = 0.03,
    lr_hallucinators: float = 0.01,
    hallucinators: int = 5,
    hidden: int = 3,
    shrink: int = 4,
    contrast: float = 0.1,
    experts: Experts = EXPERTS,
    start: tuple[int, int] = (0, 3),
    epochs: int = 2,
    inner: int = 10,
    rate: float = 0.03,
    lr_rate: float = 0.01,
    rows: int | None = 128,
    memory: Backprop = "checkpointed",
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill bases and hallucinators by matching trajectories (HaBa).

    $x_{ij} = H_j(b_i)$: every base becomes as many images as there are hallucinators,
    matched as in `multidd.images.mtt`, with a term that keeps the images of a base
    apart (`multidd.objectives.Contrast`).

    Where it departs from the paper: see `multidd.parameterizations.Hallucinators`,
    `multidd.objectives.Contrast` and `multidd.images.mtt`.

    Args:
        train, experts, start, epochs, inner, rate, lr_rate, memory: see
            `multidd.images.mtt`.
        ipc: images per class whose bytes are taken, or give `budget_bytes=`; bases are
            as large as images, so one per class leaves nothing for hallucinators.
        steps: updates.
        lr: of Adam on the bases.
        lr_hallucinators: of Adam on the hallucinators.
        hallucinators: how many.
        hidden: channels inside one.
        shrink: how much smaller than an image its style is along each side.
        contrast: factor on the term that keeps images apart.
        rows: images at a step of the learner; None takes all.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary` of bases and hallucinators.

    Raises:
        ValueError: bad images, or a budget too small for the hallucinators and a base
            of each class; says the smallest that fits.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Liu, Wang, Yang, Ye, Wang, "Dataset Distillation via Factorization", NeurIPS
        2022.

    Example:
        >>> import multidd
        >>> from multidd.learning.trainer import Trainer
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"experts": few, "start": (0, 0), "epochs": 1, "inner": 2}
        >>> haba(train, ipc=2, steps=1, width=4, batch_size=8, **one).num_images
        50
    """
    defaults = Settings(augment=DSA, sampler="uniform", batch_size=128)
    settings, run = split_options(defaults, options, seed)
    apart = Part(Contrast(hallucinators), contrast)
    return follow(
        "haba",
        train,
        ipc,
        settings,
        Trajectories(experts, start, epochs, inner, rate, lr_rate, memory, rows),
        steps=steps,
        optimizer={"bases": Adam(lr=lr), "hallucinators": Adam(lr=lr_hallucinators)},
        run=run,
        beside=(apart,),
        recipe={
            "lr": lr,
            "lr_hallucinators": lr_hallucinators,
            "hallucinators": hallucinators,
            "hidden": hidden,
            "shrink": shrink,
            "contrast": contrast,
        },
        around=lambda base: Hallucinators(base, hallucinators, hidden, shrink),
    )
