"""Prints a page to a PDF file with a browser, if the machine has one."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from facemargin.errors import OutputError
from facemargin.files.atomic import write_atomically

_PROGRAMS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)  # fmt: skip
_SECONDS = 300
_LETTERS = 500


def find_browser() -> str | None:
    """The program of Chromium, Chrome or Edge on this machine; None if there is none."""
    return next((found for program in _PROGRAMS if (found := shutil.which(program))), None)


def print_to_pdf(browser: str, html: str, path: Path) -> None:
    """Write the page `html` to the PDF file `path`. Raises OutputError if the browser does not, with what it said."""
    with tempfile.TemporaryDirectory(prefix="facemargin-", ignore_cleanup_errors=True) as folder:
        page, printed = Path(folder, "report.html"), Path(folder, "report.pdf")
        page.write_text(html, encoding="utf-8")
        options = ["--headless", "--disable-gpu", "--no-first-run", "--no-pdf-header-footer"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.append("--no-sandbox")  # the browser does not start as root with it; the page has no scripts
        profile = f"--user-data-dir={Path(folder, 'profile')}"
        command = [browser, *options, profile, f"--print-to-pdf={printed}", page.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise OutputError(f"cannot write {path}: {browser} did not finish in {_SECONDS} s") from error
        if done.returncode or not printed.is_file():
            said = done.stderr.strip() or "it said nothing"
            raise OutputError(f"cannot write {path}: {browser} failed: {said[-_LETTERS:]}")
        write_atomically(path, lambda temporary: shutil.copyfile(printed, temporary))
