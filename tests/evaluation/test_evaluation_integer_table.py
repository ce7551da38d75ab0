import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.errors import DataError
from facemargin.evaluation.protocols import ijb_files
from facemargin.evaluation.protocols.ijb_files import read_integer_table

numbers = st.one_of(st.integers(0, 20), st.integers(0, 999_999_999))
separators = st.sampled_from([" ", "\t", "  ", ",", ", "])


@given(
    st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=30),
    separators,
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\n", "\n\n"]),
    st.sampled_from([1, 7, 50, 2**22]),
)
def test_numbers_come_as_they_were_written(tmp_path_factory, rows, separator, newline, end, block):
    path = tmp_path_factory.mktemp("table") / "pairs.txt"
    path.write_bytes((newline.join(separator.join(map(str, row)) for row in rows) + end).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ijb_files, "BYTES_A_BLOCK", block)
        table = read_integer_table(path, 3)
    assert table.dtype == np.int32 and table.T.tolist() == [list(row) for row in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 0\n3 4\n", "line 2: '3 4', expected 3 numbers"),
        ("1 2 0\n3 4 1 5 6 0\n", "line 2: '3 4 1 5 6 0'"),
        ("1 2 0\n3 4\n1 5 6 0\n", "line 2: '3 4'"),
        ("1 2 0\n\n3 x 1\n", "line 3: '3 x 1'"),
        ("1 2 -1\n", "line 1: '1 2 -1'"),
        ("1 2 1.5\n", "line 1: '1 2 1.5'"),
        ("1 2 3000000000\n", "line 1: '1 2 3000000000'"),
        ("1 2 0\n1 2 ٣\n", "line 2: '1 2 ٣'"),
        ("1 2 0\n\x00\x01\x02\n", "line 2: "),
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("1" * 9000, "holds a line of more than 4096 bytes"),
    ],
)
@pytest.mark.parametrize("block", [1, 4096])
def test_the_first_line_that_is_wrong_is_named(tmp_path, monkeypatch, text, message, block):
    monkeypatch.setattr(ijb_files, "BYTES_A_BLOCK", block)
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(
        DataError, match=rf"pairs.txt {message}" if message.startswith(("line", "is", "holds")) else message
    ):
        read_integer_table(tmp_path / "pairs.txt", 3)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.txt cannot be read: No such file"):
        read_integer_table(tmp_path / "none.txt", 3)
