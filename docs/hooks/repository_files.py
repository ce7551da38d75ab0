"""Pages may link to any file of the repository: those outside docs/ become part of the site, and links follow."""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
# Where a link's target begins, outside code; images and other schemes are left to MkDocs.
_LINK = re.compile(r"(?P<text>\[[^\[\]]*\])\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
_FOLDERS_BESIDE_DOCS = ("benchmarks/results/*", "src/facemargin/recipes/*.yaml")
_FILES_BESIDE_DOCS = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CITATION.cff", "LICENSE")


def on_files(files, config):
    for pattern in (*_FILES_BESIDE_DOCS, *_FOLDERS_BESIDE_DOCS):
        for path in sorted(ROOT.glob(pattern)):
            place = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links as they are in the repository, where docs/ is a folder, become links as they are on the site."""
    here = _place_in_repository(page.file.src_uri)

    def rewritten(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), match["target"]))
        link = posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(page.file.src_uri))
        text = f"[{_title(ROOT / target)}]" if match["text"].endswith(".md]") else match["text"]
        return f"{text}({link}{match['anchor'] or ''})"

    return _LINK.sub(rewritten, markdown)


def _title(path: Path) -> str:
    """A page's heading up to a colon: on the site nobody sees names of files."""
    heading = re.search(r"^# (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE) if path.is_file() else None
    return heading[1].split(":")[0] if heading else path.name


def _place_in_repository(src_uri: str) -> str:
    beside_docs = (ROOT / src_uri).is_file() and not (ROOT / "docs" / src_uri).is_file()
    return src_uri if beside_docs else f"docs/{src_uri}"
