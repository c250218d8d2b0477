"""RDED: the crops of real images that a teacher is surest of, as tiles."""

import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from multidd import seeds
from multidd.images.data.crops import random_crops, through_tile
from multidd.images.methods.options import Settings, check_count
from multidd.images.methods.relabeling import Answers, teacher
from multidd.images.methods.setup import prepare
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageBatch, ImageTask
from multidd.learning.models import unstack
from multidd.parameterizations.tiles import assemble
from multidd.protocols import Params, Records
from multidd.selection.basic import Scored
from multidd.settings import describe, versions
from multidd.summary import Card


def rded(
    train: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    balance: Literal["equal", "proportional"] = "equal",
    zca: bool = False,
    factor: int = 2,
    candidates: int = 300,
    crops: int = 5,
    scale: tuple[float, float] = (0.8, 1.0),
    labels: Literal["teacher_once", "hard"] = "teacher_once",
    views: int = 0,
    temperature: float = 1.0,
    teacher_steps: int = 600,
    augment: str = "crop_flip",
    model: str = "convnet",
    width: int | tuple[int, ...] | None = 32,
    depth: int | None = None,
    norm: str = "instance",
    seed: int = 0,
) -> ImageSummary:
    r"""Put the crops that a teacher is surest of together, as tiles, and label them.

    Of each of `candidates` real images of a class the best of some random crops stays,
    by the teacher's cross-entropy; the best `ipc` $f^2$ of these, `factor` f, are tiled
    f x f. Nothing is optimized. A crop is judged as it comes back from its tile. Those
    of small centered pictures are much alike: images at random may well be better.

    Where it departs from the paper: a ConvNet 32 wide for a teacher; crops hold 0.8
    of an image or more (0.08 in the paper, whose photographs show more than one thing);
    a student of the labels sees `views` stored ones or the protocol's own (the paper
    asks the teacher again in each epoch, and stores nothing).

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: stored images per class, or give `budget_bytes=`.
        budget_bytes, balance, zca: see `multidd.images.Settings`.
        factor: tiles along each side.
        candidates: real images of a class that are cropped; as many as are wanted at
            least.
        crops: of each candidate.
        scale: shares of an image's area that a crop holds, least and most.
        labels: `"teacher_once"`, a label of the teacher for each tile, or `"hard"`.
        views, temperature, teacher_steps: see `multidd.images.sre2l`.
        augment: views under which the teacher is trained, and which are labelled.
        model, width, depth, norm: the teacher.
        seed: of the teacher, the crops and the views.

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
        >>> rded(train, ipc=1, candidates=20, teacher_steps=2, width=4).num_images
        40
    """
    started = time.perf_counter()
    check_count("candidates", candidates)
    random_crops(torch.zeros(1, 1, 1, 1), crops, scale, seeds.at(0, "check"))
    answers, learner = Answers(labels, views, temperature), teacher(teacher_steps)
    settings = Settings(
        budget_bytes=budget_bytes,
        balance=balance,
        zca=zca,
        factor=factor,
        augment=augment,
        model=model,
        width=width,
        depth=depth,
        norm=norm,
    )
    setup = prepare(train, ipc, settings, label_bytes=answers.bytes(factor))
    task, counts = setup.task, setup.recipe["counts"]
    weights = learner.init(task, seeds.at(seed, "teacher"))["weights"]
    rng = seeds.at(seed, "crops")
    tiles, y = best_crops(task, weights, counts, factor, candidates, crops, scale, rng)
    own = {
        "candidates": candidates,
        "crops": crops,
        "scale": scale,
        "labels": labels,
        "views": views,
        "temperature": temperature,
        "teacher_steps": teacher_steps,
    }
    card = Card(
        method="rded",
        settings=setup.recipe | describe(own),
        seed=seed,
        source=task.describe()["data"],
        versions=versions(),
        decoder={"kind": "tiles", "factor": factor} if factor > 1 else {},
        threads=torch.get_num_threads(),
        seconds=round(time.perf_counter() - started, 3),
    )
    draw = {"x": assemble(tiles, factor), "y": y[:: factor**2]}
    return answers.give(task.summary(draw, card), task, weights, seed)


def best_crops(
    task: ImageTask,
    weights: Params,
    counts: Sequence[int],
    factor: int,
    candidates: int,
    crops: int,
    scale: tuple[float, float],
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """The crops with the smallest loss under the teacher, one of an image at most.

    Args:
        task: whose images are cropped.
        weights: of the teachers, each `[k, ...]`: their mean loss counts.
        counts: stored images of each class.
        factor: tiles along each side; `factor` squared crops for each stored image.
        candidates, crops, scale: see `rded`.
        rng: of candidates and crops.

    Returns:
        `[m f^2, ch, h, w]`, normalized, by class and the best first; `[m f^2]` labels.
    """
    wanted = [count * factor**2 for count in counts]
    kept, losses, labels = [], [], []
    for label, many in enumerate(wanted):
        members = (task.images.labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=rng, device=rng.device)
        rows = members[order[: max(candidates, many)]]
        real = task.preprocessing.apply(task.images.pixels(rows))
        cut = random_crops(real, crops, scale, rng)
        cost = _losses(task, weights, through_tile(cut.flatten(0, 1), factor), label)
        least, best = cost.view(len(rows), crops).min(1)
        kept.append(cut[torch.arange(len(rows)), best])
        losses.append(least)
        labels.append(torch.full((len(rows),), label))
    cost, y = torch.cat(losses), torch.cat(labels)
    records = Records(cost[:, None], y, task.num_classes)
    picks = Scored(tuple((-cost).tolist())).pick(records, wanted, rng)
    return torch.cat(kept)[picks.indices], picks.labels


def _losses(task: ImageTask, weights: Params, x: Tensor, label: int) -> Tensor:
    """`[b]`, mean loss of images of one class under the teachers."""
    batch = ImageBatch(x, torch.full((len(x),), label))
    with torch.no_grad():
        return torch.stack([task.losses(w, batch) for w in unstack(weights)]).mean(0)
