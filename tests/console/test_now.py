"""The first page, as a browser shows it."""

from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from gateway_builders import new_key, note_hour, publish_owned, running_gateway
from seqd.testing import RunningServices, running_services
from seqd_schemas import KeyRole

Look = Callable[[str], None]


def test_the_first_page_shows_what_is_in_hand_and_the_last_hour_and_follows_it(
    tab: Page, services: RunningServices, look: Look
) -> None:
    tab.goto("/")
    expect(tab.get_by_role("heading", name="Now")).to_be_visible()
    expect(tab.locator("#connection")).to_have_text("live")
    note_hour(services, minutes=50)
    told = "Items waiting, from 50 min ago to now: last 1,000."
    expect(tab.get_by_role("img", name=told)).to_be_visible()

    with services.client() as client:
        client.pause_model("imdb_lstm")
        job = client.classify(["fine", "bad", "raise"])
        expect(tab.get_by_role("link", name=job.job_id)).to_be_visible()
        expect(tab.get_by_text("The model imdb_lstm is paused")).to_be_visible()
        expect(tab.locator(".figures")).to_contain_text("3 items paused")
        look("now")

        client.resume_model("imdb_lstm")
        expect(tab.get_by_text("No open jobs.")).to_be_visible()
        expect(tab.get_by_text("1 dead letter")).to_be_visible()


def test_a_tenant_sees_its_own_work_and_what_keeps_it_and_nothing_of_another(
    browser: Browser,
) -> None:
    texts = dict[KeyRole, str]()
    with (
        running_services({}) as services,
        services.client() as client,
        running_gateway(services) as gateway,
    ):
        publish_owned(services, "ours", "theirs")
        mine = client.classify(["x"], model="ours", tenant="ours").job_id
        other = client.classify(["x"], model="theirs", tenant="theirs").job_id
        client.pause_model("theirs", reason="of theirs")
        for role in (KeyRole.READ, KeyRole.ADMIN):
            context = browser.new_context(base_url=gateway.address)
            tab = context.new_page()
            secret = new_key(services, "ours", role)
            tab.goto("/login")
            tab.get_by_label("Key of this gateway").fill(secret)
            tab.get_by_role("button", name="Log in").click()
            expect(tab.get_by_text("do all that waits of classify ours (1 item)")).to_be_visible()
            texts[role] = tab.locator("main").inner_text()
            context.close()

    tenants, admins = texts[KeyRole.READ], texts[KeyRole.ADMIN]
    assert mine in tenants
    assert "Open jobs: 1" in tenants
    assert "theirs" not in tenants
    assert other not in tenants
    assert "The model theirs is paused" in admins
    assert other in admins
    assert "Open jobs: 2" in admins
