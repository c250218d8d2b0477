"""The kernel predictor of a summary: ridge regression, no network is trained."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from multidd import seeds
from multidd.evaluation.kernel_predictor import kernel_predictor
from multidd.images.models.backbone import Backbone
from multidd.images.models.networks import build, draw
from multidd.kernels import InfiniteKernel, random_feature_kernel

__all__ = ["DEFAULT", "kernel_model"]

DEFAULT: dict[str, Any] = {
    "kind": "infinite",
    "architecture": "fc",
    "depth": 1,
    "type": "ntk",
    "ridge": 1e-6,
}
"""The kernel of KIP: an infinitely wide network with one hidden layer."""

_NET = {"model": "convnet", "width": None, "depth": None, "norm": "instance"}
_START = {"init": "default", "bias": 0.0, "lr": 1e-3}
FEATURE_DEFAULTS: dict[str, dict[str, Any]] = {
    "random": {"models": 8, "steps": 0, "scale": 2.0, "offset": 0.01} | _NET | _START,
    "trained": {"models": 4, "steps": 300, "scale": 1.0, "offset": 0.0} | _NET | _START,
}
"""Settings that a kernel of features does not name itself."""

Grams = Callable[[Tensor], Tensor]


def kernel_model(
    x: Tensor, targets: Tensor, kernel: Mapping[str, Any], *, seed: int = 0
) -> Callable[[Tensor], Tensor]:
    r"""$f(t) = K_{ts} (K_{ss} + \lambda I)^{-1} Y$, the ridge relative to the diagonal.

    Args:
        x: `[m, ch, h, w]`, normalized.
        targets: `[m, c]`, centered.
        kernel: settings by name, all with `ridge`. `kind` is `"infinite"` with
            `architecture`, `depth` and `type` (`"ntk"` or `"nngp"`); or, on the
            features of `models` nets side by side, `"random"` (fresh ones) or
            `"trained"` (after `steps` steps of Adam on x at rate `lr`), with `model`,
            `width`, `depth`, `norm`, `init`, `bias` as in `multidd.images.models` and
            `scale` and `offset` as in `multidd.kernels.random_feature_kernel`.
        seed: of the nets.

    Returns:
        A function of images `[b, ch, h, w]` that gives scores `[b, c]`.

    Raises:
        ValueError: no such kind.

    Example:
        >>> x = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
        >>> targets = torch.tensor([[0.5, -0.5], [-0.5, 0.5]])
        >>> kernel_model(x, targets, DEFAULT)(x).argmax(1).tolist()
        [0, 1]
    """
    kind = kernel.get("kind", "infinite")
    if kind not in MAKERS:
        raise ValueError(
            f"kernel kind must be one of {', '.join(MAKERS)}; got {kind!r}"
        )
    kernel_ss, kernel_with = MAKERS[kind](x, targets, kernel, seed)
    ridge = kernel.get("ridge", DEFAULT["ridge"])
    return kernel_predictor(kernel_ss, targets, ridge, kernel_with)


def _infinite(
    x: Tensor, targets: Tensor, kernel: Mapping[str, Any], seed: int
) -> tuple[Tensor, Grams]:
    infinite = InfiniteKernel(
        depth=kernel.get("depth", 1),
        architecture=kernel.get("architecture", "fc"),
        kind=kernel.get("type", "ntk"),
    )
    return infinite(x), lambda images: infinite(images, x)


def _features(
    x: Tensor, targets: Tensor, kernel: Mapping[str, Any], seed: int
) -> tuple[Tensor, Grams]:
    settings = FEATURE_DEFAULTS[kernel["kind"]] | dict(kernel)
    if settings.get("module"):
        raise ValueError(
            f"the kernel of this set is of {settings['model']}, a module of the "
            "caller's own, which no file holds; train it instead: "
            "multidd.evaluate(..., models=[...])"
        )
    rng = seeds.at(seed, "kernel", device=x.device)
    shape, c = x.shape[1:], targets.shape[1]
    form = {name: settings[name] for name in ("width", "depth", "norm")}
    net = build(settings["model"], shape, c, rng, **form)
    start = {"init": settings["init"], "bias": settings["bias"]}
    drawn = [draw(net, rng, **start) for _ in range(settings["models"])]
    steps, rate = settings["steps"], settings["lr"]
    weights = [_trained(net, one, x, targets, steps, rate) for one in drawn]

    width = form["width"]
    form["width"] = tuple(width) if isinstance(width, list) else width  # of a file
    backbone = Backbone(settings["model"], **form)

    def features(images: Tensor) -> Tensor:
        with torch.no_grad():
            layers = [backbone.features(one, images, c, 2)[0] for one in weights]
        return torch.stack(layers)  # (models, b, h)

    def gram(a: Tensor, b: Tensor | None = None) -> Tensor:
        scale, offset = settings["scale"], settings["offset"]
        return random_feature_kernel(a, b, weight_variance=scale, bias_variance=offset)

    own_features = features(x)
    return gram(own_features), lambda images: gram(features(images), own_features)


def _trained(
    net: Any, weights: dict[str, Tensor], x: Tensor, y: Tensor, steps: int, rate: float
) -> dict[str, Tensor]:
    """The weights after some steps of Adam on the squared error."""
    weights = {name: w.requires_grad_() for name, w in weights.items()}
    adam = torch.optim.Adam(weights.values(), lr=rate)
    for _ in range(steps):
        loss = F.mse_loss(functional_call(net, weights, (x,)), y, reduction="sum")
        adam.zero_grad()
        (loss / len(x)).backward()
        adam.step()
    return {name: w.detach() for name, w in weights.items()}


MAKERS: dict[str, Callable[..., tuple[Tensor, Grams]]] = {
    "infinite": _infinite,
    "random": _features,
    "trained": _features,
}
