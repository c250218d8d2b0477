"""Reading: HF and torch datasets, .npz, idx files, image folders; what is broken."""

import gzip
import io

import datasets
import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from multidd.images.images import as_images
from multidd.images.reading import read_path

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (6, 8, 9), dtype=np.uint8)
RGB = RNG.integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
Y = [0, 1, 2, 0, 1, 2]
PETS = ("cat", "dog", "cow")


def pil(x):
    return [PIL.Image.fromarray(image) for image in x]


def encoded(image, kind="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


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
        wanted = torch.from_numpy(np.moveaxis(RGB, 3, 1).copy()).float() / 255
        assert torch.equal(images.pixels(), wanted)
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


# --- npz --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    ["x y", "x_train y_train", "train_images train_labels", "images labels"],
)
def test_npz(names, tmp_path):
    x, y = names.split()
    np.savez(tmp_path / "a.npz", **{x: RGB, y: Y})
    for path in (tmp_path / "a.npz", str(tmp_path / "a.npz")):
        images = as_images(path)
        assert np.array_equal(images.x.numpy(), np.moveaxis(RGB, 3, 1))
        assert images.labels.tolist() == Y
    assert read_path(tmp_path / "a.npz", "test") is None


@pytest.mark.parametrize("word", ["test", "val"])
def test_npz_test_part_and_classes(word, tmp_path):
    parts = {f"x_{word}": GRAY[:2], f"y_{word}": [1, 1], "classes": list(PETS)}
    np.savez_compressed(tmp_path / "a.npz", x_train=GRAY, y_train=Y, **parts)
    assert as_images(tmp_path / "a.npz").classes == PETS
    assert read_path(tmp_path / "a.npz", "test").y.tolist() == [1, 1]


def jpegs(x):
    """Bytes end to end and where each image starts."""
    parts = [encoded(image, "JPEG") for image in pil(x)]
    ends = np.cumsum([len(part) for part in parts])
    return np.frombuffer(b"".join(parts), np.uint8), np.array([0, *ends])


def test_npz_of_encoded_images(tmp_path):
    raw, offsets = jpegs(RGB)
    part = {"train_bytes": raw, "train_offsets": offsets, "train_labels": Y}
    np.savez(tmp_path / "a.npz", **part, classes=list(PETS))
    images = as_images(tmp_path / "a.npz")
    assert images.classes == PETS
    for i in range(6):
        one = io.BytesIO(raw[offsets[i] : offsets[i + 1]].tobytes())
        wanted = np.asarray(PIL.Image.open(one))
        assert np.array_equal(images.x[i].movedim(0, 2).numpy(), wanted)
    raw = raw.copy()
    raw[offsets[2] : offsets[2] + 20] = 0
    np.savez(tmp_path / "b.npz", **part | {"train_bytes": raw})
    with pytest.raises(ValueError, match=r"b\.npz: image 2 of train is not a readable"):
        as_images(tmp_path / "b.npz")


def test_npz_that_is_refused(tmp_path):
    objects = np.array([GRAY, "x"], dtype=object)
    np.savez(tmp_path / "objects.npz", x=objects, y=Y)
    np.savez(tmp_path / "other.npz", a=GRAY, b=Y)
    (tmp_path / "broken.npz").write_bytes(b"PK\3\4 and no more")
    np.save(tmp_path / "one", GRAY)
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    for name, message in [
        ("objects", "holds Python objects, which are never unpickled"),
        ("other", r"holds \['a', 'b'\]; .* looked for as x and y"),
        ("broken", "is broken|never unpickled"),
        ("one", "holds one array; pass images and labels"),
    ]:
        with pytest.raises(ValueError, match=rf"{name}\.npz.*({message})"):
            as_images(tmp_path / f"{name}.npz")


# --- idx --------------------------------------------------------------------------


def write_idx(path, array, code=8):
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    raw = head + array.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def idx_folder(folder, end="", words=("train", "t10k"), between="-"):
    folder.mkdir()
    for word, rows in zip(words, (slice(None), slice(2)), strict=True):
        y = np.array(Y, np.uint8)
        write_idx(folder / f"{word}-images{between}idx3-ubyte{end}", GRAY[rows])
        write_idx(folder / f"{word}-labels{between}idx1-ubyte{end}", y[rows])
    return folder


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("between", ["-", "."])
def test_idx(end, between, tmp_path):
    folder = idx_folder(tmp_path / "a", end, between=between)
    images = folder / f"train-images{between}idx3-ubyte{end}"
    labels = folder / f"train-labels{between}idx1-ubyte{end}"
    for data in (folder, str(folder), images, (images, labels), [str(images), labels]):
        read = as_images(data)
        assert np.array_equal(read.x[:, 0].numpy(), GRAY)
        assert read.labels.tolist() == Y
    assert len(read_path(folder, "test").x) == 2


def test_idx_plain_and_gzipped_together(tmp_path):
    folder = idx_folder(tmp_path / "a", ".gz")
    write_idx(folder / "train-images-idx3-ubyte", GRAY[::-1])
    assert np.array_equal(as_images(folder).x[:, 0].numpy(), GRAY[::-1])


def test_idx_of_bigger_numbers(tmp_path):
    x = write_idx(tmp_path / "x-images-idx3", (GRAY / 255).astype(">f4"), 0x0D)
    y = write_idx(tmp_path / "x-labels-idx1", np.array(Y, ">i4"), 0x0C)
    read = as_images((x, y))
    assert np.array_equal(read.x[:, 0].numpy(), (GRAY / 255).astype(np.float32))
    assert read.labels.tolist() == Y


def test_idx_that_is_broken(tmp_path):
    folder = idx_folder(tmp_path / "a", ".gz")
    images, labels = (
        folder / f"train-{n}.gz" for n in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    whole = images.read_bytes()
    for raw, message in [
        (whole[:40], "is broken"),
        (b"no gzip at all", "is broken"),
        (gzip.compress(b"GIF89a"), "is not an idx file: it starts with 47494638"),
        (gzip.compress(gzip.decompress(whole)[:-5]), "is broken: 443 bytes, .* 448"),
    ]:
        images.write_bytes(raw)
        with pytest.raises(ValueError, match=f"train-images-idx3-ubyte.gz {message}"):
            as_images(folder)
    images.write_bytes(whole)
    with pytest.raises(ValueError, match="must hold images and labels, in this order"):
        as_images((labels, images))
    labels.unlink()
    with pytest.raises(ValueError, match="has no train-labels-idx1-ubyte.* beside it"):
        as_images(folder)


def test_idx_of_several_sets(tmp_path):
    folder = idx_folder(tmp_path / "a")
    write_idx(folder / "emnist-train-images-idx3-ubyte", GRAY)
    with pytest.raises(ValueError, match="several sets .*emnist-train-images"):
        as_images(folder)


# --- image folders ----------------------------------------------------------------


def image_folder(folder, x=RGB, kind="png"):
    for i, (image, y) in enumerate(zip(pil(x), Y, strict=True)):
        path = folder / PETS[y] / f"{i}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return folder


@pytest.mark.parametrize("kind", ["png", "jpg", "JPEG"])
def test_image_folder(kind, tmp_path):
    folder = image_folder(tmp_path / "a", kind=kind)
    (folder / ".hidden").mkdir()
    (folder / "cat" / "notes.txt").write_text("not an image")
    images = as_images(folder)
    assert images.classes == images.values == ("cat", "cow", "dog")
    assert images.labels.tolist() == [0, 0, 1, 1, 2, 2]
    if kind == "png":
        order = [0, 3, 2, 5, 1, 4]
        assert np.array_equal(images.x.numpy(), np.moveaxis(RGB[order], 3, 1))


def test_image_folder_with_parts(tmp_path):
    image_folder(tmp_path / "train")
    image_folder(tmp_path / "val" / "deeper")
    assert as_images(tmp_path).classes == ("cat", "cow", "dog")
    test = as_images(tmp_path / "val" / "deeper", values=("dog", "cow", "cat"))
    assert test.labels.tolist() == [2, 2, 1, 1, 0, 0]


def test_image_folder_with_a_broken_file(tmp_path):
    folder = image_folder(tmp_path / "a")
    whole = (folder / "dog" / "4.png").read_bytes()
    for raw in (b"", b"no image", whole[:60]):
        (folder / "dog" / "4.png").write_bytes(raw)
        with pytest.raises(ValueError, match=r"a/dog/4\.png is not a readable image"):
            as_images(folder)


def test_image_folder_of_several_sizes(tmp_path):
    folder = image_folder(tmp_path / "a")
    PIL.Image.new("RGB", (10, 8)).save(folder / "cow" / "9.png")
    wanted = r"a/cat/0\.png is 8 x 9, .*a/cow/9\.png is 8 x 10"
    with pytest.raises(ValueError, match=wanted):
        as_images(folder)


def test_image_folder_of_gray_and_rgb(tmp_path):
    folder = image_folder(tmp_path / "a")
    PIL.Image.fromarray(GRAY[0]).save(folder / "cat" / "0.png")
    assert np.array_equal(as_images(folder).x[0].numpy(), np.stack([GRAY[0]] * 3))


def test_image_folder_with_an_empty_class(tmp_path):
    folder = image_folder(tmp_path / "a")
    (folder / "hen").mkdir()
    with pytest.raises(ValueError, match="1 of 4 classes have no images: 'hen'"):
        as_images(folder)


def test_paths_that_are_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"holds no images: it needs one sub-folder"):
        as_images(tmp_path)
    with pytest.raises(ValueError, match=r"there is no file or folder .*nowhere"):
        as_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no file or folder mnist; .*images.load"):
        as_images("mnist")
    (tmp_path / "a.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.pkl is neither \.npz nor the images"):
        as_images(tmp_path / "a.pkl")


def test_saved_by_datasets(tmp_path):
    hf().save_to_disk(str(tmp_path / "one"))
    parts = datasets.DatasetDict(train=hf(), valid=hf(y=Y[::-1]))
    parts.save_to_disk(str(tmp_path / "two"))
    for folder in ("one", "two"):
        assert as_images(tmp_path / folder).labels.tolist() == Y
    assert read_path(tmp_path / "one", "test") is None
    assert read_path(tmp_path / "two", "test").y == Y[::-1]
