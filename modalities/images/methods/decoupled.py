"""SRe2L: images that a trained network takes for real ones, labelled by it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import torch

from multidd import seeds
from multidd.engine.recipe import split_options
from multidd.engine.run import Run
from multidd.images.data.images import as_images
from multidd.images.methods.options import Options, Settings, backbone_of
from multidd.images.methods.relabeling import Answers, teacher
from multidd.images.methods.setup import learn
from multidd.images.models.models import build
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.optim import Adam
from multidd.objectives import Recovery
from multidd.protocols import Params


def sre2l(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 300,
    lr: float = 0.1,
    weight: float = 0.1,
    first: float = 10.0,
    teacher_steps: int = 600,
    views: int = 0,
    temperature: float = 1.0,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Recover images from a trained network's statistics, and label them (SRe2L).

    Squeeze: a teacher is trained on the real images. Recover: images are moved to where
    it is sure of their classes, and where mean and variance of each channel of its
    layers are those of real images. Relabel: it says what it sees in the result, once
    for each image or for each of some views. The real images take no part in a step.

    Where it departs from the paper (ResNets, 4,000 steps at rate 0.25, r = 0.01, noise
    at the start, batches of 100): real images at the start; a ConvNet 32 wide with
    instance norms, whose statistics are recorded at the end of each block since it has
    none of its own; all images are one batch; pixels are not clamped on the way; a
    student of the labels sees `views` stored ones (the paper stores some for each of
    300 epochs) or the protocol's own. With `norm="batch"` the teacher normalizes every
    batch by its own statistics, in recovery too.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates of the images.
        lr: of Adam on the images, in their normalized space; falls along a cosine.
        weight: r, of the distance of the statistics.
        first: factor on the first layer's.
        teacher_steps: training steps of the teacher, of 128 images each.
        views: views of all images that are labelled and stored too; see
            `multidd.images.methods.relabeling.Answers`.
        temperature: the teacher's logits are divided by it, for the labels.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`; `labels` is
            `"teacher_once"` or `"hard"`.

    Returns:
        An `ImageSummary` with soft labels, whose bytes count.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Yin, Xing, Shen, "Squeeze, Recover and Relabel: Dataset Condensation at
        ImageNet Scale From A New Perspective", NeurIPS 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> sre2l(train, ipc=1, steps=2, teacher_steps=2, width=4).num_images
        10
    """
    defaults = Settings(augment="crop_flip", labels="teacher_once")
    settings, run = split_options(defaults, options)
    answers = Answers(settings.labels, views, temperature)
    images = as_images(train)
    backbone = backbone_of(defaults, options)
    module = build(
        backbone.name,
        images.shape,
        images.num_classes,
        seeds.at(0, "channels"),
        width=backbone.width,
        depth=backbone.depth,
        norm=backbone.norm,
    )
    objective = Recovery(
        teacher(teacher_steps), weight, first, _channels(module, images.shape)
    )
    watcher = _Squeezed()
    given = {"callbacks": [*run.pop("callbacks", ()), watcher]}
    made = learn(
        "sre2l",
        images,
        ipc,
        replace(defaults, labels="hard"),
        {**options, "labels": "hard", **given},
        objective,
        steps=steps,
        optimizer={"x": Adam(lr=lr, betas=(0.5, 0.9), cosine=max(1, steps))},
        seed=seed,
        recipe={
            "lr": lr,
            "weight": weight,
            "first": first,
            "teacher_steps": teacher_steps,
            "views": views,
            "temperature": temperature,
            "labels": settings.labels,
        },
        label_bytes=answers.bytes(settings.factor),
    )
    return answers.give(made, *watcher.found(), seed)


def _channels(module: Any, shape: Sequence[int]) -> tuple[int, ...]:
    """Channels of each block: those of its maps, or all entries where it has none."""
    x, found = torch.zeros(2, *shape), []
    with torch.no_grad():
        for block in module.blocks:
            x = block(x)
            found.append(x.shape[1] if x.dim() == 4 else x[0].numel())
    return tuple(found)


class _Squeezed:
    """Takes the teacher out of a run, for the labels."""

    def on_start(self, run: Run) -> None:
        """Nothing."""

    def on_step(self, run: Run) -> None:
        """Nothing."""

    def on_end(self, run: Run) -> None:
        """Keep the run."""
        self.run = run

    def found(self) -> tuple[ImageTask, Params]:
        """The task and the teacher's weights."""
        run, state = self.run, self.run.state
        if not state:  # a finished run leaves none: it is trained again, the same
            state = run.objective.init(run.task, replace(run, step=0).rng("init"))
        state = state.get("inner", state)  # of representative batches
        assert isinstance(run.task, ImageTask)
        return run.task, state["weights"]
