"""Gradients by hand are those of autograd, and step back where they do not hold."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from multidd import seeds
from multidd.classes import by_class
from multidd.images.data.preprocessing import Preprocessing
from multidd.images.models import fast_convnet
from multidd.images.models.backbone import CHUNK, Backbone
from multidd.images.models.networks import build, draw
from multidd.images.tasks.image_task import ImageBatch, ImageTask
from multidd.learning.gradients import class_gradients, mean_gradients

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 16, 32)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
CLASSES = 4


def drawn(shape, width=5, depth=None, dtype=torch.float64, seed=0, norm="instance"):
    """A ConvNet and weights of which none is at its start (norms too)."""
    rng = seeds.at(seed, "fast")
    net = build("convnet", shape, CLASSES, rng, width=width, depth=depth, norm=norm)
    result = draw(net, rng, bias=0.2)
    weights = {
        name: (w + 0.3 * torch.randn(w.shape, generator=rng) * (w.dim() == 1)).to(dtype)
        for name, w in result.items()
    }
    return net.to(dtype).requires_grad_(False), weights


def images(shape, n=37, dtype=torch.float64, seed=0):
    """More than two chunks of the path by hand, the last one not full."""
    x = torch.randn(n, *shape, generator=seeds.at(seed, "x"))
    return x.to(dtype)


def losses(logits, targets, loss):
    if loss == "mse":
        return 0.5 * (logits - targets).square().sum(1)
    return -(logits.log_softmax(1) * targets).sum(1)


def by_autograd(net, weights, x, targets, mass, loss):
    leaves = {name: w.clone().requires_grad_() for name, w in weights.items()}
    logits = functional_call(net, leaves, (x,))
    total = losses(logits, targets, loss) @ mass
    gradients = torch.autograd.grad(total, list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True))


def close(ours, theirs, size):
    """Each weight to `size` of its largest gradient; biases before a norm exactly 0."""
    assert list(ours) == list(theirs)
    largest = max(float(t.abs().max()) for t in theirs.values())
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape
        if name.endswith("conv.bias"):
            assert not ours[name].any()
            assert expected.abs().max() < 1e-3 * largest
            continue
        scale = float(expected.abs().max())
        torch.testing.assert_close(
            ours[name],
            expected,
            rtol=size,
            atol=size * scale,
            msg=lambda m, n=name: n + m,
        )


@shapes
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_gradients_in_double(shape, loss, labels):
    """Soft targets are of any sign and sum; rows weigh differently, some nothing."""
    net, weights = drawn(shape)
    x, rng = images(shape), seeds.at(1, "targets")
    targets = torch.randn(len(x), CLASSES, generator=rng).double()
    if labels == "hard":
        targets = F.one_hot(targets.argmax(1), CLASSES).double()
    mass = torch.rand(len(x), generator=rng).double()
    mass[3] = 0
    ours = fast_convnet.gradients(weights, x, targets, mass, loss)
    close(ours, by_autograd(net, weights, x, targets, mass, loss), 1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@shapes
def test_single_precision(shape, loss):
    net, weights = drawn(shape, dtype=torch.float32)
    x = images(shape, dtype=torch.float32)
    targets = F.one_hot(torch.arange(len(x)) % CLASSES, CLASSES).float()
    mass = torch.full((len(x),), 1 / len(x))
    ours = fast_convnet.gradients(weights, x, targets, mass, loss)
    close(ours, by_autograd(net, weights, x, targets, mass, loss), 1e-4)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_every_depth_and_width(depth):
    shape, widths = (3, 16, 16), (2, 3, 4, 5)[:depth]
    net, weights = drawn(shape, width=widths, depth=depth)
    x = images(shape, 5)
    targets = torch.eye(CLASSES).double()[torch.arange(5) % CLASSES]
    mass = torch.full((5,), 0.2).double()
    ours = fast_convnet.gradients(weights, x, targets, mass, "mse")
    close(ours, by_autograd(net, weights, x, targets, mass, "mse"), 1e-12)


@pytest.mark.parametrize("layout", ["channels last", "strided", "one image"])
def test_every_layout(layout):
    shape = (3, 16, 32)
    net, weights = drawn(shape)
    x = images(shape, 4)
    if layout == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        x = x.transpose(2, 3).contiguous().transpose(2, 3)[::2]
    else:
        x = x[:1]
    targets, mass = torch.eye(CLASSES)[: len(x)].double(), torch.ones(len(x)).double()
    ours = fast_convnet.gradients(weights, x, targets, mass, "mse")
    close(ours, by_autograd(net, weights, x, targets, mass, "mse"), 1e-12)


def test_flat_images():
    """Equal pixels have no variance: the norm's own guard is the same one."""
    shape = (1, 8, 8)
    net, weights = drawn(shape)
    x = torch.full((3, *shape), 0.7).double()
    x[1, :, 2, 2] += 1e-5
    targets, mass = torch.eye(CLASSES)[:3].double(), torch.ones(3).double()
    ours = fast_convnet.gradients(weights, x, targets, mass, "mse")
    close(ours, by_autograd(net, weights, x, targets, mass, "mse"), 1e-10)


@pytest.mark.parametrize("last", [1, 2, 3, 4, 9])
def test_the_last_layers_only(make, last):
    task, weights = task_of(make, Backbone(width=4))
    one, batch = {n: w[0] for n, w in weights.items()}, task.batch(seeds.at(0, "b"))
    whole = task.features(one, batch)
    assert [layer.shape[1] for layer in whole] == [64, 16, 4, 3]
    for graph in (True, False):
        with torch.set_grad_enabled(graph):
            features = task.features(one, batch, last)
        assert len(features) == min(last, 4)
        for ours, theirs in zip(features, whole[-last:], strict=True):
            torch.testing.assert_close(ours, theirs)


def test_inputs_stay_as_they_are():
    net, weights = drawn((1, 28, 28))
    x, mass = images((1, 28, 28), 20), torch.full((20,), 0.05).double()
    targets = torch.eye(CLASSES).double()[torch.arange(20) % CLASSES]
    leaves = [*weights.values(), x, mass, targets]
    before = [t.clone() for t in leaves]
    fast_convnet.gradients(weights, x, targets, mass, "cross_entropy")
    assert all(torch.equal(a, b) for a, b in zip(leaves, before, strict=True))


def test_no_rows_no_gradient():
    _, weights = drawn((1, 8, 8))
    none = torch.zeros(0).double()
    x, targets = none.view(0, 1, 1, 1).expand(0, 1, 8, 8), none.view(0, 1).expand(0, 4)
    gradients = fast_convnet.gradients(weights, x, targets, none, "mse")
    assert all(
        gradients[n].shape == w.shape and not gradients[n].any()
        for n, w in weights.items()
    )


@pytest.mark.parametrize(
    "name, norm, shape, depth, expected",
    [
        ("convnet", "instance", (1, 28, 28), 3, True),
        ("convnet", "instance", (1, 28, 28), 4, True),
        ("convnet", "instance", (3, 28, 28), 2, True),
        ("convnet", "instance", (3, 28, 28), 3, False),
        ("convnet", "instance", (3, 30, 32), 2, False),
        ("convnet", "instance", (3, 32, 31), 1, False),
        ("convnet", "batch", (3, 32, 32), 3, False),
        ("convnet", "none", (3, 32, 32), 3, False),
        ("convnet", "layer", (3, 32, 32), 3, False),
        ("mlp", "instance", (3, 32, 32), 3, False),
        ("resnet18", "instance", (3, 32, 32), 0, False),
    ],
)
def test_where_it_fits(name, norm, shape, depth, expected):
    assert fast_convnet.fits(name, norm, torch.zeros(2, *shape), depth) == expected


# --- the task takes the fast path where there is one, autograd elsewhere --------------


def task_of(make, backbone, side=8, channels=1, **settings):
    images = make((9, 7, 5), channels, side)
    result = ImageTask(images, Preprocessing.fit(images), backbone, None, **settings)
    rng = seeds.at(0, "task")
    weights = result.weights(rng, 2)
    weights = {
        n: w + 0.2 * torch.randn(w.shape, generator=rng) for n, w in weights.items()
    }
    return result, weights


BACKBONES = [
    (Backbone(width=4), 8, True),
    (Backbone(width=4, norm="batch"), 8, False),
    (Backbone(width=4, norm="none"), 8, False),
    (Backbone(width=4), 12, False),
    (Backbone("mlp", width=8), 8, False),
]
backbones = pytest.mark.parametrize(
    "backbone, side, by_hand", BACKBONES, ids=["hand", "batch", "none", "odd", "mlp"]
)


@backbones
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_detached_gradients_are_the_differentiable_ones(
    make, backbone, side, by_hand, loss
):
    task, weights = task_of(make, backbone, side, loss=loss)
    batch = task.batch(seeds.at(0, "batch"))
    soft = torch.rand(len(batch.y), 3, generator=seeds.at(0, "soft"))
    for one in (batch, replace(batch, soft=soft)):
        classes = task.classes(one)
        single = {n: w[0] for n, w in weights.items()}
        assert (task.detached_gradients(single, one, classes) is not None) == by_hand
        for rows in (classes, classes.merged()):
            slow = class_gradients(task, weights, one, rows)
            quick = class_gradients(task, weights, one, rows, differentiable=False)
            for name, expected in slow.items():
                assert not quick[name].requires_grad
                expected = expected.detach()
                scale = float(expected.abs().max())
                torch.testing.assert_close(
                    quick[name], expected, rtol=1e-4, atol=1e-4 * scale + 1e-6
                )


@backbones
def test_mean_gradients_are_those_of_the_mean_loss(make, backbone, side, by_hand):
    task, weights = task_of(make, backbone, side)
    batch = task.batch(seeds.at(0, "batch"))
    gradients = mean_gradients(task, weights, batch)
    for k in range(2):
        leaves = {n: w[k].clone().requires_grad_() for n, w in weights.items()}
        mean = task.losses(leaves, batch).mean()
        expected = torch.autograd.grad(mean, list(leaves.values()))
        for name, theirs in zip(leaves, expected, strict=True):
            scale = float(theirs.abs().max())
            torch.testing.assert_close(
                gradients[name][k], theirs, rtol=1e-4, atol=1e-4 * scale + 1e-6
            )


def test_an_absent_class_has_gradient_zero(make):
    task, weights = task_of(make, Backbone(width=4))
    whole = task.batch(seeds.at(0, "batch"))
    batch = task.take(whole, (whole.y != 1).nonzero().flatten())
    quick = class_gradients(task, weights, batch, differentiable=False)
    slow = class_gradients(task, weights, batch)
    for name in weights:
        assert quick[name].shape == slow[name].shape == (2, 3, *weights[name].shape[1:])
        assert not quick[name][:, 1].any() and not slow[name][:, 1].any()
    assert quick["head.weight"][:, [0, 2]].any()


@backbones
@pytest.mark.parametrize("last", [None, 1, 2])
def test_features_with_and_without_a_graph(make, backbone, side, by_hand, last):
    """The same values either way, for more images than go through in one pass."""
    task, weights = task_of(make, backbone, side)
    one = {n: w[0] for n, w in weights.items()}
    x = torch.randn(CHUNK + 5, 1, side, side, generator=seeds.at(0, "x"))
    batch = ImageBatch(x, torch.arange(len(x)) % 3)
    with_graph = task.features(one, batch, last)
    with torch.no_grad():
        without = task.features(one, batch, last)
    assert len(with_graph) == len(without)
    for ours, theirs in zip(without, with_graph, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-3, atol=1e-4)


def test_a_class_by_hand_weighs_its_rows(make):
    """Rows of a class count by their weight, as a merged class does."""
    task, weights = task_of(make, Backbone(width=4))
    batch = task.batch(seeds.at(0, "batch"))
    mass = torch.rand(len(batch.y), generator=seeds.at(0, "mass"))
    classes = by_class(batch.y, 3, mass)
    quick = class_gradients(task, weights, batch, classes, differentiable=False)
    slow = class_gradients(task, weights, batch, classes)
    for name, expected in slow.items():
        torch.testing.assert_close(quick[name], expected.detach(), rtol=1e-3, atol=1e-5)
