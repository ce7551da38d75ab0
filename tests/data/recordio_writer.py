"""A minimal writer of InsightFace RecordIO sets, for tests only; written from the format's description."""

import struct
from itertools import pairwise
from pathlib import Path

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)


def payload(label: float | list[float], key: int, image: bytes = b"") -> bytes:
    """The header, its labels if there are several, and the image."""
    if isinstance(label, list):
        return struct.pack(f"<IfQQ{len(label)}f", len(label), 0.0, key, 0, *label) + image
    return struct.pack("<IfQQ", 0, label, key, 0) + image


def record(content: bytes) -> bytes:
    """One record, split wherever the content has the magic at a multiple of 4."""
    starts = [i for i in range(0, len(content) - 3, 4) if content[i : i + 4] == MAGIC_BYTES]
    bounds = [0, *starts, len(content)]
    parts = [content[start + (4 if i else 0) : end] for i, (start, end) in enumerate(pairwise(bounds))]
    flags = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        struct.pack("<II", MAGIC, flag << 29 | len(part)) + part + b"\0" * (-len(part) % 4)
        for flag, part in zip(flags, parts, strict=True)
    )


def write_records(folder: Path, payloads: dict[int, bytes]) -> Path:
    """train.rec and train.idx with these payloads by key; returns the path of train.rec."""
    folder.mkdir(parents=True, exist_ok=True)
    content, index = b"", []
    for key, part in payloads.items():
        index.append(f"{key}\t{len(content)}\n")
        content += record(part)
    (folder / "train.idx").write_text("".join(index))
    (folder / "train.rec").write_bytes(content)
    return folder / "train.rec"


def insightface_payloads(people: list[list[bytes]]) -> dict[int, bytes]:
    """The payloads of a set in today's layout: a header record, the images of each person, one record per person."""
    images = [(label, image) for label, person in enumerate(people) for image in person]
    payloads = {0: payload([len(images) + 1.0, len(images) + 1.0 + len(people)], 0)}
    payloads |= {key: payload(float(label), key, image) for key, (label, image) in enumerate(images, 1)}
    first = 1
    for key, person in enumerate(people, len(images) + 1):
        payloads[key] = payload([float(first), float(first + len(person))], key)
        first += len(person)
    return payloads
