"""Random crops of images, as large as the images again."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["random_crops", "through_tile"]


def random_crops(
    x: Tensor, count: int, scale: tuple[float, float], rng: torch.Generator
) -> Tensor:
    """`count` crops of each image, of its own proportions, blown up to its size.

    Args:
        x: `[n, ch, h, w]`.
        count: crops of each.
        scale: shares of the area, least and most, drawn evenly between.
        rng: draws, on its own device.

    Returns:
        `[n, count, ch, h, w]`.

    Raises:
        ValueError: shares that are not in 0..1, or no crops.

    Example:
        >>> from multidd.seeds import at
        >>> random_crops(torch.ones(2, 1, 4, 4), 3, (0.5, 1.0), at(0, "crop")).shape
        torch.Size([2, 3, 1, 4, 4])
    """
    low, high = scale
    if not 0 < low <= high <= 1:
        raise ValueError(f"scale must be two shares, 0 < low <= high <= 1, got {scale}")
    if count < 1:
        raise ValueError(f"crops must be 1 or more, got {count}")
    n = len(x) * count
    drawn = torch.rand(3, n, generator=rng, device=rng.device).to(x)
    side = (low + (high - low) * drawn[0]).sqrt()
    centers = (2 * drawn[1:] - 1) * (1 - side)
    theta = x.new_zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, :, 2] = centers.T
    repeated = x.repeat_interleave(count, dim=0)
    grid = F.affine_grid(theta, list(repeated.shape), align_corners=False)
    # Half a pixel beyond the edge, where a crop of the whole may look, is the edge.
    cut = F.grid_sample(repeated, grid, padding_mode="border", align_corners=False)
    return cut.unflatten(0, (len(x), count))


def through_tile(x: Tensor, factor: int) -> Tensor:
    """`[n, ch, h, w]` images as they come back from a tile of 1 / `factor` the side.

    Example:
        >>> through_tile(torch.arange(4.0).view(1, 1, 2, 2), 2).flatten().tolist()
        [1.5, 1.5, 1.5, 1.5]
    """
    if factor == 1:
        return x
    height, width = x.shape[2:]
    small = (max(1, height // factor), max(1, width // factor))
    tile = F.interpolate(x, small, mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(tile, (height, width), mode="bilinear", align_corners=False)
