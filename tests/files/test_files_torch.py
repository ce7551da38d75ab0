import io
import zipfile

import numpy as np
import pytest
import torch

from facemargin.errors import CheckpointError
from facemargin.files.stored_tensor import Storage, StoredTensor
from facemargin.files.torch_legacy import read_torch_legacy
from facemargin.files.torch_zip import read_torch_zip
from facemargin.interop.reading import read_checkpoint_file
from tests.interop.foreign_files import adaface_checkpoint

CONTENT = {
    "float32": torch.arange(6.0).reshape(2, 3),
    "float16": torch.arange(4).half(),
    "bfloat16": torch.arange(4).bfloat16(),
    "float64": torch.arange(3, dtype=torch.float64),
    "int64": torch.arange(5),
    "int32": torch.arange(5, dtype=torch.int32),
    "uint8": torch.arange(5, dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "scalar": torch.tensor(7),
    "empty": torch.empty(0, 3),
    "turned": torch.arange(12.0).reshape(3, 4).t(),
    "part": torch.arange(20.0)[5:15:2],
    "parameter": torch.nn.Parameter(torch.ones(2, 2)),
    "channels_last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
}


def save(content, path, legacy=False):
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_are_as_torch_saved_them(tmp_path, legacy):
    shared = torch.arange(10.0)
    content = {**CONTENT, "first": shared[:4], "last": shared[6:]}
    found = read_checkpoint_file(save(content, tmp_path / "x.pth", legacy))
    assert list(found) == list(content)
    for key, expected in content.items():
        assert found[key].shape == tuple(expected.shape) and found[key].dtype == expected.dtype
        torch.testing.assert_close(found[key].read(), expected.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_lightning_checkpoint_gives_its_tensors_and_runs_nothing(tmp_path, legacy):
    content = adaface_checkpoint({"model.x": torch.ones(3)})
    found = read_checkpoint_file(save(content, tmp_path / "x.ckpt", legacy))
    assert found["epoch"] == 25 and found.keys() == content.keys()
    assert torch.equal(found["state_dict"]["model.x"].read(), torch.ones(3))
    assert found["hyper_parameters"].state["arch"] == "ir_18"
    with pytest.raises(Exception, match=r"(?i)weights.?only"):  # which is why torch's own way does not do
        torch.load(tmp_path / "x.ckpt", weights_only=True)


def test_tensors_are_read_only_when_they_are_wanted(tmp_path):
    path = save({"small": torch.ones(3), "large": torch.zeros(1000)}, tmp_path / "x.pth")
    found = read_checkpoint_file(path)
    with zipfile.ZipFile(path) as archive:
        offset = max(archive.infolist(), key=lambda entry: entry.file_size).header_offset
    content = bytearray(path.read_bytes())
    content[offset + 500] ^= 1
    path.write_bytes(content)
    assert torch.equal(found["small"].read(), torch.ones(3))
    with pytest.raises(CheckpointError, match=r"x\.pth is damaged: x/data/1 does not have its checksum"):
        found["large"].read()


@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files_are_named(tmp_path, legacy):
    path = save(CONTENT, tmp_path / "x.pth", legacy)
    content = path.read_bytes()
    for length in [*range(0, 40), *np.linspace(40, len(content) - 1, 40).astype(int)]:
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"x\.pth"):
            read_checkpoint_file(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_mutated_files_raise_nothing_else(tmp_path, legacy):
    path = save({"state_dict": CONTENT, "more": [1, "x"]}, tmp_path / "x.pth", legacy)
    original = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        mutant = bytearray(original)
        for position in random.integers(0, len(mutant), random.integers(1, 6)):
            mutant[position] = random.integers(0, 256)
        path.write_bytes(mutant)
        try:
            found = read_checkpoint_file(path)
            inner = found.get("state_dict")
            for value in inner.values() if isinstance(inner, dict) else ():
                if isinstance(value, StoredTensor):
                    value.read()
        except CheckpointError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused > 30


def rewritten(path, change):
    """The archive at `path` with its entries changed: name, bytes → bytes, or None to leave it out."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            content = change(name, content)
            if content is not None:
                archive.writestr(name, content)
    return path


def test_a_compressed_archive_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(10**7))
    with pytest.raises(CheckpointError, match=r"bomb\.pth: archive/data.* is compressed, which torch\.save never does"):
        read_checkpoint_file(path)


def test_an_archive_that_claims_to_be_larger_than_it_is_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(2000))
        entry = archive.getinfo("archive/data/0")
        for number in range(1, 50):  # more names for the same bytes
            other = zipfile.ZipInfo(f"archive/data/{number}")
            other.file_size, other.compress_size, other.CRC = 2000, 2000, entry.CRC
            other.header_offset, other.external_attr = entry.header_offset, entry.external_attr
            archive.filelist.append(other)
    with pytest.raises(CheckpointError, match="more than its own size"):
        read_checkpoint_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda name, content: b"big" if name.endswith("byteorder") else content, "big-endian"),
        (lambda name, content: None if name.endswith("/data/0") else content, "damaged: 'x/data/0'"),
        (lambda name, content: content[:-1] if name.endswith("/data/0") else content, "x/data/0 has 11 bytes"),
        (lambda name, content: None if name.endswith("data.pkl") else content, "not one that torch.save wrote"),
        (lambda name, content: b"" if name.endswith("data.pkl") else content, "the pickle in it is damaged"),
    ],
)
def test_damaged_archives_are_explained(tmp_path, change, message):
    path = save({"a": torch.ones(3)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint_file(rewritten(path, change))


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (5,), (1,)),  # one more than there are
        (2, (3,), (1,)),
        (0, (10**9,), (0,)),  # one number for a billion
        (0, (2, 2), (1, 1)),  # the same number twice
        (0, (10**6, 10**6), (1, 0)),
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (1, 1)),
        ("0", (2,), (1,)),
        (0, "ab", "cd"),
    ],
)
def test_a_tensor_is_never_larger_than_its_storage(offset, shape, stride):
    storage = Storage(torch.float32, 4, lambda first, last: torch.arange(4.0)[first:last])
    with pytest.raises(ValueError, match="a tensor of shape"):
        storage.tensor(offset, shape, stride)


def test_views_of_a_storage():
    storage = Storage(torch.float32, 6, lambda first, last: torch.arange(6.0)[first:last])
    assert storage.tensor(0, (2, 3), (3, 1)).read().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert storage.tensor(0, (3, 2), (1, 3)).read().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert storage.tensor(5, (1, 1), (77, 0)).read().tolist() == [[5]]
    assert storage.tensor(9, (0, 3), (3, 1)).read().shape == (0, 3)
    assert storage.tensor(3, (), ()).read() == 3


@pytest.mark.parametrize("view", [(0, (5, 4), (4, 1)), (4, (4, 2, 2), (4, 2, 1)), (0, (4, 5), (1, 4)), (2, (3,), (1,))])
@pytest.mark.parametrize(("first", "last"), [(0, 2), (1, 3), (2, 99), (3, 3), (0, 0), (7, 9)])
def test_rows_of_a_stored_tensor_are_those_of_the_whole(view, first, last):
    read = []

    def numbers(start, stop):
        read.append(stop - start)
        return torch.arange(20.0)[start:stop]

    stored = Storage(torch.float32, 20, numbers).tensor(*view)
    rows = stored.rows(first, last)
    in_a_row = view[2][-1] == 1
    assert read == [rows.numel() if in_a_row else 20]  # of a turned matrix all has to be read
    torch.testing.assert_close(rows, stored.read()[first:last])
    assert stored.nbytes == stored.read().numel() * 4


@pytest.mark.parametrize("legacy", [False, True])
def test_rows_from_a_file(tmp_path, legacy):
    whole_CD = torch.arange(12_000_000, dtype=torch.int16).reshape(-1, 3)  # read in several pieces
    path = save({"rows": whole_CD}, tmp_path / "x.pt", legacy)
    stored = (read_torch_legacy if legacy else read_torch_zip)(path)["rows"]
    for first, last in ((0, 1), (699_050, 699_052), (1_000_000, 3_999_999), (3_999_999, 4_000_000), (5, 5)):
        assert torch.equal(stored.rows(first, last), whole_CD[first:last])


def test_rows_of_a_damaged_tensor_are_refused_even_where_they_are_whole(tmp_path):
    path = save({"rows": torch.arange(3000.0).reshape(-1, 3)}, tmp_path / "x.pt")
    content = bytearray(path.read_bytes())
    place = content.index(torch.tensor([2000.0, 2001.0]).numpy().tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.pt is damaged: .* does not have its checksum"):
        read_torch_zip(path)["rows"].rows(0, 1)


class Network(torch.nn.Linear):
    """A class that whoever reads the file does not have."""


@pytest.mark.parametrize("legacy", [False, True])
def test_a_whole_network_is_refused_with_advice(tmp_path, legacy):
    path = save(Network(2, 2), tmp_path / "x.pth", legacy)
    with pytest.raises(CheckpointError, match=r"whole object of class .*Network.*state_dict\(\).*trust=True"):
        read_checkpoint_file(path)
    found = read_checkpoint_file(path, trust=True)
    assert found["weight"].shape == (2, 2)


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_a_script_module_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="TorchScript archive"):
        read_checkpoint_file(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a checkpoint"),
        (b"text of any kind", "not a checkpoint"),
        (b"\x80\x02}.", "not one that torch"),
        (b"\x80\x04\x95" + bytes(50), "damaged"),
        (b"PK\x03\x04" + bytes(50), "damaged"),
        ((9).to_bytes(8, "little") + b'{"a": 1}  ', "damaged"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"x\.pth .*{message}"):
        read_checkpoint_file(path)


def test_what_is_no_mapping_is_named(tmp_path):
    path = save([torch.ones(2)], tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth contains a list, expected a mapping"):
        read_checkpoint_file(path)
    with pytest.raises(CheckpointError, match=r"y\.pth cannot be read: No such file"):
        read_checkpoint_file(tmp_path / "y.pth")


def test_numpy_archives_are_no_checkpoints(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    (tmp_path / "x.npz").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match=r"not one that torch\.save wrote: a\.npy"):
        read_checkpoint_file(tmp_path / "x.npz")
