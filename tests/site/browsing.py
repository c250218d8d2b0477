"""What tests of pages do in a browser."""

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

WAIT_SECONDS = 30
WIDE, NARROW = 1280, 400


def resize(browser: webdriver.Chrome, width: int) -> None:
    metrics = dict(width=width, height=1000, deviceScaleFactor=1, mobile=False)
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def shown(browser: webdriver.Chrome, css: str) -> WebElement:
    """The first such element that is visible, waited for."""

    def visible(driver: webdriver.Chrome) -> WebElement | None:
        elements = driver.find_elements(By.CSS_SELECTOR, css)
        return next((e for e in elements if e.is_displayed()), None)

    element: WebElement = WebDriverWait(browser, WAIT_SECONDS).until(visible)
    return element


def errors(browser: webdriver.Chrome) -> list[str]:
    """What the console has against the page."""
    return [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
