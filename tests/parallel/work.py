"""Jobs that tests send to workers: functions of a module, as processes need them."""

import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from multidd.errors import DivergedError, MultiddWarning
from multidd.parallel import pools


def square(number: int) -> int:
    return number * number


def late_first(number: int) -> int:
    """The earlier the job, the later its end."""
    time.sleep(0.05 * (3 - number))
    return number


def several_kinds(number: int) -> dict[str, Any]:
    """Everything that a file of a result holds."""
    return {
        "tensor": torch.arange(number),
        "array": np.ones((number, 2), dtype=np.float32),
        "scalar": np.float64(0.1 * number),
        "tuple": (None, True, number, 0.1, "text"),
        "list": [float("inf"), [], {}],
    }


def noted(folder: str, number: int) -> int:
    """Leaves a file for each time that a job was done."""
    Path(folder, f"{number}-{time.monotonic_ns()}").touch()
    return number


def dies_at_two(path: Mapping[str, str], number: int) -> int:
    """Kills its worker at job 2, once; the others before it have ended."""
    flag = Path(path["flag"])
    if number == 2 and not flag.exists():
        while len(list(Path(path["done"]).iterdir())) < 2:
            time.sleep(0.01)
        time.sleep(0.2)  # their replies are on the way
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    Path(path["done"], str(number)).touch()
    return number


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fails_at_odd(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def diverges(number: int) -> int:
    raise DivergedError("not finite any more", step=number)


class UnsendableError(Exception):
    """Cannot be made anew from its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def unsendable(number: int) -> int:
    raise UnsendableError(number, 2)


def warns(number: int) -> int:
    warnings.warn("labels were mapped", MultiddWarning, stacklevel=1)
    return number


def entry(table: Mapping[int, int], number: int) -> tuple[int, int]:
    """Of what is shared, and the process that looked it up."""
    time.sleep(0.02)
    return table[number], os.getpid()


def value_of(table: Mapping[int, int], number: int) -> int:
    """Of what is shared."""
    return table[number]


class Counted(dict):
    """A dict that leaves a file for each time that it was sent to a process."""

    def __init__(self, values: Mapping[int, int], folder: str) -> None:
        super().__init__(values)
        self.folder = folder

    def __reduce__(self) -> Any:
        return _arrived, (dict(self), self.folder)


def _arrived(values: Mapping[int, int], folder: str) -> Counted:
    Path(folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()
    return Counted(values, folder)


def dies_always(number: int) -> None:
    """Whoever takes it up."""
    dies()


def surroundings(number: int) -> dict[str, Any]:
    """How a worker was set."""
    return {
        "threads": torch.get_num_threads(),
        "variable": int(os.environ["OMP_NUM_THREADS"]),
        "handler": signal.getsignal(signal.SIGINT),
        "process": os.getpid(),
    }


def parent_of_one(folder: str) -> None:
    """Has a worker that ends with it, and tells the worker's number."""
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=pools._end_with_parent)
    worker.start()
    Path(folder, str(worker.pid)).touch()
    time.sleep(60)


class Linear(nn.Module):
    """One layer on what is flattened, whatever stands beside it."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, classes)

    def forward(self, x: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return self.layer(x if others else x.flatten(1))


def linear_on_images(shape: Any, classes: int) -> Linear:
    """A model of one's own, of images."""
    return Linear(int(np.prod(shape)), classes)


def popularity(rows: Any, weight: Any, rng: torch.Generator) -> Any:
    """A recommender of one's own: the same scores for everybody."""
    scores = torch.as_tensor(np.asarray(rows.sum(axis=0))).float().reshape(1, -1)
    return Popularity(scores)


class Popularity:
    """Scores by item, whatever the histories."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores

    def __call__(self, histories: Any) -> torch.Tensor:
        return self.scores.expand(histories.shape[0], -1)


def watch_trainings(
    evaluator: type, folder: Path, patch: pytest.MonkeyPatch, kill_at: int = -1
) -> Path:
    """A folder with a file for each training of evaluators of that class, in processes
    forked from now on; the first one by the seed `kill_at` kills its process."""
    here, fit, flag = os.getpid(), evaluator.fit, folder / "flag"
    trained = folder / "trained"
    trained.mkdir()

    def watched(self: Any, summary: Any, model: str, protocol: Any, seed: int) -> Any:
        if seed == kill_at and os.getpid() != here and not flag.exists():
            time.sleep(0.5)  # others are on their way back
            flag.touch()
            dies()
        scores = fit(self, summary, model, protocol, seed)
        (trained / str(time.monotonic_ns())).touch()
        return scores

    patch.setattr(evaluator, "fit", watched)
    return trained


def unsendable_result(number: int) -> Any:
    return lambda: number


def gone_elsewhere() -> Any:
    """A function that no other process has under its name, as those of a notebook."""

    def gone(number: int) -> int:
        return number

    gone.__qualname__ = gone.__name__ = "gone"
    globals()["gone"] = gone
    return gone


def all_of(values: list[torch.Tensor], number: int) -> list[torch.Tensor]:
    return values
