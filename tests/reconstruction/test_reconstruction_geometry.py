"""Camera, view, normals, shading and rays, each against its formula written out or a case whose answer is known.

Shapes: B images, C channels, H × W pixels, 3 coordinates.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from facemargin.reconstruction import PinholeCamera, lambertian, reproject, shade, surface_normals
from facemargin.reconstruction.reprojection import _sampled_in_order, sample
from facemargin.reconstruction.view import rigid_motion

CAMERA = PinholeCamera(10.0)
DOUBLE = torch.float64


def smooth(*shape, seed=0, size=32):
    """Random maps without detail, of mean 0 and deviation of about 1, (*shape, size, size)."""
    coarse = torch.randn(1, math.prod(shape), 6, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size, mode="bicubic").reshape(*shape, size, size)


def bump(count=1, size=32):
    """Depth of a head-like bump, (count, size, size)."""
    xy_HW2 = CAMERA.rays(torch.empty(1, size, size, dtype=DOUBLE))[..., :2] / CAMERA.half_width
    return (1.035 - 0.07 * torch.exp(-xy_HW2.square().sum(-1) / 0.6)).expand(count, -1, -1).clone()


def test_pixels_to_points_and_back():
    depth_BHW = 1 + 0.05 * smooth(2)
    points_BHW3 = CAMERA.points(depth_BHW)
    torch.testing.assert_close(points_BHW3[..., 2], depth_BHW)
    pixels_BHW2 = CAMERA.project(points_BHW3)
    for column in range(32):
        assert pixels_BHW2[:, :, column, 0] == pytest.approx((2 * column + 1) / 32 - 1)
        assert pixels_BHW2[:, column, :, 1] == pytest.approx((2 * column + 1) / 32 - 1)
    # The picture's edge is seen half the field of view away from the axis.
    assert math.degrees(math.atan(points_BHW3[0, 0, -1, 0] / points_BHW3[0, 0, -1, 2] * 32 / 31)) == pytest.approx(5)


@pytest.mark.parametrize(
    ("view", "point", "moved"),
    [
        ((0.3, 0, 0, 0, 0, 0), (0, 0, -1), (math.sin(0.3), 0, -math.cos(0.3))),  # the nose goes right
        ((0, 0.3, 0, 0, 0, 0), (0, 0, -1), (0, -math.sin(0.3), -math.cos(0.3))),  # up
        ((0, 0, 0.3, 0, 0, 0), (1, 0, 0), (math.cos(0.3), math.sin(0.3), 0)),  # clockwise
        ((0, 0, 0, 0.1, -0.2, 0.3), (1, 2, 3), (1.1, 1.8, 3.3)),
        # Yaw is about the head's own axis, roll about the camera's.
        ((math.pi / 2, 0, math.pi / 2, 0, 0, 0), (0, 0, -1), (0, 1, 0)),
    ],
)
def test_a_view_moves_the_head_about_its_centre(view, point, moved):
    rotation_B33, translation_B3 = rigid_motion(torch.tensor([view], dtype=DOUBLE))
    center = torch.tensor([0, 0, 1], dtype=DOUBLE)
    found = rotation_B33[0] @ (torch.tensor(point, dtype=DOUBLE) + center) + translation_B3[0] - center
    assert found.tolist() == pytest.approx(moved, abs=1e-12)


def test_a_rotation_is_a_rotation():
    view_B6 = torch.randn(20, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    rotation_B33, _ = rigid_motion(view_B6)
    torch.testing.assert_close(rotation_B33 @ rotation_B33.mT, torch.eye(3, dtype=DOUBLE).expand(20, 3, 3))
    torch.testing.assert_close(rotation_B33.det(), torch.ones(20, dtype=DOUBLE))


def test_normals_of_a_plane():
    # The plane n·X = n·(0, 0, 1): along the ray r the depth is n_z / (n·r).
    normal_3 = F.normalize(torch.tensor([0.3, -0.2, -1.0], dtype=DOUBLE), dim=0)
    depth_HW = normal_3[2] / (CAMERA.rays(torch.empty(1, 24, 24, dtype=DOUBLE)) @ normal_3)
    normals_BHW3 = surface_normals(depth_HW[None], CAMERA)
    torch.testing.assert_close(normals_BHW3[0], normal_3.expand(24, 24, 3), atol=2e-3, rtol=0)


def test_normals_are_products_of_differences_of_points():
    depth_BHW = bump(1, 64) + 0.002 * smooth(1, size=64)
    normals_HW3 = surface_normals(depth_BHW, CAMERA)[0]
    points_HW3 = CAMERA.points(depth_BHW)[0]
    for row in range(1, 63, 7):
        for column in range(1, 63, 5):
            down_3 = points_HW3[row + 1, column] - points_HW3[row - 1, column]
            right_3 = points_HW3[row, column + 1] - points_HW3[row, column - 1]
            expected_3 = F.normalize(torch.linalg.cross(down_3, right_3), dim=0)
            torch.testing.assert_close(normals_HW3[row, column], expected_3, atol=2e-3, rtol=0)
    assert (normals_HW3[..., 2] < 0).all()


def test_lambertian_shading_pixel_by_pixel():
    normals_BHW3 = F.normalize(
        torch.randn(2, 3, 4, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(2)), dim=-1
    )
    light_B4 = torch.tensor([[0.3, 0.6, 0.5, -0.8], [0.1, 0.9, -2.0, 0.0]], dtype=DOUBLE)
    shading_BHW = lambertian(normals_BHW3, light_B4)
    in_shadow = 0
    for b, (ambient, diffuse, x, y) in enumerate(light_B4.tolist()):
        length = math.sqrt(x * x + y * y + 1)
        for row in range(3):
            for column in range(4):
                n = normals_BHW3[b, row, column].tolist()
                cosine = (n[0] * x + n[1] * y - n[2]) / length
                in_shadow += cosine < 0
                expected = ambient + diffuse * max(0.0, cosine)
                assert shading_BHW[b, row, column].item() == pytest.approx(expected, abs=1e-12)
    assert 0 < in_shadow < 24


def test_a_face_lit_from_the_left_is_bright_on_the_left():
    light_B4 = torch.tensor([[0.2, 0.7, -1.0, 0.0]], dtype=DOUBLE)
    lit_HW = shade(torch.full((1, 3, 32, 32), 0.8, dtype=DOUBLE), bump(), light_B4, CAMERA)[0, 0]
    assert lit_HW[16, 8] > lit_HW[16, 23] + 0.3
    assert lit_HW.min() >= 2 * 0.8 * 0.2 - 1 - 1e-12 and lit_HW.max() <= 2 * 0.8 * 0.9 - 1 + 1e-12


def test_the_canonical_view_shows_the_canonical_picture():
    image_BCHW, depth_BHW = smooth(2, 3), bump(2)
    seen = reproject(image_BCHW, depth_BHW, torch.zeros(2, 6, dtype=DOUBLE), CAMERA)
    torch.testing.assert_close(seen.image_BCHW, image_BCHW, atol=1e-9, rtol=0)
    torch.testing.assert_close(seen.depth_BHW, depth_BHW, atol=1e-12, rtol=0)
    assert (seen.mask_BHW == 1).all()


def test_a_flat_picture_shifted_by_whole_pixels():
    image_BCHW = torch.rand(1, 3, 32, 32, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    pixel = 2 * CAMERA.half_width / 32
    view_B6 = torch.tensor([[0, 0, 0, 3 * pixel, -2 * pixel, 0]], dtype=DOUBLE)
    seen = reproject(image_BCHW, torch.ones(1, 32, 32, dtype=DOUBLE), view_B6, CAMERA)
    torch.testing.assert_close(seen.image_BCHW[..., :30, 3:], image_BCHW[..., 2:, :29], atol=1e-9, rtol=0)
    assert (seen.mask_BHW[0, :30, 3:] == 1).all()
    assert seen.mask_BHW.sum() == 30 * 29


def test_what_stands_in_front_hides_what_is_behind():
    # A post on a wall, marked by its height, from 45 degrees: its far side and the wall behind it are not seen.
    depth_BHW = torch.full((1, 64, 64), 1.03, dtype=DOUBLE)
    depth_BHW[:, :, 28:36] = 0.97
    column_BCHW = torch.arange(64, dtype=DOUBLE).expand(1, 1, 64, 64).clone()
    view_B6 = torch.tensor([[math.radians(45), 0, 0, 0, 0, 0]], dtype=DOUBLE)
    seen = reproject(column_BCHW, depth_BHW, view_B6, CAMERA)
    columns = seen.image_BCHW[0, 0, 32][seen.mask_BHW[0, 32] == 1]
    # The nose went right, so the wall right of the post is hidden over 0.06 lengths, about 22 pixels.
    assert ((columns > 37) & (columns < 56)).sum() == 0
    assert ((columns > 10) & (columns < 27)).sum() > 8 and ((columns > 28) & (columns < 35)).sum() >= 4


@pytest.mark.parametrize("of", ["image", "depth", "view"])
def test_gradients_of_the_reprojection_are_finite_differences(of):
    # The root that a ray ends at is found to 1e-3 of its step, hence the tolerance.
    scales_6 = torch.tensor([0.25, 0.2, 0.2, 0.01, 0.01, 0.01], dtype=DOUBLE)
    view_B6 = torch.randn(6, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(4)) * scales_6
    inputs = {"image": smooth(6, 3, seed=1), "depth": bump(6) + 0.001 * smooth(6, seed=2), "view": view_B6}
    weights_BCHW = smooth(6, 3, seed=3)

    def value(**changed):
        now = {**inputs, **changed}
        seen = reproject(now["image"], now["depth"], now["view"], CAMERA)
        return (seen.image_BCHW * weights_BCHW).sum() + 50 * (seen.depth_BHW * weights_BCHW[:, 0]).sum()

    leaf = inputs[of].clone().requires_grad_()
    value(**{of: leaf}).backward()
    generator = torch.Generator().manual_seed(5)
    for _ in range(4):
        direction = torch.randn(leaf.shape, dtype=DOUBLE, generator=generator)
        direction = direction * (10 / direction.norm())
        step = 1e-6
        with torch.no_grad():
            ahead, back = (value(**{of: leaf + sign * step * direction}) for sign in (1, -1))
        difference = ((ahead - back) / (2 * step)).item()
        # In units of the derivative along a random direction.
        usual = (leaf.grad.norm() * direction.norm() / math.sqrt(leaf.numel())).item()
        assert (leaf.grad * direction).sum().item() == pytest.approx(difference, abs=6e-3 * usual)


def test_gradients_stay_finite_where_rays_graze_the_surface():
    depth_BHW = (bump(8) + 0.01 * smooth(8)).float().requires_grad_()
    view_B6 = torch.tensor([[s * 1.0, t * 0.6, 0.5, 0, 0, 0] for s in (-1, 1) for t in (-1, -0.5, 0.5, 1)])
    view_B6.requires_grad_()
    reproject(smooth(8, 3).float(), depth_BHW, view_B6, CAMERA).image_BCHW.square().sum().backward()
    assert depth_BHW.grad.isfinite().all() and view_B6.grad.isfinite().all()
    assert depth_BHW.grad.abs().max() > 0 and view_B6.grad.abs().min() > 0


@pytest.mark.parametrize(("height", "width"), [(5, 7), (1, 4), (3, 1)])
def test_samples_in_order_are_those_of_grid_sample(height, width):
    """What a GPU takes for deterministic: true, which can be done on the CPU, too."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, height, width, generator=generator, dtype=torch.float64)
    pixels = torch.rand(2, 6, 4, 2, generator=generator, dtype=torch.float64) * 3 - 1.5  # a third are outside
    weights = torch.randn(2, 3, 6, 4, generator=generator, dtype=torch.float64)
    results = []
    for function in (sample, _sampled_in_order):
        inputs = [one.clone().requires_grad_() for one in (image, pixels)]
        values = function(*inputs)
        (values * weights).sum().backward()
        results.append([values.detach(), *(one.grad for one in inputs)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
