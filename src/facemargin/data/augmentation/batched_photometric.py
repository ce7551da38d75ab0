"""Augmentations that change colours, for a batch of images, each with its own draw.

Each step rounds to whole grey values, as OpenCV does. Shapes: G images, P of them, N values of an image, C colours, H ×
W pixels; images are uint8.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from facemargin.data.augmentation.draws import ColorJitter, Noise
from facemargin.data.augmentation.photometric import CONTRAST, HUE, MID_GRAY, SATURATION
from facemargin.data.augmentation.seeded_noise import standard_normal, uniform_gray
from facemargin.transfer import on_device

# The weights 0.299, 0.587 and 0.114 of BT.601 as multiples of 1/32,768, so that float32 represents the sums exactly.
_LUMA = (9798.0, 19235.0, 3735.0)
_LUMA_UNIT = 32768.0


def to_gray_values(values: Tensor) -> Tensor:
    """Round values and clip them to uint8."""
    return values.round().clamp(0, 255).to(torch.uint8)


def grayscale(images_GCHW: Tensor, happens: Sequence[bool]) -> Tensor:
    """Replace the three channels by the luma."""
    return _luma(images_GCHW).to(torch.uint8).expand_as(images_GCHW)


def color_jitter(images_GCHW: Tensor, draws: Sequence[ColorJitter]) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image in the image's own order."""
    device = images_GCHW.device
    amounts = [(draw.brightness, draw.contrast, draw.saturation, draw.hue_steps) for draw in draws]
    amounts_G4 = on_device(amounts, torch.float32, device)
    jittered_GCHW = images_GCHW.clone()
    for steps in zip(*(draw.order for draw in draws), strict=True):
        blends = [(position, step) for position, step in enumerate(steps) if step != HUE]
        if blends:
            positions_P, steps_P = on_device(blends, torch.int64, device).unbind(1)
            share_P111 = amounts_G4[positions_P, steps_P][:, None, None, None]
            jittered_GCHW[positions_P] = _blended(jittered_GCHW[positions_P], steps_P[:, None, None, None], share_P111)
        turns = [position for position, step in enumerate(steps) if step == HUE and draws[position].hue_steps]
        if turns:
            positions_P = on_device(turns, torch.int64, device)
            turn_P111 = amounts_G4[positions_P, HUE][:, None, None, None]
            jittered_GCHW[positions_P] = _turned_hue(jittered_GCHW[positions_P], turn_P111)
    return jittered_GCHW


def noise(images_GCHW: Tensor, draws: Sequence[Noise]) -> Tensor:
    """(1 − a)·image + a·noise. The noise is generated from the seed of each draw."""
    device = images_GCHW.device
    blended_GCHW = images_GCHW.clone()
    for normal in (False, True):
        chosen = [position for position, draw in enumerate(draws) if draw.normal == normal]
        if chosen:
            positions_P = on_device(chosen, torch.int64, device)
            seeds_P = on_device([draws[position].seed for position in chosen], torch.int64, device)
            share_P1 = on_device([[draws[position].share] for position in chosen], torch.float32, device)
            values = images_GCHW[0].numel()
            noise_PN = (
                standard_normal(seeds_P, values) * MID_GRAY + MID_GRAY if normal else uniform_gray(seeds_P, values)
            )
            kept_PN = images_GCHW[positions_P].flatten(1) * (1 - share_P1)
            blended_PN = to_gray_values(kept_PN + noise_PN * share_P1)
            blended_GCHW[positions_P] = blended_PN.view(-1, *images_GCHW.shape[1:])
    return blended_GCHW


def _blended(images_PCHW: Tensor, steps_P111: Tensor, share_P111: Tensor) -> Tensor:
    """a·image + (1 − a)·other, where other is black for the brightness, the mean grey for the contrast, and the grey
    image for the saturation."""
    luma_P1HW = _luma(images_PCHW)
    # Summed as integers, because the order of a floating-point sum may depend on the batch.
    mean_P111 = luma_P1HW.long().sum(dim=(2, 3), keepdim=True) / luma_P1HW[0].numel()
    other_P1HW = torch.where(steps_P111 == SATURATION, luma_P1HW, mean_P111 * (steps_P111 == CONTRAST))
    return to_gray_values(images_PCHW * share_P111 + other_P1HW * (1 - share_P111))


def _luma(images_GCHW: Tensor) -> Tensor:
    """(G, 1, H, W) float32 luma, rounded to a grey value."""
    red, green, blue = images_GCHW.float().split(1, dim=1)
    weighted = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return torch.floor((weighted + _LUMA_UNIT / 2) / _LUMA_UNIT)


def _turned_hue(images_PCHW: Tensor, turn_P111: Tensor) -> Tensor:
    """Turn the hue in HSV, with hue and saturation rounded as in OpenCV's uint8: the conversion to HSV uses 256ths of
    the circle, and the conversion back reads them as 255ths.

    With V = max, Δ = V − min, S = Δ/V: H is, in sixths of the circle, (G − B)/Δ where red is the largest, 2 + (B − R)/Δ
    where green is, 4 + (R − G)/Δ where blue is. Back, a colour is V·(1 − S·clamp(min(k, 4 − k), 0, 1)) with
    k = (n + H) mod 6 and n = 5 for red, 3 for green, 1 for blue.
    """
    images_PCHW = images_PCHW.float()
    red, green, blue = images_PCHW.split(1, dim=1)
    value_P1HW = images_PCHW.amax(1, keepdim=True)
    spread_P1HW = value_P1HW - images_PCHW.amin(1, keepdim=True)
    saturation_P1HW = torch.floor(255 * spread_P1HW / value_P1HW.clamp(min=1) + 0.5) / 255
    green_or_blue = torch.where(value_P1HW == green, 2 * spread_P1HW + blue - red, 4 * spread_P1HW + red - green)
    sixths_P1HW = torch.where(value_P1HW == red, green - blue, green_or_blue)
    hue_P1HW = torch.floor(256 * sixths_P1HW / (6 * spread_P1HW).clamp(min=1) + 0.5)
    hue_P1HW = torch.remainder(hue_P1HW + turn_P111, 256) * (6 / 255)
    k_PCHW = torch.cat([torch.remainder(n + hue_P1HW, 6) for n in (5, 3, 1)], dim=1)
    return to_gray_values(value_P1HW * (1 - saturation_P1HW * torch.minimum(k_PCHW, 4 - k_PCHW).clamp(0, 1)))
