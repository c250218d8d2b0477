"""Trajectory matching: MTT, TESLA, FTD and DATM."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Unpack

import torch
from torch import Tensor

from multidd import seeds
from multidd.engine.options import RunSettings
from multidd.engine.recipe import Trajectories, split_options
from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import Around, ImageSetup, learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.experts import GSAM, Experts, FinalExperts, Trainer
from multidd.learning.functional import unstack
from multidd.learning.optim import SGD, Adam, Optimizer
from multidd.learning.unroll import Backprop
from multidd.objectives import Mix
from multidd.objectives.mix import Part
from multidd.parameterizations import Free, Labels
from multidd.protocols import Objective, Parameterization, Picks, Records, Selection

EXPERTS = Experts(Trainer(epochs=8, steps=20, optimizer=SGD(lr=0.03)), count=3)
"""Three short trajectories; their real batches are those of the recipe."""

FLAT = replace(EXPERTS, trainer=replace(EXPERTS.trainer, gsam=GSAM(0.01, 1.0)))

DEFAULTS = Settings(augment=DSA, sampler="uniform", batch_size=128)


def mtt(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.03,
    experts: Experts = EXPERTS,
    start: tuple[int, int] = (0, 3),
    epochs: int = 2,
    inner: int = 10,
    rate: float = 0.03,
    lr_rate: float = 0.01,
    rows: int | None = None,
    memory: Backprop = "checkpointed",
    executor: Executor | None = None,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by matching training trajectories (MTT).

    $\lVert \hat\theta_{t+N} - \theta^*_{t+M} \rVert^2 / \lVert \theta^*_t -
    \theta^*_{t+M} \rVert^2$: N steps on the synthetic images, at a learned rate, go as
    far as an expert's M epochs on the real ones. Experts are recorded once and kept in
    the cache; another run with the same data and network takes them from there.

    Where it departs from the paper (100 experts of 50 epochs of the whole set, 5,000
    updates by SGD at a rate of 1,000, N of 30 to 50, networks 128 wide, ZCA): three
    experts of eight epochs of 20 batches, networks 32 wide, a few hundred updates by
    Adam, no ZCA unless asked for, and the rate learned as a logarithm.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: images per class, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the images, in their normalized space.
        experts: which experts, and where they are kept; see
            `multidd.learning.experts.Experts`.
        start: first and last epoch at which the learner starts. Later ones are harder:
            raise the last until the loss gets unstable.
        epochs: M.
        inner: N.
        rate: the learner's rate at the start.
        lr_rate: of Adam on the logarithm of the rate.
        rows: synthetic images at a step of the learner; None takes all.
        memory: what is kept of the N steps; see `multidd.learning.unroll`.
        executor: any `concurrent.futures.Executor`, to record experts in parallel.
        seed: seed of the run.
        **options: see `multidd.images.Settings` (`batch_size` and `sampler` are of the
            experts' batches) and `multidd.distill`.

    Returns:
        An `ImageSummary`; `card.settings["learned"]["rate"]` is the learned rate.

    Raises:
        ValueError: bad images, budget or setting; N steps that do not fit into memory;
            says what would fit.
        StorageError: an expert cannot be written; those before it are kept.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching
        Training Trajectories", CVPR 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"experts": few, "start": (0, 0), "epochs": 1, "inner": 2}
        >>> mtt(train, ipc=1, steps=1, width=4, batch_size=8, **one).num_images
        10
    """
    settings, run = split_options(DEFAULTS, options, seed)
    along = Trajectories(experts, start, epochs, inner, rate, lr_rate, memory, rows)
    return follow(
        "mtt",
        train,
        ipc,
        settings,
        along,
        steps=steps,
        optimizer={"x": Adam(lr=lr)},
        run=run,
        recipe={"lr": lr},
        executor=executor,
    )


def tesla(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.03,
    experts: Experts = EXPERTS,
    start: tuple[int, int] = (0, 3),
    epochs: int = 2,
    inner: int = 10,
    rate: float = 0.03,
    lr_rate: float = 0.01,
    rows: int | None = None,
    memory: Backprop = "first_order",
    executor: Executor | None = None,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    """Distill images by trajectories in constant memory (TESLA).

    `multidd.images.mtt`, whose gradient takes the states on the learner's way for
    constants: the memory of one step for any N. That is not the gradient of the loss:
    it drops what an image does to later steps. The cosine of the two falls as N and the
    rate grow; `multidd.objectives.TrajectoryMonitor`, given in `callbacks=`, measures
    it in a run. Departures, arguments and errors are those of `mtt`; the
    paper's soft labels are `labels="teacher_once"`.

    Reference:
        Cui, Wang, Si, Hsieh, "Scaling Up Dataset Distillation to ImageNet-1K with
        Constant Memory", ICML 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"experts": few, "start": (0, 0), "epochs": 1, "inner": 2}
        >>> tesla(train, ipc=1, steps=1, width=4, batch_size=8, **one).num_images
        10
    """
    settings, run = split_options(DEFAULTS, options, seed)
    along = Trajectories(experts, start, epochs, inner, rate, lr_rate, memory, rows)
    return follow(
        "tesla",
        train,
        ipc,
        settings,
        along,
        steps=steps,
        optimizer={"x": Adam(lr=lr)},
        run=run,
        recipe={"lr": lr},
        executor=executor,
    )


def ftd(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.03,
    experts: Experts = FLAT,
    start: tuple[int, int] = (0, 3),
    epochs: int = 2,
    inner: int = 10,
    rate: float = 0.03,
    lr_rate: float = 0.01,
    rows: int | None = None,
    memory: Backprop = "checkpointed",
    ema: float | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    """Distill images by flat trajectories (FTD).

    `multidd.images.mtt` with experts that are trained towards flat places
    (`multidd.learning.experts.GSAM`, GSAM with radius 0.01 and weight 1 as in the
    paper), whose errors add up less, and a running mean of the images as the result.
    Departures, other arguments and errors are those of `mtt`; experts cost twice.

    Args:
        train, ipc, steps, lr, experts, start, epochs, inner, rate, lr_rate, rows,
            memory, executor, seed, **options: see `multidd.images.mtt`.
        ema: decay of the running mean, 0.999 to 0.9999 in the paper's longer runs; one
            less ten over the steps unless given, so that the mean forgets the start.

    Reference:
        Du, Jiang, Tan, Zhou, Li, "Minimizing the Accumulated Trajectory Error to
        Improve Dataset Distillation", CVPR 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1, gsam=GSAM()), count=1)
        >>> one = {"experts": few, "start": (0, 0), "epochs": 1, "inner": 2}
        >>> ftd(train, ipc=1, steps=1, width=4, batch_size=8, **one).num_images
        10
    """
    if ema is None:
        ema = max(0.0, 1 - 10 / max(steps, 1))
    settings, run = split_options(DEFAULTS, options, seed)
    along = Trajectories(experts, start, epochs, inner, rate, lr_rate, memory, rows)
    return follow(
        "ftd",
        train,
        ipc,
        settings,
        along,
        steps=steps,
        optimizer={"x": Adam(lr=lr, ema=ema)},
        run=run,
        recipe={"lr": lr, "ema": ema},
        executor=executor,
    )


def follow(
    method: str,
    train: Any,
    ipc: int | None,
    settings: Settings,
    along: Trajectories,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
    recipe: Mapping[str, Any],
    executor: Executor | None = None,
    around: Around | None = None,
    beside: Sequence[Part] = (),
    prepared: Callable[[ImageSetup], ImageSetup] | None = None,
) -> ImageSummary:
    """A recipe of trajectories: record the experts that are missing, then match.

    Args:
        method, train, ipc, settings, steps, run, around: see `setup.learn`.
        along: what is followed, and how.
        optimizer: of what is learned beside the rate.
        recipe: settings of the recipe beside those of `along`, for the card.
        executor: to record experts in parallel.
        beside: further terms of the objective.
        prepared: what is done once the experts are there.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: representative batches, of which there are none.
    """
    if settings.sampler == "representative":
        raise ValueError(
            f"{method} draws no real batches beside those of its experts: sampler must "
            "be 'class' or 'uniform', got 'representative'"
        )
    matching, rate = along.objective(), "objective.log_rate"
    objective: Objective = matching
    if beside:
        objective, rate = Mix((Part(matching), *beside)), "objective.0.log_rate"

    def recorded(setup: ImageSetup) -> ImageSetup:
        setup = along.record(setup, run, executor)
        return setup if prepared is None else prepared(setup)

    return learn(
        method,
        train,
        ipc,
        settings,
        objective,
        steps=steps,
        optimizer={**optimizer, **along.optimizer(rate)},
        run=run,
        recipe={**along.settings(), "rows": along.rows, **recipe},
        around=around,
        prepared=recorded,
    )


def datm(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.03,
    experts: Experts = FLAT,
    start: tuple[int, int] = (0, 4),
    first: int = 1,
    growing: int = 100,
    epochs: int = 2,
    inner: int = 10,
    rate: float = 0.03,
    lr_rate: float = 0.01,
    rows: int | None = None,
    memory: Backprop = "checkpointed",
    ema: float = 0.99,
    executor: Executor | None = None,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    """Distill images by trajectories aligned with difficulty (DATM).

    `multidd.images.ftd` with a window that grows from easy epochs to hard ones, images
    that start from real ones which the experts classify correctly, and soft labels that
    start as the experts' probabilities and are learned too. Few images ask for early
    epochs, many for late ones: the paper starts at epochs 0 to 4 of 50 at one image per
    class, 0 to 20 at ten, 0 to 40 at fifty, and from 40 on at five hundred.

    Where it departs from the paper (and `multidd.images.mtt`): labels are probabilities
    that are learned as they are, not logits; the mean over all experts, not those of
    one; `lr_labels` is of Adam. ZCA is `zca=True`.

    Args:
        train, ipc, steps, lr, experts, start, epochs, inner, rate, lr_rate, rows,
            memory, executor, seed, **options: see `multidd.images.mtt`.
        first: last epoch at which the learner starts at the first step.
        growing: steps in which it grows to the last of `start`.
        ema: decay of the running mean of the images.

    Reference:
        Guo, Wang, Cazenavette, Li, Zhang, You, "Towards Lossless Dataset Distillation
        via Difficulty-Aligned Trajectory Matching", ICLR 2024.

    Example:
        >>> import multidd
        >>> from multidd.learning.trainer import Trainer
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"start": (0, 0), "first": 0, "epochs": 1, "inner": 2, "width": 4}
        >>> datm(train, ipc=1, steps=1, experts=few, batch_size=8, **one).card.labels
        'soft'
    """
    defaults = replace(DEFAULTS, labels="teacher", lr_labels=0.003)
    settings, run = split_options(defaults, options, seed)
    grow = (first, growing)
    along = Trajectories(
        experts, start, epochs, inner, rate, lr_rate, memory, rows, grow
    )

    def from_recognized(setup: ImageSetup) -> ImageSetup:
        right = _recognized(setup, experts)
        form = _changed(setup.parameterization, right, FinalExperts(experts))
        return replace(setup, parameterization=form)

    return follow(
        "datm",
        train,
        ipc,
        settings,
        along,
        steps=steps,
        optimizer={"x": Adam(lr=lr, ema=ema)},
        run=run,
        recipe={"lr": lr, "ema": ema},
        executor=executor,
        prepared=from_recognized,
    )


@dataclass(frozen=True, eq=False)
class Recognized:
    """A selection among the records that models classify correctly.

    A class with too few of them is selected from whole.

    Attributes:
        base: how it selects.
        right: `[n]`, which records are classified correctly.
    """

    base: Selection
    right: Tensor

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` rows of class i."""
        right = self.right.to(records.labels.device)
        have = torch.bincount(records.labels[right], minlength=records.num_classes)
        enough = have >= torch.tensor(counts, device=have.device)
        rows = (right | ~enough[records.labels]).nonzero().flatten()
        mass = None if records.weights is None else records.weights[rows]
        some = replace(
            records,
            features=records.features[rows],
            labels=records.labels[rows],
            weights=mass,
        )
        picks = self.base.pick(some, counts, rng)
        inside = picks.weights.coalesce()
        places, columns = inside.indices()
        where = torch.stack([places, rows.to(columns.device)[columns]])
        size = (len(picks.labels), len(records.labels))
        weights = torch.sparse_coo_tensor(
            where, inside.values(), size, check_invariants=False
        )
        return replace(picks, weights=weights)


def _recognized(setup: ImageSetup, experts: Experts) -> Tensor:
    """`[n]`, the images that the experts together classify correctly."""
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


def _changed(form: Any, right: Tensor, teacher: FinalExperts) -> Parameterization:
    """The same form, from recognized images, with labels of the experts."""
    if isinstance(form, Free):
        return replace(form, start=Recognized(form.start, right))
    form = replace(form, base=_changed(form.base, right, teacher))
    return replace(form, teacher=teacher) if isinstance(form, Labels) else form
