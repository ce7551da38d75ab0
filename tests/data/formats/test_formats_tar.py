"""Finding the members of tar shards: what other programs write, what is damaged, what means harm."""

import gzip
import io
import json
import logging
import multiprocessing
import os
import pickle
import tarfile

import pytest
import webdataset

from facemargin.data.formats.tar import TarShard, group_by_key
from facemargin.errors import CorruptImageError, DataError

LONG = "folder/" + "x" * 150 + ".jpg"


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_tar(path, members, mode="w", **options):
    with tarfile.open(path, mode, **options) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


MEMBERS = {f"{number:04d}.{kind}": os.urandom(700 * number + 1) for number in range(5) for kind in ("jpg", "png")}


def contents(shard):
    return {name: shard.read(position) for position, name in enumerate(shard.names)}


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_every_tar_format(tmp_path, tar_format):
    members = MEMBERS | ({LONG: b"long"} if tar_format != tarfile.USTAR_FORMAT else {}) | {"ä/0.cls": b"7"}
    shard = TarShard(write_tar(tmp_path / "a.tar", members, format=tar_format))
    assert contents(shard) == members and shard.damage is None
    assert shard.labels == {len(members) - 1: "7"}


def test_what_webdataset_writes(tmp_path):
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        for number in range(3):
            writer.write({"__key__": f"{number:06d}", "jpg": bytes([number]) * 1000, "cls": number * 10})
    shard = TarShard(tmp_path / "a.tar")
    samples = group_by_key(shard.names)
    assert list(samples) == ["000000", "000001", "000002"] and set(samples["000001"]) == {"jpg", "cls"}
    assert shard.read(samples["000002"]["jpg"]) == b"\2" * 1000 and shard.read(samples["000002"]["cls"]) == b"20"


def test_links_folders_and_devices_are_no_members(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"x{kind.decode()}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        archive.addfile(tarfile.TarInfo("../../real.jpg"), io.BytesIO())
    assert list(TarShard(tmp_path / "a.tar").names) == ["../../real.jpg"]


def test_grouping_by_key():
    names = ["a.b/1.jpg", "a.b/1.seg.PNG", "2.JPG", "2.cls", "noext", ".hidden", "2.jpg", "d/"]
    assert group_by_key(names) == {"a.b/1": {"jpg": 0, "seg.png": 1}, "2": {"jpg": 2, "cls": 3}}


def test_the_index_is_used_and_made_again_when_the_file_changes(tmp_path):
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    TarShard(path)
    index = tmp_path / "a.tar.index.json"
    changed = json.loads(index.read_text())
    changed["found"]["names"][0] = "from the index"
    index.write_text(json.dumps(changed))
    assert TarShard(path).names[0] == "from the index"
    write_tar(path, {"new.jpg": b"1"})
    assert list(TarShard(path).names) == ["new.jpg"] and list(TarShard(path).names) == ["new.jpg"]


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a"]}, {"names": None}, {"offsets": [-1] * 10}, {"offsets": [1 << 60] * 10}, {"sizes": [1.5] * 10},
        {"sizes": [True] * 10}, {"labels": [3] * 10}, {"labels": {}}, {"damage": 3}, {"names": [[]] * 10},
        {"damage": ...},
    ],
)  # fmt: skip
def test_an_index_that_makes_no_sense_is_not_believed(tmp_path, change):
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    TarShard(path)
    index = tmp_path / "a.tar.index.json"
    content = json.loads(index.read_text())
    content["found"] |= change
    content["found"] = {key: value for key, value in content["found"].items() if value is not ...}
    index.write_text(json.dumps(content))
    assert contents(TarShard(path)) == MEMBERS


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "{}", '{"format":1}', "\0"])
def test_an_index_that_is_no_index_is_replaced(tmp_path, text):
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    (tmp_path / "a.tar.index.json").write_text(text)
    assert contents(TarShard(path)) == MEMBERS
    assert json.loads((tmp_path / "a.tar.index.json").read_text())["found"]["names"] == list(MEMBERS)


def test_where_the_folder_cannot_be_written_to_the_index_lies_in_the_cache(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    (tmp_path / "a.tar.index.json").mkdir()  # even root cannot replace a folder by a file
    TarShard(path)
    assert len(list((tmp_path / "cache" / "facemargin").glob("*.index.json"))) == 1
    monkeypatch.setattr("facemargin.data.formats.tar._scan", None)
    assert contents(TarShard(path)) == MEMBERS


def test_without_any_place_for_the_index_reading_goes_on(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    (tmp_path / "a.tar.index.json").mkdir()
    (tmp_path / "cache").write_text("a file")
    assert contents(TarShard(path)) == MEMBERS


@pytest.mark.parametrize("keep", [600, 5000, 9100, 20_000])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_tail_is_left_out_and_the_file_named(tmp_path, caplog, keep, compressed):
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    if compressed:
        path = tmp_path / "a.tar.gz"
        path.write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes(), 0))
    path.write_bytes(path.read_bytes()[:keep])
    if keep == 600:
        with caplog.at_level(logging.WARNING), pytest.raises(DataError, match=r"a\.tar.* is not a tar archive"):
            TarShard(write_cut(path))
        return
    shard = TarShard(path)
    assert (
        0 < len(shard.names) < 10 and "a.tar" in caplog.text and "the members before this point are kept" in caplog.text
    )
    assert list(shard.contents(range(len(shard)))) == [MEMBERS[name] for name in shard.names]


def write_cut(path):
    path.write_bytes(path.read_bytes()[:300])
    return path


def test_a_file_that_ends_without_the_end_marker_is_reported(tmp_path, caplog):
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"1" * 512})
    path.write_bytes(path.read_bytes()[:1024])
    assert contents(TarShard(path)) == {"a.jpg": b"1" * 512} and "no end-of-archive marker" in caplog.text


def test_a_bad_header_in_the_middle_ends_the_shard_and_is_reported(tmp_path, caplog):
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"1" * 512, "b.jpg": b"2"})
    content = bytearray(path.read_bytes())
    content[1024:1034] = b"garbage..."
    path.write_bytes(content)
    assert list(TarShard(path).names) == ["a.jpg"] and "bad header" in caplog.text


def header(size_field: bytes, kind: bytes, name: bytes = b"a.jpg") -> bytes:
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157], block[257:265] = name, size_field, kind, b"ustar  \0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def base256(number: int) -> bytes:
    return (b"\x80" if number >= 0 else b"\xff") + number.to_bytes(11, "big", signed=True)


@pytest.mark.parametrize(
    "bad",
    [
        header(base256(1 << 80), b"x"), header(base256(1 << 50), b"L"), header(base256(1 << 62), b"0"),
        header(base256(-1024), b"0"), header(base256(-5000), b"x"), header(base256(-512), b"g"),
        header(base256(1 << 40), b"S"), header(b"%011o\0" % 0, b"x") * 3000,
        header(b"%011o\0" % 14, b"x") + b"14 path=".ljust(512, b"\xff"),
        header(b"%011o\0" % 512, b"x") + b"99999999999999999999 path=a\n".ljust(512, b"\0"),
        header(b"%011o\0" % 512, b"x") + b"0 path=a\n".ljust(512, b"\0"),
    ],
)  # fmt: skip
def test_hostile_headers_end_the_shard_quickly(tmp_path, bad, caplog):
    good = header(b"%011o\0" % 5, b"0") + b"hello".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(good + bad + bytes(1024))
    shard = TarShard(tmp_path / "a.tar")
    assert shard.names[0] == "a.jpg" and shard.read(0) == b"hello" and len(shard) <= 2


def test_no_archive_at_all(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"<html>" * 1000)
    (tmp_path / "a.tar.gz").write_bytes(b"<html>" * 1000)
    for name in ("a.tar", "a.tar.gz"):
        with pytest.raises(DataError, match=rf"{name} is not a tar archive"):
            TarShard(tmp_path / name)
    with pytest.raises(DataError, match=r"b\.tar does not exist"):
        TarShard(tmp_path / "b.tar")


def test_a_file_that_shrinks_later_is_named(tmp_path):
    path = write_tar(tmp_path / "a.tar", MEMBERS)
    shard = TarShard(path)
    path.write_bytes(b"")
    with pytest.raises(CorruptImageError, match=r"a\.tar member 0004\.png: the file ends inside it"):
        shard.read(9)


def test_a_compressed_shard_is_gone_through(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", MEMBERS, "w:gz")
    shard = TarShard(path)
    assert shard.compressed and list(shard.contents([1, 4, 9])) == [list(MEMBERS.values())[i] for i in (1, 4, 9)]
    with pytest.raises(DataError, match="can only be read from the start"):
        shard.read(0)


def test_processes_and_pickled_copies_read_the_same(tmp_path):
    shard = TarShard(write_tar(tmp_path / "a.tar", MEMBERS))
    shard.read(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(shard.read, range(10)) == list(MEMBERS.values())
    assert pickle.loads(pickle.dumps(shard)).read(3) == shard.read(3)
