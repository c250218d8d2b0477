"""Settings as JSON: what a run was made with, printable, savable, comparable.

Names of classes and fields are written into checkpoints, cards and keys of caches. One
that is renamed gets an entry in `RENAMED` or `RENAMED_PARAMETERS` here, so that what
was written before is read as if it had been written today.
"""

import dataclasses
import hashlib
import json
import pathlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from multidd._version import __version__


def describe(value: Any) -> Any:
    """`value` as JSON: dataclasses by name and fields, tensors by shape and digest.

    A private field holds what an object remembers, such as a cache; it is left out.

    Args:
        value: settings, numbers, texts, containers, tensors or objects with a
            `describe()` of their own.

    Returns:
        Something `json.dumps` takes; equal settings give equal text.

    Example:
        >>> from multidd.learning import SGD
        >>> describe({"x": SGD(lr=0.5)})["x"]["lr"]
        0.5
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        return {"tensor": list(value.shape), "sha256": tensor_digest(value)}
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe(v) for v in value]
    if isinstance(value, set | frozenset):  # their order differs between processes
        return sorted((describe(v) for v in value), key=json.dumps)
    if isinstance(value, np.ndarray):
        return describe(torch.from_numpy(np.ascontiguousarray(value)))
    if isinstance(value, torch.dtype | torch.device | pathlib.PurePath):
        return str(value)
    if hasattr(value, "describe"):
        return value.describe()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if f.name[0] != "_"]
        fields = {name: getattr(value, name) for name in names}
        return {"kind": type(value).__name__} | describe(fields)
    if isinstance(value, np.generic):
        return value.item()
    return {"kind": getattr(value, "__qualname__", type(value).__qualname__)}


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's type, shape and bytes, first 16 digits.

    Sparse tensors count by their coalesced entries.

    Example:
        >>> tensor_digest(torch.ones(2)) == tensor_digest(torch.ones(2))
        True
    """
    head = f"{tensor.dtype} {list(tensor.shape)}".encode()
    sha = hashlib.sha256(head)
    dense = tensor.detach().cpu()
    if dense.layout != torch.strided:
        entries = dense.to_sparse_coo().coalesce()
        sha.update(entries.indices().contiguous().numpy().tobytes())
        dense = entries.values()
    if dense.numel():
        flat = dense.contiguous().reshape(-1)
        sha.update(flat.view(torch.uint8).numpy().data)
    return sha.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of what decides the bits of a run.

    Example:
        >>> sorted(versions())
        ['multidd', 'numpy', 'python', 'torch']
    """
    return {
        "multidd": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class Renamed:
    """A class of settings that was renamed, or whose fields were.

    Attributes:
        old: the name of the class before.
        new: its name from then on.
        fields: name of a field before -> name from then on. The entry is for settings
            of that class that have all of these, so a field that kept its name can be
            listed to tell two classes of one name apart.
    """

    old: str
    new: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def apply(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings of the old class as those of the new one; others as they are."""
        if settings.get("kind") != self.old or not set(self.fields) <= set(settings):
            return settings
        renamed = {self.fields.get(key, key): value for key, value in settings.items()}
        return renamed | {"kind": self.new}

    def undo(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings of the new class as those of the old one; others as they are."""
        fields = {new: old for old, new in self.fields.items()}
        return Renamed(self.new, self.old, fields).apply(settings)


RENAMED: tuple[Renamed, ...] = (
    Renamed(
        "Inner",
        "InnerLoop",
        {"rows": "batch_syn", "memory": "backprop", "paces": "gradient_factors"},
    ),
    Renamed("Fresh", "Fresh", {"models": "num_models"}),
    Renamed("Bank", "Bank", {"models": "num_models", "sets": "num_sets"}),
    Renamed(
        "Online",
        "Online",
        {"models": "num_models", "restart": "matches_per_net", "rows": "batch_size"},
    ),
    Renamed(
        "Pool",
        "Pool",
        {
            "size": "pool_size",
            "models": "num_models",
            "warm": "warmup_steps",
            "rows": "batch_size",
        },
    ),
    Renamed("Frozen", "Frozen", {"models": "num_models", "rows": "batch_size"}),
    Renamed("Flat", "GSAM"),
    Renamed("Trainer", "Trainer", {"rows": "batch_size", "flat": "gsam"}),
    Renamed("Taught", "FinalExperts"),
    Renamed("Ridges", "RidgeSearch"),
    Renamed(
        "TrajectoryMatching",
        "TrajectoryMatching",
        {
            "start": "start_epochs",
            "epochs": "expert_epochs",
            "grow": "growth",
            "learn_rate": "learn_lr",
            "room": "max_memory",
        },
    ),
    Renamed("Unroll", "Unroll", {"rates": "lr_mode", "shortest": "min_steps"}),
    Renamed("Recovery", "Recovery", {"first": "first_layer_weight"}),
    Renamed("GradientMatching", "GradientMatching", {"per_class": "class_wise"}),
    Renamed("MMD", "MMD", {"width": "bandwidth"}),
    Renamed("PairwiseAdjacency", "PairwiseAdjacency", {"warm_steps": "warmup_steps"}),
    Renamed("BernoulliAdjacency", "BernoulliAdjacency", {"start": "edge_logit"}),
    Renamed("Conditional", "Conditional", {"most": "max_per_class"}),
    Renamed("Given", "FromTensors", {"label_kind": "label_kind"}),
    Renamed("Net", "DecoderNet", {"channels": "channels", "factor": "factor"}),
    Renamed("Fit", "DecoderFit", {"steps": "steps", "lr": "lr"}),
    Renamed("Best", "SelectBest"),
    Renamed("Kept", "FrozenRows"),
    Renamed("FreeOfSome", "SubsampledFree"),
    Renamed("SubsampledFree", "SubsampledFree", {"most": "max_users"}),
    Renamed("Pursuit", "Pursuit", {"most": "max_candidates"}),
    Renamed("Density", "Density", {"most": "max_density"}),
)
"""Classes that were renamed or whose fields were, the oldest change first."""

RENAMED_PARAMETERS: dict[str, dict[str, str]] = {}
"""Method, or `"*"` for all -> parameter before -> parameter now, in card settings."""


def current_names(settings: Any) -> Any:
    """Described settings by today's names of classes and fields.

    Example:
        >>> current_names({"kind": "Fresh", "models": 2})
        {'kind': 'Fresh', 'num_models': 2}
    """
    return _renamed(settings, (_without_cache, *(rule.apply for rule in RENAMED)))


def original_names(settings: Any) -> Any:
    """Described settings by the first names of classes and fields, for cache keys.

    Example:
        >>> original_names({"kind": "Fresh", "num_models": 2})
        {'kind': 'Fresh', 'models': 2}
    """
    undone = tuple(rule.undo for rule in reversed(RENAMED))
    return _renamed(settings, (*undone, _with_cache))


def current_parameters(method: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A card's settings by today's names of the method's parameters.

    Args:
        method: the card's.
        settings: parameter -> described value; values get `current_names`.

    Example:
        >>> current_parameters("gcond", {"steps": 3, "states": {"kind": "Fresh"}})
        {'steps': 3, 'states': {'kind': 'Fresh'}}
    """
    names = RENAMED_PARAMETERS.get("*", {}) | RENAMED_PARAMETERS.get(method, {})
    renamed = {names.get(key, key): value for key, value in settings.items()}
    return dict(current_names(renamed))


def _without_cache(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a text encoder without its cache, which was described once."""
    if not _is_text_encoder(settings):
        return settings
    return {name: value for name, value in settings.items() if name != "_shells"}


def _with_cache(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a text encoder with its cache as it is before any use."""
    return settings | {"_shells": {}} if _is_text_encoder(settings) else settings


def _is_text_encoder(settings: Mapping[str, Any]) -> bool:
    return settings.get("kind") == "Encoder" and "tokenizer" in settings


def _renamed(settings: Any, rules: tuple[Callable[..., Any], ...]) -> Any:
    if isinstance(settings, list | tuple):
        return [_renamed(value, rules) for value in settings]
    if not isinstance(settings, Mapping):
        return settings
    renamed = {key: _renamed(value, rules) for key, value in settings.items()}
    for rule in rules:
        renamed = rule(renamed)
    return renamed
