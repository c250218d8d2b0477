"""Sketches of images: K of each class, exact counts, from every kind of source."""

import io
import pathlib

import numpy as np
import PIL.Image
import pyarrow
import pyarrow.parquet
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image

from multidd import images
from multidd.errors import MultiddWarning
from multidd.images.data.sketch import write_images

CLASSES = ["cat", "dog", "eel"]


def png(seed: int, size: int = 6) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8)
    out = io.BytesIO()
    PIL.Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


CONTENTS = [png(seed % 50) for seed in range(60)]
LABELS = [seed % 3 for seed in range(60)]


def folder_of(root: pathlib.Path) -> pathlib.Path:
    for number, (content, label) in enumerate(zip(CONTENTS, LABELS, strict=True)):
        path = root / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def dataset() -> Dataset:
    features = Features({"image": Image(), "label": ClassLabel(names=CLASSES)})
    cells = [{"bytes": content, "path": None} for content in CONTENTS]
    return Dataset.from_dict({"image": cells, "label": LABELS}, features=features)


@pytest.fixture(scope="module")
def whole() -> images.Images:
    return images.sketch(dataset(), per_class=4)


def test_counts_are_exact_and_the_sample_is_of_the_bytes(whole):
    assert whole.counts.tolist() == [4, 4, 4] and whole.sketch["counts"] == [20] * 3
    every = images.sketch(dataset(), per_class=100)
    distinct = {(c, y) for c, y in zip(CONTENTS, LABELS, strict=True)}
    assert len(every) == len(distinct)
    assert every.sketch["repeated"] == 60 - len(distinct)
    assert not torch.equal(images.sketch(dataset(), 4, seed=1).x, whole.x)
    assert images.as_images(dataset()).x[every.labels == 0].shape[1:] == (3, 6, 6)


def test_any_source_gives_the_same(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("multidd.sketches.shards.SHARD_ROWS", 25)
    monkeypatch.setattr("multidd.images.data.shard_reader.BATCH_ROWS", 7)
    monkeypatch.setattr("multidd.images.data.shard_reader.SHARD_FILES", 9)
    data = dataset()
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "x.parquet")
    plain = pyarrow.table({"img": CONTENTS, "labels": LABELS})
    sources = [
        folder_of(tmp_path / "pets"),
        tmp_path / "saved",
        tmp_path / "x.parquet",
        data.to_iterable_dataset(num_shards=4),
        [data.select(range(30, 60)), data.select(range(30))],
        plain,
    ]
    for source in sources:
        sample = images.sketch(source, per_class=4)
        assert torch.equal(sample.x, whole.x)
        assert torch.equal(sample.labels, whole.labels)
        if source is not plain:
            assert sample.classes == tuple(CLASSES)


def test_the_training_part_of_a_folder_is_read(whole, tmp_path):
    folder_of(tmp_path / "train")
    path = tmp_path / "test" / "cat" / "a.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(png(99))
    (tmp_path / "train" / "cat" / "notes.txt").write_text("...")
    with pytest.warns(MultiddWarning, match="left out 1 of 62 files"):
        sample = images.sketch(tmp_path, per_class=4)
    assert torch.equal(sample.x, whole.x)


def test_nothing_is_decoded_but_what_is_kept(tmp_path):
    """A broken file is met only where its hash is among the smallest."""
    folder = folder_of(tmp_path / "pets")
    (folder / "cat" / "broken.png").write_bytes(b"no picture")
    sample = images.sketch(folder, per_class=1)
    assert sample.sketch["counts"] == [21, 20, 20]
    with pytest.raises(ValueError, match="broken.png is not a readable image"):
        images.sketch(folder, per_class=100)


def test_images_of_several_sizes_are_brought_to_one():
    contents = [png(0, 6), png(1, 9), png(2, 12), png(3, 5)]
    table = pyarrow.table({"image": contents, "label": [0, 0, 1, 1]})
    with pytest.raises(ValueError, match="images have several sizes: image"):
        images.sketch(table)
    assert images.sketch(table, size=8).shape == (3, 8, 8)
    with pytest.raises(ValueError, match="size must be at least 1 pixel; got 0"):
        images.sketch(table, size=0)


def test_its_record_is_of_the_data_and_files_keep_it(whole, tmp_path):
    halves = [dataset().select(range(30)), dataset().select(range(30, 60))]
    assert images.sketch(halves, 4).describe() == whole.describe()
    odd = pyarrow.table({"image": CONTENTS[:3], "label": [5, 9, 5]})
    words = pyarrow.table({"image": CONTENTS[:3], "label": ["b", "a", "b"]})
    for data in (whole, images.sketch(odd), images.sketch(words)):
        write_images(data, tmp_path / "x.npz")
        again = images.as_images(tmp_path / "x.npz")
        assert torch.equal(again.x, data.x) and torch.equal(again.labels, data.labels)
        assert again.classes == data.classes
    with pytest.raises(ValueError, match="written as an .npz file; got"):
        write_images(whole, tmp_path / "x.png")


@pytest.mark.parametrize(
    "columns, words",
    [
        ({"picture": [b"", b""], "label": [0, 1]}, "no column that is known to hold"),
        ({"image": [b"", None], "label": [0, 1]}, "lacks an image in row 1"),
        ({"image": ["a", "b"], "label": [0, 1]}, "must hold the bytes of image files"),
        ({"image": [b"a", b"b"], "label": [0, None]}, "lacks a label in row 1"),
        ({"image": [b"a", b"b"], "label": [0, 1]}, "of the sketch, of class 0, is"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_is_named(tmp_path, columns, words):
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    with pytest.raises((ValueError, TypeError), match=words):
        images.sketch(path)
    with pytest.raises(ValueError, match=r"x.parquet has no column 'y' \(label\)"):
        images.sketch(path, image=next(iter(columns)), label="y")


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to sketch: an empty list"):
        images.sketch([])
    with pytest.raises(FileNotFoundError, match="there is no file or folder nowhere"):
        images.sketch("nowhere")
    with pytest.raises(ValueError, match="per_class must be at least 1; got 0"):
        images.sketch(dataset(), per_class=0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images: it needs one sub-folder"):
        images.sketch(tmp_path / "empty")
