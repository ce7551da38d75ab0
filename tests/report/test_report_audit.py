"""The page on which somebody decides on the findings of an audit."""

import base64
import html
import json
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.auditing import Finding
from facemargin.auditing.decisions import read_decisions
from facemargin.data.findings import KINDS
from facemargin.data.source import ArrayImages, WithLabels
from facemargin.errors import CorruptImageError, DataError
from facemargin.report.audit_page import surest, thumbnail, write_audit_page
from tests.auditing.audits import audit_of_faces
from tests.report.report_browser import CHROMIUM, network_requests, run_chromium

HOSTILE = '</script><img src=x onerror="alert(1)">&amp;\u2028 \udcff'


class Named(ArrayImages):
    """Faces whose names were chosen by an enemy; one cannot be read."""

    def read(self, index):
        if index == 5:
            raise CorruptImageError(f"{self.describe(5)}: broken")
        return super().read(index)

    def describe(self, index):
        return f"set/{HOSTILE}/{index}.png"


@pytest.fixture(scope="module")
def images():
    faces = fm.open_images("orl:1-3")
    chosen = [cv2.resize(faces.read(index), (200, 150)) for index in (0, 1, 2, 10, 11, 12, 20, 21, 22)]
    return WithLabels(Named(chosen, HOSTILE), [0, 0, 0, 1, 1, 1, 2, 2, 2], ["a" + HOSTILE, "b", "c"])


@pytest.fixture(scope="module")
def audit(images):
    more = [Finding(images.describe(8), "no_face", 0.5 + n / 1e4, "c", reason=f'row {n}, "q"') for n in range(60)]
    return audit_of_faces(images, more)


@pytest.fixture(scope="module")
def page(images, audit, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "new" / "audit.html"
    reports = []
    assert write_audit_page(audit, images, path, lambda *numbers: reports.append(numbers)) == len(audit) == 66
    assert reports[-1][0] == reports[-1][1] == 9  # every face once
    return path


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())[1])


def test_no_name_can_leave_its_place(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("</script>") == 2 and "<img" not in text and 'onerror="' not in text
    assert "script-src 'sha256-" in text and "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)


def test_every_finding_has_its_faces(page, audit, images):
    data = data_of(page)
    assert [one["row"][0] for one in data["findings"]] == [finding.path for finding in audit]
    assert [float(one["row"][2]) for one in data["findings"]] == [finding.score for finding in audit]
    strips = {one["row"][1]: one["strips"] for one in data["findings"]}
    shown = {
        kind: [[data["faces"][place][0] for place in places] for _, places in of_kind]
        for kind, of_kind in strips.items()
    }
    at = images.describe
    assert shown == {
        "mislabelled": [[at(0)], [at(1), at(2)], [at(3), at(4), at(5)]],
        "split": [[at(0), at(1), at(2)], [at(6), at(7), at(8)]],
        "merged": [[at(6)], [at(7), at(8)]],
        "duplicate": [[at(1)], [at(2)]],
        "unrecognisable": [[at(4)], [at(3), at(5)]],
        "no_face": [[at(8)], [at(6), at(7)]],  # the last of them
    }
    faces = dict(data["faces"])
    assert faces[at(5)] == ""
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(faces[at(0)]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (72, 96, 3)


def test_small_images_stay_as_they_are():
    small = np.zeros((20, 10, 3), np.uint8)
    assert cv2.imdecode(np.frombuffer(base64.b64decode(thumbnail(small)), np.uint8), 1).shape == (20, 10, 3)


def test_the_surest_of_every_kind_are_shown_first(audit, images, tmp_path):
    shown = surest(audit, 8)
    assert [finding.kind for _, finding in shown] == [*KINDS][:5] + ["no_face"] * 3
    assert [number for number, _ in shown] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert write_audit_page(audit, images, tmp_path / "p.html", most=8) == 8
    assert "Only the 8 surest are shown, 58 are not" in (tmp_path / "p.html").read_text()


def test_another_set_is_refused(audit, tmp_path):
    with pytest.raises(DataError, match="is not the set that was audited"):
        write_audit_page(audit, fm.open_images("orl:1-3"), tmp_path / "p.html")
    assert not list(tmp_path.iterdir())


# Opens the page in a frame, presses keys there, saves, opens it again, and loads what was saved.
ACTING = """<!doctype html><meta charset="utf-8"><iframe id="frame" style="width:WIDTHpx;height:800px"></iframe>
<pre id="said"></pre><script>
const page = PAGE;
const frame = document.getElementById("frame"), said = {};
const open = () => new Promise(done => { frame.onload = () => done(frame.contentDocument); frame.srcdoc = page; });
const press = keys => {
  for (const key of keys) {
    const event = new frame.contentWindow.KeyboardEvent("keydown", {key, bubbles: true});
    frame.contentDocument.activeElement.dispatchEvent(event);
  }
};
const see = () => ({
  status: frame.contentDocument.getElementById("status").textContent,
  message: frame.contentDocument.getElementById("message").textContent,
  current: frame.contentDocument.activeElement.dataset.index,
  shown: frame.contentDocument.querySelectorAll("#findings > li:not([hidden])").length,
});
const saved = () => {
  let bytes;
  frame.contentWindow.Blob = class { constructor(parts) { bytes = [...parts[0]]; } };
  frame.contentWindow.URL.createObjectURL = () => "#";
  frame.contentDocument.getElementById("save").click();
  return bytes;
};
const change = (selector, change) => {
  const one = frame.contentDocument.querySelector(selector);
  change(one);
  one.dispatchEvent(new Event("input", {bubbles: true}));
};
const load = async bytes => {
  const input = frame.contentDocument.getElementById("file");
  const file = {name: "d.csv", arrayBuffer: async () => new Uint8Array(bytes).buffer};
  Object.defineProperty(input, "files", {value: [file]});
  input.dispatchEvent(new Event("change"));
  await new Promise(done => setTimeout(done, 50));
};
(async () => {
  let shown = await open();
  localStorage.clear();
  shown = await open();
  said.opened = see();
  for (let turn = 0; turn < 200 && !shown.images.length; turn++) await new Promise(done => setTimeout(done, 50));
  said.filled = shown.querySelectorAll("#findings > li > h2").length;
  said.rows = shown.querySelectorAll("#findings > li").length;
  said.pictures = shown.images.length;
  said.broken = [...shown.images].filter(image => image.complete && !image.naturalWidth).length;
  said.width = shown.documentElement.scrollWidth;
  press("jarsa");
  said.decided = see();
  press("u");
  said.undone = see();
  press("kr");
  change("[name=undecided]", box => { box.checked = true; });
  said.undecided = see();
  change("[value=no_face]", box => { box.checked = false; });
  said.filtered = see();
  change("[name=score]", box => { box.value = "0.96"; });
  said.sure = see();
  said.file = saved();
  said.saved = see();
  await open();
  said.again = see();
  localStorage.clear();
  await open();
  await load([...said.file, ...new TextEncoder().encode('gone.png,split,0.5,a,b,,"x, y",reject\\n')]);
  said.loaded = see();
  said.whole = saved();
  await open();
  await load(new TextEncoder().encode("path,kind\\n"));
  said.refused = see();
  document.getElementById("said").textContent = JSON.stringify(said);
})().catch(error => { document.getElementById("said").textContent = JSON.stringify({error: String(error.stack)}); });
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the page in")
def test_deciding_with_the_keyboard(page, audit, tmp_path):
    acting = tmp_path / "acting.html"
    content = json.dumps(page.read_text()).replace("</", "<\\/")
    acting.write_text(ACTING.replace("WIDTH", "420").replace("PAGE", content))
    dom = run_chromium(acting.as_uri(), tmp_path, "--virtual-time-budget=20000", "--dump-dom")
    said = json.loads(html.unescape(re.search(r'<pre id="said">(.*?)</pre>', dom, flags=re.DOTALL)[1]))
    assert "error" not in said, said
    assert said["opened"]["status"] == "0 accepted, 0 rejected, 66 undecided; 66 shown"
    assert (
        said["rows"] == 66
        and 0 < said["filled"] < 40
        and said["pictures"] > 3
        and said["broken"] == 0
        and said["width"] <= 420
    )
    # j to the first, accepted; the second rejected; the third skipped; the fourth accepted, and now at the fifth
    assert said["decided"]["status"] == "2 accepted, 1 rejected, 63 undecided; 66 shown; not saved to a file yet"
    assert said["decided"]["current"] == "4"
    assert said["undone"]["status"].startswith("1 accepted, 1 rejected, 64 undecided")
    assert said["undone"]["current"] == "3"
    assert said["undecided"]["shown"] == 63  # k went to the third, which was rejected
    assert said["filtered"]["shown"] == 2 and said["sure"]["shown"] == 2
    assert said["saved"]["status"] == "1 accepted, 2 rejected, 63 undecided; 2 shown"
    assert said["again"]["status"] == "1 accepted, 2 rejected, 63 undecided; 66 shown"
    (tmp_path / "decisions.csv").write_bytes(bytes(said["file"]))
    decided = {one.finding: one.accepted for one in read_decisions(tmp_path / "decisions.csv")}
    assert decided == dict(zip(list(audit)[:3], [True, False, False], strict=True))  # also names that are not UTF-8
    assert said["loaded"]["message"] == (
        "3 decisions loaded. 1 more is of a finding that this page does not show; it stays in the next file."
    )
    assert said["refused"]["message"].startswith("d.csv cannot be loaded: it has no column score, label, suggested")
    assert bytes(said["whole"]) == bytes(said["file"]) + b'gone.png,split,0.5,a,b,,"x, y",reject\n'


def text_of(dom):
    """What its header says."""
    return re.sub("<[^>]+>", "", dom.partition("</header>")[0].partition("<header>")[2])


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the page in")
def test_it_says_where_it_is_from(page, tmp_path):
    dom = run_chromium(page.as_uri(), tmp_path, "--dump-dom")
    assert "This page is a file: nothing leaves your computer. Your browser" in text_of(dom)
    served = partial(SimpleHTTPRequestHandler, directory=page.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"127.0.0.1:{server.server_port}"
        dom = run_chromium(f"http://{where}/{page.name}", tmp_path, "--host-resolver-rules=", "--dump-dom")
        server.shutdown()
    assert f"This page came from {where}, with its pictures; it sends nothing back." in text_of(dom)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the page in")
def test_it_asks_no_network(page, tmp_path):
    assert network_requests(page.as_uri(), tmp_path) == []
