import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.models.views import image_views

IMAGES_BCHW = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(("views", "count"), [("one", 1), ("flip", 2), ("multi", 14)])
def test_every_view_has_the_images_shape_and_range(views, count):
    made = image_views(IMAGES_BCHW, views)
    assert len(made) == count
    for view in made:
        assert view.shape == IMAGES_BCHW.shape and view.dtype == IMAGES_BCHW.dtype
        assert view.min() >= -1 and view.max() <= 1
    torch.testing.assert_close(made[0], IMAGES_BCHW, rtol=0, atol=0)


@pytest.mark.parametrize("views", ["flip", "multi"])
def test_every_second_view_mirrors_the_one_before(views):
    made = image_views(IMAGES_BCHW, views)
    for upright, mirrored in zip(made[::2], made[1::2], strict=True):
        for column in range(20):
            torch.testing.assert_close(mirrored[..., column], upright[..., 19 - column], rtol=0, atol=0)


def test_the_views_of_the_mirror_are_the_same_views():
    for views in ("flip", "multi"):
        made, of_mirror = image_views(IMAGES_BCHW, views), image_views(IMAGES_BCHW.flip(3), views)
        for view in made:
            assert any(torch.allclose(view, other, atol=1e-5) for other in of_mirror)


def test_multi_shifts_by_a_twentieth_of_the_side():
    upright = image_views(IMAGES_BCHW, "multi")[::2]
    # On 20 pixels a shift is one pixel, so it is exact, and the border is repeated.
    right, left, down, up = upright[1:5]
    for view, (rows, columns) in ((right, (0, 1)), (left, (0, -1)), (down, (1, 0)), (up, (-1, 0))):
        for row in range(20):
            for column in range(20):
                source_row = min(max(row - rows, 0), 19)
                source_column = min(max(column - columns, 0), 19)
                expected = IMAGES_BCHW[..., source_row, source_column]
                torch.testing.assert_close(view[..., row, column], expected, rtol=0, atol=1e-5)


def test_multi_scales_about_the_centre():
    squares = torch.zeros(1, 1, 40, 40)
    squares[..., 10:30, 10:30] = 1.0  # a quarter of the area
    larger, smaller = image_views(squares, "multi")[::2][5:7]
    assert larger.mean().item() == pytest.approx(0.25 * 1.1**2, rel=0.03)
    assert smaller.mean().item() == pytest.approx(0.25 * 0.9**2, rel=0.03)
    for view in (larger, smaller):
        torch.testing.assert_close(view, view.flip(2), rtol=0, atol=1e-4)
        torch.testing.assert_close(view, view.flip(3), rtol=0, atol=1e-4)


def test_unknown_views_name_the_nearest():
    with pytest.raises(ConfigError, match="unknown views 'flipp'; did you mean 'flip'"):
        image_views(IMAGES_BCHW, "flipp")
