"""`facemargin reconstruct`, and the reconstructions that `facemargin evaluate` puts into the report.

Shapes: B = 1 face, N images, P pictures, H × W pixels.
"""

import math
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.commands._scoring import score_systems
from facemargin.data.formats.orl import ORL_CREDIT, EmbeddedFaces
from facemargin.data.images.pixels import normalize, resize_square, to_tensor
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ArrayImages
from facemargin.evaluation import fit_pixel_embed
from facemargin.models.info import ModelInfo, save_model
from facemargin.models.recognizer import create_recognizer
from facemargin.reconstruction import ReconstructionConfig
from facemargin.report import ReconstructionGallery, ReconstructionPictures, reconstruction_pictures
from tests.commands.face_folder import write_crfiqa_model, write_faces

SIZE = 16
PICTURES = 12


def write_model(path, **changes):
    """A model with a reconstructor that nobody has trained."""
    torch.manual_seed(0)
    values = {
        "backbone": "small_resnet",
        "options": {"input_size": SIZE, "width": 4},
        "embedding_size": 8,
        "input_size": SIZE,
        "loss": "lh2face",
        "reconstruction": asdict(ReconstructionConfig(width=4, latent_size=8)),
    }
    info = ModelInfo(**{**values, **changes})
    save_model(path, create_recognizer(info).state_dict(), info)
    return path


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("joint") / "model.safetensors")


@pytest.fixture(scope="module")
def alone_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "model.safetensors"
    return write_model(path, backbone=None, options={}, embedding_size=0, loss="reconstruction")


def read_image(path):
    return cv2.imread(str(path))[:, :, ::-1]


def expected_of(model_file, image):
    """What the model's reconstructor says of an image, asked directly, and its pictures."""
    reconstructor = fm.load(model_file).recognizer.reconstructor
    images_BCHW = normalize(torch.stack([to_tensor(resize_square(image, SIZE))]))
    with torch.no_grad():
        reconstruction = reconstructor(images_BCHW)
    return reconstruction, reconstruction_pictures(reconstructor, images_BCHW, reconstruction)


def stored(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def rows(out):
    """The cells of every row of the printed table."""
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]


def test_strips_arrays_and_table_are_what_the_model_says(command, model_file, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 3), each=2)
    output = tmp_path / "new" / "folder"
    code, out, err = command("reconstruct", model_file, tmp_path / "faces", "--output", output)
    assert (code, err) == (0, "")
    assert out.endswith(f"4 strips of pictures and reconstructions.npz: {output}\n")
    names = [f"faces/s{person}/s{person}_000{number}.jpg" for person in (1, 2) for number in (1, 2)]
    files = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    assert files == sorted([*(f"{name}.png" for name in names), "reconstructions.npz"])  # and no partial files
    arrays = stored(output / "reconstructions.npz")
    assert arrays.keys() == {"paths", "depth", "albedo", "light", "view", "psnr"}
    assert arrays["paths"].tolist() == names
    table = rows(out)
    assert len(table) == 4
    for face, (name, path) in enumerate(zip(names, paths, strict=True)):
        reconstruction, pictures = expected_of(model_file, read_image(path))
        strip_HWC = read_image(output / f"{name}.png")
        assert strip_HWC.shape == (SIZE, PICTURES * SIZE, 3)
        for column, picture_HWC in enumerate(pictures.pictures_BPHWC[0]):
            shown_HWC = strip_HWC[:, column * SIZE : (column + 1) * SIZE].astype(int)
            assert np.abs(shown_HWC - picture_HWC).max() <= 1
        np.testing.assert_allclose(arrays["depth"][face], reconstruction.canonical_depth_BHW[0], atol=1e-5)
        np.testing.assert_allclose(arrays["albedo"][face], reconstruction.albedo_BCHW[0].permute(1, 2, 0), atol=1e-5)
        np.testing.assert_allclose(arrays["light"][face], reconstruction.light_B4[0], atol=1e-5)
        np.testing.assert_allclose(arrays["view"][face], reconstruction.view_B6[0], atol=1e-5)
        np.testing.assert_allclose(arrays["psnr"][face], pictures.psnr_B[0], rtol=1e-3)
        shown_name, *angles, psnr = table[face]
        assert shown_name == name
        degrees = [math.degrees(angle) for angle in reconstruction.view_B6[0, :3].tolist()]
        assert [float(angle.replace("−", "-").rstrip("°")) for angle in angles] == pytest.approx(degrees, abs=0.51)
        assert float(psnr.split()[0]) == pytest.approx(pictures.psnr_B[0], abs=0.06)


def test_corrupt_images_are_named_and_left_out_and_equal_stems_kept_apart(command, model_file, tmp_path):
    first, second, third = write_faces(tmp_path / "faces", range(1, 2))
    assert cv2.imwrite(str(first.with_suffix(".png")), cv2.imread(str(first)))
    second.write_bytes(second.read_bytes()[:100])
    third.rename(third.parent / "na\udcffme [red].jpg")  # a byte that is no UTF-8, and markup
    code, out, err = command("reconstruct", model_file, tmp_path / "faces" / "s1", "--output", tmp_path / "out")
    assert code == 0
    lines = err.splitlines()
    assert lines[0].startswith(f"{second}: the image is truncated")
    assert lines[1:] == ["warning: 1 of 4 images cannot be read and was left out; it is named above"]
    names = ["s1/na\udcffme [red].jpg", "s1/s1_0001.jpg", "s1/s1_0001.png"]
    assert stored(tmp_path / "out" / "reconstructions.npz")["paths"].tolist() == names
    assert all((tmp_path / "out" / f"{name}.png").is_file() for name in names)
    assert [row[0] for row in rows(out)] == ["s1/na�me [red].jpg", *names[1:]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{model}", "--output", "{tmp}/out"], "no images are given"),
        (["{model}", "{tmp}/none", "--output", "{tmp}/out"], "none does not exist"),
        (["{model}", "{tmp}/bad.png", "--output", "{tmp}/out"], "the only image of"),
        (["{model}", "{tmp}/faces"], "--output"),
        (["{model}", "{tmp}/faces", "--output", "{tmp}/bad.png"], "cannot write"),
        (["{tmp}/faces", "{tmp}/faces", "--output", "{tmp}/out"], "there is no model file"),
        (["{plain}", "{tmp}/faces", "--output", "{tmp}/out"], "has no face reconstruction: train one with"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, model_file, tmp_path, arguments, message):
    write_faces(tmp_path / "faces", range(1, 2), each=1)
    plain = write_crfiqa_model(tmp_path / "plain.safetensors")
    (tmp_path / "bad.png").write_bytes(b"garbage")
    words = [word.format(model=model_file, tmp=tmp_path, plain=plain) for word in arguments]
    code, out, err = command("reconstruct", *words)
    assert code == 2
    assert message in out + err
    assert not (tmp_path / "out").exists()


def few_pairs(count):
    """A set of `count` images; image i is grey, of value i."""
    images = ArrayImages([np.full((20, 10, 3), index, np.uint8) for index in range(count)], "grey")
    first_K, second_K = np.array([0, 1, 2, 0]), np.array([1, 2, 3, 3])
    return VerificationSet("grey", images, first_K, second_K, np.array([True, False, True, False]))


def pixels_less_white():
    """Raw pixels less a white image: none of `few_pairs` is that one, which would have no direction."""
    return fit_pixel_embed(ArrayImages([np.full((20, 10, 3), 255, np.uint8)]))


def pictures_of(images):
    """One picture a face, which tells which image it is of."""
    pictures_BPHWC = np.stack([resize_square(image, 8)[None] for image in images])
    return ReconstructionPictures(["Input"], pictures_BPHWC, np.zeros((len(images), 3)), np.zeros(len(images)))


@pytest.mark.parametrize(
    ("count", "expected"), [(4, [0, 1, 2, 3]), (12, list(range(12))), (56, list(range(0, 56, 5))), (13, None)]
)
def test_faces_spread_over_the_set_are_kept_for_the_report(tmp_path, count, expected):
    pairs = few_pairs(count)
    score_systems({"ours": pixels_less_white()}, pairs, tmp_path, reconstruct=pictures_of)
    gallery = ReconstructionGallery.load(tmp_path / "evaluation" / "grey" / "reconstructions.npz")
    shown = gallery.pictures.pictures_BPHWC[:, 0, 0, 0, 0].tolist()
    assert shown == expected or (expected is None and len(set(shown)) == 12 and shown[0] == 0 and shown[-1] == 12)
    assert gallery.captions == [f"grey: image {index}" for index in shown]
    assert gallery.credit == "Faces: grey"


def test_reconstructions_of_an_earlier_model_do_not_stay(tmp_path):
    pairs = few_pairs(4)
    systems = {"ours": pixels_less_white()}
    score_systems(systems, pairs, tmp_path, reconstruct=pictures_of)
    score_systems(systems, pairs, tmp_path)
    files = sorted(path.name for path in (tmp_path / "evaluation" / "grey").iterdir())
    assert files == ["faces.npz", "ours.json", "ours.npz"]


@pytest.mark.slow
def test_evaluate_puts_them_into_the_report(command, model_file, tmp_path):
    output = tmp_path / "evaluated"
    code, _, err = command("evaluate", model_file, "--data", "orl:31-32", "--degraded", "--output", output)
    assert (code, err) == (0, "")
    clean, degraded = sorted(output.glob("evaluation/*/reconstructions.npz"))
    gallery = ReconstructionGallery.load(clean)
    faces = EmbeddedFaces([31, 32])
    chosen = [int(step * 19 / 11) for step in range(12)]
    assert gallery.captions == ["/".join(faces.describe(index).split("/")[-2:]) for index in chosen]
    assert gallery.credit == ORL_CREDIT
    for face in (0, 7, 11):
        _, pictures = expected_of(model_file, faces.read(chosen[face]))
        difference_PHWC = gallery.pictures.pictures_BPHWC[face].astype(int) - pictures.pictures_BPHWC[0]
        assert np.abs(difference_PHWC).max() <= 1
        np.testing.assert_allclose(gallery.pictures.angles_B3[face], pictures.angles_B3[0], atol=1e-3)
    shown_BHWC, degraded_BHWC = (
        ReconstructionGallery.load(one).pictures.pictures_BPHWC[:, 0] for one in (clean, degraded)
    )
    assert not np.array_equal(shown_BHWC, degraded_BHWC)
    html = (output / "report.html").read_text()
    assert html.count('<table class="reconstructions">') == 2
    assert html.count(": canonical face") == 2 * 12


@pytest.mark.slow
def test_a_reconstruction_alone_is_drawn_and_shown_without_scores(command, alone_file, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 2), each=1)
    code, _, err = command("reconstruct", alone_file, *paths, "--output", tmp_path / "out")
    assert (code, err) == (0, "") and (tmp_path / "out" / "s1" / "s1_0001.jpg.png").is_file()
    output = tmp_path / "evaluated"
    code, out, err = command("evaluate", alone_file, "--data", "orl:31-32", "--output", output)
    assert (code, err) == (0, "") and out.startswith("report: ")
    assert sorted(path.name for path in (output / "evaluation" / "orl-31-32").iterdir()) == [
        "origin.json",
        "reconstructions.npz",
    ]
    html = (output / "report.html").read_text()
    assert html.count(": canonical face") == 12 and "Verification on" not in html
    code, _, err = command("evaluate", alone_file, "--data", "orl:31-32", "--output", output, "--views", "one")
    assert code == 2 and "--quality and --views do not apply" in err
