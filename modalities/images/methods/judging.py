"""The judge of a tournament of images: small plain trainings, on held-out images."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multidd.evaluation.plain import plain_targets, train_plainly
from multidd.evaluation.tournament import Judge
from multidd.images.data.images import Images
from multidd.images.models.plain import PLAIN, augmented, logistic_on_pixels, network
from multidd.images.models.training import ImageEvaluationSet
from multidd.images.summary.summary import ImageSummary
from multidd.numerics import flush_denormals, num_threads, usable_cores

__all__ = ["plain_judge", "split_for_judging"]

CHANNELS, HIDDEN = (16, 32), 64
"""Of the small networks: a quarter of the cost of those that reports train."""

UPDATES = 250
"""Of each of them: few images are learned by then."""

HELD_OUT_SHARE, MAX_HELD_OUT = 0.2, 2000
"""Of the training images, and images at most, that candidates are judged on."""


def plain_judge(
    held_out: Images, *, seed: int, updates: int = UPDATES
) -> Judge[ImageSummary]:
    """Small versions of the plain trainings, scored on held-out training images.

    Args:
        held_out: images that no candidate has seen.
        seed: of weights and batches.
        updates: of each network.

    Returns:
        The `Judge`: the accuracy of each training, a fraction.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> rest, held_out = train.split(100)
        >>> judge = plain_judge(held_out, updates=2, seed=0)
        >>> list(judge(multidd.images.random(rest, ipc=1)))
        ['cnn', 'cnn_norm', 'mlp', 'logistic']
    """

    def scores(summary: ImageSummary) -> dict[str, float]:
        with num_threads(min(torch.get_num_threads(), usable_cores())):
            return _scores(summary, held_out, updates, seed)

    networks = {"channels": list(CHANNELS), "hidden": HIDDEN, "updates": updates}
    key: dict[str, Any] = {"held_out": held_out.describe(), "mirror": held_out.mirror}
    return Judge({**key, **networks, "trainings": PLAIN, "seed": seed}, scores)


def split_for_judging(
    images: Images, share: float, needed: Sequence[int] = (), *, seed: int
) -> tuple[Images, Images | None]:
    """Training images without a part to judge on, and that part.

    Args:
        images: the training images.
        share: of each class that is held out; 2,000 in all, at most.
        needed: images of each class that candidates must have; one unless given.
        seed: of the draw.

    Returns:
        Both; all images and None where a class has too few to hold one out.
    """
    most = min(share, MAX_HELD_OUT / len(images))
    try:
        rest, held_out = images.split(most, seed)
    except ValueError:  # nothing would be held out, or nothing left of a class
        return images, None
    counts = zip(rest.counts.tolist(), needed or rest.counts.tolist(), strict=True)
    if any(have < need for have, need in counts):
        return images, None
    return rest, held_out


def _scores(
    summary: ImageSummary, held_out: Images, updates: int, seed: int
) -> dict[str, float]:
    x, y = summary.to_tensors()
    targets, c = plain_targets(y), summary.num_classes
    space = summary.preprocessing

    def shown(rows: Tensor) -> Tensor:
        return space.apply(held_out.pixels(rows))

    exam = ImageEvaluationSet(shown, held_out.labels)
    scores = {}
    with flush_denormals():
        for name in PLAIN:
            if name == "logistic":
                scores[name] = exam.score(logistic_on_pixels(x, targets, c))
                continue
            net = train_plainly(
                network(name, summary.shape, c, CHANNELS, HIDDEN),
                lambda rows: x[rows],
                targets,
                lambda net: 0.0,
                seed,
                augment=augmented(held_out.mirror) if name == "cnn_norm" else None,
                updates=updates,
            )
            scores[name] = exam.score(net)
    return scores
