"""Benchmark images by name, offline where their files are there."""

import pathlib
from typing import Any

from multidd import seeds
from multidd.arguments import public_function
from multidd.data.benchmarks import Loader, Parts, Sample, Source, Splits, divided
from multidd.data.splitting import drawn
from multidd.images.data.files import PARTS, RawImages
from multidd.images.data.images import Images, make
from multidd.images.data.readers import named, read_hf, read_path

__all__ = ["DATASETS", "Splits", "load", "long_tailed"]

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


SAMPLE = Sample("sample:fashion", "fashion-mnist", "fashion_mnist_small.npz")


@public_function
def load(name: str, seed: int = 0) -> Splits[Images]:
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
    return _splits(LOADER.load(name), seed)


@public_function
def load_for_evaluation(name: str, *, seed: int = 0) -> tuple[Images, dict[str, Any]]:
    """Images by name, for methods and for `multidd.evaluate`.

    Args:
        name: what `load` takes.
        seed: of the split, for sets without a test part.

    Returns:
        The training images, and the keywords with which `evaluate` judges a summary.

    Example:
        >>> train, exam = load_for_evaluation("sample:fashion")
        >>> len(exam["on"]), exam["train"] is train
        (1000, True)
    """
    train, test = load(name, seed=seed)
    return train, {"on": test, "train": train}


@public_function
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
    counts, last = images.counts.tolist(), max(images.num_classes - 1, 1)
    ideal = [max(counts) * factor ** (i / last) for i in range(images.num_classes)]
    # An exact product such as 50 * 0.1 may come out a rounding error short.
    sizes = [min(n, max(int(x + 1e-9), 1)) for n, x in zip(counts, ideal, strict=True)]
    return images.subset(drawn(images.labels, sizes, seeds.at(seed, "long-tailed")))


def _read_path(path: pathlib.Path, part: str) -> RawImages | None:
    raw = read_path(path, part)
    if raw is None and part == "train":
        raise ValueError(f"{path} holds test images, but no images to train on")
    return raw


LOADER = Loader(
    DATASETS,
    SAMPLE,
    PARTS,
    read_path=_read_path,
    read_split=lambda data, label: read_hf(data),
    instead="pass arrays (x, y), or use 'sample:fashion', which ships with the library",
)


def _splits(parts: Parts[RawImages], seed: int) -> Splits[Images]:
    classes = None if parts.source is None else parts.source.classes
    train, test = make(named(parts.train, parts.name, classes)), None
    if parts.test is not None:
        test = make(named(parts.test, parts.name, classes), values=train.values)
        if test.shape != train.shape:
            raise ValueError(
                f"training images are {train.shape}, test images {test.shape} "
                "(channels, height, width); bring them to one shape"
            )
    return divided(train, test, seed=seed)
