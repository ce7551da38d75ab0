"""Packed strings are a sequence like a list."""

import pytest

from facemargin.files.packed_strings import PackedStrings


def test_as_a_list():
    strings = ["", "a", "äöü", "\udcff", "long" * 100, ""]
    packed = PackedStrings(strings)
    assert list(packed) == strings and len(packed) == 6 and packed[-2] == "long" * 100 and packed[1:4] == strings[1:4]
    for index in (6, -7):
        with pytest.raises(IndexError):
            packed[index]
    assert list(PackedStrings([])) == []
