"""Takes the README's screenshots from the real site with the real model.

.venv/bin/python docs/screenshots.py        (after bin/test has set everything up)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.servers import Server, make_database  # noqa: E402 - needs the path above

IMAGES = ROOT / "docs" / "images"
SIZES = {"chat": (1280, 800, "light"), "chat-phone": (390, 844, "dark")}
SAID = ("Hi! How is your day going?", "Do you have any pets?", "What do you do for a living?")


def take(browser: Browser, url: str, name: str) -> None:
    """Chat a little, reveal who it was on the wide page, and keep the picture."""
    width, height, scheme = SIZES[name]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    for number, text in enumerate(SAID, start=1):
        page.get_by_role("textbox", name="Your message").fill(text)
        page.keyboard.press("Enter")
        expect(page.locator('[data-role="bot"][data-status="complete"]')).to_have_count(number)
    if name == "chat":
        page.get_by_role("button", name="Lift the veil").click()
        page.wait_for_timeout(1000)
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        template = make_database(Path(directory) / "template.sqlite3")
        server = Server(Path(directory) / "db.sqlite3", template, DEBUG="true").start()
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
        )
        for name in SIZES:
            take(browser, server.url, name)
        browser.close()
        server.kill()


if __name__ == "__main__":
    main()
