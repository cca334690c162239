from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders.reduction import fit_reduction


@pytest.fixture
def matrix() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(200, 6)) @ np.diag([9, 5, 2, 1, 0.5, 0.1]) + 3).astype(np.float32)


def test_principal_components_keep_the_variance(matrix):
    reduced = fit_reduction(matrix, "pca", 3).apply(matrix, normalize=False)
    values = np.sort(np.linalg.eigvalsh(np.cov(matrix.T)))[::-1]
    np.testing.assert_allclose(np.cov(reduced.T), np.diag(values[:3]), atol=1e-2)
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-4)


def test_whitening_gives_each_component_variance_one(matrix):
    reduced = fit_reduction(matrix, "whitening", 4).apply(matrix, normalize=False)
    np.testing.assert_allclose(np.cov(reduced.T), np.eye(4), atol=1e-3)


def test_the_map_is_stored_as_it_is_applied(tmp_path, matrix):
    reduction = fit_reduction(matrix, "pca", 2)
    (tmp_path / "r.npz").write_bytes(reduction.to_bytes())
    with np.load(tmp_path / "r.npz") as stored:
        other = (matrix[:3] - stored["mean"]) @ stored["components"]
    np.testing.assert_allclose(reduction.apply(matrix[:3], normalize=False), other, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(reduction.apply(matrix, normalize=True), axis=1), 1, rtol=1e-5)


def test_a_size_beyond_the_dimensions_of_the_vectors_is_refused(matrix):
    with pytest.raises(
        UserError, match="embedding_reduction_size is 7, but there are 200 item vectors of 6 dimensions"
    ):
        fit_reduction(matrix, "pca", 7)
