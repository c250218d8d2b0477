"""Sets stored as codes and what decodes them: KFS, GTN, LinBa and HaBa."""

from dataclasses import dataclass
from typing import Any

from multidd.engine.options import RunOptions, RunSettings
from multidd.images.methods.options import (
    DSA,
    ImageOptions,
    Sampler,
    image_optimizer,
)
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.setup import learn
from multidd.images.methods.trajectory import MTTOptions, follow
from multidd.images.methods.unroll import UnrollOptions, Whole
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Fresh
from multidd.learning.unroll import Backprop, InnerLoop
from multidd.objectives import Contrast, DistributionMatching, Unroll
from multidd.objectives.mix import Part
from multidd.parameterizations import Bases, Conditional, Hallucinators, SharedDecoder
from multidd.parameterizations.decoder_nets import DecoderFit, DecoderNet
from multidd.storage.atomic import PathLike


@dataclass(frozen=True, kw_only=True)
class KFSOptions(ImageOptions):
    """Settings of `multidd.images.kfs`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the codes.
        lr_decoders: of Adam on the decoders.
        decoders: how many.
        channels: of a code.
        hidden: channels inside a decoder.
        shrink: how much smaller than an image a code is along each side: 2, 4, ...
        fit_steps: steps of the fit to real images.

    Example:
        >>> KFSOptions(width=8).width
        8
    """

    lr: float = 0.02
    lr_decoders: float = 0.005
    decoders: int = 2
    channels: int = 4
    hidden: int = 8
    shrink: int = 4
    fit_steps: int = 200
    augment: str = DSA
    batch_size: int | None = 64


@PRESETS
def kfs(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: KFSOptions = KFSOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill latent codes and small decoders that all classes share (KFS).

    $x_{ij} = D_j(z_i)$, matched by distribution as in `multidd.images.dm`. The bytes of
    `ipc` images per class hold decoders, codes and labels; every code becomes as many
    images as there are decoders.

    Differs from the paper: decoders of a few convolutions, codes and decoders are
    fitted to real images first, networks 32 wide, 64 real images of a class, a few
    hundred steps. Under `preset="paper"`: the matching alone is the paper's; codes and
    decoders are smaller.

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
        >>> few = KFSOptions(width=4, batch_size=8, fit_steps=2)
        >>> summary = kfs(train, ipc=1, steps=1, options=few)
        >>> summary.num_images, summary.num_bytes <= 10 * (28 * 28 * 4 + 8)
        (60, True)
    """
    net = DecoderNet(options.channels, options.hidden, options.shrink)
    return learn(
        "kfs",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching(),
        steps=steps,
        optimizer={
            "codes": Adam(lr=options.lr),
            "decoders": Adam(lr=options.lr_decoders),
        },
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "lr_decoders": options.lr_decoders,
            "decoders": options.decoders,
            "channels": options.channels,
            "hidden": options.hidden,
            "shrink": options.shrink,
            "fit": options.fit_steps,
        },
        around=lambda base: SharedDecoder(
            base, options.decoders, net, DecoderFit(options.fit_steps)
        ),
    )


@dataclass(frozen=True, kw_only=True)
class GTNOptions(ImageOptions):
    """Settings of `multidd.images.gtn`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the generator and on the noise.
        noise_size: length of z.
        channels: of what the generator's first layer makes.
        hidden: channels inside.
        shrink: how much smaller than an image its first layer is along each side.
        max_per_class: images of each class, at most; a budget may hold fewer.
        learn_noise: learn the curriculum too; else it stays as it was drawn.
        syn_steps: N.
        batch_syn: images at a step of the learner.
        lr_net: the learner's rate.
        backprop: what is kept of the N steps; see `multidd.learning.unroll`.

    Example:
        >>> GTNOptions(width=8).width
        8
    """

    lr: float = 0.01
    noise_size: int = 16
    channels: int = 4
    hidden: int = 8
    shrink: int = 4
    max_per_class: int = 32
    learn_noise: bool = True
    syn_steps: int = 16
    batch_syn: int = 64
    lr_net: float = 0.03
    backprop: Backprop = "checkpointed"
    augment: str = DSA
    sampler: Sampler = "uniform"
    batch_size: int | None = 256


@PRESETS
def gtn(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: GTNOptions = GTNOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill a generator of training images by unrolling learners on them (GTN).

    $L^T(\theta_N)$ of fresh networks after N steps on $G(z, y)$, with a curriculum of
    noise z that is learned and stored with G. Nothing starts from real images.

    Differs from the paper: the learner draws its rows from the curriculum at random; a
    generator of a few convolutions, networks 32 wide, SGD with momentum at a fixed
    rate, a few hundred updates. Under `preset="paper"`: sizes are not checked against
    the authors' code; a small generator.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.kfs`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> few = GTNOptions(max_per_class=4, syn_steps=2, width=4, batch_size=20)
        >>> gtn(train, ipc=1, steps=1, options=few).num_images
        40
    """
    net = DecoderNet(options.channels, options.hidden, options.shrink)
    learner = InnerLoop(
        options.syn_steps,
        SGD(lr=options.lr_net, momentum=0.9),
        options.batch_syn,
        options.backprop,
    )
    return learn(
        "gtn",
        data,
        ipc,
        budget_bytes,
        options,
        Unroll(learner),
        steps=steps,
        optimizer={
            name: Adam(lr=options.lr, cosine=steps)
            for name in ("generator", *(("curriculum",) * options.learn_noise))
        },
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "noise": options.noise_size,
            "learn_noise": options.learn_noise,
            "channels": options.channels,
            "hidden": options.hidden,
            "shrink": options.shrink,
            "images": options.max_per_class,
            "inner": options.syn_steps,
            "rows": options.batch_syn,
            "rate": options.lr_net,
            "memory": options.backprop,
        },
        around=lambda base: Conditional(
            base,
            options.noise_size,
            net,
            learn_noise=options.learn_noise,
            max_per_class=options.max_per_class,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class LinBaOptions(UnrollOptions):
    """Settings of `multidd.images.linba`, beside those of `UnrollOptions`.

    Attributes:
        lr: of Adam on bases and codes; it falls to zero along a cosine.
        momentum: moves both by SGD with it, as the paper does; None takes Adam.
        bases: how many.
        shrink: how much smaller than an image a basis is along each side.
        weight_decay: L2 penalty of the codes.
        batch_syn: images at a step of the network; None takes all.

    Example:
        >>> LinBaOptions(width=8).width
        8
    """

    lr: float = 0.05
    momentum: float | None = None
    bases: int = 16
    shrink: int = 2
    weight_decay: float = 1e-4
    batch_syn: int | None = 50
    syn_steps: int = 30
    backprop: Whole = "stored"


@PRESETS
def linba(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 100,
    options: LinBaOptions = LinBaOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images into bases and codes (LinBa); below random in a plain CNN.

    $L^T(\theta_N)$ of fresh networks after N steps of gradient descent with momentum on
    the images that codes make of bases shared by all classes. States are stored and
    the steps run again for the gradient, so that N may be large.

    Differs from the paper: 30 steps on 50 of the images each instead of 150, networks
    16 wide, Adam on bases and codes, bases that start from the leading singular vectors
    of real images, a hundred steps. Under `preset="paper"`: the rows of an inner step
    are the default, and bases start from singular vectors of real images.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.kfs`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> few = LinBaOptions(syn_steps=2, batch_syn=10, width=4, batch_size=50)
        >>> linba(train, ipc=1, steps=2, options=few).num_images
        260
    """
    inner = options.inner_loop(options.batch_syn)
    by_adam = options.momentum is None
    fall = {"cosine": steps} if by_adam else {}
    return learn(
        "linba",
        data,
        ipc,
        budget_bytes,
        options,
        Unroll(inner, Fresh(options.num_models)),
        steps=steps,
        optimizer={
            "codes": image_optimizer(
                options.lr, options.momentum, weight_decay=options.weight_decay, **fall
            ),
            "bases": image_optimizer(options.lr, options.momentum, **fall),
        },
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "bases": options.bases,
            "smaller": options.shrink,
            "decay": options.weight_decay,
            "rows": options.batch_syn,
        }
        | options.card_settings()
        | ({} if by_adam else {"outer_momentum": options.momentum}),
        around=lambda form: Bases(form, options.bases, options.shrink),
    )


@dataclass(frozen=True, kw_only=True)
class HaBaOptions(MTTOptions):
    """Settings of `multidd.images.haba`, beside those of `MTTOptions`.

    Attributes:
        lr_hallucinators: of Adam on the hallucinators.
        hallucinators: how many.
        hidden: channels inside one.
        shrink: how much smaller than an image its style is along each side.
        contrast: factor on the term that keeps images apart.

    Example:
        >>> HaBaOptions(width=8).width
        8
    """

    lr_hallucinators: float = 0.01
    hallucinators: int = 5
    hidden: int = 3
    shrink: int = 4
    contrast: float = 0.1
    batch_syn: int | None = 128


@PRESETS
def haba(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 100,
    options: HaBaOptions = HaBaOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill bases and hallucinators by matching trajectories (HaBa).

    $x_{ij} = H_j(b_i)$: every base becomes as many images as there are hallucinators,
    matched as in `multidd.images.mtt`, with a term that keeps the images of a base
    apart (`multidd.objectives.Contrast`).

    Differs from the paper: see `multidd.parameterizations.Hallucinators`,
    `multidd.objectives.Contrast` and `multidd.images.mtt`. Under `preset="paper"`: the
    learned rate moves as a logarithm, by Adam; one term keeps images of a base apart.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.kfs`.
        options: its other settings.
        preset: see `multidd.images.dm`.

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
        >>> from multidd.learning.experts import Experts, Trainer
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = HaBaOptions(
        ...     experts=few,
        ...     start_epochs=(0, 0),
        ...     expert_epochs=1,
        ...     syn_steps=2,
        ...     width=4,
        ...     batch_size=8,
        ... )
        >>> haba(train, ipc=2, steps=1, options=one).num_images
        50
    """
    apart = Part(Contrast(options.hallucinators), options.contrast)
    return follow(
        "haba",
        data,
        ipc,
        budget_bytes,
        options,
        steps=steps,
        optimizer={
            "bases": image_optimizer(options.lr, options.momentum),
            "hallucinators": image_optimizer(
                options.lr_hallucinators, options.momentum
            ),
        },
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        beside=(apart,),
        recipe={
            "lr": options.lr,
            "lr_hallucinators": options.lr_hallucinators,
            "hallucinators": options.hallucinators,
            "hidden": options.hidden,
            "shrink": options.shrink,
            "contrast": options.contrast,
        },
        around=lambda base: Hallucinators(
            base, options.hallucinators, options.hidden, options.shrink
        ),
    )
