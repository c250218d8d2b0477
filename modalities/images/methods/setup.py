"""What every recipe for images does before and around its loop."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from multidd.engine.loop import check_counts, distill
from multidd.engine.recipe import split_options
from multidd.images.data.augment import Augmentation, parse
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes, plan, plan_codes
from multidd.images.methods.options import STARTS, Settings
from multidd.images.models.backbone import Backbone
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.functional import Cost
from multidd.learning.optim import Optimizer, with_labels
from multidd.learning.states import Frozen
from multidd.objectives import Representative
from multidd.parameterizations import Free, Labels, Tiles
from multidd.protocols import Objective, Parameterization, Selection
from multidd.settings import describe

__all__ = ["learn", "prepare"]

Records: TypeAlias = Callable[[Selection, tuple[int, ...]], Parameterization]
"""Makes the parameterization of images; see `prepare`."""

Around: TypeAlias = Callable[[Parameterization], Parameterization]
"""Makes a parameterization of records and labels; see `prepare`."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What a recipe runs on.

    Attributes:
        task: the task.
        parameterization: the synthetic set.
        recipe: settings for the card.
        seconds: wall time of the preparing.
    """

    task: ImageTask
    parameterization: Parameterization
    recipe: dict[str, Any]
    seconds: float


def prepare(
    train: Any,
    ipc: int | None,
    settings: Settings,
    *,
    backbone: Backbone | None = None,
    loss: Cost = "cross_entropy",
    center: bool = False,
    hold_out: bool = False,
    records: Records | None = None,
    around: Around | None = None,
    label_bytes: Callable[[int], int] | None = None,
    seed: int = 0,
) -> Setup:
    """Check everything before the first step, and set up task and start.

    Args:
        train: training images, in any form that `as_images` takes.
        ipc: images per class, or None with `settings.budget_bytes`.
        settings: the shared settings.
        backbone: the model; by the settings unless given.
        loss: of the models that are trained on the way.
        center: soft labels have mean zero.
        hold_out: keep `settings.val` of the images for validation.
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
    images, val = as_images(train), None
    if hold_out:
        images, val = images.split(settings.val, seed)
    if around is None:
        counts, behind = _counts(images, ipc, settings, label_bytes), settings.factor**2
    else:
        counts, behind = _codes(images, ipc, settings, around)
    backbone = backbone or Backbone(
        settings.model, settings.width, settings.depth, settings.norm
    )
    backbone.check(images.shape, images.num_classes)
    task = ImageTask(
        images,
        Preprocessing.fit(images, zca=settings.zca),
        backbone,
        settings.batch_size,
        "uniform" if settings.sampler == "uniform" else "class",
        _augmentation(images, settings),
        loss,
        val,
    )
    start = tuple(n * behind for n in counts)
    form: Parameterization = (
        Free(STARTS[settings.init], start, noise=settings.init == "noise")
        if records is None
        else records(STARTS[settings.init], start)
    )
    if settings.labels != "hard":
        # Regressed, a teacher's outputs are near one-hot as they are.
        logits, teacher = loss == "cross_entropy", Frozen(rows=128)
        form = Labels(form, settings.labels, center, teacher=teacher, softmax=logits)
    if around is not None:
        form = around(form)
    if settings.factor > 1:
        form = Tiles(form, settings.factor)
    recipe = {"ipc": ipc, "counts": list(counts)} | describe(settings)
    recipe.pop("kind")
    return Setup(task, form, recipe, time.perf_counter() - started)


def learn(
    method: str,
    train: Any,
    ipc: int | None,
    defaults: Settings,
    options: Mapping[str, Any],
    objective: Objective | Callable[[int], Objective],
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    seed: int,
    recipe: Mapping[str, Any],
    backbone: Backbone | None = None,
    loss: Cost = "cross_entropy",
    center: bool = False,
    records: Records | None = None,
    around: Around | None = None,
    label_bytes: Callable[[int], int] | None = None,
    prepared: Callable[[Setup], Setup] | None = None,
) -> ImageSummary:
    """Run a recipe: its objective on the images, with its settings.

    Args:
        method: name for the card.
        train, ipc, backbone, loss, center, records, around, label_bytes, seed: see
            `prepare`.
        defaults: the recipe's own shared settings.
        options: what the caller gave of `Options`.
        objective: what is matched; or a function that makes it for so many stored
            images of the largest class.
        steps: updates.
        optimizer: how the images move; learned labels by Adam unless named.
        recipe: settings of the recipe alone, for the card.
        prepared: what is done before the first step, once all is checked.

    Returns:
        An `ImageSummary`.
    """
    settings, run = split_options(defaults, options)
    check_counts(steps, run.get("checkpoint_every", 1))
    setup = prepare(
        train,
        ipc,
        settings,
        backbone=backbone,
        loss=loss,
        center=center,
        hold_out=run.get("select_best") is not None,
        records=records,
        around=around,
        label_bytes=label_bytes,
        seed=seed,
    )
    setup = setup if prepared is None else prepared(setup)
    if callable(objective):
        objective = objective(max(setup.recipe["counts"]))
    if settings.labels in ("onehot", "teacher"):
        optimizer = with_labels(optimizer, settings.lr_labels, center=center)
    if settings.sampler == "representative":
        kept = settings.batch_size or 64
        wide = replace(setup.task, batch_size=4 * kept)
        setup = replace(setup, task=wide)
        objective = Representative(objective, per_class=kept)
    return distill(
        setup.task,
        objective,
        setup.parameterization,
        steps=steps,
        optimizer=optimizer,
        seed=seed,
        method=method,
        recipe=setup.recipe
        | describe(dict(recipe))
        | {"steps": steps, "select_best": describe(run.get("select_best"))},
        spent=setup.seconds,
        **run,
    )


def _counts(
    images: Images,
    ipc: int | None,
    settings: Settings,
    label_bytes: Callable[[int], int] | None,
) -> tuple[int, ...]:
    classes = images.num_classes
    soft = 0 if settings.labels == "hard" else classes
    more = label_bytes(classes) if label_bytes else 0
    budget = plan(
        images.counts.tolist(),
        ipc,
        settings.budget_bytes,
        item_bytes=item_bytes(images.shape, soft=soft) + more,
        balance=settings.balance,
        names=images.classes,
        behind=settings.factor**2,
    )
    return budget.counts


def _codes(
    images: Images, ipc: int | None, settings: Settings, around: Around
) -> tuple[tuple[int, ...], int]:
    """Codes of each class of a factorized set, and the images behind each."""
    if settings.factor > 1:
        raise ValueError(
            f"factor={settings.factor} cuts stored images into tiles, and this method "
            "stores codes: take factor=1"
        )
    classes = images.num_classes
    soft = 0 if settings.labels == "hard" else classes
    form: Any = around(Free(STARTS[settings.init], (1,) * classes))
    behind = getattr(form, "behind", 1)
    budget = plan_codes(
        images.counts.tolist(),
        ipc,
        settings.budget_bytes,
        cost=form.cost(images.shape, classes, soft),
        free=item_bytes(images.shape, soft=soft),
        balance=settings.balance,
        names=images.classes,
        behind=behind,
        most=getattr(form, "most", None),
    )
    return budget.counts, behind


def _augmentation(images: Images, settings: Settings) -> Augmentation:
    augmentation = parse(settings.augment)
    flip = images.mirror if settings.flip is None else settings.flip
    return augmentation if flip else augmentation.without("flip")
