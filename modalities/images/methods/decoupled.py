"""Decoupled from the training of a teacher: SRe2L and RDED."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from multidd import seeds
from multidd.data.splitting import check_count
from multidd.engine.card import card_without_loop
from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.run import Run
from multidd.images.data.augment import random_crops, through_tile
from multidd.images.data.images import as_images
from multidd.images.methods.options import (
    ImageOptions,
    ImageSelectionOptions,
    backbone_of,
)
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.relabeling import Answers, teacher
from multidd.images.methods.setup import learn, prepare
from multidd.images.models.module_backbone import ImageModel
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageBatch, ImageTask
from multidd.learning.functional import unstack
from multidd.learning.optim import Adam
from multidd.objectives import Recovery
from multidd.parameterizations.labels import Policy
from multidd.parameterizations.tiles import assemble
from multidd.protocols import Params, Records
from multidd.selection.basic import Scored
from multidd.storage.atomic import PathLike


@dataclass(frozen=True, kw_only=True)
class SRe2LOptions(ImageOptions):
    """Settings of `multidd.images.sre2l`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space; falls along a cosine.
        statistics_weight: r, of the distance of the statistics.
        first_layer_weight: factor on the first layer's.
        teacher_steps: training steps of the teacher, of 128 images each.
        views: views of all images that are labelled and stored too; see
            `multidd.images.methods.relabeling.Answers`.
        label_temperature: the teacher's logits are divided by it, for the labels.

    Example:
        >>> SRe2LOptions(width=8).width
        8
    """

    lr: float = 0.1
    statistics_weight: float = 0.1
    first_layer_weight: float = 10.0
    teacher_steps: int = 600
    views: int = 0
    label_temperature: float = 1.0
    augment: str = "crop_flip"
    labels: Policy = "teacher_once"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("teacher_steps", self.teacher_steps)
        self.answers()

    def answers(self) -> Answers:
        """What the teacher says of the images."""
        return Answers(self.labels, self.views, self.label_temperature)


@PRESETS
def sre2l(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 300,
    options: SRe2LOptions = SRe2LOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Recover images from a teacher's statistics (SRe2L); measured below herding.

    Squeeze: a teacher is trained on the real images. Recover: images are moved to where
    it is sure of their classes, and where mean and variance of each channel of its
    layers are those of real images. Relabel: it says what it sees in the result, once
    for each image or for each of some views. The real images take no part in a step.

    Differs from the paper: instead of ResNets, 4,000 steps at rate 0.25, r = 0.01,
    noise at the start and batches of 100, real images at the start; a ConvNet 32 wide
    with instance norms, whose statistics are recorded at the end of each block since it
    has none of its own; all images are one batch; pixels are not clamped on the way; a
    student of the labels sees `views` stored ones (the paper stores some for each of
    300 epochs) or the protocol's own. With `norm="batch"` the teacher normalizes every
    batch by its own statistics, in recovery too. Under `preset="paper"`: all images are
    one batch, the teacher normalizes by each batch, and views of the student are the
    protocol's.

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
        >>> few = SRe2LOptions(teacher_steps=2, width=4)
        >>> sre2l(train, ipc=1, steps=2, options=few).num_images
        10
    """
    answers = options.answers()
    images = as_images(data)
    backbone = backbone_of(options)
    objective = Recovery(
        teacher(options.teacher_steps),
        options.statistics_weight,
        options.first_layer_weight,
        backbone.channels(images.shape, images.num_classes),
    )
    watcher = _TeacherWatch()
    watched = replace(run, callbacks=(*run.callbacks, watcher))
    summary = learn(
        "sre2l",
        images,
        ipc,
        budget_bytes,
        replace(options, labels="hard", views=0),
        objective,
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, betas=(0.5, 0.9), cosine=max(1, steps))},
        run=RunSettings(seed, device, progress, checkpoint, watched, preset),
        recipe={
            "lr": options.lr,
            "weight": options.statistics_weight,
            "first": options.first_layer_weight,
            "teacher_steps": options.teacher_steps,
            "views": options.views,
            "temperature": options.label_temperature,
            "labels": options.labels,
        },
        label_bytes=answers.bytes(options.factor),
    )
    return answers.give(summary, *watcher.teacher(), seed)


class _TeacherWatch:
    """Takes the teacher out of a run, for the labels."""

    on_all_ranks = True

    def on_start(self, run: Run) -> None:
        """Nothing."""

    def on_step(self, run: Run) -> None:
        """Nothing."""

    def on_end(self, run: Run) -> None:
        """Keep the run."""
        self.run = run

    def teacher(self) -> tuple[ImageTask, Params]:
        """The task and the teacher's weights."""
        run, state = self.run, self.run.state
        if not state:  # a finished run leaves none: it is trained again, the same
            state = run.objective.init(run.task, replace(run, step=0).rng("init"))
        state = state.get("inner", state)  # of representative batches
        assert isinstance(run.task, ImageTask)
        return run.task, state["weights"]


@dataclass(frozen=True, kw_only=True)
class RDEDOptions(ImageSelectionOptions):
    """Settings of `multidd.images.rded`, beside those of `ImageSelectionOptions`.

    Attributes:
        factor: tiles along each side.
        candidates: real images of a class that are cropped; as many as are wanted at
            least.
        crops: of each candidate.
        crop_area: shares of an image's area that a crop holds, least and most.
        labels: `"teacher_once"`, a label of the teacher for each tile, or `"hard"`.
        views, label_temperature, teacher_steps: see `SRe2LOptions`.
        augment: views under which the teacher is trained, and which are labelled.
        model, width, depth, norm: the teacher.

    Raises:
        ValueError: labels, views, crops or steps that cannot be.

    Example:
        >>> RDEDOptions(candidates=20).factor
        2
    """

    factor: int = 2
    candidates: int = 300
    crops: int = 5
    crop_area: tuple[float, float] = (0.8, 1.0)
    labels: Literal["teacher_once", "hard"] = "teacher_once"
    views: int = 0
    label_temperature: float = 1.0
    teacher_steps: int = 600
    augment: str = "crop_flip"
    model: ImageModel = "convnet"
    width: int | tuple[int, ...] | None = 32
    depth: int | None = None
    norm: str = "instance"

    def __post_init__(self) -> None:
        check_count("candidates", self.candidates)
        check_count("teacher_steps", self.teacher_steps)
        rng = seeds.at(0, "check")
        random_crops(torch.zeros(1, 1, 1, 1), self.crops, self.crop_area, rng)
        self.answers()

    def answers(self) -> Answers:
        """What the teacher says of the tiles."""
        return Answers(self.labels, self.views, self.label_temperature)


@PRESETS
def rded(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    options: RDEDOptions = RDEDOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Combine crops that a teacher is surest of (RDED); as good as random tiles.

    Of each of `candidates` real images of a class the best of some random crops stays,
    by the teacher's cross-entropy; the best `ipc` $f^2$ of these, `factor` f, are tiled
    f x f. Nothing is optimized. A crop is judged as it comes back from its tile. Those
    of small centered pictures are much alike: images at random may well be better.

    Differs from the paper: a ConvNet 32 wide for a teacher; crops hold 0.8 of an image
    or more (0.08 in the paper, whose photographs show more than one thing); a student
    of the labels sees `views` stored ones or the protocol's own (the paper asks the
    teacher again in each epoch, and stores nothing). Under `preset="paper"`: views of
    the student are the protocol's.

    Args:
        data, ipc, budget_bytes, device, progress: see `multidd.images.sre2l`; `ipc`
            counts stored images.
        options: its other settings.
        preset: see `multidd.images.dm`.
        seed: of the teacher, the crops and the views.
        run: a time limit; settings of a loop are refused.

    Returns:
        An `ImageSummary` of tiles.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.

    Reference:
        Sun, Shi, Yu, Lin, "On the Diversity and Realism of Distilled Dataset: An
        Efficient Dataset Distillation Paradigm", CVPR 2024.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = RDEDOptions(candidates=20, teacher_steps=2, width=4)
        >>> rded(train, ipc=1, options=few).num_images
        40
    """
    started = time.perf_counter()
    run_settings = RunSettings(seed, device, progress, None, run, preset)
    answers, factor = options.answers(), options.factor
    shared = ImageOptions(
        class_balance=options.class_balance,
        zca=options.zca,
        factor=factor,
        augment=options.augment,
        model=options.model,
        width=options.width,
        depth=options.depth,
        norm=options.norm,
    )
    stages = run_settings.stages("rded")
    each = answers.bytes(factor)
    setup = prepare(data, ipc, budget_bytes, shared, label_bytes=each)
    task, counts = setup.task.to(device), setup.settings["counts"]
    with stages("teacher"):
        rng = seeds.at(seed, "teacher", device=device)
        weights = teacher(options.teacher_steps).init(task, rng)["weights"]
    with stages("crops"):
        rng = seeds.at(seed, "crops", device=device)
        tiles, y = best_crops(
            task,
            weights,
            counts,
            factor,
            options.candidates,
            options.crops,
            options.crop_area,
            rng,
        )
    card = card_without_loop(
        "rded",
        setup.settings
        | {
            "candidates": options.candidates,
            "crops": options.crops,
            "scale": options.crop_area,
            "labels": options.labels,
            "views": options.views,
            "temperature": options.label_temperature,
            "teacher_steps": options.teacher_steps,
        }
        | run_settings.preset_settings(),
        task.describe()["data"],
        seed=seed,
        started=started,
        decoder={"kind": "tiles", "factor": factor} if factor > 1 else {},
    )
    draw = {"x": assemble(tiles, factor), "y": y[:: factor**2]}
    with stages("labels"):
        summary = answers.give(task.summary(draw, card), task, weights, seed)
    return replace(summary, card=replace(summary.card, stages=dict(stages.seconds)))


def best_crops(
    task: ImageTask,
    weights: Params,
    counts: Sequence[int],
    factor: int,
    candidates: int,
    crops: int,
    crop_area: tuple[float, float],
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The crops with the smallest loss under the teacher, one of an image at most.

    Args:
        task: whose images are cropped.
        weights: of the teachers, each `[k, ...]`: their mean loss counts.
        counts: stored images of each class.
        factor: tiles along each side; `factor` squared crops for each stored image.
        candidates, crops, crop_area: see `RDEDOptions`.
        rng: of candidates and crops.

    Returns:
        `[m f^2, ch, h, w]`, normalized, by class and the best first; `[m f^2]` labels.
    """
    tile_counts = [count * factor**2 for count in counts]
    images, losses, labels = [], [], []
    for label, num_tiles in enumerate(tile_counts):
        members = (task.images.labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=rng, device=rng.device)
        rows = members[order[: max(candidates, num_tiles)].cpu()]
        real = task.preprocessing.apply(task.images.pixels(rows)).to(task.device)
        cut = random_crops(real, crops, crop_area, rng)
        cost = _losses(task, weights, through_tile(cut.flatten(0, 1), factor), label)
        min_cost, best = cost.view(len(rows), crops).min(1)
        images.append(cut[torch.arange(len(rows), device=best.device), best])
        losses.append(min_cost)
        labels.append(torch.full((len(rows),), label, device=task.device))
    cost, y = torch.cat(losses), torch.cat(labels)
    records = Records(cost[:, None], y, task.num_classes)
    picks = Scored(tuple((-cost).tolist())).pick(records, tile_counts, rng)
    return torch.cat(images)[picks.indices], picks.labels


def _losses(task: ImageTask, weights: Params, x: Tensor, label: int) -> Tensor:
    """`[b]`, mean loss of images of one class under the teachers."""
    batch = ImageBatch(x, torch.full((len(x),), label, device=x.device))
    with torch.no_grad():
        return torch.stack([task.losses(w, batch) for w in unstack(weights)]).mean(0)
