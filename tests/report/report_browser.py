"""A real browser for tests: what it measures on a page, what it draws, and what it asks the network for."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import cv2

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    # whatever a page asks for goes nowhere
    "--host-resolver-rules=MAP * 127.0.0.1:9",
]  # fmt: skip

# The page is shown untouched in a frame of the width asked for (a window cannot be as narrow as a phone), and this
# script, outside the frame, measures it.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="border:0;display:block;width:WIDTHpx;height:HEIGHTpx" srcdoc="PAGE"></iframe>
<pre id="measured" style="display:none"></pre>
<script>
document.getElementById("frame").onload = event => {
  const page = event.target.contentDocument;
  const box = element => {
    const {left, top, right, bottom} = element.getBoundingClientRect();
    return {left, top, right, bottom};
  };
  const isDrawn = element => {
    const {width, height} = element.getBoundingClientRect();
    return width + height > 0 && getComputedStyle(element).visibility == "visible";
  };
  document.getElementById("measured").textContent = JSON.stringify({
    width: page.documentElement.clientWidth,
    contentWidth: page.documentElement.scrollWidth,
    height: page.documentElement.scrollHeight,
    images: [...page.images].map(image => image.naturalWidth),
    figures: [...page.querySelectorAll("figure")].map(figure => ({
      id: figure.id,
      svg: box(figure.querySelector("svg")),
      caption: box(figure.querySelector("figcaption")),
      paths: [...figure.querySelectorAll("svg g > path")].filter(path => !path.closest("defs") && isDrawn(path)).length,
      texts: [...figure.querySelectorAll("svg g[id*='-text_']")].filter(isDrawn).map(box),
    })),
  });
};
</script>
"""


def run_chromium(url: str, folder: Path, *options: str) -> str:
    """What chromium prints when it opens `url` with a fresh profile under `folder`."""
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_frame(report: Path, width: int, height: int, folder: Path) -> str:
    frame = folder / "frame.html"
    page = html.escape(report.read_text(), quote=True)
    frame.write_text(FRAME.replace("WIDTH", str(width)).replace("HEIGHT", str(height)).replace("PAGE", page))
    return frame.as_uri()


def measure(report: Path, width: int, folder: Path) -> dict:
    """The boxes of figures, captions and lettering of `report` at a width in CSS pixels."""
    dom = run_chromium(write_frame(report, width, 800, folder), folder, "--window-size=1600,900", "--dump-dom")
    return json.loads(html.unescape(re.search(r'<pre id="measured"[^>]*>(.*?)</pre>', dom, flags=re.DOTALL)[1]))


def screenshot(report: Path, width: int, height: int, folder: Path):
    """The whole page as a BGR image of `height` × `width` pixels."""
    target = folder / "page.png"
    frame = write_frame(report, width, height, folder)
    run_chromium(frame, folder, f"--window-size={max(width, 600)},{height}", f"--screenshot={target}")
    return cv2.imread(str(target))[:height, :width]


def network_requests(url: str, folder: Path) -> list[str]:
    """The addresses that the page at `url` asked the network for; the browser's own errands are left out."""
    log = folder / "net-log.json"
    run_chromium(url, folder, f"--log-net-log={log}", "--dump-dom")
    events = json.loads(log.read_text())
    started = events["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    requests = [event["params"] for event in events["events"] if event["type"] == started and "params" in event]
    return [
        request["url"]
        for request in requests
        if request.get("url", "").startswith(("http:", "https:", "ws:", "wss:"))
        and request.get("initiator") != "not an origin"
    ]
