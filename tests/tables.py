"""The configurations that the contract tests try, and the task each of them needs."""

from itertools import cycle
from typing import Any

import torch

from multidd.kernels import RBF, Linear
from multidd.learning.experts import GSAM, Experts, Trainer
from multidd.learning.kernel_sources import Features, Infinite, Plain
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Bank, Fresh, Frozen, Online, Pool
from multidd.learning.unroll import InnerLoop
from multidd.objectives import (
    Contrast,
    DistributionMatching,
    GradientMatching,
    KernelRidge,
    Mix,
    Recovery,
    Representative,
    TrajectoryMatching,
    Unroll,
    distances,
)
from multidd.objectives.kernel import RidgeSearch
from multidd.objectives.mix import Part
from multidd.objectives.terms import (
    MMD,
    Centralization,
    Characteristic,
    Covariance,
    CrossEntropy,
    Discrimination,
    Means,
)
from multidd.parameterizations import (
    Bases,
    BernoulliAdjacency,
    Conditional,
    Free,
    Generator,
    GumbelHistories,
    Hallucinators,
    Labels,
    Latent,
    Mixtures,
    PairwiseAdjacency,
    SharedDecoder,
    Tiles,
    TopHistories,
)
from multidd.parameterizations.decoder_nets import DecoderFit, DecoderNet
from multidd.protocols import Tree
from multidd.selection.basic import Herding, KMeans
from tests.toy import COUNTS, MODELS, Toy, free

EXPERTS = Experts(Trainer(epochs=4, steps=2, optimizer=SGD(0.1)), count=2)
"""Recorded in the cache of the tests when they are first asked for."""

FLAT = Experts(Trainer(3, 1, SGD(0.1, 0.5), batch_size=6, gsam=GSAM(0.05)), count=3)

FOURFOLD = tuple(4 * n for n in COUNTS)
"""Records that four tiles to a stored image start from."""

TWOFOLD = tuple(2 * n for n in COUNTS)
"""Records that two decoders to a code start from."""

BOTH = free(learn=("x", "adjacency"))

ROWS = torch.tensor([[1.0, 0, 0, -1], [0, 1, 0, 1], [0, -1, 1, 0], [1, 1, -1, 0.5]])
"""A table whose rows are mixed."""


def _bent(z: torch.Tensor) -> torch.Tensor:
    """A generator of vectors of four from latents of three."""
    rows = torch.tensor([[1.0, 0.5, 0, -1], [0, 1, -0.5, 0.3], [0.2, 0, 1, 0.7]])
    return torch.tanh(z @ rows.to(z)) + 0.1 * z.sum(1, keepdim=True)


OBJECTIVES: dict[str, list[Any]] = {
    "GradientMatching": [
        GradientMatching(states=Online(steps=2, matches_per_net=3)),
        GradientMatching(distances.MSE(), Online("real", 2, 2, 2), biases=True),
        GradientMatching(distances.NormalizedMSE(), Bank(2, 2)),
        GradientMatching(distances.NormalizedMSE(True), Bank(2, 3), class_wise=False),
        GradientMatching(distances.CosineMagnitude(), Fresh(2), inter_class=True),
        GradientMatching(distances.LayerCosine(), Fresh(), class_wise=False),
        GradientMatching(distances.MSE(), Pool(3, 2, max_age=2, optimizer=SGD(0.1))),
        GradientMatching(states=Frozen(2, steps=2)),
        GradientMatching(distances.L1(), Fresh(2)),
    ],
    "DistributionMatching": [
        DistributionMatching(),
        DistributionMatching((Means("all"),), Fresh(3)),
        DistributionMatching((MMD(),), Bank(2, 2)),
        DistributionMatching((MMD("all"),), Online(optimizer=SGD(0.1), steps=1)),
        DistributionMatching((Means((1.0, 0.1)), Discrimination()), Online(steps=2)),
        DistributionMatching(
            (Means(), CrossEntropy()), Pool(3, on="real", warmup_steps=1)
        ),
        DistributionMatching(
            (Means(), Covariance(), Centralization()), Frozen(steps=2)
        ),
        DistributionMatching((Covariance(channels=1, weight=1.0),), Fresh(2)),
        DistributionMatching((Characteristic(16),), Pool(2, on="real", max_age=1)),
    ],
    "KernelRidge": [
        KernelRidge(ridge=1e-3),
        KernelRidge(Infinite(2, kind="nngp"), "cross_entropy", ridge=1e-2),
        KernelRidge(Features(Fresh(2), 2.0, 0.01), "cross_entropy", 1e-2, margin=True),
        KernelRidge(Features(Pool(3, max_age=2)), ridge=1e-2),
        KernelRidge(Features(Bank(1, 2)), ridge=1e-2),
        KernelRidge(Infinite(), "multinomial", ridge=RidgeSearch((1e-2, 0.1), 1e-2, 2)),
        KernelRidge(Plain(RBF(0.5)), ridge=1e-3),
        KernelRidge(Plain(Linear()), "cross_entropy", ridge=1e-2),
    ],
    "Mix": [
        Mix((Part(DistributionMatching(), 2.0), Part(GradientMatching(), last=2))),
        Mix(
            (Part(KernelRidge(loss_kind="cross_entropy", ridge=0.1), first=1, every=2),)
        ),
    ],
    "Contrast": [Contrast(2), Contrast(3, Bank(2, 2))],
    "Representative": [
        Representative(DistributionMatching(), per_class=3, every=2),
        Representative(KernelRidge(loss_kind="cross_entropy", ridge=0.1), 4, 1),
    ],
    # The gradient of more steps at first order is biased on purpose: test_trajectory.
    "TrajectoryMatching": [
        TrajectoryMatching(
            EXPERTS,
            InnerLoop(3, SGD(0.2), backprop="checkpointed"),
            (0, 2),
            growth=(1, 2),
        ),
        TrajectoryMatching(FLAT, InnerLoop(3, SGD(0.1, 0.9), 4, "stored"), (1, 1)),
        TrajectoryMatching(
            EXPERTS, InnerLoop(1, SGD(0.2), None, "first_order"), (0, 1), 3, None, False
        ),
    ],
    "Recovery": [
        Recovery(Frozen(steps=2), weight=0.1, batches=2),
        Recovery(Frozen(2, steps=1), weight=1.0, first_layer_weight=3.0, channels=(1,)),
    ],
    # The gradient of a truncated way is biased on purpose: see test_unrolled.
    "Unroll": [
        Unroll(InnerLoop(3, SGD(0.3)), Fresh(2), "one"),
        Unroll(InnerLoop(3, SGD(0.2, 0.9), backprop="stored"), Bank(1, 2), "each"),
        Unroll(
            InnerLoop(4, Adam(0.05), 4, "checkpointed"), Online(steps=1), min_steps=2
        ),
        Unroll(InnerLoop(2, SGD(0.2)), Frozen(steps=2)),
    ],
}
"""Public name of an objective -> the configurations that every contract test tries."""

PARAMETERIZATIONS: dict[str, list[Any]] = {
    "Free": [free(), BOTH, Free(KMeans(), COUNTS)],
    "BernoulliAdjacency": [
        BernoulliAdjacency(free(), edge_logit=2.0, anneal=3, temperature=(1.0, 0.3)),
        BernoulliAdjacency(free(), 1.0, straight_through=True, finish="sample"),
    ],
    "Labels": [
        Labels(free(), "onehot"),
        Labels(free(), "teacher", center=False, teacher=Frozen(steps=3)),
        Labels(free(), "teacher_once", teacher=Frozen(steps=3)),
        Labels(free(), "centered"),
        Labels(free(), "hard"),
    ],
    "GumbelHistories": [
        GumbelHistories(free(), draws=3, temperature=0.7),
        GumbelHistories(free(), draws=3, temperature=0.4, sampler="independent"),
        GumbelHistories(free(), draws=2, temperature=1.0, sampler="expected"),
        GumbelHistories(free(), draws=2, temperature=1.0, sampler="mean", rank=2),
    ],
    "TopHistories": [
        TopHistories(free(), 2, temperature=(1.0, 0.5), anneal=3),
        TopHistories(free(), 2, noise=0.5),
    ],
    "Tiles": [Tiles(free(FOURFOLD), 2), Tiles(Labels(free(FOURFOLD)), 2)],
    "Bases": [Bases(free(), 3), Bases(Labels(free()), 5, factor=2, start="noise")],
    "Hallucinators": [
        Hallucinators(free(), 2, width=2),
        Hallucinators(Labels(free()), 2, width=2, factor=4),
    ],
    "SharedDecoder": [
        SharedDecoder(free(TWOFOLD), 2, DecoderNet(3, 5, 1), DecoderFit(3)),
        SharedDecoder(Labels(free(TWOFOLD)), 2, DecoderNet(2, 3, 4), DecoderFit(3)),
    ],
    "Conditional": [
        Conditional(free(), 2, DecoderNet(3, 4, 1), DecoderFit(5)),
        Conditional(free(), 3, DecoderNet(2, 3, 2), learn_noise=True),
    ],
    "Generator": [Generator(free(), _bent, (3,), DecoderFit(5, 0.05))],
    "Latent": [Latent(Labels(free()), torch.asinh, torch.sinh)],
    "Mixtures": [
        Mixtures(free(), ROWS, finish="mixture"),
        Mixtures(free(), ROWS, "gumbel", temperature=0.5, finish="mixture"),
    ],
    "PairwiseAdjacency": [
        PairwiseAdjacency(free(), width=6, warmup_steps=3),
        PairwiseAdjacency(
            Free(Herding(), COUNTS), 4, warmup_steps=9, batch_norm=True, threshold=0.02
        ),
        PairwiseAdjacency(free(), width=5, warmup_steps=2, pairs=13),
    ],
}
"""Public name of a parameterization -> the configurations that are tried."""

ALL_OBJECTIVES = [one for some in OBJECTIVES.values() for one in some]
ALL_PARAMETERIZATIONS = [one for some in PARAMETERIZATIONS.values() for one in some]


def _covering() -> list[tuple[Any, Any, str]]:
    """Objective, parameterization and model, chosen greedily: every class meets every
    class, and every setting of either every model."""
    meets = {
        (i, j, model): {
            (type(objective), type(form)),
            (id(objective), model),
            (id(form), model),
        }
        for i, objective in enumerate(ALL_OBJECTIVES)
        for j, form in enumerate(ALL_PARAMETERIZATIONS)
        for model in MODELS
    }
    missing = set().union(*meets.values())
    chosen = []
    while missing:
        i, j, model = best = max(meets, key=lambda row: len(meets[row] & missing))
        chosen.append((ALL_OBJECTIVES[i], ALL_PARAMETERIZATIONS[j], model))
        missing -= meets[best]
    return chosen


PAIRS = _covering()
"""The pairs that are always tried: a covering array."""

SETTINGS = [
    (objective, ALL_PARAMETERIZATIONS[i % len(ALL_PARAMETERIZATIONS)], model)
    for i, (objective, model) in enumerate(zip(ALL_OBJECTIVES, cycle(MODELS)))
]
"""Every setting of either once, for what costs several runs."""


def all_pairs() -> list[tuple[Any, Any, str]]:
    """Every setting of an objective with every one of a parameterization: records as
    they are on both models, others on one by turns."""
    return [
        (objective, form, model)
        for i, objective in enumerate(ALL_OBJECTIVES)
        for j, form in enumerate(ALL_PARAMETERIZATIONS)
        for k, model in enumerate(MODELS)
        if j == 0 or (i + j) % len(MODELS) == k
    ]


def toy_for(form: Any, model: str = "linear", **settings: Any) -> Toy:
    """The task that a parameterization needs: images where there are tiles or codes of
    a lower resolution, no edges where a stored record becomes several."""
    factor = getattr(form, "factor", getattr(getattr(form, "net", None), "factor", 1))
    edges = not isinstance(form, SharedDecoder | Hallucinators)
    return Toy(model, grid=factor > 1, edges=edges, **settings)


def started(objective: Any, task: Toy, rng: torch.Generator) -> Tree:
    """The state at the start, with what the objective learns, as a loss sees it."""
    learned = getattr(objective, "learned", dict)()
    state = objective.init(task, rng)
    return {**state, "learned": learned} if learned else state


def stands_still(objective: Any) -> bool:
    """Whether `advance` has nothing to do."""
    kernel = getattr(objective, "kernel", None)
    if isinstance(getattr(objective, "ridge", None), RidgeSearch):
        return False
    states = getattr(kernel or objective, "states", None)
    return isinstance(kernel, Infinite | Plain) or isinstance(states, Frozen)
