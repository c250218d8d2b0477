"""Propagation against PyG's normalization, and its products against dense ones."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from multidd.graph.models.propagation import (
    Sparse,
    normalized,
    normalized_dense,
    operator,
    propagate,
)


@pytest.fixture
def weighted(graph):
    """The small graph with random symmetric weights."""
    noise = np.random.default_rng(0).uniform(0.1, 2.0, graph.adjacency.nnz)
    a = graph.adjacency.copy()
    a.data[:] = noise
    return sp.csr_array(a + a.T).astype(np.float32)


def test_normalized_is_that_of_pyg(weighted):
    coo = weighted.tocoo()
    edges = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
    index, weight = gcn_norm(edges, torch.from_numpy(coo.data), num_nodes=120)
    expected = torch.zeros(120, 120)
    expected[index[0], index[1]] = weight
    result = torch.from_numpy(normalized(weighted).toarray())
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-7)
    dense = normalized_dense(torch.from_numpy(weighted.toarray()))
    torch.testing.assert_close(dense, expected, rtol=1e-5, atol=1e-7)


def test_normalized_without_edges_is_the_identity():
    empty = sp.csr_array((4, 4), dtype=np.float32)
    assert np.array_equal(normalized(empty).toarray(), np.eye(4))
    assert torch.equal(normalized_dense(torch.zeros(4, 4)), torch.eye(4))


def test_normalized_dense_has_the_right_gradient():
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(5, 5, dtype=torch.float64, generator=rng).requires_grad_()
    assert torch.autograd.gradcheck(normalized_dense, a)


@pytest.mark.parametrize("hops", [0, 1, 2, 3])
@pytest.mark.parametrize("share", [1.0, 0.03], ids=["dense", "sparse"])
def test_propagate_is_a_power_of_the_operator(weighted, graph, hops, share):
    mask = np.random.default_rng(1).random(graph.x.shape) < share
    x = graph.x * torch.from_numpy(mask)
    before = x.clone()
    step = normalized(weighted).toarray().astype(np.float64)
    expected = np.linalg.matrix_power(step, hops) @ x.double().numpy()
    result = propagate(weighted, x, hops)
    assert result.dtype == torch.float32
    assert result.is_contiguous()
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(x, before)


@pytest.mark.parametrize("columns", [1, 7])
def test_sparse_product_and_its_gradient_equal_dense_ones(columns):
    result = sp.random_array((30, 20), density=0.05, rng=np.random.default_rng(0))
    result = sp.csr_array(result).astype(np.float32)  # not square, not symmetric
    sparse, dense = Sparse(result), torch.from_numpy(result.toarray())
    assert sparse.shape == (30, 20)
    rng = torch.Generator().manual_seed(0)
    right = torch.randn(20, columns, generator=rng).requires_grad_()
    probe = torch.randn(30, columns, generator=rng)
    torch.testing.assert_close(sparse @ right, dense @ right)
    (ours,) = torch.autograd.grad(((sparse @ right).square() * probe).sum(), right)
    (theirs,) = torch.autograd.grad(((dense @ right).square() * probe).sum(), right)
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs)


def test_sparse_product_takes_a_strided_gradient():
    sparse = Sparse(sp.csr_array(np.triu(np.ones((6, 6), np.float32))))
    right = torch.ones(6, 2, requires_grad=True)
    (sparse @ right).T.sum(1).sum().backward()  # an expanded gradient
    assert torch.equal(right.grad[:, 0], torch.arange(1.0, 7.0))


@pytest.mark.parametrize(("filled", "kind"), [(9, Sparse), (11, torch.Tensor)])
def test_operator_is_sparse_up_to_a_tenth(filled, kind):
    matrix = np.zeros(100, np.float32)
    matrix[:filled] = 2.0
    result = operator(sp.csr_array(matrix.reshape(10, 10)))
    assert isinstance(result, kind)
    product = result @ torch.ones(10, 1)
    assert float(product.sum()) == 2.0 * filled
