import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io

from facemargin.errors import DataError
from facemargin.evaluation.protocols.known import load_protocol
from facemargin.files import mat as mat_file
from facemargin.files.mat import ids_of, names_of, read_mat
from tests.protocol_folders import cells, write_survface, write_tinyface


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_variables_come_as_scipy_wrote_them(tmp_path, compressed, dtype):
    path = tmp_path / "list.mat"
    content = {"ids": np.array([[3], [4]], dtype), "other": np.arange(6).reshape(2, 3), "unread": {"a": 1}, "empty": []}
    scipy.io.savemat(path, content, do_compression=compressed)
    ids, other, empty = read_mat(path, "ids", "other", "empty")
    assert ids_of(ids, path, "ids", 2).tolist() == [3, 4] and ids.dtype == dtype
    assert other.tolist() == [[0, 1, 2], [3, 4, 5]] and empty.size == 0
    with pytest.raises(DataError, match=r"list.mat has no variable 'names'; expected names, ids"):
        read_mat(path, "names", "ids")


@pytest.mark.parametrize("compressed", [False, True])
def test_names_come_out_of_their_cells(tmp_path, compressed):
    path = tmp_path / "list.mat"
    scipy.io.savemat(path, {"names": cells([["a.jpg", "b.jpg"], ["ü.jpg", "c d.jpg"]])}, do_compression=compressed)
    (found,) = read_mat(path, "names")
    assert names_of(found, path, "names").tolist() == [["a.jpg", "b.jpg"], ["ü.jpg", "c d.jpg"]]


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "", "..", "a\nb.jpg", 3, [1.0, 2.0], {"a": 1}])
def test_what_is_no_name_of_a_file_is_refused(tmp_path, name):
    path = tmp_path / "list.mat"
    content = np.empty(2, dtype=object)
    content[:] = ["a.jpg", name]
    scipy.io.savemat(path, {"names": content})
    with pytest.raises(DataError, match=r"list.mat: names 2 is .* expected the name of a file|is of class 2, expected"):
        names_of(*read_mat(path, "names"), path, "names")


@pytest.mark.parametrize("ids", [[[1.5], [2]], [[1], [2], [3]], [["a"], ["b"]], [[np.nan], [1]]])
def test_what_is_no_identity_number_is_refused(tmp_path, ids):
    with pytest.raises(DataError, match=r"list.mat: ids has shape .* expected 2 whole numbers"):
        ids_of(np.array(ids), tmp_path / "list.mat", "ids", 2)


def element(kind: int, payload: bytes) -> bytes:
    return struct.pack("<II", kind, len(payload)) + payload


def array(kind: int, shape, content: bytes, name=b"x") -> bytes:
    flags, dims = struct.pack("<II", kind, 0), struct.pack(f"<{len(shape)}i", *shape)
    name = element(1, name) + bytes(-len(name) % 8)
    return element(14, element(6, flags) + element(5, dims) + name + content)


def deep_cells(depth: int) -> bytes:
    content = array(6, (1, 1), element(9, bytes(8)))
    for _ in range(depth):
        content = array(1, (1, 1), content, name=b"x")
    return content


def header() -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def test_a_file_that_inflates_without_end_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(mat_file, "_LARGEST_CONTENT", 2**20)
    path = tmp_path / "bomb.mat"
    path.write_bytes(header() + element(15, zlib.compress(bytes(2**26))))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb.mat is damaged: it inflates to more than 1 MB"):
        read_mat(path, "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a MATLAB file of version 5 to 7"),
        (b"hello", "is not a MATLAB file of version 5 to 7"),
        (header(), "has no variable 'x'"),
        (header()[:124] + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(500), "is a file of MATLAB 7.3"),
        (header() + element(14, b"\xff" * 40), "is damaged: an element of 65535 bytes where 36 are left"),
        (header() + element(15, b"\xff" * 40), "is damaged: Error -3"),
        (header() + b"123", "is damaged: unpack"),
        (header() + array(6, (2**31 - 1, 2**31 - 1), element(9, bytes(8))), "is damaged: x is complex, or of shape"),
        (header() + array(6, (-1, 1), element(9, bytes(8))), "is damaged: x is complex, or of shape"),
        (header() + array(6 | 0x800, (1, 1), element(9, bytes(8))), "is damaged: x is complex"),
        (
            header() + array(6, (2, 1), element(9, bytes(8))),
            "is damaged: numbers of type 9 in 8 bytes do not have shape",
        ),
        (header() + array(6, (1, 1), element(8, bytes(8))), "is damaged: numbers of type 8"),
        (header() + array(6, (1, 1), b""), "is damaged: an array ends early"),
        (header() + array(1, (1, 2), element(14, b"")), "is damaged: an array ends early"),
        (header() + array(1, (1, 1), element(9, bytes(8))), "is damaged: an array ends early"),
        (header() + array(2, (1, 1), b""), "is damaged: x is of class 2, expected numbers, texts or cells"),
        (header() + array(4, (2, 2), element(16, b"abcd")), "is damaged: a text of type 16 and shape"),
        (header() + array(4, (1, 4), element(16, b"\xff\xfe\xfd\xfc")), "is damaged: 'utf-8' codec"),
        (header() + deep_cells(2000), "is damaged: x is of class 1"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, message):
    path = tmp_path / "list.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"list.mat .*{message}|list.mat {message}"):
        read_mat(path, "x")


def test_the_other_byte_order_is_read(tmp_path):
    path = tmp_path / "list.mat"
    path.write_bytes(header() + array(6, (1, 2), element(5, struct.pack("<ii", 3, 4))))
    swapped = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    big = struct.pack(">II", 6, 8) + struct.pack(">II", 6, 0) + struct.pack(">II", 5, 8) + struct.pack(">ii", 1, 2)
    big += struct.pack(">HH", 1, 1) + b"x\0\0\0" + struct.pack(">II", 5, 8) + struct.pack(">ii", 3, 4)
    (tmp_path / "big.mat").write_bytes(swapped + struct.pack(">II", 14, len(big)) + big)
    for one in (path, tmp_path / "big.mat"):
        assert read_mat(one, "x")[0].tolist() == [[3, 4]]


def test_a_file_that_is_too_large_or_absent_is_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"none.mat cannot be read: No such file"):
        read_mat(tmp_path / "none.mat", "x")
    monkeypatch.setattr(mat_file, "_LARGEST_FILE", 10)
    (tmp_path / "list.mat").write_bytes(bytes(11))
    with pytest.raises(DataError, match=r"list.mat has 11 bytes, expected a list"):
        read_mat(tmp_path / "list.mat", "x")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_read_or_refused(tmp_path, seed):
    write_tinyface(tmp_path / "tiny", people=2, distractors=1)
    rng = np.random.default_rng(seed)
    path = tmp_path / "tiny" / "Testing_Set" / "probe_img_ID_pairs.mat"
    names, ids = read_mat(path, "probe_set", "probe_ids")
    scipy.io.savemat(path, {"probe_set": names, "probe_ids": ids}, do_compression=bool(seed % 2))
    plain = bytearray(path.read_bytes())
    refused = 0
    for _ in range(150):
        mutated = bytearray(plain)
        for place in rng.integers(0, len(plain), rng.integers(1, 6)):
            mutated[place] = rng.choice([0, 1, 14, 15, 127, 255, int(rng.integers(256))])
        if rng.random() < 0.2:
            mutated = mutated[: rng.integers(0, len(plain))]
        path.write_bytes(mutated)
        try:
            load_protocol("tinyface", tmp_path / "tiny")
        except DataError as error:
            refused += 1
            assert "probe_img_ID_pairs.mat" in str(error) or "Probe/" in str(error)
    assert refused > 30


def test_identities_have_to_agree_with_names(tmp_path):
    write_tinyface(tmp_path, people=2)
    path = tmp_path / "Testing_Set" / "probe_img_ID_pairs.mat"
    names, ids = read_mat(path, "probe_set", "probe_ids")
    scipy.io.savemat(path, {"probe_set": names, "probe_ids": ids[::-1]})
    with pytest.raises(DataError, match=r"Probe/1_P0.png has identity 2 in the .mat file; expected the number"):
        load_protocol("tinyface", tmp_path)


def test_folders_and_lists_that_are_missing_are_named(tmp_path):
    write_tinyface(tmp_path)
    for path in (tmp_path / "Testing_Set" / "Gallery_Distractor").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"Gallery_Distractor holds no images"):
        load_protocol("tinyface", tmp_path)
    write_survface(tmp_path)
    path = tmp_path / "Face_Verification_Test_Set" / "negative_pairs_names.mat"
    scipy.io.savemat(path, {"negative_pairs_names": cells(["a.jpg", "b.jpg", "c.jpg"])[:, None]})
    with pytest.raises(DataError, match=r"negative_pairs_names has shape \(3, 1\), expected \(pairs, 2\)"):
        load_protocol("survface", tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"negative_pairs_names.mat cannot be read: No such file"):
        load_protocol("survface", tmp_path)
