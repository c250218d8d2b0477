r"""A ConvNet's gradients on a CPU, forward and backward by hand.

For blocks of 3 x 3 convolution, instance norm, ReLU and mean over 2 x 2, where no graph
is needed: real images, and training. Twice as fast as autograd, because

- chunks of few images keep every map in the cache, and no large temporary is made;
- maps are channels last, masks overwrite the maps they come from;
- the first block has no gradient for its input, so its norm is folded into a filter
  for each image: mean and variance of $w \cdot p$ over the patches p of an image are
  $w \cdot \bar p$ and $w^\top \mathrm{Cov}(p)\, w$, and the backward pass needs
  only $\sum p\, \partial y^\top$;
- pixels of the first block are ordered by their place in the pooling window, so that
  pooling is a mean over an axis.

The bias of a convolution in front of an instance norm has no effect, and gradient zero.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from multidd.protocols import Params

__all__ = ["fits", "gradients"]

CHUNK = 16
EPS = 1e-5
"""Of the norm: PyTorch's own default, which the models keep."""

Saved = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Block:
    weight: Tensor  # [o, ch, 3, 3]
    scale: Tensor  # [o]
    shift: Tensor  # [o]


def fits(name: str, norm: str, x: Tensor, depth: int) -> bool:
    """Whether this path holds for a model on these images.

    Args:
        name: of the model.
        norm: its normalization.
        x: `[b, ch, h, w]`.
        depth: blocks.

    Example:
        >>> fits("convnet", "instance", torch.zeros(2, 1, 28, 28), 3)
        True
    """
    sides = [side + 2 * _pad(x) - 2 for side in x.shape[2:]]
    even = all(side % 2**depth == 0 for side in sides)
    return name == "convnet" and norm == "instance" and even and x.device.type == "cpu"


def gradients(
    weights: Params, x: Tensor, targets: Tensor, mass: Tensor, loss: str
) -> Params:
    """Gradient of a weighted sum of losses with respect to every weight.

    Args:
        weights: of a `ConvNet`, by name.
        x: `[b, ch, h, w]`.
        targets: `[b, c]`.
        mass: `[b]`, weight of each image's loss.
        loss: `"cross_entropy"`, or `"mse"`: half the squared error.

    Returns:
        A tensor of its shape for each name of `weights`.
    """
    blocks, head = _read(weights)
    total = [torch.zeros_like(t) for t in _parts(blocks, head)]
    with torch.no_grad():
        parts = [t.split(CHUNK) for t in (x, targets, mass)]
        for images, chunk_targets, size in zip(*parts, strict=True) if len(x) else ():
            chunk_gradients = _chunk(images, chunk_targets, size, blocks, head, loss)
            for into, gradient in zip(total, chunk_gradients, strict=True):
                into += gradient
    names = [f"blocks.{i}.{n}" for i in range(len(blocks)) for n in _OWN]
    named_gradients = dict(
        zip([*names, "head.weight", "head.bias"], total, strict=True)
    )
    # What is left are the convolutions' biases.
    return {
        n: named_gradients[n] if n in named_gradients else torch.zeros_like(w)
        for n, w in weights.items()
    }


_OWN = ("conv.weight", "norm.weight", "norm.bias")


def _read(weights: Params) -> tuple[list[_Block], tuple[Tensor, Tensor]]:
    depth = sum(name.endswith(".conv.weight") for name in weights)
    blocks = []
    for i in range(depth):
        weight, scale, shift = (weights[f"blocks.{i}.{n}"].detach() for n in _OWN)
        layout = torch.channels_last if i else torch.contiguous_format
        blocks.append(_Block(weight.contiguous(memory_format=layout), scale, shift))
    return blocks, (weights["head.weight"].detach(), weights["head.bias"].detach())


def _parts(blocks: list[_Block], head: tuple[Tensor, Tensor]) -> list[Tensor]:
    each = [t for block in blocks for t in (block.weight, block.scale, block.shift)]
    return [*each, *head]


def _pad(x: Tensor) -> int:
    """As the model pads: 28 x 28 images of one channel to 32 x 32."""
    return 3 if tuple(x.shape[1:]) == (1, 28, 28) else 1


def _flat(maps: Tensor) -> Tensor:
    """`[n, h, w, c]` as the model flattens it: channels first."""
    return maps.permute(0, 3, 1, 2).flatten(1)


def _chunk(
    x: Tensor,
    targets: Tensor,
    mass: Tensor,
    blocks: list[_Block],
    head: tuple[Tensor, Tensor],
    loss: str,
) -> list[Tensor]:
    maps, saved_tensors = _forward(x, blocks)
    hidden = _flat(maps[-1])
    logits = F.linear(hidden, *head)
    error = (logits if loss == "mse" else _softened(logits, targets)) - targets
    error = error * mass[:, None].to(error.dtype)
    n, h, w, c = maps[-1].shape
    back = (error @ head[0]).view(n, c, h, w).permute(0, 2, 3, 1).contiguous()
    block_gradients: list[Tensor] = []
    for i in range(len(blocks) - 1, 0, -1):
        back, scale, shift = _norm_relu_pool_back(back, saved_tensors[i], blocks[i])
        back, weight = _conv_back(back, maps[i - 1], blocks[i].weight)
        block_gradients = [weight, scale, shift, *block_gradients]
    block_gradients = [
        *_first_back(back, saved_tensors[0], blocks[0]),
        *block_gradients,
    ]
    return [*block_gradients, error.mT @ hidden, error.sum(0)]


def _softened(logits: Tensor, targets: Tensor) -> Tensor:
    """Probabilities, times the sum of a row's targets: the gradient of cross-entropy
    with targets that do not sum to one."""
    return logits.softmax(1) * targets.sum(1, keepdim=True)


def _forward(x: Tensor, blocks: list[_Block]) -> tuple[list[Tensor], list[Saved]]:
    """Pooled maps `[n, h, w, c]` of each block, and what its backward pass needs."""
    out, saved = _first(x, blocks[0])
    maps, saved_tensors = [out], [saved]
    for block in blocks[1:]:
        out, saved = _norm_relu_pool(_conv(maps[-1], block.weight), block)
        maps.append(out)
        saved_tensors.append(saved)
    return maps, saved_tensors


def _patches(x: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Centered patches `[n, 4 q t, 9 ch]`, ordered by place in the pooling window."""
    x = F.pad(x, (_pad(x),) * 4)
    n, ch, h, w = x.shape
    q, t = (h - 2) // 2, (w - 2) // 2
    s = x.stride()
    view = x.as_strided(
        (n, 2, 2, q, t, ch, 3, 3),
        (s[0], s[2], s[3], 2 * s[2], 2 * s[3], s[1], s[2], s[3]),
    )
    patches = view.reshape(n, 4 * q * t, 9 * ch)
    return patches.sub_(patches.mean(1, keepdim=True)), (q, t)


def _first(x: Tensor, block: _Block) -> tuple[Tensor, Saved]:
    patches, (q, t) = _patches(x)
    weight = block.weight.flatten(1)  # [o, 9 ch]
    spread = (patches.mT @ patches) / patches.shape[1] @ weight.T  # [n, 9 ch, o]
    inverse = ((spread * weight.T).sum(1) + EPS).rsqrt_()  # [n, o]
    filters = weight.T * (inverse * block.scale)[:, None]
    y = torch.baddbmm(block.shift, patches, filters).relu_()
    out = y.view(len(x), 4, q, t, -1).mean(1)
    return out, (patches, spread, inverse, y)


def _first_back(back: Tensor, saved: Saved, block: _Block) -> tuple[Tensor, ...]:
    patches, spread, inverse, y = saved
    weight = block.weight.flatten(1)
    n, _, _, c = back.shape
    above = y.sign_().view(n, 4, -1, c).mul_(back.reshape(n, 1, -1, c) / 4)
    above = above.view(n, -1, c)
    product = patches.mT @ above  # [n, 9 ch, o]
    along = inverse * (weight.T * product).sum(1)  # sum of gradient times normalized
    inner = product - spread * (inverse * along)[:, None]
    weight_gradient = torch.einsum("nc,nkc->ck", inverse * block.scale, inner)
    return weight_gradient.view_as(block.weight), along.sum(0), above.sum((0, 1))


def _norm_relu_pool(z: Tensor, block: _Block) -> tuple[Tensor, Saved]:
    """Maps `[n, h, w, c]`, which are overwritten, to `[n, h/2, w/2, c]`."""
    n, h, w, c = z.shape
    normal = z.view(n, h * w, c)
    normal -= normal.mean(1, keepdim=True)
    inverse = (normal.square().mean(1, keepdim=True) + EPS).rsqrt_()
    normal *= inverse
    y = torch.addcmul(block.shift, normal, block.scale).relu_()
    rows = y.view(n, h // 2, 2, w // 2, 2, c)
    out = rows[:, :, 0] + rows[:, :, 1]
    return (out[:, :, :, 0] + out[:, :, :, 1]).mul_(0.25), (normal, inverse, y)


def _norm_relu_pool_back(
    back: Tensor, saved: Saved, block: _Block
) -> tuple[Tensor, Tensor, Tensor]:
    normal, inverse, y = saved
    n, h, w, c = back.shape
    above = y.sign_().view(n, h, 2, w, 2, c).mul_((back / 4)[:, :, None, :, None])
    above = above.view(n, -1, c)
    mean = above.mean(1, keepdim=True)
    along = (above * normal).mean(1, keepdim=True)
    scale, shift = (m.sum((0, 1)) * above.shape[1] for m in (along, mean))
    above.sub_(mean).addcmul_(normal, along, value=-1).mul_(inverse * block.scale)
    return above.view(n, 2 * h, 2 * w, c), scale, shift


def _conv(x: Tensor, weight: Tensor) -> Tensor:
    maps = F.conv2d(x.permute(0, 3, 1, 2), weight, padding=1)
    return maps.permute(0, 2, 3, 1).contiguous()


def _conv_back(back: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    into, weight_gradient, _ = torch.ops.aten.convolution_backward(
        back.permute(0, 3, 1, 2),
        x.permute(0, 3, 1, 2),
        weight,
        None,
        [1, 1],
        [1, 1],
        [1, 1],
        False,
        [0, 0],
        1,
        [True, True, False],
    )
    return into.permute(0, 2, 3, 1), weight_gradient
