"""Trajectory matching: MTT, TESLA, FTD and DATM."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.recipe import Trajectories
from multidd.images.methods.options import (
    DSA,
    ImageOptions,
    Sampler,
    image_optimizer,
)
from multidd.images.methods.presets import PRESETS
from multidd.images.methods.setup import (
    Around,
    ImageSetup,
    from_recognized,
    learn,
    recognized_by,
)
from multidd.images.summary.summary import ImageSummary
from multidd.learning.experts import GSAM, Experts, FinalExperts, Trainer
from multidd.learning.optim import SGD, Optimizer
from multidd.learning.unroll import Backprop
from multidd.objectives import Mix
from multidd.objectives.mix import Part
from multidd.parameterizations.labels import Policy
from multidd.protocols import Objective
from multidd.storage.atomic import PathLike

EXPERTS = Experts(Trainer(epochs=8, steps=20, optimizer=SGD(lr=0.03)), count=3)
"""Three short trajectories; their real batches are those of the recipe."""

FLAT = replace(EXPERTS, trainer=replace(EXPERTS.trainer, gsam=GSAM(0.01, 1.0)))


@dataclass(frozen=True, kw_only=True)
class MTTOptions(ImageOptions):
    """Settings of `multidd.images.mtt`, beside those of `ImageOptions`.

    Attributes:
        lr: of Adam on the images, in their normalized space.
        momentum: moves the images by SGD with it, as papers do; None takes Adam.
        experts: which experts, and where they are kept; see
            `multidd.learning.experts.Experts`.
        start_epochs: first and last epoch at which the learner starts. Later ones are
            harder: raise the last until the loss gets unstable.
        expert_epochs: M.
        syn_steps: N.
        lr_net: the learner's rate at the start.
        lr_lr: of Adam on the logarithm of the rate.
        batch_syn: synthetic images at a step of the learner; None takes all.
        backprop: what is kept of the N steps; see `multidd.learning.unroll`.
        executor: any `concurrent.futures.Executor`, to record experts in parallel.

    Example:
        >>> MTTOptions(width=8).width
        8
    """

    lr: float = 0.03
    momentum: float | None = None
    experts: Experts = EXPERTS
    start_epochs: tuple[int, int] = (0, 3)
    expert_epochs: int = 2
    syn_steps: int = 10
    lr_net: float = 0.03
    lr_lr: float = 0.01
    batch_syn: int | None = None
    backprop: Backprop = "checkpointed"
    executor: Executor | None = None
    augment: str = DSA
    sampler: Sampler = "uniform"

    def trajectories(self) -> Trajectories:
        """What is followed, and how."""
        return Trajectories(
            self.experts,
            self.start_epochs,
            self.expert_epochs,
            self.syn_steps,
            self.lr_net,
            self.lr_lr,
            self.backprop,
            self.batch_syn,
        )


@PRESETS
def mtt(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: MTTOptions = MTTOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    r"""Distill images by matching training trajectories (MTT).

    $\lVert \hat\theta_{t+N} - \theta^*_{t+M} \rVert^2 / \lVert \theta^*_t -
    \theta^*_{t+M} \rVert^2$: N steps on the synthetic images, at a learned rate, go as
    far as an expert's M epochs on the real ones. Experts are recorded once and kept in
    the cache; another run with the same data and network takes them from there.

    Differs from the paper: instead of 100 experts of 50 epochs of the whole set, 5,000
    updates by SGD at a rate of 1,000, N of 30 to 50, networks 128 wide and ZCA, three
    experts of eight epochs of 20 batches, networks 32 wide, a few hundred updates by
    Adam, no ZCA unless asked for, and the rate learned as a logarithm. Under
    `preset="paper"`: the learned rate moves as a logarithm, by Adam.

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
        >>> one = MTTOptions(
        ...     experts=few,
        ...     start_epochs=(0, 0),
        ...     expert_epochs=1,
        ...     syn_steps=2,
        ...     width=4,
        ...     batch_size=8,
        ... )
        >>> mtt(train, ipc=1, steps=1, options=one).num_images
        10
    """
    return follow(
        "mtt",
        data,
        ipc,
        budget_bytes,
        options,
        steps=steps,
        optimizer={"x": image_optimizer(options.lr, options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={"lr": options.lr},
    )


@dataclass(frozen=True, kw_only=True)
class TESLAOptions(MTTOptions):
    """Settings of `multidd.images.tesla`, beside those of `MTTOptions`.

    Example:
        >>> TESLAOptions(width=8).width
        8
    """

    backprop: Backprop = "first_order"


@PRESETS
def tesla(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: TESLAOptions = TESLAOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Distill images by trajectories in constant memory (TESLA).

    `multidd.images.mtt`, whose gradient takes the states on the learner's way for
    constants: the memory of one step for any N. That is not the gradient of the loss:
    it drops what an image does to later steps. The cosine of the two falls as N and the
    rate grow; `multidd.objectives.TrajectoryMonitor`, given in `callbacks=`, measures
    it in a run. Arguments and errors are those of `mtt`.

    Differs from the paper: as `mtt`; its soft labels are `labels="teacher_once"`. Under
    `preset="paper"`: the learned rate moves as a logarithm, by Adam; but for one image
    per class settings are those of MTT.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.mtt`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Cui, Wang, Si, Hsieh, "Scaling Up Dataset Distillation to ImageNet-1K with
        Constant Memory", ICML 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = TESLAOptions(
        ...     experts=few,
        ...     start_epochs=(0, 0),
        ...     expert_epochs=1,
        ...     syn_steps=2,
        ...     width=4,
        ...     batch_size=8,
        ... )
        >>> tesla(train, ipc=1, steps=1, options=one).num_images
        10
    """
    return follow(
        "tesla",
        data,
        ipc,
        budget_bytes,
        options,
        steps=steps,
        optimizer={"x": image_optimizer(options.lr, options.momentum)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={"lr": options.lr},
    )


@dataclass(frozen=True, kw_only=True)
class FTDOptions(MTTOptions):
    """Settings of `multidd.images.ftd`, beside those of `MTTOptions`.

    Attributes:
        ema: decay of the running mean, 0.999 to 0.9999 in the paper's longer runs; one
            less ten over the steps unless given, so that the mean forgets the start.

    Example:
        >>> FTDOptions(width=8).width
        8
    """

    ema: float | None = None
    experts: Experts = FLAT


@PRESETS
def ftd(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: FTDOptions = FTDOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Distill images by flat trajectories (FTD); no better than MTT as measured.

    `multidd.images.mtt` with experts that are trained towards flat places
    (`multidd.learning.experts.GSAM`, GSAM with radius 0.01 and weight 1 as in the
    paper), whose errors add up less, and a running mean of the images as the result.
    Other arguments and errors are those of `mtt`; experts cost twice.

    Differs from the paper: as `mtt`. Under `preset="paper"`: the learned rate moves as
    a logarithm, by Adam.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.mtt`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Du, Jiang, Tan, Zhou, Li, "Minimizing the Accumulated Trajectory Error to
        Improve Dataset Distillation", CVPR 2023.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1, gsam=GSAM()), count=1)
        >>> one = FTDOptions(
        ...     experts=few,
        ...     start_epochs=(0, 0),
        ...     expert_epochs=1,
        ...     syn_steps=2,
        ...     width=4,
        ...     batch_size=8,
        ... )
        >>> ftd(train, ipc=1, steps=1, options=one).num_images
        10
    """
    ema = max(0.0, 1 - 10 / max(steps, 1)) if options.ema is None else options.ema
    return follow(
        "ftd",
        data,
        ipc,
        budget_bytes,
        options,
        steps=steps,
        optimizer={"x": image_optimizer(options.lr, options.momentum, ema=ema)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={"lr": options.lr, "ema": ema},
    )


def follow(
    method: str,
    data: Any,
    ipc: int | None,
    budget_bytes: int | None,
    options: MTTOptions,
    *,
    steps: int,
    optimizer: Mapping[str, Optimizer],
    run: RunSettings,
    recipe: Mapping[str, Any],
    around: Around | None = None,
    beside: Sequence[Part] = (),
    prepared: Callable[[ImageSetup], ImageSetup] | None = None,
) -> ImageSummary:
    """A recipe of trajectories: record the experts that are missing, then match.

    Args:
        method, data, ipc, budget_bytes, steps, run, around: see `setup.learn`.
        options: what is followed, and how.
        optimizer: of what is learned beside the rate.
        recipe: settings of the recipe beside those of all, for the card.
        beside: further terms of the objective.
        prepared: what is done once the experts are there.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: representative batches, of which there are none.
    """
    if options.sampler == "representative":
        raise ValueError(
            f"{method} draws no real batches beside those of its experts: sampler must "
            "be 'class' or 'uniform', got 'representative'"
        )
    along = options.trajectories()
    matching, rate = along.objective(), "objective.log_rate"
    objective: Objective = matching
    if beside:
        objective, rate = Mix((Part(matching), *beside)), "objective.0.log_rate"

    # Cards of runs by Adam, which came first, do not name it.
    moved = {} if options.momentum is None else {"momentum": options.momentum}

    def recorded(setup: ImageSetup) -> ImageSetup:
        setup = along.record(setup, run, options.executor)
        return setup if prepared is None else prepared(setup)

    return learn(
        method,
        data,
        ipc,
        budget_bytes,
        options,
        objective,
        steps=steps,
        optimizer={**optimizer, **along.optimizer(rate)},
        run=run,
        recipe={**along.settings(), "rows": along.rows, **recipe, **moved},
        around=around,
        prepared=recorded,
    )


@dataclass(frozen=True, kw_only=True)
class DATMOptions(MTTOptions):
    """Settings of `multidd.images.datm`, beside those of `MTTOptions`.

    Attributes:
        first_end: last epoch at which the learner starts at the first step.
        growth_steps: steps in which it grows to the last of `start`.
        ema: decay of the running mean of the images.

    Example:
        >>> DATMOptions(width=8).width
        8
    """

    first_end: int = 1
    growth_steps: int = 100
    ema: float = 0.99
    experts: Experts = FLAT
    start_epochs: tuple[int, int] = (0, 4)
    labels: Policy = "teacher"
    lr_labels: float | None = 0.003

    def trajectories(self) -> Trajectories:
        """What is followed, and how."""
        grow = (self.first_end, self.growth_steps)
        return replace(super().trajectories(), grow=grow)


@PRESETS
def datm(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    steps: int = 200,
    options: DATMOptions = DATMOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Distill images by aligned trajectories (DATM); below random in a plain CNN.

    `multidd.images.ftd` with a window that grows from easy epochs to hard ones, images
    that start from real ones which the experts classify correctly, and soft labels that
    start as the experts' probabilities and are learned too. Few images ask for early
    epochs, many for late ones: the paper starts at epochs 0 to 4 of 50 at one image per
    class, 0 to 20 at ten, 0 to 40 at fifty, and from 40 on at five hundred.

    Differs from the paper: as `multidd.images.mtt`, and labels are probabilities that
    are learned as they are, not logits; the mean over all experts, not those of one;
    `lr_labels` is of Adam. ZCA is `zca=True`. Under `preset="paper"`: the learned rate
    moves as a logarithm, by Adam; labels are probabilities, learned by Adam at its
    default.

    Args:
        data, ipc, budget_bytes, steps, seed, device, progress, checkpoint, run: see
            `multidd.images.mtt`.
        options: its other settings.
        preset: see `multidd.images.dm`.

    Reference:
        Guo, Wang, Cazenavette, Li, Zhang, You, "Towards Lossless Dataset Distillation
        via Difficulty-Aligned Trajectory Matching", ICLR 2024.

    Example:
        >>> import multidd
        >>> from multidd.learning.trainer import Trainer
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = DATMOptions(
        ...     experts=few,
        ...     start_epochs=(0, 0),
        ...     first_end=0,
        ...     expert_epochs=1,
        ...     syn_steps=2,
        ...     width=4,
        ...     batch_size=8,
        ... )
        >>> datm(train, ipc=1, steps=1, options=one).card.labels
        'soft'
    """

    def started(setup: ImageSetup) -> ImageSetup:
        right = recognized_by(setup, options.experts)
        teacher = FinalExperts(options.experts)
        form = from_recognized(setup.parameterization, right, teacher)
        return replace(setup, parameterization=form)

    return follow(
        "datm",
        data,
        ipc,
        budget_bytes,
        options,
        steps=steps,
        optimizer={"x": image_optimizer(options.lr, options.momentum, ema=options.ema)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={"lr": options.lr, "ema": options.ema},
        prepared=started,
    )
