"""Forms in which a budget of bytes holds images: bits of a number, and tiles.

In few bits a budget holds more images, and as tiles of half the size more again; which
form is best is for a judge to say. How many images a form holds is measured on a sample
of real ones, whose pixels code shorter than their bits.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from multidd.images.data.images import Images
from multidd.images.methods.budget import plan, unpacked_bytes
from multidd.images.summary.summary import ImageSummary
from multidd.parameterizations import decoding

__all__ = [
    "FORMS",
    "StoredForm",
    "first_images",
    "forms_of",
    "held_counts",
    "larger_counts",
    "within",
]

SAMPLE_PER_CLASS = 10
"""Images of a class, stored ones, that tell what one takes."""
MARGIN = 0.97
"""Of the budget: what learns, or is chosen, codes a little longer than a sample."""
MIN_SIDE = 8
"""Pixels along a side of a tile, at least."""


@dataclass(frozen=True)
class StoredForm:
    """How images are stored.

    Attributes:
        bits: of a number.
        factor: tiles along each side of a stored image; 1 stores images whole.

    Example:
        >>> StoredForm(3).name, StoredForm(4, 2).name
        ('medoids in 3 bits', 'tiles in 4 bits')
    """

    bits: int
    factor: int = 1

    @property
    def name(self) -> str:
        """What a tournament calls it."""
        return f"{'tiles' if self.factor > 1 else 'medoids'} in {self.bits} bits"


FORMS = (
    StoredForm(3),
    StoredForm(4),
    StoredForm(2),
    StoredForm(4, 2),
    StoredForm(3, 2),
)
"""Those that are tried, the first of which is taken where nobody judges."""


def forms_of(bits: int | None, images: Images) -> tuple[StoredForm, ...]:
    """The forms that are tried.

    Args:
        bits: the only ones; None tries several.
        images: training images; small ones, and classes of few, are not cut in tiles.

    Example:
        >>> import multidd
        >>> [form.name for form in forms_of(5, multidd.samples.fashion().train)]
        ['medoids in 5 bits', 'tiles in 5 bits']
    """
    small = min(images.shape[1:]) < 2 * MIN_SIDE or int(images.counts.min()) < 4
    forms = FORMS if bits is None else (StoredForm(bits), StoredForm(bits, 2))
    return tuple(form for form in forms if form.factor == 1 or not small)


def held_counts(
    images: Images,
    form: StoredForm,
    budget_bytes: int,
    class_balance: str,
    sample: Callable[[tuple[int, ...]], ImageSummary],
) -> tuple[int, ...]:
    """Stored images of each class that a budget holds in a form.

    Args:
        images: training images.
        form: how they are stored.
        budget_bytes: of the compressed set, labels counted.
        class_balance: `"equal"`, or `"proportional"` to the sizes of the classes.
        sample: stored images of each class -> such a set, not compressed.

    Raises:
        ValueError: it does not hold one image of each class.
    """
    # As many as fit whatever the pixels are, and more by what a sample takes.
    unpacked_bytes(budget_bytes, form.bits, images.shape, images.num_classes)
    tiles = form.factor**2
    limits = [count // tiles for count in images.counts.tolist()]
    few = tuple(min(SAMPLE_PER_CLASS, limit) for limit in limits)
    small = sample(few).compress(form.bits)
    items = max(
        int(MARGIN * budget_bytes * sum(few) / small.num_bytes), images.num_classes
    )
    if class_balance == "equal":
        items = min(items, min(limits) * len(limits))
    return plan(
        images.counts.tolist(),
        budget_bytes=min(items, sum(limits)),
        item_bytes=1,
        class_balance=class_balance,
        names=images.classes,
        behind=tiles,
    ).counts


def larger_counts(
    images: Images, form: StoredForm, counts: tuple[int, ...], room: float
) -> tuple[int, ...]:
    """Counts that fill a budget which some would leave room in.

    Args:
        images: training images, of which there are only so many.
        form: how they are stored.
        counts: of each class.
        room: the budget by the bytes that these counts take.

    Example:
        >>> import multidd
        >>> train, test = multidd.samples.fashion()
        >>> larger_counts(train, StoredForm(3), (10,) * 10, 2.0)[0]
        19
    """
    limits = [count // form.factor**2 for count in images.counts.tolist()]
    if len(set(counts)) == 1:
        limits = [min(limits)] * len(limits)
    pairs = zip(counts, limits, strict=True)
    return tuple(min(max(int(n * room * MARGIN), n), most) for n, most in pairs)


def within(summary: ImageSummary, form: StoredForm, budget_bytes: int) -> ImageSummary:
    """A set in few bits, without the last images of each class that are too much.

    Args:
        summary: not compressed.
        form: gives the bits.
        budget_bytes: of the compressed set.

    Raises:
        ValueError: one image of each class is too much.
    """
    counts = summary.tensors["y"].bincount(minlength=summary.num_classes)
    while True:
        small = summary.compress(form.bits)
        if small.num_bytes <= budget_bytes:
            return small
        if int(counts.max()) <= 1:
            raise ValueError(
                f"budget_bytes={budget_bytes} is too small: one image of each class "
                f"takes {small.num_bytes} in {form.bits} bits"
            )
        share = MARGIN * budget_bytes / small.num_bytes
        counts = (counts * share).long().clamp(min=1)
        summary = first_images(summary, counts.tolist())


def first_images(summary: ImageSummary, counts: list[int]) -> ImageSummary:
    """The first stored images of each class, with their labels.

    Example:
        >>> import multidd
        >>> summary = multidd.images.random(multidd.samples.fashion().train, ipc=3)
        >>> first_images(summary, [1] * 9 + [2]).num_images
        11
    """
    y = summary.tensors["y"]
    places = [(y == label).nonzero().flatten()[:n] for label, n in enumerate(counts)]
    rows = torch.cat(places)
    # Tiles may have a label each: as many rows to a stored image.
    tiles = decoding.records_per_item(summary.card.decoder)
    parts = (rows[:, None] * tiles + torch.arange(tiles)).flatten()
    tensors = {}
    for name, tensor in summary.tensors.items():
        of_images = name == "x" or name.startswith("y")
        if of_images and len(tensor) == len(y):
            tensors[name] = tensor[rows]
        elif of_images and len(tensor) == tiles * len(y):
            tensors[name] = tensor[parts]
        else:
            tensors[name] = tensor
    return replace(summary, tensors=tensors)
