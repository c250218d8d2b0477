"""Results of jobs on disk: one file each, named by what decides it."""

import functools
import hashlib
import json
import math
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multidd.errors import MultiddWarning, StorageError
from multidd.settings import describe, versions
from multidd.storage import files
from multidd.storage.atomic import user_path
from multidd.storage.fields import FreeJSON, Record, Text
from multidd.storage.schema import Forms, Schema

__all__ = ["ResultFolder", "decoded", "encoded", "identity"]

KIND = "job result"

_TENSORS = ("tensor", "array", "scalar")


def encoded(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """A result as JSON, in which tensors stand by name, and the tensors.

    Args:
        value: None, booleans, numbers, texts, tensors, arrays of numbers, and lists,
            tuples and dicts of them whose keys are texts.

    Raises:
        TypeError: something else; says what.

    Example:
        >>> form, tensors = encoded({"x": torch.ones(2), "n": (1, 2.5)})
        >>> form
        {'dict': {'x': {'tensor': 't0'}, 'n': {'tuple': [1, 2.5]}}}
        >>> decoded(form, tensors)
        {'x': tensor([1., 1.]), 'n': (1, 2.5)}
    """
    tensors: dict[str, Tensor] = {}

    def form_of(part: Any) -> Any:
        if isinstance(part, Tensor):
            return _tensor("tensor", part)
        if isinstance(part, np.ndarray | np.generic):
            kind = "array" if isinstance(part, np.ndarray) else "scalar"
            return _tensor(kind, torch.from_numpy(np.array(part)))
        if isinstance(part, float) and not math.isfinite(part):
            return {"float": repr(float(part))}
        if part is None or type(part) in (bool, int, float, str):
            return part
        if type(part) is list:
            return [form_of(one) for one in part]
        if type(part) is tuple:
            return {"tuple": [form_of(one) for one in part]}
        if isinstance(part, Mapping) and all(isinstance(key, str) for key in part):
            return {"dict": {key: form_of(one) for key, one in part.items()}}
        raise TypeError(
            f"a result on disk must be of numbers, texts, tensors, arrays, and lists, "
            f"tuples and dicts of them by name; got {part!r:.80}"
        )

    def _tensor(kind: str, tensor: Tensor) -> dict[str, str]:
        name = f"t{len(tensors)}"
        tensors[name] = tensor
        return {kind: name}

    return form_of(value), tensors


def decoded(form: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The result that `encoded` was given.

    Raises:
        ValueError: not such a form.

    Example:
        >>> decoded({"float": "inf"}, {})
        inf
    """
    if isinstance(form, list):
        return [decoded(one, tensors) for one in form]
    if not isinstance(form, dict):
        return form
    if len(form) != 1:
        raise ValueError(f"a part of a result has one kind, got {list(form)}")
    ((kind, part),) = form.items()
    if kind in _TENSORS and isinstance(part, str) and part in tensors:
        tensor = tensors[part]
        if kind == "tensor":
            return tensor
        array = tensor.numpy()
        return array if kind == "array" else array[()]
    if kind == "float" and part in ("inf", "-inf", "nan"):
        return float(part)
    if kind == "tuple" and isinstance(part, list):
        return tuple(decoded(one, tensors) for one in part)
    if kind == "dict" and isinstance(part, dict):
        return {key: decoded(one, tensors) for key, one in part.items()}
    raise ValueError(f"there is no part of a result such as {form!r:.80}")


def _form_fault(info: Mapping[str, Any], forms: Forms) -> str | None:
    """A form that names tensors which are not there, or not what `encoded` makes."""
    try:
        decoded(info["result"], {name: torch.zeros(()) for name in forms})
    except ValueError as error:
        return f"result is damaged: {error}"
    return None


SCHEMA = Schema(
    Record({"key": Text(pattern="[0-9a-f]{64}"), "name": Text(), "result": FreeJSON()}),
    agreement=_form_fault,
)
"""What a file of a result holds."""


def identity(function: Callable[..., Any]) -> Any:
    """What a function is called, with what is bound to it, as JSON.

    Example:
        >>> identity(functools.partial(encoded, 3))
        {'function': 'multidd.parallel.results.encoded', 'args': [3], 'keywords': {}}
    """
    if isinstance(function, functools.partial):
        bound = {
            "args": describe(function.args),
            "keywords": describe(function.keywords),
        }
        return identity(function.func) | bound
    name = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None)
    return {"function": f"{module}.{name}"}


class ResultFolder:
    """Files of the results of one function on several jobs.

    A file is named by function, name and job (as `multidd.settings.describe` describes
    it) and by the versions of what decides bits, so several calls may share a folder.

    Args:
        folder: where they lie; made where needed.
        function: of the jobs.
        jobs: what it is called with.
        names: of each.

    Raises:
        StorageError: nothing can be written there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as path:
        ...     folder = ResultFolder(path, abs, [-1, -2], ["a", "b"])
        ...     folder.write(1, 2)
        ...     results = folder.read()
        ...     folder.clear()
        >>> results
        {1: 2}
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        function: Callable[..., Any],
        jobs: Sequence[Any],
        names: Sequence[str],
    ) -> None:
        self.path, self.names = user_path(folder), names
        files.check_writable(self.path)
        common = {"function": identity(function), "versions": versions()}
        self.keys = [
            _key({**common, "name": name, "job": describe(job)})
            for name, job in zip(names, jobs, strict=True)
        ]

    def file(self, number: int) -> pathlib.Path:
        """Where the result of a job lies."""
        return self.path / f"result-{self.keys[number][:24]}.safetensors"

    def write(self, number: int, result: Any) -> None:
        """Keep a result, aside and renamed.

        Raises:
            StorageError: it cannot be written.
            TypeError: no file can hold it.
        """
        try:
            form, tensors = encoded(result)
        except TypeError as error:
            raise TypeError(f"job {self.names[number]!r}: {error}") from None
        info = {"key": self.keys[number], "name": self.names[number], "result": form}
        files.write(self.file(number), tensors, info, kind=KIND, allow_nonfinite=True)

    def read(self) -> dict[int, Any]:
        """The results that are there, by number; damaged ones are named in a warning
        and count as absent."""
        results, faults = {}, []
        for number in range(len(self.keys)):
            try:
                results[number] = self._read(number)
            except FileNotFoundError:
                continue
            except StorageError as error:
                faults.append(str(error))
        if faults:
            warnings.warn(
                f"{len(faults)} damaged results are done again: {'; '.join(faults)}",
                MultiddWarning,
                stacklevel=5,
            )
        return results

    def clear(self) -> None:
        """Take the results of these jobs away, once nobody will ask for them again."""
        for number in range(len(self.keys)):
            self.file(number).unlink(missing_ok=True)

    def _read(self, number: int) -> Any:
        path = self.file(number)
        tensors, info = files.read(path, kind=KIND, schema=SCHEMA, allow_nonfinite=True)
        if info["key"] != self.keys[number]:
            raise StorageError(
                f"{path} holds the result of another job, {info['name']!r}; it was put "
                "there by hand"
            )
        return decoded(info["result"], tensors)


def _key(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
