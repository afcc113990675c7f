"""How a page follows what changes: through outages of its gateway, in hidden tabs, for long."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect

from gateway_builders import running_gateway
from seqd.testing import RunningServices

#: Longest that a gateway takes to end, all else on the machine beside it.
END_S = 60.0

#: As a tab does that is hidden or seen again.
TURN = """isHidden => {
  Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@contextmanager
def opened(browser: Browser, address: str, *, has_scripts: bool = True) -> Iterator[Page]:
    """Open a tab whose console may tell of connections that are refused."""
    context = browser.new_context(base_url=address, java_script_enabled=has_scripts)
    yield context.new_page()
    context.close()


def stream_of(updates: int) -> str:
    """Return a stream of events: so many times another table and other figures, then the end."""
    sent = []
    for number in range(updates):
        rows = "".join(f"<tr><td>{number + row}</td></tr>" for row in range(number % 50))
        figures = f"<ul class='figures'><li><strong>{number}</strong> items</li></ul>"
        for name, html in (("queues", f"<table>{rows}</table>"), ("figures", figures)):
            data = json.dumps({"name": f"live_{name}", "html": html})
            sent.append(f"event: alive\ndata: {{}}\n\nevent: fragment\ndata: {data}\n\n")
    return "".join(sent) + "event: final\ndata: {}\n\n"


def test_a_page_connects_again_to_a_gateway_that_was_killed_or_told_to_end(
    browser: Browser, services: RunningServices
) -> None:
    with (
        services.client() as client,
        running_gateway(services) as gateway,
        opened(browser, gateway.address) as tab,
    ):
        connection = tab.locator("#connection")
        client.pause_model("imdb_lstm")
        tab.goto("/")
        expect(connection).to_have_text("live")
        for sent in (signal.SIGKILL, signal.SIGTERM):  # at the second it ends its streams
            gateway.process.send_signal(sent)
            gateway.process.wait(END_S)
            expect(connection).to_have_text("not connected; trying again")
            job = client.classify(["fine"])

            gateway.start()

            expect(connection).to_have_text("live")
            expect(tab.get_by_role("link", name=job.job_id)).to_be_visible()
        services.cancel_open_jobs()
        client.resume_model("imdb_lstm")


def test_a_page_to_which_nothing_comes_for_30_s_says_that_it_may_be_old(
    browser: Browser, services: RunningServices
) -> None:
    with running_gateway(services) as gateway, opened(browser, gateway.address) as tab:
        connection = tab.locator("#connection")
        tab.clock.install()
        tab.goto("/")
        expect(connection).to_have_text("live")
        gateway.process.send_signal(signal.SIGSTOP)  # connections stay, and nothing comes

        tab.clock.fast_forward(30_000)

        expect(connection).to_have_text("nothing new comes; what is shown may be old")
        gateway.process.send_signal(signal.SIGCONT)
        expect(connection).to_have_text("live")


def test_a_hidden_tab_asks_for_nothing_and_catches_up_once_it_is_seen(
    tab: Page, services: RunningServices
) -> None:
    tab.goto("/")
    expect(tab.locator("#connection")).to_have_text("live")

    with tab.expect_event("requestfailed", lambda request: "live=1" in request.url):
        tab.evaluate(TURN, True)
    with services.client() as client:
        client.pause_model("imdb_lstm", reason="of the test")
        with tab.expect_request("**/?live=1"):
            tab.evaluate(TURN, False)
        expect(tab.get_by_text("of the test")).to_be_visible()
        client.resume_model("imdb_lstm")


def test_what_is_filled_in_stays_while_the_page_around_it_changes(
    tab: Page, services: RunningServices
) -> None:
    tab.goto("/jobs")
    expect(tab.locator("#connection")).to_have_text("live")
    tab.get_by_label("Model").fill("half a na")

    with services.client() as client:
        job = client.classify(["fine"])

    expect(tab.get_by_role("link", name=job.job_id)).to_be_visible()
    expect(tab.get_by_label("Model")).to_be_focused()
    expect(tab.get_by_label("Model")).to_have_value("half a na")


def test_without_scripts_a_page_shows_and_a_form_acts(
    browser: Browser, gateway: str, services: RunningServices
) -> None:
    with services.client() as client, opened(browser, gateway, has_scripts=False) as tab:
        client.pause_model("imdb_lstm")
        job = client.classify(["fine"])
        tab.goto("/")
        tab.get_by_role("link", name=job.job_id).click()
        tab.get_by_role("button", name="Cancel").click()
        tab.get_by_role("button", name="Cancel").click()

        expect(tab.locator(".told")).to_be_visible()
        assert job.record().state == "cancelled"
        client.resume_model("imdb_lstm")


def test_a_tab_keeps_nothing_of_what_it_showed_before(tab: Page) -> None:
    session = tab.context.new_cdp_session(tab)

    def counted_after(updates: int) -> dict[str, int]:
        body = stream_of(updates)
        sent = {"content_type": "text/event-stream", "body": body}
        tab.route("**/?live=1", lambda route: route.fulfill(**sent))
        tab.goto("/")
        expect(tab.locator(".figures")).to_have_text(f"{updates - 1} items")
        tab.unroute("**/?live=1")
        session.send("HeapProfiler.collectGarbage")
        counters: dict[str, int] = session.send("Memory.getDOMCounters")
        return counters

    few, many = counted_after(50), counted_after(2_000)

    assert many["jsEventListeners"] == few["jsEventListeners"]
    assert many["nodes"] <= few["nodes"] + 10
