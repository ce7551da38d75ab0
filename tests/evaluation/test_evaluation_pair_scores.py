import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.errors import DataError
from facemargin.evaluation.metrics import pair_scores as module
from facemargin.evaluation.metrics.pair_scores import pair_scores


def by_loops(vectors, first, second):
    return [
        float(np.dot(vectors[a].astype(np.float64), vectors[b].astype(np.float64)))
        for a, b in zip(first, second, strict=True)
    ]


@st.composite
def pairs(draw):
    """Vectors and pairs of them: of all, or of two disjoint sides, few or many."""
    vectors = draw(st.integers(2, 30))
    count = draw(st.integers(0, 200))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    cut = draw(st.integers(1, vectors - 1))
    low, high = ((0, cut), (cut, vectors)) if draw(st.booleans()) else ((0, vectors), (0, vectors))
    dtype = draw(st.sampled_from([np.int32, np.int64]))
    first, second = rng.integers(*low, count).astype(dtype), rng.integers(*high, count).astype(dtype)
    return rng.normal(size=(vectors, 5)), first, second


@given(
    pairs(),
    st.sampled_from([1, 7, 2**22]),
    st.sampled_from([1, 4, 2**12]),
    st.sampled_from([0, 3, 10**9]),
    st.sampled_from([1, 13, 2**20]),
)
def test_scores_are_dot_products_however_they_are_made(pairs, entries, columns, dense, chunk):
    vectors, first, second = pairs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_ENTRIES", entries)
        patch.setattr(module, "TILE_COLUMNS", columns)
        patch.setattr(module, "DENSE_PRODUCTS_A_PAIR", dense)
        patch.setattr(module, "PAIRS_A_CHUNK", chunk)
        np.testing.assert_allclose(pair_scores(vectors, first, second), by_loops(vectors, first, second), atol=1e-12)
        single = pair_scores(vectors.astype(np.float32), first, second)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, by_loops(vectors, first, second), atol=1e-5)


@pytest.mark.parametrize("columns", [7, 60])
@pytest.mark.parametrize("sides", ["same", "disjoint"])
def test_the_matrix_is_made_once_or_half_of_it(monkeypatch, sides, columns):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    first = rng.integers(0, 60 if sides == "same" else 20, 40_000)
    second = rng.integers(0 if sides == "same" else 20, 60, 40_000)
    monkeypatch.setattr(module, "BLOCK_ENTRIES", columns)  # tiles of one row
    monkeypatch.setattr(module, "TILE_COLUMNS", columns)
    products = []
    plain = module.torch.Tensor.__matmul__

    def counted(left, right):
        products.append(left.shape[0] * right.shape[1])
        return plain(left, right)

    monkeypatch.setattr(module.torch.Tensor, "__matmul__", counted)
    np.testing.assert_allclose(pair_scores(vectors, first, second), by_loops(vectors, first, second), atol=1e-5)
    assert sum(products) == (60 * 61 // 2 if sides == "same" else 20 * 40)


def test_rows_that_are_not_there_are_refused():
    for first, second in ([0, 2], [0, 0]), ([0, 0], [-1, 0]):
        with pytest.raises(DataError, match=r"row numbers .* expected 0 to 1"):
            pair_scores(np.eye(2), np.array(first), np.array(second))
    with pytest.raises(DataError, match=r"shapes \(2,\) and \(1,\)"):
        pair_scores(np.eye(2), np.array([0, 1]), np.array([0]))
