"""HaBa: bases and hallucinators by trajectories."""

from typing import Any, Unpack

from multidd.engine.recipe import split_options
from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import learn
from multidd.images.methods.trajectory import EXPERTS
from multidd.images.summary.summary import ImageSummary
from multidd.learning.experts import Experts
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import Inner, Memory
from multidd.objectives import Contrast, Mix, TrajectoryMatching
from multidd.objectives.mix import Part
from multidd.parameterizations import Hallucinators


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
    memory: Memory = "checkpointed",
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
        >>> from multidd.learning.experts import Trainer
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"experts": few, "start": (0, 0), "epochs": 1, "inner": 2}
        >>> haba(train, ipc=2, steps=1, width=4, batch_size=8, **one).num_images
        50
    """
    defaults = Settings(augment=DSA, sampler="uniform", batch_size=128)
    if split_options(defaults, options)[0].sampler == "representative":
        raise ValueError(
            "haba draws no real batches beside those of its experts: sampler must be "
            "'class' or 'uniform', got 'representative'"
        )
    learner = Inner(inner, SGD(lr=rate), rows, memory)
    follow = TrajectoryMatching(experts, learner, start, epochs)
    return learn(
        "haba",
        train,
        ipc,
        defaults,
        options,
        Mix((Part(follow), Part(Contrast(hallucinators), contrast))),
        steps=steps,
        optimizer={
            "bases": Adam(lr=lr),
            "hallucinators": Adam(lr=lr_hallucinators),
            "objective.0.log_rate": Adam(lr=lr_rate),
        },
        seed=seed,
        recipe={
            "lr": lr,
            "lr_hallucinators": lr_hallucinators,
            "hallucinators": hallucinators,
            "hidden": hidden,
            "shrink": shrink,
            "contrast": contrast,
            "experts": experts,
            "start": start,
            "epochs": epochs,
            "inner": inner,
            "rate": rate,
            "lr_rate": lr_rate,
            "rows": rows,
            "memory": memory,
        },
        around=lambda base: Hallucinators(base, hallucinators, hidden, shrink),
    )
