"""The first page, as a browser shows it."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from seqd.client import Client
from seqd.testing import RunningServices

Look = Callable[[str], None]


def test_the_first_page_shows_what_is_in_hand_and_follows_it(
    tab: Page, services: RunningServices, look: Look
) -> None:
    tab.goto("/")
    expect(tab.get_by_role("heading", name="Now")).to_be_visible()
    expect(tab.locator("#connection")).to_have_text("live")

    with Client(settings=services.settings) as client:
        client.pause_model("imdb_lstm")
        job = client.classify(["fine", "bad"])
        expect(tab.get_by_role("link", name=job.job_id)).to_be_visible()
        look("now")

        client.resume_model("imdb_lstm")
        expect(tab.get_by_text("No open jobs.")).to_be_visible()
