"""Made-up pictures of reconstructions."""

import numpy as np

from facemargin.report import ReconstructionGallery, ReconstructionPictures

HEADINGS = [
    "Input", "Reconstruction", "Canonical face", "Albedo", "Depth", "Surface", "Lit from the left",
    "Lit from the right", "Turned by −30°", "Turned by −15°", "Turned by +15°", "Turned by +30°",
]  # fmt: skip


def made_up_pictures(faces=3, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "headings": HEADINGS,
        "pictures_BPHWC": rng.integers(0, 256, (faces, len(HEADINGS), 16, 16, 3), dtype=np.uint8),
        "angles_B3": rng.uniform(-40, 40, (faces, 3)),
        "psnr_B": rng.uniform(15, 25, faces),
    }
    return ReconstructionPictures(**{**values, **changes})


def made_up_gallery(faces=3, credit="Faces: a made-up collection", **changes):
    return ReconstructionGallery(made_up_pictures(faces, **changes), [f"people/{i}.jpg" for i in range(faces)], credit)
