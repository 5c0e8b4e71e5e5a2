"""Takes the README's screenshots from the real site with the real model and its own characters.

.venv/bin/python docs/screenshots.py        (after bin/test has set everything up)

The page uses the fonts of the system; these were taken with Debian's fonts-urw-base35,
fonts-cantarell and fonts-noto-color-emoji.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.servers import Server, environment  # noqa: E402 - needs the path above

IMAGES = ROOT / "docs" / "images"
EARLIER = ("What makes you laugh?", "Tell me a secret.", "Where do you live?")
SAID = ("Hi! How is your day going?", "Do you have any pets?", "What do you do for a living?")


def make_database(path: Path) -> None:
    for command in (["migrate", "--verbosity=0"], ["load_personas", "--count=2000"]):
        python = [sys.executable, "manage.py", *command]
        subprocess.run(python, cwd=ROOT, env=environment(path), check=True)  # noqa: S603


def say(page: Page, *texts: str) -> None:
    replies = page.locator('[data-role="bot"][data-status="complete"]')
    for number, text in enumerate(texts, start=1):
        page.get_by_role("textbox", name="Your message").fill(text)
        page.keyboard.press("Enter")
        expect(replies).to_have_count(number, timeout=30_000)


def take(
    browser: Browser, url: str, name: str, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    """A person who has chatted before chats again; on the wide page the veil is lifted."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2,
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    page = context.new_page()
    for text in EARLIER:
        page.goto(url)
        say(page, text)
    page.goto(url)
    say(page, *SAID)
    if name == "chat":
        page.get_by_role("button", name="Lift the veil").click()
        expect(page.get_by_role("complementary").get_by_role("heading", level=3)).to_be_visible()
        page.get_by_role("textbox", name="Your message").focus()
    picture = Image.open(BytesIO(page.screenshot()))
    # Flat colours: a palette keeps a tenth of the bytes and looks the same.
    picture.quantize(192, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)
    context.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        database = Path(directory) / "db.sqlite3"
        make_database(database)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
        )
        with Server(database, DEBUG="true") as server:
            take(browser, server.url, "chat", (1280, 800), "light")
            take(browser, server.url, "chat-phone", (390, 844), "dark")
        browser.close()


if __name__ == "__main__":
    main()
