"""A module of the caller's own as the model that a method matches on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import get_ident
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multidd.images.models.backbone import Backbone, in_chunks
from multidd.learning.modules import (
    FunctionalModule,
    ModuleFactory,
    check_factory,
    factory_name,
)
from multidd.protocols import Params
from multidd.seeds import at

__all__ = ["ImageModel", "ModuleBackbone", "backbone_by"]

ImageModel: TypeAlias = str | ModuleFactory
"""A name of `multidd.images.MODELS`, or what makes an `nn.Module`: a class or function
that takes nothing, or `(shape, num_classes)` with `(channels, height, width)`."""


@dataclass(frozen=True, eq=False)
class ModuleBackbone(Backbone):
    """Modules that a factory makes, instead of a model by name.

    Weights start as the factory draws them. Features are what enters each layer with
    weights behind the first one, which for the library's own `convnet` and `mlp` are
    the features of their blocks.

    Attributes:
        factory: makes modules; see `multidd.learning.modules.FunctionalModule` for
            what it may make.

    Example:
        >>> from torch import nn
        >>> def linear(shape, classes):
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(shape[0], classes))
        >>> backbone_by(linear).card_settings((3, 1, 1), 2)["model"]
        'Sequential'
    """

    factory: ModuleFactory = torch.nn.Identity

    # By identity: those of the base compare names, and two lambdas have one name.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def check(self, shape: Sequence[int], classes: int) -> None:
        """Refuse a module that does not fit such images.

        Raises:
            TypeError: no factory.
            ValueError: says what the module does that no method could work with.
        """
        self._template(tuple(shape), classes)

    def card_settings(self, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """What a card says of the network: its name and its fingerprint."""
        template = self._template(tuple(shape), classes)
        form = dict.fromkeys(("width", "depth", "norm"))
        return form | {"model": template.name, "module": template.digest}

    def settings(self, shape: Sequence[int], classes: int) -> dict[str, Any]:
        """What a run goes on by: another module is refused."""
        template = self._template(tuple(shape), classes)
        return {
            "kind": "Backbone",
            "name": template.name,
            "module": template.digest,
        }

    def weights(
        self, rng: torch.Generator, models: int, shape: Sequence[int], classes: int
    ) -> Params:
        """Weights of new modules, each `[k, ...]`."""
        template = self._template(tuple(shape), classes)
        drawn = [template.weights(rng) for _ in range(models)]
        return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}

    def features(
        self, weights: Params, x: Tensor, classes: int, last: int | None = None
    ) -> list[Tensor]:
        """`[b, h]` before each layer behind the first, the logits last; see
        `Backbone.features`.

        Raises:
            ValueError: features are asked for, and the module's last step is no layer.
        """
        template = self._template(tuple(x.shape[1:]), classes, x.device)
        if torch.is_grad_enabled() or template.mixes_records:
            return _layers(template, weights, x, last)
        chunks = [_layers(template, weights, part, last) for part in in_chunks(x)]
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)]

    def gradients(
        self, weights: Params, x: Tensor, targets: Tensor, mass: Tensor, loss: str
    ) -> Params | None:
        """None: autograd is the only way."""
        return None

    def mixes_records(self, shape: Sequence[int], classes: int) -> bool:
        """Whether features of an image depend on the others of its batch."""
        return self._template(tuple(shape), classes).mixes_records

    def channels(self, shape: Sequence[int], classes: int) -> tuple[int, ...]:
        """Channels of each feature; all entries where it is no map."""
        template = self._template(tuple(shape), classes)
        weights = template.weights(at(0, "channels"))
        with torch.no_grad():
            layers = template.layers(weights, torch.zeros(2, *shape))[:-1]
        return tuple(x.shape[1] if x.dim() == 4 else x[0].numel() for x in layers)

    def _template(
        self,
        shape: tuple[int, ...],
        classes: int,
        device: torch.device | str = "cpu",
    ) -> FunctionalModule:
        return _made(self, shape, classes, str(device), get_ident())


def backbone_by(model: ImageModel, *form: Any, **more: Any) -> Backbone:
    """The backbone of a name, or of a factory of modules.

    Args:
        model: which.
        *form: width, depth and norm of one by name.
        **more: its further settings.

    Raises:
        TypeError: a module that is made already, or no factory.

    Example:
        >>> backbone_by("mlp", 64).width
        64
    """
    if isinstance(model, str):
        return Backbone(model, *form, **more)
    check_factory(model)
    return ModuleBackbone(factory_name(model), factory=model)


def _layers(
    template: FunctionalModule, weights: Params, x: Tensor, last: int | None
) -> list[Tensor]:
    if last == 1:
        return [template.outputs(weights, x)]
    layers = [part.flatten(1) for part in template.layers(weights, x)]
    return layers if last is None else layers[-last:]


@lru_cache(maxsize=64)
def _made(
    backbone: ModuleBackbone,
    shape: tuple[int, ...],
    classes: int,
    device: str,
    thread: int,
) -> FunctionalModule:
    """Each thread has its own, whose parameters are replaced in place."""
    example = torch.rand(4, *shape, generator=at(0, "example"))
    return FunctionalModule(
        backbone.factory, (shape, classes), (example,), classes, device=device
    )
