"""`distill` without a method: candidates, judged by small plain trainings."""

import math
import time
from dataclasses import replace
from typing import Any

import torch

from multidd import seeds
from multidd.arguments import public_function
from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.progress import announce
from multidd.evaluation.tournament import Standing, hold
from multidd.images.data.images import Images, as_images
from multidd.images.methods.budget import unpacked_bytes
from multidd.images.methods.candidates import (
    MAX_CLUSTERED,
    DistillOptions,
    Shared,
    candidates_of,
    counts_of,
)
from multidd.images.methods.judging import (
    plain_judge,
    split_for_judging,
)
from multidd.images.methods.stored_forms import (
    forms_of,
)
from multidd.images.summary.summary import ImageSummary
from multidd.learning.functional import embed
from multidd.settings import describe
from multidd.storage.atomic import PathLike

__all__ = ["DistillOptions", "compose"]

PROBE_IMAGES = 64
"""Whose way through a network says how fast the machine is."""


def _ridge_passes(shared: Shared, stored: int) -> float:
    """Images that go through the networks of `"ridge"`, forward or backward."""
    options = shared.options
    # Half as wide, and forward, backward and the kernels for what is learned.
    return options.steps * (options.batch_size / 2 + 2 * stored)


def _dm_passes(shared: Shared, stored: int) -> float:
    """Of `"dm"`: real images forward alone, the learned ones backward too."""
    real = sum(min(128, count) for count in shared.images.counts.tolist())
    return shared.options.steps * (real + 3 * stored)


def _medoids_passes(shared: Shared, stored: int) -> float:
    """Of `"medoids"`: the features of what is clustered."""
    counts = shared.images.counts.tolist()
    return float(sum(min(MAX_CLUSTERED, count) for count in counts))


PASSES = {"ridge": _ridge_passes, "dm": _dm_passes, "medoids": _medoids_passes}
PASSES["halfway"] = lambda shared, stored: 0.0
"""Images through a network of the options' width, by candidate: what time goes with."""


def _expected_items(shared: Shared) -> int:
    """Images that a budget in bytes is expected to hold, by half of their bits."""
    item = math.prod(shared.images.shape) * shared.forms[0].bits / 16
    return int((shared.budget_bytes or 0) / item)


def _announce_plan(shared: Shared, stored: int, count: int) -> None:
    """Say how long it may take, by the time of one pass of some images."""
    options = shared.options
    task = replace(shared.task, batch_size=PROBE_IMAGES, sampler="uniform")
    rng = seeds.at(shared.run.seed, "probe")
    weights, batch = task.weights(rng, 1), task.batch(rng)
    began = time.perf_counter()
    with torch.no_grad():
        embed(task, weights, batch, 1)
    each = (time.perf_counter() - began) / PROBE_IMAGES
    passes = {name: PASSES[name](shared, stored) for name in options.candidates}
    passes["teacher"] = 3.0 * 128 * options.teacher_steps
    if shared.judge is not None:
        passes["judging"] = 3.0 * 64 * options.updates * (count + 2)
    seconds = {name: round(count * each, 1) for name, count in passes.items()}
    parts = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    total = sum(seconds.values())
    line = f"distill: about {total:.0f} s on this machine ({parts})"
    facts = {"task": "distill", "seconds": round(total, 1), "parts": seconds}
    announce(line, shared.run.progress, event="estimate", **facts)


@public_function
def compose(
    data: Any,
    ipc: int | None = None,
    *,
    budget_bytes: int | None = None,
    labels: str | None = None,
    options: DistillOptions = DistillOptions(),
    seed: int = 0,
    device: str = "cpu",
    progress: bool | None = None,
    checkpoint: PathLike | None = None,
    run: RunOptions = RunOptions(),
) -> ImageSummary:
    """Distill images: the best of several candidates on held-out training images.

    Args:
        data, ipc, budget_bytes, labels, seed: see `multidd.images.distill`.
        options: which candidates, and how they are made and judged.
        device: where the runs compute.
        progress: show what goes on; None does on terminals and in notebooks.
        checkpoint: a folder, with one inside for each candidate that has a loop.
        run: time limit of all candidates together, callbacks.

            Its `bits` are those of a stored number; a budget in bytes tries
            several without.

    Returns:
        An `ImageSummary`; `card.settings["tournament"]` has what each candidate scored.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> few = DistillOptions(candidates=("medoids",), teacher_steps=2, width=4)
        >>> compose(train, ipc=1, options=few).card.labels
        'soft'
    """
    started = time.perf_counter()
    images = as_images(data)
    bits, run = run.bits, replace(run, bits=None)
    settings = RunSettings(seed, device, progress, checkpoint, run)
    if labels not in (None, "hard", "teacher"):
        raise ValueError(
            f"labels must be 'hard', 'teacher' or None; got {labels!r}; name a method "
            "for the labels that its options have"
        )
    forms = () if budget_bytes is None else forms_of(bits, images)
    whole = Shared(images, ipc, budget_bytes, options, labels, settings, forms)
    needed: tuple[int, ...] = ()
    if budget_bytes is None or ipc is not None:
        budget = {"ipc": ipc, "budget_bytes": budget_bytes}
        balance = {"class_balance": options.class_balance}
        needed = counts_of(images, budget | balance)
    else:
        fewest = min(form.bits for form in forms)
        unpacked_bytes(budget_bytes, fewest, images.shape, images.num_classes)
    rest, held_out, judge = images, None, None
    if len(candidates_of(whole, bits)) > 1:
        rest, held_out = split_for_judging(images, options.val_share, needed, seed=seed)
    if held_out is not None:
        judge = plain_judge(held_out, seed=seed, updates=options.updates)
    shared = replace(whole, images=rest, judge=judge)
    candidates = candidates_of(shared, bits)
    _announce_plan(shared, sum(needed) or _expected_items(shared), len(candidates))
    spent = time.perf_counter() - started
    summary, standings = hold("distill", candidates, judge, settings, spent)
    return _with_standings(summary, shared, held_out, standings, started)


def _with_standings(
    summary: ImageSummary,
    shared: Shared,
    held_out: Images | None,
    standings: tuple[Standing, ...],
    started: float,
) -> ImageSummary:
    """The summary whose card tells what all candidates scored and took."""
    teacher_seconds = shared.teacher[1] if "teacher" in vars(shared) else 0.0
    tournament = {
        "standings": [standing.to_dict() for standing in standings],
        "held_out": 0 if held_out is None else len(held_out),
        "teacher_seconds": round(teacher_seconds, 3),
        "label_temperature": shared.chosen.get("temperature"),
        "options": describe(shared.options),
        "labels": shared.labels,
    }
    stages = {f"{one.name}": round(one.seconds, 3) for one in standings}
    stages |= {f"judging {one.name}": round(one.judged_in, 3) for one in standings}
    card = replace(
        summary.card,
        settings=summary.card.settings | {"tournament": tournament},
        seconds=round(time.perf_counter() - started, 3),
        stages=stages,
    )
    return replace(summary, card=card)
