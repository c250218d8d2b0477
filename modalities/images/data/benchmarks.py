"""`load`: the benchmark images by name, offline where their files are there."""

import pathlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from multidd import samples, seeds
from multidd.data.sources import below_root, from_hub, is_hub_id, part_of
from multidd.data.splitting import drawn
from multidd.images.data.files import PARTS, Found
from multidd.images.data.images import Images, make
from multidd.images.data.readers import named, read_hf, read_path

__all__ = ["DATASETS", "Splits", "load", "long_tailed"]

HELD_OUT = 0.2  # tested on, where a set has no test part of its own


class Splits(NamedTuple):
    """Training and test images; the classes are the same."""

    train: Images
    test: Images


@dataclass(frozen=True)
class Source:
    """A benchmark of images: where its files lie, below a data root or on the hub.

    Attributes:
        paths: its file or folder below a data root, the first that exists.
        hub: its id among HF datasets.
        classes: names, where the files have none.
    """

    paths: tuple[str, ...]
    hub: str
    classes: tuple[str, ...] | None = None


DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def _folders(*names: str) -> tuple[str, ...]:
    return tuple(f"{root}{name}" for name in names for root in ("images/", ""))


DATASETS = {
    "mnist": Source(_folders("mnist", "MNIST/raw", "MNIST"), "ylecun/mnist", DIGITS),
    "fashion-mnist": Source(
        _folders("fashion_mnist", "fashion-mnist", "FashionMNIST/raw", "FashionMNIST"),
        "zalando-datasets/fashion_mnist",
        CLOTHES,
    ),
    "cifar10": Source(
        _folders("cifar10", "cifar-10", "cifar10.npz", "cifar10_jpeg.npz"),
        "uoft-cs/cifar10",
    ),
    "cifar100": Source(
        _folders("cifar100", "cifar-100", "cifar100.npz"), "uoft-cs/cifar100"
    ),
    "tiny-imagenet": Source(
        _folders("tiny-imagenet", "tiny_imagenet", "tiny-imagenet-200"),
        "zh-plus/tiny-imagenet",
    ),
}


def load(name: str, seed: int = 0) -> Splits:
    """Benchmark images, split into training and test images.

    Files are looked for under the folder `MULTIDD_DATA`; without them HF datasets
    downloads. A set without a test part gets a seeded one, a fifth of each class.

    Args:
        name: `"mnist"`, `"fashion-mnist"`, `"cifar10"`, `"cifar100"`,
            `"tiny-imagenet"`; `"sample:fashion"`, which ships with the library; the
            path of a file or folder that `as_images` reads; or a hub id, owner/name.
        seed: of the split, where there is no test part.

    Returns:
        `(train, test)`.

    Raises:
        ValueError: unknown name, or files that cannot be read.
        MultiddError: the files are not there and cannot be downloaded.

    Example:
        >>> load("minst")
        Traceback (most recent call last):
        ...
        ValueError: data must be one of mnist, fashion-mnist, ...; got 'minst'
    """
    path = pathlib.Path(name)
    if name == "sample:fashion":
        return _local(samples.FASHION, "fashion-mnist", CLOTHES, seed)
    if name in DATASETS:
        source, found = DATASETS[name], below_root(DATASETS[name].paths)
        if found is not None:
            return _local(found, name, source.classes, seed)
        return _from_hub(name, source.hub, seed)
    if path.exists() and name:
        return _local(path, "", None, seed)
    if is_hub_id(name):
        return _from_hub(name, name, seed)
    raise ValueError(
        f"data must be one of {', '.join(DATASETS)}, sample:fashion, a file or folder "
        f"that exists, or a hub id (owner/name); got {name!r}"
    )


def given(name: str, *, seed: int = 0) -> tuple[Images, dict[str, Any]]:
    """Images by name, for methods and for `multidd.evaluate`.

    Args:
        name: what `load` takes.
        seed: of the split, for sets without a test part.

    Returns:
        The training images, and the keywords with which `evaluate` judges a summary.

    Example:
        >>> train, exam = given("sample:fashion")
        >>> len(exam["on"]), exam["train"] is train
        (1000, True)
    """
    train, test = load(name, seed=seed)
    return train, {"on": test, "train": train}


def long_tailed(images: Images, factor: float = 0.01, seed: int = 0) -> Images:
    """A subset whose class sizes fall exponentially, the last class smallest.

    Class i of c keeps $n factor^{i/(c - 1)}$ images, at least one, where n is the size
    of the largest class.

    Args:
        images: to draw from; not changed.
        factor: size of the last class / size of the first, in (0, 1].
        seed: of the draw.

    Returns:
        The subset, in the order of `images`.

    Raises:
        ValueError: factor out of range.

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples",
        CVPR 2019.

    Example:
        >>> import torch
        >>> from multidd.images.data.images import as_images
        >>> labels = torch.arange(2).repeat_interleave(50)
        >>> whole = as_images((torch.zeros(100, 8, 8), labels))
        >>> long_tailed(whole, 0.1).counts.tolist()
        [50, 5]
    """
    if not 0 < factor <= 1:
        raise ValueError(f"factor must be above 0 and at most 1, got {factor}")
    sizes, last = images.counts.tolist(), max(images.num_classes - 1, 1)
    wanted = [max(sizes) * factor ** (i / last) for i in range(images.num_classes)]
    # An exact product such as 50 * 0.1 may come out a rounding error short.
    kept = [min(s, max(int(w + 1e-9), 1)) for s, w in zip(sizes, wanted, strict=True)]
    return images.subset(drawn(images.labels, kept, seeds.at(seed, "long-tailed")))


def _local(
    path: pathlib.Path, name: str, classes: tuple[str, ...] | None, seed: int
) -> Splits:
    train, test = read_path(path), read_path(path, "test")
    if train is None:
        raise ValueError(f"{path} holds test images, but no images to train on")
    other = None if test is None else named(test, name, classes)
    return _splits(named(train, name, classes), other, seed)


def _splits(train: Found, test: Found | None, seed: int) -> Splits:
    images = make(train)
    if test is None:
        return Splits(*images.split(HELD_OUT, seed))
    other = make(test, values=images.values)
    if other.shape != images.shape:
        raise ValueError(
            f"training images are {images.shape}, test images {other.shape} "
            "(channels, height, width); bring them to one shape"
        )
    return Splits(images, other)


def _from_hub(name: str, hub: str, seed: int) -> Splits:
    instead = (
        "pass arrays (x, y), or use 'sample:fashion', which ships with the library"
    )
    data = from_hub(name, hub, instead=instead)
    train, test = (part_of(data, PARTS[part]) for part in ("train", "test"))
    if train is None:
        raise ValueError(f"{hub} has no training split; it has {sorted(data)}")
    own = name if name in DATASETS else hub.split("/")[1]
    other = None if test is None else named(read_hf(test), own)
    return _splits(named(read_hf(train), own), other, seed)
