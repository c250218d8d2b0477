"""Image models: shapes, draws, derivatives, and that no global generator is touched."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from multidd.images.models.autoencoder import Autoencoder
from multidd.images.models.convnet import NORMS, ConvNet, halve, norm_layer
from multidd.images.models.networks import MODELS, build, draw
from multidd.seeds import at

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 64, 64)]
SMALL = {"resnet18": 8, "vgg11": 8, "alexnet": 8, "convnet": 8, "vit": 16, "mlp": 16}


def make_model(name: str, shape: tuple, **settings: object) -> nn.Module:
    settings.setdefault("width", SMALL.get(name))
    return build(name, shape, 7, at(0, "net"), **settings)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_logits_and_layers(name: str, shape: tuple) -> None:
    net, x = make_model(name, shape), torch.zeros(3, *shape)
    logits, layers = net(x), net(x, layers=True)
    assert logits.shape == (3, 7) and torch.equal(layers[-1], logits)
    assert all(one.shape[0] == 3 and one.dim() == 2 for one in layers)
    torch.testing.assert_close(net.head(layers[-2]), logits)


@pytest.mark.parametrize("name", MODELS)
def test_images_are_told_apart_and_taken_alone(name: str) -> None:
    net = make_model(name, (1, 28, 28))
    x = torch.rand(4, 1, 28, 28, generator=at(0, "x"))
    whole = net(x)
    assert whole.std(0).min() > 1e-4
    torch.testing.assert_close(net(x[1:2]), whole[1:2], atol=1e-5, rtol=1e-4)


def test_the_convnet_of_the_field() -> None:
    net = build("convnet", (1, 28, 28), 10, at(0, "net"))
    sizes = [f.shape[1] for f in net(torch.zeros(1, 1, 28, 28), layers=True)]
    assert sizes == [128 * 16 * 16, 128 * 8 * 8, 128 * 4 * 4, 10]
    assert sum(p.numel() for p in net.parameters()) == 317_706
    net = build("convnet", (3, 32, 32), 10, at(0, "net"))
    assert sum(p.numel() for p in net.parameters()) == 320_010


def test_the_convnet_by_hand() -> None:
    net = make_model("convnet", (3, 12, 12), depth=2)
    x = torch.rand(2, 3, 12, 12, generator=at(0, "x"))
    h = x
    for block in net.blocks:
        h = F.conv2d(h, block.conv.weight, block.conv.bias, padding=1)
        h = (h - h.mean((2, 3), keepdim=True)) / (
            h.var((2, 3), keepdim=True, correction=0) + 1e-5
        ).sqrt()
        h = F.avg_pool2d(h.relu(), 2)
    expected = F.linear(h.flatten(1), net.head.weight, net.head.bias)
    torch.testing.assert_close(net(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("side", "depth"), [(8, 3), (28, 3), (32, 3), (64, 4)])
def test_depth_follows_the_size(side: int, depth: int) -> None:
    assert len(make_model("convnet", (1, side, side)).blocks) == depth


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 3, 9, 7), (1, 1, 2, 3)])
def test_halve_is_mean_pooling(shape: tuple) -> None:
    x = torch.rand(*shape, generator=at(0, "x"), dtype=torch.float64)
    torch.testing.assert_close(halve(x), F.avg_pool2d(x, 2))
    slope = torch.rand(halve(x).shape, generator=at(1, "x"), dtype=torch.float64)
    grads = (slope.requires_grad_(),)
    assert torch.autograd.gradgradcheck(halve, (x.requires_grad_(),), grads)


def test_widths_of_each_block() -> None:
    net = make_model("convnet", (1, 16, 16), width=(4, 8, 12))
    assert [b.conv.out_channels for b in net.blocks] == [4, 8, 12]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["convnet", "alexnet", "vgg11", "resnet18"])
def test_norms(name: str, norm: str) -> None:
    net = make_model(name, (1, 28, 28), norm=norm)
    x = torch.rand(4, 1, 28, 28, generator=at(0, "x"))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    first = net(x)
    assert torch.equal(net(x), first) and torch.equal(net.eval()(x), first)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_batch_norm_that_keeps_statistics() -> None:
    net = make_model("convnet", (1, 28, 28), norm="batch", running=True)
    x = 5 + torch.rand(8, 1, 28, 28, generator=at(0, "x"))
    train = net(x)
    norm = net.blocks[0].norm
    assert norm.running_mean.abs().max() > 0 and int(norm.num_batches_tracked) == 1
    assert not torch.allclose(net.eval()(x), train)
    torch.testing.assert_close(net(x[:1]), net(x)[:1], atol=1e-5, rtol=1e-4)


# --- draws ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_weights_repeat_and_no_global_generator_draws(name: str) -> None:
    state = torch.get_rng_state()
    one, same = make_model(name, (1, 28, 28)), make_model(name, (1, 28, 28))
    other = build(name, (1, 28, 28), 7, at(1, "net"), width=SMALL.get(name))
    assert torch.equal(state, torch.get_rng_state())
    ours, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    for key, value in same.named_parameters():
        assert torch.equal(ours[key], value) and torch.isfinite(value).all()
    assert not torch.equal(ours["head.weight"], theirs["head.weight"])


@pytest.mark.parametrize("name", MODELS)
def test_drawn_parameters_run_the_module(name: str) -> None:
    net = make_model(name, (1, 28, 28))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    drawn = draw(net, at(5, "draw"))
    assert list(drawn) == [k for k, _ in net.named_parameters()]
    x = torch.rand(2, 1, 28, 28, generator=at(0, "x"))
    result = functional_call(net, drawn, (x,), {"layers": True})
    assert not torch.allclose(result[-1], net(x))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    again = build(name, (1, 28, 28), 7, at(5, "draw"), width=SMALL.get(name))
    assert all(torch.equal(drawn[k], v) for k, v in again.named_parameters())


@pytest.mark.parametrize("part", [nn.Linear(50, 400), nn.Conv2d(6, 300, 3)])
@pytest.mark.changes_globals(reason="PyTorch's own layers draw from its generator")
def test_default_distributions_are_those_of_pytorch(part: nn.Module) -> None:
    drawn = draw(part, at(0, "draw"))
    for name, result in part.named_parameters():
        bound = 1 / math.sqrt(part.weight[0].numel())
        assert drawn[name].abs().max() <= bound >= result.abs().max()
        assert drawn[name].std() == pytest.approx(result.std().item(), rel=0.1)
        assert drawn[name].std() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_gaussian_draws() -> None:
    part = nn.Conv2d(16, 64, 3, device="meta")
    drawn = draw(part, at(0, "draw"), init="gaussian", bias=0.1)
    assert drawn["weight"].std() == pytest.approx(math.sqrt(2 / 144), rel=0.05)
    assert drawn["bias"].std() == pytest.approx(0.1, rel=0.3)
    plain = draw(part, at(0, "draw"), init="gaussian")
    assert torch.equal(plain["bias"], torch.zeros(64))
    norm = draw(norm_layer("instance", 4), at(0, "draw"), init="gaussian")
    assert torch.equal(norm["weight"], torch.ones(4))
    assert torch.equal(norm["bias"], torch.zeros(4))


# --- derivatives ----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_gradient_of_a_gradient(name: str) -> None:
    """What gradient matching needs: the weights' gradient, differentiated by images."""
    side = 32 if name == "vgg11" else 12
    width = {"vit": 4, "mlp": 4, "lenet": 3}.get(name, 2)
    net = build(name, (1, side, side), 2, at(0, "net"), width=width).double()
    x = torch.rand(2, 1, side, side, generator=at(0, "x"), dtype=torch.float64)
    way = torch.randn(x.shape, generator=at(0, "way"), dtype=torch.float64)
    expected = 1e-6

    def size(moved: Tensor) -> Tensor:
        loss = F.cross_entropy(net(moved), torch.tensor([0, 1]))
        gradients = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
        return sum(g.square().sum() for g in gradients)  # type: ignore[return-value]

    start = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(size(start), start)
    ours = float((slope * way).sum())
    far, near = size(x + expected * way), size(x - expected * way)
    measured = float((far - near).detach() / (2 * expected))
    assert ours == pytest.approx(measured, rel=1e-4, abs=1e-7)


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "settings", "message"),
    [
        ("kan", (1, 28, 28), {}, "model must be one of convnet, mlp.*'kan'"),
        ("convnet", (1, 28, 28), {"norm": "group"}, "norm must be one of.*'group'"),
        ("convnet", (28, 28), {}, "shape must be"),
        ("convnet", (1, 8, 8), {"depth": 4}, "between 1 and 3 for images of 8 x 8"),
        ("convnet", (1, 8, 8), {"width": (4, 4), "depth": 3}, "3 blocks need 3 widths"),
        ("vgg11", (3, 16, 16), {}, "takes images of 32 x 32"),
        ("lenet", (1, 28, 28), {"depth": 2}, "depth of lenet is fixed"),
        ("vit", (1, 28, 28), {"width": 30}, "multiple of 4.*got 30"),
    ],
)
def test_refusals(name: str, shape: tuple, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, shape, 10, at(0, "net"), **settings)


def test_settings_of_parts() -> None:
    with pytest.raises(ValueError, match="norm must be one of .*; got 'group'"):
        norm_layer("group", 8)
    for name in ("channels", "width", "steps"):
        with pytest.raises(ValueError, match="channels, width and steps must be 1"):
            Autoencoder(**{name: 0})


def test_classes_must_be_there() -> None:
    with pytest.raises(ValueError, match="classes must be 1 or more"):
        build("mlp", (1, 8, 8), 0, at(0, "net"))
    with pytest.raises(ValueError, match="init must be"):
        draw(nn.Linear(1, 1, device="meta"), at(0, "draw"), init="xavier")


def test_models_may_be_made_without_build() -> None:
    with torch.device("meta"):
        assert ConvNet((1, 8, 8), 3)(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
