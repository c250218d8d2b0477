"""Mutations of a file's content: one field is made wrong, the file is sealed again."""

import copy
import hashlib
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass
class Content:
    """What a file holds: JSON, tensors, and what its header claims of some of them.

    Attributes:
        info: JSON; raw text stands for itself where it is a `Raw`.
        tensors: by name.
        kind: of the file.
        claims: tensor -> shape in the header, where that is not the tensor's.
        format: of the file.
    """

    info: Any
    tensors: dict[str, Tensor] = field(default_factory=dict)
    kind: str = ""
    claims: dict[str, list[int]] = field(default_factory=dict)
    format: int = 1


@dataclass(frozen=True)
class Mutation:
    """One change: the field, what was done to it, and the content after it."""

    place: str
    action: str
    content: Content


# --- writing ------------------------------------------------------------------

NESTED = "[the nested list]"
"""Stands for a list in 100,000 lists, which `json.dumps` would not write."""
DEEP = "[" * 100_000 + "]" * 100_000


def to_text(info: Any) -> str:
    """JSON, with NaN and deep lists where a mutation put them."""
    return json.dumps(info).replace(json.dumps(NESTED), DEEP)


def seal(path: Path, content: Content) -> None:
    """Write a file with the right SHA-256, whatever is in it."""
    meta = {"sha256": "0" * 64, "format": str(content.format)}
    meta["kind"] = content.kind
    header: dict[str, Any] = {"__metadata__": meta | {"multidd": to_text(content.info)}}
    body, start = b"", 0
    for name, tensor in content.tensors.items():
        raw = (
            tensor.contiguous().reshape(-1).view(torch.uint8)
            if tensor.numel()
            else None
        )
        data = b"" if raw is None else raw.numpy().tobytes()
        shape = content.claims.get(name, list(tensor.shape))
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": shape,
            "data_offsets": [start, start + len(data)],
        }
        body, start = body + data, start + len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    digest = hashlib.sha256(head + body).hexdigest().encode()
    mark = b'"sha256":"'
    path.write_bytes(head.replace(mark + b"0" * 64, mark + digest, 1) + body)


# --- JSON ---------------------------------------------------------------------

VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "minus one": -1,
    "a billion": 10**9,
    "a huge number": 10**40,
    "a fraction": 0.37,
    "minus 1e308": -1e308,
    "NaN": math.nan,
    "infinity": math.inf,
    "an empty text": "",
    "a text": "nothing that is known",
    "a long text": "long " * 40_000,
    "a list": [1, 2, 3],
    "an empty list": [],
    "a dict": {"unknown": 1},
    "lists in lists": NESTED,
}


def _places(info: Any, rng: random.Random) -> tuple[Any, Any, str]:
    """A random container, a key in it, and the dotted place of the two."""
    here, names = info, []
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = rng.choice(keys)
        names.append(str(key))
        below = here[key]
        if not isinstance(below, dict | list) or not below or rng.random() < 0.2:
            return here, key, ".".join(names)
        here = below


def _in_json(content: Content, rng: random.Random) -> tuple[str, str]:
    here, key, place = _places(content.info, rng)
    action = rng.choice(["drop", "add", *VALUES])
    if action == "drop":
        del here[key]
    elif action == "add":
        if isinstance(here, list):
            here.insert(0, "added")
        else:
            here["unknown"] = 1
        place = place.rpartition(".")[0] or place
    else:
        if action == "a list" and isinstance(here[key], list):
            here[key] = [*here[key], *here[key]]
        else:
            here[key] = copy.deepcopy(VALUES[action])
    return place, action


# --- tensors ------------------------------------------------------------------


def _entry(tensor: Tensor, value: float, rng: random.Random) -> Tensor:
    """A copy with one entry changed."""
    changed = tensor.clone().reshape(-1)
    if len(changed):
        changed[rng.randrange(len(changed))] = value
    return changed.reshape(tensor.shape)


def _cast(tensor: Tensor, rng: random.Random) -> Tensor:
    return tensor.to(rng.choice([d for d in DTYPES if d != tensor.dtype]))


def _reshaped(tensor: Tensor, rng: random.Random) -> Tensor:
    forms: list[Callable[[], Tensor]] = [
        lambda: tensor[None].clone(),
        lambda: tensor.reshape(-1)[: max(tensor.numel() - 1, 0)].clone(),
        lambda: tensor.reshape(-1, 1).clone(),
    ]
    if tensor.dim():
        forms += [
            lambda: tensor[:-1].clone(),
            lambda: torch.cat([tensor, tensor]),
            lambda: tensor[..., : tensor.shape[-1] // 2].clone(),
        ]
    return rng.choice(forms)()


def _in_tensors(content: Content, rng: random.Random) -> tuple[str, str]:
    name = rng.choice(sorted(content.tensors))
    tensor = content.tensors[name]
    actions = "drop add dtype shape empty huge-and-empty NaN infinite negative large"
    action = rng.choice(
        [*actions.split(), "zero", "dtype", "shape", "negative", "large"]
    )
    if action == "drop":
        del content.tensors[name]
    elif action == "add":
        content.tensors["unknown"], name = torch.ones(2), "unknown"
    elif action == "dtype":
        content.tensors[name] = _cast(tensor, rng)
    elif action == "shape":
        content.tensors[name] = _reshaped(tensor, rng)
    elif action == "empty":
        content.tensors[name] = tensor.new_empty((0, *tensor.shape[1:]))
    elif action == "huge-and-empty":
        content.tensors[name] = tensor.new_empty(0)
        content.claims[name] = [2**40, *tensor.shape[1:-1], 0][: max(tensor.dim(), 2)]
    else:
        real = tensor.is_floating_point()
        value = {"NaN": math.nan, "infinite": math.inf}.get(action)
        if value is None or not real:
            large = 1e30 if real else 10**9
            value = {"zero": 0, "negative": -3}.get(action, large)
        if tensor.dtype in (torch.uint8, torch.bool):
            value = abs(value) % 256
        content.tensors[name] = _entry(tensor, value, rng)
    return name, action


def mutate(valid: Content, seed: str) -> Mutation:
    """The content after one random change; the seed decides which."""
    rng = random.Random(seed)
    content = copy.deepcopy(valid)
    both = [_in_json, _in_tensors] if content.tensors else [_in_json]
    place, action = rng.choice(both)(content, rng)
    return Mutation(place, action, content)
