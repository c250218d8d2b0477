"""Matching pursuit: real sentences chosen by the distillation loss itself."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from multidd import seeds
from multidd.engine.card import card_without_loop
from multidd.engine.options import RunSettings
from multidd.protocols import Draw, Records
from multidd.selection.pursuit import Pursuit
from multidd.settings import describe
from multidd.text.data.readers import as_texts
from multidd.text.data.texts import Texts
from multidd.text.methods.kernel import kernel_settings
from multidd.text.methods.options import (
    SELECTION_CARD,
    Settings,
    Source,
    selection_options,
)
from multidd.text.methods.setup import TextSetup, encoder_for, prepare
from multidd.text.models.encoder import Encoder
from multidd.text.models.feature_cache import features
from multidd.text.models.kernel_predictor import kernel_of
from multidd.text.summary.summary import TextSummary


def pursuit(
    dataset: Any,
    per_class: int | None = None,
    *,
    model: Any = None,
    kernel: Literal["rbf", "linear", "ntk"] = "rbf",
    gamma: float = 1.0,
    offset: float = 1.0,
    depth: int = 1,
    ridge: float = 1e-5,
    hard: float = 1.0,
    hard_ridge: float = 0.1,
    balance: float = 0.5,
    blend: float = 0.0,
    swaps: int = 2,
    most: int = 7000,
    exclude: Iterable[int] = (),
    proposals: Any = None,
    seed: int = 0,
    **options: Unpack[Source],
) -> TextSummary:
    r"""Real sentences, chosen greedily by the loss of kernel ridge regression.

    The loss is that of `kip`, on all training texts, with the chosen sentences in the
    place of learned embeddings: with the best soft labels that they can carry, in
    closed form, plus `hard` times that with their own labels. Each next sentence is the
    one that lowers it most; then each gives its place to a better one of its class
    while there is one (`multidd.selection.pursuit.Pursuit`).

    What it is for: a set that people can read, and that serves the summary's own
    predictor (with its soft labels), plain training on its texts (by the second term)
    and other learners. Nothing is generated: whoever sees the set sees real texts, so
    name those that must not be shown in `exclude`.

    Args:
        dataset: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class, or give `total=`.
        model: the encoder: what `multidd.text.Encoder.of` takes.
        kernel: Gaussian, linear, or neural tangent.
        gamma: of the Gaussian kernel $\exp(-\gamma \lVert a - b \rVert^2)$.
        offset: of the linear kernel $a^\top b + o$.
        depth: hidden layers of the network behind the tangent kernel.
        ridge: of the regression with soft labels.
        hard: weight of the loss with the texts' own labels; 0 for the summary's own
            predictor alone.
        hard_ridge: of the regression with them.
        balance: each training text counts by the size of its class to the power of
            minus this. Plain training on as many texts of each class knows nothing of
            the classes' sizes, and a loss by the sizes alone (0) chooses texts of small
            classes that claim next to nothing; 1 counts classes alike.
        blend: above 0, only the share `1 - blend` of each cluster that is nearest to
            its mean may be chosen, and one of each cluster.
        swaps: rounds of swaps at most.
        most: texts that the loss is a mean over, and candidates; more are sampled.
        exclude: rows of the training texts that are never chosen.
        proposals: more labelled texts that may be chosen, such as a language model's,
            in any form that `as_texts` takes; scored by the same loss.
        seed: draws the sample and the starts of clusters; with fewer texts than `most`
            and without `blend` it changes nothing.
        **options: as of `multidd.text.random`.

    Returns:
        A `TextSummary` of real texts, each with its own label and a soft one of mean
        zero; `source` is the row of the text, -1 of a proposal.

    Raises:
        ValueError: bad texts, budget, model or setting; says what would fit.
        TypeError: an option that selections do not take.

    Reference:
        Mallat, Zhang, "Matching Pursuits with Time-Frequency Dictionaries", IEEE Trans.
        Signal Processing, 1993; Smola, Bartlett, "Sparse Greedy Gaussian Process
        Regression", NeurIPS 2000.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> made = pursuit(few, per_class=1, exclude=[0])
        >>> made.card.labels, made.texts[1]
        ('centered', 'very fine')
    """
    settings, run = selection_options("pursuit", options, seed)
    regression = kernel_settings(kernel, gamma, offset, depth, ridge)
    chooser = Pursuit(
        kernel_of(regression),  # type: ignore[arg-type]
        ridge,
        hard,
        hard_ridge,
        blend,
        swaps,
        most,
        tuple(int(row) for row in exclude),
        balance,
    )
    encoder = encoder_for(model, settings)  # one for proposals too
    setup = prepare(dataset, encoder, per_class, settings, kernel=regression)
    more = _proposed(proposals, encoder, setup, settings)
    return _chosen(setup, chooser, more, run)


@dataclass(frozen=True, eq=False)
class _Proposed:
    """More texts that may be chosen, and their features."""

    texts: Texts
    records: Records


def _proposed(
    proposals: Any, encoder: Encoder, setup: TextSetup, settings: Settings
) -> _Proposed | None:
    if proposals is None:
        return None
    texts = setup.task.texts
    columns: Any = {n: getattr(settings, n) for n in ("text", "pair", "label")}
    more = as_texts(proposals, values=texts.values, **columns)
    if (more.pairs is None) != (texts.pairs is None):
        kind = "single texts" if texts.pairs is None else "pairs"
        raise ValueError(f"proposals must be {kind}, as the training texts are")
    x = features(encoder, more)
    return _Proposed(more, Records(x, more.labels, texts.num_classes))


def _chosen(
    setup: TextSetup, chooser: Pursuit, more: _Proposed | None, run: RunSettings
) -> TextSummary:
    """The summary of the texts chosen, with their labels."""
    started, stages = time.perf_counter(), run.stages("pursuit", setup.seconds)
    task = setup.task.to(run.device)
    records, rng = task.records(), seeds.at(run.seed, "selection", device=run.device)
    extra = None if more is None else more.records
    theirs = None if more is None else more.texts
    counts = setup.parameterization.counts
    with stages("selection"):
        rows = chooser.choose(records, counts, rng, extra, lambda: stages.late)
    x = _rows(task.x, None if extra is None else extra.features, rows)
    y = _rows(task.y, None if extra is None else extra.labels, rows)
    soft = chooser.labels(records, x)
    source = torch.where(rows < len(task.x), rows, -1)
    draw: Draw = {"x": x, "y": y, "y_soft": soft.float(), "source": source}
    if task.weigh:
        draw["weight"] = task.cells(x, y)
    shared = {n: v for n, v in setup.settings.items() if n in SELECTION_CARD}
    pursued = {
        k: v for k, v in describe(chooser).items() if k not in ("kind", "kernel")
    }
    pursued |= {"proposals": None if theirs is None else theirs.describe()}
    card = card_without_loop(
        "pursuit",
        shared | pursued,
        task.describe()["data"],
        seed=run.seed,
        started=started,
        seconds=setup.seconds,
        labels="centered",
    )
    texts, pairs = _strings(task.texts, theirs, rows.tolist())
    return TextSummary.of(draw, card, texts, pairs)


def _rows(ours: Tensor, theirs: Tensor | None, rows: Tensor) -> Tensor:
    """Rows of one tensor, and from its end on of the other."""
    return (ours if theirs is None else torch.cat([ours, theirs.to(ours)]))[rows]


def _strings(
    ours: Texts, theirs: Texts | None, rows: list[int]
) -> tuple[list[str], list[str] | None]:
    texts = ours.texts + (() if theirs is None else theirs.texts)
    chosen = [texts[row] for row in rows]
    if ours.pairs is None:
        return chosen, None
    pairs = ours.pairs + ((theirs and theirs.pairs) or ())
    return chosen, [pairs[row] for row in rows]
