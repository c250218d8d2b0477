"""Sketches of labelled images that are more than fit into memory."""

import os
import pathlib
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps

from multidd.arguments import public_function
from multidd.data.listing import list_files
from multidd.data.sources import is_saved
from multidd.images.data.files import (
    PARTS,
    RawImages,
    list_images,
    open_image,
    part_folders,
)
from multidd.images.data.images import Images, make
from multidd.images.data.pixels import stack
from multidd.images.data.shard_reader import (
    PATH,
    AnyShard,
    Request,
    folder_shards,
    read_shards,
)
from multidd.sketches.bottom import SampledRecord
from multidd.sketches.hashing import seed_key
from multidd.sketches.labelled import check_per_class, facts_of
from multidd.sketches.merging import sketched
from multidd.sketches.shards import PARQUET, shards_of
from multidd.storage.atomic import replacing

__all__ = ["sketch", "write_images"]


@public_function
def sketch(
    data: Any,
    per_class: int = 5_000,
    seed: int = 0,
    *,
    image: str | None = None,
    label: str | None = None,
    size: int | None = None,
    executor: Executor | None = None,
    name: str = "",
) -> Images:
    """A uniform sample of the images of each class, from data of any size.

    Of each class the images with the smallest hashes (of the bytes of the file and the
    seed alone) are kept: one pass, in which nothing is decoded but what is kept, and
    the same images for any cut into shards, any order of these and any executor. A file
    whose bytes stand several times in a class is kept once; counts count it every time.

    Args:
        data: a folder with a sub-folder of image files for each class, below train/ if
            there; .parquet files, folders of them (of one that holds parts the training
            part is read), a folder that `save_to_disk` wrote, a `datasets.Dataset` or
            `IterableDataset`, an Arrow table; or a list of these. Tables hold the bytes
            of image files.
        per_class: images of each class that are kept at most.
        seed: of the hashes: another one keeps other images.
        image: column of the images; None looks for image or img.
        label: column of the labels; None looks for label, labels or fine_label.
        size: height and width that images are brought to, cut to a square around the
            middle; None: all have one size already.
        executor: reads and merges shards in parallel; any `concurrent.futures.Executor`
            will do. None: this process.
        name: what reports call the images.

    Returns:
        The images, class by class. `images.sketch` says what was seen: `records` in all
        data, `counts` of each class, `kept`, `repeated` (how many of these stand there
        several times), `shards`, `seconds`.

    Raises:
        ValueError: a shard without the columns, missing images or labels, classes that
            differ by shard, images of several sizes, a broken one. Says which.
        TypeError: images that are no bytes.
        FileNotFoundError: no such file or folder.
        CorruptFileError: a damaged file; says which row group.
        MultiddError: a worker of the executor was killed.

    Example:
        >>> for number, kind in enumerate(["cat", "cat", "dog"]):
        ...     path = pathlib.Path(f"pets/{kind}/{number}.png")
        ...     path.parent.mkdir(parents=True, exist_ok=True)
        ...     PIL.Image.new("L", (8, 8), 9 * number).save(path)
        >>> some = sketch("pets", per_class=1)
        >>> some.counts.tolist(), some.sketch["counts"]
        ([1, 1], [2, 1])
    """
    check_per_class(per_class)
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel; got {size}; take 64")
    started = time.perf_counter()
    listed = data if isinstance(data, list | tuple) else [data]
    shards: list[AnyShard] = [shard for one in listed for shard in _shards(one)]
    if not shards:
        raise ValueError("there is nothing to sketch: an empty list was given")
    request = Request(per_class, seed_key(seed), image, label)
    state = sketched(partial(read_shards, request=request), shards, executor)
    if not state.records.counts:
        raise ValueError(f"there are no images: {state.source} has no rows")
    sample = list(state.records.records())
    classes = state.classes
    names: tuple[Any, ...] | None = None
    if classes is not None:
        names = classes if state.is_text else tuple(range(len(classes)))
    labels = [record.label for record in sample]
    raw = RawImages(_decoded(sample, size), labels, classes, names, name)
    result = make(raw)
    counts = [state.records.counts[value] for value in result.values]
    facts = facts_of(state, sample, counts, seed=seed, started=started)
    return replace(result, sketch=facts)


def _shards(data: Any) -> Sequence[AnyShard]:
    """Shards of one source; a folder without tables is one of class folders."""
    if isinstance(data, str | os.PathLike):
        folder = pathlib.Path(data).expanduser()
        if folder.is_dir() and not is_saved(folder):
            if not list_files(folder).of_suffix(PARQUET):
                return _of_classes(folder)
    return shards_of(data, (), PARTS)


def _of_classes(folder: pathlib.Path) -> Sequence[AnyShard]:
    places = part_folders(folder)
    place = places.get("train", folder)
    root = folder if "train" in places else None
    files, classes = list_images(place, root, places.get("test") if root else None)
    return folder_shards(place, files, classes)


def _decoded(sample: Sequence[SampledRecord], size: int | None) -> Any:
    """`[n, ch, h, w]` of the images that were kept."""

    def named(place: int) -> str:
        record = sample[place].record
        if record[:1] == PATH:
            return os.fsdecode(record[1:])
        return f"image {place} of the sketch, of class {sample[place].label!r},"

    def pictures() -> Any:
        for place, record in enumerate(sample):
            content: Any = record.record[1:]
            if record.record[:1] == PATH:
                content = pathlib.Path(os.fsdecode(content))
            picture = open_image(content, named(place))
            yield picture if size is None else _square(picture, size)

    return stack(pictures(), len(sample), named)


def _square(picture: Any, size: int) -> Any:
    plain = picture if picture.mode in ("L", "RGB") else picture.convert("RGB")
    return PIL.ImageOps.fit(plain, (size, size), PIL.Image.Resampling.BICUBIC)


def write_images(images: Images, path: pathlib.Path) -> None:
    """Write images as one .npz file, which `as_images` and `load` read again.

    The file is written aside and renamed.

    Args:
        images: not changed.
        path: of the file; its folder must be there.

    Raises:
        ValueError: another suffix than .npz.
        StorageError: it cannot be written.

    Example:
        >>> from multidd.images.data.images import as_images
        >>> some = as_images((np.zeros((2, 8, 8), np.uint8), [0, 1]))
        >>> write_images(some, pathlib.Path("two.npz"))
        >>> as_images("two.npz").counts.tolist()
        [1, 1]
    """
    if path.suffix.lower() != ".npz":
        raise ValueError(f"images are written as an .npz file; got {path}")
    arrays: dict[str, Any] = {"x": images.x.numpy(), "y": images.labels.numpy()}
    if images.values == tuple(range(len(images.classes))) or isinstance(
        images.values[0], str
    ):
        arrays["classes"] = np.array(images.classes)
    else:  # numbers that are not 0..c-1 have no names
        arrays["y"] = np.array(images.values)[arrays["y"]]
    with replacing(path) as file:
        np.savez(file, **arrays)
