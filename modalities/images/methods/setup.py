"""Preparation of every recipe: images and settings checked, task and start."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multidd import seeds
from multidd.data.splitting import check_count
from multidd.engine.options import RunSettings
from multidd.engine.recipe import (
    Setup,
    with_label_policy,
    with_representative_batches,
)
from multidd.engine.recipe import learn as run_recipe
from multidd.images.data.augment import Augmentation, parse
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes, plan, plan_codes
from multidd.images.methods.options import STARTS, ImageOptions, backbone_of
from multidd.images.models.backbone import Backbone
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.experts import Experts, FinalExperts
from multidd.learning.functional import Cost, unstack
from multidd.learning.optim import Optimizer
from multidd.learning.states import Frozen
from multidd.parameterizations import Free, Labels, Tiles
from multidd.protocols import Objective, Parameterization, Selection
from multidd.selection.basic import Recognized

__all__ = ["ImageSetup", "from_recognized", "learn", "prepare", "recognized_by"]

Records: TypeAlias = Callable[[Selection, tuple[int, ...]], Parameterization]
"""Makes the parameterization of images; see `prepare`."""

Around: TypeAlias = Callable[[Parameterization], Parameterization]
"""Makes a parameterization of records and labels; see `prepare`."""


ImageSetup: TypeAlias = Setup[Any, Any]
"""A setup of an `ImageTask`, or of one around it."""


def prepare(
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    options: ImageOptions,
    *,
    backbone: Backbone | None = None,
    loss: Cost = "cross_entropy",
    center: bool = False,
    hold_out: bool = False,
    records: Records | None = None,
    around: Around | None = None,
    label_bytes: Callable[[int], int] | None = None,
    seed: int = 0,
) -> ImageSetup:
    """Check everything before the first step, and set up task and start.

    Args:
        data: training images, in any form that `as_images` takes.
        ipc: images per class, or None with `budget_bytes`.
        budget_bytes: bytes in all, labels counted, or None with `ipc`.
        options: the shared settings.
        backbone: the model; by the settings unless given.
        loss: of the models that are trained on the way.
        center: soft labels have mean zero.
        hold_out: keep `options.val_share` of the images for validation.
        records: makes the parameterization of the images, of a selection to start from
            and how many of each class; `Free` unless given.
        around: goes around that and its labels, such as
            `multidd.parameterizations.Bases`; the budget is that of the whole.
        label_bytes: bytes of a stored image's labels beside its class, by the number
            of classes, where they come after the run.
        seed: of the held out split.

    Returns:
        The `Setup`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
    """
    started = time.perf_counter()
    images, val = as_images(data), None
    if hold_out:
        images, val = images.split(options.val_share, seed)
    if around is None:
        counts = _counts(images, ipc, budget_bytes, options, label_bytes)
        behind = options.factor**2
    else:
        counts, behind = _codes(images, ipc, budget_bytes, options, around)
    backbone = backbone or backbone_of(options)
    backbone.check(images.shape, images.num_classes)
    task = ImageTask(
        images,
        Preprocessing.fit(images, zca=options.zca),
        backbone,
        options.batch_size,
        "uniform" if options.sampler == "uniform" else "class",
        _augmentation(images, options),
        loss,
        val,
    )
    start = tuple(n * behind for n in counts)
    form: Parameterization = (
        Free(STARTS[options.init], start, noise=options.init == "noise")
        if records is None
        else records(STARTS[options.init], start)
    )
    form = with_label_policy(
        form, options.labels, center=center, teacher=Frozen(batch_size=128), loss=loss
    )
    if around is not None:
        form = around(form)
    if options.factor > 1:
        form = Tiles(form, options.factor)
    shared = {"ipc": ipc, "counts": list(counts)}
    shared |= options.shared_settings(budget_bytes)
    shared |= backbone.card_settings(task.images.shape, images.num_classes)
    return Setup(task, form, shared, time.perf_counter() - started)


def recognized_by(setup: ImageSetup, experts: Experts) -> Tensor:
    """`[n]`, the images that the experts together classify correctly.

    Args:
        setup: of the images.
        experts: which have been recorded.
    """
    task = replace(setup.task, batch_size=None)
    rng = seeds.at(0, "recognized", device=task.device)
    weights = FinalExperts(experts).init(setup.task, rng)["weights"]
    batch, right = task.batch(rng), []
    with torch.no_grad():
        for rows in torch.arange(len(batch.y), device=batch.y.device).split(1024):
            part = task.take(batch, rows)
            each = [
                task.features(one, part, 1)[0].softmax(1) for one in unstack(weights)
            ]
            right.append(torch.stack(each).mean(0).argmax(1) == part.y)
    return torch.cat(right)


def from_recognized(
    form: Any, right: Tensor, teacher: FinalExperts
) -> Parameterization:
    """The same form, from recognized images, with labels of the experts.

    Args:
        form: of the images.
        right: `[n]`, those that are recognized.
        teacher: whose labels soft ones start as.
    """
    if isinstance(form, Free):
        return replace(form, start=Recognized(form.start, right))
    form = replace(form, base=from_recognized(form.base, right, teacher))
    return replace(form, teacher=teacher) if isinstance(form, Labels) else form


def learn(
    method: str,
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    options: ImageOptions,
    objective: Objective | Callable[[int], Objective],
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
    recipe: Mapping[str, Any],
    backbone: Backbone | None = None,
    loss: Cost = "cross_entropy",
    center: bool = False,
    records: Records | None = None,
    around: Around | None = None,
    label_bytes: Callable[[int], int] | None = None,
    prepared: Callable[[ImageSetup], ImageSetup] | None = None,
) -> ImageSummary:
    """Run a recipe: its objective on the images, with its settings.

    Args:
        method: name for the card.
        data, ipc, budget_bytes, backbone, loss, center, records, around, label_bytes:
            see `prepare`.
        options: the shared settings.
        objective: what is matched; or a function that makes it for so many stored
            images of the largest class.
        steps: updates.
        optimizer: how the images move; learned labels by Adam unless named.
        run: settings of the run.
        recipe: settings of the recipe alone, for the card.
        prepared: what is done before the first step, once all is checked.

    Returns:
        An `ImageSummary`.
    """
    check_count("steps", steps, minimum=0)
    setup = prepare(
        data,
        ipc,
        budget_bytes,
        options,
        backbone=backbone,
        loss=loss,
        center=center,
        hold_out=run.select_best is not None,
        records=records,
        around=around,
        label_bytes=label_bytes,
        seed=run.seed,
    )
    setup = setup if prepared is None else prepared(setup)
    if callable(objective):
        objective = objective(max(setup.settings["counts"]))
    if options.sampler == "representative":
        setup, objective = with_representative_batches(
            setup, objective, options.batch_size
        )
    return run_recipe(
        method,
        setup,
        objective,
        steps=steps,
        optimizer=optimizer,
        run=run,
        settings={**recipe, "steps": steps, "select_best": run.select_best},
        lr_labels=options.lr_labels,
        center=center,
    )


def _counts(
    images: Images,
    ipc: int | None,
    budget_bytes: int | None,
    options: ImageOptions,
    label_bytes: Callable[[int], int] | None,
) -> tuple[int, ...]:
    classes = images.num_classes
    soft = 0 if options.labels == "hard" else classes
    more = label_bytes(classes) if label_bytes else 0
    budget = plan(
        images.counts.tolist(),
        ipc,
        budget_bytes,
        item_bytes=item_bytes(images.shape, soft=soft) + more,
        class_balance=options.class_balance,
        names=images.classes,
        behind=options.factor**2,
    )
    return budget.counts


def _codes(
    images: Images,
    ipc: int | None,
    budget_bytes: int | None,
    options: ImageOptions,
    around: Around,
) -> tuple[tuple[int, ...], int]:
    """Codes of each class of a factorized set, and the images behind each."""
    if options.factor > 1:
        raise ValueError(
            f"factor={options.factor} cuts stored images into tiles, and this method "
            "stores codes: take factor=1"
        )
    classes = images.num_classes
    soft = 0 if options.labels == "hard" else classes
    form: Any = around(Free(STARTS[options.init], (1,) * classes))
    behind = getattr(form, "records_per_code", 1)
    budget = plan_codes(
        images.counts.tolist(),
        ipc,
        budget_bytes,
        cost=form.cost(images.shape, classes, soft),
        free=item_bytes(images.shape, soft=soft),
        class_balance=options.class_balance,
        names=images.classes,
        behind=behind,
        max_per_class=getattr(form, "max_per_class", None),
    )
    return budget.counts, behind


def _augmentation(images: Images, options: ImageOptions) -> Augmentation:
    augmentation = parse(options.augment)
    flip = images.mirror if options.flip is None else options.flip
    return augmentation if flip else augmentation.without("flip")
