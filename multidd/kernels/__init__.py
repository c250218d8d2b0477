"""Kernels in closed form and from features, and regression with them."""

from multidd.kernels.gram import gram, gram_blocks
from multidd.kernels.infinite import InfiniteKernel, infinite_kernel
from multidd.kernels.ridge import (
    NumericalWarning,
    SolveError,
    predict,
    resolve,
    ridge_path,
    ridge_solve,
)
from multidd.kernels.sparse import SparseRows
from multidd.kernels.vectors import RBF, Linear, conjugate_kernel, random_feature_kernel

__all__ = [
    "RBF",
    "InfiniteKernel",
    "Linear",
    "NumericalWarning",
    "SolveError",
    "SparseRows",
    "conjugate_kernel",
    "gram",
    "gram_blocks",
    "infinite_kernel",
    "predict",
    "random_feature_kernel",
    "resolve",
    "ridge_path",
    "ridge_solve",
]
