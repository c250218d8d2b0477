"""IDC's multi-formation: several images stored in the place of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.parameterizations.decoding import (
    TIMES,
    DecoderInfo,
    DecoderKind,
    check_same_class,
    decode,
    merge_labels,
    register,
)
from multidd.protocols import Draw, Parameterization, Params, Task
from multidd.storage.schema import Fields, Forms, TensorField


@dataclass(frozen=True)
class Tiles(Parameterization):
    """Multi-formation (IDC): each stored image holds `factor` x `factor` small ones.

    The bytes of one image give `factor` squared images of lower resolution. At the
    start each tile is a shrunken real image: the base starts from that many times more
    records.

    Attributes:
        base: the parameterization of the records, with `factor` squared times as many
            records as are stored.
        factor: tiles along each side.

    Reference:
        Kim et al., "Dataset Condensation via Efficient Synthetic-Data
        Parameterization", ICML 2022.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> Tiles(Free(Random(), (4, 4)), factor=2).groups
        ('x',)
    """

    base: Parameterization
    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be 1 or more, got {self.factor}")

    @property
    def decoder(self) -> dict[str, Any]:
        """What the card says: `disassemble` by this factor."""
        return {"kind": "tiles", "factor": self.factor}

    @property
    def groups(self) -> tuple[str, ...]:
        """The base's."""
        return self.base.groups

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's records, shrunken and put together."""
        params = self.base.init(task, rng)
        x, rows = params["x"], self.factor**2
        if x.dim() != 4:
            raise ValueError(
                f"tiles need images [m, channels, height, width], got {list(x.shape)}"
            )
        if len(x) % rows or min(x.shape[2:]) < self.factor:
            raise ValueError(
                f"{len(x)} images of {x.shape[2]} x {x.shape[3]} do not make tiles of "
                f"{self.factor} x {self.factor}; the base must start from "
                f"{rows} records for each stored one"
            )
        check_same_class(params["y"], rows, "the tiles of a stored image")
        return {
            name: assemble(t, self.factor) if name == "x" else merge_labels(t, rows)
            for name, t in params.items()
        }

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """All tiles as full images."""
        return self.decode(self.base.draw(params, rng, step))

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The stored images, undecoded."""
        return self.base.final(params, rng)

    def decode(self, stored: Draw) -> Draw:
        """Stored images to full ones, labels repeated."""
        return decode(self.decoder, stored)


def assemble(x: Tensor, factor: int) -> Tensor:
    """`[m f^2, ch, h, w]` images shrunken to tiles of `[m, ch, h, w]` ones.

    Example:
        >>> assemble(torch.ones(8, 3, 28, 28), 2).shape
        torch.Size([2, 3, 28, 28])
    """
    rows = [_edges(size, factor) for size in x.shape[2:]]
    stored = x.new_zeros(len(x) // factor**2, *x.shape[1:])
    for place in range(factor**2):
        (top, bottom), (left, right) = _box(rows, place, factor)
        small = F.interpolate(
            x[place :: factor**2],
            (bottom - top, right - left),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        stored[:, :, top:bottom, left:right] = small
    return stored


def disassemble(x: Tensor, factor: int) -> Tensor:
    """`[m, ch, h, w]` stored images as `[m f^2, ch, h, w]`, differentiable.

    Example:
        >>> disassemble(torch.ones(2, 3, 28, 28), 2).shape
        torch.Size([8, 3, 28, 28])
    """
    size = tuple(x.shape[2:])
    rows = [_edges(side, factor) for side in size]
    tiles = []
    for place in range(factor**2):
        (top, bottom), (left, right) = _box(rows, place, factor)
        tile = x[:, :, top:bottom, left:right]
        tiles.append(F.interpolate(tile, size, mode="bilinear", align_corners=False))
    return torch.stack(tiles, dim=1).flatten(0, 1)


def _edges(size: int, factor: int) -> list[int]:
    return [size * i // factor for i in range(factor + 1)]


def _box(
    edges: list[list[int]], place: int, factor: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    i, j = divmod(place, factor)
    return (edges[0][i], edges[0][i + 1]), (edges[1][j], edges[1][j + 1])


def _decode(decoder: DecoderInfo, stored: Draw) -> Draw:
    factor = int(decoder["factor"])
    return {
        name: disassemble(t, factor)
        if name == "x"
        else t.repeat_interleave(factor**2, dim=0)
        for name, t in stored.items()
    }


def _fields(decoder: DecoderInfo, shape: Sequence[int], forms: Forms) -> Fields:
    return {"x": TensorField(("m", *shape))}


def _fault(decoder: DecoderInfo, shape: Sequence[int]) -> str | None:
    factor, side = decoder["factor"], min(shape[1:], default=0)
    if factor <= side:
        return None
    return (
        f"card.decoder.factor is {factor}; images of {list(shape)} hold at most {side} "
        "tiles along a side"
    )


register(
    "tiles",
    DecoderKind(
        _decode,
        lambda decoder: int(decoder["factor"]) ** 2,
        settings={"factor": TIMES},
        fields=_fields,
        fault=_fault,
    ),
)
