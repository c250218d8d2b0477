"""IDC: gradient matching with multi-formation and networks trained on real images."""

from typing import Any, Unpack

from multidd.images.methods.options import DSA, Options, Settings
from multidd.images.methods.setup import learn
from multidd.images.summary.summary import ImageSummary
from multidd.learning.optim import SGD, Adam
from multidd.learning.states import Online
from multidd.objectives import GradientMatching
from multidd.objectives.distances import named


def idc(
    train: Any,
    ipc: int | None = None,
    *,
    steps: int = 200,
    lr: float = 0.02,
    matches: int = 20,
    inner: int = 1,
    distance: str = "mse",
    inter_class: bool = False,
    seed: int = 0,
    **options: Unpack[Options],
) -> ImageSummary:
    r"""Distill images by gradient matching on tiles (IDC).

    Every stored image is cut into 2 x 2 tiles, each decoded to a full image, so that
    the bytes of one hold four. The network trains on real images between matches, so
    that its gradients do not die out; the last layer is not matched.

    Where it departs from the paper: Adam on the images instead of SGD with a rate for
    each dataset, no CutMix, pixels not clamped on the way, networks 32 wide, fewer
    steps.

    Args:
        train: training images; see `multidd.images.as_images` for the forms it takes.
        ipc: stored images per class, or give `budget_bytes=`.
        steps: updates.
        lr: of Adam on the images, in their normalized space.
        matches: updates with one network.
        inner: training steps of the network on real images between two matches.
        distance, inter_class: see `multidd.images.dc`.
        seed: seed of the run.
        **options: see `multidd.images.Settings` and `multidd.distill`.

    Returns:
        An `ImageSummary`.

    Raises:
        ValueError: bad images, budget or setting; says what would fit.
        DivergedError: the loss went non-finite; the last good state is kept.

    Reference:
        Kim et al., "Dataset Condensation via Efficient Synthetic-Data
        Parameterization", ICML 2022.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> idc(train, ipc=1, steps=1, width=4, batch_size=8).num_images
        40
    """
    sgd = SGD(lr=0.01, momentum=0.9, weight_decay=5e-4)
    objective = GradientMatching(
        named(distance),
        Online("real", 1, inner, matches, sgd, rows=128),
        inter_class=inter_class,
        head=False,
    )
    return learn(
        "idc",
        train,
        ipc,
        Settings(augment=DSA, factor=2),
        options,
        objective,
        steps=steps,
        optimizer={"x": Adam(lr=lr)},
        seed=seed,
        recipe={
            "lr": lr,
            "matches": matches,
            "inner": inner,
            "distance": distance,
            "inter_class": inter_class,
        },
    )
