"""Kernel ridge regression on embeddings: KIP and FRePO."""

from dataclasses import dataclass
from typing import Any, Literal

from multidd.engine.options import RunOptions, RunSettings
from multidd.learning.kernel_sources import Features
from multidd.learning.optim import Adam
from multidd.learning.states import Pool
from multidd.objectives import KernelRidge
from multidd.parameterizations.labels import Policy
from multidd.storage.atomic import PathLike
from multidd.text.methods.options import TextOptions
from multidd.text.methods.presets import PRESETS
from multidd.text.methods.setup import learn
from multidd.text.models.kernel_predictor import source_of
from multidd.text.summary.summary import TextSummary

KINDS = {"rbf": "rbf", "linear": "linear", "ntk": "infinite"}
"""Name of a kernel here -> on the card."""


@dataclass(frozen=True, kw_only=True)
class KernelOptions:
    r"""Settings of a kernel on sentence embeddings.

    Attributes:
        kernel: Gaussian, linear, or neural tangent.
        gamma: of the Gaussian kernel $\exp(-\gamma \lVert a - b \rVert^2)$.
        offset: of the linear kernel $a^\top b + o$.
        depth: hidden layers of the network behind the tangent kernel.
        ridge: relative to the mean of the kernel's diagonal.

    Example:
        >>> KernelOptions(gamma=0.5).kernel
        'rbf'
    """

    kernel: Literal["rbf", "linear", "ntk"] = "rbf"
    gamma: float = 1.0
    offset: float = 1.0
    depth: int = 1
    ridge: float = 1e-6

    def kernel_settings(self) -> dict[str, Any]:
        """Settings of the kernel predictor, of which each kernel has its own.

        Raises:
            ValueError: no such kernel.

        Example:
            >>> KernelOptions(kernel="linear", ridge=0.1).kernel_settings()
            {'kind': 'linear', 'ridge': 0.1, 'offset': 1.0}
        """
        if self.kernel not in KINDS:
            raise ValueError(
                f"kernel must be one of {', '.join(KINDS)}; got {self.kernel!r}"
            )
        by_kernel = {"rbf": ("gamma",), "linear": ("offset",), "ntk": ("depth",)}
        shape = {name: getattr(self, name) for name in by_kernel[self.kernel]}
        return {"kind": KINDS[self.kernel], "ridge": self.ridge} | shape


@dataclass(frozen=True, kw_only=True)
class KIPOptions(KernelOptions, TextOptions):
    """Settings of `multidd.text.kip`: these, `KernelOptions` and `TextOptions`.

    Attributes:
        lr: of Adam on the embeddings and on their labels; it falls to zero along a
            cosine. Features have length one, of which 0.01 is a small step.

    Raises:
        ValueError: no such kernel, or a setting out of range.

    Example:
        >>> KIPOptions(gamma=0.5).labels
        'onehot'
    """

    lr: float = 0.01
    labels: Policy = "onehot"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.kernel_settings()


@PRESETS
def kip(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 400,
    options: KIPOptions = KIPOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill sentence embeddings for kernel ridge regression (KIP).

    $\lVert Y_T - K_{TS} (K_{SS} + \lambda \bar k I)^{-1} Y_S \rVert^2$ on batches of
    real texts, whose features under a frozen encoder are computed once.

    Differs from the paper: records are embeddings of sentences, not inputs of the
    network; Gaussian and linear kernels beside the neural tangent kernel. Under
    `preset="paper"`: embeddings of a frozen encoder, Adam along a cosine at the default
    rate; updates are not the paper's number.

    What it is for: a few vectors that serve the summary's own predictor (model
    `"kernel"` of `multidd.evaluate`) as well as all texts do. The kernel must fit the
    head that is trained on them: those for a Gaussian kernel lose much under a linear
    head from 5 of each class on. With one of each class fixed labels (`labels="hard"`)
    serve both, the more so with `gamma=0.5`.

    Args:
        data: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: embeddings of each class; or
        total: embeddings in all, each class by its size, one at least.
        encoder: of the texts: what `multidd.text.Encoder.of` takes.
        steps: updates.
        options: the other settings.
        preset: see `multidd.text.dm`.
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, callbacks, checkpoints, the best iterate.

    Returns:
        A `TextSummary` of embeddings.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR
        2021.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> kip(few, per_class=1, steps=2).card.labels
        'centered'
    """
    regression = options.kernel_settings()
    return learn(
        "kip",
        data,
        per_class,
        total,
        encoder,
        options,
        KernelRidge(source_of(regression), "mse", options.ridge),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, cosine=steps)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={"lr": options.lr},
        kernel=regression,
        center=True,
    )


@dataclass(frozen=True, kw_only=True)
class FRePoOptions(TextOptions):
    """Settings of `multidd.text.frepo`, beside those of `TextOptions`.

    Attributes:
        lr: of Adam on the embeddings and on their labels; it falls to zero along a
            cosine. Features have length one, of which 0.01 is a small step.
        pool_size: heads in the pool.
        ridge: relative to the mean of the kernel's diagonal.

    Example:
        >>> FRePoOptions(pool_size=2).width
        256
    """

    lr: float = 0.01
    pool_size: int = 10
    ridge: float = 1e-6
    labels: Policy = "onehot"
    width: int = 256


@PRESETS
def frepo(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 400,
    options: FRePoOptions = FRePoOptions(),
    preset: str | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill sentence embeddings by a pool of heads (FRePo); below random texts.

    Kernel ridge regression with $K = \phi\phi^\top$ on the hidden layer of a head, one
    of a pool of all ages, each trained on the synthetic embeddings by a step per use;
    and a regularizer that keeps labels apart (FRePO).

    Differs from the paper: heads of one hidden layer on a frozen encoder, Adam instead
    of LAMB, a few hundred steps. Under `preset="paper"`: embeddings of a frozen
    encoder, Adam along a cosine at the default rate instead of LAMB; heads of one
    layer.

    Args:
        data, per_class, total, encoder, steps, seed, device, progress, checkpoint, run:
            see `multidd.text.kip`.
        options: the other settings.
        preset: see `multidd.text.dm`.

    Returns:
        A `TextSummary` of embeddings; its own predictor is that of an infinitely wide
        network of one hidden layer.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Zhou, Nezhadarya, Ba, "Dataset Distillation using Neural Feature Regression",
        NeurIPS 2022.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> frepo(few, per_class=1, steps=2, options=FRePoOptions(width=8)).card.labels
        'centered'
    """
    states = Pool(options.pool_size, on="synthetic", optimizer=Adam(lr=3e-3))
    return learn(
        "frepo",
        data,
        per_class,
        total,
        encoder,
        options,
        KernelRidge(Features(states), "mse", options.ridge, margin=True),
        steps=steps,
        optimizer={"x": Adam(lr=options.lr, cosine=steps)},
        run=RunSettings(seed, device, progress, checkpoint, run, preset),
        recipe={"lr": options.lr, "pool": options.pool_size},
        kernel={"kind": "infinite", "depth": 1, "ridge": options.ridge},
        loss="mse",
        center=True,
    )
