"""The teacher of soft labels: one network trained on whole data, kept on disk."""

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from multidd.errors import MultiddWarning, StorageError
from multidd.settings import versions
from multidd.storage import files
from multidd.storage.cache import folder
from multidd.storage.fields import FreeJSON, Number, Record, Text
from multidd.storage.schema import Forms, Schema, TensorField, forms_of

__all__ = ["TEACHER_SEED", "State", "Teacher", "stored_state"]

KIND = "teacher"

TEACHER_SEED = 0
"""Of every teacher, so that all sets and reports have labels of the same one."""

State = dict[str, Tensor]
"""The tensors of a network, by name."""


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network that was trained on whole data and labels what it is shown.

    Attributes:
        model: its name.
        seconds: that its training took.
        probabilities: records as the modality's teacher takes them to `[b, c]`.

    Example:
        >>> Teacher("gcn", 2.0, lambda records: records).about
        'gcn trained on whole data in 2.0 s'
    """

    model: str
    seconds: float
    probabilities: Callable[[Any], Tensor]

    @property
    def about(self) -> str:
        """What it is, in a few words."""
        return f"{self.model} trained on whole data in {self.seconds:.1f} s"


def stored_state(
    key: Mapping[str, Any],
    template: Mapping[str, Tensor],
    train: Callable[[], State],
    cache: bool = True,
) -> tuple[State, float]:
    """Weights of a training, from the cache where they lie there, and its seconds.

    Args:
        key: what decides the weights, as JSON; the versions are added.
        template: tensors of the same names, types and shapes.
        train: trains and gives them.
        cache: read and write a file; False trains.

    Returns:
        The weights, and the seconds that training them took when it was done.

    Example:
        >>> import torch
        >>> weights, _ = stored_state({"a": 1}, {}, lambda: {"w": torch.ones(1)}, False)
        >>> weights["w"]
        tensor([1.])
    """
    identity = {**key, "versions": versions()}
    text = json.dumps(identity, sort_keys=True)
    sha = hashlib.sha256(text.encode()).hexdigest()
    path = folder() / "teachers" / f"{sha[:24]}.safetensors"
    if cache and path.is_file():
        try:
            state, info = files.read(path, kind=KIND, schema=_schema(template))
            if info["key"] == sha:
                return state, float(info["seconds"])
        except StorageError as error:
            warnings.warn(
                f"a cached teacher cannot be used and is trained again: {error}",
                MultiddWarning,
                stacklevel=3,
            )
    started = time.perf_counter()
    state = {name: tensor.detach().cpu() for name, tensor in train().items()}
    seconds = round(time.perf_counter() - started, 3)
    if cache:
        info = {"key": sha, "seconds": seconds, "made_by": json.loads(text)}
        try:
            files.check_writable(path.parent)
            files.write(path, state, info, kind=KIND)
        except StorageError:
            pass  # a cache that cannot be written only costs time
    return state, seconds


def _schema(template: Mapping[str, Tensor]) -> Schema:
    """Tensors of the names, types and shapes of a network's."""
    fields = {
        name: TensorField(form.shape, (form.dtype,))
        for name, form in forms_of(template).items()
    }

    def tensors(info: Mapping[str, Any], forms: Forms) -> dict[str, TensorField]:
        return fields

    info = {"key": Text(pattern="[0-9a-f]{64}"), "seconds": Number(low=0)}
    return Schema(Record({**info, "made_by": FreeJSON()}), tensors)
