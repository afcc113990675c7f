"""A browser for tests of the console, before a gateway with a worker in the test's process.

browser       Chromium of Debian, without a window
tab           a tab at the gateway; the test fails where its console has an error
look          what a test of a page ends with: a screenshot, and what axe finds, which is nothing
log_in        makes a key and logs the tab in by it
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from gateway.conftest import gateway, models, new_key, seqd, services, web

__all__ = ["gateway", "models", "new_key", "seqd", "services", "web"]

#: Longest that a page may take, all else on the machine beside it.
LIMIT_MS = 60_000

#: How Chromium notes an answer to a form that says what is wrong with its fields.
_OF_A_FORM = (
    "a status of 400 (Bad Request)",
    "a status of 401 (Unauthorized)",
    "a status of 409 (Conflict)",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = which("chromium") or which("chromium-headless-shell")
    if path is None:
        pytest.skip("needs Debian's package chromium")
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Browser, gateway: str) -> Iterator[Page]:
    context = browser.new_context(base_url=gateway, viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.set_default_timeout(LIMIT_MS)
    errors = list[str]()

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.endswith(_OF_A_FORM):
            errors.append(f"{message.text} at {message.location}")

    tab.on("console", note)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert errors == []


@pytest.fixture
def look(tab: Page) -> Callable[[str], None]:
    """Keep a picture of the page in the folder SCREENSHOTS, and hold it against axe."""

    def looked(name: str) -> None:
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            tab.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
        found = Axe().run(tab)
        assert found.violations_count == 0, found.generate_report()

    return looked


@pytest.fixture
def log_in(tab: Page, new_key: Callable[..., tuple[str, str]]) -> Callable[..., str]:
    """Gives the key's id."""

    def logged_in(tenant: str, role: str) -> str:
        secret, key_id = new_key(tenant, role)
        tab.context.clear_cookies()
        tab.goto("/login")
        tab.get_by_label("Key of this gateway").fill(secret)
        tab.get_by_role("button", name="Log in").click()
        expect(tab.get_by_text(f"{tenant}, {role}")).to_be_visible()
        return key_id

    return logged_in
