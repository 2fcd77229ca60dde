"""The HTML page in a real browser, opened as a file: a headless Chromium, where one and its driver are installed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multimargin_reports import Report
from multimargin_reports.html import write

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = (1280, 768, 375, 320)
SCHEMES = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    """Start the browser once. Skips where there is none, or it does not start."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    program = shutil.which("chromedriver")
    if browser is None or program is None:
        pytest.skip("no chromium and chromedriver on PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        made = webdriver.Chrome(options=options, service=webdriver.ChromeService(program, log_output=os.devnull))
    except WebDriverException as error:
        pytest.skip(f"{browser} does not start: {(error.msg or '').splitlines()[0]}")
    yield made
    made.quit()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, everything: Report) -> Path:
    """Return the page of a report with something of everything."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(everything, path)
    return path


@pytest.fixture
def opened(driver: webdriver.Chrome, place: Path) -> webdriver.Chrome:
    """Open the page anew, in light and on a wide screen."""
    show(driver, place)
    return driver


def show(driver: webdriver.Chrome, path: Path, scheme: str = "light", width: int = 1280, anchor: str = "") -> None:
    """Open a page in a colour scheme and a width."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": [feature]})
    driver.get("about:blank")  # a new document, whatever the anchor is
    driver.get(path.resolve().as_uri() + anchor)


def one(driver: webdriver.Chrome, selector: str) -> Any:
    """Return one element."""
    return driver.find_element(By.CSS_SELECTOR, selector)


def press(driver: webdriver.Chrome, *keys: str) -> None:
    """Press keys where the focus is."""
    webdriver.ActionChains(driver).send_keys(*keys).perform()


def focused(driver: webdriver.Chrome) -> Any:
    """Return what has the focus."""
    return driver.switch_to.active_element


def test_it_opens_as_a_file_without_errors(opened: webdriver.Chrome) -> None:
    assert opened.current_url.startswith("file:///")
    assert opened.title == "kernel 1.2 cpu: MultiMarginLoss conformance, full"
    assert opened.get_log("browser") == []
    script = "return performance.getEntriesByType('resource').length"
    assert opened.execute_script(script) == 0


def test_a_failure_opens_and_closes(opened: webdriver.Chrome) -> None:
    first, second = one(opened, "#cause-1"), one(opened, "#cause-2")
    assert first.get_attribute("open") is not None
    assert second.get_attribute("open") is None
    summary = second.find_element(By.TAG_NAME, "summary")
    summary.click()
    assert second.get_attribute("open") is not None
    summary.send_keys(Keys.ENTER)
    assert second.get_attribute("open") is None


def test_a_link_to_a_cause_opens_it(opened: webdriver.Chrome) -> None:
    for _ in range(2):  # the second time, the address does not change
        opened.execute_script("scrollTo(0, 0)")
        one(opened, ".causes a[href='#cause-2']").click()
        until(opened, lambda: one(opened, "#cause-2").get_attribute("open") is not None)
        one(opened, "#cause-2 summary").click()


def until(driver: webdriver.Chrome, true: Callable[[], bool]) -> None:
    """Wait until something is true, for two seconds at most."""
    WebDriverWait(driver, 2, 0.02).until(lambda _: true())


def test_a_cell_opens_its_clause_by_mouse_and_by_keyboard(opened: webdriver.Chrome) -> None:
    cell, panel = one(opened, "a.cell[href='#VALUE-4-4']"), one(opened, "#VALUE-4")
    assert not panel.is_displayed()
    cell.click()
    assert panel.is_displayed()
    assert "The target MUST NOT count." in panel.text
    assert "loss = 0.75, but should be 0.5 (exact)" in panel.text
    assert "5 fail" in panel.text
    press(opened, Keys.ESCAPE)
    assert not panel.is_displayed()
    assert focused(opened) == cell
    press(opened, Keys.ENTER)
    assert panel.is_displayed()
    assert cell.get_attribute("aria-expanded") == "true"
    press(opened, " ")
    assert not panel.is_displayed()
    assert cell.get_attribute("aria-expanded") == "false"


def test_an_address_opens_its_clause_through_the_filter(driver: webdriver.Chrome, place: Path) -> None:
    show(driver, place, anchor="#VALUE-2")
    assert one(driver, "#VALUE-2").is_displayed()
    assert one(driver, "#found").text == "7 of 7 clauses shown"


def clauses(driver: webdriver.Chrome) -> list[str]:
    """Return the clauses that are shown."""
    return [e.text.split()[0] for e in driver.find_elements(By.CSS_SELECTOR, "tr.clause th") if e.is_displayed()]


def test_the_filters(opened: webdriver.Chrome) -> None:
    assert clauses(opened) == ["VALUE-4"]  # what fails, at first
    one(opened, "input[name=kind][value=all]").find_element(By.XPATH, "..").click()
    assert len(clauses(opened)) == 7
    one(opened, "input[name=kind][value=skip]").find_element(By.XPATH, "..").click()
    assert clauses(opened) == ["GRADIENT-2"]
    one(opened, "input[name=kind][value=all]").find_element(By.XPATH, "..").click()
    field = one(opened, "#filter")
    field.send_keys("Ann UNINIT")  # words of a message, in any order and case
    assert clauses(opened) == ["GRADIENT-1"]
    assert one(opened, "#found").text == "1 of 7 clauses shown"
    field.clear()
    field.send_keys("nothing has this")
    assert clauses(opened) == []
    press(opened, Keys.ENTER)
    assert opened.current_url.endswith("report.html")


PROGRAM = 'import numpy as np\n\nx = np.array([[1.0, 0.0]])\nprint("<b>&", x)'
NO_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
NO_COPY = "document.execCommand = () => false"


@pytest.mark.parametrize(
    ("before", "answer"),
    [([], "Copied"), ([NO_CLIPBOARD], "Copied"), ([NO_CLIPBOARD, NO_COPY], "Selected: copy it now")],
    ids=["clipboard", "no clipboard", "no copying"],
)
def test_the_program_is_copied(opened: webdriver.Chrome, before: list[str], answer: str) -> None:
    for script in before:
        opened.execute_script(script)
    button = one(opened, "button[data-copy=program-1]")
    button.click()
    until(opened, lambda: button.text == answer)
    assert opened.execute_script("return document.getElementById('announced').textContent") == answer
    if before:
        assert opened.execute_script("return getSelection().toString()") == PROGRAM
    if answer == "Copied":
        field = one(opened, "#filter")
        field.send_keys(Keys.CONTROL, "v")
        until(opened, lambda: field.get_attribute("value") == PROGRAM.replace("\n", " "))


def test_the_keyboard_reaches_everything_and_the_focus_is_seen(opened: webdriver.Chrome) -> None:
    script = """return [...document.querySelectorAll('a, button, input, summary, pre[tabindex], .scroll')]
        .filter((e) => e.checkVisibility({visibilityProperty: true}) && !(e.type === 'radio' && !e.checked)).length"""
    expected = opened.execute_script(script)
    look = """const e = document.activeElement, s = e.type === 'radio' ? e.nextElementSibling : e;
        return [e.outerHTML, getComputedStyle(s).outlineStyle, parseFloat(getComputedStyle(s).outlineWidth)]"""
    seen: list[str] = []
    for _ in range(expected):
        press(opened, Keys.TAB)
        html, style, width = opened.execute_script(look)
        assert (style != "none" and width >= 2) or html.startswith("<body"), html[:200]
        seen.append(html)
    assert "Skip to the content" in seen[0]
    assert sum(html.startswith("<body") for html in seen) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_scrolls_sideways(driver: webdriver.Chrome, place: Path, scheme: str, width: int) -> None:
    show(driver, place, scheme, width)
    for details in driver.find_elements(By.TAG_NAME, "details"):
        driver.execute_script("arguments[0].open = true", details)
    one(driver, "a.cell[href='#VALUE-4-4']").click()
    script = "return [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
    assert driver.execute_script(script) == [width, SCHEMES[scheme]]
    assert driver.get_log("browser") == []


def test_it_works_without_scripts(driver: webdriver.Chrome, place: Path) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(driver, place, anchor="#VALUE-4-4")
        assert one(driver, "#VALUE-4").is_displayed()
        assert not one(driver, "#VALUE-2").is_displayed()
        assert not one(driver, ".filters").is_displayed()
        assert not one(driver, "button.copy").is_displayed()
        assert len(clauses(driver)) == 7
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_on_paper_everything_is_open_and_dark_on_white(driver: webdriver.Chrome, place: Path) -> None:
    show(driver, place, "dark")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert one(driver, "#cause-2 .body").is_displayed()
    assert not one(driver, "nav").is_displayed()
    assert not one(driver, "button.copy").is_displayed()
    body = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert body == SCHEMES["light"]
    driver.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert one(driver, "#cause-2").get_attribute("open") is None


@pytest.mark.parametrize(
    "text",
    ["<script>document.title='owned'</script>", "</script><svg onload=\"document.title='owned'\">", "x" * 5000]
    + ["\u05d0\u05d1\u05d2 \u0627\u0644\u0639 " * 100, "e" + "\u0301" * 5000],
    ids=["script", "end of script", "long", "right to left", "marks"],
)
def test_hostile_text_does_nothing(
    driver: webdriver.Chrome, tmp_path: Path, make_hostile: Callable[[str], Report], text: str
) -> None:
    write(make_hostile(text), tmp_path / "report.html")
    show(driver, tmp_path / "report.html", width=375)
    assert driver.title != "owned"
    assert driver.get_log("browser") == []
    assert driver.execute_script("return document.documentElement.scrollWidth") == 375
    assert not re.search(
        "onload=.document", one(driver, "body").get_attribute("outerHTML").replace("&lt;svg onload=", "")
    )
