"""Qualities from other tools' tables."""

import numpy as np
import pytest

from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.features.quality_file import QualityFile


class Files(ImageSource):
    name = "files"

    def __init__(self, *names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def read(self, index):
        raise AssertionError("qualities are looked up, images are not read")

    def describe(self, index):
        return self.names[index]


IMAGES = Files("/data/bob/1.jpg", "/data/ann/1.jpg")


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "quality.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,quality,norm\nann/1.jpg,0.5,20\nbob/1.jpg,-1,21\n", [-1, 0.5]),
        ("image\tscore\nann/1.jpg\t3\nbob/1.jpg\t4\n", [4, 3]),  # the only other column
        # as OFIQ writes it
        (
            "Filename;UnifiedQualityScore;Sharpness;UnifiedQualityScore.scalar;Sharpness.scalar\r\n"
            "ann/1.jpg;21.5;1;44;2\r\nbob/1.jpg;23.5;1;61;2\r\n",
            [61, 44],
        ),
    ],
)
def test_tables_of_several_tools(tmp_path, text, expected):
    np.testing.assert_array_equal(QualityFile(write(tmp_path, text)).of(IMAGES), expected)


def test_a_column_may_be_named(tmp_path):
    path = write(tmp_path, "path,a,b\nann/1.jpg,1,2\nbob/1.jpg,3,4\n", encoding="utf-8-sig")
    np.testing.assert_array_equal(QualityFile(path, "b").of(IMAGES), [4, 2])
    with pytest.raises(DataError, match="has no column 'c'; it has a, b"):
        QualityFile(path, "c")
    with pytest.raises(DataError, match=r"has no column called quality; choose one of a, b, as in .*quality.csv:a"):
        QualityFile(path)


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(DataError, match=r"line 3: quality is 'good', expected a number such as 0\.75"):
        QualityFile(write(tmp_path, "path,quality\nann/1.jpg,1\nbob/1.jpg,good\n"))
    for text in ("nan", "inf", "1_0", "1e999", ""):
        with pytest.raises(DataError, match=f"line 2: quality is '{text}'"):
            QualityFile(write(tmp_path, f"path,quality\nann/1.jpg,{text}\n"))
    with pytest.raises(DataError, match="line 2: quality is missing"):
        QualityFile(write(tmp_path, "path,norm,quality\nann/1.jpg,1\n"))
    with pytest.raises(
        DataError,
        match=r"holds no quality of /data/bob/1.jpg \(1 of 2 images missing\): it has those of the other images",
    ):
        QualityFile(write(tmp_path, "path,quality\nann/1.jpg,1\n")).of(IMAGES)
    with pytest.raises(DataError, match=r"quality.csv: the path 'ann/1.jpg' occurs 2 times"):
        QualityFile(write(tmp_path, "path,quality\nann/1.jpg,1\nann/1.jpg,2\n"))
    with pytest.raises(DataError, match="has 2 columns called quality, expected one"):
        QualityFile(write(tmp_path, "path,quality,quality\nann/1.jpg,1,2\n"))
    with pytest.raises(DataError, match=r"1.jpg is the end of the paths of two images"):
        QualityFile(write(tmp_path, "path,quality\n1.jpg,1\n")).of(IMAGES)
    with pytest.raises(DataError, match=r"line of headings \(path, quality\), not 'ann/1.jpg,1', and a line for every"):
        QualityFile(write(tmp_path, "ann/1.jpg,1\nbob/1.jpg,2\n"))
    with pytest.raises(DataError, match="line 4: 3 values under 2 headings"):
        QualityFile(write(tmp_path, "path,quality\n\nann/1.jpg,1,\nbob/1.jpg,2,3\n"))
    with pytest.raises(DataError, match="expected a line of headings"):
        QualityFile(write(tmp_path, "path,quality\n"))
    with pytest.raises(DataError, match="cannot be read as a table"):
        QualityFile(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="cannot be read as a table"):
        QualityFile(tmp_path / "binary.csv")
