"""Random generators keyed by seed, stream and step.

`at(seed, stream, step)` gives a fresh generator for a named stream at a step, so a
run resumes, redraws and spreads over workers without one stream disturbing
another, and no global generator is ever touched.
"""

import hashlib

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


def child(rng: torch.Generator) -> int:
    """A new seed drawn from `rng`, for code that wants a number, not a generator.

    Example:
        >>> child(at(0, "x")) == child(at(0, "x"))
        True
    """
    bounds = (2**31,)
    return int(torch.randint(*bounds, (1,), generator=rng, device=rng.device))
