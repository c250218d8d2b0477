"""Labels from a teacher for finished images: of each, and of some views of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

import torch
from torch import Tensor

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.splitting import check_count
from multidd.evaluation.teacher import stored_state
from multidd.evaluation.tournament import Judge
from multidd.images.data.augment import Augmentation, View, parse
from multidd.images.data.images import as_images
from multidd.images.methods.judging import (
    HELD_OUT_SHARE,
    plain_judge,
    split_for_judging,
)
from multidd.images.models.module_backbone import ImageModel, backbone_by
from multidd.images.summary.summary import ImageSummary
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.functional import embed
from multidd.learning.optim import Adam
from multidd.learning.states import Frozen
from multidd.protocols import Params
from multidd.settings import describe

__all__ = ["Answers", "relabel", "teacher", "trained_teacher", "views_of"]

KINDS = ("hard", "teacher_once")


@dataclass(frozen=True)
class Answers:
    """What a teacher says of finished images, and the bytes that takes.

    Attributes:
        labels: `"teacher_once"`, its probabilities for each decoded image, or `"hard"`.
        views: how many views of all images are labelled too: the seed of each view and
            probabilities in half precision, `y_views` `[m, views, c]`. A model that is
            evaluated on the summary then sees these views with their own labels; all
            else goes by the one label of an image, which is stored too.
        label_temperature: the teacher's logits are divided by it.

    Example:
        >>> Answers(views=10).bytes(factor=2)(10)
        968
    """

    labels: str = "teacher_once"
    views: int = 0
    label_temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.labels not in KINDS:
            raise ValueError(
                f"labels must be one of {', '.join(KINDS)}, as the teacher labels "
                f"finished images; got {self.labels!r}"
            )
        if self.views < 0 or (self.views and self.labels == "hard"):
            raise ValueError(
                "views must be 0 or more, and 0 where labels are hard; got "
                f"{self.views} and labels={self.labels!r}"
            )
        if not 0 < self.label_temperature < float("inf"):
            raise ValueError(
                f"label_temperature must be above 0, got {self.label_temperature}"
            )

    def bytes(self, factor: int = 1) -> Callable[[int], int]:
        """Bytes of a stored image's labels beside its class, by the number of classes.

        The views' seeds, which all images share, are spread over one of each class.
        """
        if self.labels == "hard":
            return lambda classes: 0
        each, shared = factor**2 * (4 + 2 * self.views), 8 * self.views
        return lambda classes: each * classes + -(-shared // classes)

    def give(
        self, summary: ImageSummary, task: ImageTask, weights: Params, seed: int = 0
    ) -> ImageSummary:
        """The summary with the labels of a teacher.

        Args:
            summary: finished images.
            task: what the teacher was trained on; its augmentation makes the views.
            weights: of the teacher or teachers, each `[k, ...]`: their mean answer.
            seed: of the views.

        Returns:
            A new summary; the one given stays as it is.
        """
        if self.labels == "hard":
            return summary
        started = time.perf_counter()
        x, _ = summary.to_tensors()
        old = ("y_soft", "y_views", "view_seeds")
        tensors = {n: t for n, t in summary.tensors.items() if n not in old}
        tensors["y_soft"] = self._answer(task, weights, x)
        if self.views:
            numbers = [seeds.key(seed, "view", k) for k in range(self.views)]
            drawn = [_drawn(task.augment, number, len(x)) for number in numbers]
            answers = [self._answer(task, weights, view(x)).half() for view in drawn]
            tensors["y_views"] = torch.stack(answers, 1)
            tensors["view_seeds"] = torch.tensor(numbers)
        labelling = {"labels": self.labels, "views": self.views}
        labelling |= {
            "temperature": self.label_temperature,
            "augment": str(task.augment),
        }
        card = replace(
            summary.card,
            labels="soft",
            settings=summary.card.settings | {"relabelled": labelling},
            seconds=round(summary.card.seconds + time.perf_counter() - started, 3),
        )
        return replace(summary, tensors=tensors, card=card)

    def _answer(self, task: ImageTask, weights: Params, x: Tensor) -> Tensor:
        """`[m, c]`, mean probabilities."""
        with torch.no_grad():
            batch = task.synthetic(
                {"x": x.to(task.device), "y": torch.zeros(len(x)).long()}
            )
            logits = embed(task, weights, batch, 1)[0] / self.label_temperature
            return logits.softmax(-1).mean(0).cpu()


def teacher(steps: int) -> Frozen:
    """A teacher: Adam at a rate that falls to zero, 128 images at a step."""
    check_count("teacher_steps", steps)
    return Frozen(steps=steps, batch_size=128, optimizer=Adam(lr=2e-3, cosine=steps))


def trained_teacher(task: ImageTask, steps: int, seed: int) -> tuple[Params, float]:
    """The weights of a teacher of a task's images, and the seconds of its training.

    They are kept in the cache: another set of the same images, and a run that was
    stopped, are labelled by the same teacher, at once.

    Args:
        task: its images, backbone and views, on its device.
        steps: of training.
        seed: of the teacher.
    """
    rng = seeds.at(seed, "teacher", device=task.device)
    learner = teacher(steps)
    key = {
        "task": task.describe(),
        "learner": describe(learner),
        "seed": seed,
        "device": torch.device(task.device).type,
        "threads": torch.get_num_threads(),
    }
    template = task.weights(seeds.at(seed, "template", device=task.device), 1)

    def train() -> Params:
        weights: Params = learner.init(task, rng)["weights"]
        return weights

    weights, seconds = stored_state(key, template, train)
    return {name: w.to(task.device) for name, w in weights.items()}, seconds


TEMPERATURES = (1.0, 2.0, 4.0)
"""Of a teacher's logits, among which the best on held-out images is taken."""

DEFAULT_TEMPERATURE = 2.0
"""Where no image can be held out."""


def best_temperature(
    labelled: Callable[[float], ImageSummary], judge: Judge[ImageSummary] | None
) -> float:
    """The temperature whose labels plain trainings on them score best with.

    Args:
        labelled: temperature to the images with a teacher's labels at it.
        judge: trains and scores, on images that the teacher has not seen; 2 is taken
            without one.

    Example:
        >>> best_temperature(lambda temperature: None, None)
        2.0
    """
    if judge is None:
        return DEFAULT_TEMPERATURE
    means = {t: fmean(judge(labelled(t)).values()) for t in TEMPERATURES}
    return max(means, key=lambda temperature: means[temperature])


@public_function
def relabel(
    summary: ImageSummary,
    data: Any,
    *,
    views: int = 0,
    label_temperature: float | None = 1.0,
    teacher_steps: int = 600,
    augment: str = "crop_flip",
    model: ImageModel = "convnet",
    width: int | tuple[int, ...] | None = 32,
    depth: int | None = None,
    norm: Literal["instance", "batch", "layer", "none"] = "instance",
    seed: int = 0,
    device: str = "cpu",
) -> ImageSummary:
    """Label the images of any summary by a teacher that is trained on real ones.

    Args:
        summary: whose images are labelled.
        data: real images of the same classes; see `multidd.images.as_images`.
        views: views of all images that are labelled too; see
            `multidd.images.methods.relabeling.Answers`.
        label_temperature: the teacher's logits are divided by it; None holds a fifth of
            the real images out, 2,000 at most, and takes the one of 1, 2 and 4 with
            which small plain networks score best there.
        teacher_steps: training steps of the teacher, of 128 images each.
        augment: the views: the teacher's own, and those that are labelled. Images are
            mirrored only where that keeps their class.
        model, width, depth, norm: the teacher.
        seed: of the teacher and of the views.
        device: where it is trained.

    Returns:
        A new `ImageSummary` with soft labels, whose bytes count.

    Raises:
        ValueError: images of another size or of other classes, or a bad setting.

    Reference:
        Yin, Xing, Shen, "Squeeze, Recover and Relabel: Dataset Condensation at
        ImageNet Scale From A New Perspective", NeurIPS 2023; Shen, Xing, "A Fast
        Knowledge Distillation Framework for Visual Recognition", ECCV 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> summary = multidd.images.random(train, ipc=1)
        >>> relabel(summary, train, teacher_steps=2, width=4).to_tensors()[1].shape
        torch.Size([10, 10])
    """
    answers = Answers(views=views, label_temperature=label_temperature or 1.0)
    images = as_images(data, values=summary.card.source["labels"])
    if images.shape != summary.shape:
        raise ValueError(
            f"the summary was made from images of {list(summary.shape)}, the teacher "
            f"would be trained on {list(images.shape)}"
        )
    shown = parse(augment) if images.mirror else parse(augment).without("flip")
    backbone = backbone_by(model, width, depth, norm)
    backbone.check(images.shape, images.num_classes)
    check_count("teacher_steps", teacher_steps)
    judge = None
    if label_temperature is None:
        images, held_out = split_for_judging(images, HELD_OUT_SHARE, seed=seed)
        if held_out is not None:
            judge = plain_judge(held_out, seed=seed)
    task = ImageTask(images, summary.preprocessing, backbone, augment=shown).to(device)
    weights, seconds = trained_teacher(task, teacher_steps, seed)
    spent = summary.card.seconds + seconds
    longer = replace(summary, card=replace(summary.card, seconds=round(spent, 3)))
    if label_temperature is None:

        def labelled(temperature: float) -> ImageSummary:
            one = replace(answers, views=0, label_temperature=temperature)
            return one.give(summary, task, weights, seed)

        best = best_temperature(labelled, judge)
        answers = replace(answers, label_temperature=best)
    return answers.give(longer, task, weights, seed)


def views_of(
    summary: ImageSummary, x: Tensor
) -> Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]] | None:
    """The stored views of a summary with their labels; None where it has none.

    Args:
        summary: of images.
        x: `[m, ch, h, w]`, its decoded images, on any device.

    Returns:
        A function of rows `[b]` and a generator that picks one of the views: images
        `[b, ch, h, w]` and their labels `[b, c]`.
    """
    if "y_views" not in summary.tensors:
        return None
    augment = parse(summary.card.settings["relabelled"]["augment"])
    numbers = summary.tensors["view_seeds"].tolist()
    drawn = [_drawn(augment, number, len(x)) for number in numbers]
    labels = summary.tensors["y_views"].float()

    def show(rows: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        which = int(torch.randint(len(drawn), (1,), generator=seeds.host(rng)))
        return drawn[which](x[rows], rows), labels[rows, which]

    return show


def _drawn(augment: Augmentation, number: int, count: int) -> View:
    """A view by its seed; drawn on the CPU, so that it is the same everywhere."""
    return augment.draw(seeds.at(number, "view"), count)
