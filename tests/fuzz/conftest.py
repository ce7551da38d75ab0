"""The writers of real files that the tests of other rooms have."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / room) for room in ("data", "inference", "interop", "report")]
