"""Every kind of bad images is refused before any work, by a message that says where."""

import numpy as np
import pytest
import torch

from multidd.images.data.images import Images, as_images

Y = [0, 1, 1, 0]
GOOD = np.zeros((4, 8, 8), np.float32)


def refuses(message, x=GOOD, y=Y, error=ValueError, **options):
    with pytest.raises(error, match=message):
        as_images((x, y), **options)


# --- pixels -----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4,), (4, 64), (4, 1, 3, 8, 8)])
def test_number_of_axes(shape):
    refuses(r"must be \[n, h, w\].*got shape \[4.*reshape", np.zeros(shape))


@pytest.mark.parametrize("shape", [(4, 2, 8, 8), (4, 8, 8, 4), (4, 8, 8, 8)])
def test_no_channel_axis(shape):
    refuses("channel axis must be .* size 1 or 3.* alpha", np.zeros(shape))
    refuses("channel axis must be .*image 0 of shape", list(np.zeros(shape)))


@pytest.mark.parametrize("shape", [(4, 3, 8, 3), (4, 1, 8, 1), (4, 1, 8, 3)])
def test_ambiguous_channel_axis(shape):
    refuses(r"both the first and the last.*Images\(x, labels", np.zeros(shape))


def test_floats_out_of_range():
    x = GOOD.copy()
    x[2, 3, 4], x[1, 0, 0] = 2.5, -1.25
    refuses(r"0\.\.1, got -1\.25\.\.2\.5; hand raw pixels.*travels in the summary", x)
    refuses(r"got 0\.\.255; hand raw", GOOD + np.array([[0.0] * 7 + [255.0]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_finite(bad):
    x = GOOD.copy()
    x[1, 2, 3] = x[1, 2, 4] = x[3, 0, 0] = bad
    expected = r"2 of 4 images hold NaN or infinite.*image 1, 3 \(2 of the 64 .*image 1"
    refuses(expected, x)
    refuses(expected, list(x))
    refuses(expected, torch.from_numpy(x))


@pytest.mark.parametrize("bad", [-1, 256, 70000])
def test_integers_out_of_range(bad):
    x = np.zeros((4, 8, 8), np.int64)
    x[2, 1, 1] = bad
    low, high = min(bad, 0), max(bad, 0)
    refuses(rf"must lie in 0\.\.255, got {low}\.\.{high}", x)


def test_no_images():
    refuses("there are no pixels", np.zeros((0, 8, 8)), [])
    refuses("there are no images", [], [])


def test_pixels_that_are_no_numbers():
    refuses("must be numbers", np.array([["a"]]), Y, TypeError)
    refuses("must be numbers", GOOD.astype(complex), Y, TypeError)


def test_images_of_several_sizes():
    x = [np.zeros((8, 8)), np.zeros((8, 8)), np.zeros((8, 9))]
    refuses(r"image 0 is 8 x 8, image 2 is 8 x 9 \(height x width\)", x, Y)
    ragged = np.empty(3, dtype=object)
    ragged[:] = x
    refuses("image 0 is 8 x 8, image 2 is 8 x 9", ragged, Y)


@pytest.mark.parametrize("shape", [(8,), (1, 1, 8, 8), (3, 0, 8)])
def test_one_image_of_another_shape(shape):
    text = rf"image 1 has shape \[{', '.join(map(str, shape))}\]; an image is \[h, w\]"
    refuses(text, [np.zeros((8, 8)), np.zeros(shape)], [0, 1])


def test_images_of_several_types():
    x = [np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.float32)]
    refuses("image 0 is uint8, image 1 is float32", x, Y)


# --- labels -----------------------------------------------------------------------


@pytest.mark.parametrize("y", [[0, 1], [0, 1, 1, 0, 1]])
def test_lengths_differ(y):
    refuses(f"4 images have {len(y)} labels", GOOD, y)


def test_fractional_labels():
    refuses(r"2 are not, the first at image 1 \(0\.5\)", GOOD, [0, 0.5, 1, 1.5])
    refuses(r"1 are not, the first at image 3 \(nan\)", GOOD, [0, 1, 1, np.nan])


def test_labels_of_another_shape():
    refuses(r"got shape \[4, 2\]; for one-hot labels", GOOD, np.eye(2)[Y])
    refuses(r"labels must be \[n\]", GOOD, 3)


def test_labels_of_another_kind():
    expected = "integers or texts, all of one kind; got int, str"
    refuses(expected, GOOD, [0, "a", 2, 1], TypeError)
    refuses("got complex128", GOOD, np.array(Y, dtype=complex), TypeError)


def test_missing_labels():
    refuses(r"1 labels are missing, the first at image 2 \(None\)", y=[0, 1, None, 1])
    refuses(r"2 labels are missing, .* image 1 \(' '\)", y=["a", " ", "b", ""])


def test_one_class():
    refuses(r"one class \('3'\)", GOOD, [3, 3, 3, 3])


def test_unknown_label():
    expected = (
        r"labels hold \[5, 8\] \(first at image 2\).* none of the 3 .*\[0, 1, 4\]"
    )
    refuses(expected, GOOD, [0, 1, 5, 8], values=(0, 1, 4))


# --- forms ------------------------------------------------------------------------


@pytest.mark.parametrize("data", [None, 3, GOOD, (GOOD,), (GOOD, Y, Y), {"x": GOOD}])
def test_other_forms(data):
    with pytest.raises(TypeError, match=r"images must be a pair \(x, y\), a datasets"):
        as_images(data)


def test_images_are_checked_when_made():
    x, labels = torch.zeros(2, 1, 8, 8), torch.tensor([0, 1])
    names, values = ("a", "b"), (0, 1)
    assert len(Images(x, labels, names, values)) == 2
    for wrong, message in [
        ((x[:, 0], labels, names, values), "x must be"),
        ((x.double(), labels, names, values), "float64"),
        ((x, labels[:1], names, values), r"labels must be int64 \[2\]"),
        ((x, labels.int(), names, values), "got torch.int32"),
        ((x, labels + 1, names, values), r"must be 0\.\.1, got 1\.\.2"),
        ((x, labels, names, (0,)), "2 classes need 2 values, got 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            Images(*wrong)


@pytest.mark.parametrize("held", [0, 0.0, 1.0, 1.5, -2, True, "half"])
def test_held_out_shares(held):
    images = as_images((GOOD, Y))
    with pytest.raises(ValueError, match="hold out a share between 0 and 1"):
        images.split(held)


def test_held_out_too_few_or_too_many():
    images = as_images((GOOD, Y))
    with pytest.raises(ValueError, match="0.01 of 4 images is none"):
        images.split(0.01)
    with pytest.raises(ValueError, match="holds out 3 of 4 .*at most 2"):
        images.split(3)
