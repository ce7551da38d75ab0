"""One picture has one answer: in Python, by the verb, over HTTP and on the page; or it is refused, in words."""

import io
from itertools import count

import cv2
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import facemargin as fm
from facemargin.cli import main
from facemargin.data.source import encode_png
from facemargin.serving.app import create_app
from facemargin.serving.client import _content
from facemargin.serving.settings import ServiceSettings
from tests.data.image_kinds import by_opencv, by_pillow, files
from tests.serving.asking import images
from tests.serving.test_serving_pages import send, text_of, two


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif.tobytes()


def kinds(face: np.ndarray) -> dict[str, bytes]:
    """The face as files of every format, turned, with transparency, of other depths and colours, with several
    frames."""
    found = {suffix: content for suffix, (_, content, _) in files(face).items()}
    found |= {f"{o}.jpg": by_pillow(face, "JPEG", exif=turned(o)) for o in range(1, 9)}
    found |= {f"turned.{kind}": by_pillow(face, kind, exif=turned(6)) for kind in ("png", "webp", "tiff", "avif")}
    found |= {f"{mode}.png": by_pillow(face, "PNG", mode) for mode in ("RGBA", "L", "LA", "P", "1")}
    found |= {f"{mode}.jpg": by_pillow(face, "JPEG", mode) for mode in ("L", "CMYK")}
    found["gray16.png"] = by_opencv(face[..., 0].astype(np.uint16) * 257, ".png")
    found["rgb16.png"] = by_opencv(face.astype(np.uint16) * 257, ".png")
    found["12 bits.pgm"] = b"P5 92 92 4095\n" + (face[..., 0].astype(">u2") * 16).tobytes()
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - face)]}
    found |= {f"several.{kind}": by_pillow(face, kind, **frames) for kind in ("png", "gif", "webp", "tiff")}
    return found


@pytest.fixture(scope="module")
def client(parts):
    settings = ServiceSettings(batch_size=1, max_images=100, max_body=64 << 20, max_pixels=60_000_000)
    app = create_app(parts.model, calibration=parts.calibration, settings=settings)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def test_it_has_the_same_vector_everywhere(client, parts, tmp_path):
    face = parts.faces.read(0)
    pictures = kinds(face)
    paths = [
        tmp_path / f"{number:02}{'.' * ('.' not in name)}{name}"
        for number, name in zip(count(), pictures, strict=False)
    ]
    for path, content in zip(paths, pictures.values(), strict=True):
        path.write_bytes(content)
    by_path = parts.model.embed(paths, batch_size=1).vectors
    by_content = parts.model.embed(list(pictures.values()), batch_size=1).vectors
    asked = client.post("/v1/embed", files=images(*map(_content, paths))).json()["images"]
    output = tmp_path / "out.npz"
    main(["embed", parts.network, *map(str, paths), "--output", str(output), "--batch-size", "1"])
    with np.load(output) as found:
        written = dict(
            zip([path.rpartition("/")[2] for path in found["paths"].tolist()], found["embeddings"], strict=True)
        )
    for place, (path, expected) in enumerate(zip(paths, by_path, strict=True)):
        assert np.array_equal(by_content[place], expected), path.name
        assert np.array_equal(np.float32(asked[place]["vector"]), expected), path.name
        assert np.array_equal(written[path.name], expected), path.name
        with Image.open(path) as opened:
            if "CMYK" not in path.name and "12 bits" not in path.name:
                assert np.array_equal(parts.model.embed(opened).vectors[0], expected), path.name


def test_on_the_page(client, parts):
    a, b = by_pillow(parts.faces.read(0), "JPEG", exif=turned(6)), parts.png[1]
    expected = fm.verify(parts.model, a, b, parts.calibration, 0.1)
    assert f"{expected.score:.4f}" in text_of(send(client, "/", two(a, b), fmr="0.1"))


def test_a_picture_of_49_million_pixels(client, parts):
    """As telephones take them: the same, or refused because it is too large."""
    big = cv2.resize(parts.faces.read(0), (7000, 7000), interpolation=cv2.INTER_CUBIC)
    content = by_opencv(big, ".jpg")
    expected = parts.model.embed(content)
    (found,) = client.post("/v1/embed", files=images(content)).json()["images"]
    assert np.array_equal(np.float32(found["vector"]), expected.vectors[0]) and found["norm"] == expected.norms[0]
    with TestClient(create_app(parts.model), base_url="http://127.0.0.1") as usual:
        (refused,) = usual.post("/v1/embed", files=images(content)).json()["images"]
    assert refused["vector"] is None and "has 49,000,000 pixels, at most 32,000,000" in refused["problem"]["words"]


def test_the_client_reads_files_as_the_library_does(parts, tmp_path):
    client = fm.Client("http://127.0.0.1:9")
    for path, words in (("/dev/zero", "is not a file"), (tmp_path, "is not a file"), ("none*.png", "not expanded")):
        with pytest.raises(fm.DataError, match=words):
            client.embed(path)
    (tmp_path / "A\u030asa.png").write_bytes(encode_png(parts.faces.read(0)))
    assert _content(tmp_path / "\u00c5sa.png") == parts.png[0] == _content(io.BytesIO(parts.png[0]))
