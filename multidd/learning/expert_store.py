"""Files of experts, checked whole once, then read slice by slice."""

import hashlib
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from multidd.errors import (
    CorruptFileError,
    FileVersionError,
    NonFiniteError,
    WrongKindError,
)
from multidd.protocols import Params
from multidd.storage import files
from multidd.storage.fields import FreeJSON, Items, Number, Record, Text
from multidd.storage.limits import check_regular
from multidd.storage.schema import Fields, Forms, Schema, TensorField

__all__ = ["ExpertStore", "differences", "fingerprint"]

KIND = "expert"
DAMAGE = (CorruptFileError, WrongKindError, NonFiniteError, FileVersionError)


def fingerprint(key: Mapping[str, Any]) -> str:
    """SHA-256 of what decides the weights of an expert, as JSON.

    Example:
        >>> len(fingerprint({"seed": 0}))
        64
    """
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


_SIZES = Items(Number(low=0, high=2**40, whole=True), max_count=16)
_CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def _tensors(info: Mapping[str, Any], forms: Forms) -> Fields:
    """One for each weight of the model, by what the identity tells of it."""
    made_by = info["made_by"]
    weights = zip(made_by["names"], made_by["shapes"], made_by["dtypes"], strict=True)
    return {
        name: TensorField(("epochs", *shape), (_CODES.get(dtype[6:], dtype),))
        for name, shape, dtype in weights
    }


def _agreement(info: Mapping[str, Any], forms: Forms) -> str | None:
    """An identity with lists of several lengths, or that does not give the key."""
    made_by = info["made_by"]
    counts = {len(made_by[name]) for name in ("names", "shapes", "dtypes")}
    if len(counts) > 1:
        return "made_by must have as many names as shapes and dtypes"
    key = fingerprint(made_by)
    if key != info["key"]:
        return f"key is {info['key'][:12]}..., and made_by gives {key[:12]}..."
    if "epochs" in (trainer := made_by["trainer"]):
        length = trainer["epochs"] + 1
        for name, form in forms.items():
            if form.shape[:1] != (length,):
                return (
                    f"tensor {name!r} is {form}; made_by.trainer.epochs wants "
                    f"{length} along its first axis"
                )
    return None


SCHEMA = Schema(
    Record(
        {
            "key": Text(pattern="[0-9a-f]{64}"),
            "number": Number(low=0, high=10**9, whole=True),
            "made_by": Record(
                {
                    "names": Items(Text(max_length=1000), 1, 10**5),
                    "shapes": Items(_SIZES, 1, 10**5),
                    "dtypes": Items(Text(max_length=100), 1, 10**5),
                    "trainer": Record(
                        {"epochs": Number(low=1, high=10**9, whole=True)},
                        frozenset({"epochs"}),
                        FreeJSON(),
                    ),
                },
                others=FreeJSON(),
            ),
        }
    ),
    _tensors,
    agreement=_agreement,
)
"""What a file of an expert holds."""


@dataclass(frozen=True)
class ExpertStore:
    """The experts of one task, trainer and seed, in a folder of their own.

    Attributes:
        root: the folder of many stores.
        key: fingerprint of task, trainer and seed, 64 hex digits.
    """

    root: pathlib.Path
    key: str

    @property
    def folder(self) -> pathlib.Path:
        """Where these experts lie."""
        return self.root / self.key[:24]

    def path(self, number: int) -> pathlib.Path:
        """The file of an expert."""
        return self.folder / f"expert-{number:04d}.safetensors"

    def write(
        self, number: int, trajectory: Params, identity: Mapping[str, Any]
    ) -> int:
        """Write an expert's weights, aside and renamed.

        Args:
            number: of the expert.
            trajectory: `[epochs + 1, ...]` for each name.
            identity: task, trainer and seed, as JSON.

        Returns:
            Bytes written.

        Raises:
            StorageError: the file cannot be written.
        """
        info = {"key": self.key, "number": number, "made_by": dict(identity)}
        return files.write(self.path(number), trajectory, info, kind=KIND)

    def checksum(self, number: int) -> int:
        """First digits of the SHA-256 of a sound expert, as a number above zero.

        Every bit of the file is checked, once in a process while it stays as it is.

        Raises:
            FileNotFoundError: there is no such expert.
            CorruptFileError, WrongKindError, NonFiniteError, FileVersionError: the file
                is not a sound expert of this store.
        """
        path = self.path(number)
        check_regular(path)
        stat = path.stat()
        sha, key, inside = _sound(str(path), stat.st_size, stat.st_mtime_ns)
        if (key, inside) != (self.key, number):
            raise WrongKindError(
                f"{path} holds expert {inside} of {key[:12]}..., not expert {number} "
                f"of {self.key[:12]}...: it was recorded on other data, by another "
                "model or trainer, and was put here by hand"
            )
        return int(sha[:15], 16) + 1

    def weights(self, number: int, epoch: int, device: Any = "cpu") -> Params:
        """`[1, ...]` for each name, of the file only the slices of that epoch."""
        check_regular(self.path(number))
        with safe_open(self.path(number), "pt") as file:
            order = json.loads(file.metadata()["multidd"])["made_by"]["names"]
            return {
                name: _one(file.get_slice(name), epoch).to(device) for name in order
            }

    def others(self) -> list[dict[str, Any]]:
        """Task, trainer and seed of each other store beside this one."""
        identities = []
        for path in sorted(self.root.glob("*/expert-0000.safetensors")):
            if path.parent == self.folder:
                continue
            try:
                kind, _, info = files.peek(path)
            except (OSError, *DAMAGE):
                continue
            if kind == KIND and SCHEMA.info.fault(info, "") is None:
                identities.append(info["made_by"])
        return identities


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two descriptions differ, as `place: one, not other`.

    Example:
        >>> differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
        ['b.c is 2, not 3']
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = [*one, *(name for name in other if name not in one)]
        return [
            text
            for name in names
            for text in differences(
                one.get(name), other.get(name), f"{place}.{name}" if place else name
            )
        ]
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    return [] if same else [f"{place} is {_short(one)}, not {_short(other)}"]


@lru_cache(maxsize=4096)
def _sound(path: str, size: int, modified: int) -> tuple[str, str, int]:
    """SHA-256, key and number of a sound file, which size and time stand for."""
    tensors, info = files.read(path, kind=KIND, schema=SCHEMA)
    lengths = {len(tensor) for tensor in tensors.values()}
    if len(lengths) != 1 or min(lengths) < 2:
        raise CorruptFileError(f"{path} is no expert: lengths {sorted(lengths)}")
    with safe_open(path, "pt") as file:
        return file.metadata()["sha256"], info["key"], info["number"]


def _one(part: Any, epoch: int) -> Tensor:
    # A copy: the mapped file may be replaced while the weights are in use.
    return torch.clone(part[epoch : epoch + 1])


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
