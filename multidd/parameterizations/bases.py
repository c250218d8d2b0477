"""Addressed memory: records as products of codes and a few shared bases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from multidd.parameterizations.decoder_nets import (
    check_factor,
    downsample,
    factor_fault,
    shrunken,
    split_records,
    upsample,
)
from multidd.parameterizations.decoding import (
    TIMES,
    ByteCost,
    DecoderInfo,
    DecoderKind,
    decode,
    register,
    split_groups,
)
from multidd.protocols import Draw, Parameterization, Params, Task
from multidd.selection.basic import Random
from multidd.storage.schema import Fields, Forms, TensorField

Start = Literal["svd", "records", "noise"]
"""Where bases start; see `Bases`."""

SAMPLE = 2048
"""Real records, at most, whose singular vectors are taken."""


@dataclass(frozen=True)
class Bases(Parameterization):
    r"""Addressed memory (LinBa): codes that combine bases of all classes.

    $x_i = \mathrm{up}\big(\sum_j c_{ij} b_j\big)$, with bases at `1/factor` of the size
    of an image along each side, blown up bilinearly. Labels stay those of the base.
    Bases start with a mean square of one; unless they start from noise, the codes are
    those of least squares for the records of the base.

    Attributes:
        base: the records it starts from, one for each code.
        count: bases.
        factor: how much smaller than an image a basis is along each side; 1 for other
            records than images.
        start: the leading singular vectors of real records (`"svd"`), real records
            (`"records"`), or normal numbers, codes too (`"noise"`).

    Reference:
        Deng, Russakovsky, "Remember the Past: Distilling Datasets into Addressable
        Memories for Neural Networks", NeurIPS 2022.

    Example:
        >>> from multidd.parameterizations import Free
        >>> form = Bases(Free(Random(), (40, 40)), count=16, factor=2)
        >>> form.groups, form.cost((1, 28, 28), 2)
        (('codes', 'bases'), ByteCost(fixed=12544, item=72))
    """

    base: Parameterization
    count: int = 16
    factor: int = 1
    start: Start = "svd"

    def __post_init__(self) -> None:
        if self.count < 1 or self.factor < 1:
            raise ValueError(
                f"count and factor must be 1 or more, got {self.count} and "
                f"{self.factor}"
            )
        if self.start not in get_args(Start):
            raise ValueError(
                f"start must be one of {', '.join(get_args(Start))}; got {self.start!r}"
            )

    @property
    def decoder(self) -> dict[str, Any]:
        """What the card says."""
        return {"kind": "bases", "factor": self.factor}

    @property
    def groups(self) -> tuple[str, ...]:
        """Codes and bases in the place of the base's records."""
        return (*(g for g in self.base.groups if g != "x"), "codes", "bases")

    def cost(self, shape: Sequence[int], classes: int, soft: int = 0) -> ByteCost:
        """Bytes for records of that shape, with `soft` soft labels each."""
        return ByteCost.of([(self.count, *self._small(shape))], (self.count,), soft)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """Bases, and the codes of the base's records."""
        x, rest = split_records(self.base.init(task, rng), self)
        shape = (self.count, *self._small(x.shape[1:]))
        if self.start == "noise":
            bases = x.new_empty(shape).normal_(generator=rng)
            codes = x.new_empty(len(x), self.count).normal_(generator=rng)
            return rest | {"codes": codes / self.count**0.5, "bases": bases}
        real = _real(task, SAMPLE if self.start == "svd" else self.count, rng)
        small = downsample(real, self.factor).flatten(1)
        rows = self._chosen(small, rng) if self.start == "records" else _leading(small)
        bases = _scaled(rows[: self.count], self.count, rng).view(shape)
        full = upsample(bases, self.factor).flatten(1)
        return rest | {"codes": least_squares(x.flatten(1), full), "bases": bases}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """All records."""
        return self.decode(params)

    def decode(self, stored: Draw) -> Draw:
        """Their products, at full size."""
        return decode(self.decoder, stored)

    def _small(self, shape: Sequence[int]) -> tuple[int, ...]:
        check_factor(shape, self.factor)
        if self.factor == 1:
            return tuple(shape)
        return (shape[0], shape[1] // self.factor, shape[2] // self.factor)

    def _chosen(self, small: Tensor, rng: torch.Generator) -> Tensor:
        if len(small) < self.count:
            raise ValueError(
                f"start='records' needs a real record for each of {self.count} bases, "
                f"there are {len(small)}; take fewer bases, or start='svd'"
            )
        order = torch.randperm(len(small), generator=rng, device=rng.device)
        return small[order.to(small.device)]


def least_squares(x: Tensor, bases: Tensor) -> Tensor:
    r"""Codes `[m, K]` with the smallest $\lVert x - c B \rVert$.

    Args:
        x: `[m, d]`.
        bases: `[K, d]`.

    Example:
        >>> least_squares(torch.tensor([[2.0, 3.0]]), torch.eye(2)).round().tolist()
        [[2.0, 3.0]]
    """
    wide = bases.double()
    gram = wide @ wide.T
    # Equal bases have no smallest solution: a little of the diagonal chooses one.
    ridge = 1e-9 * gram.diagonal().mean().clamp(min=1e-12)
    gram = gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram, wide @ x.double().T).T.to(x.dtype)


def _real(task: Task[Any], max_records: int, rng: torch.Generator) -> Tensor:
    """Real records of all classes, about `most` of them."""
    records, c = task.records(), task.num_classes
    have = records.labels.bincount(minlength=c).tolist()
    counts = [min(size, -(-max_records // c)) for size in have]
    return task.from_selection(Random().pick(records, counts, rng))["x"]


def _leading(rows: Tensor) -> Tensor:
    """Right singular vectors that are not of a zero, the leading one first."""
    wide = rows.double()
    flat = len(wide) >= wide.shape[1]
    values, vectors = torch.linalg.eigh(wide.T @ wide if flat else wide @ wide.T)
    real = values.flip(0) > 1e-10 * values[-1].clamp(min=1e-30)
    leading = vectors.flip(1).T[real]
    return (leading if flat else leading @ wide).to(rows.dtype)


def _scaled(rows: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`count` rows with a mean square of one; normal numbers where one is missing."""
    noise = rows.new_empty(count, rows.shape[1]).normal_(generator=rng)
    size = rows.square().mean(1, keepdim=True).sqrt()
    good = size > 1e-10
    filled = torch.where(good, rows / torch.where(good, size, 1.0), noise[: len(rows)])
    return torch.cat([filled, noise[len(rows) :]])


def _decode(decoder: DecoderInfo, stored: Draw) -> Draw:
    factors, rest = split_groups(stored, "codes", "bases")
    codes, bases = factors["codes"], factors["bases"]
    x = (codes @ bases.flatten(1)).unflatten(1, bases.shape[1:])
    return {"x": upsample(x, int(decoder["factor"]))} | rest


def _fields(decoder: DecoderInfo, shape: Sequence[int], forms: Forms) -> Fields:
    return {
        "codes": TensorField(("m", "k")),
        "bases": TensorField(("k", shape[0], *shrunken(shape, decoder["factor"]))),
    }


register(
    "bases",
    DecoderKind(
        _decode,
        shared=("bases",),
        item_name="codes",
        settings={"factor": TIMES},
        fields=_fields,
        fault=factor_fault,
    ),
)
