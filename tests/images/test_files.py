"""Reading .npz, idx files and image folders; what is broken."""

import gzip
import io

import numpy as np
import PIL.Image
import pytest

from multidd.images.data.images import as_images
from multidd.images.data.readers import read_path
from tests.images.pets import GRAY, PETS, RGB, Y, encoded, pil

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
        expected = np.asarray(PIL.Image.open(one))
        assert np.array_equal(images.x[i].movedim(0, 2).numpy(), expected)
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


def test_image_folders_of_parts_that_are_unclear(tmp_path):
    for name in ("train", "training"):
        image_folder(tmp_path / "a" / name)
    with pytest.raises(ValueError, match="the folders train.* for one part; keep"):
        as_images(tmp_path / "a")
    for name in ("train", "test"):
        for i, image in enumerate(pil(RGB)):
            (tmp_path / "b" / name).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / "b" / name / f"{i}.png")
    with pytest.raises(ValueError, match="the parts .* without class folders in them"):
        as_images(tmp_path / "b")


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
    expected = r"a/cat/0\.png is 8 x 9, .*a/cow/9\.png is 8 x 10"
    with pytest.raises(ValueError, match=expected):
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
