"""Protocols by which image models are trained while summaries are evaluated."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from multidd import seeds
from multidd.evaluation.kernel_predictor import predicted_classes
from multidd.evaluation.protocol import Protocol
from multidd.evaluation.training import (
    BestScore,
    EvaluationSet,
    TrainingSet,
    epochs,
    row_batches,
    train_until_plateau,
)
from multidd.images.data.augment import OPERATIONS, Augmentation, parse
from multidd.images.models import fast_convnet
from multidd.images.models.convnet import ConvNet
from multidd.images.models.networks import build
from multidd.learning.functional import cost
from multidd.learning.modules import ModuleFactory, make_module, seeded
from multidd.numerics import flush_denormals

__all__ = ["PROTOCOLS", "ImageEvaluationSet", "ImageTrainingSet", "train", "untrained"]

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

QUICK = replace(
    DSA, name="quick", epochs=300, width=32, whole_patience=1000, whole_cap=20_000
)
"""A look at a summary in seconds: narrow networks, fewer epochs."""

PROTOCOLS = {one.name: one for one in (DSA, SEARCH, DC, QUICK)}

PROTOCOL_WIDTH = 128
"""Width of the protocols to which convolutional models other than `convnet` relate."""

EVAL_BATCH_SIZE = 32
"""Images of 32 x 32 in one pass without gradients on a CPU: their maps stay in its
cache, and in memory that the allocator keeps."""

EVAL_BATCH_SIZE_GPU = 1024
"""Images in one pass without gradients on a GPU."""


@dataclass(frozen=True, eq=False)
class ImageTrainingSet(TrainingSet):
    """Images that a model is trained on.

    Attributes:
        inputs: rows `[b]` to normalized images `[b, ch, h, w]`.
        targets: `[n, c]`: one-hot, soft or centered.
        centered: targets are centered: train by the squared error.
        whole: whole data, of which each epoch sees one batch.
        mirror: a mirrored image keeps its class.
        draw_views: rows and a generator to images as one of the stored views shows
            them, and their labels `[b, c]`; takes the place of the protocol's
            augmentation.
    """

    mirror: bool = False
    draw_views: Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]] | None = None


@dataclass(frozen=True, eq=False)
class ImageEvaluationSet(EvaluationSet):
    """Images that a model is validated or tested on.

    Attributes:
        inputs: rows `[b]` to normalized images `[b, ch, h, w]`.
        labels: `[n]`.
        batch_size: images in one pass; chosen by device and size of the images where
            None.
    """

    batch_size: int | None = None

    def predict(self, model: Callable[..., Tensor]) -> Tensor:
        """`[n]`, the likeliest class of each image."""
        size = self.batch_size
        if size is None:
            first = self.inputs(torch.arange(1))
            size = EVAL_BATCH_SIZE_GPU if first.is_cuda else _cache_batch_size(first)

        def scores(rows: Tensor) -> Tensor:
            return model(self.inputs(rows))

        return predicted_classes(scores, len(self.labels), size).cpu()


def train(
    name: str,
    records: ImageTrainingSet,
    val: ImageEvaluationSet | None,
    protocol: Protocol,
    seed: int,
    shape: tuple[int, int, int],
    device: str = "cpu",
    factory: ModuleFactory | None = None,
) -> tuple[nn.Module, Mapping[str, float]]:
    """Train by `protocol`; with `val`, choose among its learning rates and snapshots.

    Every learning rate starts from the same weights and sees the same views. Whole data
    are trained on until the accuracy on `val` has stopped rising.

    Args:
        name: of the model.
        records: what it is trained on.
        val: what is chosen on; None trains at `protocol.lr` to the end. Whole data need
            it.
        protocol: how.
        seed: of weights, batches and views.
        shape: `(channels, height, width)` of the images.
        device: where it is trained.
        factory: makes the model, where it is none of `multidd.images.MODELS`.

    Returns:
        The model, in evaluation mode, and `lr` and `epoch` (counted from 1), with
        `val_accuracy` where there was a choice, and of whole data `capped`.

    Example:
        >>> x, targets = torch.ones(4, 1, 8, 8), torch.eye(2).repeat(2, 1)
        >>> records = ImageTrainingSet(lambda rows: x[rows], targets)
        >>> quick = Protocol("quick", epochs=2, width=4)
        >>> net, chosen = train("convnet", records, None, quick, 0, (1, 8, 8))
        >>> chosen
        {'lr': 0.01, 'epoch': 2}
    """
    rates = protocol.lrs if val is not None and protocol.lrs else (protocol.lr,)
    best, scores = BestScore(), dict[str, float]()
    state_dict: dict[str, Tensor] = {}
    for rate in rates:
        rng = seeds.at(seed, f"train/{name}", device=device)
        net = _model(name, shape, records.targets.shape[1], protocol, rng, factory)
        settings = _for_labels(protocol, rate, records.centered)
        # A module of the caller's own draws its dropout from the global generator.
        with nullcontext() if factory is None else seeded(rng):
            for snapshot in _snapshots(net, records, settings, rng, val):
                if best.improves(snapshot.get("val_accuracy", 0)):
                    scores = snapshot
                    state_dict = {k: v.clone() for k, v in net.state_dict().items()}
    net.load_state_dict(state_dict)
    return net.eval(), scores


def untrained(
    name: str, shape: tuple[int, int, int], classes: int, protocol: Protocol, seed: int
) -> nn.Module:
    """The model that `train` starts from, on the CPU, in evaluation mode.

    Args:
        name: one of `multidd.images.MODELS`.
        shape: `(channels, height, width)` of the images.
        classes: c.
        protocol: how wide it is.
        seed: of its weights.

    Example:
        >>> net = untrained("mlp", (1, 8, 8), 2, DSA, seed=0)
        >>> net(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3, 2])
    """
    rng = seeds.at(seed, f"train/{name}")
    return _model(name, shape, classes, protocol, rng, None).eval()


def _snapshots(
    net: nn.Module,
    records: ImageTrainingSet,
    protocol: Protocol,
    rng: torch.Generator,
    val: ImageEvaluationSet | None,
) -> Iterator[dict[str, float]]:
    """Train; tell `epoch`, `lr` and the score at each snapshot, the last one always."""
    views = parse(protocol.augment)
    views = views if records.mirror else views.without("flip")
    rate: dict[str, float] = {"lr": protocol.lr}

    def train_epoch(optimizer: torch.optim.Optimizer) -> None:
        with flush_denormals():
            net.train()
            for rows in _batches(records, protocol, rng):
                _update(net, records, rows, optimizer, views, rng)

    if records.whole and val is not None:

        def score() -> float:
            return val.score(net.eval())

        state, parameters = net.state_dict(), net.parameters()
        chosen = train_until_plateau(state, parameters, protocol, train_epoch, score)
        chosen["val_accuracy"] = chosen.pop("held_out")
        yield rate | chosen
        return
    count = (protocol.snapshots or 1) if val is not None else 1
    snapshots = {round(protocol.epochs * (k + 1) / count) for k in range(count)}
    for epoch, optimizer in epochs(net, protocol):
        train_epoch(optimizer)
        if epoch in snapshots:
            snapshot = rate | {"epoch": epoch}
            if val is not None:
                snapshot["val_accuracy"] = val.score(net.eval())
            yield snapshot


def _update(
    net: nn.Module,
    records: ImageTrainingSet,
    rows: Tensor,
    optimizer: torch.optim.Optimizer,
    views: Augmentation,
    rng: torch.Generator,
) -> None:
    if records.draw_views is not None:
        x, targets = records.draw_views(rows, rng)
    else:
        x, targets = records.inputs(rows), records.targets[rows]
        x = views.draw(rng, len(x))(x)
    targets = targets.to(rng.device)
    if isinstance(net, ConvNet) and fast_convnet.fits(
        "convnet", "instance", x, len(net.blocks)
    ):
        weights = {k: p.detach() for k, p in net.named_parameters()}
        mass = torch.full((len(x),), 1 / len(x))
        gradients = fast_convnet.gradients(weights, x, targets, mass, records.cost)
        for name, parameter in net.named_parameters():
            # A fused optimizer goes by memory: the layouts must be the same.
            parameter.grad = gradients[name].contiguous()
    else:
        optimizer.zero_grad()
        cost(net(x), targets, records.cost).mean().backward()
    optimizer.step()


def _batches(
    records: ImageTrainingSet, protocol: Protocol, rng: torch.Generator
) -> Iterable[Tensor]:
    """Rows of the batches of one epoch."""
    n = len(records.targets)
    if records.whole:
        size = (min(n, protocol.whole_batch or 64),)
        return [torch.randint(n, size, generator=seeds.host(rng))]
    return row_batches(n, protocol.batch, rng)


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


def _model(
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    protocol: Protocol,
    rng: torch.Generator,
    factory: ModuleFactory | None,
) -> nn.Module:
    """A model as wide as the protocol says; `mlp`, `lenet`, `vit` and those of a
    factory as they are."""
    if factory is not None:
        example = torch.zeros(2, *shape)
        module = make_module(factory, (shape, classes), rng, (example,))
        return module.to(rng.device)
    width = {
        "convnet": protocol.width,
        "alexnet": protocol.width,
        "vgg11": max(1, 64 * protocol.width // PROTOCOL_WIDTH),
        "resnet18": max(1, 64 * protocol.width // PROTOCOL_WIDTH),
    }.get(name)
    return build(name, shape, classes, rng, width=width, running=True)


def _cache_batch_size(image: Tensor) -> int:
    """Images whose maps stay in the cache of a CPU."""
    return max(1, EVAL_BATCH_SIZE * 32 * 32 // (image.shape[2] * image.shape[3]))
