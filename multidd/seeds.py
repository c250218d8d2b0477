"""Random generators keyed by seed, stream and step.

`at(seed, stream, step)` gives a fresh generator for a named stream at a step, so a
run resumes, redraws and spreads over workers without one stream disturbing
another, and no global generator is ever touched.
"""

import hashlib
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from multidd.arguments import whole_number


def key(seed: int, stream: str, step: int = 0) -> int:
    """63-bit key of `(seed, stream, step)`: the first bytes of its SHA-256.

    Args:
        seed: the run's one seed.
        stream: name of the stream, such as `"draw"`.
        step: step of the run, or any other count.

    Returns:
        An integer in `[0, 2**63)`.

    Example:
        >>> key(0, "draw", 1) == key(0, "draw", 1), key(0, "draw") == key(1, "draw")
        (True, False)
    """
    text = f"{whole_number('seed', seed)}/{stream}/{step}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def at(
    seed: int, stream: str, step: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A fresh generator for one stream at one step.

    Args:
        seed: the run's one seed.
        stream: name of the stream, such as `"draw"`.
        step: step of the run, or any other count.
        device: where the generator draws.

    Returns:
        A `torch.Generator`, seeded by `key(seed, stream, step)`.

    Example:
        >>> a, b = at(0, "draw", 3), at(0, "draw", 3)
        >>> bool((torch.rand(2, generator=a) == torch.rand(2, generator=b)).all())
        True
    """
    return torch.Generator(device).manual_seed(key(seed, stream, step))


_GLOBAL = threading.RLock()


@contextmanager
def global_state(devices: Sequence[Any] = ()) -> Iterator[None]:
    """Torch's global generators for this thread alone, and as before afterwards.

    Layers of PyTorch draw from them. Two threads that seed them for themselves would
    draw from each other's, so the second one waits.

    Args:
        devices: further ones than the CPU; only GPUs have such a generator.

    Example:
        >>> before = torch.get_rng_state()
        >>> with global_state():
        ...     _ = torch.manual_seed(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """
    gpus = [device for device in devices if torch.device(device).type == "cuda"]
    with _GLOBAL, torch.random.fork_rng(devices=gpus):
        yield


_hosts = weakref.WeakKeyDictionary[torch.Generator, torch.Generator]()
"""Generator of a device -> that of the processor beside it."""


def host(rng: torch.Generator) -> torch.Generator:
    """A generator of the processor beside `rng`, for numbers that it needs itself.

    A number that is drawn on a device and read on the processor makes the processor
    wait for all work before. Beside a generator of the CPU it is that one; beside
    another it is one seeded alike, which lives as long.

    Example:
        >>> rng = at(0, "x")
        >>> host(rng) is rng
        True
    """
    if rng.device.type == "cpu":
        return rng
    if rng not in _hosts:
        _hosts[rng] = torch.Generator().manual_seed(rng.initial_seed())
    return _hosts[rng]


def child(rng: torch.Generator) -> int:
    """A new seed drawn from `rng`, for code that wants a number, not a generator.

    Example:
        >>> child(at(0, "x")) == child(at(0, "x"))
        True
    """
    return int(torch.randint(2**31, (1,), generator=host(rng)))
