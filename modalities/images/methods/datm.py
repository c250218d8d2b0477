"""DATM: trajectories from easy to hard, with soft labels of the experts."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Unpack

import torch
from torch import Tensor

from multidd import seeds
from multidd.images.methods.options import Options
from multidd.images.methods.setup import Setup
from multidd.images.methods.trajectory import DEFAULTS, FLAT, follow, shared
from multidd.images.summary.summary import ImageSummary
from multidd.learning.experts import Experts, Taught
from multidd.learning.models import unstack
from multidd.learning.unroll import Memory
from multidd.parameterizations import Free, Labels
from multidd.protocols import Parameterization, Picks, Records, Selection


def datm(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.03,
    experts: Experts = FLAT,
    start: tuple[int, int] = (0, 4),
    first: int = 1,
    growing: int = 100,
    epochs: int = 2,
    inner: int = 10,
    rate: float = 0.03,
    lr_rate: float = 0.01,
    rows: int | None = None,
    memory: Memory = "checkpointed",
    ema: float = 0.99,
    executor: Executor | None = None,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    """Distill images by trajectories aligned with difficulty (DATM).

    `multidd.images.ftd` with a window that grows from easy epochs to hard ones, images
    that start from real ones which the experts classify correctly, and soft labels that
    start as the experts' probabilities and are learned too. Few images ask for early
    epochs, many for late ones: the paper starts at epochs 0 to 4 of 50 at one image per
    class, 0 to 20 at ten, 0 to 40 at fifty, and from 40 on at five hundred.

    Where it departs from the paper (and `multidd.images.mtt`): labels are probabilities
    that are learned as they are, not logits; the mean over all experts, not those of
    one; `lr_labels` is of Adam. ZCA is `zca=True`.

    Args:
        train, ipc, steps, lr, experts, start, epochs, inner, rate, lr_rate, rows,
            memory, executor, seed, **options: see `multidd.images.mtt`.
        first: last epoch at which the learner starts at the first step.
        growing: steps in which it grows to the last of `start`.
        ema: decay of the running mean of the images.

    Reference:
        Guo, Wang, Cazenavette, Li, Zhang, You, "Towards Lossless Dataset Distillation
        via Difficulty-Aligned Trajectory Matching", ICLR 2024.

    Example:
        >>> import multidd
        >>> from multidd.learning.experts import Trainer
        >>> train, test = multidd.samples.fashion()
        >>> few = Experts(Trainer(epochs=1, steps=1), count=1)
        >>> one = {"start": (0, 0), "first": 0, "epochs": 1, "inner": 2, "width": 4}
        >>> datm(train, ipc=1, steps=1, experts=few, batch_size=8, **one).card.labels
        'soft'
    """
    own = shared(experts, start, epochs, inner, rate, lr, lr_rate, rows, memory)
    own |= {"first": first, "growing": growing, "ema": ema}

    def ready(setup: Setup) -> Setup:
        known = _recognized(setup, experts)
        form = _changed(setup.parameterization, known, Taught(experts))
        return replace(setup, parameterization=form)

    defaults = replace(DEFAULTS, labels="teacher", lr_labels=0.003)
    run = (steps, seed, executor, ready)
    return follow("datm", train, ipc, defaults, options, own, *run)


@dataclass(frozen=True, eq=False)
class Recognized:
    """A selection among the records that models classify correctly.

    A class with too few of them is selected from whole.

    Attributes:
        base: how it selects.
        right: `[n]`, which records are classified correctly.
    """

    base: Selection
    right: Tensor

    def pick(
        self, records: Records, counts: Sequence[int], rng: torch.Generator
    ) -> Picks:
        """`counts[i]` rows of class i."""
        right = self.right.to(records.labels.device)
        have = torch.bincount(records.labels[right], minlength=records.num_classes)
        enough = have >= torch.tensor(counts, device=have.device)
        rows = (right | ~enough[records.labels]).nonzero().flatten()
        mass = None if records.weights is None else records.weights[rows]
        some = replace(
            records,
            features=records.features[rows],
            labels=records.labels[rows],
            weights=mass,
        )
        picks = self.base.pick(some, counts, rng)
        found = picks.weights.coalesce()
        places, columns = found.indices()
        where = torch.stack([places, rows.to(columns.device)[columns]])
        size = (len(picks.labels), len(records.labels))
        moved = torch.sparse_coo_tensor(
            where, found.values(), size, check_invariants=False
        )
        return replace(picks, weights=moved)


def _recognized(setup: Setup, experts: Experts) -> Tensor:
    """`[n]`, the images that the experts together classify correctly."""
    task = replace(setup.task, batch_size=None)
    rng = seeds.at(0, "recognized", device=task.device)
    weights = Taught(experts).init(setup.task, rng)["weights"]
    batch, found = task.batch(rng), []
    with torch.no_grad():
        for rows in torch.arange(len(batch.y), device=batch.y.device).split(1024):
            part = task.take(batch, rows)
            each = [
                task.features(one, part, 1)[0].softmax(1) for one in unstack(weights)
            ]
            found.append(torch.stack(each).mean(0).argmax(1) == part.y)
    return torch.cat(found)


def _changed(form: Any, right: Tensor, teacher: Taught) -> Parameterization:
    """The same form, from recognized images, with labels of the experts."""
    if isinstance(form, Free):
        return replace(form, start=Recognized(form.start, right))
    form = replace(form, base=_changed(form.base, right, teacher))
    return replace(form, teacher=teacher) if isinstance(form, Labels) else form
