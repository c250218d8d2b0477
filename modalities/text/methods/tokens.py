"""Token vectors by kernel ridge regression behind a frozen encoder."""

import time
from typing import Any, Unpack

from multidd.engine.recipe import split_options
from multidd.learning.kernel_sources import Plain
from multidd.learning.optim import Adam, Optimizer
from multidd.objectives import KernelRidge
from multidd.text.data.texts import Texts
from multidd.text.methods.options import Options, Settings
from multidd.text.methods.setup import encoder_for
from multidd.text.methods.token_setup import Project, label_optimizer, learn_tokens
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


def tokens(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    steps: int = 300,
    lr: float | None = None,
    length: int = 14,
    fill: Fill = "repeat",
    project: Project = "free",
    temperature: float = 1.0,
    closeness: float = 0.0,
    swaps: int | None = None,
    candidates: int = 32,
    gamma: float = 1.0,
    ridge: float = 1e-6,
    clip: float | None = None,
    seed: int = 0,
    **options: Unpack[Options],
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
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class, or give `total=`.
        model: the encoder: what `multidd.text.Encoder.of` takes.
        steps: updates.
        lr: of Adam on vectors and labels (the latter's own is `lr_labels`); it falls to
            zero along a cosine. By `project` unless given.
        length: tokens of a synthetic text, start and end counted.
        fill: what stands behind shorter texts; see `TokenTask`.
        project: `"free"`, `"straight_through"`, or mixtures of words: `"softmax"`, or
            `"gumbel"` with noise.
        temperature: of the last two.
        closeness: weight of the mean squared distance to the nearest word.
        swaps: rounds of word swaps after the steps, for `project="straight_through"`
            with learned labels, which are solved anew; 3 there unless given. With
            `sampler="class"` classes count in them, not texts. They are no part of the
            checkpoint: a call that is repeated swaps again.
        candidates: words that a swap tries, at most.
        gamma: of the Gaussian kernel $\exp(-\gamma \lVert a - b \rVert^2)$.
        ridge: relative to the mean of the kernel's diagonal.
        clip: largest norm of the gradient of a group; None leaves it.
        seed: seed of the run.
        **options: see `multidd.text.Settings` and `multidd.distill`.

    Returns:
        A `TextSummary` of token vectors, `ids` the nearest tokens.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Nguyen, Chen, Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR
        2021 (the loss; there on images, without an encoder).

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> tokens(few, per_class=1, steps=1, length=5).tensors["x"].shape
        torch.Size([2, 5, 384])
    """
    kernel = {"kind": "rbf", "gamma": gamma, "ridge": ridge}
    source = source_of(kernel)
    assert isinstance(source, Plain)
    started = time.perf_counter()
    defaults = Settings(init="medoids", labels="onehot", batch_size=500)
    settings, run = split_options(defaults, options, seed)
    rounds = _rounds(swaps, candidates, project, ridge, settings.labels)
    lr = RATES.get(project, 0.02) if lr is None else lr
    optimizer: dict[str, Optimizer] = {"x": Adam(lr=lr, cosine=steps, clip=clip)}
    optimizer |= label_optimizer(settings, LABELS, steps)
    encoder = encoder_for(model, settings)

    def with_swaps(summary: TextSummary, texts: Texts) -> TextSummary:
        left = run.timeout
        if left is not None:
            left -= time.perf_counter() - started
        return swapped(
            summary,
            texts,
            encoder=encoder.to(run.device),
            rounds=rounds,
            candidates=candidates,
            balance=float(settings.sampler == "class"),
            seed=run.seed,
            timeout=left,
            progress=run.progress,
        )

    return learn_tokens(
        "tokens",
        dataset,
        encoder,
        per_class,
        settings,
        KernelRidge(source, "mse", ridge),
        steps=steps,
        optimizer=optimizer,
        run=run,
        recipe={"lr": lr, "clip": clip},
        length=length,
        fill=fill,
        project=project,
        temperature=temperature,
        closeness=closeness,
        center=True,
        kernel=kernel,
        finished=with_swaps if rounds else None,
    )


def _rounds(
    swaps: int | None, candidates: int, project: Project, ridge: float, labels: str
) -> int:
    """Rounds of swaps: as given, where they can be made."""
    able = project == "straight_through" and labels == "onehot" and ridge > 0
    if swaps is None:
        swaps = SWAPS if able else 0
    check_swaps(swaps, candidates)
    if swaps and not able:
        raise ValueError(
            f"swaps={swaps} are for project='straight_through', learned labels and a "
            f"ridge above 0; got project={project!r}, labels={labels!r} and "
            f"ridge={ridge!r}"
        )
    return swaps
