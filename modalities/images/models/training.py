"""Training an image model while it is judged on real images: the protocols."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from multidd import seeds
from multidd.evaluation.protocol import Protocol
from multidd.images.data.augment import OPERATIONS, Augmentation, parse
from multidd.images.models import fast_convnet
from multidd.images.models.convnet import ConvNet, Net
from multidd.images.models.networks import build
from multidd.learning.functional import Cost, cost
from multidd.numerics import flush_denormals

__all__ = ["PROTOCOLS", "Exam", "Lesson", "train"]

DSA = Protocol(
    name="dsa",
    epochs=1000,
    lr=0.01,
    lr_drop=0.1,
    weight_decay=5e-4,
    width=128,
    optimizer="sgd",
    momentum=0.9,
    batch=256,
    whole_batch=64,
    augment="_".join(OPERATIONS),
    centered_lr=1e-3,
)
"""The protocol of DSA, DM and their successors: SGD, at half of the epochs a new one at
a tenth of the rate, every batch through one augmentation with parameters for each
image. A flip is left out where a mirrored image may belong to another class."""

SEARCH = replace(DSA, name="dsa-search", lrs=(0.003, 0.01, 0.03), snapshots=4)
"""The same; learning rate and epoch are chosen on a split of the training data."""

DC = replace(DSA, name="dc", epochs=300, augment="")
"""The protocol of DC: fewer epochs, images as they are."""

QUICK = replace(DSA, name="quick", epochs=300, width=32)
"""A look at a summary in seconds: narrow networks, fewer epochs."""

PROTOCOLS = {one.name: one for one in (DSA, SEARCH, DC, QUICK)}

WIDE = 128
"""Width of the protocols to which convolutional models other than `convnet` relate."""

CHUNK = 32
"""Images of 32 x 32 in one pass without gradients on a CPU: their maps stay in its
cache, and in memory that the allocator keeps."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a model is trained on.

    Attributes:
        images: rows `[b]` to normalized images `[b, ch, h, w]`.
        targets: `[n, c]`: one-hot, soft or centered.
        centered: targets are centered: train by the squared error.
        whole: whole data, of which each epoch sees one batch.
        mirror: a mirrored image keeps its class.
        shown: rows and a generator to images as one of the stored views shows them, and
            their labels `[b, c]`; takes the place of the protocol's augmentation.
    """

    images: Callable[[Tensor], Tensor]
    targets: Tensor
    centered: bool = False
    whole: bool = False
    mirror: bool = False
    shown: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]] | None = None


@dataclass(frozen=True, eq=False)
class Exam:
    """What a model is judged on.

    Attributes:
        images: rows `[b]` to normalized images `[b, ch, h, w]`.
        labels: `[n]`.
    """

    images: Callable[[Tensor], Tensor]
    labels: Tensor

    def answers(
        self, model: Callable[[Tensor], Tensor], size: int | None = None
    ) -> Tensor:
        """`[n]`, the likeliest class of each image, `size` of them at a time."""
        first = self.images(torch.arange(1))
        best = 1024 if first.is_cuda else _chunk(first)
        rows = torch.arange(len(self.labels)).split(size or best)
        with torch.no_grad():
            found = [model(self.images(some)).argmax(1).cpu() for some in rows]
        return torch.cat(found)

    def accuracy(self, model: Callable[[Tensor], Tensor]) -> float:
        """Share of images whose likeliest class is theirs."""
        return float((self.answers(model) == self.labels).float().mean())


def train(
    name: str,
    lesson: Lesson,
    val: Exam | None,
    protocol: Protocol,
    seed: int,
    shape: tuple[int, int, int],
    device: str = "cpu",
) -> tuple[Net, Mapping[str, float]]:
    """Train by `protocol`; with `val`, choose among its learning rates and snapshots.

    Every learning rate starts from the same weights and sees the same views.

    Args:
        name: of the model.
        lesson: what it is trained on.
        val: what is chosen on; None trains at `protocol.lr` to the end.
        protocol: how.
        seed: of weights, batches and views.
        shape: `(channels, height, width)` of the images.
        device: where it is trained.

    Returns:
        The model, in evaluation mode, and `lr` and `epoch` (counted from 1), with
        `val_accuracy` where there was a choice.

    Example:
        >>> x, targets = torch.ones(4, 1, 8, 8), torch.eye(2).repeat(2, 1)
        >>> lesson = Lesson(lambda rows: x[rows], targets)
        >>> quick = Protocol("quick", epochs=2, width=4)
        >>> net, chosen = train("convnet", lesson, None, quick, 0, (1, 8, 8))
        >>> chosen
        {'lr': 0.01, 'epoch': 2}
    """
    rates = protocol.lrs if val is not None and protocol.lrs else (protocol.lr,)
    best: dict[str, float] = {}
    kept: dict[str, Tensor] = {}
    for rate in rates:
        rng = seeds.at(seed, f"train/{name}", device=device)
        net = _model(name, shape, lesson.targets.shape[1], protocol, rng)
        told = _for_labels(protocol, rate, lesson.centered)
        for epoch in _course(net, lesson, told, rng, val is not None):
            found: dict[str, float] = {"lr": told.lr, "epoch": epoch}
            if val is not None:
                found["val_accuracy"] = val.accuracy(net.eval())
            if not best or found.get("val_accuracy", 0) > best.get("val_accuracy", 0):
                best = found
                kept = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(kept)
    return net.eval(), best


def _course(
    net: Net, lesson: Lesson, protocol: Protocol, rng: torch.Generator, stops: bool
) -> Iterator[int]:
    """Train; give the epoch at each snapshot, the last one always."""
    epochs, parts = protocol.epochs, (protocol.snapshots or 1) if stops else 1
    snapshots = {round(epochs * (k + 1) / parts) for k in range(parts)}
    views = parse(protocol.augment)
    views = views if lesson.mirror else views.without("flip")
    optimizer = _optimizer(net, protocol, protocol.lr)
    for epoch in range(1, epochs + 1):
        if protocol.schedule == "cosine":
            rate = 0.5 * protocol.lr * (1 + math.cos(math.pi * (epoch - 1) / epochs))
            optimizer.param_groups[0]["lr"] = rate
        elif epoch == epochs // 2 + 1:
            optimizer = _optimizer(net, protocol, protocol.lr * protocol.lr_drop)
        with flush_denormals():
            net.train()
            for rows in _batches(lesson, protocol, rng):
                _update(net, lesson, rows, optimizer, views, rng)
        if epoch in snapshots:
            yield epoch


def _update(
    net: Net,
    lesson: Lesson,
    rows: Tensor,
    optimizer: torch.optim.Optimizer,
    views: Augmentation,
    rng: torch.Generator,
) -> None:
    if lesson.shown is not None:
        x, targets = lesson.shown(rows, rng)
    else:
        x, targets = lesson.images(rows), lesson.targets[rows]
        x = views.draw(rng, len(x))(x)
    targets = targets.to(rng.device)
    kind: Cost = "mse" if lesson.centered else "cross_entropy"
    if isinstance(net, ConvNet) and fast_convnet.fits(
        "convnet", "instance", x, len(net.blocks)
    ):
        weights = {k: p.detach() for k, p in net.named_parameters()}
        mass = torch.full((len(x),), 1 / len(x))
        slopes = fast_convnet.gradients(weights, x, targets, mass, kind)
        for name, parameter in net.named_parameters():
            # A fused optimizer goes by memory: the layouts must be the same.
            parameter.grad = slopes[name].contiguous()
    else:
        optimizer.zero_grad()
        cost(net(x), targets, kind).mean().backward()
    optimizer.step()


def _batches(
    lesson: Lesson, protocol: Protocol, rng: torch.Generator
) -> list[Tensor] | tuple[Tensor, ...]:
    n, device = len(lesson.targets), rng.device
    if lesson.whole:
        size = (min(n, protocol.whole_batch or 64),)
        return [torch.randint(n, size, generator=rng, device=device).cpu()]
    if not protocol.batch or n <= protocol.batch:
        return [torch.arange(n)]
    order = torch.randperm(n, generator=rng, device=device).cpu()
    return order.split(protocol.batch)


def _for_labels(protocol: Protocol, rate: float, centered: bool) -> Protocol:
    """The protocol at a learning rate, as it is for the kind of labels."""
    if not centered:
        return replace(protocol, lr=rate)
    scale = rate / protocol.lr
    return replace(
        protocol,
        lr=scale * (protocol.centered_lr or 1e-3),
        optimizer="adam",
        schedule="cosine",
        weight_decay=0.0,
    )


def _optimizer(net: Net, protocol: Protocol, rate: float) -> torch.optim.Optimizer:
    decay, parameters = protocol.weight_decay, net.parameters()
    if protocol.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=rate, momentum=protocol.momentum, weight_decay=decay, fused=True
    )


def _model(
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    protocol: Protocol,
    rng: torch.Generator,
) -> Net:
    """A model as wide as the protocol says; `mlp`, `lenet` and `vit` as they are."""
    width = {
        "convnet": protocol.width,
        "alexnet": protocol.width,
        "vgg11": max(1, 64 * protocol.width // WIDE),
        "resnet18": max(1, 64 * protocol.width // WIDE),
    }.get(name)
    return build(name, shape, classes, rng, width=width, running=True)


def _chunk(image: Tensor) -> int:
    return max(1, CHUNK * 32 * 32 // (image.shape[2] * image.shape[3]))
