"""The processes of one run: `ranks` joins those that `torchrun` started.

Rank 0 alone reads and writes files and hands the others what it read; nothing that
goes between ranks is ever unpickled: tensors go as they are, the rest as JSON.
"""

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NoReturn, TypeAlias, get_args

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor

from multidd import errors
from multidd.errors import DriftError, LostRankError, MultiddError

__all__ = ["ALONE", "Ranks", "Way", "current", "ranks"]

Way: TypeAlias = Literal["classes", "rows"]
"""How ranks share a step: each has some of the classes, or some of the real rows."""

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What `torchrun` tells each process in its environment."""


@dataclass(frozen=True)
class Ranks:
    """The processes of one run, as one of them sees them.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are; one alone does everything by itself.
        timeout: seconds after which a process that does not answer is given up.
        share: how steps are shared; None chooses by the method.

    Example:
        >>> Ranks().is_first
        True
    """

    rank: int = 0
    world: int = 1
    timeout: float = 300.0
    share: Way | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which reads, writes and prints."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other rank."""
        return self.world == 1

    def sum(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Each tensor's sum over the ranks, by one collective; the same bits on all.

        Args:
            tensors: of equal shapes on all ranks, on one device; not changed.

        Raises:
            LostRankError: another rank ended, or did not answer in time.

        Example:
            >>> Ranks().sum([torch.ones(2)])
            [tensor([1., 1.])]
        """
        if self.is_alone or not tensors:
            return list(tensors)
        kind = tensors[0].dtype
        for tensor in tensors:
            kind = torch.promote_types(kind, tensor.dtype)
        flat = torch.cat([t.detach().reshape(-1).to(kind) for t in tensors])
        self._collective(lambda: dist.all_reduce(flat))
        parts = flat.split([tensor.numel() for tensor in tensors])
        pairs = zip(parts, tensors, strict=True)
        return [part.view(tensor.shape).to(tensor.dtype) for part, tensor in pairs]

    def any(self, flag: bool) -> bool:
        """Whether any rank says so.

        Example:
            >>> Ranks().any(False)
            False
        """
        return bool(self.sum([torch.tensor(float(flag))])[0] > 0)

    def first(self, work: Callable[[], Any]) -> Any:
        """What `work` gives on rank 0, where alone it runs; all raise its errors.

        Args:
            work: gives plain JSON, in which dicts of tensors may stand.

        Raises:
            MultiddError: `work` failed on rank 0; of the class that it raised where
                that is one of the library's.
            LostRankError: another rank ended, or did not answer in time.

        Example:
            >>> Ranks().first(lambda: 3)
            3
        """
        if self.is_alone:
            return work()
        if not self.is_first:
            return _received(*self._handed(None))
        try:
            result = work()
        except Exception as error:
            self._handed(({"error": [type(error).__name__, str(error)]}, {}))
            raise
        tensors: dict[str, Tensor] = {}
        self._handed(({"result": _apart(result, tensors)}, tensors))
        return result

    @contextmanager
    def first_enters(self, block: AbstractContextManager[Any]) -> Iterator[None]:
        """A block that rank 0 alone enters and leaves; all raise its refusal.

        Example:
            >>> from contextlib import nullcontext
            >>> with Ranks().first_enters(nullcontext()):
            ...     pass
        """
        with ExitStack() as stack:
            self.first(lambda: stack.enter_context(block) and None)
            yield

    def check_alike(self, label: str, digests: Mapping[str, str]) -> None:
        """Refuse to go on where a rank has something else than rank 0.

        Args:
            label: what is compared, for the error.
            digests: of each part by name.

        Raises:
            DriftError: names the rank and the first part that differs.

        Example:
            >>> Ranks().check_alike("state", {"x": "0badf00d"})
        """
        if self.is_alone:
            return
        expected = self.first(lambda: dict(digests))
        names = [*sorted(expected), "a part that rank 0 does not have"]
        apart = [name for name in names[:-1] if expected[name] != digests.get(name)]
        apart += names[-1:] if set(digests) - set(expected) else []
        # The place of the first part that differs, from 1, in the slot of this rank.
        places = torch.zeros(self.world, dtype=torch.int64)
        places[self.rank] = 1 + names.index(apart[0]) if apart else 0
        differing = self.sum([places])[0]
        if not bool(differing.any()):
            return
        rank = int(differing.nonzero()[0])
        name = names[int(differing[rank]) - 1]
        raise DriftError(
            f"the {label} of rank {rank} is not that of rank 0: {name} differs; start "
            "all ranks with the same call, data and versions, on machines of one kind, "
            "and go on from the checkpoint before"
        )

    def _handed(
        self, message: tuple[dict[str, Any], dict[str, Tensor]] | None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What rank 0 says, to all: JSON, and tensors by name."""
        texts = [b"", b""]
        if message is not None:
            named = {n: t.detach().cpu().contiguous() for n, t in message[1].items()}
            texts = [json.dumps(message[0]).encode(), save(named) if named else b""]
        sizes = torch.tensor([len(text) for text in texts], dtype=torch.int64)
        self._collective(lambda: dist.broadcast(sizes, 0))
        first, second = sizes.tolist()
        whole = torch.empty(first + second, dtype=torch.uint8)
        if message is not None:
            whole = torch.frombuffer(bytearray(b"".join(texts)), dtype=torch.uint8)
        self._collective(lambda: dist.broadcast(whole, 0))
        data = whole.numpy().tobytes()
        return json.loads(data[:first]), load(data[first:]) if second else {}

    def _collective(self, work: Callable[[], Any]) -> None:
        """Run a collective; where a peer is gone, an error of the library says so."""
        try:
            work()
        except RuntimeError as error:
            raise LostRankError(
                f"rank {self.rank} of {self.world} lost another rank, which ended or "
                f"did not answer for {self.timeout:g} s ({errors.first_line(error)}); "
                "what that rank printed says why. Start all ranks again with the same "
                "checkpoint= to go on"
            ) from error


ALONE = Ranks()
"""One process by itself: what is outside of `ranks()`."""

_RANKS: ContextVar[Ranks] = ContextVar("ranks", default=ALONE)


def current() -> Ranks:
    """The ranks that this code runs in; one process alone outside of `ranks()`.

    Example:
        >>> current().world
        1
    """
    return _RANKS.get()


@contextmanager
def ranks(
    backend: str | None = None, timeout: float = 300.0, share: Way | None = None
) -> Iterator[Ranks]:
    """Let the processes that `torchrun` started share each run inside the block.

    Every process makes the same calls with the same data; recipes stay as they are.
    Draws are keyed by the step and never by the rank, so that the real batch of a step
    does not depend on how many ranks share it. Rank 0 alone reads and writes the
    checkpoint folder and shows progress; every rank gets the summary.

    Outside of the block nothing is shared, also under `torchrun`. A process that
    `torchrun` did not start is alone, and computes what it would without the block.

    Args:
        backend: of `torch.distributed`; None takes `"nccl"` for tensors on a GPU, where
            there is one, and `"gloo"` for others.
        timeout: seconds after which a rank that does not answer is given up.
        share: `"classes"`, each rank some of the classes, or `"rows"`, each some of
            the real rows of a step; None takes classes where the loss is a sum over
            them and there are at least two for each rank.

    Yields:
        The ranks: number of this process, how many there are.

    Raises:
        ValueError: a setting that is out of range; an environment that names some of
            what `torchrun` says, but not all.
        LostRankError: another rank ended, or did not answer in time.

    Example:
        >>> with ranks() as group:
        ...     group.rank, group.world
        (0, 1)
    """
    if share is not None and share not in get_args(Way):
        raise ValueError(f"share must be 'classes', 'rows' or None; got {share!r}")
    if not 0 < timeout < float("inf"):
        raise ValueError(f"timeout must be seconds above 0, got {timeout!r}")
    if _RANKS.get() is not ALONE:
        raise ValueError("ranks() is entered already: one block goes around all runs")
    with _group(backend, timeout) as (rank, world):
        token = _RANKS.set(Ranks(rank, world, timeout, share))
        try:
            yield _RANKS.get()
        finally:
            _RANKS.reset(token)


@contextmanager
def _group(backend: str | None, timeout: float) -> Iterator[tuple[int, int]]:
    """Rank and world of the process group, which is made unless there is one."""
    if dist.is_available() and dist.is_initialized():
        yield dist.get_rank(), dist.get_world_size()
        return
    names = [name for name in NEEDED if name in os.environ]
    if not {"RANK", "WORLD_SIZE"} & set(names):
        yield 0, 1
        return
    if len(names) < len(NEEDED):
        missing = ", ".join(sorted(set(NEEDED) - set(names)))
        raise ValueError(f"{missing} is not in the environment; start by torchrun")
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if world == 1:
        yield 0, 1
        return
    limit = timedelta(seconds=timeout)
    try:
        dist.init_process_group(
            _backends(backend),
            store=_store(rank, world, limit),
            rank=rank,
            world_size=world,
            timeout=limit,
        )
    except RuntimeError as error:  # of a store or a peer that is not there
        _no_meeting(rank, world, timeout, error)
    try:
        yield rank, world
    finally:
        dist.destroy_process_group()


def _store(rank: int, world: int, limit: timedelta) -> "dist.Store":
    """Where ranks leave each other their addresses.

    The store of `torchrun` outlives a restart: without a prefix of their own the
    restarted ranks would read the addresses of the dead ones.
    """
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if (host, port) not in _STORES:
        of_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True)
        is_master = rank == 0 and not of_agent
        _STORES[host, port] = dist.TCPStore(host, port, world, is_master, limit)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    prefix = f"attempt-{attempt}/block-{next(_BLOCKS)}"
    return dist.PrefixStore(prefix, _STORES[host, port])


_STORES: dict[tuple[str, int], Any] = {}
"""Address -> the store there: a second block finds the one of the first still there,
which may live in rank 0."""

_BLOCKS = itertools.count()
"""Numbers of the blocks of this process."""


def _backends(backend: str | None) -> str:
    """The backend of each device: what is no tensor of a GPU always goes by gloo."""
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(local % torch.cuda.device_count())
        backend = backend or "nccl"
    if backend is None or backend == "gloo":
        return "gloo"
    return backend if ":" in backend else f"cpu:gloo,cuda:{backend}"


def _no_meeting(rank: int, world: int, timeout: float, error: Exception) -> NoReturn:
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    raise LostRankError(
        f"rank {rank} of {world} did not meet the others at {place} within "
        f"{timeout:g} s ({errors.first_line(error)}); look whether all were started, "
        "and whether that address can be reached from here"
    ) from error


_TENSORS = "tensors of"
"""Key, in JSON, of a dict of tensors that goes beside it."""


def _apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON of a value, whose tensors are put into `tensors`."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value
        return {_TENSORS: name}
    if isinstance(value, Mapping):
        return {key: _apart(part, tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_apart(part, tensors) for part in value]
    return value


def _together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that `_apart` took apart; tuples are lists."""
    if isinstance(value, list):
        return [_together(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_TENSORS}:
        return tensors[value[_TENSORS]]
    return {key: _together(part, tensors) for key, part in value.items()}


def _received(message: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """What rank 0 handed over, or the error that it met."""
    if "error" not in message:
        return _together(message["result"], tensors)
    name, text = message["error"]
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, MultiddError):
        if "__init__" not in vars(kind):  # one that takes a message alone
            raise kind(text)
    raise MultiddError(f"rank 0 stopped with {name}: {text}")
