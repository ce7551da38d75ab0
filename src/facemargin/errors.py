"""The errors that facemargin raises on purpose. Each message says what was given, what was expected, what to do."""


class FacemarginError(Exception):
    """Base of every error that a user of the library or the command line can cause and mend.

    Examples:
        >>> import facemargin as fm
        >>> try:
        ...     fm.create_head("arcface", num_classes=10, margni=0.5)
        ... except fm.FacemarginError as error:
        ...     print(error)
        unknown setting of arcface 'margni'; did you mean 'margin'?
    """


class ConfigError(FacemarginError, ValueError):
    """A recipe, option or argument is unknown, ill-typed or inconsistent.

    Examples:
        >>> import facemargin as fm
        >>> fm.create_backbone("ir_51")
        Traceback (most recent call last):
        facemargin.errors.ConfigError: unknown backbone 'ir_51'; did you mean 'ir_50'?
    """


class DataError(FacemarginError, ValueError):
    """A data set, file or record cannot be used; the message names it.

    Examples:
        >>> import facemargin as fm
        >>> fm.open_images("nowhere")
        Traceback (most recent call last):
        facemargin.errors.DataError: nowhere does not exist; expected a path, or orl or orl:1-30 for the embedded faces
    """


class ImageError(DataError):
    """One image is of no use: it cannot be read, or shows no face where one is looked for. Readers of many images skip
    it, count it and name it.

    Examples:
        >>> import facemargin as fm
        >>> issubclass(fm.NoFaceError, fm.ImageError) and issubclass(fm.CorruptImageError, fm.ImageError)
        True
    """


class CorruptImageError(ImageError):
    """An image could not be read or decoded.

    Examples:
        >>> import facemargin as fm
        >>> fm.detect("nowhere.jpg")
        Traceback (most recent call last):
        facemargin.errors.CorruptImageError: nowhere.jpg: cannot be read: No such file or directory
    """


class NoFaceError(ImageError):
    """An image can be read, but no face was found in it.

    Examples:
        >>> import facemargin as fm, numpy as np
        >>> fm.align(np.zeros((50, 70, 3), np.uint8))
        Traceback (most recent call last):
        facemargin.errors.NoFaceError: the image: no face was found (70 × 50 pixels)
    """


class SeveralFacesError(ImageError):
    """An image shows several faces where one is asked for (`faces="error"`).

    Examples:
        >>> import facemargin as fm, numpy as np
        >>> face = fm.open_images("orl").read(0)
        >>> fm.align(np.concatenate([face, face], axis=1), faces="error")
        Traceback (most recent call last):
        facemargin.errors.SeveralFacesError: the image: 2 faces were found, expected one
    """


class CorruptVideoError(DataError):
    """A video could not be opened, or none of its frames could be read.

    Examples:
        >>> import facemargin as fm
        >>> fm.embed_video(fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64), "clip.mp4")
        Traceback (most recent call last):
        facemargin.errors.CorruptVideoError: clip.mp4: cannot be read: No such file or directory
    """


class CheckpointError(FacemarginError):
    """A checkpoint or weight file is missing, damaged, or does not fit the model.

    Examples:
        >>> import facemargin as fm
        >>> fm.load("nowhere.safetensors")
        Traceback (most recent call last):
        facemargin.errors.CheckpointError: there is no model file nowhere.safetensors; ...
    """


class OutputError(FacemarginError):
    """A file or folder could not be written: a full disk, a folder that may not be written to. What was there before
    is untouched.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("mobilefacenet").eval())
        >>> fm.calibrate(model, fm.open_verification("orl:1-2")).save("/dev/null/calibration.json")
        Traceback (most recent call last):
        facemargin.errors.OutputError: cannot write /dev/null/calibration.json: ...
    """


class NonFiniteLossError(FacemarginError):
    """Training met a loss or gradient that is NaN or infinite and stopped before it touched the weights.

    Examples:
        >>> import facemargin as fm
        >>> issubclass(fm.NonFiniteLossError, fm.FacemarginError)
        True
    """


class ServiceError(FacemarginError):
    """A service answered with an error, or cannot be reached: `code` for programs, the `status` of HTTP (0: none), the
    `request_id` under which the service's log has it, and `retry_after`, the seconds after which it is worth asking
    again; None: it is not.

    Examples:
        >>> import facemargin as fm
        >>> fm.Client("http://127.0.0.1:9").galleries()
        Traceback (most recent call last):
        facemargin.errors.ServiceError: http://127.0.0.1:9 cannot be reached: ...
    """

    def __init__(
        self,
        message: str,
        code: str = "unreachable",
        status: int = 0,
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.status, self.request_id, self.retry_after = code, status, request_id, retry_after
