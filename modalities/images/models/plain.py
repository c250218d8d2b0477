"""Plain trainings of images: two small CNNs, an MLP and logistic regression."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PLAIN", "augmented", "logistic_on_pixels", "network"]

PLAIN = {
    "cnn": "two convolutions, Adam, cross entropy",
    "cnn_norm": "two convolutions with batch norm, shifted and mirrored images",
    "mlp": "one hidden layer of 256",
    "logistic": "logistic regression on pixels, C = 0.1",
}
"""What a stranger trains, by name."""

CHANNELS, HIDDEN = (32, 64), 128

MAX_LOGISTIC_ROWS = 10_000
"""Images, at most, that logistic regression takes of whole data, evenly spaced."""


def network(
    name: str,
    shape: tuple[int, int, int],
    num_classes: int,
    channels: tuple[int, int] = CHANNELS,
    hidden: int = HIDDEN,
) -> Callable[[], nn.Module]:
    """Makes fresh networks of a plain training.

    Args:
        name: `"cnn"`, `"cnn_norm"` or `"mlp"`.
        shape: channels, height and width.
        num_classes: c.
        channels: of the two convolutions.
        hidden: units behind them.

    Example:
        >>> with torch.random.fork_rng():
        ...     network("cnn", (1, 28, 28), 10)()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    image_channels, height, width = shape

    def mlp() -> nn.Module:
        flat = image_channels * height * width
        layers = (nn.Linear(flat, 256), nn.ReLU(), nn.Linear(256, num_classes))
        return nn.Sequential(nn.Flatten(), *layers)

    def cnn() -> nn.Module:
        layers: list[nn.Module] = []
        before = image_channels
        for after in channels:
            layers.append(nn.Conv2d(before, after, 3, padding=1))
            layers += [nn.BatchNorm2d(after)] if name == "cnn_norm" else []
            layers += [nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
            before = after
        flat = before * (-(-height // 4)) * (-(-width // 4))
        layers += [nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Dropout(0.25)]
        return nn.Sequential(*layers, nn.Linear(hidden, num_classes))

    return mlp if name == "mlp" else cnn


def augmented(mirror: bool) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Random crops of padded images, mirrored half of the time where that is allowed.

    Args:
        mirror: whether a mirrored image keeps its class.

    Returns:
        Takes images `[b, ch, h, w]` and a generator; each image has a shift of its own,
        of up to an eighth of its side.

    Example:
        >>> from multidd.seeds import at
        >>> augmented(True)(torch.zeros(2, 1, 8, 8), at(0, "view")).shape
        torch.Size([2, 1, 8, 8])
    """

    def view(x: Tensor, rng: torch.Generator) -> Tensor:
        b, _, h, w = x.shape
        pad = max(1, min(h, w) // 8)
        padded = F.pad(x, (pad, pad, pad, pad))
        top = torch.randint(2 * pad + 1, (b,), generator=rng).to(x.device)
        left = torch.randint(2 * pad + 1, (b,), generator=rng).to(x.device)
        sizes = (h, w, b, x.shape[1])
        down, across, image, channel = (torch.arange(n, device=x.device) for n in sizes)
        rows = (top[:, None] + down)[:, None, :, None]  # [b, 1, h, 1]
        columns = (left[:, None] + across)[:, None, None, :]  # [b, 1, 1, w]
        image, channel = image[:, None, None, None], channel[None, :, None, None]
        shifted = padded[image, channel, rows, columns]  # [b, ch, h, w]
        if mirror:
            turn = (torch.rand(b, generator=rng) < 0.5).to(x.device)
            shifted = torch.where(turn[:, None, None, None], shifted.flip(3), shifted)
        return shifted

    return view


def logistic_on_pixels(
    x: Tensor, targets: Tensor, num_classes: int
) -> Callable[[Tensor], Tensor]:
    """Logistic regression on pixels; soft labels count as their likeliest class.

    Args:
        x: `[m, ch, h, w]`.
        targets: `[m]` or `[m, c]`.
        num_classes: c.

    Returns:
        Images `[b, ch, h, w]` to scores `[b, c]`.

    Example:
        >>> x = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 2, 2)
        >>> logistic_on_pixels(x, torch.tensor([2, 0]), 3)(x).argmax(1).tolist()
        [2, 0]
    """
    from sklearn.linear_model import LogisticRegression  # loads slowly

    hard = targets if targets.dim() == 1 else targets.argmax(1)
    present = hard.unique()
    if len(present) == 1:
        only = F.one_hot(present, num_classes).float()
        return lambda x: only.expand(len(x), -1)
    model = LogisticRegression(C=0.1, max_iter=300)
    model.fit(x.flatten(1).cpu().numpy(), hard.numpy())

    def answer(x: Tensor) -> Tensor:
        scores = torch.full((len(x), num_classes), -torch.inf)
        logits = torch.from_numpy(model.decision_function(x.flatten(1).cpu().numpy()))
        if logits.dim() == 1:  # of two classes scikit-learn gives one column
            logits = torch.stack([-logits, logits], 1)
        scores[:, torch.from_numpy(model.classes_)] = logits.float()
        return scores

    return answer
