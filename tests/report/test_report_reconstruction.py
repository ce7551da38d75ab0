"""Pictures of reconstructions: that each shows what its heading says, that files come back whole.

Shapes: B faces, P pictures of each, C colours, H × W pixels.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from facemargin.errors import DataError
from facemargin.reconstruction import FaceReconstructor, ReconstructionConfig
from facemargin.report import ReconstructionGallery, load_run, reconstruction_pictures
from facemargin.report.wording import angle_text, psnr_text
from tests.report.reconstruction_galleries import HEADINGS, made_up_gallery, made_up_pictures
from tests.report.report_runs import gallery, pair_scores

SIZE = 32


def reconstructor(**settings):
    torch.manual_seed(0)
    return FaceReconstructor(ReconstructionConfig(width=4, latent_size=8, **settings), SIZE).eval()


@torch.no_grad()
def reconstructed(model, count=3, **changes):
    """Random images, and what the model makes of them with some of it replaced."""
    images_BCHW = torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return images_BCHW, replace(model(images_BCHW), **changes)


def drawn(pictures, heading):
    """(B, H, W, C) as floats."""
    return pictures.pictures_BPHWC[:, pictures.headings.index(heading)].astype(float)


def as_pixels(image_BCHW):
    return ((image_BCHW.clamp(-1, 1) + 1) * 127.5).permute(0, 2, 3, 1).numpy()


def views(count, yaw=0.0, pitch=0.0, roll=0.0, x=0.0):
    return torch.tensor([[math.radians(yaw), math.radians(pitch), math.radians(roll), x, 0, 0]]).expand(count, 6)


def test_each_picture_is_what_the_renderer_gives():
    model = reconstructor()
    images_BCHW, reconstruction = reconstructed(model, view_B6=views(3, yaw=20, roll=10, x=0.01))
    pictures = reconstruction_pictures(model, images_BCHW, reconstruction)
    assert pictures.headings == HEADINGS
    assert pictures.pictures_BPHWC.shape == (3, len(HEADINGS), SIZE, SIZE, 3)
    np.testing.assert_allclose(drawn(pictures, "Input"), as_pixels(images_BCHW), atol=0.51)
    canonical_BHWC = as_pixels(reconstruction.canonical_image_BCHW)
    np.testing.assert_allclose(drawn(pictures, "Canonical face"), canonical_BHWC, atol=0.51)
    albedo_BHWC = reconstruction.albedo_BCHW.permute(0, 2, 3, 1).numpy() * 255
    np.testing.assert_allclose(drawn(pictures, "Albedo"), albedo_BHWC, atol=0.51)
    turned_B6 = {"Reconstruction": None} | {f"Turned by −{d}°": views(3, yaw=-d) for d in (15, 30)}
    for heading, view_B6 in (turned_B6 | {f"Turned by +{d}°": views(3, yaw=d) for d in (15, 30)}).items():
        with torch.no_grad():
            seen = model.render(reconstruction, view_B6=view_B6)
        hidden_BHW = seen.mask_BHW.numpy() == 0
        assert 10 < hidden_BHW.sum() < hidden_BHW.size / 2, heading
        picture_BHWC = drawn(pictures, heading)
        assert np.abs(picture_BHWC[hidden_BHW] - 127.5).max() < 1, heading
        expected_BHWC = as_pixels(seen.image_BCHW)
        np.testing.assert_allclose(picture_BHWC[~hidden_BHW], expected_BHWC[~hidden_BHW], atol=0.51, err_msg=heading)


def test_angles_and_psnr_are_those_of_the_reconstruction():
    model = reconstructor()
    view_B6 = torch.cat([views(1, yaw=20, pitch=-5, roll=10), views(1, yaw=-40)])
    images_BCHW, reconstruction = reconstructed(model, count=2, view_B6=view_B6)
    pictures = reconstruction_pictures(model, images_BCHW, reconstruction)
    np.testing.assert_allclose(pictures.angles_B3, [[20, -5, 10], [-40, 0, 0]], atol=1e-4)
    with torch.no_grad():
        seen = model.render(reconstruction)
    for face in range(2):
        squares = [
            (images_BCHW[face, c, h, w].item() - min(max(seen.image_BCHW[face, c, h, w].item(), -1), 1)) ** 2
            for c in range(3)
            for h in range(SIZE)
            for w in range(SIZE)
            if seen.mask_BHW[face, h, w]
        ]
        assert len(squares) < 3 * SIZE**2
        assert pictures.psnr_B[face] == pytest.approx(10 * math.log10(4 / (sum(squares) / len(squares))), abs=1e-4)


def test_near_is_light_on_one_scale_for_all_faces():
    model = reconstructor(relief=0.06, residual_depth=0.04)  # depths from 0.93 to 1.07
    depth_BHW = torch.stack([torch.full((SIZE, SIZE), depth) for depth in (0.93, 0.965, 1.0, 1.07)])
    images_BCHW, reconstruction = reconstructed(model, count=4, canonical_depth_BHW=depth_BHW)
    grays = drawn(reconstruction_pictures(model, images_BCHW, reconstruction), "Depth").mean(axis=(1, 2, 3))
    np.testing.assert_allclose(grays, [255, 191.25, 127.5, 0], atol=0.6)


def test_a_light_from_a_side_lights_that_side_of_the_head():
    model = reconstructor(residual_depth=0.0)
    images_BCHW, reconstruction = reconstructed(model, albedo_BCHW=torch.full((3, 3, SIZE, SIZE), 0.5))
    reconstruction = replace(reconstruction, view_B6=views(3))
    pictures = reconstruction_pictures(model, images_BCHW, reconstruction)
    left_BHWC, right_BHWC = drawn(pictures, "Lit from the left"), drawn(pictures, "Lit from the right")
    half = SIZE // 2
    assert (left_BHWC[:, :, :half].mean(axis=(1, 2, 3)) > left_BHWC[:, :, half:].mean(axis=(1, 2, 3)) + 20).all()
    np.testing.assert_allclose(left_BHWC, right_BHWC[:, :, ::-1], atol=1.1)
    strength_B = reconstruction.light_B4[:, :2].sum(dim=1).numpy()
    assert (left_BHWC.max(axis=(1, 2, 3)) <= 255 * 0.5 * strength_B + 1).all()
    surface_BHW = drawn(pictures, "Surface")[..., 0]
    assert (surface_BHW[:, :half, :half].mean(axis=(1, 2)) > surface_BHW[:, half:, half:].mean(axis=(1, 2)) + 40).all()


def test_a_positive_yaw_takes_the_nose_to_the_right():
    model = reconstructor(residual_depth=0.0)
    image_BCHW = torch.full((3, 3, SIZE, SIZE), -1.0)
    image_BCHW[..., SIZE // 2 - 2 : SIZE // 2 + 2, SIZE // 2 - 2 : SIZE // 2 + 2] = 1.0  # a bright nose
    images_BCHW, reconstruction = reconstructed(model, canonical_image_BCHW=image_BCHW)
    pictures = reconstruction_pictures(model, images_BCHW, reconstruction)
    columns = []
    for degrees in ("−30", "−15", "+15", "+30"):
        nose_BHW = drawn(pictures, f"Turned by {degrees}°")[..., 0] > 200
        columns.append(np.argwhere(nose_BHW[0])[:, 1].mean() - (SIZE - 1) / 2)
    assert columns[0] < columns[1] < -1 and 1 < columns[2] < columns[3]


def test_a_head_outside_the_picture_is_drawn_too():
    model = reconstructor()
    images_BCHW, reconstruction = reconstructed(model, view_B6=views(3, x=5.0))
    pictures = reconstruction_pictures(model, images_BCHW, reconstruction)
    assert np.abs(drawn(pictures, "Reconstruction") - 127.5).max() < 1
    assert np.isnan(pictures.psnr_B).all()


def test_numbers_as_the_report_words_them():
    assert [angle_text(angle) for angle in (12.4, -3.6, -0.4, 0.0)] == ["+12°", "−4°", "+0°", "+0°"]
    assert [psnr_text(psnr) for psnr in (21.46, math.nan)] == ["21.5\N{NO-BREAK SPACE}dB", "–"]


@pytest.mark.parametrize(
    "changes",
    [
        {"pictures_BPHWC": np.zeros((3, 12, 8, 8, 3), np.float32)},
        {"pictures_BPHWC": np.zeros((3, 12, 8, 8), np.uint8)},
        {"pictures_BPHWC": np.zeros((3, 12, 0, 8, 3), np.uint8)},
        {"pictures_BPHWC": np.zeros((2, 12, 8, 8, 3), np.uint8)},
        {"headings": HEADINGS[:-1]},
        {"angles_B3": np.zeros((3, 2))},
        {"angles_B3": np.array([[0, 0, 0], [0, np.nan, 0], [0, 0, 0]])},
        {"psnr_B": np.zeros(2)},
    ],
)
def test_what_does_not_belong_together_is_refused(changes):
    with pytest.raises(DataError):
        made_up_pictures(**changes)


def test_every_face_needs_a_caption():
    with pytest.raises(DataError, match="2 captions for 3 faces"):
        ReconstructionGallery(made_up_pictures(3), ["a", "b"], "")


def test_saving_and_loading_gives_the_same_gallery(tmp_path):
    saved = made_up_gallery(psnr_B=np.array([20.0, np.nan, 18.5]), credit="Faces: über «people» & others")
    saved.save(tmp_path / "reconstructions.npz")
    loaded = ReconstructionGallery.load(tmp_path / "reconstructions.npz")
    for name in ("pictures_BPHWC", "angles_B3", "psnr_B"):
        np.testing.assert_array_equal(getattr(loaded.pictures, name), getattr(saved.pictures, name))
    assert loaded.pictures.headings == HEADINGS
    assert (loaded.captions, loaded.credit) == (saved.captions, saved.credit)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "reconstructions.npz"
    made_up_gallery().save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for damaged in (b"", b"not an archive", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"reconstructions\.npz is not a gallery"):
            ReconstructionGallery.load(path)
    gallery().save(path)  # faces and their quality: another kind of gallery
    with pytest.raises(DataError, match=r"reconstructions\.npz is not a gallery"):
        ReconstructionGallery.load(path)


def test_pickled_arrays_are_not_loaded(tmp_path):
    path = tmp_path / "reconstructions.npz"
    np.savez(path, pictures_BPHWC=np.array([{}], dtype=object), angles_B3=0, psnr_B=0, text=np.array("{}"))
    with pytest.raises(DataError, match=r"reconstructions\.npz"):
        ReconstructionGallery.load(path)


def test_a_run_folder_may_hold_them_with_scores_and_alone(tmp_path):
    for dataset in ("people", "strangers"):
        place = tmp_path / "evaluation" / dataset
        place.mkdir(parents=True)
        made_up_gallery(4).save(place / "reconstructions.npz")
    pair_scores(dataset="people").save(tmp_path / "evaluation" / "people" / "facemargin.npz")
    people, strangers = load_run(tmp_path).evaluations
    assert [len(one.reconstructions.captions) for one in (people, strangers)] == [4, 4]
    assert [system.system for system in people.systems] == ["facemargin"] and strangers.systems == []
    (tmp_path / "evaluation" / "people" / "reconstructions.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"people/reconstructions\.npz"):
        load_run(tmp_path)
