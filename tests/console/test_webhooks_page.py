"""Webhooks, as a browser shows them: made, sent to again, removed; those of a tenant alone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from cli_builders import Ended

pytestmark = pytest.mark.processes

Look = Callable[[str], None]


def test_a_tenants_webhook_is_made_sent_to_again_and_removed(
    tab: Page, log_in: Callable[..., str], look: Look, seqd: Callable[..., Ended]
) -> None:
    theirs = seqd("webhooks", "new", "https://other.example/hook", "--tenant", "other").out[:27]
    log_in("acme", "operate")
    tab.get_by_role("link", name="Webhooks").click()
    expect(tab.get_by_text("No webhooks.")).to_be_visible()

    tab.get_by_label("URL").fill("http://orders.example/hook")
    tab.get_by_label("Name").fill("<b>orders</b> 🎈")
    tab.get_by_label("batch.queued").check()
    tab.get_by_label("batch.failed").uncheck()
    tab.get_by_role("button", name="Make the webhook").click()
    expect(tab.get_by_text("a receiver outside has to have https")).to_be_visible()
    expect(tab.get_by_label("Name")).to_have_value("<b>orders</b> 🎈")
    expect(tab.get_by_label("batch.queued")).to_be_checked()
    expect(tab.get_by_label("batch.failed")).not_to_be_checked()
    look("webhooks_refused")

    tab.get_by_label("URL").fill("https://orders.example/hook")
    tab.get_by_role("button", name="Make the webhook").click()
    secret = tab.get_by_label("Its secret").input_value()
    assert secret.startswith("whsec_")
    assert secret not in tab.url + str(tab.context.cookies())
    look("webhook_made")
    tab.get_by_role("link", name="I have copied it").click()
    expect(tab.get_by_role("row")).to_have_count(2)
    look("webhooks")
    tab.get_by_role("link", name="wh_").click()
    expect(tab.get_by_text("batch.queued")).to_be_visible()
    look("webhook")

    tab.get_by_role("button", name="Send again what failed").click()
    expect(tab.locator(".told")).to_have_text("Messages of 0 jobs are sent again.")
    tab.get_by_role("button", name="Remove").click()
    expect(tab.get_by_text("https://orders.example/hook is told of nothing")).to_be_visible()
    tab.get_by_role("button", name="Remove the webhook").click()
    expect(tab.get_by_text("No webhooks.")).to_be_visible()

    token = tab.locator("input[name=token]").first.get_attribute("value")
    assert tab.request.get(f"/webhooks/{theirs}").status == 404
    for act in ("replay", "remove"):
        form = {"token": token, "sure": "yes"}
        assert tab.request.post(f"/webhooks/{theirs}/{act}", form=form).status == 404
    (left,) = seqd("webhooks", "list", "--json").json()
    assert left["webhook_id"] == theirs
    acts = [act["action"] for act in seqd("audit", "--action", "webhooks", "--json").json()]
    refused = ["webhooks.replay", "webhooks.replay"]
    assert acts == [*refused, "webhooks.remove", "webhooks.replay", "webhooks.new", "webhooks.new"]
