"""Latents of a generator or an autoencoder: IT-GAN and LatentDD."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Unpack, get_args

from torch import Tensor

from multidd.engine.recipe import split_options
from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import ImageSetup, learn
from multidd.images.models.autoencoder import Autoencoder
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.latent_task import LatentTask
from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.objectives import DistributionMatching
from multidd.parameterizations import Generator, Latent
from multidd.parameterizations.decoder_nets import DecoderFit
from multidd.parameterizations.generators import fingerprint

Network = Callable[[Tensor], Tensor]

USUAL = Autoencoder()

Where = Literal["latents", "images"]
"""What the networks of a `latent` run see."""


def itgan(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.03,
    generator: Network | None = None,
    latent_shape: tuple[int, ...] | None = None,
    invert: int = 300,
    lr_invert: float = 0.05,
    autoencoder: Autoencoder = USUAL,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill latents of a generator (IT-GAN; with any layer's latents, GLaD).

    $x_i = G(z_i)$: real images are inverted into latents first, then the latents move
    by distribution matching as in `multidd.images.dm`. The summary holds the images
    that G made, and its bytes are theirs.

    Where it departs from the paper: without a generator of your own, the decoder of a
    small autoencoder fitted to the training images serves as one; gradient matching is
    `multidd.distill` with `GradientMatching` and `multidd.parameterizations.Generator`.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the latents.
        generator: latents `[b, *latent_shape]` to images `[b, ch, h, w]` in the
            normalized space of the summary: a function, or a module in evaluation mode.
        latent_shape: of one latent, where a generator is given.
        invert: steps of the inversion.
        lr_invert: its rate.
        autoencoder: where no generator is given.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

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
        >>> few = {"invert": 2, "autoencoder": Autoencoder(width=2, steps=2)}
        >>> itgan(train, ipc=1, steps=1, width=4, batch_size=8, **few).num_images
        10
    """
    if (generator is None) != (latent_shape is None):
        raise ValueError("give generator= and latent_shape= together, or neither")

    def prepared(setup: ImageSetup) -> ImageSetup:
        network, shape = generator, latent_shape
        if network is None or shape is None:
            network = autoencoder.fit(setup.task, seed)[1]
            shape = autoencoder.latent(setup.task.images.shape)
        fit = DecoderFit(invert, lr_invert)
        form = Generator(setup.parameterization, network, tuple(shape), fit)
        return replace(setup, parameterization=form)

    settings, run = split_options(Settings(augment=DSA, batch_size=64), options, seed)
    return learn(
        "itgan",
        train,
        ipc,
        settings,
        DistributionMatching(),
        steps=steps,
        optimizer={"latents": Adam(lr=lr)},
        run=run,
        recipe={
            "lr": lr,
            "generator": None if generator is None else fingerprint(generator),
            "latent_shape": latent_shape,
            "invert": invert,
            "lr_invert": lr_invert,
            "autoencoder": autoencoder if generator is None else None,
        },
        prepared=prepared,
    )


def latent(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 1.0,
    match: Where = "latents",
    encoder: Network | None = None,
    decoder: Network | None = None,
    autoencoder: Autoencoder = USUAL,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill in the latent space of an autoencoder (LatentDD).

    Real images are encoded once; networks, real and synthetic side live in latent
    space, where distribution matching is many times cheaper; the synthetic latents are
    decoded at the end. The summary holds the decoded images, and its bytes are theirs.

    Where it departs from the paper: without a pair of your own, a small autoencoder is
    fitted to the training images; its objective is that of `multidd.images.dm`.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: step size of the latents times their number per class, in their normalized
            space; with `match="images"` a hundredth of it is the rate of Adam.
        match: what the networks see: `"latents"`, or decoded `"images"`.
        encoder: normalized images `[b, ch, h, w]` to latents `[b, ch', h', w']`.
        decoder: latents to images. Give both or neither; modules in evaluation mode.
        autoencoder: where none is given.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

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
        >>> few = {"autoencoder": Autoencoder(width=2, steps=2)}
        >>> latent(train, ipc=1, steps=1, width=4, batch_size=8, **few).num_images
        10
    """
    if (encoder is None) != (decoder is None):
        raise ValueError("give encoder= and decoder= together, or neither")
    if match not in get_args(Where):
        raise ValueError(f"match must be 'latents' or 'images', got {match!r}")

    def prepared(setup: ImageSetup) -> ImageSetup:
        into, back = encoder, decoder
        if into is None or back is None:
            into, back = autoencoder.fit(setup.task, seed)
        if match == "latents":
            return replace(setup, task=LatentTask.around(setup.task, into, back))
        form = Latent(setup.parameterization, into, back)
        return replace(setup, parameterization=form)

    inside = match == "latents"
    optimizer: dict[str, Optimizer] = {"x": SGD(lr=lr, momentum=0.5)}
    defaults = Settings(augment="crop_flip_cutout" if inside else DSA)
    settings, run = split_options(defaults, options, seed)
    return learn(
        "latent",
        train,
        ipc,
        settings,
        DistributionMatching(),
        steps=steps,
        optimizer=optimizer if inside else {"latents": Adam(lr=lr / 100)},
        run=run,
        recipe={
            "lr": lr,
            "match": match,
            "encoder": None if encoder is None else fingerprint(encoder),
            "decoder": None if decoder is None else fingerprint(decoder),
            "autoencoder": autoencoder if encoder is None else None,
        },
        prepared=prepared,
    )
