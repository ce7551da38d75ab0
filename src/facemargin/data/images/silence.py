"""Keeps OpenCV from printing: what it says of a damaged file is said by our errors, which name the file."""

import threading

import cv2


class _Silence:
    """Within, OpenCV prints nothing, in whatever threads; its level of messages is one for the process."""

    def __init__(self) -> None:
        self._lock, self._inside, self._level = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._level)


OPENCV_SILENT = _Silence()
