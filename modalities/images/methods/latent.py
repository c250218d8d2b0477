"""Latents of a generator or an autoencoder: IT-GAN and LatentDD."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from torch import Tensor

from multidd.engine.options import RunOptions, RunSettings
from multidd.images.methods.options import DSA, ImageOptions
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.setup import ImageSetup, learn
from multidd.images.models.autoencoder import Autoencoder
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.latent_task import LatentTask
from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.objectives import DistributionMatching
from multidd.parameterizations import Generator, Latent
from multidd.parameterizations.decoder_nets import DecoderFit
from multidd.parameterizations.generators import fingerprint
from multidd.storage.atomic import PathLike

Network = Callable[[Tensor], Tensor]

USUAL = Autoencoder()

MatchSpace = Literal["latents", "images"]
"""What the networks of a `latent` run see."""


@dataclass(frozen=True, kw_only=True)
class ITGANOptions(ImageOptions):
    """Settings of `multidd.images.itgan`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the latents.
        generator: latents `[b, *latent_shape]` to images `[b, ch, h, w]` in the
            normalized space of the summary: a function, or a module in evaluation mode.
        latent_shape: of one latent, where a generator is given.
        invert_steps: steps of the inversion.
        lr_invert: its rate.
        autoencoder: where no generator is given.

    Example:
        >>> ITGANOptions(width=8).width
        8
    """

    lr: float = 0.03
    generator: Network | None = None
    latent_shape: tuple[int, ...] | None = None
    invert_steps: int = 300
    lr_invert: float = 0.05
    autoencoder: Autoencoder = USUAL
    augment: str = DSA
    batch_size: int | None = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.generator is None) != (self.latent_shape is None):
            raise ValueError("give generator= and latent_shape= together, or neither")


@PRESETS
def itgan(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: ITGANOptions = ITGANOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill latents of a generator (IT-GAN; with any layer's latents, GLaD).

    $x_i = G(z_i)$: real images are inverted into latents first, then the latents move
    by distribution matching as in `multidd.images.dm`. The summary holds the images
    that G made, and its bytes are theirs.

    Differs from the paper: without a generator of your own, the decoder of a small
    autoencoder fitted to the training images serves as one; gradient matching is
    `multidd.distill` with `GradientMatching` and `multidd.parameterizations.Generator`.
    Under `preset="paper"`: no pretrained GAN: give `generator=`; the rate is the
    default.

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
        An `ImageSummary`; `card.decoder` says that its images were made by G.

    Raises:
        ValueError: bad images, budget or setting; a generator of images of another
            shape: both are named.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Bilen, "Synthesizing Informative Training Samples with GAN", arXiv
        2204.07513, 2022; Cazenavette, Wang, Torralba, Efros, Zhu, "Generalizing Dataset
        Distillation via Deep Generative Prior", CVPR 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> coder = Autoencoder(width=2, steps=2)
        >>> few = ITGANOptions(invert_steps=2, autoencoder=coder, width=4, batch_size=8)
        >>> itgan(train, ipc=1, steps=1, options=few).num_images
        10
    """

    def prepared(setup: ImageSetup) -> ImageSetup:
        network, shape = options.generator, options.latent_shape
        if network is None or shape is None:
            network = options.autoencoder.fit(setup.task, seed)[1]
            shape = options.autoencoder.latent(setup.task.images.shape)
        fit = DecoderFit(options.invert_steps, options.lr_invert)
        form = Generator(setup.parameterization, network, tuple(shape), fit)
        return replace(setup, parameterization=form)

    return learn(
        "itgan",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching(),
        steps=steps,
        optimizer={"latents": Adam(lr=options.lr)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "generator": _named(options.generator),
            "latent_shape": options.latent_shape,
            "invert": options.invert_steps,
            "lr_invert": options.lr_invert,
            "autoencoder": options.autoencoder if options.generator is None else None,
        },
        prepared=prepared,
    )


@dataclass(frozen=True, kw_only=True)
class LatentOptions(ImageOptions):
    """Settings of `multidd.images.latent`, beside those of `ImageOptions`.

    Attributes:
        lr: step size of the latents times their number per class, in their normalized
            space; with `match_space="images"` a hundredth of it is the rate of Adam.
        match_space: what the networks see: `"latents"`, or decoded `"images"`.
        encoder: normalized images `[b, ch, h, w]` to latents `[b, ch', h', w']`.
        decoder: latents to images. Give both or neither; modules in evaluation mode.
        autoencoder: where none is given.
        augment: `"auto"` takes crop, flip and cutout of latents, and all operations of
            images.

    Example:
        >>> LatentOptions(width=8).width
        8
    """

    lr: float = 1.0
    match_space: MatchSpace = "latents"
    encoder: Network | None = None
    decoder: Network | None = None
    autoencoder: Autoencoder = USUAL
    augment: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.encoder is None) != (self.decoder is None):
            raise ValueError("give encoder= and decoder= together, or neither")
        if self.match_space not in get_args(MatchSpace):
            raise ValueError(
                f"match_space must be 'latents' or 'images', got {self.match_space!r}"
            )


@PRESETS
def latent(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: LatentOptions = LatentOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill latent codes of an autoencoder (LatentDD); measured below herding.

    Real images are encoded once; networks, real and synthetic side live in latent
    space, where distribution matching is many times cheaper; the synthetic latents are
    decoded at the end. The summary holds the decoded images, and its bytes are theirs.

    Differs from the paper: without a pair of your own, a small autoencoder is fitted to
    the training images; its objective is that of `multidd.images.dm`. Under
    `preset="paper"`: no pretrained autoencoder: give `encoder=` and `decoder=`.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.itgan`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Returns:
        An `ImageSummary`; `card.decoder` says that its images were decoded.

    Raises:
        ValueError: bad images, budget or setting; an encoder and a decoder that do not
            fit the images or each other: shapes are named.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Duan, Zhang, Gu, Zhang, "Dataset Distillation in Latent Space", arXiv
        2311.15547, 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> coder = Autoencoder(width=2, steps=2)
        >>> few = LatentOptions(autoencoder=coder, width=4, batch_size=8)
        >>> latent(train, ipc=1, steps=1, options=few).num_images
        10
    """

    def prepared(setup: ImageSetup) -> ImageSetup:
        into, back = options.encoder, options.decoder
        if into is None or back is None:
            into, back = options.autoencoder.fit(setup.task, seed)
        if options.match_space == "latents":
            return replace(setup, task=LatentTask.around(setup.task, into, back))
        form = Latent(setup.parameterization, into, back)
        return replace(setup, parameterization=form)

    inside = options.match_space == "latents"
    optimizer: dict[str, Optimizer] = {"x": SGD(lr=options.lr, momentum=0.5)}
    if options.augment == "auto":
        usual = "crop_flip_cutout" if inside else DSA
        options = replace(options, augment=usual)
    return learn(
        "latent",
        data,
        ipc,
        budget_bytes,
        options,
        DistributionMatching(),
        steps=steps,
        optimizer=optimizer if inside else {"latents": Adam(lr=options.lr / 100)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={
            "lr": options.lr,
            "match": options.match_space,
            "encoder": _named(options.encoder),
            "decoder": _named(options.decoder),
            "autoencoder": options.autoencoder if options.encoder is None else None,
        },
        prepared=prepared,
    )


def _named(network: Network | None) -> dict[str, Any] | None:
    """What a card says of a network of the caller's."""
    return None if network is None else fingerprint(network)
