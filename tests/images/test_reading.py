"""Reading HF datasets and torch datasets, PIL images in them; what is broken."""

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from multidd.images.data.images import as_images
from multidd.images.data.readers import read_path
from tests.images.pets import GRAY, PETS, RGB, Y, encoded, pil

# --- HF datasets ------------------------------------------------------------------


def hf(x=GRAY, y=Y, image="image", label="label", kind=None, **more):
    """A `datasets.Dataset` of an image and a class column."""
    kinds = {image: datasets.Image(), label: kind or datasets.ClassLabel(names=PETS)}
    columns = {image: pil(x), label: y} | {k: v for k, (v, _) in more.items()}
    kinds |= {k: f for k, (_, f) in more.items()}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


@pytest.mark.parametrize("x", [GRAY, RGB], ids=["gray", "rgb"])
@pytest.mark.parametrize("image", ["image", "img", "picture"])
@pytest.mark.parametrize("label", ["label", "labels", "fine_label", "kind"])
def test_hf_columns(x, image, label):
    images = as_images(hf(x, image=image, label=label))
    first = x[:, None] if x.ndim == 3 else np.moveaxis(x, 3, 1)
    assert np.array_equal(images.x.numpy(), first)
    assert images.labels.tolist() == Y
    assert (images.classes, images.values) == (PETS, (0, 1, 2))


def test_hf_preferred_columns():
    coarse = ([1, 1, 1, 0, 0, 0], datasets.ClassLabel(names=["big", "small"]))
    mask = (pil(RGB), datasets.Image())
    images = as_images(hf(label="fine_label", coarse_label=coarse, mask=mask))
    assert images.shape == (1, 8, 9)
    assert images.classes == PETS


def test_hf_plain_labels():
    plain = hf(y=[3, 4, 3, 4, 3, 4], kind=datasets.Value("int64"))
    with pytest.warns(UserWarning, match="3 -> 0, 4 -> 1"):
        assert as_images(plain).values == (3, 4)


@pytest.mark.parametrize("kind", ["torch", "numpy", None])
def test_hf_formats_rows_and_undecoded_images(kind):
    data = hf(RGB).with_format(kind).select([5, 0, 4])
    data = data.cast_column("image", datasets.Image(decode=False))
    images = as_images(data)
    assert np.array_equal(images.x.numpy(), np.moveaxis(RGB[[5, 0, 4]], 3, 1))
    assert images.labels.tolist() == [2, 0, 1]


def test_hf_transform_is_left_out():
    data = hf().with_transform(lambda batch: {"nothing": [0] * len(batch["label"])})
    assert np.array_equal(as_images(data).x[:, 0].numpy(), GRAY)


def test_hf_mixture_of_gray_and_rgb():
    images = as_images(hf([*GRAY[:3], *RGB[3:]]))
    assert images.shape == (3, 8, 9)
    for channel in range(3):
        assert np.array_equal(images.x[:3, channel].numpy(), GRAY[:3])
        assert np.array_equal(images.x[3:, channel].numpy(), RGB[3:, ..., channel])


def test_hf_test_set_like_the_training_set():
    train = as_images(hf())
    test = as_images(hf().select([1, 4]), values=train.values)
    assert test.labels.tolist() == [1, 1]
    assert test.classes == train.classes


def test_hf_class_without_images():
    with pytest.raises(ValueError, match="1 of 3 classes have no images: 'dog'"):
        as_images(hf().filter(lambda row: row["label"] != 1))


def test_hf_unlabelled_rows():
    with pytest.raises(ValueError, match=r"labels hold \[-1\] \(first at image 2\)"):
        as_images(hf(y=[0, 1, -1, 2, -1, 0]))


def test_hf_without_the_columns():
    with pytest.raises(ValueError, match=r"no image column: image \(Value\), label"):
        as_images(
            hf()
            .cast_column("image", datasets.Image())
            .map(lambda row: {"image": 0}, remove_columns=["image"])
        )
    with pytest.raises(ValueError, match=r"no class column: image \(Image\)$|no class"):
        as_images(hf().remove_columns("label"))
    two = (pil(GRAY), datasets.Image())
    with pytest.raises(ValueError, match="several image columns: .*rename_column"):
        as_images(hf(image="left", right=two))


def test_hf_broken_and_missing_images():
    good = encoded(pil(GRAY)[0])
    for bad, message in [(b"no image", "image 1 is not a readable"), (None, "missing")]:
        rows = {"image": [{"bytes": good, "path": None}], "label": [0, 1]}
        rows["image"].append(bad and {"bytes": bad, "path": None})
        kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=PETS)}
        data = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
        with pytest.raises(ValueError, match=message):
            as_images(data)


def test_hf_splits_and_streams():
    with pytest.raises(TypeError, match=r"holds the splits \['train'\]; pass one"):
        as_images(datasets.DatasetDict(train=hf()))
    with pytest.raises(TypeError, match="data is a stream"):
        as_images(hf().to_iterable_dataset())


def test_saved_by_datasets(tmp_path):
    hf().save_to_disk(str(tmp_path / "one"))
    parts = datasets.DatasetDict(train=hf(), valid=hf(y=Y[::-1]))
    parts.save_to_disk(str(tmp_path / "two"))
    for folder in ("one", "two"):
        assert as_images(tmp_path / folder).labels.tolist() == Y
    assert read_path(tmp_path / "one", "test") is None
    assert read_path(tmp_path / "two", "test").y == Y[::-1]


# --- torch datasets ---------------------------------------------------------------


class Items(Dataset):
    """A list of items, as a torch Dataset."""

    def __init__(self, items, classes=None):
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


@pytest.mark.parametrize("label", [int, np.int64, torch.tensor])
@pytest.mark.parametrize(
    "turn",
    [
        lambda x: PIL.Image.fromarray(x),
        lambda x: x,
        lambda x: torch.from_numpy(x).movedim(-1, 0) / 255,
    ],
    ids=["pil", "array", "tensor"],
)
def test_torch_items(turn, label):
    data = Items([(turn(x), label(y)) for x, y in zip(RGB, Y, strict=True)])
    for images in (as_images(data), as_images(Subset(data, range(6)))):
        expected = torch.from_numpy(np.moveaxis(RGB, 3, 1).copy()).float() / 255
        assert torch.equal(images.pixels(), expected)
        assert images.labels.tolist() == Y


def test_torch_dataset_of_a_module_called_datasets(monkeypatch):
    monkeypatch.setattr(Items, "__module__", "datasets.own")
    assert as_images(Items(list(zip(GRAY, Y, strict=True)))).labels.tolist() == Y


def test_torch_tensors():
    x = torch.from_numpy(RGB)
    images = as_images(TensorDataset(x, torch.tensor(Y)))
    assert torch.equal(images.x, x.movedim(3, 1))


def test_torch_class_names():
    items = list(zip(GRAY, Y, strict=True))
    assert as_images(Items(items, PETS)).classes == PETS
    with pytest.raises(ValueError, match="1 of 4 classes have no images: 'hen'"):
        as_images(Items(items, (*PETS, "hen")))


def test_torch_other_items():
    with pytest.raises(
        TypeError, match=r"item 1 .* must be \(image, label\), got dict"
    ):
        as_images(Items([(GRAY[0], 0), {"image": GRAY[1]}]))

    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(TypeError, match="map-style"):
        as_images(Stream())

    class Endless(Dataset):
        pass

    with pytest.raises(TypeError, match="must have a length; Endless has none"):
        as_images(Endless())


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGBA", 3), ("CMYK", 3)],
)
def test_pil_modes(mode, channels):
    image = PIL.Image.fromarray(RGB[0]).convert(mode)
    assert as_images(([image, image], [0, 1])).shape == (channels, 8, 9)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
def test_pil_modes_of_more_bits(mode):
    with pytest.raises(ValueError, match=f"image 0 has PIL mode '{mode}'"):
        as_images(([PIL.Image.new(mode, (8, 8))] * 2, [0, 1]))
