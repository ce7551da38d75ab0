"""A progress that shows nothing, for tests of conversions."""

from contextlib import nullcontext


def no_progress(doing):
    """What `convert` takes to report to."""
    return nullcontext(lambda done, total: None)
