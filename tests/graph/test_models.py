"""Every model against the forward of PyG's own layers, with the same weights."""

import numpy as np
import pytest
import torch
from torch_geometric.utils import add_self_loops

from multidd.graph.data.graph import as_graph
from multidd.graph.models.networks import MODELS, Inputs, build
from multidd.graph.models.propagation import Sparse

WIDTH = 32


def layers(name, model, x, edges, weight):
    """The same model, run by PyG."""
    if name == "sgc":
        return model.layer(x, edges, weight)
    looped = add_self_loops(edges, num_nodes=len(x))[0]
    arguments = {
        "gcn": (edges, weight),
        "appnp": (),
        "mlp": (),
        "sage": (looped,),
        "chebnet": (edges, weight, None, torch.tensor(2.0)),
        "gat": (edges,),
    }[name]
    hidden = model.first(x, *arguments).relu()
    out = model.second(hidden, *arguments)
    return model.propagation(out, edges, weight) if name == "appnp" else out


@pytest.fixture(params=[(40, False), (40, True), (8, False)], ids=str)
def world(request, make):
    """`(x, edges, weights of edges, adjacency)`: sparse or dense, features too."""
    size, sparse_features = request.param
    data = make(seed=3, size=size, train=2, val=2)
    rng = np.random.default_rng(5)
    if sparse_features:
        data.x *= torch.from_numpy(rng.random(data.x.shape) < 0.05)
    graph = as_graph(data)
    a = graph.adjacency
    a.data[:] = rng.uniform(0.2, 3.0, len(a.data))
    a = (a + a.T).tocoo()
    edges = torch.from_numpy(np.stack([a.row, a.col]).astype(np.int64))
    weight = torch.from_numpy(a.data.astype(np.float32))
    inputs = Inputs(graph.x, a)
    assert isinstance(inputs.gcn, Sparse) == (size == 40)
    assert isinstance(inputs.x, Sparse) == sparse_features
    return graph.x, edges, weight, inputs


def model_of(name, d, seed=0, dropout=0.5):
    rng = torch.Generator().manual_seed(seed)
    model = build(name, d, 3, rng, width=WIDTH, dropout=dropout)
    with torch.no_grad():
        for vector in model.parameters():
            if vector.dim() < 2:  # zero at the start: a test would not see them
                vector.uniform_(-1, 1, generator=rng)
    return model.eval()


@pytest.mark.parametrize("name", MODELS)
def test_forward_and_gradients_equal_those_of_pyg(name, world):
    x, edges, weight, inputs = world
    if name == "sage":  # PyG's has no weights of edges
        weight = torch.ones_like(weight)
        inputs.adjacency.data[:] = 1.0
    model = model_of(name, x.shape[1])
    ours, theirs = model(inputs), layers(name, model, x, edges, weight)
    assert ours.shape == (len(x), 3)
    assert ours.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    probe = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    parameters = dict(model.named_parameters())
    gradients = [
        torch.autograd.grad((out * probe).sum(), list(parameters.values()))
        for out in (ours, theirs)
    ]
    for key, one, other in zip(parameters, *gradients, strict=True):
        scale = float(other.abs().max())
        assert scale > 0, key
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * scale)


def test_sage_takes_the_weighted_mean_over_a_node_and_around(world):
    x, edges, weight, inputs = world
    layer = model_of("sage", x.shape[1]).first
    dense = torch.eye(len(x))
    dense[edges[0], edges[1]] += weight
    mean = dense / dense.sum(1, keepdim=True)
    expected = mean @ layer.lin_l(x) + layer.lin_r(x)
    expected = expected + (1 - mean.sum(1, keepdim=True)) * layer.lin_l.bias
    result = model_of("sage", x.shape[1]).hop(layer, inputs.x, inputs)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_no_edges(name, make):
    """Every model stays finite, and equals PyG's, where there is nothing to see."""
    data = make(size=8, train=2, val=2)
    data.edge_index = data.edge_index[:, :0]
    graph = as_graph(data)
    model = model_of(name, graph.x.shape[1])
    edges, weight = torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0)
    theirs = layers(name, model, graph.x, edges, weight)
    ours = model(Inputs(graph.x, graph.adjacency))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_dropout_is_drawn_by_the_generator_only(name, graph):
    model = model_of(name, graph.x.shape[1])
    model.train()  # PyG's own flag must not matter
    inputs = Inputs(graph.x, graph.adjacency)

    def out(seed=None):
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        return model(inputs, rng)

    with torch.no_grad():
        assert torch.equal(out(), out())
        assert torch.equal(out(1), out(1))
        if name != "sgc":  # has no hidden layer
            assert not torch.equal(out(1), out(2))
            assert not torch.equal(out(1), out())
            none = model_of(name, graph.x.shape[1], dropout=0.0)
            rng = torch.Generator().manual_seed(1)
            assert torch.equal(none(inputs, rng), none(inputs))


def test_dropout_keeps_the_mean(graph):
    model = model_of("mlp", graph.x.shape[1])
    inputs, rng = Inputs(graph.x, graph.adjacency), torch.Generator().manual_seed(0)
    with torch.no_grad():
        mean = sum(model(inputs, rng) for _ in range(2000)) / 2000
        gap = (mean - model(inputs)).abs().max() / model(inputs).abs().max()
    assert gap < 0.05


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_drawn_by_the_generator_only(name):
    before = torch.get_rng_state()
    one, same, other = (
        build(name, 12, 3, torch.Generator().manual_seed(s)).state_dict()
        for s in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert list(one) == list(same)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_glorot_and_vectors_zero(name):
    model = build(name, 50, 3, torch.Generator().manual_seed(0), width=64)
    for weight in model.parameters():
        if weight.dim() < 2:
            assert not weight.any()
        else:
            bound = (6 / (weight.shape[-1] + weight.shape[-2])) ** 0.5
            assert weight.abs().max() <= bound
            assert weight.abs().max() > (0.8 if weight.numel() > 50 else 0.5) * bound


def test_gat_divides_its_width_among_heads():
    model = build("gat", 12, 3, torch.Generator(), width=64)
    assert (model.first.heads, model.first.out_channels) == (16, 4)


def test_unknown_model():
    with pytest.raises(ValueError, match=r"model must be one of gcn, sgc, .*'gin'"):
        build("gin", 12, 3, torch.Generator())
