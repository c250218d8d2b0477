"""`InfiniteAE` as a dense system in double precision, and rows to try it on."""

import numpy as np
import torch
from scipy.sparse import csr_array

from multidd.kernels import infinite_kernel
from tests.recsys.worlds import two_tastes


def kernel(a, b, depth=1):
    """`[n, m]` in double precision."""
    first, second = (torch.from_numpy(x.toarray()).double() for x in (a, b))
    return infinite_kernel(first, second, depth=depth).numpy()


def reference(rows, histories, ridge, depth=1, weight=None):
    """Every row on its own, a system for numpy."""
    gram = kernel(rows, rows, depth)
    mass = np.ones(len(gram)) if weight is None else weight
    mean = (np.diag(gram) * mass).sum() / mass.sum()
    system = gram + ridge * mean * np.diag(1 / mass)
    dual = np.linalg.solve(system, rows.toarray().astype(float))
    return torch.from_numpy(kernel(histories, rows, depth) @ dual)


def fractional(seed=0):
    """Twenty rows with entries between zero and one, a fifth of them zero."""
    draws = np.random.default_rng(seed).random((20, 24), dtype=np.float32)
    return csr_array(np.where(draws < 0.2, 0, draws))


ROWS = {"ones": two_tastes(), "fractions": fractional()}
HISTORIES = two_tastes(30, seed=3)


def close(result, expected, **options):
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, **options)
