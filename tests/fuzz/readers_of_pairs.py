"""Every reader of verification pairs, with a real file by the tool that usually writes it."""

import json
import pickle
from pathlib import Path

import numpy as np
import webdataset

from facemargin.data.open import open_verification
from facemargin.data.pairs.lfw import is_lfw_pairs
from facemargin.data.pairs.unlabeled import read_path_pairs
from tests.data.sample_images import smooth_image
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers_of_data import JPEG, PNG, compressed, read_all, write_image_files

SAME = [True, False, True]


def read_pairs(folder: Path) -> list[str]:
    pairs = open_verification(folder)
    assert len(pairs) > 0
    return read_all(pairs.images)


def write_bin(content: object, protocol: int):
    return lambda folder: (folder / "lfw.bin").write_bytes(pickle.dumps(content, protocol))


def write_python_2_bin(folder: Path) -> None:
    strings = b"".join(b"S" + repr(image)[1:].encode() + b"\na" for image in JPEG)
    truths = b"".join(b"I01\na" if same else b"I00\na" for same in SAME)
    (folder / "lfw.bin").write_bytes(b"((lp1\n" + strings + b"(lp2\n" + truths + b"tp3\n.")


ARRAYS = [np.frombuffer(image, np.uint8) for image in JPEG]
OBJECTS = np.empty(6, dtype=object)
OBJECTS[:] = JPEG
BINS = {
    "lists, protocol 2": (write_bin((JPEG, SAME), 2)),
    "lists, protocol 4": (write_bin((JPEG, SAME), 4)),
    "arrays, protocol 3": (write_bin((ARRAYS, np.array(SAME)), 3)),
    "arrays, protocol 5": (write_bin((ARRAYS, [np.bool_(one) for one in SAME]), 5)),
    "array of objects": (write_bin((OBJECTS, SAME), 4)),
    "array of strings": (write_bin((np.array(JPEG), np.array([1, 0, 1])), 4)),
    "python 2": write_python_2_bin,
}


def read_bin(folder: Path) -> list[str]:
    return read_pairs(folder / "lfw.bin")


def write_lfw(folder: Path) -> None:
    lines = ["1\t3"] + [f"Ann\t{k}\t{k + 1}" for k in (1, 2, 3)] + [f"Ann\t{k}\tBob\t1" for k in (1, 2, 3)]
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    for name, number in (("Ann", 1), ("Ann", 2), ("Ann", 3), ("Ann", 4), ("Bob", 1)):
        path = folder / "images" / name / f"{name}_{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG[number])


def write_pairs_list(name: str, header: str, separator: str):
    def write(folder: Path) -> None:
        write_image_files(folder)
        rows = [
            [f"person{k}/{2 * k}.png", f"person{j}/{2 * j + 1}.png", str(int(k == j)), str(k), f"p{k}", f"p{j}"]
            for k in range(3)
            for j in range(3)
        ]
        width = header.count(separator) + 1 if header else 3
        lines = [header] * bool(header) + [separator.join(row[:width]) for row in rows]
        (folder / name).write_text("\n".join(lines) + "\n")

    return write


def write_path_pairs(folder: Path) -> None:
    (folder / "ask.csv").write_text('path1,note,path2\na.jpg,"x, y",b.jpg\n"c ""d"".jpg",,é.jpg\n', encoding="utf-8")


def read_ask(folder: Path) -> None:
    read_path_pairs(folder / "ask.csv")


def write_memmap(folder: Path) -> None:
    (folder / "agedb" / "memfile").mkdir(parents=True)
    images = np.stack([smooth_image(number, 12, 12) for number in range(6)])
    array = (images[..., ::-1].transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
    array.tofile(folder / "agedb" / "memfile" / "mem_file.dat")
    conf = {"shape": list(array.shape), "dtype": "float32"}
    (folder / "agedb" / "memfile" / "mem_file.dat.conf").write_text(json.dumps(conf))
    np.save(folder / "agedb_list.npy", np.array(SAME))


def write_pair_shard(folder: Path) -> None:
    with webdataset.TarWriter(str(folder / "lfw-000.tar")) as writer:
        for number, same in enumerate(SAME):
            pair = {"img1.png": PNG[2 * number], "img2.png": PNG[2 * number + 1]}
            writer.write(
                {"__key__": f"{number:06d}", "cls": int(same), "img1": pair["img1.png"], "img2": pair["img2.png"]}
            )


def read_lfw_header(folder: Path) -> None:
    is_lfw_pairs(folder / "pairs.txt")
    read_pairs(folder)


TEXT = "path1,path2,same,fold,person1,person2"
READERS = [
    *(Reader(f"bin: {name}", write, read_bin) for name, write in BINS.items()),
    Reader("pairs.txt", write_lfw, read_lfw_header, ("*.txt",)),
    Reader("pairs.csv", write_pairs_list("pairs.csv", TEXT, ","), read_pairs, ("*.csv",)),
    Reader("pairs.tsv", write_pairs_list("pairs.tsv", "", "\t"), read_pairs, ("*.tsv",)),
    Reader("pairs with spaces", write_pairs_list("pairs.txt", "", " "), read_pairs, ("*.txt",)),
    Reader("pairs to verify", write_path_pairs, read_ask),
    Reader("memmap", write_memmap, lambda folder: read_pairs(folder / "agedb")),
    Reader("pair shard", write_pair_shard, read_pairs),
    Reader("compressed pair shard", compressed(write_pair_shard), read_pairs),
]
