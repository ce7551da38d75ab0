"""A file that one process at a time holds, on every system."""

import os
import sys
from io import IOBase

# Windows lets no other process read the bytes that are locked: they are where no file has any.
_PLACE = 2**40


def hold(file: IOBase) -> None:
    """Hold the open `file` until it is closed, or its process ends in any way.

    Raises BlockingIOError where another process holds it, and OSError where its file system cannot do that.
    """
    if sys.platform == "win32":
        import msvcrt

        descriptor = file.fileno()
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _PLACE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:  # what is said of a byte that another process holds
            raise BlockingIOError(error.errno, error.strerror) from error
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
