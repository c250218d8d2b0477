"""Where bytes become pixels: a closed list of formats, and pictures upright."""

import io
import os

import datasets
import numpy as np
import PIL.Image
import pytest

from multidd.images.data.files import FORMATS, open_image
from multidd.images.data.images import as_images
from tests.images.pets import GRAY, PETS, Y, encoded, pil
from tests.source import MODULES

EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 8\n%%EndComments\nshowpage\n%%EOF\n"
)
# Formats of PIL's that are none of ours: PPM runs nothing, but is as closed out.
OTHERS = {"EPS": EPS, "PPM": encoded(pil(GRAY)[0], "PPM")}


@pytest.fixture
def programs(monkeypatch, tmp_path):
    """A file that is there once Ghostscript was started."""
    mark, folder = tmp_path / "started", tmp_path / "bin"
    folder.mkdir()
    for name in ("gs", "gswin32c", "gswin64c"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return mark


def class_folder(root, raw):
    for name, content in (("cat", raw), ("dog", encoded(pil(GRAY)[0]))):
        (root / name).mkdir(parents=True)
        (root / name / "1.png").write_bytes(content)
    return root, r"cat/1\.png is not a readable image"


def archive(root, raw):
    parts = [raw, encoded(pil(GRAY)[0])]
    arrays = {
        "train_bytes": np.frombuffer(b"".join(parts), np.uint8),
        "train_offsets": np.cumsum([0, *map(len, parts)]),
        "train_labels": [0, 1],
    }
    np.savez(root / "a.npz", **arrays)
    return root / "a.npz", r"a\.npz: image 0 of train is not a readable image"


def hf(root, raw, form="bytes"):
    (root / "x.png").write_bytes(raw)
    cell = {"bytes": raw, "path": "x.png"}
    if form == "path":
        cell = {"bytes": None, "path": str(root / "x.png")}
    rows = {"image": [cell, {"bytes": encoded(pil(GRAY)[0]), "path": None}]}
    kinds = {"image": datasets.Image(), "label": datasets.Value("int64")}
    data = datasets.Dataset.from_dict(
        {**rows, "label": [0, 1]}, features=datasets.Features(kinds)
    )
    return data, r"image 0 \(.*x\.png\) is not a readable image"


def hf_path(root, raw):
    return hf(root, raw, "path")


def hf_parquet(root, raw):
    hf(root, raw)[0].to_parquet(root / "a.parquet")
    files, cache = str(root / "a.parquet"), str(root / "cache")
    return (
        datasets.Dataset.from_parquet(files, cache_dir=cache),
        "image 0.*is not a readable image",
    )


@pytest.mark.parametrize("place", [class_folder, archive, hf, hf_path, hf_parquet])
@pytest.mark.parametrize("kind", list(OTHERS))
def test_other_formats_are_refused_and_start_nothing(place, kind, programs, tmp_path):
    (tmp_path / "data").mkdir()
    source, message = place(tmp_path / "data", OTHERS[kind])
    with pytest.raises(ValueError, match=message):
        as_images(source)
    assert not programs.exists()


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(kind):
    raw = encoded(PIL.Image.new("L", (8, 8), 200), kind)
    pixels = np.asarray(open_image(raw, "x").convert("L")).astype(int)
    assert pixels.shape == (8, 8)
    assert abs(pixels - 200).max() <= 2


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "x.png")  # to read it would wait for ever
    for path in (tmp_path / "x.png", tmp_path, tmp_path / "nothing.png"):
        with pytest.raises(ValueError, match=r"x is not a readable .*FileNotFound"):
            open_image(path, "x")


def test_images_are_opened_in_one_place():
    callers = [
        name
        for name, path in MODULES.items()
        if "Image.open" in path.read_text(encoding="utf-8")
    ]
    assert callers == ["multidd.images.data.files"]


# --- EXIF -------------------------------------------------------------------------


def turned(image, kind, orientation):
    """The bytes of a file that says how its picture must be turned."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_pictures_stand_upright_as_datasets_has_them(kind, orientation, tmp_path):
    x = np.zeros((16, 16, 3), np.uint8)
    x[:8], x[:, :4] = 255, 90
    raw = turned(PIL.Image.fromarray(x), kind, orientation)
    rows = {"image": [{"bytes": raw, "path": None}] * 2, "label": [0, 1]}
    data = datasets.Dataset.from_dict(rows).cast_column("image", datasets.Image())
    expected = np.asarray(data[0]["image"])
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(raw)
    for source in (data, tmp_path):
        pixels = as_images(source).x[0].permute(1, 2, 0).numpy()
        assert np.array_equal(pixels, expected)


# --- splits -----------------------------------------------------------------------


@pytest.mark.parametrize(("names", "name"), [(["test"], "test"), (["a", "b"], "a")])
def test_advice_is_a_split_that_is_there(names, name):
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=PETS)}
    part = datasets.Dataset.from_dict(
        {"image": pil(GRAY), "label": Y}, features=datasets.Features(features)
    )
    splits = datasets.DatasetDict(dict.fromkeys(names, part))
    with pytest.raises(TypeError, match=rf"such as data\['{name}'\]"):
        as_images(splits)
