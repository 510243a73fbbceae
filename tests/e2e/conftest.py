"""One browser for all tests of the page, and a fresh page for each."""

from __future__ import annotations

import pytest
from flask import Flask

from asahi_analytics import web
from support.pages import chromium, served

WIDE = {"width": 1400, "height": 900}


class Overview:
    """The overview page in a browser; ``complaints`` collects what its console and its scripts complained about."""

    def __init__(self, page, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def open(self, query: str = "") -> Overview:
        """Go to the page and wait until every card has said something."""
        self.page.goto(f"{self.base}/{query}")
        return self.settled()

    def settled(self) -> Overview:
        """Wait until no card is busy and each shows something."""
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('section')].every("
            "each => each.dataset.status && !each.hasAttribute('aria-busy'))",
            timeout=180_000,
        )
        return self

    def refreshed(self) -> Overview:
        """Press the button and wait for the answers."""
        self.page.get_by_role("button", name="Refresh").click()
        return self.settled()

    def asked_anew(self) -> Overview:
        """Wait for the answers that the page asks for by itself when it is seen again."""
        self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        return self.settled()

    def card(self, name: str):
        """The card with that id."""
        return self.page.locator(f"#{name}")

    def text(self) -> str:
        """Everything that can be read on the page."""
        return self.page.locator("body").inner_text()

    def statuses(self) -> set[str]:
        """What became of the cards: shown, failed."""
        return set(self.page.eval_on_selector_all("section", "all => all.map(each => each.dataset.status)"))


@pytest.fixture(scope="session")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def new_overview(browser):
    """Makes pages: ``new_overview(base, viewport=…)``; each is closed at the end."""
    contexts = []

    def make(base, **options):
        context = browser.new_context(**{"viewport": WIDE, "timezone_id": "UTC", **options})
        contexts.append(context)
        return Overview(context.new_page(), base)

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def base():
    """The address of the page alone; tests say what a service answers."""
    application = Flask("page")
    application.register_blueprint(web.blueprint)
    with served(application) as address:
        yield address
