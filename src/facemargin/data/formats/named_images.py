"""Images without labels: files, folders of any depth, and lists of files."""

from collections.abc import Sequence
from pathlib import Path

from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.formats.named_files import IMAGES, find_named_files


class NamedImages(ImageFiles):
    """The images at `locations`: image files, all images in folders at any depth, and all images listed in .txt files;
    `paths` and `names` as of `find_named_files`, which says what is skipped and what is refused."""

    def __init__(self, locations: Sequence[Path]) -> None:
        found = find_named_files(locations, IMAGES)
        self.paths, self.names = found.paths, found.names
        super().__init__(Path(), self.paths, found.name)
