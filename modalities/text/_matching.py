"""DM, DC and MTT: heads on a frozen encoder see the same in both sets."""

from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Unpack

from multidd.distances import named
from multidd.learning.experts import Experts, Trainer, record
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Fresh, Online
from multidd.learning.unroll import Inner, Memory
from multidd.objectives import (
    DistributionMatching,
    GradientMatching,
    TrajectoryMatching,
)
from multidd.objectives.statistics import Means
from multidd.options import split_options
from multidd.text.settings import Options, Settings
from multidd.text.setup import Setup, learn
from multidd.text.summary import TextSummary

EXPERTS = Experts(Trainer(epochs=10, steps=20, optimizer=SGD(lr=10.0)), count=5)
"""Five heads; features of length one ask for a large rate."""


def dm(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 400,
    lr: float = 0.01,
    models: int = 4,
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill sentence embeddings by distribution matching (DM).

    $\sum_c \lVert \mu^S_c - \mu^T_c \rVert^2$ of the hidden layer of fresh random heads
    at every step.

    Where it departs from the paper: embeddings of a frozen encoder under random heads
    of one hidden layer, several at a step, Adam along a cosine. With `hidden=0` the
    features themselves are compared, and only the mean of each class is matched.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: embeddings of each class, or give `total=`.
        model: the encoder: what `multidd.text.Encoder.of` takes.
        steps: updates.
        lr: of Adam on the embeddings; it falls to zero along a cosine.
        models: random heads at a step.
        seed: seed of the run.
        **options: see `multidd.text.Settings` (`hidden` is 256 unless given, and
            batches are of 128 of each class) and `multidd.distill`.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Bilen, "Dataset Condensation with Distribution Matching", WACV 2023.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(dm(few, per_class=1, steps=2, hidden=8))
        2
    """
    return learn(
        "dm",
        dataset,
        model,
        per_class,
        Settings(hidden=256, sampler="class", batch_size=128),
        options,
        DistributionMatching((Means(),), Fresh(models)),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        seed=seed,
        recipe={"lr": lr, "models": models},
    )


def dc(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 400,
    lr: float = 0.01,
    models: int = 4,
    inner: int = 5,
    restart: int = 20,
    distance: str = "mse",
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill sentence embeddings by gradient matching (DC).

    $\sum_c D(\nabla_\theta L^S_c, \nabla_\theta L^T_c)$ on heads that are trained on
    the real texts between two matches and start afresh after `restart` of them. Of a
    linear head the gradients are closed form; `hidden=` takes heads with a hidden
    layer.

    Where it departs from the paper: embeddings of a frozen encoder under a head;
    several heads at a step, trained on real texts, whose gradients are matched by
    their squared distance, so that their size counts too.

    Args:
        dataset, per_class, model, steps, lr, seed, **options: see `multidd.text.dm`
            (`hidden` is 0 unless given).
        models: heads at a step.
        inner: training steps of the heads between two matches.
        restart: matches after which they start again.
        distance: `"mse"`, `"cosine"`, `"cosine+magnitude"` or `"l1"`.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhao, Mopuri, Bilen, "Dataset Condensation with Gradient Matching", ICLR 2021.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> len(dc(few, per_class=1, steps=2))
        2
    """
    trained = Online("real", models, inner, restart, Adam(lr=0.03))
    return learn(
        "dc",
        dataset,
        model,
        per_class,
        Settings(sampler="class", batch_size=128),
        options,
        GradientMatching(named(distance), trained, biases=True),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        seed=seed,
        recipe={
            "lr": lr,
            "models": models,
            "inner": inner,
            "restart": restart,
            "distance": distance,
        },
    )


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
    memory: Memory = "exact",
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
    _, run = split_options(Settings(), options)
    own = Inner(inner, SGD(lr=rate), memory=memory)
    objective = TrajectoryMatching(experts, own, start, epochs)

    def prepared(setup: Setup) -> Setup:
        task = setup.task.to(run.get("device", "cpu"))
        taken = record(task, experts, executor=executor)
        return replace(setup, seconds=setup.seconds + taken.seconds)

    return learn(
        "mtt",
        dataset,
        model,
        per_class,
        Settings(labels="onehot"),
        options,
        objective,
        steps=steps,
        optimizer={
            "x": Adam(lr=lr, cosine=steps),
            "objective.log_rate": Adam(lr=lr_rate),
        },
        seed=seed,
        recipe={
            "lr": lr,
            "experts": experts,
            "start": start,
            "epochs": epochs,
            "inner": inner,
            "rate": rate,
            "lr_rate": lr_rate,
            "memory": memory,
        },
        prepared=prepared,
    )
