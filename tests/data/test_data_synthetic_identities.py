import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.synthetic_identities import WithSyntheticIdentities
from facemargin.errors import ConfigError


def test_every_kind_adds_the_people_once_more():
    faces = EmbeddedFaces([3, 7])
    more = WithSyntheticIdentities(faces, ("mirrored", "negative", "upside_down"))
    assert len(more) == 80 and more.num_identities == 8
    np.testing.assert_array_equal(more.labels, np.repeat(np.arange(8), 10))
    assert more.identity_names == [
        "s3", "s7", "s3 (mirrored)", "s7 (mirrored)", "s3 (negative)", "s7 (negative)",
        "s3 (upside_down)", "s7 (upside_down)",
    ]  # fmt: skip
    image = faces.read(13)
    np.testing.assert_array_equal(more.read(13), image)
    np.testing.assert_array_equal(more.read(20 + 13), image[:, ::-1])
    np.testing.assert_array_equal(more.read(40 + 13).astype(int) + image, np.full_like(image, 255))
    np.testing.assert_array_equal(more.read(60 + 13), image[::-1])
    assert more.describe(13) == faces.describe(13)
    assert more.describe(53) == f"{faces.describe(13)} (negative)"


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'mirrored'"):
        WithSyntheticIdentities(EmbeddedFaces([1]), ("mirored",))
