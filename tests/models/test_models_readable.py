from dataclasses import replace

import numpy as np
import pytest

from facemargin.data.source import ImageSource
from facemargin.errors import CorruptImageError, DataError
from facemargin.models.readable import embed_readable
from tests.models.tiny_models import tiny_model


class SomeCorrupt(ImageSource):
    """Random images of different sizes, of which those in `corrupt` cannot be read."""

    name = "faces"

    def __init__(self, count, corrupt=()):
        self.count = count
        self.corrupt = corrupt
        self.reads = []

    def __len__(self):
        return self.count

    def read(self, index):
        self.reads.append(index)
        if index in self.corrupt:
            raise CorruptImageError(f"{self.describe(index)} is corrupt")
        return np.random.default_rng(index).integers(0, 256, (10 + index, 20, 3), dtype=np.uint8)

    def describe(self, index):
        return f"faces/{index}.jpg"


@pytest.mark.parametrize("quality", ["norm", "crfiqa"])
@pytest.mark.parametrize("corrupt", [(), (0, 3, 4, 5, 8)])  # 3 to 5: a whole batch
def test_what_can_be_read_is_embedded_as_by_the_model(quality, corrupt):
    model, images, told = tiny_model(quality=quality), SomeCorrupt(9, corrupt), []
    result = embed_readable(model, images, 3, "one", lambda done, total: told.append((done, total)))
    readable = [index for index in range(9) if index not in corrupt]
    expected = model.embed([images.read(index) for index in readable], views="one")
    np.testing.assert_array_equal(result.indices_R, readable)
    np.testing.assert_allclose(result.embeddings.vectors, expected.vectors, atol=1e-6)
    np.testing.assert_allclose(result.embeddings.norms, expected.norms, rtol=1e-5)
    np.testing.assert_allclose(result.embeddings.quality, expected.quality, rtol=1e-5)
    assert result.unreadable == [f"faces/{index}.jpg is corrupt" for index in corrupt]
    assert images.reads[:9] == list(range(9))  # each once, in order
    assert told == [(3, 9), (6, 9), (9, 9)]


def test_where_nothing_can_be_read_the_first_image_is_named():
    with pytest.raises(DataError, match=r"none of the 4 images of faces can be read; faces/0\.jpg is corrupt"):
        embed_readable(tiny_model(), SomeCorrupt(4, range(4)))


@pytest.mark.parametrize("name", ["norms", "quality"])
def test_a_value_that_is_not_finite_is_named(name, monkeypatch):
    model = tiny_model()
    embeddings_of = model.embeddings

    def overflowing(results):
        embeddings = embeddings_of(results)
        if len(embeddings.norms) == 1:  # a batch of two of which one cannot be read
            return embeddings
        return replace(embeddings, **{name: np.where([False, True], np.inf, getattr(embeddings, name))})

    monkeypatch.setattr(model, "embeddings", overflowing)
    with pytest.raises(DataError, match=r"the model returned a value that is not finite for faces/5\.jpg"):
        embed_readable(model, SomeCorrupt(7, (0, 3)), 2)
