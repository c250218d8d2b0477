"""A folder of checkpoints: one writer at a time, the newest whole one is found.

A checkpoint is one file of `multidd.storage`. A run that was killed at any moment
leaves whole files, at most one stray temporary one, and a lock that the system lets
go of by itself.
"""

import json
import os
import re
import signal
import threading
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from multidd.engine.checkpoint_schema import INFO, check_fits
from multidd.engine.run import Run
from multidd.errors import (
    CheckpointMismatchError,
    CorruptFileError,
    DivergedError,
    MultiddWarning,
    NonFiniteError,
    RankCountWarning,
    ThreadCountWarning,
    WrongKindError,
)
from multidd.parallel.rank_group import ALONE, Ranks
from multidd.settings import current_names, current_parameters, tensor_digest
from multidd.storage import files
from multidd.storage.atomic import PathLike, naming
from multidd.storage.files import flatten, unflatten
from multidd.storage.lock import FolderLock
from multidd.storage.schema import refuse

_NAME = re.compile(r"step-([0-9]{8,})\.safetensors")
_KIND = "checkpoint"
_ABSENT = "(absent)"
# A checkpoint that cannot be opened at all, or that a newer version wrote, may well
# be sound: skipping it would make the run start again on top of it.
_DAMAGE = (CorruptFileError, WrongKindError, NonFiniteError)


class CheckpointFolder(FolderLock):
    """The checkpoints of one run; enter it to write, so that nobody else does.

    Args:
        path: the folder; made on entering.
        keep: how many checkpoints to keep, the newest ones; at least 1.

    Raises:
        ValueError: `keep` is below 1.
        StorageError: on entering: the folder cannot be made or written to.
        LockedError: on entering: another process, or this one, writes there.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as path:
        ...     with CheckpointFolder(path) as folder:
        ...         folder.save(3, {"x": torch.ones(1)}, {"seed": 0})
        ...     CheckpointFolder(path).latest()
        (3, {'x': tensor([1.])}, {'seed': 0})
    """

    def __init__(self, path: PathLike, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep={keep}: keep at least 1 checkpoint, better 2")
        super().__init__(path, [r"step-[0-9]{8,}\.safetensors"])
        self.keep = keep
        self._damaged: set[int] = set()

    def __repr__(self) -> str:
        return f"CheckpointFolder({str(self.path)!r}, keep={self.keep})"

    def save(
        self, step: int, tensors: Mapping[str, Tensor], info: Mapping[str, files.JSON]
    ) -> None:
        """Write the checkpoint of `step` and delete the ones no longer kept.

        Raises:
            RuntimeError: the folder was not entered.
            ValueError: `step` is negative, or `info` is not plain JSON.
            NonFiniteError: a tensor holds NaN or infinity.
            StorageError: it could not be written; the earlier ones are whole.
        """
        if not self.is_held:
            raise RuntimeError(f"enter the folder to write: with {self!r} as folder:")
        if step < 0:
            raise ValueError(f"step={step}: steps count from 0")
        # The step stands inside too, so that a renamed file is not taken for another.
        content = {"step": step, "info": dict(info)}
        files.write(self.file(step), tensors, content, kind=_KIND)
        self._damaged.discard(step)
        self._prune(step)

    def _prune(self, just_saved: int) -> None:
        # Known damage does not count as kept, or one good file might be all there is.
        whole = [step for step in self._steps() if step not in self._damaged]
        newest = {just_saved, *whole[: self.keep]}
        for step in self._steps():
            if step in newest:
                continue
            try:
                self.file(step).unlink(missing_ok=True)
            except OSError as error:
                warnings.warn(
                    f"cannot delete the old checkpoint {self.file(step)}: {error}; "
                    "the run goes on, delete it by hand",
                    MultiddWarning,
                    stacklevel=3,
                )

    def latest(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Step, tensors and info of the newest whole checkpoint, or None.

        A damaged one is skipped with a `MultiddWarning` that names file and fault.

        Raises:
            FileVersionError: the newest was written by a newer version.
            StorageError: the newest cannot be opened.
        """
        for step in self._steps():
            try:
                return step, *self._read(step)
            except FileNotFoundError:
                continue  # its run deleted it just now
            except _DAMAGE as error:
                self._damaged.add(step)
                warnings.warn(
                    f"skipping a checkpoint for the one before it: {error}",
                    MultiddWarning,
                    stacklevel=2,
                )
        return None

    def _read(self, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        path = self.file(step)
        tensors, content = files.read(path, kind=_KIND)
        if content.get("step") != step or not isinstance(content.get("info"), dict):
            raise CorruptFileError(
                f"{path} is not the checkpoint of step {step} but of "
                f"{content.get('step')}; was it renamed?"
            )
        return tensors, content["info"]

    def file(self, step: int) -> Path:
        """Path of the checkpoint of a step."""
        return self.path / f"step-{step:08d}.safetensors"

    def _steps(self) -> list[int]:
        """Steps with a file, newest first; a link may lead out and is no checkpoint."""
        if not self.path.is_dir():
            return []
        with naming(self.path, "read"):
            matches = [_NAME.fullmatch(name) for name in os.listdir(self.path)]
        steps = [int(match[1]) for match in matches if match]
        paths = {step: self.file(step) for step in steps}
        real = (s for s, f in paths.items() if f.is_file() and not f.is_symlink())
        return sorted(real, reverse=True)


def check_same(saved_settings: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to go on from a run with other settings.

    Another value of `threads` is only a `ThreadCountWarning`: the result is then
    close to that of the unbroken run, not equal to it.

    Args:
        saved_settings: of the run that wrote the checkpoint.
        settings: of this run; tuples count as lists, as they do in a file.

    Raises:
        CheckpointMismatchError: names every setting that differs, with both values.

    Example:
        >>> check_same({"seed": 0}, {"seed": 0})
        >>> try:
        ...     check_same({"adam": {"lr": 0.1}}, {"adam": {"lr": 0.2}})
        ... except CheckpointMismatchError as error:
        ...     print(str(error).split(";")[0])
        the checkpoint is of a run with other settings: adam.lr was 0.1 and is now 0.2
    """
    was, now = _leaves(_plain(saved_settings)), _leaves(_plain(settings))
    changes = {}
    for path in sorted(was | now):
        old, new = was.get(path, _ABSENT), now.get(path, _ABSENT)
        if old != new:
            changes[path] = f"{path} was {old!r} and is now {new!r}"
    threads = changes.pop("threads", None)
    if changes:
        raise CheckpointMismatchError(
            f"the checkpoint is of a run with other settings: "
            f"{'; '.join(changes.values())}; use another folder, or delete this one to "
            "start again"
        )
    if threads:
        warnings.warn(
            f"{threads}: sums may differ in the last bits from those of an unbroken "
            "run; give the first as RunOptions(threads=...) to avoid that",
            ThreadCountWarning,
            stacklevel=2,
        )


def _plain(settings: Mapping[str, Any]) -> Any:
    """Settings as they come back from a file: lists for tuples, text for keys."""
    return json.loads(json.dumps(dict(settings)))


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Dotted path -> value of each setting; an empty container is a leaf."""
    if not isinstance(value, (dict, list)) or not value:
        return {path: value}
    leaves: dict[str, Any] = {}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        leaves |= _leaves(child, f"{path}.{key}" if path else str(key))
    return leaves


_TREES = ("params", "moments", "state", "best")


class Resume:
    """A run's checkpoints; does nothing without a folder.

    Rank 0 alone touches the folder, and hands the others what it read.

    Args:
        path: the folder, or None.
        settings: of the run; a folder of a run with others is refused.
        ranks: the processes of the run.
    """

    def __init__(
        self, path: PathLike | None, settings: dict[str, Any], ranks: Ranks = ALONE
    ) -> None:
        self.path = path
        self.settings = settings
        self._folder = None if path is None else CheckpointFolder(path)
        self._restored: Path | None = None
        self._ranks = ranks
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._entered.enter_context(self._ranks.first_enters(self._folder))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered.__exit__(kind, error, trace)
        if isinstance(error, CheckpointMismatchError) and self._restored is not None:
            # What only the steps after it could tell is told of the file.
            raise CheckpointMismatchError(f"{self._restored}: {error}") from error

    def restore(self, run: Run) -> bool:
        """Put the newest whole checkpoint into `run`; False where there is none.

        Raises:
            CheckpointMismatchError: it is of a run with other settings, or its tensors
                are not of the types and shapes that a fresh start of this run has.
            SchemaError: what it says of the run is not what a checkpoint says.
        """
        if self._folder is None:
            return False
        saved = self._ranks.first(self._folder.latest)
        if saved is None:
            return False
        step, tensors, info = saved
        path = self._folder.file(step)
        refuse(path, INFO.fault(info, "info"))
        self._check_settings(path, run, info["settings"])
        fresh = run.fresh(info["finished"])
        check_fits(path, run, fresh, step, tensors, info)
        run.step, self._restored = step, path
        # In the order of the run: sums over names depend on it in the last bit.
        named = {
            name: tensors[name].to(_home(name, tensors[name], fresh, run.device))
            for name in info["order"]
        }
        trees = unflatten(named)
        for name in _TREES:
            setattr(run, name, trees.get(name, {}))
        run.history = trees["history"].tolist()
        if (before := info.get("ranks", 1)) != self._ranks.world:
            warnings.warn(
                f"{path} is of a run on {before} ranks, and this one has "
                f"{self._ranks.world}: sums may differ in the last bits from those of "
                "an unbroken run; go on with as many ranks to avoid that",
                RankCountWarning,
                stacklevel=2,
            )
        for name in ("best_score", "stale", "finished", "seconds"):
            setattr(run, name, info[name])
        return True

    def _check_settings(self, path: Path, run: Run, saved: dict[str, Any]) -> None:
        saved = current_names(saved)
        recipe = current_parameters(run.method, saved["recipe"])
        try:
            check_same(saved | {"recipe": recipe}, self.settings)
        except CheckpointMismatchError as error:
            raise CheckpointMismatchError(f"{path}: {error}") from None

    def save(self, run: Run) -> None:
        """Write a checkpoint of `run`.

        Raises:
            DriftError: ranks do not hold the same.
        """
        if self._folder is None and self._ranks.is_alone:
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
        if not self._ranks.is_alone:
            info["ranks"] = self._ranks.world
        flat = flatten(trees | {"history": history})
        if not self._ranks.is_alone:
            digests = {name: tensor_digest(tensor) for name, tensor in flat.items()}
            self._ranks.check_alike("state", digests)
        if (folder := self._folder) is None:
            return
        whole_info = info | {"order": list(flat)}
        try:
            self._ranks.first(lambda: folder.save(run.step, flat, whole_info))
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


def _home(
    name: str, tensor: Tensor, fresh: Mapping[str, Tensor], device: str
) -> torch.device | str:
    """Where a saved tensor lies in the run: where that of a fresh start does.

    What a fresh start does not have lies on the run's device, but for counters, which
    the processor reads.
    """
    if name in fresh:
        return fresh[name].device
    return device if tensor.dim() else "cpu"
