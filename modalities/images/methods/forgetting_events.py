"""How often a network in training forgets each image."""

from dataclasses import replace

import torch
from torch import Tensor

from multidd import seeds
from multidd.images.models.backbone import Backbone
from multidd.images.tasks.image_task import ImageTask
from multidd.learning.optim import SGD
from multidd.learning.states import learn
from multidd.protocols import Tree


def forgetting_counts(task: ImageTask, epochs: int, width: int, seed: int) -> Tensor:
    """`[n]`, forgetting events of each training image.

    Args:
        task: the images.
        epochs: passes over them; one event at most is seen between two.
        width: of the ConvNet that is trained.
        seed: of its weights and of the order of the images.

    Returns:
        Counts; images that were never classified rightly have `epochs`.

    Raises:
        ValueError: no epoch or no width.
    """
    if epochs < 1 or width < 1:
        raise ValueError(
            f"epochs and width must be 1 or more, got {epochs} and {width}"
        )
    task = replace(task, backbone=Backbone(width=width), batch_size=None)
    batch = task.batch(seeds.at(seed, "forgetting"))
    weights = task.weights(seeds.at(seed, "forgetting/weights"), 1)
    sgd = SGD(lr=0.05, momentum=0.9, weight_decay=5e-4)
    moments: Tree = {name: sgd.init(w) for name, w in weights.items()}
    events, ever = torch.zeros(len(batch.y)), torch.zeros(len(batch.y)).bool()
    before = ever
    for epoch in range(epochs):
        rng = seeds.at(seed, "forgetting/order", epoch)
        for rows in torch.randperm(len(batch.y), generator=rng).split(64):
            part = task.take(batch, rows)
            weights, moments = learn(task, weights, moments, sgd, part, rng)
        one = {name: w[0] for name, w in weights.items()}
        with torch.no_grad():
            right = task.features(one, batch, 1)[0].argmax(1) == batch.y
        events += before & ~right
        ever, before = ever | right, right
    events[~ever] = epochs
    return events
