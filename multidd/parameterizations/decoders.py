"""Codes with decoders shared by all classes (KFS), and generators (GTN)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.parameterizations.decoder_nets import (
    DecoderFit,
    DecoderNet,
    downsample,
    net_fields,
    random_weights,
    run_decoder,
    split_records,
)
from multidd.parameterizations.decoding import (
    TIMES,
    ByteCost,
    DecoderInfo,
    DecoderKind,
    check_same_class,
    decode,
    merge_labels,
    register,
    repeat_labels,
    split_groups,
)
from multidd.protocols import Draw, Parameterization, Params, Task
from multidd.storage.schema import Fields, Forms, TensorField


@dataclass(frozen=True)
class SharedDecoder(Parameterization):
    r"""Latent codes, decoded by a few small decoders that all classes share (KFS).

    $x_{ij} = D_j(z_i)$: every code becomes as many records as there are decoders, of
    its label. Decoders start from random numbers, as do codes of vectors; codes of
    images start from their pixels at a lower resolution. Both are fitted to the records
    of the base, one for each $x_{ij}$, before the run.

    Attributes:
        base: the records it starts from: `count` times as many as codes.
        count: decoders.
        net: their sizes.
        fit: to the records of the base.

    Reference:
        Lee, Lee, Hwang, "Dataset Condensation with Latent Space Knowledge Factorization
        and Sharing", arXiv 2208.10494, 2022.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> form = SharedDecoder(Free(Random(), (80, 80)), count=2)
        >>> form.groups, form.cost((1, 28, 28), 2)
        (('codes', 'decoders'), ByteCost(fixed=7624, item=792))
    """

    base: Parameterization
    count: int = 2
    net: DecoderNet = DecoderNet()
    fit: DecoderFit = DecoderFit()

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count must be 1 or more, got {self.count}")

    @property
    def records_per_code(self) -> int:
        """Records of the base behind each code."""
        return self.count

    @property
    def decoder(self) -> dict[str, Any]:
        """What the card says."""
        return {"kind": "decoders", "count": self.count}

    @property
    def groups(self) -> tuple[str, ...]:
        """Codes and decoders in the place of the base's records."""
        return (*(g for g in self.base.groups if g != "x"), "codes", "decoders")

    def cost(self, shape: Sequence[int], classes: int, soft: int = 0) -> ByteCost:
        """Bytes for records of that shape, with `soft` soft labels each."""
        weights = [(self.count, *one) for one in self.net.shapes(shape).values()]
        return ByteCost.of(weights, self.net.code(shape), soft)

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """Codes and decoders, fitted to the base's records."""
        x, rest = split_records(self.base.init(task, rng), self)
        check_no_edges(rest, self)
        if len(x) % self.count:
            raise ValueError(
                f"{len(x)} records do not make codes for {self.count} decoders; the "
                f"base must start from {self.count} records for each code"
            )
        check_same_class(rest["y"], self.count, "the records of a code")
        labels = {name: merge_labels(t, self.count) for name, t in rest.items()}
        weights = random_weights(self.net.shapes(x.shape[1:]), self.count, rng, x)
        codes = _codes(x.unflatten(0, (-1, self.count)).mean(1), self.net, rng)
        start = {"codes": codes} | {f"decoders/{n}": w for n, w in weights.items()}
        fitted = self.fit(start, lambda now: _decoded(now, self.count), x)
        return labels | fitted

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """All records."""
        return self.decode(params)

    def decode(self, stored: Draw) -> Draw:
        """Every code through every decoder; those of a code follow one another."""
        return decode(self.decoder, stored)


@dataclass(frozen=True)
class Conditional(Parameterization):
    r"""A learned generator of records from noise and a class (GTN).

    $x_i = G(z_i, y_i)$ for a fixed curriculum of noise $z_1, z_2, \ldots$, stored with
    the weights of G. The first layer of G adds a learned vector of the class to the
    noise's; the rest is as in `SharedDecoder`.

    Attributes:
        base: the records it starts from, one for each z.
        noise: length of z.
        net: sizes of G; `channels` of what the first layer makes.
        fit: of G to the records of the base; no steps leave it random.
        learn_noise: let the curriculum move too.
        max_per_class: records of each class that a budget is spent on, at most.

    Reference:
        Such, Rawal, Lehman, Stanley, Clune, "Generative Teaching Networks: Accelerating
        Neural Architecture Search by Learning to Generate Synthetic Training Data",
        ICML 2020.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> form = Conditional(Free(Random(), (40, 40)))
        >>> form.groups, form.cost((1, 28, 28), 2)
        (('generator',), ByteCost(fixed=17924, item=72))
    """

    base: Parameterization
    noise: int = 16
    net: DecoderNet = DecoderNet()
    fit: DecoderFit = DecoderFit(steps=0)
    learn_noise: bool = False
    max_per_class: int | None = None

    def __post_init__(self) -> None:
        if self.noise < 1:
            raise ValueError(f"noise must be 1 or more, got {self.noise}")

    @property
    def decoder(self) -> dict[str, Any]:
        """What the card says."""
        return {"kind": "conditional"}

    @property
    def groups(self) -> tuple[str, ...]:
        """The generator, and the curriculum where it moves."""
        learned = ("generator", "curriculum") if self.learn_noise else ("generator",)
        return (*(g for g in self.base.groups if g != "x"), *learned)

    def cost(self, shape: Sequence[int], classes: int, soft: int = 0) -> ByteCost:
        """Bytes for records of that shape, with `soft` soft labels each."""
        return ByteCost.of(
            list(self._shapes(shape, classes).values()), (self.noise,), soft
        )

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """Noise, and a generator near the base's records."""
        x, rest = split_records(self.base.init(task, rng), self)
        shapes = self._shapes(x.shape[1:], task.num_classes)
        weights = {n: w[0] for n, w in random_weights(shapes, 1, rng, x).items()}
        start = {f"generator/{name}": weight for name, weight in weights.items()}
        z = x.new_empty(len(x), self.noise).normal_(generator=rng)
        fitted = self.fit(start, lambda now: _generated(now, z, rest["y"]), x)
        return rest | {"curriculum": z} | fitted

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """All records, in the order of the curriculum."""
        return self.decode(params)

    def decode(self, stored: Draw) -> Draw:
        """What the generator makes."""
        return decode(self.decoder, stored)

    def _shapes(self, shape: Sequence[int], classes: int) -> dict[str, tuple[int, ...]]:
        """The class vectors and the noise's matrix, then the decoder's layers."""
        code = self.net.code(shape)
        first = {"classes": (classes, *code), "noise": (self.noise, *code)}
        return first | self.net.shapes(shape)


def check_no_edges(rest: Draw, form: Any) -> None:
    """Refuse edges between records where each stored one becomes several.

    Raises:
        ValueError: names the tensors.
    """
    others = sorted(set(rest) - {"y", "y_soft"})
    if others:
        raise ValueError(
            f"{type(form).__name__} makes several records of each stored one, for "
            f"which there is no {', '.join(others)}"
        )


def _codes(x: Tensor, net: DecoderNet, rng: torch.Generator) -> Tensor:
    """Random codes; of images their pixels at a lower resolution, in as many channels
    as hold them."""
    shape = net.code(x.shape[1:])
    codes = x.new_empty(len(x), *shape).normal_(generator=rng)
    room = math.isqrt(net.channels // x.shape[1])
    if len(shape) == 3 and room:
        side = min(1 << (room.bit_length() - 1), net.factor)
        pixels = F.pixel_unshuffle(downsample(x, net.factor // side), side)
        codes[:, : pixels.shape[1]] = pixels
    return codes


def _decoded(params: Params, count: int) -> Tensor:
    decoders, _ = split_groups(params, "decoders")
    names = {name: name.removeprefix("decoders/") for name in decoders}
    records = [
        run_decoder(
            {short: decoders[name][j] for name, short in names.items()}, params["codes"]
        )
        for j in range(count)
    ]
    return torch.stack(records, dim=1).flatten(0, 1)


def _generated(params: Params, z: Tensor, y: Tensor) -> Tensor:
    generator, _ = split_groups(params, "generator")
    weights = {name.removeprefix("generator/"): t for name, t in generator.items()}
    classes, matrix = weights.pop("classes"), weights.pop("noise")
    code = (z @ matrix.flatten(1)).unflatten(1, matrix.shape[1:])
    return run_decoder(weights, code / len(matrix) ** 0.5 + classes[y])


def _decode_codes(decoder: DecoderInfo, stored: Draw) -> Draw:
    count = int(decoder["count"])
    _, labels = split_groups(stored, "codes", "decoders")
    return {"x": _decoded(stored, count)} | repeat_labels(labels, count)


def _decode_noise(decoder: DecoderInfo, stored: Draw) -> Draw:
    _, rest = split_groups(stored, "curriculum", "generator")
    return {"x": _generated(stored, stored["curriculum"], stored["y"])} | rest


def _fields_of_codes(
    decoder: DecoderInfo, shape: Sequence[int], forms: Forms
) -> Fields:
    code, layers = net_fields("decoders/", shape, forms, (decoder["count"],))
    return {"codes": TensorField(("m", *code))} | layers


def _fields_of_noise(
    decoder: DecoderInfo, shape: Sequence[int], forms: Forms
) -> Fields:
    code, layers = net_fields("generator/", shape, forms)
    return {
        "curriculum": TensorField(("m", "noise")),
        "generator/classes": TensorField(("classes", *code)),
        "generator/noise": TensorField(("noise", *code)),
    } | layers


register(
    "decoders",
    DecoderKind(
        _decode_codes,
        lambda decoder: int(decoder["count"]),
        ("decoders",),
        "codes",
        settings={"count": TIMES},
        fields=_fields_of_codes,
    ),
)
register(
    "conditional",
    DecoderKind(
        _decode_noise,
        shared=("generator",),
        item_name="codes",
        settings={},
        fields=_fields_of_noise,
    ),
)
