"""Generated images for feature stores. As a program: extracts them slowly, and saves every batch, to be killed."""

import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from facemargin.data.source import ImageSource
from facemargin.errors import CorruptImageError, FacemarginError
from facemargin.features import store as feature_store
from tests.models.tiny_models import tiny_model

BATCH = 4


class NumberedImages(ImageSource):
    """`count` images of noise seeded with their number; those in `broken` cannot be read."""

    def __init__(self, count, broken=(), pause=0.0, name="numbered"):
        self.name, self.count, self.broken, self.pause, self.reads = name, count, set(broken), pause, []

    def __len__(self):
        return self.count

    def read(self, index):
        time.sleep(self.pause)
        self.reads.append(index)
        if index in self.broken:
            raise CorruptImageError(f"{self.describe(index)}: broken")
        return np.random.default_rng(index).integers(0, 256, (20, 16, 3), dtype=np.uint8)

    def describe(self, index):
        return f"{self.name}/{index}.jpg"


def say(what):
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main(folder, count, pause, bytes_a_file):
    torch.set_num_threads(1)
    feature_store.SECONDS_A_BLOCK = 0
    if int(bytes_a_file):  # a disk that is full
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_a_file), int(bytes_a_file)))
    images = NumberedImages(int(count), broken={2}, pause=float(pause))
    try:
        feature_store.extract_features(
            tiny_model(), images, Path(folder), batch_size=BATCH, progress=lambda done, _: say(done)
        )
    except FacemarginError as error:
        say(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
