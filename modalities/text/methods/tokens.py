"""Token vectors by kernel ridge regression behind a frozen encoder."""

import time
from dataclasses import dataclass
from typing import Any

from multidd.arguments import public_function
from multidd.engine.options import RunOptions, RunSettings
from multidd.learning.kernel_sources import Plain
from multidd.learning.optim import Adam, Optimizer
from multidd.objectives import KernelRidge
from multidd.parameterizations.labels import Policy
from multidd.storage.atomic import PathLike
from multidd.text.data.texts import Texts
from multidd.text.methods.setup import token_encoder_for
from multidd.text.methods.token_setup import (
    Project,
    TokenOptions,
    label_optimizer,
    learn_tokens,
)
from multidd.text.methods.word_swaps import check_swaps, swapped
from multidd.text.models.kernel_predictor import source_of
from multidd.text.summary.summary import TextSummary
from multidd.text.tasks.token_init import Fill

RATES = {"free": 0.02, "straight_through": 0.04, "softmax": 0.5, "gumbel": 0.5}
"""Of Adam, by how vectors are tied to the table; logits ask for a large one."""

LABELS = 0.02
"""Of Adam on the labels."""

SWAPS = 3
"""Rounds of word swaps where words are learned."""


@dataclass(frozen=True, kw_only=True)
class TokensOptions(TokenOptions):
    r"""Settings of `multidd.text.tokens`, beside those of `TextOptions`.

    Attributes:
        lr: of Adam on the vectors; it falls to zero along a cosine. By `project` unless
            given, for logits of words ask for larger steps than vectors. `lr_labels` is
            0.02 unless given.
        length: tokens of a synthetic text, start and end counted.
        fill: what stands behind shorter texts; see `TokenTask`.
        project: `"free"`, `"straight_through"`, or mixtures of words: `"softmax"`, or
            `"gumbel"` with noise.
        softmax_temperature: of the last two.
        closeness: weight of the mean squared distance to the nearest word.
        swaps: rounds of word swaps after the steps, for `project="straight_through"`
            with learned labels, which are solved anew; 3 there unless given. With
            `sampler="class"` classes count in them, not texts. They are no part of the
            checkpoint: a call that is repeated swaps again.
        candidates: words that a swap tries, at most.
        gamma: of the Gaussian kernel $\exp(-\gamma \lVert a - b \rVert^2)$.
        ridge: relative to the mean of the kernel's diagonal.
        clip: largest norm of the gradient of a group; None leaves it.

    Example:
        >>> TokensOptions(length=5).labels
        'onehot'
    """

    lr: float | None = None
    length: int = 14
    fill: Fill = "repeat"
    project: Project = "free"
    softmax_temperature: float = 1.0
    closeness: float = 0.0
    swaps: int | None = None
    candidates: int = 32
    gamma: float = 1.0
    ridge: float = 1e-6
    init: str = "medoids"
    labels: Policy = "onehot"

    def swap_rounds(self) -> int:
        """Rounds of swaps, where they can be made.

        Raises:
            ValueError: swaps are asked for where they cannot be made.

        Example:
            >>> TokensOptions(project="straight_through").swap_rounds()
            3
        """
        straight = self.project == "straight_through"
        able = straight and self.labels == "onehot" and self.ridge > 0
        default = SWAPS if able else 0
        swaps = default if self.swaps is None else self.swaps
        check_swaps(swaps, self.candidates)
        if swaps and not able:
            raise ValueError(
                f"swaps={swaps} are for project='straight_through', learned labels and "
                f"a ridge above 0; got project={self.project!r}, "
                f"labels={self.labels!r} and ridge={self.ridge!r}"
            )
        return swaps


@public_function
def tokens(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    steps: int = 300,
    options: TokensOptions = TokensOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Distill token vectors for kernel ridge regression behind a frozen encoder.

    $\lVert Y_T - K_{TS} (K_{SS} + \lambda \bar k I)^{-1} Y_S \rVert^2$ with the
    Gaussian kernel of $h(X)$, the encoder's features of the vectors X. Those of the
    real texts are computed once, and a step is one pass of the synthetic texts:
    first-order derivatives alone.

    How near the vectors stay to words is one choice. Free ones (`project="free"`) hold
    the most, and the words nearest to them little of it; `closeness=` draws them
    towards words; `"straight_through"` takes words at every step, so that decoding
    loses nothing, and searches on among words when the steps are done
    (`multidd.text.swapped`), where most of the time goes.

    Args:
        data: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class; or
        total: texts in all, each class by its size, one at least.
        encoder: of the texts: what `multidd.text.Encoder.of` takes.
        steps: updates.
        options: the other settings.
        seed: seed of every draw of the run.
        device: where the run computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        checkpoint: a folder to resume from and to save to.
        run: time limit, callbacks, checkpoints, the best iterate.

    Returns:
        A `TextSummary` of token vectors, `ids` the nearest tokens.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR
        2021 (the loss; there on images, without an encoder).

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> options = TokensOptions(length=5)
        >>> tokens(few, per_class=1, steps=1, options=options).tensors["x"].shape
        torch.Size([2, 5, 384])
    """
    kernel = {"kind": "rbf", "gamma": options.gamma, "ridge": options.ridge}
    source = source_of(kernel)
    assert isinstance(source, Plain)
    started = time.perf_counter()
    rounds = options.swap_rounds()
    lr = RATES.get(options.project, 0.02) if options.lr is None else options.lr
    optimizer: dict[str, Optimizer] = {
        "x": Adam(lr=lr, cosine=steps, clip=options.clip),
        **label_optimizer(options, LABELS, steps),
    }
    encoder = token_encoder_for("tokens", encoder, options)

    def with_swaps(summary: TextSummary, texts: Texts) -> TextSummary:
        left = run.timeout
        if left is not None:
            left -= time.perf_counter() - started
        return swapped(
            summary,
            texts,
            encoder=encoder.to(device),
            rounds=rounds,
            candidates=options.candidates,
            class_weight=float(options.sampler == "class"),
            seed=seed,
            timeout=left,
            progress=progress,
        )

    return learn_tokens(
        "tokens",
        data,
        per_class,
        total,
        encoder,
        options,
        KernelRidge(source, "mse", options.ridge),
        steps=steps,
        optimizer=optimizer,
        run=RunSettings(seed, device, progress, checkpoint, run),
        recipe={"lr": lr, "clip": options.clip},
        project=options.project,
        temperature=options.softmax_temperature,
        closeness=options.closeness,
        center=True,
        kernel=kernel,
        finished=with_swaps if rounds else None,
    )
