"""Files that somebody made to fill the memory, to take for ever, or to crash: each is refused by name, at once."""

import functools
import json
import os
import re
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import external_data_helper
from safetensors.torch import save_file

from facemargin.models.info import file_metadata
from tests.data import image_kinds
from tests.data.recordio_writer import MAGIC
from tests.fuzz import readers_of_data as data
from tests.fuzz import readers_of_models as models
from tests.fuzz import readers_of_results as results
from tests.fuzz.fuzzing import watch

READERS = {reader.name: reader for reader in (*data.READERS, *models.READERS, *results.READERS)}
BILLION = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def jpeg_of(height, width):
    """16 × 16 pixels that claim to be more: libjpeg fills the rest with grey."""
    content = bytearray(data.encode(np.zeros((16, 16, 3), np.uint8)))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def jpeg_of_scans(count):
    """The scans of a progressive JPEG, the shortest of them again and again."""
    image = np.zeros((2000, 2000, 3), np.uint8)
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    starts = [match.start() for match in re.finditer(b"\xff\xda", content)]
    scans = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content) - 2], strict=True)]
    return content[: starts[0]] + b"".join([*scans, min(scans, key=len) * count, b"\xff\xd9"])


@functools.cache
def one_color(kind, side=8000, **options):
    """Millions of pixels in a few thousand bytes."""
    return image_kinds.by_pillow(np.zeros((side, side, 3), np.uint8), kind, **options)


def avif_that_says_it_is_small():
    """The file says 64 × 64, the stream in it 8000 × 8000."""
    honest = one_color("AVIF", speed=10)
    return re.sub(rb"(ispe\0\0\0\0).{8}", lambda match: match[1] + struct.pack(">II", 64, 64), honest, flags=re.DOTALL)


def tiff_of(**tags):
    known = {"256": 64, "257": 64, "258": 8, "259": 1, "262": 1, "273": 300, "277": 1, "278": 64, "279": 4096}
    known |= {name.removeprefix("t"): value for name, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", int(tag), 4, 1, known[tag]) for tag in sorted(known))
    return b"II*\0" + struct.pack("<IH", 8, len(known)) + entries + bytes(5000)


def image_file(content):
    def write(folder):
        data.write_kinds(".jpg")(folder)
        (folder / "person0" / "0.jpg").write_bytes(content())

    return write


def pipe_for_an_image(folder):
    data.write_kinds(".jpg")(folder)
    (folder / "person0" / "0.jpg").unlink()
    os.mkfifo(folder / "person0" / "0.jpg")


def listed(*paths):
    return data.write_list([f"{path}\t0" for path in (*paths, data.PATHS[0])])


def sparse(path: Path, start: bytes, size: int) -> None:
    """A file that claims more bytes than are on the disk."""
    path.write_bytes(start)
    os.truncate(path, size)


def huge_image(folder):
    data.write_kinds(".jpg")(folder)
    sparse(folder / "person0" / "0.jpg", b"\xff\xd8\xff", 3 << 30)


def huge_record(folder):
    """One image in many parts of half a gigabyte."""
    size = (1 << 29) - 4
    data.write_old_recordio(folder)
    (folder / "train.idx").write_text("0\t0\n")
    header = struct.pack("<IfQQ", 0, 1.0, 0, 0)
    with (folder / "train.rec").open("wb") as file:
        for part, flag in enumerate((1, 2, 2, 3)):
            file.seek(part * (size + 8))
            file.write(struct.pack("<II", MAGIC, flag << 29 | size) + header)
        file.truncate(4 * (size + 8))


def huge_member(folder):
    with tarfile.open(folder / "train.tar", "w") as archive:
        for name, content, size in (("0.cls", b"1", 1), ("0.jpg", b"", 3 << 30)):
            info = tarfile.TarInfo(name)
            info.size = size
            archive.fileobj.write(info.tobuf() + content + bytes(-len(content) % 512))
    os.truncate(folder / "train.tar", (folder / "train.tar").stat().st_size + (3 << 30) + 1024)


def deflated_zeros(path: Path, start: bytes, size: int, end: bytes = b"", wbits: int = 31) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, wbits)
    with path.open("wb") as file:
        file.write(packer.compress(start))
        for _ in range(size >> 20):
            file.write(packer.compress(bytes(1 << 20)))
        file.write(packer.compress(end) + packer.flush())


def inflating_member(folder):
    cls, jpg = tarfile.TarInfo("0.cls"), tarfile.TarInfo("0.jpg")
    cls.size, jpg.size = 1, 400 << 20
    start = cls.tobuf() + b"1" + bytes(511) + jpg.tobuf()
    deflated_zeros(folder / "train.tar.gz", start, 400 << 20, bytes(1024))


def inflating_arrays(folder):
    size = 400 << 20
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 1), }" % size
    with (
        zipfile.ZipFile(folder / "e.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("embeddings.npy", "w") as file,
    ):
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n")
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))


def own_model(**changes):
    """facemargin's own file, whose description is changed."""

    def write(folder):
        metadata = file_metadata(models.model_info()) | {key: json.dumps(value) for key, value in changes.items()}
        save_file(models.tiny_recognizer().state_dict(), folder / "model.safetensors", metadata)

    return write


def nested_key(folder):
    """A dictionary's key is a tuple in a tuple in a tuple …, whose hash takes all of C's stack."""
    torch.save({"step": 10}, folder / "step_00000010.pt")
    with zipfile.ZipFile(folder / "step_00000010.pt") as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(folder / "step_00000010.pt", "w") as archive:
        for name, content in members.items():
            program = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."
            archive.writestr(name, program if name.endswith("data.pkl") else content)


def deflated_checkpoint(folder):
    torch.save({"step": 10, "zeros": torch.zeros(10 << 20)}, folder / "x")
    with (
        zipfile.ZipFile(folder / "x") as archive,
        zipfile.ZipFile(folder / "step_00000010.pt", "w", 8, compresslevel=1) as to,
    ):
        for entry in archive.infolist():
            to.writestr(entry.filename, archive.read(entry))
    (folder / "x").unlink()


def onnx_with_weights_from(location):
    def write(folder):
        models.write_onnx(folder)
        model = onnx.load(str(folder / "w600k.onnx"))
        weight = next(one for one in model.graph.initializer if one.name == "weight")
        external_data_helper.set_external_data(weight, location)
        weight.ClearField("raw_data")
        (folder / "w600k.onnx").write_bytes(model.SerializeToString())

    return write


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def beside(write, hostile):
    return lambda folder: (write(folder), hostile(folder))


DEEP = "[" * 5_000
HOSTILE = {
    "a small JPEG of 900 million pixels": ("folder of .jpg", image_file(lambda: jpeg_of(30_000, 30_000)), "read"),
    "a JPEG of endless scans": ("folder of .jpg", image_file(lambda: jpeg_of_scans(20_000)), "read"),
    "a TIFF of one huge tile": ("folder of .jpg", image_file(lambda: tiff_of(t322=1 << 15, t323=1 << 15)), "read"),
    "a TIFF of 65,535 samples": ("folder of .jpg", image_file(lambda: tiff_of(t277=65_535)), "read"),
    "a small AVIF of 64 million pixels": ("folder of .jpg", image_file(avif_that_says_it_is_small), "read"),
    "a small JPEG 2000 of 64 million pixels": ("folder of .jpg", image_file(lambda: one_color("JPEG2000")), "read"),
    "a small GIF of 64 million pixels": ("folder of .jpg", image_file(lambda: one_color("GIF")), "read"),
    "a small HEIC of 16 million pixels": ("folder of .jpg", image_file(lambda: one_color("HEIF", 4000)), "read"),
    "a pipe for an image": ("folder of .jpg", pipe_for_an_image, "read"),
    "an image of three sparse gigabytes": ("folder of .jpg", huge_image, "read"),
    "a list of what never ends": ("image list", listed("/dev/zero", "/dev/stdin", "/dev/tty", "."), "read"),
    "a list of paths that are too long": ("image list", listed("x" * 10_000), "read"),
    "a record of two sparse gigabytes": ("recordio of images only", huge_record, "read"),
    "a member of three sparse gigabytes": ("shard", huge_member, "read"),
    "a member that inflates": ("compressed shard", inflating_member, "read"),
    "arrays that inflate": ("embeddings", inflating_arrays, "refused"),
    "a network of a million channels": (
        "own model file",
        own_model(options={"input_size": 16, "width": 10**6}),
        "refused",
    ),
    "images of 60,000 pixels a side": ("own model file", own_model(input_size=60_000), "refused"),
    "a nested key": ("checkpoints", nested_key, "refused"),
    "a checkpoint that inflates": ("checkpoints", deflated_checkpoint, "refused"),
    "weights that never end": ("ONNX", onnx_with_weights_from("/dev/zero"), "refused"),
    "weights from elsewhere": ("ONNX", onnx_with_weights_from("../originals/w600k.onnx"), "refused"),
    "a recipe of a billion words": ("recipe", text("mine.yaml", BILLION + "epochs: *i\n"), "refused"),
    "a recipe with a billion names": ("recipe", text("mine.yaml", BILLION + "backbone: {name: *i}\n"), "refused"),
    "a colour order of a billion words": (
        "model.yaml",
        beside(models.write_cvlface, text("pretrained_model/model.yaml", BILLION + "color_space: *i\n")),
        "refused",
    ),
    "a deep recipe": ("recipe", text("mine.yaml", DEEP), "refused"),
    "a deep certificate": ("certificate", text("c.json", DEEP), "refused"),
    "a deep calibration": ("calibration", text("c.json", DEEP), "refused"),
    "a deep journal": (
        "journal of faces",
        text("faces.jsonl", json.dumps({"detector": "centerface", "min_score": 0.5}) + "\n" + DEEP + "\n"),
        "refused",
    ),
    "a deep environment": ("content of a report", text("environment.json", DEEP), "refused"),
    "a deep manifest": (
        "stored features",
        beside(results.write_features, text("cache/manifest.json", DEEP)),
        "refused",
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files(what, tmp_path):
    name, write, expected = HOSTILE[what]
    if what.startswith("a small"):  # writing them takes what reading must not
        (tmp_path / "made").mkdir()
        write(tmp_path / "made")
    outcome = watch(READERS[name], lambda number, place: write(place), 1, tmp_path)
    assert not outcome.failures, outcome.failures[0]
    assert (outcome.read, outcome.refused) == ((1, 0) if expected == "read" else (0, 1))
