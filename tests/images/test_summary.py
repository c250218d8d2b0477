"""`ImageSummary`: its tensors, labels and bytes, and the way through a file."""

import json
import re
import struct
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import multidd
from multidd.errors import SchemaError
from multidd.images import ImageSummary, Preprocessing
from multidd.images.methods.budget import item_bytes
from multidd.storage import files

KINDS = {
    "real": ("random", {}),
    "whitened": ("kmeans", {"zca": True}),
    "soft": ("dm", {"labels": "onehot"}),
    "centered": ("kip", {"zca": True}),
    "tiles": ("idc", {}),
    "soft tiles": ("dc", {"labels": "onehot", "factor": 2}),
}
SOFT = ("soft", "centered", "soft tiles")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def summary(kind, small, run):
    """Two images for each of three classes, with every kind of label and decoder."""
    name, options = KINDS[kind]
    return run(name, small, **options)


# --- tensors -------------------------------------------------------------------------


def test_what_models_are_trained_on(summary, kind):
    x, y = summary.to_tensors()
    count = 24 if "tiles" in kind else 6
    assert (x.dtype, x.shape) == (torch.float32, (count, 1, 8, 8))
    assert summary.num_images == count and summary.num_classes == 3
    hard = torch.arange(3).repeat_interleave(count // 3)
    if kind not in SOFT:
        assert summary.card.labels == "hard"
        assert y.dtype == torch.int64 and torch.equal(y, hard)
        return
    assert summary.card.labels == ("centered" if kind == "centered" else "soft")
    assert y.dtype == torch.float32 and y.shape == (count, 3)
    assert torch.equal(summary.tensors["y"], torch.arange(3).repeat_interleave(2))
    total = torch.zeros(6) if kind == "centered" else torch.ones(6)
    start = F.one_hot(hard, 3).float() - (1 / 3 if kind == "centered" else 0)
    assert (y - start).abs().max() < 0.5  # a few steps from one-hot labels
    if kind == "soft":  # whose loss is blind to labels
        torch.testing.assert_close(y.sum(1), total)


def test_tensors_are_new(summary):
    digest = summary.digest()
    for part in summary.to_tensors():
        part.zero_()
    summary.pictures().zero_()
    summary.to_dataset()
    assert summary.digest() == digest


def test_the_space_is_that_of_real_images(small, run):
    x, y = run("random", small, ipc=16).to_tensors()
    owls = small.subset((small.labels == 2).nonzero().flatten())
    pixels = owls.pixels().double()
    whole = small.pixels().double()
    expected = (pixels - whole.mean()) / whole.std(correction=0)
    gaps = torch.cdist(x[y == 2].flatten(1).double(), expected.flatten(1))
    assert gaps.min(1).values.max() < 1e-4 and gaps.min(0).values.max() < 1e-4


def test_tiles_are_decoded(small, run):
    """Each quarter of a stored image is one image: here of one shade."""
    stored = run("random", small)
    shades = torch.arange(24.0).view(6, 1, 2, 2)
    x = shades.repeat_interleave(4, 2).repeat_interleave(4, 3)
    card = replace(stored.card, decoder={"kind": "tiles", "factor": 2})
    summary = ImageSummary(dict(stored.tensors) | {"x": x}, card)
    x, y = summary.to_tensors()
    assert y.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    expected = torch.arange(24.0)[:, None, None, None].expand(24, 1, 8, 8)
    torch.testing.assert_close(x, expected)
    assert summary.num_bytes == stored.num_bytes


def test_names_and_sizes(small, run):
    summary = run("random", small)
    assert summary.classes == ("cat", "dog", "owl") and summary.shape == (1, 8, 8)
    unnamed = replace(summary.card, source={**summary.card.source, "names": None})
    assert ImageSummary(summary.tensors, unnamed).classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("real", r"random, images=6, 1 x 8 x 8, classes=3, labels=hard, 1 for 10"),
        ("centered", r"kip, images=6, 1 x 8 x 8, classes=3, labels=centered, 1 for 10"),
        ("tiles", r"idc, images=6, decoded to 24, 1 x 8 x 8, .*hard, 1 for 10"),
    ],
    indirect=["kind"],
)
def test_repr_is_one_line_of_what_matters(summary, message):
    rest = r" of 60 real images, 2 KiB, \d+\.\d s"
    assert re.fullmatch(rf"ImageSummary\({message}{rest}\)", repr(summary))


# --- bytes and files -----------------------------------------------------------------


def test_bytes_are_those_in_the_file(summary, kind, tmp_path):
    """Pixels and labels are counted, the preprocessing of the data is not; the file
    holds both and nothing else but its card."""
    soft = 3 if kind in SOFT else 0
    assert summary.num_bytes == 6 * item_bytes((1, 8, 8), soft=soft)
    raw = summary.save(tmp_path).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    head = json.loads(raw[8 : 8 + size])
    spans = {n: h["data_offsets"] for n, h in head.items() if n != "__metadata__"}
    stored = {n: last - first for n, (first, last) in spans.items()}
    total = sum(b for n, b in stored.items() if not n.startswith("preprocessing."))
    assert total == summary.num_bytes
    assert 8 + size + sum(stored.values()) == len(raw)
    zca = KINDS[kind][1].get("zca", False)
    assert sum(stored.values()) - total == 8 + (4 * (64 * 64 + 64) if zca else 0)


def test_what_models_see_comes_back_from_a_file(summary, tmp_path):
    again = multidd.load(summary.save(tmp_path))
    for one, other in zip(again.to_tensors(), summary.to_tensors(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.pictures(), summary.pictures())


# --- from tensors --------------------------------------------------------------------


VIEWS = {"y_views": torch.full((6, 2, 3), 0.5).half(), "view_seeds": torch.arange(2)}


@pytest.mark.parametrize(
    ("change", "augment", "message"),
    [
        ({}, "flip", None),
        ({"view_seeds": None}, "flip", "'y_views' without a tensor 'view_seeds'"),
        (
            {"y_views": VIEWS["y_views"][:5]},
            "flip",
            "a row for each of 6 decoded",
        ),
        ({}, None, "card.settings.relabelled.augment is missing; tensor 'y_views' ne"),
        ({}, "spin", "card.settings.relabelled.augment is 'spin': "),
    ],
)
def test_views_that_do_not_fit(small, run, tmp_path, change, augment, message):
    path = run("dm", small).save(tmp_path)
    tensors, info = files.read(path)
    tensors = {n: t for n, t in (tensors | VIEWS | change).items() if t is not None}
    relabelled = {} if augment is None else {"augment": augment}
    info["card"]["settings"]["relabelled"] = relabelled
    files.write(path, tensors, info, kind="images")
    if message is None:
        assert torch.equal(multidd.load(path).tensors["y_views"], VIEWS["y_views"])
        return
    with pytest.raises(SchemaError, match=message):
        multidd.load(path)


def test_from_tensors_gives_back_the_same(summary, kind):
    x, y = summary.to_tensors()
    again = ImageSummary.from_tensors(
        x,
        y,
        source=summary.card.source,
        method="mine",
        preprocessing=summary.preprocessing,
        labels=summary.card.labels,
    )
    assert again.card.method == "mine" and again.card.labels == summary.card.labels
    assert again.classes == summary.classes
    for one, other in zip(again.to_tensors(), (x, y), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.pictures(), summary.pictures())
    if "tiles" not in kind and kind != "centered":
        assert again.digest() == summary.digest()
    x.zero_()
    assert again.tensors["x"].any()


def test_from_tensors_without_preprocessing(small):
    """x lies in the space of raw pixels, and so do real images."""
    x, y = small.pixels(), small.labels
    description = ImageSummary.from_tensors(x, y, source=small.describe(), method="all")
    assert torch.equal(description.transform(small.x), x)
    assert torch.equal(description.pictures(), x) and description.card.labels == "hard"
    report = multidd.evaluate(
        description, small, models=["kernel"], seeds=1, rows=[], progress=False
    )
    assert report.accuracy("kernel") > 0.95


X, HARD = torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 2])


@pytest.mark.parametrize(
    ("x", "y", "labels", "message"),
    [
        (X[:, :, :6], HARD, None, r"x must be \[3, 1, 8, 8\].*got \[3, 1, 6, 8\]"),
        (X[:2], HARD, None, r"one image for each label.*got \[2, 1, 8, 8\]"),
        (X[:0], HARD[:0], None, "at least one"),
        (X.byte(), HARD, None, "x must be floating point.*uint8"),
        (X, HARD + 1, None, r"y must be 0\.\.2, got 1\.\.3"),
        (X, HARD.float(), None, r"whole numbers \[m\], or floats \[m, 3\]; got"),
        (X, torch.eye(4)[:3], None, r"floats \[m, 3\]; got torch.float32 \[3, 4\]"),
        (X, HARD, "soft", "labels must be 'hard' for y .*'soft' for y"),
        (X, torch.eye(3), "hard", "labels must be 'hard' for y .*'hard' for y"),
        (X, torch.eye(3), "fuzzy", "labels must be .*'fuzzy'"),
    ],
)
def test_from_tensors_that_do_not_fit(small, x, y, labels, message):
    with pytest.raises(ValueError, match=message):
        ImageSummary.from_tensors(
            x, y, source=small.describe(), method="mine", labels=labels
        )


@pytest.mark.parametrize("lacking", ["images", "classes", "shape", "labels"])
def test_from_tensors_needs_the_sizes_of_the_source(small, lacking):
    source = small.describe()
    del source[lacking]
    with pytest.raises(ValueError, match=f"source lacks {lacking}$"):
        ImageSummary.from_tensors(X, HARD, source=source, method="mine")


def test_the_summary_keeps_copies(small):
    x, y = small.pixels(), small.labels.clone()
    fitted = Preprocessing.fit(small)
    description = ImageSummary.from_tensors(
        x, y, source=small.describe(), method="all", preprocessing=fitted
    )
    digest = description.digest()
    x.zero_(), y.zero_(), fitted.mean.zero_()
    assert description.digest() == digest
