"""Latents of pretrained networks: a generator, or an encoder and a decoder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from multidd.parameterizations.decoder_nets import DecoderFit, split_records
from multidd.protocols import Draw, Parameterization, Params, Task
from multidd.settings import describe
from multidd.storage import files

Function: TypeAlias = Callable[[Tensor], Tensor]
"""Any function of tensors, such as an `nn.Module`; its weights stay as they are."""


@dataclass(frozen=True)
class Generator(Parameterization):
    r"""Latents of a fixed differentiable generator, started by inversion.

    $x_i = G(z_i)$. At the start each $z_i$ is drawn from a normal distribution and
    moved to bring $G(z_i)$ near a real record (IT-GAN); G is any function, so a part
    of a network takes latents of any layer (GLaD). G is not stored: the summary keeps
    the records that it made, and its card says so.

    Attributes:
        base: the records it starts from, one for each latent.
        generator: latents `[b, *latent]` to records `[b, ...]`.
        latent: shape of a latent.
        invert: the inversion of the base's records; no steps leave latents random.

    Reference:
        Zhao, Bilen, "Synthesizing Informative Training Samples with GAN", arXiv
        2204.07513, 2022; Cazenavette, Wang, Torralba, Efros, Zhu, "Generalizing Dataset
        Distillation via Deep Generative Prior", CVPR 2023.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> Generator(Free(Random(), (1, 1)), torch.tanh, (4,)).groups
        ('latents',)
    """

    base: Parameterization
    generator: Function = field(repr=False)
    latent: tuple[int, ...]
    invert: DecoderFit = DecoderFit(steps=300, lr=0.05)

    @property
    def decoder(self) -> dict[str, Any]:
        """What the card says: records are as the generator made them."""
        return _materialized(self.generator, "Generator")

    @property
    def groups(self) -> tuple[str, ...]:
        """Latents in the place of the base's records."""
        return (*(g for g in self.base.groups if g != "x"), "latents")

    def describe(self) -> dict[str, Any]:
        """Settings, and a fingerprint of the generator's weights."""
        return {
            "kind": "Generator",
            "base": describe(self.base),
            "generator": fingerprint(self.generator),
            "latent": list(self.latent),
            "invert": describe(self.invert),
        }

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """Latents whose records are near the base's.

        Raises:
            ValueError: the generator makes records of another shape; gives both.
        """
        x, rest = split_records(self.base.init(task, rng), self)
        check_frozen(self.generator)
        z = x.new_empty(len(x), *self.latent).normal_(generator=rng)
        check_output(self.generator, z[:1], x[:1], "generator")

        def records(now: Params) -> Tensor:
            return self.generator(now["latents"]).to(x.dtype)

        return rest | self.invert({"latents": z}, records, x)

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """What the generator makes."""
        return _through(self.generator, params)

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The same, detached."""
        return {n: t.detach() for n, t in _through(self.generator, params).items()}


@dataclass(frozen=True)
class Latent(Parameterization):
    r"""Latents of a given encoder and decoder, started from encoded real records.

    $x_i = D(z_i)$ with $z_i = E(x_i)$ at the start. Neither is stored: the summary
    keeps decoded records, and its card says so.

    Attributes:
        base: the records that are encoded, one for each latent.
        encoder: records `[b, ...]` to latents `[b, ...]`.
        decoder_fn: latents to records.

    Reference:
        Duan, Zhang, Gu, Zhang, "Dataset Distillation in Latent Space", arXiv
        2311.15547, 2023.

    Example:
        >>> from multidd.parameterizations import Free
        >>> from multidd.selection import Random
        >>> Latent(Free(Random(), (1, 1)), torch.asinh, torch.sinh).groups
        ('latents',)
    """

    base: Parameterization
    encoder: Function = field(repr=False)
    decoder_fn: Function = field(repr=False)

    @property
    def decoder(self) -> dict[str, Any]:
        """What the card says: records are as the decoder made them."""
        return _materialized(self.decoder_fn, "Latent")

    @property
    def groups(self) -> tuple[str, ...]:
        """Latents in the place of the base's records."""
        return (*(g for g in self.base.groups if g != "x"), "latents")

    def describe(self) -> dict[str, Any]:
        """Settings, and fingerprints of both networks' weights."""
        return {
            "kind": "Latent",
            "base": describe(self.base),
            "encoder": fingerprint(self.encoder),
            "decoder": fingerprint(self.decoder_fn),
        }

    def init(self, task: Task[Any], rng: torch.Generator) -> Params:
        """The base's records, encoded.

        Raises:
            ValueError: decoded records have another shape; gives both.
        """
        x, rest = split_records(self.base.init(task, rng), self)
        for network in (self.encoder, self.decoder_fn):
            check_frozen(network)
        with torch.no_grad():
            z = self.encoder(x)
            if len(z) != len(x):
                raise ValueError(
                    f"the encoder makes {len(z)} latents of {len(x)} records; it must "
                    "make one of each"
                )
            check_output(self.decoder_fn, z[:1], x[:1], "decoder")
        return rest | {"latents": z.detach().clone()}

    def draw(self, params: Params, rng: torch.Generator, step: int) -> Draw:
        """The decoded latents."""
        return _through(self.decoder_fn, params)

    def final(self, params: Params, rng: torch.Generator) -> Draw:
        """The same, detached."""
        return {n: t.detach() for n, t in _through(self.decoder_fn, params).items()}


def check_frozen(network: Function) -> None:
    """Refuse a network with dropout or batch norm in training mode.

    Raises:
        ValueError: dropout or batch norm in training mode.
    """
    if not isinstance(network, nn.Module):
        return
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    if any(isinstance(part, kinds) and part.training for part in network.modules()):
        raise ValueError(
            f"{type(network).__name__} has dropout or batch norm in training mode, so "
            "the same latent would give other records: call its eval() first"
        )


def check_output(network: Function, z: Tensor, x: Tensor, noun: str) -> None:
    """Refuse a network that does not make records like `x` from latents like `z`.

    Raises:
        ValueError: gives both shapes.
    """
    with torch.no_grad():
        output = network(z)
    if not isinstance(output, Tensor) or output.shape != x.shape:
        got = list(output.shape[1:]) if isinstance(output, Tensor) else type(output)
        raise ValueError(
            f"the {noun} makes records of {got} from latents of {list(z.shape[1:])}, "
            f"those of the task are {list(x.shape[1:])}"
        )


def _through(network: Function, params: Params) -> Draw:
    rest = {name: tensor for name, tensor in params.items() if name != "latents"}
    latents = params["latents"]
    return {"x": network(latents).to(latents.dtype)} | rest


def _name(network: Function) -> str:
    return getattr(network, "__qualname__", type(network).__qualname__)


def _materialized(network: Function, by: str) -> dict[str, Any]:
    return {"kind": "materialized", "by": by, "network": _name(network)}


def fingerprint(network: Function) -> dict[str, Any]:
    """A network's name, and a digest of its weights where it has some."""
    if hasattr(network, "describe"):
        return dict(network.describe())
    info: dict[str, Any] = {"kind": _name(network)}
    if isinstance(network, nn.Module):
        state = {n: t.detach().cpu() for n, t in network.state_dict().items()}
        info |= {"sha256": files.digest(state)} if state else {}
    return info
