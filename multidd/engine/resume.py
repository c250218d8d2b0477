"""Between the loop and its checkpoint folder: save, restore, and signals."""

import pathlib
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from multidd.engine.checkpoint import CheckpointFolder, check_same
from multidd.engine.run import Run
from multidd.errors import DivergedError, NonFiniteError
from multidd.storage.files import flatten, unflatten

_TREES = ("params", "moments", "state", "best")


class Resume:
    """A run's checkpoints; does nothing without a folder.

    Args:
        path: the folder, or None.
        settings: of the run; a folder of a run with others is refused.
    """

    def __init__(
        self, path: str | pathlib.Path | None, settings: dict[str, Any]
    ) -> None:
        self.path = path
        self.settings = settings
        self._folder = None if path is None else CheckpointFolder(path)

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._folder.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._folder.__exit__(kind, error, trace)

    def restore(self, run: Run) -> bool:
        """Put the newest whole checkpoint into `run`; False where there is none."""
        found = None if self._folder is None else self._folder.latest()
        if found is None:
            return False
        run.step, tensors, info = found
        check_same(info["settings"], self.settings)
        # In the order of the run: sums over names depend on it in the last bit.
        named = {name: _home(tensors[name], run.device) for name in info["order"]}
        trees = unflatten(named)
        for name in _TREES:
            setattr(run, name, trees.get(name, {}))
        run.history = trees["history"].tolist()
        for name in ("best_score", "stale", "finished", "seconds"):
            setattr(run, name, info[name])
        return True

    def save(self, run: Run) -> None:
        """Write a checkpoint of `run`."""
        if self._folder is None:
            return
        trees = {name: getattr(run, name) for name in _TREES}
        history = torch.tensor(run.history, dtype=torch.float64)
        if run.finished:  # nothing will go on from it; the real side of a bank is large
            trees["state"] = {}
        info = {
            "settings": self.settings,
            "best_score": run.best_score,
            "stale": run.stale,
            "finished": run.finished,
            "seconds": run.seconds,
        }
        flat = flatten(trees | {"history": history})
        try:
            self._folder.save(run.step, flat, info | {"order": list(flat)})
        except NonFiniteError as error:
            raise DivergedError(
                f"the state is not finite after step {run.step} ({error}); the "
                "checkpoint before is kept. Try a smaller learning rate",
                step=run.step,
                summary=run.summary(),
            ) from error


class Signals:
    """Notes SIGINT and SIGTERM so that the loop can save before it stops.

    A second signal acts at once. Outside the main thread, where Python lets nobody
    listen, it does nothing.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for signum, handler in self._before.items():
            # A handler that was not set from Python reads as None.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = signum


def _home(tensor: Tensor, device: str) -> Tensor:
    """Counters stay on the CPU, where optimizers read them."""
    return tensor if tensor.dim() == 0 else tensor.to(device)
