"""`python -m facemargin`, for torchrun and for machines without scripts on the path."""

import sys

from facemargin.cli import main

sys.exit(main())
