"""Marks of tests that need what not every system has."""

import sys

import pytest

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs fork, signals or a limit on the size of files")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
