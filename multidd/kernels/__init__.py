"""Kernels in closed form and from features, and regression with them."""

from multidd.kernels.features import conjugate_kernel, random_feature_kernel
from multidd.kernels.gram import gram, gram_blocks
from multidd.kernels.infinite import InfiniteKernel, infinite_kernel
from multidd.kernels.resolve import resolve
from multidd.kernels.ridge import (
    NumericalWarning,
    SolveError,
    predict,
    ridge_path,
    ridge_solve,
)
from multidd.kernels.sparse import SparseRows
from multidd.kernels.vectors import RBF, Linear

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
