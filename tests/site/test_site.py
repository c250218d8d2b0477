"""The built pages in a browser, as a reader opens them: `make docs-test`."""

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.site.browsing import NARROW, errors, resize, shown
from tests.source import ROOT

HTML = ROOT / "build" / "docs" / "html"
REMOTE = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["']https?:""")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *words: object) -> None:
        """No line for each request."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the built pages are served; the port is any that is free."""
    assert (HTML / "index.html").is_file(), "the pages are not built: run `make docs`"
    handler = functools.partial(QuietHandler, directory=str(HTML))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def heading(browser: webdriver.Chrome) -> str:
    return shown(browser, "article h1").text.rstrip("#")


def test_the_first_page(browser: webdriver.Chrome, address: str) -> None:
    """Tabs change, pictures are there, and cards lead on."""
    browser.get(address)
    assert heading(browser) == "multidd"
    assert "multidd.graph.gcond" in shown(browser, ".sd-tab-content").text
    browser.find_element(By.XPATH, "//label[normalize-space()='Images']").click()
    assert "multidd.images.dm" in shown(browser, ".sd-tab-content").text
    widths = (
        "return [...document.querySelectorAll('article img')].map(i => i.naturalWidth)"
    )
    assert all(browser.execute_script(widths))
    shown(browser, ".sd-card").click()
    assert heading(browser) == "Quickstart"
    assert not errors(browser)


def test_the_search(browser: webdriver.Chrome, address: str) -> None:
    """A public name is looked for, and its page is the first result."""
    browser.get(address + "quickstart.html")
    shown(browser, ".search-button__button").click()
    field = shown(browser, "input[type=search]")
    field.send_keys("distill_cf", Keys.RETURN)
    shown(browser, "#search-results li a").click()
    assert heading(browser) == "multidd.recsys.distill_cf"
    assert "Example" in shown(browser, "article").text
    assert not errors(browser)


def test_a_guide(browser: webdriver.Chrome, address: str) -> None:
    """From the first page to a guide, and from a method to its source."""
    browser.get(address)
    browser.find_element(By.LINK_TEXT, "Guides").click()
    browser.find_element(By.LINK_TEXT, "Graphs").click()
    assert heading(browser) == "Graphs"
    assert len(browser.find_elements(By.CSS_SELECTOR, "article table tr")) > 10
    browser.get(address + "api/multidd.graph.gcond.html")
    assert "from multidd.graph import gcond" in shown(browser, "article").text
    assert browser.find_elements(By.CSS_SELECTOR, "article math")
    browser.find_element(By.CSS_SELECTOR, "article .viewcode-link").click()
    assert "def gcond(" in shown(browser, "article").text
    assert not errors(browser)


def test_the_gallery(browser: webdriver.Chrome, address: str) -> None:
    """A page of it has what was printed, a picture, seconds and memory."""
    browser.get(address + "gallery/index.html")
    shown(browser, ".sphx-glr-thumbcontainer a").click()
    text = shown(browser, "article").text
    assert "Total running time" in text and "Estimated memory usage" in text
    assert re.search(r"70 synthetic nodes: +\d+\.\d%", text)
    images = browser.find_elements(By.CSS_SELECTOR, "article img.sphx-glr-single-img")
    assert images and all(i.get_property("naturalWidth") for i in images)
    assert not errors(browser)


def test_dark_and_light(browser: webdriver.Chrome, address: str) -> None:
    """The switch changes colours, and the choice stays on the next page."""
    browser.get(address)

    def brightness() -> int:
        color = "return getComputedStyle(document.body).backgroundColor"
        return sum(map(int, re.findall(r"\d+", browser.execute_script(color))[:3]))

    values = {}
    for mode in "light", "dark":
        shown(browser, ".theme-switch-button").click()
        shown(browser, f".theme-change-button[data-mode={mode}]").click()
        browser.get(address + "quickstart.html")
        values[mode] = brightness()
    assert values["dark"] < 200 < 500 < values["light"]


@pytest.mark.parametrize("page", ["index", "guides/images", "api/multidd.images.dm"])
def test_a_narrow_window(browser: webdriver.Chrome, address: str, page: str) -> None:
    """Nothing is wider than a telephone."""
    resize(browser, NARROW)
    browser.get(f"{address}{page}.html")
    assert heading(browser)
    width = browser.execute_script("return document.documentElement.scrollWidth")
    assert width <= NARROW


def test_nothing_is_fetched_from_elsewhere(
    browser: webdriver.Chrome, address: str
) -> None:
    """No page names a script, a style or a picture of another place; nor loads one."""
    pages = sorted(HTML.rglob("*.html"))
    assert len(pages) > 300
    assert not [p.name for p in pages if REMOTE.search(p.read_text(encoding="utf-8"))]
    browser.get(address + "search.html?q=graph")
    shown(browser, "#search-results li a")
    names = "return performance.getEntriesByType('resource').map(e => e.name)"
    loaded = browser.execute_script(names)
    assert loaded and not [name for name in loaded if not name.startswith(address)]


def test_pages_for_programs(address: str) -> None:
    """llms.txt lists Markdown files, all of them there, none of them empty."""
    text = (HTML / "llms.txt").read_text(encoding="utf-8")
    paths = [HTML / name for name in re.findall(r"\]\(([^)]+\.md)\)", text)]
    assert len(paths) > 300
    assert not [path.name for path in paths if not is_page(path)]


def is_page(path: Path) -> bool:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return re.search(r"^# .", text, re.M) is not None
