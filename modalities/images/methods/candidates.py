"""Candidates of `distill` without a method, and what they are made of."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from multidd import seeds
from multidd.data.splitting import check_count
from multidd.engine.card import card_without_loop
from multidd.engine.options import RunSettings
from multidd.engine.progress import announce
from multidd.engine.recipe import call
from multidd.evaluation.regimes import with_hard_labels
from multidd.evaluation.tournament import Candidate, Judge
from multidd.images.data.augment import parse
from multidd.images.data.images import Images
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.methods.budget import item_bytes, plan
from multidd.images.methods.distribution import dm
from multidd.images.methods.judging import (
    HELD_OUT_SHARE,
    UPDATES,
)
from multidd.images.methods.kernel import RFADOptions, learn_rfad
from multidd.images.methods.options import ClassBalance
from multidd.images.methods.relabeling import (
    DEFAULT_TEMPERATURE,
    Answers,
    best_temperature,
    trained_teacher,
)
from multidd.images.methods.selection import random_tiles
from multidd.images.methods.stored_forms import (
    StoredForm,
    held_counts,
    larger_counts,
    within,
)
from multidd.images.models.backbone import Backbone
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageBatch, ImageTask
from multidd.learning.functional import embed
from multidd.parameterizations import FromTensors
from multidd.parameterizations.tiles import assemble
from multidd.protocols import Parameterization, Params, Records, Selection
from multidd.selection.basic import Medoids

__all__ = ["CANDIDATES", "DistillOptions", "Shared", "candidates_of", "counts_of"]

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
class Shared:
    """What candidates are made of: images, budget, settings, and a teacher."""

    images: Images
    ipc: int | None
    budget_bytes: int | None
    options: DistillOptions
    labels: str | None
    run: RunSettings
    forms: tuple[StoredForm, ...] = ()
    judge: Judge[ImageSummary] | None = None
    chosen: dict[str, float] = field(default_factory=dict)
    ready: dict[str, ImageSummary] = field(default_factory=dict)
    features: dict[int, Tensor] = field(default_factory=dict)

    def budget(self, soft: bool) -> dict[str, Any]:
        """The budget of a method that stores classes alone, to which soft labels are
        added where they are `soft`."""
        budget: dict[str, Any] = {"class_balance": self.options.class_balance}
        if self.budget_bytes is None:
            return budget | {"ipc": self.ipc}
        items = int(self.chosen["items"])
        return budget | {"budget_bytes": items * item_bytes(self.images.shape)}

    @property
    def unpacked_bytes(self) -> int | None:
        """Bytes of the images that a budget in bytes holds, soft labels counted, as
        they are before they are stored in few bits."""
        if self.budget_bytes is None:
            return None
        soft = self.images.num_classes if self.labels != "hard" else 0
        size = item_bytes(self.images.shape, soft=soft)
        return int(self.chosen["items"]) * size

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
        if len(drawn) not in self.features:
            with torch.no_grad():
                seen = embed(task, self.teacher[0], batch, 2)[0].mean(0)
            self.features[len(drawn)] = seen
        features = self.features[len(drawn)]
        picks = Medoids(restarts=1).pick(
            Records(features, y, images.num_classes), counts, rng
        )
        rows_of_picks = picks.indices.to(y.device)
        return batch.x[rows_of_picks], y[rows_of_picks]

    def taught(self, summary: ImageSummary, temperature: float) -> ImageSummary:
        """With the teacher's labels at a temperature."""
        answers = Answers(label_temperature=temperature)
        return answers.give(summary, self.task, self.teacher[0], self.run.seed)

    def labelled(self, summary: ImageSummary) -> ImageSummary:
        """With the teacher's labels, unless hard ones are asked for.

        Their temperature is chosen on the first images that ask for labels.
        """
        if self.labels == "hard":
            return with_hard_labels(summary)

        def at(temperature: float) -> ImageSummary:
            return self.taught(summary, temperature)

        if "temperature" not in self.chosen:
            self.chosen["temperature"] = best_temperature(at, self.judge)
        return at(self.chosen["temperature"])


def _ridge(shared: Shared, run: RunSettings) -> ImageSummary:
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
        shared.unpacked_bytes,
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


def _halfway(shared: Shared, run: RunSettings) -> ImageSummary:
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


def _dm(shared: Shared, run: RunSettings) -> ImageSummary:
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


def _medoids(shared: Shared, run: RunSettings) -> ImageSummary:
    """Real images next to the centers of clusters of the teacher's features."""
    counts = counts_of(shared.images, shared.budget(soft=shared.labels != "hard"))
    return shared.labelled(_unlabelled_medoids(shared, counts, 1))


def _unlabelled_medoids(
    shared: Shared, counts: tuple[int, ...], factor: int
) -> ImageSummary:
    """Medoids, shrunken to tiles where `factor` is above one; `counts` are stored."""
    started, tiles = time.perf_counter(), factor**2
    x, y = shared.medoids(tuple(tiles * count for count in counts))
    settings = {"ipc": shared.ipc, "counts": list(counts), "space": "teacher"}
    decoder = None
    if factor > 1:
        x, y = assemble(x, factor), y[::tiles]
        decoder = {"kind": "tiles", "factor": factor}
    card = card_without_loop(
        "medoids",
        settings,
        shared.task.describe()["data"],
        seed=shared.run.seed,
        started=started,
        decoder=decoder,
    )
    return shared.task.summary({"x": x, "y": y}, card)


def _labelled_medoids(
    shared: Shared, counts: tuple[int, ...], form: StoredForm
) -> ImageSummary:
    return shared.labelled(_unlabelled_medoids(shared, counts, form.factor))


def _medoids_in(shared: Shared, run: RunSettings, form: StoredForm) -> ImageSummary:
    """As many medoids as the budget holds in a form, with the teacher's labels."""
    budget, counts = shared.budget_bytes or 0, _held_counts(shared, form)
    small = within(_labelled_medoids(shared, counts, form), form, budget)
    # Medoids may code shorter than the sample by which they were counted.
    more = larger_counts(shared.images, form, counts, budget / small.num_bytes)
    if sum(more) > 1.03 * sum(counts):
        small = within(_labelled_medoids(shared, more, form), form, budget)
    shared.ready[form.name] = small
    return small


def _learned_in(shared: Shared, run: RunSettings, name: str) -> ImageSummary:
    """A learned candidate in the bits in which whole medoids did best."""
    forms = [form for form in shared.forms if form.factor == 1]
    ready = [form for form in forms if form.name in shared.ready]
    best = forms[0]
    if shared.judge is not None and ready:
        judge = shared.judge
        best = max(ready, key=lambda f: fmean(judge(shared.ready[f.name]).values()))
    shared.chosen["items"] = sum(_held_counts(shared, best))
    return within(CANDIDATES[name](shared, run), best, shared.budget_bytes or 0)


def _held_counts(shared: Shared, form: StoredForm) -> tuple[int, ...]:
    """Stored images of each class that the budget holds in a form."""

    def sample(counts: tuple[int, ...]) -> ImageSummary:
        small = random_tiles(shared.task, counts, form.factor, shared.run.seed)
        if shared.labels == "hard":
            return small
        return shared.taught(small, DEFAULT_TEMPERATURE)

    return held_counts(
        shared.images,
        form,
        shared.budget_bytes or 0,
        shared.options.class_balance,
        sample,
    )


def candidates_of(shared: Shared, bits: int | None) -> list[Candidate[ImageSummary]]:
    """What is made, in its order: in bytes every form of medoids comes first."""
    names = shared.options.candidates
    if shared.budget_bytes is None:

        def stored(name: str, run: RunSettings) -> ImageSummary:
            summary = CANDIDATES[name](shared, run)
            return summary if bits is None else summary.compress(bits)

        return [Candidate(name, partial(stored, name)) for name in names]
    forms = shared.forms if "medoids" in names else ()
    medoids = [
        Candidate(form.name, partial(_medoids_in, shared, form=form)) for form in forms
    ]
    learned = [name for name in names if name != "medoids"]
    return medoids + [
        Candidate(name, partial(_learned_in, shared, name=name)) for name in learned
    ]


CANDIDATES: dict[str, Callable[[Shared, RunSettings], ImageSummary]] = {
    "ridge": _ridge,
    "halfway": _halfway,
    "dm": _dm,
    "medoids": _medoids,
}
"""What a tournament can be held among, by name. `"dm"` takes the longest, and was below
`"ridge"` wherever both were measured: it is there to be asked for."""


def counts_of(images: Images, budget: dict[str, Any]) -> tuple[int, ...]:
    """Images of each class that a budget gives; a bad one is refused."""
    return plan(
        images.counts.tolist(),
        budget.get("ipc"),
        budget.get("budget_bytes"),
        item_bytes=item_bytes(images.shape),
        class_balance=budget["class_balance"],
        names=images.classes,
    ).counts
