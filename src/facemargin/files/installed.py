"""Files of installed packages, found without importing those packages."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path


def installed_file(package: str, name: str) -> Path | None:
    """The file whose path in `package`'s wheel ends in `name` ("models/network.onnx"); None where the package is not
    installed, or does not hold it."""
    parts = tuple(name.split("/"))
    try:
        installed = files(package) or []
    except PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in installed if file.parts[-len(parts) :] == parts), None)
