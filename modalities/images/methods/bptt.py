"""RaT-BPTT and LinBa: long learners, by random windows or by stored states."""

from typing import Any, Unpack

from multidd.images.methods.options import Options
from multidd.images.methods.setup import learn
from multidd.images.methods.unroll import unrolled
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import Adam, RunningClip
from multidd.learning.states import Fresh
from multidd.learning.unroll import Inner
from multidd.objectives import Unroll


def rat_bptt(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 150,
    lr: float = 0.1,
    window: int = 20,
    longest: int = 40,
    lr_inner: float = 0.003,
    clip: float = 2.0,
    models: int = 1,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images through random truncated windows of training (RaT-BPTT).

    $L^T(\theta_N)$ of fresh networks after N steps of Adam on the synthetic images, N
    drawn anew at each step from `window` to `longest`; the last `window` of them are
    differentiated. The gradient is clipped at a multiple of its running norm.

    Where it departs from the paper: windows of 20 in at most 40 steps instead of 60 in
    200 (at ten images per class of CIFAR-10), at three times the rate to make up for
    it; networks 16 wide, 256 real images at a step instead of 5,000, 150 steps instead
    of tens of thousands, a start from real images.

    Args:
        train, ipc, steps, lr, models, seed, **options: see `multidd.images.dd`.
        window: last steps of the network, which are differentiated.
        longest: most steps of the network.
        lr_inner: of Adam on the network.
        clip: limit of the gradient's norm, in units of its running mean.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Feng, Vedantam, Kempe, "Embarrassingly Simple Dataset Distillation", ICLR 2024.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> small = {"window": 2, "longest": 3, "width": 4, "batch_size": 50}
        >>> rat_bptt(train, ipc=1, steps=2, **small).num_images
        10
    """
    inner = Inner(longest, Adam(lr=lr_inner), None, "truncated", window)
    rule = Adam(lr=lr, cosine=steps, clip=RunningClip(clip))
    return learn(
        "rat_bptt",
        train,
        ipc,
        unrolled(augment="flip_rotate"),
        options,
        Unroll(inner, Fresh(models), shortest=window),
        steps=steps,
        optimizer={"x": rule},
        seed=seed,
        recipe={
            "lr": lr,
            "window": window,
            "longest": longest,
            "lr_inner": lr_inner,
            "clip": clip,
            "models": models,
        },
    )
