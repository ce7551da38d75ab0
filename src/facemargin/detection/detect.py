"""From a photograph to faces, and to aligned faces. Shapes: H × W pixels."""

from collections.abc import Callable

from facemargin.data.alignment import TEMPLATE_SIDE
from facemargin.data.crop import crop_face
from facemargin.data.given_images import GivenForm, one_image
from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detector import DEFAULT_DETECTOR, Detector, require_detector
from facemargin.detection.face import Choice, Face, FoundFace, choose_faces
from facemargin.errors import ConfigError, NoFaceError, SeveralFacesError


def detect(image: GivenForm, detector: Detector | str = DEFAULT_DETECTOR) -> list[Face]:
    """The faces in a photograph of any size, from the highest score to the lowest. The photograph is a path, a PIL
    image or (H, W, 3) uint8 RGB.

    `detector` is a name (see `list_detectors()`), or any object whose method `detect(image)` returns a list of `Face`.
    Raises DataError if the image cannot be read as an image, and ConfigError, which names the command that installs it,
    if the file of the detector's network is missing.

    Examples:
        >>> import facemargin as fm
        >>> faces = fm.detect(fm.open_images("orl").read(0))
        >>> len(faces)
        1
    """
    image = one_image(image)
    return require_detector(detector).detect(image)


def align(
    image: GivenForm,
    faces: Choice = "largest",
    size: int = TEMPLATE_SIDE,
    detector: Detector | str = DEFAULT_DETECTOR,
) -> RGBImage:
    """The "largest" or most "central" face of a photograph, aligned to the template with which recognisers are trained:
    (size, size, 3) uint8 RGB.

    Raises NoFaceError if no face is found, and SeveralFacesError if several are found and `faces` is "error". For all
    faces of a photograph, call `detect` and then `crop_face` with the landmarks of each face.

    Examples:
        >>> import facemargin as fm
        >>> fm.align(fm.open_images("orl").read(0)).shape
        (112, 112, 3)
    """
    return align_found(image, faces, size, detector)[0]


def align_found(
    image: GivenForm,
    faces: Choice = "largest",
    size: int = TEMPLATE_SIDE,
    detector: Detector | str = DEFAULT_DETECTOR,
) -> tuple[RGBImage, FoundFace]:
    """As `align`, with the face that was chosen and the number of those that were found."""
    image = one_image(image)
    found = _choose(image, require_detector(detector).detect(image), faces, "the image")
    return crop_face(image, found.face.landmarks_52, size), found


def _choose(image: RGBImage, all_faces: list[Face], faces: Choice, where: str) -> FoundFace:
    if faces == "all":
        raise ConfigError('align returns one face; faces is "all", expected "largest", "central" or "error"')
    try:
        chosen = choose_faces(all_faces, faces, image)
    except SeveralFacesError as error:
        raise SeveralFacesError(f"{where}: {error}") from error
    if not chosen:
        raise no_face(where, image)
    return FoundFace(chosen[0], len(all_faces))


Watch = Callable[[int, RGBImage, Face | None], None]
"""A function that is called with the index of an image that is read, the image, and its chosen face if faces are looked
for."""


class DetectedFaces(ImageSource):
    """The largest or most central face of every photograph of `source`, aligned when it is read. It is looked for when
    the photograph is read for the first time.

    `read` raises NoFaceError, which names the image, if no face is found, and SeveralFacesError if several are found
    and `faces` is "error". `several` is the face that was chosen and the number of faces, by index, for the photographs
    read so far that show more than one. `watch` is called for every photograph with a chosen face, once."""

    def __init__(
        self,
        source: ImageSource,
        detector: Detector | str = DEFAULT_DETECTOR,
        faces: Choice = "largest",
        watch: Watch | None = None,
    ) -> None:
        self.name = source.name
        self._watch = watch
        self._source, self._faces = source, faces
        self.detector = require_detector(detector)
        self._found: dict[int, FoundFace] = {}

    @property
    def several(self) -> dict[int, FoundFace]:
        return {index: found for index, found in self._found.items() if found.num_faces > 1}

    def found(self, index: int) -> FoundFace | None:
        """The face of photograph `index`, if it was read already and has one."""
        return self._found.get(index)

    def forget(self) -> None:
        """Forget the faces that were found, which take memory for every photograph; they are looked for again."""
        self._found.clear()

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        image = self._source.read(index)
        if index not in self._found:
            found = _choose(image, self.detector.detect(image), self._faces, self.describe(index))
            self._found[index] = found
            if self._watch is not None:
                self._watch(index, image, found.face)
        return crop_face(image, self._found[index].face.landmarks_52, TEMPLATE_SIDE)

    def describe(self, index: int) -> str:
        return self._source.describe(index)


def no_face(where: str, image: RGBImage) -> NoFaceError:
    height, width = image.shape[:2]
    return NoFaceError(f"{where}: no face was found ({width} × {height} pixels)")
