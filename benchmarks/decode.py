"""Images per second and core that training reads, decodes and augments, by format, against a PIL pipeline.

Claim: at least 3 times as many as PIL decoding and PIL transforms of the same kinds, image by image.
`python benchmarks/decode.py [SET] [images]`; one thread. Without a set: ORL faces (AT&T Laboratories Cambridge), three
of a person as the three colours of 112 × 112 JPEGs. The augmentation is AdaFace's: flips, and with probability 0.2
each colour jitter, low resolution and crop. The reference reads RecordIO, and ends, as AdaFace's does, in normalised
float32; "uint8" lets it stop where ours does. "cached" reads no files: `data.cache_decoded` keeps the decoded images.
"draws only" leaves the augmentation to the device, as `data.augment_on` does on a GPU. Time is the processor's, which
others on the machine do not add to, though they slow it down; the second table says what an image's goes to.
"""

import gzip
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from measure import interleaved, machine, ratio
from PIL import Image, ImageEnhance, ImageOps
from PIL import __version__ as pil_version

from facemargin.data.augmentation.augment import augment_in_place, draw_augmentation
from facemargin.data.conversion import convert
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.images.pixels import resize_square
from facemargin.data.open import open_images
from facemargin.data.pairs.insightface_bin import EncodedImages
from facemargin.data.sampler import epoch_order
from facemargin.data.source import LabeledImages, WithLabels, labeled_subset
from facemargin.data.training_set import TrainingSet
from facemargin.data.writers import WRITERS
from facemargin.randomness import SampleStreams
from facemargin.training.recipe import load_recipe

SIZE = 112
BATCH = 128
_RESAMPLINGS = (
    Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BOX,
    Image.Resampling.BICUBIC, Image.Resampling.LANCZOS,
)  # fmt: skip


def main() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000
    source = subset(sys.argv[1], number) if len(sys.argv) > 1 else orl()
    print(f"{machine()}; OpenCV {cv2.__version__}, Pillow {pil_version}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        sets = written(source, Path(folder))
        records = sets["recordio"]
        size = np.mean([len(records.read_encoded(index)) for index in range(len(records))])
        print(f"{len(records)} images of {size:,.0f} bytes, {SIZE} × {SIZE}, 1 thread\n")
        functions = {name: (lambda images=images: ours(images)) for name, images in sets.items()}
        cached = training_set(records, cache_decoded=True)
        functions["cached"] = lambda: ours(records, cached)
        draws_only = training_set(records, apply_augmentation=False)
        functions["draws only"] = lambda: ours(records, draws_only)
        functions["decode"] = lambda: [records.read(index) for index in range(len(records))]
        functions["PIL decode"] = lambda: [pil_image(records, index) for index in range(len(records))]
        functions["PIL, float32"] = lambda: reference(records, to_float=True)
        functions["PIL, uint8"] = lambda: reference(records, to_float=False)
        seconds = interleaved(functions, clock=time.process_time)
        profile = interleaved(stages(records), clock=time.process_time)
    print(f"{'':>16}{'images/s':>10}{'× PIL, float32':>24}{'× PIL, uint8':>24}")
    for name, times in seconds.items():
        both = [ratio(seconds[reference], times) for reference in ("PIL, float32", "PIL, uint8")]
        columns = [f"{middle:.2f} ({low:.2f}–{high:.2f})" for middle, low, high in both]
        print(f"{name:>16}{len(records) / np.median(times):10,.0f}{columns[0]:>24}{columns[1]:>24}")
    print()
    for name, times in profile.items():
        print(f"{name:>40}{1e6 * np.median(times) / len(records):8.1f} µs an image")


def subset(location: str, number: int) -> LabeledImages:
    """`number` images, evenly spaced, of a set of 112 × 112 faces."""
    images = open_images(location)
    return labeled_subset(images, np.unique(np.linspace(0, len(images) - 1, number).astype(int)))


def orl() -> LabeledImages:
    """JPEGs of ORL faces."""
    faces = EmbeddedFaces()
    gray = [resize_square(faces.read(index), SIZE)[..., 0] for index in range(len(faces))]
    color = [np.stack([gray[i], gray[i - 1], gray[i - 2]], axis=2) for i in range(len(gray))]
    encoded = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for image in color]
    return WithLabels(EncodedImages(encoded, "ORL"), faces.labels, faces.identity_names)


def written(source: LabeledImages, folder: Path) -> dict[str, LabeledImages]:
    """The same images in every format."""
    sets = {}
    for to in WRITERS:
        convert(source, folder / to, to, lambda doing: nullcontext(lambda done, total: None))
        sets[to] = open_images(folder / to)
    (folder / "gz").mkdir()
    for path in (folder / "webdataset").glob("*.tar"):
        (folder / "gz" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 6))
    return sets | {"webdataset .gz": open_images(folder / "gz")}


def training_set(images: LabeledImages, **options: bool) -> TrainingSet:
    return TrainingSet(images, SIZE, load_recipe("adaface_ms1mv2", []).augmentation, **options)


def stages(records: LabeledImages) -> dict[str, Callable[[], object]]:
    """The parts of what `ours` does, each for all images by itself."""
    numbers = range(len(records))
    encoded = [np.frombuffer(records.read_encoded(index), np.uint8) for index in numbers]
    pixels_BHWC = np.stack([records.read(index) for index in numbers])
    augmentation = load_recipe("adaface_ms1mv2", []).augmentation
    streams = SampleStreams()

    def draw(index: int) -> object:
        return draw_augmentation(SIZE, SIZE, augmentation, streams.at(0, 0, index))

    each: dict[str, Callable[[int], object]] = {
        "reading the bytes": records.read_encoded,
        "OpenCV's JPEG decoding": lambda index: cv2.imdecode(encoded[index], cv2.IMREAD_COLOR),
        "the same at half the size": lambda index: cv2.imdecode(encoded[index], cv2.IMREAD_REDUCED_COLOR_2),
        "the same at an eighth": lambda index: cv2.imdecode(encoded[index], cv2.IMREAD_REDUCED_COLOR_8),
        "reading, checking, decoding, to RGB": records.read,
        "drawing": draw,
        "drawing and augmenting": lambda index: augment_in_place(
            pixels_BHWC[index], augmentation, streams.at(0, 0, index)
        ),
    }
    return {name: partial(_for_all, one, numbers) for name, one in each.items()}


def _for_all(function: Callable[[int], object], numbers: range) -> None:
    for number in numbers:
        function(number)


def ours(images: LabeledImages, samples: TrainingSet | None = None) -> None:
    """All images in batches as training makes them, uint8 (B, 3, H, W); they are normalised on the device."""
    samples = samples or training_set(images)
    order = epoch_order(0, 0, len(images), images.blocks)
    for start in range(0, len(order), BATCH):
        samples[[(0, int(index)) for index in order[start : start + BATCH]]]


def pil_image(images: LabeledImages, index: int) -> Image.Image:
    image = Image.open(io.BytesIO(images.read_encoded(index))).convert("RGB")
    image.load()
    return image


def reference(images: LabeledImages, to_float: bool) -> None:
    """The same with PIL: every image decoded, augmented and made a tensor on its own, then stacked."""
    generator = random.Random(0)
    order = list(range(len(images)))
    generator.shuffle(order)
    for start in range(0, len(order), BATCH):
        batch = [pil_augment(pil_image(images, index), generator) for index in order[start : start + BATCH]]
        tensors = [torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous() for image in batch]
        if to_float:
            tensors = [tensor.to(torch.float32).div(255).sub_(0.5).div_(0.5) for tensor in tensors]
        torch.stack(tensors)


def pil_augment(image: Image.Image, generator: random.Random) -> Image.Image:
    """AdaFace's augmentation by PIL: crop in place, low resolution, brightness, contrast and saturation; and flips."""
    width, height = image.size
    if generator.random() < 0.2:
        scale = generator.uniform(0.2, 1) ** 0.5
        aspect = generator.uniform(3 / 4, 4 / 3) ** 0.5
        new_width, new_height = min(width, round(width * scale * aspect)), min(height, round(height * scale / aspect))
        left, top = generator.randint(0, width - new_width), generator.randint(0, height - new_height)
        canvas = Image.new("RGB", (width, height))
        canvas.paste(image.crop((left, top, left + new_width, top + new_height)), (left, top))
        image = canvas
    if generator.random() < 0.2:
        side = generator.uniform(0.2, 1)
        size = max(1, round(width * side)), max(1, round(height * side))
        small = image.resize(size, generator.choice(_RESAMPLINGS))
        image = small.resize((width, height), generator.choice(_RESAMPLINGS))
    if generator.random() < 0.2:
        enhancers = [ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]
        generator.shuffle(enhancers)
        for enhancer in enhancers:
            image = enhancer(image).enhance(generator.uniform(0.5, 1.5))
    return ImageOps.mirror(image) if generator.random() < 0.5 else image


if __name__ == "__main__":
    main()
