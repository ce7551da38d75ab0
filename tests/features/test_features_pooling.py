import numpy as np

from facemargin.evaluation import Embeddings
from facemargin.features.pooling import pool_by_quality


def test_pooling_is_that_of_the_loops():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(9, 4))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    norms, quality = generator.uniform(1, 20, 9), generator.uniform(-0.2, 1, 9)
    quality[[2, 5]] = -1, -2  # group 1 is all of no quality: equal weights
    groups = np.array([0, 2, 1, 0, 2, 1, 2, 2, 0])
    pooled = pool_by_quality(Embeddings(*(x.astype(np.float32) for x in (vectors, norms, quality))), groups)
    for group in range(3):
        members = [index for index in range(9) if groups[index] == group]
        weights = [max(quality[index], 0) for index in members]
        if sum(weights) == 0:
            weights = [1.0] * len(members)
        mean = sum(w * vectors[i] for w, i in zip(weights, members, strict=True)) / sum(weights)
        np.testing.assert_allclose(pooled.vectors[group], mean / np.sqrt(sum(mean**2)), rtol=1e-4, atol=1e-6)
        for found, values in ((pooled.norms, norms), (pooled.quality, quality)):
            expected = sum(w * values[i] for w, i in zip(weights, members, strict=True)) / sum(weights)
            np.testing.assert_allclose(found[group], expected, rtol=1e-4)


def test_a_group_of_one_is_itself_and_opposites_have_no_direction():
    vectors = np.array([[1, 0], [0, 1], [0, -1]], np.float32)
    pooled = pool_by_quality(Embeddings(vectors, np.ones(3, np.float32), np.ones(3, np.float32)), np.array([0, 1, 1]))
    np.testing.assert_array_equal(pooled.vectors, [[1, 0], [0, 0]])
