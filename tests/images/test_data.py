"""`load`: benchmark images by name, offline, their folders untouched."""

import datasets
import numpy as np
import PIL.Image
import pytest
import torch

from multidd import samples
from multidd.data.sources import bundled
from multidd.errors import MultiddError
from multidd.images.data.benchmarks import (
    DATASETS,
    Splits,
    load,
    load_for_evaluation,
    long_tailed,
)
from multidd.images.data.images import as_images

X = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
Y = np.arange(20) % 2


def hf(x=X, y=Y):
    kinds = {"img": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    columns = {"img": [PIL.Image.fromarray(i) for i in x], "label": list(map(int, y))}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))


def write_folder(folder, x=X, y=Y):
    for i, (image, label) in enumerate(zip(x, y, strict=True)):
        path = folder / "ab"[label] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(path)


# --- real data --------------------------------------------------------------------


def test_the_sample_ships_with_the_library(hub):
    train, test = load("sample:fashion")
    assert repr(train) == "Images(fashion-mnist, 3500 of 1 x 28 x 28, 10 classes)"
    assert train.counts.tolist() == [350] * 10
    assert test.counts.tolist() == [100] * 10
    assert train.classes[9] == test.classes[9] == "Ankle boot"
    assert train.mirror and test.mirror
    dataset = samples.fashion()
    assert isinstance(dataset, Splits)
    assert dataset.train.describe() == train.describe()


@pytest.mark.data("images/fashion_mnist")
def test_the_sample_for_evaluation():
    train, exam = load_for_evaluation("sample:fashion")
    test = load("sample:fashion").test
    assert exam["train"] is train and len(train) == 3500 and len(exam["on"]) == 1000
    assert exam["on"].describe() == test.describe()


def test_the_sample_is_part_of_the_whole():
    sample, whole = load("sample:fashion"), load("fashion-mnist")
    with np.load(bundled("fashion_mnist_small.npz"), allow_pickle=False) as file:
        places = [file[name].astype(np.int64) for name in ("train_index", "test_index")]
    for part, of, at in zip(sample, whole, places, strict=True):
        assert torch.equal(part.x, of.x[at])
        assert torch.equal(part.labels, of.labels[at])
    assert whole.train.classes == sample.train.classes


@pytest.mark.data("images/mnist", "images/fashion_mnist")
@pytest.mark.parametrize(
    ("name", "mirror"), [("mnist", False), ("fashion-mnist", True)]
)
def test_idx_benchmarks(name, mirror):
    train, test = load(name)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.shape == test.shape == (1, 28, 28)
    assert train.x.dtype == torch.uint8
    assert (train.name, train.mirror) == (name, mirror)
    assert test.counts.sum() == 10_000 and train.values == tuple(range(10))


@pytest.mark.data("images/mnist")
def test_a_folder_gives_the_same(data_root):
    one, other = load("mnist"), load(str(data_root / "images/mnist"))
    for part, same in zip(one, other, strict=True):
        assert torch.equal(part.x, same.x)
    assert other.train.name == "" and not other.train.mirror


@pytest.mark.data("images/cifar10_jpeg.npz")
def test_cifar10_of_a_few_images(data_root, monkeypatch, tmp_path):
    """Decoding all 60,000 takes long: a file of the same form with fewer of them."""
    few = {}
    with np.load(data_root / "images/cifar10_jpeg.npz", allow_pickle=False) as file:
        few["classes"] = file["classes"]
        for word, count in (("train", 400), ("test", 100)):
            raw, ends = (file[f"{word}_{part}"] for part in ("bytes", "offsets"))
            rows = np.linspace(0, len(ends) - 2, count).astype(int)
            parts = [raw[ends[i] : ends[i + 1]] for i in rows]  # sorted by class
            few[f"{word}_bytes"] = np.concatenate(parts)
            few[f"{word}_offsets"] = np.cumsum([0, *map(len, parts)])
            few[f"{word}_labels"] = file[f"{word}_labels"][rows]
    (tmp_path / "images").mkdir()
    np.savez(tmp_path / "images/cifar10_jpeg.npz", **few)
    monkeypatch.setenv("MULTIDD_DATA", str(tmp_path))
    train, test = load("cifar10")
    assert repr(train) == "Images(cifar10, 400 of 3 x 32 x 32, 10 classes)"
    assert len(test) == 100 and train.mirror
    assert train.classes[:3] == ("airplane", "automobile", "bird")
    assert train.labels.tolist() == few["train_labels"].tolist()
    means = train.pixels().mean((0, 2, 3))
    assert float((means - torch.tensor([0.494, 0.485, 0.450])).abs().max()) < 0.03


@pytest.mark.data("images/fashion_mnist")
def test_long_tailed_benchmark():
    train = load("fashion-mnist").train
    tail = long_tailed(train, 0.01)
    counts = tail.counts.tolist()
    assert (counts[0], counts[-1], sum(counts)) == (6000, 60, 14886)
    assert counts == sorted(counts, reverse=True)


# --- where files are looked for ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("cifar100", "images/cifar100"),
        ("cifar100", "cifar100"),
        ("tiny-imagenet", "images/tiny-imagenet"),
        ("tiny-imagenet", "tiny-imagenet-200"),
        ("cifar10", "images/cifar10"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "saved"])
def test_below_the_data_root(name, folder, kind, hub, tmp_path):
    home = tmp_path / "data" / folder
    if kind == "folder":
        write_folder(home / "train")
        write_folder(home / "test", X[:4], Y[:4])
    else:
        both = datasets.DatasetDict(train=hf(), test=hf(X[:4], Y[:4]))
        both.save_to_disk(str(home))
    before = sorted((p, p.stat().st_mtime_ns) for p in home.rglob("*"))
    train, test = load(name)
    assert (len(train), len(test)) == (20, 4)
    assert train.classes == test.classes == ("a", "b")
    assert (train.name, train.mirror) == (name, True)
    assert sorted((p, p.stat().st_mtime_ns) for p in home.rglob("*")) == before


def test_tiny_imagenet_as_it_is_published(hub, tmp_path):
    home = tmp_path / "data/tiny-imagenet-200"
    for i, (image, label) in enumerate(zip(X, Y, strict=True)):
        path = home / "train" / f"n{label}" / "images" / f"{i}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(path)
    for folder in ("val/images", "test/images"):
        (home / folder).mkdir(parents=True)
        for i in range(3):
            PIL.Image.fromarray(X[i]).save(home / folder / f"{i}.JPEG")
    rows = "0.JPEG\tn1\t0\t0\t9\t9\n1.JPEG\tn0\t0\t0\t9\t9\n2.JPEG\tn1\t0\t0\t9\t9\n"
    (home / "val/val_annotations.txt").write_text(rows)
    train, test = load("tiny-imagenet")
    assert train.classes == ("n0", "n1") and len(train) == 20
    assert test.labels.tolist() == [1, 0, 1]


def test_without_a_test_part_a_fifth_is_held_out(tmp_path):
    write_folder(tmp_path / "pets")
    train, test = load(str(tmp_path / "pets"))
    assert (train.counts.tolist(), test.counts.tolist()) == ([8, 8], [2, 2])
    same, other = load(str(tmp_path / "pets")), load(str(tmp_path / "pets"), seed=1)
    assert torch.equal(same.test.x, test.x)
    assert not torch.equal(other.test.x, test.x)


def test_a_file_of_both_parts(tmp_path):
    parts = {"x_train": X, "y_train": Y + 3, "x_test": X[:2], "y_test": [4, 4]}
    np.savez(tmp_path / "a.npz", **parts)
    with pytest.warns(UserWarning, match="3 -> 0, 4 -> 1") as message:
        train, test = load(str(tmp_path / "a.npz"))
    assert len(message) == 1
    assert test.labels.tolist() == [1, 1] and test.values == train.values == (3, 4)


def test_parts_of_another_shape(tmp_path):
    parts = {"x_train": X, "y_train": Y, "x_test": X[:2, :6], "y_test": [0, 1]}
    np.savez(tmp_path / "a.npz", **parts)
    with pytest.raises(ValueError, match=r"\(3, 8, 8\), test images \(3, 6, 8\)"):
        load(str(tmp_path / "a.npz"))


def test_a_folder_of_test_images_only(tmp_path):
    write_folder(tmp_path / "a" / "test")
    with pytest.raises(ValueError, match="a holds test images, but no images to train"):
        load(str(tmp_path / "a"))
    with pytest.raises(ValueError, match="a holds test images only; for these pass"):
        as_images(tmp_path / "a")
    assert len(as_images(tmp_path / "a" / "test")) == 20


# --- the hub ----------------------------------------------------------------------


def test_hub_of_a_benchmark_and_of_an_id(hub):
    hub["uoft-cs/cifar10"] = datasets.DatasetDict(train=hf(), test=hf(X[:4], Y[:4]))
    hub["zh-plus/tiny-imagenet"] = datasets.DatasetDict(train=hf(), valid=hf())
    hub["someone/pets"] = datasets.DatasetDict(train=hf())
    train, test = load("cifar10")
    assert (len(train), len(test), train.name, train.mirror) == (20, 4, "cifar10", True)
    assert len(load("tiny-imagenet").test) == 20
    train, test = load("someone/pets")
    assert (len(train), len(test), train.name, train.mirror) == (16, 4, "pets", False)


def test_hub_without_a_training_split(hub):
    hub["someone/pets"] = datasets.DatasetDict(other=hf())
    with pytest.raises(ValueError, match=r"no training split; it has \['other'\]"):
        load("someone/pets")


@pytest.mark.parametrize("name", [*DATASETS, "someone/pets"])
def test_no_data_and_no_network(name, hub):
    with pytest.raises(MultiddError) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(f"{name} is not under MULTIDD_DATA (")
    assert "(ConnectionError: Couldn't reach" in message
    for advice in ("set MULTIDD_DATA", "pass arrays (x, y)", "'sample:fashion'"):
        assert advice in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["minst", "MNIST", "", "/nowhere/x", "./a/b", "a/b/c"])
def test_unknown_name(name, hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = "data must be one of mnist, fashion-mnist, cifar10, .*hub id"
    with pytest.raises(ValueError, match=expected):
        load(name)
