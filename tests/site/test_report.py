"""A report's page in a browser, as a reader opens the file: `make docs-test`."""

import json
import re
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from multidd.evaluation.document import as_page
from tests import reports
from tests.site.browsing import NARROW, WIDE, errors, resize

WIDTHS = pytest.mark.parametrize("width", [WIDE, NARROW])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with every section, and names that would be code."""
    summary = reports.pictures()
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(as_page(reports.document(summary), summary), encoding="utf-8")
    return path.as_uri()


def color_scheme(browser: webdriver.Chrome, value: str) -> None:
    feature = {"name": "prefers-color-scheme", "value": value}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def brightness(browser: webdriver.Chrome, of: str = "backgroundColor") -> int:
    color = f"return getComputedStyle(document.body).{of}"
    return sum(map(int, re.findall(r"\d+", browser.execute_script(color))[:3]))


def requests(browser: webdriver.Chrome) -> list[str]:
    """Addresses that the browser asked for since this was called last."""
    events = [
        json.loads(e["message"])["message"] for e in browser.get_log("performance")
    ]
    sent = [e for e in events if e["method"] == "Network.requestWillBeSent"]
    return [event["params"]["request"]["url"] for event in sent]


def focused(browser: webdriver.Chrome) -> WebElement:
    return browser.switch_to.active_element


def tab_to(browser: webdriver.Chrome, css: str) -> WebElement:
    """The element, reached by the key that leads from one to the next."""
    goal = browser.find_element(By.CSS_SELECTOR, css)
    for _ in range(60):
        webdriver.ActionChains(browser).send_keys(Keys.TAB).perform()
        if focused(browser) == goal:
            return goal
    raise AssertionError(f"{css} is not reached by the keyboard")


@WIDTHS
def test_it_opens(browser: webdriver.Chrome, address: str, width: int) -> None:
    """Nothing is asked for but the file, nothing fails, nothing runs from its names."""
    resize(browser, width)
    requests(browser)
    browser.get(address)
    loaded = [u for u in requests(browser) if not u.startswith(("data:", "chrome"))]
    assert loaded == [address]
    assert not errors(browser)
    assert browser.find_element(By.TAG_NAME, "h1").text == "Report of dm"
    images = browser.find_elements(By.CSS_SELECTOR, "#set img")
    assert len(images) == 10 and all(i.get_property("naturalWidth") for i in images)
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    # No section, chart or paragraph is cut at the side of the window.
    cut = """return [...document.querySelectorAll('section, svg, p, pre, h1, nav')]
        .filter(e => e.getBoundingClientRect().right > arguments[0]).length"""
    assert browser.execute_script(cut, width) == 0


@WIDTHS
def test_a_table_sorts_by_the_keyboard(
    browser: webdriver.Chrome, address: str, width: int
) -> None:
    resize(browser, width)
    browser.get(address)
    column = "#rows th:nth-child(3)"

    def state() -> tuple[list[float], str | None, str]:
        cells = browser.find_elements(By.CSS_SELECTOR, "#rows td:nth-child(3)")
        scores = [
            float((c.get_property("textContent") or "").split()[0]) for c in cells
        ]
        head = browser.find_element(By.CSS_SELECTOR, column)
        said = browser.find_element(By.ID, "status").get_property("textContent")
        return scores, head.get_attribute("aria-sort"), str(said)

    before, order, _ = state()
    assert order == "none" and before != sorted(before)
    button = tab_to(browser, f"{column} button")
    assert button.get_property("textContent") == "accuracy %"
    assert button.value_of_css_property("outline-style") != "none"
    button.send_keys(Keys.ENTER)
    scores, order, said = state()
    assert (scores, order) == (sorted(before), "ascending")
    assert said == "Sorted by accuracy %, ascending."
    button.send_keys(Keys.SPACE)
    scores, order, said = state()
    assert (scores, order) == (sorted(before, reverse=True), "descending")
    assert "descending" in said and focused(browser) == button


def test_names_sort_as_words_and_empty_cells_come_last(
    browser: webdriver.Chrome, address: str
) -> None:
    browser.get(address)
    heads = browser.find_elements(By.CSS_SELECTOR, "#plain th button")
    rows = lambda n: [  # noqa: E731
        e.text for e in browser.find_elements(By.CSS_SELECTOR, f"#plain tbody tr {n}")
    ]
    heads[4].click()
    heads[4].click()
    assert rows("td:last-child") == ["38", "21", ""]
    heads[4].click()
    assert rows("td:last-child") == ["21", "38", ""]
    heads[0].click()
    assert rows("th") == ["cnn", "logistic", "mlp"]


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_button_turns_the_colours(
    browser: webdriver.Chrome, address: str, system: str
) -> None:
    color_scheme(browser, system)
    browser.get(address)
    other = {"light": "dark", "dark": "light"}[system]
    button = browser.find_element(By.ID, "theme")
    seen = {system: brightness(browser)}
    pressed = {system: button.get_attribute("aria-pressed")}
    tab_to(browser, "#theme").send_keys(Keys.ENTER)
    seen[other] = brightness(browser)
    pressed[other] = button.get_attribute("aria-pressed")
    assert seen["dark"] < 150 < 600 < seen["light"]
    assert pressed == {"dark": "true", "light": "false"}
    assert abs(brightness(browser, "color") - seen[other]) > 450
    button.click()
    assert brightness(browser) == seen[system]
    assert not errors(browser)


def test_it_reads_well_by_ear(browser: webdriver.Chrome, address: str) -> None:
    """The tree for screen readers: charts are named images, regions have names."""
    browser.get(address)
    tree = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    nodes = [n for n in tree if not n.get("ignored")]

    def names(role: str) -> list[str]:
        some = [n for n in nodes if n["role"]["value"] == role]
        return [n.get("name", {}).get("value", "") for n in some]

    charts = browser.find_elements(By.CSS_SELECTOR, "svg[role=img]")
    images = names("image") + names("img")
    assert len(charts) == 6 and len(images) == len(charts) + 10
    assert all(images) and all(names("region")) and all(names("button"))
    assert names("navigation") == ["Sections"] and len(names("main")) == 1
    headings = browser.find_elements(By.CSS_SELECTOR, "h1, h2, h3")
    levels = [int(h.tag_name[1]) for h in headings]
    assert levels[0] == 1 and levels.count(1) == 1 and set(levels) <= {1, 2}


def test_without_scripts_all_is_there(browser: webdriver.Chrome, address: str) -> None:
    try:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        browser.get(address)
        assert len(browser.find_elements(By.CSS_SELECTOR, "#rows tbody tr")) == 10
        assert not browser.find_element(By.ID, "theme").is_displayed()
    finally:
        browser.execute_cdp_cmd(
            "Emulation.setScriptExecutionDisabled", {"value": False}
        )


def test_the_picture_in_the_guides_is_small() -> None:
    path = Path(__file__).parents[2] / "docs/_static/report.png"
    assert 20_000 < path.stat().st_size <= 150 * 1024
