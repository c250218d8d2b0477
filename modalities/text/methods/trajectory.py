"""Trajectory matching: MTT."""

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.recipe import Trajectories
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import Backprop
from multidd.parameterizations.labels import Policy
from multidd.storage.atomic import PathLike
from multidd.text.methods.options import TextOptions
from multidd.text.methods.presets import PRESETS
from multidd.text.methods.setup import learn
from multidd.text.summary.summary import TextSummary

EXPERTS = Experts(Trainer(epochs=10, steps=20, optimizer=SGD(lr=10.0)), count=5)
"""Five heads; features of length one ask for a large rate."""


@dataclass(frozen=True, kw_only=True)
class MTTOptions(TextOptions):
    """Settings of `multidd.text.mtt`, beside those of `TextOptions`.

    Attributes:
        lr: of Adam on the embeddings; it falls to zero along a cosine. Features have
            length one, of which 0.01 is a small step.
        experts: which experts, and where they are kept; see
            `multidd.learning.experts.Experts`.
        start_epochs: first and last epoch at which the learner starts.
        expert_epochs: M.
        syn_steps: N.
        lr_net: the learner's rate at the start.
        lr_lr: of Adam on the logarithm of the rate.
        backprop: what is kept of the N steps; see `multidd.learning.unroll`.
        executor: any `concurrent.futures.Executor`, to record experts in parallel.

    Example:
        >>> MTTOptions(syn_steps=5).labels
        'onehot'
    """

    lr: float = 0.01
    experts: Experts = EXPERTS
    start_epochs: tuple[int, int] = (0, 4)
    expert_epochs: int = 2
    syn_steps: int = 10
    lr_net: float = 1.0
    lr_lr: float = 0.01
    backprop: Backprop = "exact"
    executor: Executor | None = None
    labels: Policy = "onehot"


@PRESETS
def mtt(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 300,
    options: MTTOptions = MTTOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill sentence embeddings by matching training trajectories (MTT).

    $\lVert \hat\theta_{t+N} - \theta^*_{t+M} \rVert^2 / \lVert \theta^*_t -
    \theta^*_{t+M} \rVert^2$: N steps of a head on the synthetic embeddings, at a
    learned rate, go as far as an expert's M epochs on the real ones. Experts are
    recorded once and kept in the cache.

    Differs from the paper: experts are heads on a frozen encoder; soft labels are
    learned too; the rate is learned as a logarithm, and Adam moves the embeddings.
    Under `preset="paper"`: embeddings of a frozen encoder, Adam along a cosine at the
    default rate; experts are heads, at the default rate.

    Args:
        data, per_class, total, encoder, steps, seed, device, progress, checkpoint, run:
            see `multidd.text.dm`.
        options: the other settings.
        preset: see `multidd.text.dm`.

    Returns:
        A `TextSummary` of embeddings; `card.settings["learned"]["rate"]` is the rate.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        StorageError: an expert cannot be written; those before it are kept.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching
        Training Trajectories", CVPR 2022.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> short = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> options = MTTOptions(experts=short, start_epochs=(0, 0), expert_epochs=1)
        >>> len(mtt(few, per_class=1, steps=1, options=options))
        2
    """
    settings = RunSettings(seed, device, progress, checkpoint, run, preset)
    along = Trajectories(
        options.experts,
        options.start_epochs,
        options.expert_epochs,
        options.syn_steps,
        options.lr_net,
        options.lr_lr,
        options.backprop,
    )
    return learn(
        "mtt",
        data,
        per_class,
        total,
        encoder,
        options,
        along.objective(),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, cosine=steps), **along.optimizer()},
        run=settings,
        recipe={"lr": options.lr, **along.settings()},
        prepared=lambda setup: along.record(setup, settings, options.executor),
    )
