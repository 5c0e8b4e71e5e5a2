"""A person at a browser."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

# Told to the console by a page whose content security policy was violated.
WATCH_POLICY = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""
# Counts how often each reply was added to the log, which is when a screen reader speaks it.
ANNOUNCED = """
() => {
  globalThis.announced = [];
  new MutationObserver((changes) => {
    for (const {addedNodes} of changes) {
      for (const node of addedNodes) {
        const bubble = node.dataset?.role === "bot" && node.querySelector(".bubble");
        if (bubble) announced.push([node.dataset.status, bubble.textContent]);
      }
    }
  }).observe(document.getElementById("log"), {childList: true, subtree: true});
}
"""
REPLY_MS = 30_000


class Person:
    """One browser context with its own cookies and storage, and the chat page in it."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.problems: list[str] = []
        self.tolerated: list[str] = []
        self.page = self.open_tab()

    def open_tab(self) -> Page:
        page = self.context.new_page()
        page.add_init_script(WATCH_POLICY)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("request", self._requested)
        return page

    def tolerate(self, pattern: str) -> None:
        """Console messages that this test brings about on purpose."""
        self.tolerated.append(pattern)

    def visit(self, path: str = "/") -> None:
        self.page.goto(self.url + path)

    def start(self) -> str:
        """Start a conversation; returns its path."""
        self.visit("/")
        return self.path

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.url).partition("#")[0]

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Your message")

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log")

    def bubbles(self, role: str = "bot", status: str | None = None) -> Locator:
        state = f"[data-status={status}]" if status else ""
        return self.page.locator(f".message[data-role={role}]{state} .bubble")

    def say(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def ask(self, text: str) -> str:
        """Say something and wait for the whole reply."""
        before = self.bubbles(status="complete").count()
        self.say(text)
        expect(self.bubbles(status="complete")).to_have_count(before + 1, timeout=REPLY_MS)
        return self.bubbles(status="complete").last.inner_text()

    def export(self) -> dict[str, Any]:
        """The conversation as the server has it."""
        answer = self.context.request.get(f"{self.url}{self.path}export/")
        document: dict[str, Any] = answer.json()
        return document

    def said(self) -> list[tuple[str, str]]:
        return [(message["role"], message["text"]) for message in self.export()["messages"]]

    def leave(self) -> None:
        """Close the browser, and look whether any page had complaints."""
        self.context.close()
        unexpected = [
            problem
            for problem in self.problems
            if not any(re.search(pattern, problem) for pattern in self.tolerated)
        ]
        assert not unexpected, unexpected

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.type}: {message.text}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.problems.append(f"request to another host: {request.url}")
