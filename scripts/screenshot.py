"""Photograph an HTML report with a headless Chromium: the picture in the README.

usage: python scripts/screenshot.py REPORT OUTPUT.png [--dark] [--width 1280] [--height 1600] [--from SELECTOR]
       [--open SELECTOR]

REPORT: report.json or an HTML file. --from: begin at that element. --open: click this first.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

from multimargin_reports import read
from multimargin_reports.html import write

LARGEST = 300_000  # bytes of a picture
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def started(width: int, height: int) -> webdriver.Chrome:
    """Return a headless browser. Raises RuntimeError where there is none, or no driver for it."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        raise RuntimeError("no chromium and chromedriver on PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={width},{height}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def photograph(page: Path, given: argparse.Namespace) -> bytes:
    """Return the picture of a page as PNG."""
    driver = started(given.width, given.height)
    try:
        size = {"width": given.width, "height": given.height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if given.dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.get(page.resolve().as_uri())
        if given.open:
            driver.find_element(By.CSS_SELECTOR, given.open).click()
        top = driver.find_element(By.CSS_SELECTOR, given.start).rect["y"] if given.start else 0
        clip = {"x": 0, "y": top, "width": given.width, "height": given.height, "scale": 1}
        shot = {"format": "png", "clip": clip, "captureBeyondViewport": True}
        return base64.b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", shot)["data"])
    finally:
        driver.quit()


def main(arguments: list[str]) -> int:
    """Write the picture; 1 where it is too large."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1600)
    parser.add_argument("--from", dest="start", default="")
    parser.add_argument("--open", default="")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        page = given.report
        if page.suffix == ".json":
            page = Path(folder) / "report.html"
            write(read(given.report), page)
        picture = photograph(page, given)
    given.output.write_bytes(picture)
    print(f"{given.output}: {len(picture):,} bytes")
    return int(len(picture) > LARGEST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
