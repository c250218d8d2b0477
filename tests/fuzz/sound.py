"""What a summary must be, said a second time and without the library's schemas."""

import math
from typing import Any

import torch
from torch import Tensor

from multidd.evaluation.protocol import Protocol

MOST = 10**6
"""Above any setting of a training that these small sets could need."""


def faults_of_card(card: Any) -> list[str]:
    """Fields of a card that are not what its class says."""
    texts = ("method", "labels")
    whole = ("seed", "steps", "threads")
    dicts = ("settings", "source", "versions", "decoder", "preprocessing", "stages")
    faults = [n for n in texts if not isinstance(getattr(card, n), str)]
    faults += [n for n in whole if type(getattr(card, n)) is not int]
    faults += [n for n in dicts if not isinstance(getattr(card, n), dict)]
    numbers = {"seconds": card.seconds}
    if not isinstance(card.history, tuple):
        faults.append("history")
    else:
        numbers |= {f"history.{i}": n for i, n in enumerate(card.history)}
    faults += [name for name, number in numbers.items() if not _is_number(number)]
    if not faults:
        faults += ["steps"] * (card.steps < 0) + ["seconds"] * (card.seconds < 0)
        faults += ["labels"] * (card.labels not in ("hard", "soft", "centered"))
    return faults + _faults_of_scores(card)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _faults_of_scores(card: Any) -> list[str]:
    faults = []
    if card.protocol is not None:
        try:
            protocol = Protocol(**card.protocol)
        except TypeError:
            return ["protocol"]
        for name in (
            "epochs",
            "width",
            "batch",
            "whole_batch",
            "whole_patience",
            "whole_cap",
            "snapshots",
        ):
            value = getattr(protocol, name)
            if type(value) is not int or not 0 <= value <= MOST:
                faults.append(f"protocol.{name}")
    if card.score is not None:
        if not isinstance(card.score, dict):
            return [*faults, "score"]
        for model, score in card.score.items():
            if _is_number(score):  # noted by somebody else
                continue
            if not isinstance(score, dict) or set(score) != {
                "metric",
                "values",
                "seeds",
            }:
                faults.append(f"score.{model}")
                continue
            values, numbers = score["values"], score["seeds"]
            lists = isinstance(values, list) and isinstance(numbers, list)
            if (
                not lists
                or not all(map(_is_number, values))
                or len(values) != len(numbers)
            ):
                faults.append(f"score.{model}.values")
    return faults


def _form(tensors: Any, name: str, shape: Any, *dtypes: torch.dtype) -> list[str]:
    """The tensor's name, where its type or its shape (None: any) is another."""
    tensor: Tensor = tensors[name]
    fits = tensor.dim() == len(shape) and all(
        want is None or size == want
        for size, want in zip(tensor.shape, shape, strict=True)
    )
    return [] if fits and tensor.dtype in (dtypes or (torch.float32,)) else [name]


def _inside(tensor: Tensor, low: float, high: float) -> bool:
    return not tensor.numel() or bool(low <= tensor.min() and tensor.max() <= high)


def _positive(tensor: Tensor) -> bool:
    """Above zero, however little: a changed bit of a packed number may be that."""
    return bool((tensor > 0).all())


def _labels(tensors: Any, classes: int) -> list[str]:
    m = len(tensors["y"])
    faults = _form(tensors, "y", (None,), torch.int64)
    faults += ["y"] * (not m or not _inside(tensors["y"], 0, classes - 1))
    return faults


def faults_of(summary: Any) -> list[str]:
    """Fields that are not what they must be; none of a sound summary."""
    faults = faults_of_card(summary.card)
    for name, tensor in summary.tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            faults.append(name)
    check = {"graph": _graph, "graph.sets": _sets, "images": _images}
    check |= {"recsys": _users, "text": _texts}
    return faults + check[summary.kind](summary)


def _graph(summary: Any) -> list[str]:
    t, c = summary.tensors, summary.card.source["classes"]
    m = len(t["y"])
    faults = _labels(t, c) + _form(t, "x", (m, None))
    e = t["edge_index"].shape[-1]
    faults += _form(t, "edge_index", (2, e), torch.int64)
    faults += _form(t, "edge_weight", (e,))
    faults += ["edge_index"] * (not _inside(t["edge_index"], 0, m - 1))
    faults += ["edge_weight"] * (not _inside(t["edge_weight"], 0, math.inf))
    faults += _form(t, "y_soft", (m, c)) if "y_soft" in t else []
    return faults + sorted(set(t) - set("x y edge_index edge_weight y_soft".split()))


def _sets(summary: Any) -> list[str]:
    t, c = summary.tensors, summary.card.source["classes"]
    m = len(t["y"])
    faults = _labels(t, c) + _form(t, "x", (m, None, None))
    faults += _form(t, "sizes", (m,), torch.int64)
    faults += _form(t, "edges", (3, None), torch.int64)
    if faults:
        return faults
    faults += ["sizes"] * (not _inside(t["sizes"], 1, t["x"].shape[1]))
    graph, *ends = t["edges"]
    if not _inside(graph, 0, m - 1):
        return [*faults, "edges"]
    sizes = t["sizes"][graph]
    if any(bool(((end < 0) | (end >= sizes)).any()) for end in ends):
        faults.append("edges")
    return faults + sorted(set(t) - set("x y sizes edges".split()))


def _images(summary: Any) -> list[str]:
    t, source = summary.tensors, summary.card.source
    faults = _labels(t, source["classes"])
    faults += ["unknown"] * ("unknown" in t)
    x, y = summary.to_tensors()
    shape = list(source["shape"])
    faults += ["x"] * (list(x.shape) != [len(y), *shape] or x.dtype != torch.float32)
    faults += ["y"] * (len(y) != summary.num_images)
    for name in ("mean", "std"):
        faults += _form(t, f"preprocessing.{name}", shape[:1])
    faults += ["std"] * (not _positive(t["preprocessing.std"]))
    if "y_soft" in t:
        faults += _form(t, "y_soft", (None, source["classes"]))
    if "y_views" in t:
        many = len(t["view_seeds"])
        faults += _form(t, "y_views", (len(y), many, source["classes"]), torch.float16)
        faults += ["y_views"] * (not _inside(t["y_views"].float(), 0, 1.01))
    return faults


def _users(summary: Any) -> list[str]:
    t, m = summary.tensors, summary.num_users
    matrix = summary.to_csr()
    faults = ["x"] * (matrix.shape != (m, summary.num_items))
    faults += ["values"] * (bool((matrix.data < 0).any()) or not matrix.data.size)
    faults += _form(t, "weight", (m,))
    faults += ["weight"] * (not _positive(t["weight"]))
    return faults + ["unknown"] * ("unknown" in t)


def _texts(summary: Any) -> list[str]:
    t, c = summary.tensors, summary.card.source["classes"]
    m = len(t["y"])
    faults = _labels(t, c) + ["unknown"] * ("unknown" in t)
    length = t["x"].shape[1:2]
    faults += _form(t, "x", (m, *length, *t["x"].shape[2:]))
    for name in ("ids", "mask", "types"):
        if name in t:
            faults += _form(t, name, (m, *length), torch.int64)
            faults += [name] * (not _inside(t[name], -1, 10**7))
    faults += _form(t, "y_soft", (m, c)) if "y_soft" in t else []
    faults += _form(t, "weight", (m,)) if "weight" in t else []
    faults += _form(t, "source", (m,), torch.int64) if "source" in t else []
    if "source" in t:
        rows = summary.card.source["texts"]
        faults += ["source"] * (not _inside(t["source"], -1, rows - 1))
    return faults
