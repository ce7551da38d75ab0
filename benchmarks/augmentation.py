"""Augmenting on the CPU, image by image, against drawing there and applying to batches on a device.

Claim: left to the device, FunFace's augmentation costs a core of the host less than half of what OpenCV's chain does.
`python benchmarks/augmentation.py [cpu|cuda] [batch size] [image size]`; one thread for everything on the host. The
pictures are ORL faces (AT&T Laboratories Cambridge), three of a person as the three colours. The batched chain is
written for GPUs: on a CPU it is the slower one.
"""

import pickle
import sys
import time

import cv2
import numpy as np
import torch
from measure import interleaved, machine, ratio

from facemargin.data.augmentation.augment import augment, draw_augmentation
from facemargin.data.augmentation.batched import augment_batch
from facemargin.data.augmentation.config import PROBABILITIES, AugmentationConfig
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.images.decode import decode_image
from facemargin.data.images.pixels import resize_square, to_tensor
from facemargin.randomness import sample_generator

FUNFACE = AugmentationConfig(
    flip=0.5, color_jitter=0.2, affine=0.2, grayscale=0.05, noise=0.2, erasing=0.2, low_resolution=0.2, crop=0.2
)


def main() -> None:
    default = "cuda" if torch.cuda.is_available() else "cpu"
    device, batch_size, size = (sys.argv[1:] + [default, "512", "112"][len(sys.argv) - 1 :])[:3]
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    faces = EmbeddedFaces()
    gray = [resize_square(faces.read(index % len(faces)), int(size))[..., 0] for index in range(int(batch_size))]
    images = [np.stack([gray[i], gray[i - 1], gray[i - 2]], axis=2) for i in range(len(gray))]
    on = torch.cuda.get_device_name() if device == "cuda" else "the CPU, 1 thread"
    print(f"{machine()}; batched on {on}; torch {torch.__version__}, OpenCV {cv2.__version__}")
    print(f"{batch_size} images of {size} × {size}; images/s; ratios by round, median and quartiles\n")
    decoding(images)
    print(f"\n{'':>16}{'OpenCV':>9}{'draws':>9}{'OpenCV/draws, time':>24}{'batched':>10}{'difference':>12}")
    compare("FunFace's", FUNFACE, images, torch.device(device))
    for name in PROBABILITIES:
        compare(name, AugmentationConfig(**{name: 1.0}), images, torch.device(device))
    print("draws: what is left for the host to do; difference: mean, in grey levels, of the images without noise")


def decoding(images: list[np.ndarray]) -> None:
    """JPEG decoding, alone and with what augmentation adds to it, on one core."""
    encoded = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in images]
    size = len(images[0])

    def decode(then) -> None:
        for index, one in enumerate(encoded):
            then(decode_image(one, "benchmark"), sample_generator(0, 0, index))

    seconds = interleaved(
        {
            "decode": lambda: decode(lambda image, generator: None),
            "decode, draw": lambda: decode(lambda image, g: draw_augmentation(size, size, FUNFACE, g)),
            "decode, augment": lambda: decode(lambda image, g: augment(image, FUNFACE, g)),
        }
    )
    for name, times in seconds.items():
        middle, low, high = ratio(seconds["decode, augment"], times)
        print(f"{name:>16}{len(images) / np.median(times):9,.0f}   × {middle:.2f} ({low:.2f}–{high:.2f})")
    draws = [draw_augmentation(size, size, FUNFACE, sample_generator(0, 0, index)) for index in range(len(images))]
    print(
        f"{len(pickle.dumps(draws)) / len(draws):.0f} bytes of draws travel with an image of {images[0].size:,} bytes"
    )


def compare(name: str, config: AugmentationConfig, images: list[np.ndarray], device: torch.device) -> None:
    """A line of the table; on a GPU also the time that the host needs to launch a batch."""
    height, width = images[0].shape[:2]
    images_BCHW = torch.stack([to_tensor(image) for image in images]).to(device)

    def on_host() -> list[np.ndarray]:
        return [augment(image, config, sample_generator(0, 0, index)) for index, image in enumerate(images)]

    def draw() -> list:
        return [draw_augmentation(height, width, config, sample_generator(0, 0, i)) for i in range(len(images))]

    draws, launch = draw(), []

    def on_device() -> torch.Tensor:
        started = time.perf_counter()
        augmented_BCHW = augment_batch(images_BCHW, draws)
        launch.append(time.perf_counter() - started)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return augmented_BCHW

    seconds = interleaved({"OpenCV": on_host, "draws": draw, "batched": on_device})
    rates = {key: len(images) / np.median(times) for key, times in seconds.items()}
    middle, low, high = ratio(seconds["OpenCV"], seconds["draws"])
    ours = on_device().cpu().numpy().transpose(0, 2, 3, 1)
    same = [index for index, one in enumerate(draws) if one.noise is None]
    differences = np.abs(ours.astype(np.int16) - np.stack(on_host()))[same]
    difference = f"{differences.mean():.3f}" if same else "-"
    launched = f"   launched in {1e3 * np.median(launch):.1f} ms" if device.type == "cuda" else ""
    print(
        f"{name:>16}{rates['OpenCV']:9,.0f}{rates['draws']:9,.0f}{middle:10.2f} ({low:.2f}–{high:.2f})"
        f"{rates['batched']:13,.0f}{difference:>12}{launched}"
    )


if __name__ == "__main__":
    main()
