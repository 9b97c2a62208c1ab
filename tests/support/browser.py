"""A headless Chromium, driven through selenium: no network but this machine, light or dark, as wide as a phone.

Debian has both as packages (`chromium`, `chromium-driver`); where one is missing its tests are skipped.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PHONE, PAPER, DESK = 390, 700, 1200
PATIENCE_SECONDS = 20


def missing() -> str:
    """What is not installed, as the reason to skip; "" when all is there."""
    gone = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(gone)} missing: apt install chromium chromium-driver" if gone else ""


@dataclass(frozen=True)
class Browser:
    """One window."""

    driver: webdriver.Chrome

    def show(self, url: str, *, width: int = DESK, height: int = 900, dark: bool = False) -> None:
        """Open a page in a window of that size, in light or dark; one as wide as `PAPER` as it is printed."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._tell("Emulation.setEmulatedMedia", features=scheme, media="print" if width == PAPER else "")
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector fits."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """All of them."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "body") -> str:
        """The text of an element, folded parts of the page included."""
        return str(self.run(f"return document.querySelector({selector!r}).textContent"))

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns. (The page's policy does not hold for the one who drives it.)"""
        return self.driver.execute_script(script)

    def until(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true."""
        WebDriverWait(self.driver, PATIENCE_SECONDS, 0.05).until(
            lambda _: self.run(f"return !!({condition})"), condition
        )

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A picture of the window, or of the whole page."""
        found = self._tell(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=whole,
            **(self._clip() if whole else {}),
        )
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """What the console has said since the last time: errors of scripts, refused policies, failed requests."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def _clip(self) -> dict[str, Any]:
        size = self._tell("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def _tell(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser that keeps what it keeps in `folder`, and ends with the context."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (
        "headless=new", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars", "disable-background-networking",
        "disable-component-update", "no-first-run", "force-color-profile=srgb", f"user-data-dir={folder}",
        "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium has none for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
