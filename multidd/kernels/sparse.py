"""Sparse rows: records with few nonzero entries, such as histories of items."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["SparseRows"]

CACHE = 2**23
"""Bytes of a dense matrix that stay near the processor while they are used."""


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A sparse matrix `[n, d]` in CSR form, with differentiable products.

    Gradients flow into the dense side of a product.

    Attributes:
        indptr: `[n + 1]` int64, where each row starts.
        indices: `[nnz]` int64, columns, ascending within a row, none twice.
        values: `[nnz]`, floating point.
        width: d.

    Example:
        >>> import scipy.sparse as sp
        >>> rows = SparseRows.of(sp.csr_array([[0.0, 2.0], [1.0, 0.0]]))
        >>> rows.inner(torch.eye(2)).tolist(), rows.squares.tolist()
        ([[0.0, 2.0], [1.0, 0.0]], [4.0, 1.0])
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    width: int

    @classmethod
    def of(cls, matrix: Any, dtype: torch.dtype = torch.float32) -> Self:
        """From a SciPy CSR matrix with sorted indices."""
        indptr = torch.from_numpy(matrix.indptr.astype("int64"))
        indices = torch.from_numpy(matrix.indices.astype("int64"))
        values = torch.from_numpy(matrix.data).to(dtype)
        return cls(indptr, indices, values, int(matrix.shape[1]))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, part: slice) -> "SparseRows":
        """Rows of a slice without a step."""
        start, stop, step = part.indices(len(self))
        if step != 1:
            raise ValueError(f"rows are taken in order, got a step of {step}")
        stop = max(start, stop)
        if (start, stop) == (0, len(self)):
            return self
        offsets = self.indptr[start : stop + 1]
        bounds = self.bounds[start : stop + 1]
        first, last = int(bounds[0]), int(bounds[-1])
        inside = slice(first, last)
        return SparseRows(
            offsets - first, self.indices[inside], self.values[inside], self.width
        ).with_bounds(bounds - first)

    @cached_property
    def bounds(self) -> Tensor:
        """`[n + 1]`, where each row starts, on the CPU; read once."""
        return self.indptr.cpu()

    def with_bounds(self, bounds: Tensor) -> Self:
        """The same rows; where each starts is known on the CPU."""
        if self.indptr.device.type != "cpu":
            self.__dict__["bounds"] = bounds
        return self

    @property
    def shape(self) -> torch.Size:
        """`[n, d]`."""
        return torch.Size((len(self), self.width))

    @property
    def counts(self) -> Tensor:
        """`[n]` int64, entries of each row."""
        return self.indptr.diff()

    @cached_property
    def rows(self) -> Tensor:
        """`[nnz]` int64, the row of each entry."""
        places = torch.arange(len(self), device=self.indptr.device)
        return places.repeat_interleave(self.counts, output_size=len(self.indices))

    @cached_property
    def sums(self) -> Tensor:
        """`[n]`, sum of each row."""
        return self._added(self.values)

    @cached_property
    def squares(self) -> Tensor:
        """`[n]`, squared length of each row."""
        return self._added(self.values.square())

    def to(self, device: str | torch.device) -> "SparseRows":
        """The same on another device."""
        if torch.device(device) == self.indptr.device:
            return self
        starts, columns = moved_together((self.indptr, self.indices), device)
        there = SparseRows(starts, columns, self.values.to(device), self.width)
        return there.with_bounds(self.bounds)

    def dense(self) -> Tensor:
        """`[n, d]`."""
        matrix = self.values.new_zeros(self.shape)
        matrix[self.rows, self.indices] = self.values
        return matrix

    def inner(self, dense: Tensor) -> Tensor:
        """Products with every row of a dense matrix.

        Args:
            dense: `[m, d]`, of the type of the values.

        Returns:
            `[n, m]`, differentiable in `dense`.
        """
        products = _Inner.apply(dense, self)
        assert isinstance(products, Tensor)
        return products

    def times(self, dense: Tensor) -> Tensor:
        """`[n, k]`, the matrix times a dense `[d, k]`; no gradient flows."""
        return _product(self._matrix, dense.detach())

    def transposed_times(self, dense: Tensor) -> Tensor:
        """`[d, k]`, the transposed matrix times a dense `[n, k]`; no gradient flows."""
        return _product(self._transposed, dense.detach())

    def _added(self, values: Tensor) -> Tensor:
        return values.new_zeros(len(self)).index_add(0, self.rows, values)

    @cached_property
    def _matrix(self) -> Tensor:
        return _csr(self.indptr, self.indices, self.values, self.shape)

    @cached_property
    def _transposed(self) -> Tensor:
        order = self.indices.argsort(stable=True)
        counts = _counts(self.indices, self.width)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        size = torch.Size((self.width, len(self)))
        return _csr(starts, self.rows[order], self.values[order], size)


def moved_together(
    tensors: Sequence[Tensor], device: str | torch.device
) -> list[Tensor]:
    """Tensors of one type on another device, by a single copy.

    Example:
        >>> moved_together((torch.tensor([1]), torch.tensor([[2, 3]])), "cpu")
        [tensor([1]), tensor([[2, 3]])]
    """
    flat = torch.cat([tensor.flatten() for tensor in tensors]).to(device)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [p.view(t.shape) for p, t in zip(parts, tensors, strict=True)]


def _counts(columns: Tensor, width: int) -> Tensor:
    """`[d]`, entries of each column."""
    if columns.device.type == "cpu":
        return torch.bincount(columns, minlength=width)
    # A device is waited for by `bincount`.
    counts = torch.zeros(width, dtype=torch.int64, device=columns.device)
    return counts.index_add_(0, columns, torch.ones_like(columns))


class _Inner(torch.autograd.Function):
    """Sparse rows times the rows of a dense matrix, and back."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, rows: SparseRows) -> Tensor:
        ctx.rows = rows
        return rows.times(dense.mT)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.rows.transposed_times(gradient.contiguous()).mT, None


def _product(sparse: Tensor, dense: Tensor) -> Tensor:
    """Some columns at a time: each entry of the sparse matrix reads a row of the dense
    one, which is fast where the processor's cache holds them all."""
    wide = max(64, CACHE // (len(dense) * dense.element_size()))
    if dense.shape[1] <= wide:
        return sparse @ dense
    product = dense.new_empty(sparse.shape[0], dense.shape[1])
    for start in range(0, dense.shape[1], wide):
        part = slice(start, start + wide)
        product[:, part] = sparse @ dense[:, part].contiguous()
    return product


def _csr(indptr: Tensor, indices: Tensor, values: Tensor, size: torch.Size) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Ss]parse CSR.*beta")
        return torch.sparse_csr_tensor(
            indptr, indices, values, size, check_invariants=False
        )
