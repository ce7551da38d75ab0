"""What is a number in a text file, and what is not."""

import pytest

from facemargin.files.plain_numbers import decimal_number, is_digits, is_negative, whole_number

NONE = [
    "",
    "1_2",
    "1e1",
    "inf",
    "nan",
    "١٢",
    "１",
    "²",
    "+1",
    " 1",
    "1 ",
    "1\n",
    "0x1",
    "1.5",
    "1.",
    ".0",
    "1.0.0",
    "Ann",
]


def test_whole_numbers():
    texts = ["0", "7", "007", "3.0", "3.000000", str(2**63 - 1)]
    assert [whole_number(text) for text in texts] == [0, 7, 7, 3, 3, 2**63 - 1]


@pytest.mark.parametrize("text", [*NONE, "-1", str(2**63), "9" * 5000])
def test_what_is_no_whole_number(text):
    assert (whole_number(text) is None and not is_negative(text)) or text == "-1"


def test_numbers_below_zero():
    assert all(map(is_negative, ["-1", "-1.0", "-1.000000", "-01", "-20"]))
    assert not any(map(is_negative, ["-0", "-", "-1_2", "-inf", "-1e1", "-1.5", "-١", "--1", "1"]))


def test_digits():
    assert is_digits("01") and not any(map(is_digits, ["", "١", "1.0", "-1", "²", "1_2"]))


def test_decimal_numbers():
    assert [decimal_number(text) for text in ["1", "-0.25", "+.5", "1.", "1.5e-3", "2E5"]] == [
        1,
        -0.25,
        0.5,
        1,
        1.5e-3,
        2e5,
    ]
    others = ["", "1_0", "nan", "inf", "-Infinity", "١", "1e", "e1", "1 ", "0x1", "1e999", "-1e999", "9" * 400]
    assert [decimal_number(text) for text in others] == [None] * len(others)
