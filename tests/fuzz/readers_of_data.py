"""Every reader of data/, with a real file by the tool that usually writes it."""

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset
from PIL import Image

from facemargin.data.formats.named_images import NamedImages
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource
from facemargin.data.videos.frames import VideoFrames
from facemargin.errors import CorruptImageError
from tests.clips import write_video
from tests.data import image_kinds
from tests.data.recordio_writer import insightface_payloads, write_records
from tests.data.sample_images import encode, smooth_image
from tests.fuzz.fuzzing import TIME, Reader

PNG, JPEG, WEBP = (
    [encode(smooth_image(number, 12, 12), suffix) for number in range(6)] for suffix in (".png", ".jpg", ".webp")
)
LABELS = [0, 0, 1, 1, 2, 2]


def read_all(images: ImageSource) -> list[str]:
    """Read every image; the messages about those that are corrupt."""
    messages = []
    for index in range(len(images)):
        try:
            image = images.read(index)
        except CorruptImageError as error:
            messages.append(str(error))
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
    return messages


def read_images(folder: Path) -> list[str]:
    images = open_images(folder)
    assert len(images.labels) == len(images) > 0
    assert images.labels.min() >= 0 and images.labels.max() < images.num_identities
    return read_all(images)


def write_recordio(folder: Path, index: bool = True) -> None:
    images = [encode(smooth_image(number, 12, 12)) for number in range(6)]
    write_records(folder, insightface_payloads([images[:2], images[2:3], images[3:]]))
    (folder / "property").write_text("3,12,12")
    (folder / "identities.txt").write_text("Ann\nBob\nCem\n")
    if not index:
        (folder / "train.idx").unlink()


def write_recordio_of_short_index(folder: Path) -> None:
    write_old_recordio(folder)
    lines = (folder / "train.idx").read_text().splitlines(keepends=True)
    (folder / "train.idx").write_text("".join(lines[:5]))


def write_old_recordio(folder: Path) -> None:
    write_records(folder, {key: _old_payload(key, image) for key, image in enumerate([*JPEG, *PNG])})


def _old_payload(key: int, image: bytes) -> bytes:
    return (
        np.array([0], "<u4").tobytes()
        + np.array([key // 2], "<f4").tobytes()
        + np.array([key, 0], "<u8").tobytes()
        + image
    )


def write_and_open(write):
    """Opening saves what scanning found."""

    def written(folder: Path) -> None:
        write(folder)
        for path in folder.iterdir():
            os.utime(path, ns=(TIME, TIME))
        open_images(folder)

    return written


def write_image_files(folder: Path, images: list[bytes] = PNG, suffix: str = ".png") -> None:
    for number, image in enumerate(images):
        path = folder / f"person{number // 2}" / f"{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)


def write_shard(folder: Path) -> None:
    with webdataset.TarWriter(str(folder / "train-000.tar")) as writer:
        for number, (image, label) in enumerate(zip(PNG, LABELS, strict=True)):
            writer.write({"__key__": f"{number:06d}", "png": image, "cls": label, "json": {"n": number}})


def write_gnu_shard(folder: Path) -> None:
    """Long names and extended headers."""
    with tarfile.open(folder / "train-000.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for number in range(3):
            for name, content in ((f"{'d' * 120}/{number}.jpg", JPEG[number]), (f"{'d' * 120}/{number}.cls", b"1")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    with tarfile.open(folder / "train-001.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (("é" * 60 + ".jpg", JPEG[3]), ("é" * 60 + ".cls", b"2")):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), {"comment": "x" * 50}
            archive.addfile(info, io.BytesIO(content))


def write_members(path: Path, members: list[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_dotted_shard(folder: Path) -> None:
    images = [(f"p/v1.{number}.png", image) for number, image in enumerate(PNG)]
    labels = [(f"p/v1.{number}.json", b'{"label": "Ann %d"}' % (number // 2)) for number in range(6)]
    write_members(folder / "train-000.tar", images + labels)


def write_folder_shard(folder: Path) -> None:
    write_members(folder / "faces.tar", [(f"faces/p{number // 2}/{number}.jpg", JPEG[number]) for number in range(6)])


def compressed(write):
    def written(folder: Path) -> None:
        write(folder)
        for path in folder.glob("*.tar"):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 1))
            path.unlink()

    return written


def write_parquet(**options):
    def write(folder: Path) -> None:
        images = [{"bytes": image, "path": f"{number}.png"} for number, image in enumerate(PNG)]
        label = {"names": ["Ann", "Bob", "Cem"], "_type": "ClassLabel"}
        features = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
        table = pa.table({"image": images, "label": LABELS}).replace_schema_metadata(
            {"huggingface": json.dumps(features)}
        )
        pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=2, **options)

    return write


def write_text_parquet(folder: Path) -> None:
    table = pa.table({"jpg": JPEG, "identity": [f"p{label}" for label in LABELS]})
    pq.write_table(table, folder / "a.parquet", row_group_size=3)


def write_list(lines):
    def write(folder: Path) -> None:
        write_image_files(folder)
        (folder / "list.txt").write_text("\n".join(lines) + "\n")

    return write


PATHS = [f"person{number // 2}/{number}.png" for number in range(6)]


def read_named(folder: Path) -> list[str]:
    return read_all(NamedImages([folder / "list.txt", folder / "person0"]))


def write_kinds(suffix: str):
    return lambda folder: write_image_files(folder, [encode(smooth_image(n, 12, 12), suffix) for n in range(2)], suffix)


def write_unusual_images(folder: Path) -> None:
    """Progressive and grey JPEG, PNG of 16 bits and with a palette's worth of greys, lossy WebP, and a thumbnail."""
    image, gray = smooth_image(1, 12, 12), smooth_image(2, 12, 12)[..., 0]
    kinds = [
        (".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (".jpg", gray, []),
        (".png", gray.astype(np.uint16) * 257, []),
        (".png", (gray > 128).astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1]),
        (".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 50]),
    ]
    for number, (suffix, pixels, options) in enumerate(kinds):
        written = cv2.imencode(suffix, pixels, options)[1].tobytes()
        path = folder / "person" / f"{number}{suffix}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(written)


def write_rare_kind(kind: str):
    """Two small images of a kind, by Pillow where that writes it, in a folder."""

    def write(folder: Path) -> None:
        images = [image_kinds.files(smooth_image(number, 12, 12))[kind][1] for number in range(2)]
        write_image_files(folder, images, kind)

    return write


def write_animations(folder: Path) -> None:
    """Several pictures in one file: GIF, PNG, WebP, AVIF and TIFF."""
    more = [Image.fromarray(smooth_image(2, 12, 12))]
    for number, kind in enumerate(("GIF", "PNG", "WEBP", "AVIF", "TIFF")):
        written = image_kinds.by_pillow(smooth_image(1, 12, 12), kind, save_all=True, append_images=more)
        path = folder / "person" / f"{number}.{kind.lower()}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(written)


def write_clip(codec: str, suffix: str):
    """Twelve small frames."""
    return lambda folder: write_video(folder / f"a{suffix}", (smooth_image(n, 32, 48) for n in range(12)), codec=codec)


def read_clips(folder: Path) -> list[str]:
    problems = []
    for path in sorted(folder.iterdir()):
        frames = VideoFrames(path, 5)
        for frame in frames:
            assert frame.image.dtype == np.uint8 and frame.image.shape[2] == 3 and frame.image.size
        problems += [frames.problem] if frames.problem else []
    return problems


READERS = [
    Reader("recordio", write_recordio, read_images),
    Reader("recordio's .rec", write_recordio, read_images, ("*.rec",)),
    Reader("recordio's .idx", write_recordio, read_images, ("*.idx",)),
    Reader("old recordio without .idx", lambda folder: write_recordio(folder, index=False), read_images, ("*.rec",)),
    Reader("recordio whose .idx ends early", write_recordio_of_short_index, read_images),
    Reader("recordio of images only", write_old_recordio, read_images),
    Reader(
        "saved index of records",
        write_and_open(lambda folder: write_recordio(folder, index=False)),
        read_images,
        ("*.index.json",),
    ),
    Reader("shard", write_shard, read_images),
    Reader("GNU and pax shards", write_gnu_shard, read_images),
    Reader("shard of names with dots and labels in JSON", write_dotted_shard, read_images),
    Reader("archive of a folder of people", write_folder_shard, read_images),
    Reader("compressed shard", compressed(write_shard), read_images),
    Reader("saved index of a shard", write_and_open(write_shard), read_images, ("*.index.json",)),
    Reader(
        "saved index of a compressed shard", write_and_open(compressed(write_shard)), read_images, ("*.index.json",)
    ),
    Reader("parquet", write_parquet(), read_images),
    Reader(
        "parquet, zstd, version 1",
        write_parquet(compression="zstd", version="1.0", data_page_version="2.0"),
        read_images,
    ),
    Reader("parquet of texts", write_text_parquet, read_images),
    Reader("image list", write_list([f"{path}\t{k // 2}" for k, path in enumerate(PATHS)]), read_images, ("*.txt",)),
    Reader(
        "MXNet's .lst",
        write_list([f"{k}\t{k // 2}.0\t{path}" for k, path in enumerate(PATHS)]),
        read_images,
        ("*.txt",),
    ),
    Reader(
        "list with headings, commas and quotes",
        write_list(["# faces", "id,label,path", *(f'{k},"Lee, {k // 2}","{path}"' for k, path in enumerate(PATHS))]),
        read_images,
        ("*.txt",),
    ),
    Reader(
        "list of labels before paths",
        write_list([f"{k // 2 - 1} {path}" for k, path in enumerate(PATHS)]),
        read_images,
        ("*.txt",),
    ),
    Reader("list of paths", write_list(PATHS), read_named, ("*.txt",)),
    *(
        Reader(f"folder of {kind}", write_kinds(kind), read_images)
        for kind in (".jpg", ".png", ".bmp", ".webp", ".pgm")
    ),
    Reader("unusual images", write_unusual_images, read_images),
    *(
        Reader(f"folder of {kind}", write_rare_kind(kind), read_images)
        for kind in (".ppm", ".tiff", ".tif", ".TIF", ".gif", ".jp2", ".j2k", ".avif", ".heic")
    ),
    Reader("animations", write_animations, read_images),
    *(
        Reader(f"video {suffix} of {codec}", write_clip(codec, suffix), read_clips)
        for codec, suffix in (
            ("mp4v", ".mp4"),
            ("MJPG", ".avi"),
            ("XVID", ".avi"),
            ("mp4v", ".mkv"),
            ("VP80", ".webm"),
            ("FLV1", ".flv"),
            ("WMV2", ".wmv"),
            ("mpg1", ".mpg"),
        )
    ),
]
