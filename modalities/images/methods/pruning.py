"""Pruning of a summary to the images that a model trained on it predicts well."""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multidd.data.splitting import check_count
from multidd.images.methods.budget import item_bytes
from multidd.parameterizations import decoding

if TYPE_CHECKING:
    from multidd.images.summary.summary import ImageSummary

BATCH_SIZE = 256
"""Images that a model sees at a time."""


def prune(
    summary: "ImageSummary", ipc: int, model: str, epochs: int, models: int, seed: int
) -> "ImageSummary":
    """See `ImageSummary.prune`."""
    ipc = check_count("ipc", ipc, None)
    if min(ipc, epochs, models) < 1:
        raise ValueError(
            f"ipc, epochs and models must be 1 or more, got {ipc}, {epochs} and "
            f"{models}"
        )
    if "view_seeds" in summary.tensors:
        raise ValueError(
            "labels of stored views belong to their training, which fewer images would "
            "change: prune first, relabel then"
        )
    counts = _counts(summary, ipc)
    score = scores(summary, model, epochs, models, seed)
    rows = lowest(score, summary.tensors["y"], counts)
    pruned = {
        "from": summary.digest(),
        "items": len(score),
        "kept": len(rows),
        "ipc": ipc,
        "model": model,
        "epochs": epochs,
        "models": models,
        "seed": seed,
    }
    card = replace(
        summary.card,
        settings=summary.card.settings | {"pruned": pruned},
        protocol=None,
        score=None,
    )
    tensors = {
        name: _rows(t, rows, len(score)) if _has_rows(summary, name) else t.clone()
        for name, t in summary.tensors.items()
    }
    return replace(summary, tensors=tensors, card=card)


def scores(
    summary: "ImageSummary", model: str, epochs: int, models: int, seed: int
) -> Tensor:
    r"""`[m]`, $\lVert \mathrm{softmax} f(x) - y \rVert$ of each stored record.

    The mean over models and over the images of a record; centered labels are regressed,
    so their error is that of the outputs themselves.

    Args:
        summary, model, epochs, models, seed: see `ImageSummary.prune`.
    """
    from multidd.images.models.training import QUICK, ImageTrainingSet, train
    from multidd.images.summary.summary import targets_of

    x, targets, centered = targets_of(summary, True)
    records = ImageTrainingSet(lambda rows: x[rows], targets, centered)
    protocol = replace(QUICK, name="prune", epochs=epochs)
    errors = torch.zeros(len(x))
    for place in range(models):
        net, _ = train(model, records, None, protocol, seed + place, summary.shape)
        with torch.no_grad():
            outputs = torch.cat([net(some) for some in x.split(BATCH_SIZE)])
        predictions = outputs if centered else outputs.softmax(1)
        errors += (predictions - targets).norm(dim=1) / models
    return errors.unflatten(0, (len(summary.tensors["y"]), -1)).mean(1)


def lowest(score: Tensor, y: Tensor, counts: list[int]) -> Tensor:
    """Places of the `counts[c]` lowest scores of each class, in their first order.

    Example:
        >>> y = torch.tensor([0, 0, 1, 1])
        >>> lowest(torch.tensor([0.3, 0.1, 0.2, 0.4]), y, [1, 1])
        tensor([1, 2])
    """
    places = []
    for label, count in enumerate(counts):
        members = (y == label).nonzero().flatten()
        order = score[members].argsort(stable=True)
        places.append(members[order[:count]])
    return torch.cat(places).sort().values


def _counts(summary: "ImageSummary", ipc: int) -> list[int]:
    """Records of each class that stay."""
    have = summary.tensors["y"].bincount(minlength=summary.num_classes).tolist()
    shared = sum(
        t.numel() * t.element_size()
        for name, t in summary.tensors.items()
        if not name.startswith("preprocessing.") and not _has_rows(summary, name)
    )
    if not shared:
        if min(have) < ipc:
            name = summary.classes[have.index(min(have))]
            raise ValueError(
                f"ipc={ipc} is more than there are: class {name!r} has {min(have)}; "
                f"ask for at most {min(have)}"
            )
        return [ipc] * len(have)
    return _coded(summary, ipc, have, shared)


def _coded(
    summary: "ImageSummary", ipc: int, have: list[int], shared: int
) -> list[int]:
    """Codes of each class in the bytes of `ipc` images, what they share counted."""
    c, soft = len(have), "y_soft" in summary.tensors
    free = item_bytes(summary.shape, soft=c if soft else 0)
    cost = decoding.ByteCost(shared, (summary.tensor_bytes - shared) // sum(have))
    each = cost.fitting(ipc * c * free, c) // c
    if each >= max(have):
        raise ValueError(
            f"ipc={ipc} is no less than there is: the summary takes "
            f"{summary.tensor_bytes} bytes, {ipc} images of each class {ipc * c * free}"
        )
    return [min(each, size) for size in have]


def _has_rows(summary: "ImageSummary", name: str) -> bool:
    """Whether each stored record has rows of its own in a tensor."""
    other = name.startswith("preprocessing.")
    return not other and not decoding.is_shared(summary.card.decoder, name)


def _rows(tensor: Tensor, places: Tensor, items: int) -> Tensor:
    """The rows of some records; a record may have several."""
    return tensor.unflatten(0, (items, -1))[places].flatten(0, 1).clone()
