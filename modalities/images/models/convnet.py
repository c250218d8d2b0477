"""The ConvNet of the field, and what all image models share."""

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ConvNet", "Net", "norm_layer"]

NORMS = ("instance", "batch", "layer", "none")


def norm_layer(kind: str, channels: int, running: bool = False) -> nn.Module:
    """A normalization with a scale and a shift for each channel.

    Args:
        kind: `"instance"`, `"batch"`, `"layer"` (over channels and places) or `"none"`.
        channels: of the maps.
        running: batch norm keeps running statistics and uses them in evaluation.
            Without, it uses each batch's own, always: a module that
            `torch.func.functional_call` may run without being changed.

    Raises:
        ValueError: no such normalization.

    Example:
        >>> norm_layer("instance", 8)
        GroupNorm(8, 8, ...)
    """
    if kind == "instance":
        return nn.GroupNorm(channels, channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels, track_running_stats=running)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {kind!r}")


class Net(nn.Module):
    """Blocks one after the other, then a linear layer on the flattened last one.

    Args:
        blocks: maps in, maps (or vectors) out.
        shape: `(channels, height, width)` of the images.
        classes: c.
    """

    def __init__(
        self, blocks: Sequence[nn.Module], shape: Sequence[int], classes: int
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(_width_after(self.blocks, shape), classes)

    def forward(self, x: Tensor, layers: bool = False) -> Tensor | list[Tensor]:
        """Logits `[b, c]`; or features `[b, h]` of each block, the logits last.

        Args:
            x: `[b, channels, height, width]`.
            layers: the features too, flattened; the last but one is what the linear
                layer sees.
        """
        features = []
        for block in self.blocks:
            x = block(x)
            if layers:
                features.append(x.flatten(1))
        logits = self.head(x.flatten(1))
        return [*features, logits] if layers else logits


def _width_after(blocks: nn.ModuleList, shape: Sequence[int]) -> int:
    """Numbers that the last block gives for an image.

    Empty copies are run, since a convolution on the meta device, where `build` makes a
    model, would first load a compiler for a second.
    """
    with torch.device("cpu"), torch.no_grad():
        x = torch.zeros(2, *shape)
        for block in copy.deepcopy(blocks).to_empty(device="cpu"):
            x = block(x)
    return x[0].numel()


def halve(x: Tensor) -> Tensor:
    """Mean over 2 x 2, a last odd row or column left out.

    Args:
        x: `[..., height, width]`.

    Example:
        >>> halve(torch.tensor([[1.0, 3.0, 9.0], [5.0, 7.0, 9.0]])).tolist()
        [[4.0]]
    """
    if x.is_cuda:
        return F.avg_pool2d(x, 2)
    # Sums of slices are vectorized on a CPU, eight times as fast as avg_pool2d.
    height, width = (side // 2 * 2 for side in x.shape[-2:])
    rows = x[..., :height:2, :width] + x[..., 1:height:2, :width]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25


class ConvBlock(nn.Module):
    """Convolution 3 x 3, normalization, ReLU, mean over 2 x 2."""

    def __init__(self, into: int, out: int, pad: int, norm: str, running: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, padding=pad)
        self.norm = norm_layer(norm, out, running)

    def forward(self, x: Tensor) -> Tensor:
        """Maps at half the size."""
        return halve(self.norm(self.conv(x)).relu_())


class ConvNet(Net):
    """Blocks of convolution, normalization, ReLU and mean pooling; a linear layer.

    Args:
        shape: `(channels, height, width)` of the images. One-channel images of 28 x 28
            are padded to 32 x 32 by the first convolution, as everywhere in the field.
        classes: c.
        width: channels of every block, or of each.
        depth: blocks; each halves the maps. 3 for 28 and 32 pixels, 4 for 64 unless
            given.
        norm: see `norm_layer`.
        running: see `norm_layer`.

    Raises:
        ValueError: too many blocks for images this small; widths of another number.

    Reference:
        Gidaris, Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting",
        CVPR 2018.

    Example:
        >>> from multidd.seeds import at
        >>> from multidd.images.models.networks import build
        >>> net = build("convnet", (1, 28, 28), 10, at(0, "net"), width=8)
        >>> [f.shape[1] for f in net(torch.zeros(2, 1, 28, 28), layers=True)]
        [2048, 512, 128, 10]
    """

    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        width: int | Sequence[int] = 128,
        depth: int | None = None,
        norm: str = "instance",
        running: bool = False,
    ) -> None:
        max_depth = min(shape[1:]).bit_length() - 1
        if depth is None:
            depth = (
                len(width) if isinstance(width, Sequence) else _depth(shape, max_depth)
            )
        if not 1 <= depth <= max_depth:
            raise ValueError(
                f"depth must be between 1 and {max_depth} for images of {shape[1]} x "
                f"{shape[2]}, as each block halves them; got {depth}"
            )
        widths = list(width) if isinstance(width, Sequence) else [width] * depth
        if len(widths) != depth:
            raise ValueError(f"{depth} blocks need {depth} widths; got {widths}")
        pads = [3 if tuple(shape) == (1, 28, 28) else 1] + [1] * (depth - 1)
        into = [shape[0], *widths[:-1]]
        blocks = [
            ConvBlock(i, o, pad, norm, running)
            for i, o, pad in zip(into, widths, pads, strict=True)
        ]
        super().__init__(blocks, shape, classes)


def _depth(shape: Sequence[int], max_depth: int) -> int:
    """3 for 28 and 32 pixels, 4 for 64, 5 for 128: maps of about 4 x 4 at the end."""
    return min(max_depth, max(3, round(math.log2(min(shape[1:]))) - 2))
