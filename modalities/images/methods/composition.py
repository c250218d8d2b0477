"""`distill` without a method: candidates, judged by small plain trainings."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.splitting import check_count
from multidd.engine.card import card_without_loop
from multidd.engine.options import RunOptions, RunSettings
from multidd.engine.progress import announce
from multidd.engine.recipe import call
from multidd.evaluation.regimes import with_hard_labels
from multidd.evaluation.tournament import Candidate, Judge, Standing, hold
from multidd.images.data.augment import parse
from multidd.images.data.images import Images, as_images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes, plan
from multidd.images.methods.distribution import dm
from multidd.images.methods.judging import (
    HELD_OUT_SHARE,
    UPDATES,
    plain_judge,
    split_for_judging,
)
from multidd.images.methods.kernel import RFADOptions, learn_rfad
from multidd.images.methods.options import ClassBalance
from multidd.images.methods.relabeling import (
    DEFAULT_TEMPERATURE,
    Answers,
    best_temperature,
    trained_teacher,
)
from multidd.images.models.backbone import Backbone
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageBatch, ImageTask
from multidd.learning.functional import embed
from multidd.parameterizations import FromTensors
from multidd.protocols import Parameterization, Params, Records, Selection
from multidd.selection.basic import Medoids
from multidd.settings import describe
from multidd.storage.atomic import PathLike

__all__ = ["CANDIDATES", "DistillOptions", "compose"]

PROBE_IMAGES = 64
"""Whose way through a network says how fast the machine is."""

MAX_CLUSTERED = 1500
"""Images of a class, at most, that medoids are chosen among."""


@dataclass(frozen=True, kw_only=True)
class DistillOptions:
    """Settings of `multidd.images.distill` where no method is named.

    Attributes:
        candidates: names among `CANDIDATES`, in the order in which they are made.
        class_balance: images per class `"equal"`, or `"proportional"` to its size.
        steps: updates of each candidate that has a loop.
        width: channels of the networks that are matched on and of the teacher; of those
            of `"ridge"`, which see a batch at every step, half as many.
        batch_size: real images at a step, in all, for `"ridge"`.
        teacher_steps: training steps of the teacher, of 128 images each.
        updates: of each small network that judges.
        val_share: share of each class that candidates are judged on; 2,000 images in
            all, at most.

    Raises:
        ValueError: no such candidate, or a count below one.

    Example:
        >>> DistillOptions(steps=100).candidates
        ('ridge', 'halfway', 'medoids')
    """

    candidates: tuple[str, ...] = ("ridge", "halfway", "medoids")
    class_balance: ClassBalance = "equal"
    steps: int = 300
    width: int = 32
    batch_size: int = 256
    teacher_steps: int = 600
    updates: int = UPDATES
    val_share: float = HELD_OUT_SHARE

    def __post_init__(self) -> None:
        if not self.candidates or (unknown := set(self.candidates) - set(CANDIDATES)):
            named = ", ".join(map(repr, sorted(unknown))) if self.candidates else "none"
            raise ValueError(
                f"candidates must name some of {', '.join(CANDIDATES)}; got {named}"
            )
        check_count("steps", self.steps, minimum=0)
        for name in ("width", "batch_size", "teacher_steps", "updates"):
            check_count(name, getattr(self, name))


@dataclass(frozen=True, eq=False)
class _Shared:
    """What candidates are made of: images, budget, settings, and a teacher."""

    images: Images
    ipc: int | None
    budget_bytes: int | None
    options: DistillOptions
    labels: str | None
    run: RunSettings
    judge: Judge[ImageSummary] | None = None
    chosen: dict[str, float] = field(default_factory=dict)
    ready: dict[str, ImageSummary] = field(default_factory=dict)

    def budget(self, soft: bool) -> dict[str, Any]:
        """The budget of a method that stores classes alone, to which soft labels are
        added where they are `soft`."""
        budget: dict[str, Any] = {"class_balance": self.options.class_balance}
        if self.budget_bytes is None:
            return budget | {"ipc": self.ipc}
        shape, c = self.images.shape, self.images.num_classes
        size = item_bytes(shape, soft=c if soft else 0)
        stored = max(self.budget_bytes // size, 0)
        return budget | {"budget_bytes": stored * item_bytes(shape)}

    @cached_property
    def task(self) -> ImageTask:
        """The images under the teacher's views."""
        views = parse("crop_flip")
        views = views if self.images.mirror else views.without("flip")
        backbone = Backbone(width=self.options.width)
        space = Preprocessing.fit(self.images)
        return ImageTask(self.images, space, backbone, augment=views).to(
            self.run.device
        )

    @cached_property
    def teacher(self) -> tuple[Params, float]:
        """Its weights, and the seconds of its training."""
        steps = self.options.teacher_steps
        weights, seconds = trained_teacher(self.task, steps, self.run.seed)
        line = f"distill: a teacher, {seconds:.1f} s"
        facts = {"task": "distill", "seconds": seconds}
        announce(line, self.run.progress, event="teacher", **facts)
        return weights, seconds

    def answers(self, x: Tensor) -> Tensor:
        """`[m, c]`, the teacher's probabilities for images in its space."""
        batch = ImageBatch(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        with torch.no_grad():
            logits = embed(self.task, self.teacher[0], batch, 1)[0].mean(0)
        return (logits / DEFAULT_TEMPERATURE).softmax(1)

    def medoids(self, counts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Real images next to the centers of clusters of the teacher's features.

        Args:
            counts: of each class.

        Returns:
            `[m, ch, h, w]`, normalized, by class, and `[m]`.
        """
        images, task = self.images, self.task
        rng = seeds.at(self.run.seed, "medoids")
        rows = []
        for label, count in enumerate(counts):
            members = (images.labels == label).nonzero().flatten()
            order = torch.randperm(len(members), generator=rng)
            rows.append(members[order[: max(MAX_CLUSTERED, count)]])
        drawn = torch.cat(rows)
        y = images.labels[drawn].to(task.device)
        batch = ImageBatch(task.normalized(drawn), y)
        with torch.no_grad():
            features = embed(task, self.teacher[0], batch, 2)[0].mean(0)
        picks = Medoids(restarts=1).pick(
            Records(features, y, images.num_classes), counts, rng
        )
        rows_of_picks = picks.indices.to(y.device)
        return batch.x[rows_of_picks], y[rows_of_picks]

    def labelled(self, summary: ImageSummary) -> ImageSummary:
        """With the teacher's labels, unless hard ones are asked for.

        Their temperature is chosen on the first images that ask for labels.
        """
        if self.labels == "hard":
            return with_hard_labels(summary)

        def at(temperature: float) -> ImageSummary:
            answers = Answers(label_temperature=temperature)
            return answers.give(summary, self.task, self.teacher[0], self.run.seed)

        if "temperature" not in self.chosen:
            self.chosen["temperature"] = best_temperature(at, self.judge)
        return at(self.chosen["temperature"])


def _ridge(shared: _Shared, run: RunSettings) -> ImageSummary:
    """Kernel ridge regression for plain models of several kinds, from labelled medoids.

    The labels go on from the teacher's and stay probabilities.
    """
    options, hard = shared.options, shared.labels == "hard"
    settings = RFADOptions(
        class_balance=options.class_balance,
        beside=("mlp", "pixels"),
        label_space="simplex",
        augment="none",
        model="cnn",
        width=max(1, options.width // 2),
        batch_size=options.batch_size,
        labels="hard",  # those that are learned come with the start
        lr_labels=0.02,
    )

    def records(selection: Selection, counts: tuple[int, ...]) -> Parameterization:
        x, y = shared.medoids(counts)
        if hard:
            return FromTensors({"x": x, "y": y})
        start = {"x": x, "y": y, "y_soft": shared.answers(x)}
        return FromTensors(start, ("x", "y_soft"), "soft")

    summary = learn_rfad(
        shared.images,
        shared.ipc,
        shared.budget_bytes,
        options.steps,
        settings,
        run,
        records,
        None if hard else lambda classes: 4 * classes,
    )
    start = {"init": "medoids", "labels": "hard" if hard else "teacher"}
    card = replace(summary.card, settings=summary.card.settings | start)
    summary = shared.ready["ridge"] = replace(summary, card=card)
    return shared.labelled(summary) if shared.labels == "teacher" else summary


def _halfway(shared: _Shared, run: RunSettings) -> ImageSummary:
    """The middle between `"ridge"` and the labelled medoids that it starts from.

    Few images that went all the way mislead networks with batch norm.
    """
    if "ridge" not in shared.ready:
        _ridge(shared, run)
    end = shared.ready["ridge"]
    tensors = dict(end.tensors)
    x, _ = shared.medoids(tuple(tensors["y"].bincount().tolist()))
    tensors["x"] = (tensors["x"] + x.cpu()) / 2
    if "y_soft" in tensors:
        tensors["y_soft"] = (tensors["y_soft"] + shared.answers(x).cpu()) / 2
    card = replace(end.card, settings=end.card.settings | {"halfway": True})
    summary = replace(end, tensors=tensors, card=card)
    return shared.labelled(summary) if shared.labels == "teacher" else summary


def _dm(shared: _Shared, run: RunSettings) -> ImageSummary:
    """Distribution matching, with the teacher's labels."""
    options = shared.options
    summary: ImageSummary = call(
        dm,
        shared.images,
        **shared.budget(soft=shared.labels != "hard"),
        steps=options.steps,
        width=options.width,
        **run.keywords(),
    )
    return shared.labelled(summary)


def _medoids(shared: _Shared, run: RunSettings) -> ImageSummary:
    """Real images next to the centers of clusters of the teacher's features."""
    started = time.perf_counter()
    counts = _counts(shared.images, shared.budget(soft=shared.labels != "hard"))
    x, y = shared.medoids(counts)
    card = card_without_loop(
        "medoids",
        {"ipc": shared.ipc, "counts": list(counts), "space": "teacher"},
        shared.task.describe()["data"],
        seed=run.seed,
        started=started,
    )
    return shared.labelled(shared.task.summary({"x": x, "y": y}, card))


def _ridge_passes(shared: _Shared, stored: int) -> float:
    """Images that go through the networks of `"ridge"`, forward or backward."""
    options = shared.options
    # Half as wide, and forward, backward and the kernels for what is learned.
    return options.steps * (options.batch_size / 2 + 2 * stored)


def _dm_passes(shared: _Shared, stored: int) -> float:
    """Of `"dm"`: real images forward alone, the learned ones backward too."""
    real = sum(min(128, count) for count in shared.images.counts.tolist())
    return shared.options.steps * (real + 3 * stored)


def _medoids_passes(shared: _Shared, stored: int) -> float:
    """Of `"medoids"`: the features of what is clustered."""
    counts = shared.images.counts.tolist()
    return float(sum(min(MAX_CLUSTERED, count) for count in counts))


PASSES = {"ridge": _ridge_passes, "dm": _dm_passes, "medoids": _medoids_passes}
PASSES["halfway"] = lambda shared, stored: 0.0
"""Images through a network of the options' width, by candidate: what time goes with."""


def _announce_plan(shared: _Shared, stored: int) -> None:
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
        passes["judging"] = 3.0 * 64 * options.updates * (len(options.candidates) + 2)
    seconds = {name: round(count * each, 1) for name, count in passes.items()}
    parts = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    total = sum(seconds.values())
    line = f"distill: about {total:.0f} s on this machine ({parts})"
    facts = {"task": "distill", "seconds": round(total, 1), "parts": seconds}
    announce(line, shared.run.progress, event="estimate", **facts)


CANDIDATES: dict[str, Callable[[_Shared, RunSettings], ImageSummary]] = {
    "ridge": _ridge,
    "halfway": _halfway,
    "dm": _dm,
    "medoids": _medoids,
}
"""What a tournament can be held among, by name. `"dm"` takes the longest, and was below
`"ridge"` wherever both were measured: it is there to be asked for."""


def _counts(images: Images, budget: dict[str, Any]) -> tuple[int, ...]:
    """Images of each class that a budget gives; a bad one is refused."""
    return plan(
        images.counts.tolist(),
        budget.get("ipc"),
        budget.get("budget_bytes"),
        item_bytes=item_bytes(images.shape),
        class_balance=budget["class_balance"],
        names=images.classes,
    ).counts


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
    """Make candidates, judge each on held-out training images, return the best.

    Args:
        data, ipc, budget_bytes, labels, seed: see `multidd.images.distill`.
        options: which candidates, and how they are made and judged.
        device: where the runs compute.
        progress: show what goes on; None does on terminals and in notebooks.
        checkpoint: a folder, with one inside for each candidate that has a loop.
        run: time limit of all candidates together, callbacks.

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
    settings = RunSettings(seed, device, progress, checkpoint, run)
    if labels not in (None, "hard", "teacher"):
        raise ValueError(
            f"labels must be 'hard', 'teacher' or None; got {labels!r}; name a method "
            "for the labels that its options have"
        )
    whole = _Shared(images, ipc, budget_bytes, options, labels, settings)
    needed = _counts(images, whole.budget(soft=labels != "hard"))
    rest, held_out, judge = images, None, None
    if len(options.candidates) > 1:
        rest, held_out = split_for_judging(images, options.val_share, needed, seed=seed)
    if held_out is not None:
        judge = plain_judge(held_out, seed=seed, updates=options.updates)
    shared = replace(whole, images=rest, judge=judge)
    _announce_plan(shared, sum(needed))
    candidates = [
        Candidate(name, partial(CANDIDATES[name], shared))
        for name in options.candidates
    ]
    spent = time.perf_counter() - started
    summary, standings = hold("distill", candidates, judge, settings, spent)
    return _with_standings(summary, shared, held_out, standings, started)


def _with_standings(
    summary: ImageSummary,
    shared: _Shared,
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
