"""The pages in a real browser: with and without JavaScript, by keyboard, on a phone, in the dark, with a camera."""

import json
import shutil
import threading
import time

import numpy as np
import pytest
import uvicorn

from facemargin.data.source import encode_png
from facemargin.serving.app import create_app

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make test-browser")

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in _NAMES if (found := shutil.which(name))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(parts, tmp_path_factory):
    """The address of a service, whose gallery is `gallery`; and files of pictures."""
    folder = tmp_path_factory.mktemp("site")
    gallery = shutil.copytree(parts.gallery, folder / "staff")
    (folder / "reports").mkdir()
    (folder / "reports" / "report.html").write_text("<!doctype html><p>the report</p>")
    for number in (0, 3, 20):
        (folder / f"{number}.png").write_bytes(parts.png[number])
    (folder / "flat.png").write_bytes(encode_png(np.full((112, 92, 3), 128, np.uint8)))
    (folder / "none.png").write_bytes(b"no picture")
    app = create_app(
        parts.model, calibration=parts.calibration, galleries={"staff": gallery}, reports={"runs": folder / "reports"}
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}", folder
    server.should_exit = True
    thread.join()


@pytest.fixture
def visit(browser, site):
    """Opens pages with options of a browser's context; at the end nothing was complained of, nor asked of others."""
    address, _ = site
    complaints, contexts = [], []

    def page_of(path="/", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((address, "data:", "blob:")) else complaints.append(request.url)
            ),
        )
        page.goto(address + path)
        return page

    yield page_of
    for context in contexts:
        context.close()
    assert [text for text in complaints if "422" not in text] == []  # what is refused is said with this status


def wait_for(page, condition):
    """Until it holds; Playwright's own would evaluate a text in the page, which its policy forbids."""
    until = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < until, condition
        page.wait_for_timeout(20)


def compare(page, folder, first, second):
    page.set_input_files("#image_a", folder / first)
    page.set_input_files("#image_b", folder / second)
    page.click("button.main")
    page.wait_for_selector("#result .decision")
    return page.inner_text("#result")


@pytest.mark.parametrize("scripts", [True, False])
def test_uploading_and_deciding(visit, site, scripts):
    _, folder = site
    page = visit(java_script_enabled=scripts)
    loaded = []
    page.on("framenavigated", lambda frame: loaded.append(frame.url))
    said = compare(page, folder, "0.png", "0.png")
    assert "The same person" in said and "pairs of different people match" in said and bool(loaded) != scripts
    assert page.locator("svg.shown").count() == 2
    assert "the second photograph: " in compare(page, folder, "0.png", "none.png").lower()


def test_enrolling_identifying_refusing_and_deleting(visit, site):
    _, folder = site
    name = "Ann"
    page = visit("/galleries")
    page.click("text=staff")
    page.click("nav.tabs >> text=Enrol")
    page.fill("#person", name)
    page.set_input_files("#images", [folder / "20.png", folder / "flat.png"])
    page.click("summary")
    page.select_option("#gate", "review")
    page.click("button.main")
    page.wait_for_selector("#result .decision")
    assert "low contrast" in page.inner_text("#result")
    page.click("nav.tabs >> text=Review")
    for box in page.locator("input[name=accept]").all():
        if name in box.get_attribute("aria-label"):
            box.check()
    page.click("button.main")
    page.wait_for_selector(".done")
    assert "accepted" in page.inner_text(".done")
    page.click("nav.tabs >> text=Search")
    page.set_input_files("#images", folder / "20.png")
    page.click("button.main")
    page.wait_for_selector("#result table")
    assert name in page.inner_text("#result table")
    page.click(f"#result table >> text={name}")
    page.click(f"summary:has-text('Delete {name}')")
    page.click(f"button:has-text('Delete {name}')")
    page.wait_for_selector(".done")
    assert f"{name} is deleted, with 2 images." in page.inner_text(".done")

    page.click("nav.tabs >> text=Enrol")
    page.fill("#person", "Eve")
    page.set_input_files("#images", folder / "flat.png")
    page.click("button.main")
    page.wait_for_selector("#result .decision")
    assert "0 photographs enrolled, 1 refused" in page.inner_text("#result")


def test_by_keyboard_alone(visit, site):
    _, folder = site
    page = visit()

    def focused():
        return page.evaluate(
            "(({id, className, textContent}) => id || className || textContent.trim())(document.activeElement)"
        )

    page.keyboard.press("Tab")
    assert focused() == "skip"
    page.keyboard.press("Enter")
    for name in ("image_a", "image_b"):
        for _ in range(4):
            page.keyboard.press("Tab")
            if focused() == name:
                break
        assert focused() == name
        page.set_input_files(f"#{name}", folder / "0.png")  # the system's own dialog is not the page's
    for _ in range(6):
        page.keyboard.press("Tab")
        if focused() == "main" and page.evaluate("document.activeElement.tagName") == "BUTTON":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"  # it is seen where one is
    page.keyboard.press("Enter")
    page.wait_for_selector("#result .decision")
    wait_for(page, "document.activeElement.id == 'result'")
    assert "The same person" in page.inner_text("#result")


def test_a_phone_and_the_dark(visit):
    phone = {"viewport": {"width": 360, "height": 700}, "is_mobile": True, "has_touch": True, "color_scheme": "dark"}
    page = visit(**phone)
    address = page.url
    for path in ("", "galleries", "galleries/staff", "galleries/staff/search", "galleries/staff/enrol",
                 "galleries/staff/review", "galleries/staff/person?person=s1", "reports"):  # fmt: skip
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        red, green, blue = json.loads(
            page.evaluate("getComputedStyle(document.body).backgroundColor").replace("rgb(", "[").replace(")", "]")
        )
        assert max(red, green, blue) < 60
        for button in page.locator("button:visible, input[type=file]:visible").all():
            assert button.bounding_box()["height"] >= 34, path
    page.click(".reports a")
    assert page.inner_text("body") == "the report"


def test_a_photograph_from_the_camera(visit, site):
    _, folder = site
    page = visit()
    page.set_input_files("#image_a", folder / "0.png")
    page.locator("text=Use the camera").nth(1).click()
    wait_for(page, "document.querySelector('video')?.videoWidth > 0")
    page.click("text=Take the photograph")
    wait_for(page, "document.getElementById('image_b').files.length == 1")
    wait_for(page, "document.querySelectorAll('canvas.chosen').length == 2")
    assert page.locator("video").count() == 0
    page.click("button.main")
    page.wait_for_selector("#result .decision")
    assert page.locator("svg.shown").count() == 2
