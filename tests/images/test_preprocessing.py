"""Standardization and whitening: statistics, whiteness, exact inverses, tensors."""

import numpy as np
import pytest
import torch

from multidd.images.data import preprocessing
from multidd.images.data.images import as_images
from multidd.images.data.preprocessing import Preprocessing


def make_preprocessing(n=300, shape=(3, 5, 6), seed=0, dtype=np.uint8):
    """Images whose pixels are correlated with their neighbours."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, *shape)).cumsum(-1).cumsum(-2)
    x = x / x.max() * np.array([1.0, 0.6, 0.3])[: shape[0], None, None]
    x = (x * 255).astype(np.uint8) if dtype == np.uint8 else x.astype(dtype)
    return as_images((x, np.arange(n) % 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_statistics_are_those_of_each_channel(dtype, monkeypatch):
    monkeypatch.setattr(preprocessing, "CHUNK", 70)  # several chunks, the last short
    images = make_preprocessing(dtype=dtype)
    fitted = Preprocessing.fit(images)
    x = images.pixels().double()
    torch.testing.assert_close(
        fitted.mean.double(), x.mean((0, 2, 3)), rtol=1e-6, atol=0
    )
    std = x.std((0, 2, 3), correction=0)
    torch.testing.assert_close(fitted.std.double(), std, rtol=1e-6, atol=0)
    z = fitted.apply(images.pixels())
    assert float(z.mean((0, 2, 3)).abs().max()) < 1e-5
    assert float((z.std((0, 2, 3), correction=0) - 1).abs().max()) < 1e-5


def test_whitening_is_regularized_zca(monkeypatch):
    monkeypatch.setattr(preprocessing, "CHUNK", 70)
    images = make_preprocessing()
    plain, fitted = Preprocessing.fit(images), Preprocessing.fit(images, zca=True)
    flat = plain.apply(images.pixels()).flatten(1).double()
    covariance = torch.cov(flat.T)
    values, vectors = torch.linalg.eigh(covariance)
    expected = vectors @ torch.diag((values + 0.1) ** -0.5) @ vectors.T
    torch.testing.assert_close(
        fitted.whitening.double(), expected, rtol=1e-4, atol=1e-5
    )
    z = fitted.apply(images.pixels()).flatten(1).double()
    spectrum = torch.linalg.eigvalsh(torch.cov(z.T))
    torch.testing.assert_close(spectrum, values / (values + 0.1), rtol=1e-3, atol=1e-4)
    assert float(z.mean(0).abs().max()) < 1e-4


def test_whitening_takes_part_of_many_images(monkeypatch):
    monkeypatch.setattr(preprocessing, "ZCA_IMAGES", 100)
    images = make_preprocessing(300)
    part = images.subset(torch.arange(100) * 3)
    one, mean = Preprocessing.fit(images, zca=True), Preprocessing.fit(images).mean
    assert torch.equal(one.mean, mean)  # still of all of them
    plain = Preprocessing.fit(images)
    flat = plain.apply(part.pixels()).flatten(1)
    torch.testing.assert_close(one.center, flat.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("zca", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip(zca, dtype):
    fitted = Preprocessing.fit(make_preprocessing(), zca=zca)
    x = make_preprocessing(seed=1).pixels().to(dtype)
    before = x.clone()
    z = fitted.apply(x)
    back = fitted.invert(z)
    assert z.dtype == back.dtype == dtype
    assert float((back - x).abs().max()) < (1e-5 if dtype == torch.float32 else 1e-9)
    assert torch.equal(x, before)
    far = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)) * 3
    assert float((fitted.apply(fitted.invert(far)) - far).abs().max()) < 1e-4


@pytest.mark.parametrize("zca", [False, True])
def test_gradients_pass(zca):
    fitted = Preprocessing.fit(make_preprocessing(), zca=zca)
    x = make_preprocessing(4).pixels()[:1].double().requires_grad_()
    assert torch.autograd.gradcheck(fitted.apply, x)
    assert torch.autograd.gradcheck(fitted.invert, x)


@pytest.mark.parametrize("zca", [False, True])
def test_tensors_round_trip(zca):
    fitted = Preprocessing.fit(make_preprocessing(), zca=zca)
    tensors = fitted.tensors()
    assert len(tensors) == (4 if zca else 2)
    assert all(name.startswith("preprocessing.") for name in tensors)
    other = Preprocessing.of(tensors | {"x": torch.ones(1)})
    x = make_preprocessing(4).pixels()
    for one in (other, fitted.to("cpu")):
        assert torch.equal(one.apply(x), fitted.apply(x))
        assert torch.equal(one.invert(x), fitted.invert(x))
    assert fitted.describe()["zca"] == zca


def test_a_channel_that_never_varies():
    x = make_preprocessing().pixels()
    x[:, 1] = 0.25
    images = as_images((x, np.arange(len(x)) % 2))
    for zca in (False, True):
        fitted = Preprocessing.fit(images, zca=zca)
        z = fitted.apply(x)
        assert torch.isfinite(z).all()
        assert float((fitted.invert(z) - x).abs().max()) < 1e-5


def test_fewer_images_than_pixels():
    images = make_preprocessing(4)
    fitted = Preprocessing.fit(images, zca=True)
    x = images.pixels()
    assert float((fitted.invert(fitted.apply(x)) - x).abs().max()) < 1e-5


def test_fitting_reads_only_the_given_images():
    images = make_preprocessing()
    train, _ = images.split(0.5)
    one, whole = Preprocessing.fit(train), Preprocessing.fit(images)
    assert not torch.equal(one.mean, whole.mean)


def test_missing_tensors():
    with pytest.raises(
        ValueError, match=r"preprocessing\.mean .* missing; got \['x'\]"
    ):
        Preprocessing.of({"x": torch.ones(1)})


@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (3, 5, 6), (2, 3, 5, 7)])
def test_images_of_another_shape(shape):
    fitted = Preprocessing.fit(make_preprocessing(), zca=True)
    for turn in (fitted.apply, fitted.invert):
        with pytest.raises(ValueError, match="pixels (must be|are whitened)"):
            turn(torch.zeros(shape))


def test_raw_integers():
    with pytest.raises(
        ValueError, match=r"floating point \[b, 3, h, w\], got torch.uint8"
    ):
        Preprocessing.fit(make_preprocessing()).apply(make_preprocessing().x)


def test_repr():
    assert repr(Preprocessing.fit(make_preprocessing())) == "Preprocessing(3 channels)"
    assert (
        repr(Preprocessing.fit(make_preprocessing(), True))
        == "Preprocessing(3 channels, zca)"
    )


@pytest.mark.data("images/mnist")
def test_mnist_has_its_known_statistics():
    from multidd.images.data.benchmarks import load

    fitted = Preprocessing.fit(load("mnist").train)
    assert [round(float(v), 4) for v in (fitted.mean, fitted.std)] == [0.1307, 0.3081]
