"""Bases and hallucinators: each base record seen in a few learned styles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.parameterizations.decoder_nets import (
    check_factor,
    factor_fault,
    shrunken,
    split_records,
    upsample,
)
from multidd.parameterizations.decoders import check_no_edges
from multidd.parameterizations.decoding import (
    TIMES,
    ByteCost,
    DecoderInfo,
    DecoderKind,
    decode,
    register,
    repeat_labels,
    split_groups,
)
from multidd.protocols import Draw, Parameterization, Params, Task
from multidd.storage.schema import Fields, Forms, TensorField


@dataclass(frozen=True)
class Hallucinators(Parameterization):
    r"""Bases and hallucinators (HaBa): each base changed by a few shared networks.

    $x_{ij} = b_i + D_j\big(\sigma_j \odot E_j(b_i) + \mu_j\big)$ with one layer each
    (a convolution of images) and a style $\sigma_j, \mu_j$ for each place of an image.
    Every base becomes as many records as there are hallucinators, of its label. The
    objective `multidd.objectives.Contrast(count)` keeps these apart.

    Differs from the paper: the base is added to what the hallucinator makes,
    so that records start near real ones; styles are stored at a lower resolution and
    blown up.

    Attributes:
        base: the bases at the start.
        count: hallucinators.
        width: channels, or units, inside.
        factor: how much smaller than an image its style is along each side; 1 for
            other records than images.

    Reference:
        Liu, Wang, Yang, Ye, Wang, "Dataset Distillation via Factorization", NeurIPS
        2022.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> form = Hallucinators(Free(Random(), (9, 9)), count=5, factor=4)
        >>> form.groups, form.cost((1, 28, 28), 2)
        (('bases', 'hallucinators'), ByteCost(fixed=7040, item=3144))
    """

    base: Parameterization
    count: int = 5
    width: int = 3
    factor: int = 1

    def __post_init__(self) -> None:
        if min(self.count, self.width, self.factor) < 1:
            raise ValueError(
                "count, width and factor must be 1 or more, got "
                f"{self.count}, {self.width} and {self.factor}"
            )

    @property
    def decoder(self) -> dict[str, Any]:
        """What the card says."""
        return {"kind": "hallucinators", "count": self.count, "factor": self.factor}

    @property
    def groups(self) -> tuple[str, ...]:
        """Bases and hallucinators in the place of the base's records."""
        return (*(g for g in self.base.groups if g != "x"), "bases", "hallucinators")

    def cost(self, shape: Sequence[int], classes: int, soft: int = 0) -> ByteCost:
        """Bytes for records of that shape, with `soft` soft labels each."""
        shared = [(self.count, *one) for one in self._shapes(shape).values()]
        return ByteCost.of(shared, shape, soft)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's records, and hallucinators that change them a little."""
        x, rest = split_records(self.base.init(task, rng), self)
        check_no_edges(rest, self)
        params = rest | {"bases": x}
        for name, shape in self._shapes(x.shape[1:]).items():
            tensor = x.new_zeros(self.count, *shape)
            if name in ("encode", "decode"):
                tensor.normal_(std=math.prod(shape[1:]) ** -0.5, generator=rng)
            elif name == "scale":
                tensor.normal_(generator=rng)
            params[f"hallucinators/{name}"] = tensor
        return params

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """All records."""
        return self.decode(params)

    def decode(self, stored: Draw) -> Draw:
        """Every base by every hallucinator; those of a base follow one another."""
        return decode(self.decoder, stored)

    def _shapes(self, shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
        check_factor(shape, self.factor)
        if len(shape) not in (1, 3):
            raise ValueError(
                "hallucinators change vectors [d] and images [channels, height, "
                f"width], not records of {list(shape)}"
            )
        kernel = (3, 3) if len(shape) == 3 else ()
        style = (self.width, *(side // self.factor for side in shape[1:]))
        return {
            "encode": (self.width, shape[0], *kernel),
            "encode_bias": (self.width,),
            "scale": style,
            "shift": style,
            "decode": (shape[0], self.width, *kernel),
            "decode_bias": (shape[0],),
        }


def _layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.dim() == 4:
        return F.conv2d(x, weight, bias, padding=1)
    return F.linear(x, weight, bias)


def _changed(bases: Tensor, one: Params, factor: int) -> Tensor:
    hidden = F.silu(_layer(bases, one["encode"], one["encode_bias"]))
    scale, shift = one["scale"][None], one["shift"][None]
    if factor > 1:
        scale, shift = upsample(scale, factor), upsample(shift, factor)
    return bases + _layer(hidden * scale + shift, one["decode"], one["decode_bias"])


def _decode(decoder: DecoderInfo, stored: Draw) -> Draw:
    count, factor = int(decoder["count"]), int(decoder["factor"])
    hallucinators, rest = split_groups(stored, "bases", "hallucinators")
    bases = hallucinators.pop("bases")
    names = {name: name.removeprefix("hallucinators/") for name in hallucinators}
    records = [
        _changed(bases, {names[n]: t[j] for n, t in hallucinators.items()}, factor)
        for j in range(count)
    ]
    return {"x": torch.stack(records, dim=1).flatten(0, 1)} | repeat_labels(rest, count)


def _fields(decoder: DecoderInfo, shape: Sequence[int], forms: Forms) -> Fields:
    count, channels = decoder["count"], shape[0]
    kernel = (3, 3) if len(shape) == 3 else ()
    style = (count, "width", *shrunken(shape, decoder["factor"]))
    shapes: dict[str, tuple[int | str, ...]] = {
        "encode": (count, "width", channels, *kernel),
        "encode_bias": (count, "width"),
        "scale": style,
        "shift": style,
        "decode": (count, channels, "width", *kernel),
        "decode_bias": (count, channels),
    }
    parts = {f"hallucinators/{n}": TensorField(one) for n, one in shapes.items()}
    return {"bases": TensorField(("m", *shape))} | parts


register(
    "hallucinators",
    DecoderKind(
        _decode,
        lambda decoder: int(decoder["count"]),
        ("hallucinators",),
        "bases",
        settings={"count": TIMES, "factor": TIMES},
        fields=_fields,
        fault=factor_fault,
    ),
)
