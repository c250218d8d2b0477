"""`ImageSummary` outside: real images in its space, pictures, HF datasets."""

from dataclasses import replace

import datasets
import numpy as np
import PIL.Image
import pytest
import torch

from multidd.errors import StorageError
from multidd.images import ImageSummary, Preprocessing, as_images

GRAY, COLORED = 1, 3


@pytest.fixture(params=[False, True], ids=["plain", "zca"])
def zca(request):
    return request.param


# --- real images in the space of a summary -------------------------------------------


@pytest.mark.parametrize("channels", [GRAY, COLORED])
def test_transform_is_the_preprocessing(make, run, channels, zca):
    images = make(channels=channels)
    summary = run("random", images, zca=zca)
    other = make((3, 4, 5), channels=channels, seed=1)
    x, expected = other.x, Preprocessing.fit(images, zca=zca).apply(other.pixels())
    last = x.movedim(1, 3)
    forms = [x, x.numpy(), last, last.numpy(), other.pixels(), other.pixels().double()]
    forms += [other.pixels().numpy(), list(x)]
    forms += [x[:, 0], x[:, 0].numpy()] if channels == GRAY else []
    for inputs in forms:
        before = inputs.clone() if isinstance(inputs, torch.Tensor) else None
        result = summary.transform(inputs)
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, expected)
        assert before is None or torch.equal(inputs, before)


def test_transform_of_what_was_chosen_gives_the_summary(small, run, zca):
    summary = run("random", small, zca=zca)
    torch.testing.assert_close(
        summary.transform(summary.pictures()),
        summary.tensors["x"],
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize("shape", [(2, 1, 8, 9), (2, 1, 4, 4), (2, 3, 8, 8), (2, 9, 9)])
def test_transform_refuses_other_sizes(small, run, shape):
    summary = run("random", small)
    got = rf"made from images of \[1, 8, 8\], got \[{3 if shape[1] == 3 else 1}, "
    with pytest.raises(ValueError, match=got):
        summary.transform(torch.zeros(shape))


def test_transform_refuses_other_values(small, run):
    summary = run("random", small)
    x = small.pixels()
    for bad, message in [
        (x * 255, r"must lie in 0\.\.1, got .*raw"),
        (x - 1, r"must lie in 0\.\.1, got -1"),
        (small.x.long() - 300, r"must lie in 0\.\.255"),
        (x.index_fill(0, torch.tensor([7]), torch.nan), "1 of 60 images.*image 7"),
    ]:
        with pytest.raises(ValueError, match=message):
            summary.transform(bad)


# --- what a person looks at ----------------------------------------------------------


def test_pictures_are_clamped(small, run):
    summary = run("random", small)
    wild = {"x": summary.tensors["x"] * 9}
    pictures = ImageSummary(dict(summary.tensors) | wild, summary.card).pictures()
    assert pictures.shape == (6, 1, 8, 8)
    assert pictures.min() == 0 and pictures.max() == 1
    assert run("idc", small).pictures().shape == (24, 1, 8, 8)


def shown(figure):
    """Titles and pixels of the panels that hold an image, row by row."""
    panels = [panel for panel in figure.axes if panel.images]
    titles = [panel.get_title(loc="left") for panel in panels]
    return titles, [np.asarray(panel.images[0].get_array()) for panel in panels]


@pytest.mark.parametrize("channels", [GRAY, COLORED])
def test_grid(make, run, tmp_path, channels):
    """A row for each class, with its name and its images."""
    images = make(channels=channels)
    summary = run("random", images)
    figure = summary.grid(tmp_path / "out.png")
    with PIL.Image.open(tmp_path / "out.png") as picture:
        assert picture.format == "PNG"
        wide, high = (round(130 * inches) for inches in figure.get_size_inches())
        assert picture.size == (wide, high)
        seen = np.asarray(picture.convert("L"))
    assert seen.std() > 10  # not a blank sheet
    titles, pixels = shown(figure)
    named = {"cat": 0, "dog": 2, "owl": 4}
    assert len(titles) == 6 and sorted(filter(None, titles)) == sorted(named)
    pictures = summary.pictures()
    for name, first in named.items():
        place = titles.index(name)
        for step in range(2):
            expected = pictures[first + step].movedim(0, 2).numpy().squeeze()
            assert np.array_equal(pixels[place + step].squeeze(), expected)
    title = figure.get_suptitle()
    assert title.startswith("random: 6 stored images for 60")


def test_titles_are_in_the_file(small, run, tmp_path):
    """Without the names of the classes the picture is another."""
    summary = run("random", small)
    source = {**summary.card.source, "names": [" ", " ", " "]}
    bare = ImageSummary(summary.tensors, replace(summary.card, source=source))
    files = []
    for i, one in enumerate((summary, bare)):
        one.grid(tmp_path / f"{i}.png")
        files.append(np.asarray(PIL.Image.open(tmp_path / f"{i}.png")))
    assert files[0].shape == files[1].shape and (files[0] != files[1]).any()


def test_real_images_stand_in_front(small, run):
    summary = run("kmeans", small)
    titles, pixels = shown(summary.grid(data=small))
    assert len(titles) == 9
    for label, name in enumerate(("cat", "dog", "owl")):
        real = small.pixels()[small.labels == label][0, 0]
        place = titles.index(name)
        assert np.array_equal(pixels[place], real.numpy())
        assert np.array_equal(
            pixels[place + 1], summary.pictures()[2 * label, 0].numpy()
        )
    assert "a real one in front" in summary.plot(data=small).get_suptitle()


def test_at_most_so_many_of_a_class(small, run):
    summary = run("random", small, ipc=12)
    assert len(shown(summary.grid())[0]) == 30
    assert len(shown(summary.grid(max_per_class=4))[0]) == 12
    assert len(shown(run("idc", small, ipc=1).grid(max_per_class=3))[0]) == 9  # decoded
    with pytest.raises(ValueError, match="max_per_class must be 1 or more, got 0"):
        summary.grid(max_per_class=0)


def test_plot_is_the_grid(small, run, tmp_path):
    summary = run("random", small)
    for drawn in (summary.plot(tmp_path / "a.png"), summary.plot()):
        assert shown(drawn)[0] == shown(summary.grid())[0]
    summary.grid(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_files_of_other_kinds_and_places(small, run, tmp_path):
    summary = run("random", small)
    for ending, head in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("PNG", b"\x89PNG")):
        path = tmp_path / "deeper" / f"out.{ending}"  # the folder is made
        summary.grid(str(path))
        assert path.read_bytes().startswith(head)
    for name in ("out.jpg", "out"):
        with pytest.raises(ValueError, match=rf"\.png, \.pdf or \.svg; got '{name}'"):
            summary.grid(tmp_path / name)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot write to the folder .*file"):
        summary.grid(tmp_path / "file" / "out.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deeper", "file"]


def test_real_images_of_another_size_are_refused(make, run):
    summary = run("random", make())
    expected = r"made from images of \[1, 8, 8\], data has images of \[1, 12, 12\]"
    with pytest.raises(ValueError, match=expected):
        summary.grid(data=make(side=12))
    with pytest.raises(ValueError, match="none of the 3 classes"):
        summary.grid(data=(torch.zeros(2, 8, 8), [0, 9]))


# --- HF datasets ---------------------------------------------------------------------


@pytest.mark.parametrize("channels", [GRAY, COLORED])
def test_a_dataset_holds_the_real_pixels(make, run, channels):
    """8-bit pixels of a selection come back exactly, through PNG files too."""
    summary = run("random", make(channels=channels))
    data = summary.to_dataset()
    assert isinstance(data.features["image"], datasets.Image)
    label = data.features["label"]
    assert isinstance(label, datasets.ClassLabel)
    assert label.names == ["cat", "dog", "owl"]
    assert data["label"][:] == [0, 0, 1, 1, 2, 2]
    assert data[0]["image"].mode == ("L" if channels == GRAY else "RGB")
    again = as_images(data)
    assert (
        again.classes == summary.classes and again.labels.tolist() == data["label"][:]
    )
    torch.testing.assert_close(again.pixels(), summary.pictures(), rtol=0, atol=1e-5)


def test_a_dataset_is_right_to_half_a_shade(small, run, zca):
    summary = run("dm", small, zca=zca)
    again = as_images(summary.to_dataset())
    gap = (again.pixels() - summary.pictures()).abs().max()
    assert 0 < gap <= 0.5 / 255 + 1e-6


def test_a_dataset_with_soft_labels(small, run):
    summary = run("kip", small)
    data = summary.to_dataset()
    x, y = summary.to_tensors()
    torch.testing.assert_close(torch.tensor(data["soft_label"][:]), y)
    assert data["label"][:] == summary.tensors["y"].tolist()
    assert set(run("dm", small).to_dataset().features) == {"image", "label"}


def test_a_dataset_of_tiles_is_decoded(small, run):
    summary = run("dm", small, factor=2, labels="onehot")
    data = summary.to_dataset()
    assert len(data) == 24 and data["label"][:] == [0] * 8 + [1] * 8 + [2] * 8
    assert torch.equal(torch.tensor(data["soft_label"][:]), summary.to_tensors()[1])


def test_a_dataset_saved_is_read_again(small, run, tmp_path):
    summary = run("random", small)
    summary.to_dataset().save_to_disk(str(tmp_path / "set"))
    again = as_images(tmp_path / "set")
    torch.testing.assert_close(again.pixels(), summary.pictures(), rtol=0, atol=1e-5)
