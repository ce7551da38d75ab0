import re

import numpy as np
import pytest

from facemargin.detection import CenterFace, YuNet, create_detector, detect, list_detectors, register_detector
from facemargin.detection.detector import DETECTORS, detector_settings, require_detector
from facemargin.errors import ConfigError


@pytest.fixture
def toy():
    """A detector of somebody else, registered for one test."""

    @register_detector("toy")
    class Toy:
        name = "toy"

        def __init__(self, min_score: float = 0.1) -> None:
            self.settings = {"min_score": min_score}

        def detect(self, image):
            return []

    yield Toy
    del DETECTORS._entries["toy"]


def test_detectors_by_name():
    assert list_detectors() == ["centerface", "yunet"] and list_detectors("y*") == ["yunet"]
    assert isinstance(create_detector(), CenterFace) and isinstance(create_detector("yunet"), YuNet)
    assert detector_settings(create_detector("yunet", min_score=0.7)) == {
        "detector": "yunet",
        "min_score": 0.7,
        "longest_side": 1280,
        "most_looks": 5,
    }


def test_what_extracted_features_and_journals_were_noted_with_stays_the_same():
    known = {"detector": "centerface", "min_score": 0.5, "longest_side": 1280}
    assert str(detector_settings(require_detector("centerface"))) == str(known)


def test_another_detector_is_found_by_its_name(toy):
    assert list_detectors() == ["centerface", "toy", "yunet"]
    assert isinstance(create_detector("toy"), toy)
    assert detector_settings(create_detector("toy", min_score=0.3)) == {"detector": "toy", "min_score": 0.3}
    with pytest.raises(ConfigError, match="unknown setting of the detector toy 'longest_side'; known: min_score"):
        create_detector("toy", longest_side=3)


def test_names_and_objects_that_detect_nothing():
    image = np.zeros((30, 30, 3), np.uint8)
    with pytest.raises(ConfigError, match="unknown detector 'yunte'; did you mean 'yunet'"):
        detect(image, "yunte")
    for wrong in (None, 3, object):
        with pytest.raises(
            ConfigError, match=re.escape("expected a name (centerface, yunet) or an object with detect")
        ):
            detect(image, wrong)


def test_a_name_stands_for_one_detector():
    assert require_detector("yunet") is require_detector("yunet")
