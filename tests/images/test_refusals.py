"""What a recipe for images refuses, before any work and by a message that helps.

The checks are those of setup and data; each file of methods is seen to make them.
"""

import pytest
import torch
from PIL import Image

import multidd
from multidd.errors import MultiddWarning
from multidd.images.methods import setup
from multidd.images.methods.options import ImageOptions
from multidd.images.methods.registry import LEARNED, METHODS
from multidd.images.tasks.image_task import ImageTask
from tests.methods.cases import CODED, families

TILED = ("m3d", "idm", "iid", "ncfm", "idc")
FAMILIES = families("images")

every = pytest.mark.parametrize("name", FAMILIES)
learned = pytest.mark.parametrize("name", [n for n in FAMILIES if n in LEARNED])


# --- bad input -----------------------------------------------------------------------


@pytest.fixture
def refused(monkeypatch, run):
    """A method refuses before it starts: neither loop nor training is reached."""

    def refused(name, data, message, error=ValueError, **options):
        def never(*_, **__):
            pytest.fail("work began before the refusal")

        with monkeypatch.context() as patch:
            for place in ("records", "weights", "batch"):
                patch.setattr(ImageTask, place, never)
            with pytest.raises(error, match=message):
                run(name, data, **options)

    return refused


X, Y = torch.zeros(9, 8, 8), [0, 1, 2] * 3


def nan():
    x = X.clone()
    x[4, 2, 2] = torch.nan
    return x


BAD_IMAGES = [
    ((torch.zeros(9, 64), Y), r"must be \[n, h, w\]"),
    ((torch.zeros(9, 2, 8, 8), Y), "channel axis"),
    ((X + 2.5, Y), r"0\.\.1, got 2\.5"),
    ((X - 0.5, Y), r"got -0\.5"),
    ((nan(), Y), "1 of 9 images hold NaN.*image 4"),
    ((X, Y[:-1]), "9 images have 8 labels"),
    ((X, [0] * 9), "one class"),
]


@every
def test_bad_images(refused, name):
    for data, message in BAD_IMAGES:
        refused(name, data, message)


@every
def test_a_class_without_images(refused, name):
    from datasets import ClassLabel, Dataset, Features
    from datasets import Image as Picture

    kinds = {"image": Picture(), "label": ClassLabel(names=["cat", "dog", "owl"])}
    shades = [Image.new("L", (8, 8), 20 * i) for i in range(4)]
    data = Dataset.from_dict(
        {"image": shades, "label": [0, 2, 2, 0]}, features=Features(kinds)
    )
    refused(name, data, "1 of 3 classes have no images: 'dog'")


@pytest.mark.parametrize("name", [n for n in METHODS if n not in CODED])
def test_more_of_a_class_than_there_is(small, refused, name):
    ipc = 17 if name not in TILED else 5
    refused(name, small, "class 'owl' has", ipc=ipc)


@pytest.mark.parametrize("factor", [2, 3])
def test_tiles_name_the_size_of_the_class_that_lacks_images(small, refused, factor):
    """16 owls are 16 owls, however many a tile takes."""
    ipc = 16 // factor**2 + 1
    refused("dm", small, "'owl' has 16", ipc=ipc, factor=factor)


def test_a_factor_too_large_for_a_class(small, refused):
    expected = "from 25 real ones, and class 'owl' has 16: take a smaller"
    refused("dm", small, expected, factor=5, ipc=1)


BAD_SETTINGS = [
    ({"init": "zeros"}, "init must be one of random, .*'zeros'"),
    ({"sampler": "all"}, "sampler must be 'class'.*'all'"),
    ({"labels": "onhot"}, "must be one of hard.*'onhot'"),
    ({"augment": "crop_twist"}, "operations are color.*'twist'"),
    ({"factor": 0}, "factor must be 1 or more, got 0"),
    ({"factor": 1.5}, "factor must be 1 or more, got 1.5"),
    ({"batch_size": 0}, "batch_size must be 1 or more, or None; got 0"),
]


@learned
def test_bad_settings(small, refused, name):
    for options, message in BAD_SETTINGS:
        refused(name, small, message, **options)


BAD_MODELS = [
    ({"model": "convnext"}, "model must be one of convnet, .*'convnext'"),
    ({"norm": "group"}, "norm must be one of instance.*'group'"),
    ({"depth": 9, "width": 4}, "depth must be between 1 and 3.*got 9"),
]


@learned
def test_bad_models(small, refused, name):
    """Known before a start is chosen, which may take minutes."""
    name = "frepo" if name == "kip" else name  # whose kernel is its model
    for options, message in BAD_MODELS:
        refused(name, small, message, **options)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("dc", {"distance": "l3"}, "distance must be one of cosine.*'l3'"),
        ("dsa", {"distance": "l2"}, "distance must be one of cosine.*'l2'"),
        ("dcc", {"distance": "l3"}, "distance must be one of cosine.*'l3'"),
        ("idc", {"distance": "l3"}, "distance must be one of cosine.*'l3'"),
        ("dc", {"matches_per_net": 0}, "matches_per_net must be 1 or more"),
        ("dc", {"net_steps": -1}, "net_steps 0 or more"),
        ("idm", {"pool_size": 0}, "pool_size must be 1 or more, got 0"),
        ("frepo", {"pool_size": 0}, "pool_size must be 1 or more, got 0"),
        ("rfad", {"num_models": 0}, "num_models must be 1 or more, got 0"),
        ("rfad", {"loss": "mae"}, "loss must be one of .*'cross_entropy'.* got 'mae'"),
        ("kip", {"architecture": "cnn"}, "'cnn'"),
        ("kip", {"kernel": "rbf"}, "'rbf'"),
        ("kip", {"depth": 0}, "depth must be a whole number from 1, got 0"),
        ("kip", {"ridge": -1.0}, "ridge must be 0 or more, got -1"),
        ("forgetting", {"epochs": 0}, "epochs and width must be 1 or more, got 0"),
    ],
    ids=str,
)
def test_bad_settings_of_one_method(small, refused, name, options, message):
    refused(name, small, message, **options)


@learned
def test_an_unknown_option_gets_the_known_ones(small, refused, name):
    refused(name, small, "has no setting stepz; .*augment.*zca", TypeError, stepz=1)


@every
def test_labels_that_are_not_numbers_from_zero(small, run, name):
    """Mapped, said once, and kept in the card."""
    values = torch.tensor([3, 5, 11])[small.labels]
    with pytest.warns(MultiddWarning, match="3 -> 0, 5 -> 1, 11 -> 2") as said:
        summary = run(name, (small.x, values))
    assert len([w for w in said if w.category is MultiddWarning]) == 1
    assert summary.card.source["labels"] == [3, 5, 11]
    assert summary.classes == ("3", "5", "11")
    assert summary.digest() == run(name, small).digest()


@every
def test_a_broken_file_is_named(tmp_path, refused, name):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(4):
            shade = Image.new("L", (8, 8), 30 * i)
            shade.save(tmp_path / kind / f"{i}.png")
    (tmp_path / "dog" / "2.png").write_bytes(b"no picture")
    refused(name, tmp_path, r"dog.2\.png")


def test_images_of_another_size_cannot_judge(make, run):
    summary = run("dm", make())
    with pytest.raises(ValueError, match="of 1 x 8 x 8, the test images are 1 x 12 x"):
        multidd.evaluate(summary, make(side=12))
    with pytest.raises(ValueError, match="of 1 x 8 x 8, the test images are 3 x 8 x 8"):
        multidd.evaluate(summary, make(channels=3))


def test_bad_images_cannot_judge(small, run, tmp_path):
    """What is wrong with images to test on, or to take rows from, is said too."""
    summary = run("random", small)
    good, x = (small.x, small.labels), small.pixels()
    x[4, 0, 2, 2] = torch.nan
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "3.png").write_bytes(b"no picture")
    for bad, message in [
        ((x, small.labels), "1 of 60 images hold NaN.*image 4"),
        ((small.pixels() * 3, small.labels), r"must lie in 0\.\.1"),
        ((small.x, small.labels + 1), r"labels hold \[3\] .*none of the 3 classes"),
        ((small.x[:9], small.labels), "9 images have 60 labels"),
        (tmp_path, r"0.3\.png is not a readable image"),
    ]:
        for on, train in ((bad, None), (good, bad)):
            with pytest.raises(ValueError, match=message):
                multidd.evaluate(summary, on, train=train)


def test_mapped_labels_are_known_when_judged(make, run, recwarn):
    """The summary says what labels mean: nothing is mapped, or said, again."""
    names = torch.tensor([30, 50, 11])
    train, test = make(), make((6, 9, 12), seed=1)
    with pytest.warns(MultiddWarning, match="11 -> 0, 30 -> 1, 50 -> 2"):
        summary = run("kmeans", (train.x, names[train.labels]))
    recwarn.clear()
    report = multidd.evaluate(
        summary,
        (test.x, names[test.labels]),
        train=(train.x, names[train.labels]),
        models=["kernel"],
        seeds=1,
        rows=["random"],
        cache=False,
    )
    assert report.accuracy("kernel") > 0.9
    assert list(report.per_class("kernel")) == ["11", "30", "50"]
    assert not [w for w in recwarn if issubclass(w.category, MultiddWarning)]


def test_setup_is_what_recipes_share(small):
    shared = setup.prepare(small, 2, None, ImageOptions())
    assert shared.parameterization.counts == (2, 2, 2)
    assert shared.seconds >= 0 and "kind" not in shared.settings
