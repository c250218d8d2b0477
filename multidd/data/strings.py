"""Strings as tensors of bytes and offsets, and as one printable line."""

import unicodedata
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def pack(texts: Iterable[str]) -> tuple[Tensor, Tensor]:
    """Strings as two tensors, exact.

    Args:
        texts: m strings of any kind.

    Returns:
        UTF-8 bytes, uint8, one string after another, and `[m + 1]` int64: string i is
        in the bytes from entry i to entry i + 1.

    Example:
        >>> pack(["ab", "c"])[1]
        tensor([0, 2, 3])
    """
    # surrogatepass: a name that was read with a wrong encoding comes back as it was.
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.cumsum([0, *map(len, raw)], dtype=np.int64)
    joined = np.frombuffer(b"".join(raw), np.uint8).copy()
    return torch.from_numpy(joined), torch.from_numpy(ends)


def unpack(joined: Tensor, ends: Tensor, names: tuple[str, str]) -> tuple[str, ...]:
    """The strings that `pack` stored.

    Args:
        joined: the bytes.
        ends: where strings begin and end.
        names: what messages call the two.

    Raises:
        ValueError: damaged tensors.

    Example:
        >>> unpack(*pack(["ab", "c"]), ("bytes", "ends"))
        ('ab', 'c')
    """
    check_flat(names[0], joined, torch.uint8)
    check_flat(names[1], ends, torch.int64)
    marks = ends.tolist()
    sound = bool(marks) and marks[0] == 0 and marks[-1] == len(joined)
    if not sound or bool((ends.diff() < 0).any()):
        raise ValueError(
            f"{names[1]} must rise from 0 to the {len(joined)} bytes of {names[0]}"
        )
    raw = joined.cpu().numpy().tobytes()
    spans = zip(marks, marks[1:], strict=False)
    return tuple(raw[i:j].decode("utf-8", "surrogatepass") for i, j in spans)


def line(text: str, max_letters: int | None = None) -> str:
    r"""A string in one line that pictures and terminals can show.

    White space becomes single spaces. Control characters, such as those of a text that
    was read with a wrong encoding, become the replacement character: no font has a
    shape for them, and a terminal would obey some.

    Args:
        text: any string.
        max_letters: of a longer one, with dots behind.

    Example:
        >>> line("so  far, so good", 8)
        'so far, ...'
        >>> ascii(line("so\x96far"))
        "'so\\ufffdfar'"
    """
    shown = "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c
        for c in " ".join(text.split())
    )
    is_short = max_letters is None or len(shown) <= max_letters
    return shown if is_short else f"{shown[:max_letters]}..."


def check_flat(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
    """Refuse a tensor that is not one list of a type.

    Example:
        >>> check_flat("ends", torch.zeros(2), torch.int64)
        Traceback (most recent call last):
        ...
        ValueError: ends must be one list of torch.int64; got torch.float32 [2]
    """
    if tensor.dim() != 1 or tensor.dtype != dtype:
        raise ValueError(
            f"{name} must be one list of {dtype}; got {tensor.dtype} "
            f"{list(tensor.shape)}"
        )
