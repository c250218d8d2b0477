"""Content of a file: nested dicts of tensors made flat and checked, and JSON."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multidd.errors import CorruptFileError, NonFiniteError
from multidd.storage.limits import Limits, json_fault, parse_json

Tree: TypeAlias = "Mapping[str, Tensor | Tree]"

_JOINER = "::"  # "/" is taken: "adjacency/w_left" is one key
# What safetensors can name; complex128 is the usual one that it cannot.
_DTYPES = {
    getattr(torch, name)
    for name in (
        "float64 float32 float16 bfloat16 complex64 bool uint8 uint16 uint32 uint64 "
        "int8 int16 int32 int64 float8_e4m3fn float8_e5m2"
    ).split()
}


def flatten(tree: Tree) -> dict[str, Tensor]:
    """One flat dict of a nested one: keys are joined by `"::"`.

    An empty dict inside becomes a key that ends with the joiner, so that it comes
    back from `unflatten`.

    Args:
        tree: tensors, or mappings of them, under non-empty names without `"::"`.

    Returns:
        A new dict; its tensors are the same objects.

    Raises:
        TypeError: a leaf is not a tensor, or a key not a string.
        ValueError: a key is empty, contains `"::"`, or begins or ends with `":"`.

    Example:
        >>> x = torch.zeros(1)
        >>> list(flatten({"adam": {"x": x, "adjacency/w": x}, "rest": {}}))
        ['adam::x', 'adam::adjacency/w', 'rest::']
    """
    flat: dict[str, Tensor] = {}
    for key, value in tree.items():
        _check_key(key)
        if isinstance(value, Tensor):
            flat[key] = value
        elif isinstance(value, Mapping):
            below = flatten(value) or {"": torch.empty(0)}
            flat |= {f"{key}{_JOINER}{name}": leaf for name, leaf in below.items()}
        else:
            raise TypeError(
                f"{key!r} holds a {type(value).__name__}; a tensor or a dict of "
                "tensors is wanted (numbers and text belong in info)"
            )
    return flat


def in_rows(tree: Any) -> Any:
    """The tree with every tensor in row order, as it comes back from a file.

    A tensor of a decomposition or of a transpose may lie in memory by columns, and
    products and sums of the same numbers then differ in the last bit.

    Example:
        >>> in_rows({"x": {"y": torch.zeros(2, 3).T}})["x"]["y"].stride()
        (2, 1)
    """
    if isinstance(tree, Tensor):
        return tree.contiguous()
    return {name: in_rows(part) for name, part in tree.items()}


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"the key {key!r} is a {type(key).__name__}; use a string")
    # "a:" + "::" + "b" would come back as "a" and ":b".
    if not key or _JOINER in key or key[0] == ":" or key[-1] == ":":
        raise ValueError(
            f"the key {key!r} is empty, contains {_JOINER!r} or has ':' at an end; "
            "rename it"
        )


def unflatten(flat: Mapping[str, Tensor]) -> dict[str, Any]:
    """The nested dict that `flatten` was given.

    Raises:
        ValueError: a key is malformed, or is both a tensor and a dict.

    Example:
        >>> x = torch.zeros(1)
        >>> unflatten({"adam::x": x, "rest::": torch.empty(0)})
        {'adam': {'x': tensor([0.])}, 'rest': {}}
    """
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *above, last = path.split(_JOINER)
        here = tree
        for key in above:
            _check_key(key)
            here = here.setdefault(key, {})
            if isinstance(here, Tensor):
                raise ValueError(f"{path!r} lies inside {key!r}, which is a tensor")
        if last in here:
            raise ValueError(f"{path!r} is both a tensor and a dict")
        if last or not above:  # the empty name below a dict only says: it is empty
            _check_key(last)
            here[last] = leaf
    return tree


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, whatever the order of the dict.

    Two dicts have one digest exactly when their tensors are equal bit for bit.

    Args:
        tensors: strided tensors by name, on any device.

    Returns:
        64 hex digits.

    Example:
        >>> x, y = torch.zeros(1), torch.ones(1)
        >>> digest({"x": x, "y": y}) == digest({"y": y, "x": x})
        True
        >>> digest({"x": x}) == digest({"x": -x})  # 0.0 and -0.0 differ in a bit
        False
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu()
        # The shape and dtype fix how many bytes follow: no two dicts read alike.
        label = [name, str(tensor.dtype), list(tensor.shape)]
        total.update(json.dumps(label).encode() + b"\n")
        if tensor.numel():  # an empty one may have strides that no view of bytes takes
            flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
            total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()


def plain(name: str, tensor: Tensor) -> Tensor:
    """A dense copy on the CPU; names and layouts that no file can hold are refused."""
    if not isinstance(name, str) or not name or name == "__metadata__":
        raise ValueError(f"{name!r} cannot name a tensor in a file; rename it")
    if tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in _DTYPES:
        raise TypeError(
            f"tensor {name!r} is {tensor.layout} {tensor.dtype} on {tensor.device}, "
            "which a file cannot hold; store a dense tensor of a common dtype (of a "
            "sparse one its indices and values)"
        )
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def check_finite(
    path: object,
    tensors: Mapping[str, Tensor],
    remedy: str = "find where they come from, or pass allow_nonfinite=True",
) -> None:
    """Refuse NaN and infinity: which tensor, where, how many, and which file."""
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        if tensor.element_size() == 1:  # isfinite knows only some 8-bit floats
            tensor = tensor.float()
        bad = ~torch.isfinite(tensor)
        if bad.any():
            first = bad.nonzero()[0].tolist()
            raise NonFiniteError(
                f"{path}: tensor {name!r} holds {int(bad.sum())} values that are NaN "
                f"or infinite, the first at {first}; {remedy}"
            )


def _json_fault(value: object, where: str) -> str | None:
    """What keeps `value` from surviving a trip through strict JSON, if anything."""
    children: list[tuple[str, object]] = []
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return f"{where} has the key {key!r}, which is not a string"
        children = [(f"{where}[{key!r}]", child) for key, child in value.items()]
    elif isinstance(value, (list, tuple)):
        children = [(f"{where}[{i}]", child) for i, child in enumerate(value)]
    elif isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {value}"
    elif value is not None and not isinstance(value, (int, float, str)):
        return f"{where} is a {type(value).__name__}"
    faults = (_json_fault(child, name) for name, child in children)
    return next((fault for fault in faults if fault), None)


def to_json(path: Path, info: Mapping[str, Any]) -> str:
    """Canonical JSON: the same text for the same content."""
    try:
        fault = _json_fault(dict(info), "info")
    except RecursionError:
        fault = "info is nested too deep"
    if fault:
        raise ValueError(f"cannot write {path}: {fault}; info must be plain JSON")
    text = json.dumps(dict(info), sort_keys=True, separators=(",", ":"))
    if fault := json_fault(text, Limits.current()):  # it could not be read again
        raise ValueError(f"cannot write {path}: {fault}")
    return text


def from_json(path: Path, text: str, limits: Limits | None = None) -> dict[str, Any]:
    """The info of a file; what `to_json` would not have written is refused."""
    try:
        info = parse_json(text, limits)
        # json takes 1e999 for infinity.
        fault = _json_fault(info, "info")
    except ValueError as error:
        fault = f"its info is no JSON: {error}"
    if fault or not isinstance(info, dict):
        raise CorruptFileError(f"{path} is damaged: {fault or 'info is no object'}")
    return info
