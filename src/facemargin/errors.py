"""The errors that facemargin raises on purpose. Each message says what was given, what was expected, what to do."""


class FacemarginError(Exception):
    """Base of every error that a user of the library or the command line can cause and mend."""


class ConfigError(FacemarginError):
    """A recipe, option or argument is unknown, ill-typed or inconsistent."""


class DataError(FacemarginError):
    """A data set, file or record cannot be used; the message names it."""


class CorruptImageError(DataError):
    """One image could not be read or decoded. Readers of many images skip it, count it and name it."""


class CheckpointError(FacemarginError):
    """A checkpoint or weight file is missing, damaged, or does not fit the model."""


class NonFiniteLossError(FacemarginError):
    """Training met a loss or gradient that is NaN or infinite and stopped before it touched the weights."""
