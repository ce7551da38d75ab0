"""Lists and tables of any texts: what is well-formed reads back as it was written, anything else is refused by name."""

import csv

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from facemargin.data.formats.image_list import ListedImages
from facemargin.data.pairs.csv_list import load_pairs_list
from facemargin.data.pairs.lfw import is_lfw_pairs, load_lfw_pairs
from facemargin.data.pairs.unlabeled import read_path_pairs
from facemargin.data.source import ImageSource
from facemargin.errors import DataError, FacemarginError
from facemargin.evaluation.protocols.ijb_files import read_integer_table
from facemargin.evaluation.protocols.search_lists import read_list
from facemargin.features.quality_file import QualityFile
from facemargin.files.columns import read_columns

ANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and "/" not in name and name not in (".", "..")
)
CELLS = st.sampled_from(
    [
        *("0", "1", "2", "3", "-1", "1.5", "nan", "1e999", "", " ", '"', '"a', "a.png", "../x", "²", "٣", "9" * 5000),
        *("path1", "path2", "same", "fold", "image", "identity", "template", "media", "step", "quality"),
        *("\0", "\ufeff", "x" * 5000),
    ]
)
TEXTS = st.lists(st.lists(CELLS, max_size=5), max_size=6).flatmap(
    lambda rows: st.sampled_from("\t,; ").map(lambda separator: "\n".join(separator.join(row) for row in rows))
) | st.text(max_size=60)


class Named(ImageSource):
    name = "named"

    def __init__(self, names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def read(self, index):
        raise AssertionError("only its name is asked for")

    def describe(self, index):
        return self.names[index]


READERS = {
    "pairs.csv": load_pairs_list,
    "pairs.txt": lambda path: is_lfw_pairs(path) and load_lfw_pairs(path, path.parent),
    "ask.csv": read_path_pairs,
    "list.txt": ListedImages,
    "gallery.csv": read_list,
    "quality.csv": QualityFile,
    "table.txt": lambda path: read_integer_table(path, 3),
    "metrics.csv": read_columns,
}


@pytest.mark.parametrize("name", READERS)
@ANY
@given(text=TEXTS)
@example(text="1\t1\nx\t1\t2\nx\t1\ty\t" + "9" * 5000)
@example(text="path1,path2,same\n\0,a,1")
def test_any_text_is_read_or_refused_by_name(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        READERS[name](tmp_path / name)
    except FacemarginError as error:
        assert name in str(error) or str(tmp_path) in str(error)


@ANY
@given(rows=st.lists(st.tuples(NAMES, NAMES, st.booleans(), st.integers(0, 20)), min_size=1, max_size=5))
def test_pairs_read_back(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("pairs")
    try:
        for name in {name for first, second, *_ in rows for name in (first, second)}:
            (folder / f"{name}.png").touch()
    except OSError:  # a name that is too long in UTF-8
        return
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path1", "path2", "same", "fold"])
        writer.writerows([f"{first}.png", f"{second}.png", int(same), fold] for first, second, same, fold in rows)
    pairs = load_pairs_list(folder / "list.csv")
    found = [
        (pairs.images.describe(int(a)), pairs.images.describe(int(b)), bool(same), int(fold))
        for a, b, same, fold in zip(pairs.first_K, pairs.second_K, pairs.same_K, pairs.folds_K, strict=True)
    ]
    assert found == [(f"{folder}/{a}.png", f"{folder}/{b}.png", same, fold) for a, b, same, fold in rows]


@ANY
@given(
    values=st.dictionaries(NAMES, st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t"),
)
def test_qualities_read_back(tmp_path, values, delimiter):
    with (tmp_path / "q.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["path", "quality"])
        writer.writerows([f"a/{name}", repr(value)] for name, value in values.items())
    found = QualityFile(tmp_path / "q.csv").of(Named([f"/data/a/{name}" for name in values]))
    np.testing.assert_array_equal(found, list(values.values()))
    with pytest.raises(DataError, match=r"q\.csv holds no quality of /data/b"):
        QualityFile(tmp_path / "q.csv").of(Named(["/data/b"]))
