"""Trajectory matching: MTT."""

from concurrent.futures import Executor
from typing import Any, Unpack

from multidd.engine.recipe import Trajectories, split_options
from multidd.learning.experts import Experts, Trainer
from multidd.learning.optim import SGD, Adam
from multidd.learning.unroll import Backprop
from multidd.text.methods.options import Options, Settings
from multidd.text.methods.setup import learn
from multidd.text.summary.summary import TextSummary

EXPERTS = Experts(Trainer(epochs=10, steps=20, optimizer=SGD(lr=10.0)), count=5)
"""Five heads; features of length one ask for a large rate."""


def mtt(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 300,
    lr: float = 0.01,
    experts: Experts = EXPERTS,
    start: tuple[int, int] = (0, 4),
    epochs: int = 2,
    inner: int = 10,
    rate: float = 1.0,
    lr_rate: float = 0.01,
    memory: Backprop = "exact",
    executor: Executor | None = None,
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill sentence embeddings by matching training trajectories (MTT).

    $\lVert \hat\theta_{t+N} - \theta^*_{t+M} \rVert^2 / \lVert \theta^*_t -
    \theta^*_{t+M} \rVert^2$: N steps of a head on the synthetic embeddings, at a
    learned rate, go as far as an expert's M epochs on the real ones. Experts are
    recorded once and kept in the cache.

    Where it departs from the paper: experts are heads on a frozen encoder; soft labels
    are learned too; the rate is learned as a logarithm, and Adam moves the embeddings.

    Args:
        dataset, per_class, model, steps, lr, seed, **options: see `multidd.text.dm`
            (`hidden` is 0 unless given; batches, which the experts see, are uniform).
        experts: which experts, and where they are kept; see
            `multidd.learning.experts.Experts`.
        start: first and last epoch at which the learner starts.
        epochs: M.
        inner: N.
        rate: the learner's rate at the start.
        lr_rate: of Adam on the logarithm of the rate.
        memory: what is kept of the N steps; see `multidd.learning.unroll`.
        executor: any `concurrent.futures.Executor`, to record experts in parallel.

    Returns:
        A `TextSummary` of embeddings; `card.settings["learned"]["rate"]` is the rate.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        StorageError: an expert cannot be written; those before it are kept.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Cazenavette, Wang, Torralba, Efros, Zhu, "Dataset Distillation by Matching
        Training Trajectories", CVPR 2022.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> short = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"experts": short, "start": (0, 0), "epochs": 1, "inner": 2}
        >>> len(mtt(few, per_class=1, steps=1, **one))
        2
    """
    settings, run = split_options(Settings(labels="onehot"), options, seed)
    along = Trajectories(experts, start, epochs, inner, rate, lr_rate, memory)
    return learn(
        "mtt",
        dataset,
        model,
        per_class,
        settings,
        along.objective(),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps), **along.optimizer()},
        run=run,
        recipe={"lr": lr, **along.settings()},
        prepared=lambda setup: along.record(setup, run, executor),
    )
