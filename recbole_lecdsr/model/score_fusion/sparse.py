"""Products of sparse rows with constant sparse matrices: by SciPy on a CPU, by torch elsewhere.

Torch's own product of two sparse matrices takes a multiple of SciPy's time on a CPU, or needs MKL.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn


class SparseRows:
    """Some sparse rows: a SciPy matrix on a CPU, a sparse tensor of torch elsewhere.

    Args:
        rows: (R, n) float32, ``scipy.sparse.csr_array`` or sparse COO tensor.
    """

    def __init__(self, rows: scipy.sparse.csr_array | Tensor):
        self.rows = rows

    @classmethod
    def from_entries(cls, row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> SparseRows:
        """Rows with the given entries, (E,) each, rows ascending; those of the same place are summed in products."""
        if value.device.type == "cpu":
            start = torch.searchsorted(row, torch.arange(shape[0] + 1), out_int32=True)
            parts = value.numpy(), column.int().numpy(), start.numpy()
            return cls(scipy.sparse.csr_array(parts, shape=shape))
        return cls(torch.sparse_coo_tensor(torch.stack([row, column]), value, shape, check_invariants=False))

    def dense(self) -> Tensor:
        """(R, n) float32."""
        return self.rows.to_dense() if isinstance(self.rows, Tensor) else torch.from_numpy(self.rows.toarray())

    def transposed_dense(self) -> Tensor:
        """(n, R) float32, contiguous."""
        if isinstance(self.rows, Tensor):
            return self.rows.to_dense().T.contiguous()
        return torch.from_numpy(self.rows.T.tocsr().toarray())


class SparseMatrix(nn.Module):
    """A constant (n, m) matrix, in buffers that move with the model and are no part of its checkpoint.

    Example:
        >>> matrix = SparseMatrix(scipy.sparse.csr_array(np.array([[0, 2], [1, 0]], dtype=np.float32)))
        >>> one = torch.tensor([0])
        >>> matrix(SparseRows.from_entries(one, one, torch.ones(1), (1, 2))).dense()
        tensor([[0., 2.]])
    """

    row_start: Tensor
    column: Tensor
    value: Tensor

    def __init__(self, matrix: scipy.sparse.csr_array):
        super().__init__()
        self.shape: tuple[int, int] = matrix.shape
        index = np.int32 if matrix.nnz < np.iinfo(np.int32).max else np.int64
        self.register_buffer("row_start", torch.from_numpy(matrix.indptr.astype(index)), persistent=False)
        self.register_buffer("column", torch.from_numpy(matrix.indices.astype(index)), persistent=False)
        self.register_buffer("value", torch.from_numpy(matrix.data.astype(np.float32)), persistent=False)

    def forward(self, rows: SparseRows) -> SparseRows:
        """``rows @ matrix``: (R, n) -> (R, m)."""
        if isinstance(rows.rows, Tensor):
            row = torch.repeat_interleave(self.row_start.diff())
            entry = torch.stack([row, self.column.long()])
            matrix = torch.sparse_coo_tensor(entry, self.value, self.shape, check_invariants=False)
            return SparseRows(torch.sparse.mm(rows.rows, matrix))
        parts = self.value.numpy(), self.column.numpy(), self.row_start.numpy()
        return SparseRows(rows.rows @ scipy.sparse.csr_array(parts, shape=self.shape))
