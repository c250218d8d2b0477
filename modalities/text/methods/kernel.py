"""Kernel ridge regression on embeddings: KIP and FRePO."""

from typing import Any, Literal, Unpack

from multidd.engine.recipe import split_options
from multidd.learning.kernel_sources import Features
from multidd.learning.optim import Adam
from multidd.learning.states import Pool
from multidd.objectives import KernelRidge
from multidd.text.methods.options import Options, Settings
from multidd.text.methods.setup import learn
from multidd.text.models.kernel_predictor import source_of
from multidd.text.summary.summary import TextSummary

KINDS = {"rbf": "rbf", "linear": "linear", "ntk": "infinite"}
"""Name of a kernel here -> on the card."""


def kernel_settings(
    kernel: str, gamma: float, offset: float, depth: int, ridge: float
) -> dict[str, Any]:
    """Settings of a kernel predictor, of which each kernel has its own.

    Args:
        kernel, gamma, offset, depth, ridge: as of `kip`.

    Raises:
        ValueError: no such kernel.

    Example:
        >>> kernel_settings("linear", 1.0, 0.5, 1, 0.1)
        {'kind': 'linear', 'ridge': 0.1, 'offset': 0.5}
    """
    if kernel not in KINDS:
        raise ValueError(f"kernel must be one of {', '.join(KINDS)}; got {kernel!r}")
    shapes = {"rbf": {"gamma": gamma}, "linear": {"offset": offset}}
    shape = shapes.get(kernel, {"depth": depth})
    return {"kind": KINDS[kernel], "ridge": ridge} | shape


def kip(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 400,
    lr: float = 0.01,
    kernel: Literal["rbf", "linear", "ntk"] = "rbf",
    gamma: float = 1.0,
    offset: float = 1.0,
    depth: int = 1,
    ridge: float = 1e-6,
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill sentence embeddings for kernel ridge regression (KIP).

    $\lVert Y_T - K_{TS} (K_{SS} + \lambda \bar k I)^{-1} Y_S \rVert^2$ on batches of
    real texts, whose features under a frozen encoder are computed once.

    Where it departs from the paper: records are embeddings of sentences, not inputs of
    the network; Gaussian and linear kernels beside the neural tangent kernel.

    What it is for: a few vectors that serve the summary's own predictor (model
    `"kernel"` of `multidd.evaluate`) as well as all texts do. The kernel must fit the
    head that is trained on them: those for a Gaussian kernel lose much under a linear
    head from 5 of each class on. With one of each class fixed labels (`labels="hard"`)
    serve both, the more so with `gamma=0.5`.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: embeddings of each class, or give `total=`.
        model: the encoder: what `multidd.text.Encoder.of` takes.
        steps: updates.
        lr: of Adam on the embeddings and on their labels; it falls to zero along a
            cosine.
        kernel: Gaussian, linear, or neural tangent.
        gamma: of the Gaussian kernel $\exp(-\gamma \lVert a - b \rVert^2)$.
        offset: of the linear kernel $a^\top b + o$.
        depth: hidden layers of the network behind the tangent kernel.
        ridge: relative to the mean of the kernel's diagonal.
        seed: seed of the run.
        **options: see `multidd.text.Settings` and `multidd.distill`.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR
        2021.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> kip(few, per_class=1, steps=2).card.labels
        'centered'
    """
    regression = kernel_settings(kernel, gamma, offset, depth, ridge)
    settings, run = split_options(Settings(labels="onehot"), options, seed)
    return learn(
        "kip",
        dataset,
        model,
        per_class,
        settings,
        KernelRidge(source_of(regression), "mse", ridge),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        run=run,
        recipe={"lr": lr},
        kernel=regression,
        center=True,
    )


def frepo(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 400,
    lr: float = 0.01,
    pool: int = 10,
    ridge: float = 1e-6,
    seed: int = 0,
    **options: Unpack[Options],
) -> TextSummary:
    r"""Distill sentence embeddings by regression on the features of trained heads.

    Kernel ridge regression with $K = \phi\phi^\top$ on the hidden layer of a head, one
    of a pool of all ages, each trained on the synthetic embeddings by a step per use;
    and a regularizer that keeps labels apart (FRePO).

    Where it departs from the paper: heads of one hidden layer on a frozen encoder, Adam
    instead of LAMB, a few hundred steps.

    Args:
        dataset, per_class, model, steps, lr, seed, **options: see `multidd.text.kip`;
            `hidden` is 256 unless given.
        pool: heads in the pool.
        ridge: relative to the mean of the kernel's diagonal.

    Returns:
        A `TextSummary` of embeddings; its own predictor is that of a linear kernel.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhou, Nezhadarya, Ba, "Dataset Distillation using Neural Feature Regression",
        NeurIPS 2022.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> frepo(few, per_class=1, steps=2, hidden=8).card.labels
        'centered'
    """
    states = Pool(pool, on="synthetic", optimizer=Adam(lr=3e-3))
    settings, run = split_options(Settings(labels="onehot", hidden=256), options, seed)
    return learn(
        "frepo",
        dataset,
        model,
        per_class,
        settings,
        KernelRidge(Features(states), "mse", ridge, margin=True),
        steps=steps,
        optimizer={"x": Adam(lr=lr, cosine=steps)},
        run=run,
        recipe={"lr": lr, "pool": pool},
        kernel={"kind": "infinite", "depth": 1, "ridge": ridge},
        loss="mse",
        center=True,
    )
