"""Matching pursuit: real sentences chosen by the distillation loss itself."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function
from multidd.engine.card import card_without_loop
from multidd.engine.options import RunOptions, RunSettings
from multidd.protocols import Draw, Records
from multidd.selection.pursuit import Pursuit
from multidd.settings import describe
from multidd.text.data.readers import as_texts
from multidd.text.data.texts import Texts
from multidd.text.methods.kernel import KernelOptions
from multidd.text.methods.options import TextSelectionOptions
from multidd.text.methods.setup import TextSetup, encoder_for, prepare
from multidd.text.models.encoder import Encoder
from multidd.text.models.feature_cache import features
from multidd.text.models.function_encoder import FunctionEncoder
from multidd.text.models.kernel_predictor import kernel_of
from multidd.text.summary.summary import TextSummary


@dataclass(frozen=True, kw_only=True)
class PursuitOptions(KernelOptions, TextSelectionOptions):
    """Settings of `multidd.text.pursuit`, beside `KernelOptions` and selections'.

    Attributes:
        ridge: of the regression with soft labels, relative to the kernel's diagonal.
        hard_weight: weight of the loss with the texts' own labels; 0 for the summary's
            own predictor alone.
        hard_ridge: of the regression with them; it is large, for hard labels cannot be
            fitted to each text.
        class_weight: each training text counts by the size of its class to the power of
            minus this. Plain training on as many texts of each class knows nothing of
            the classes' sizes, and a loss by the sizes alone (0) chooses texts of small
            classes that claim next to nothing; 1 counts classes alike.
        blend: above 0, only the share `1 - blend` of each cluster that is nearest to
            its mean may be chosen, and one of each cluster.
        swaps: rounds of swaps at most.
        max_candidates: texts that the loss is a mean over, and that may be chosen; more
            are sampled. Memory grows by its square.
        exclude: rows of the training texts that are never chosen.
        proposals: more labelled texts that may be chosen, such as a language model's,
            in any form that `as_texts` takes; scored by the same loss.

    Raises:
        ValueError: no such kernel.

    Example:
        >>> PursuitOptions(swaps=0).class_weight
        0.5
    """

    ridge: float = 1e-5
    hard_weight: float = 1.0
    hard_ridge: float = 0.1
    class_weight: float = 0.5
    blend: float = 0.0
    swaps: int = 2
    max_candidates: int = 7000
    exclude: Iterable[int] = ()
    proposals: Any = None

    def __post_init__(self) -> None:
        self.kernel_settings()

    @property
    def chooser(self) -> Pursuit:
        """The selection that these settings stand for."""
        return Pursuit(
            kernel_of(self.kernel_settings()),  # type: ignore[arg-type]
            self.ridge,
            self.hard_weight,
            self.hard_ridge,
            self.blend,
            self.swaps,
            self.max_candidates,
            tuple(int(row) for row in self.exclude),
            self.class_weight,
        )


@public_function
def pursuit(
    data: Any,
    per_class: int | None = None,
    *,
    total: int | None = None,
    encoder: Any = None,
    options: PursuitOptions = PursuitOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    run: RunOptions = RunOptions(),
) -> TextSummary:
    r"""Real sentences, chosen greedily by the loss of kernel ridge regression.

    The loss is that of `kip`, on all training texts, with the chosen sentences in the
    place of learned embeddings: with the best soft labels that they can carry, in
    closed form, plus `hard_weight` times that with their own labels. Each next sentence
    is the one that lowers it most; then each gives its place to a better one of its
    class while there is one (`multidd.selection.pursuit.Pursuit`).

    What it is for: a set that people can read, and that serves the summary's own
    predictor (with its soft labels), plain training on its texts (by the second term)
    and other learners. Nothing is generated: whoever sees the set sees real texts, so
    name those that must not be shown in `exclude`.

    Args:
        data: labelled texts; see `multidd.text.as_texts` for the forms it takes.
        per_class: texts of each class; or
        total: texts in all, each class by its size, one at least.
        encoder: of the texts: what `multidd.text.Encoder.of` takes.
        options: the other settings.
        seed: draws the sample and the starts of clusters; with fewer texts than
            `max_candidates` and without `blend` it changes nothing.
        device: where the search computes, such as `"cpu"` or `"cuda"`.
        progress: show the bar; None shows it on terminals and in notebooks.
        run: a time limit; there is no loop, and settings of one are refused.

    Returns:
        A `TextSummary` of real texts, each with its own label and a soft one of mean
        zero; `source` is the row of the text, -1 of a proposal.

    Raises:
        ValueError: bad texts, budget, encoder or setting; says what would fit.
        TypeError: a setting of a loop.

    Reference:
        Mallat, Zhang, "Matching Pursuits with Time-Frequency Dictionaries", IEEE Trans.
        Signal Processing, 1993; Smola, Bartlett, "Sparse Greedy Gaussian Process
        Regression", NeurIPS 2000.

    Example:
        >>> few = (["so good", "so bad", "very fine", "dull"], [1, 0, 1, 0])
        >>> chosen = pursuit(few, per_class=1, options=PursuitOptions(exclude=(0,)))
        >>> chosen.card.labels, chosen.texts[1]
        ('centered', 'very fine')
    """
    settings = RunSettings(seed, device, progress, None, run)
    settings.without_loop("pursuit")
    kernel = options.kernel_settings()
    chooser = options.chooser
    encoder = encoder_for(encoder, options)  # one for proposals too
    setup = prepare(data, per_class, total, encoder, options, kernel=kernel)
    return _chosen(setup, chooser, _proposed(encoder, setup, options), settings)


@dataclass(frozen=True, eq=False)
class _Proposed:
    """More texts that may be chosen, and their features."""

    texts: Texts
    records: Records


def _proposed(
    encoder: Encoder | FunctionEncoder, setup: TextSetup, options: PursuitOptions
) -> _Proposed | None:
    if options.proposals is None:
        return None
    texts = setup.task.texts
    columns: Any = {n: getattr(options, n) for n in ("text", "pair", "label")}
    more = as_texts(options.proposals, values=texts.values, **columns)
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
    pursued = {
        k: v for k, v in describe(chooser).items() if k not in ("kind", "kernel")
    }
    pursued |= {"proposals": None if theirs is None else theirs.describe()}
    card = card_without_loop(
        "pursuit",
        setup.settings | pursued,
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
