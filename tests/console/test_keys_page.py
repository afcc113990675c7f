"""Keys of the gateway, as a browser shows them: listed, made and revoked."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from cli_builders import Ended
from seqd.testing import RunningServices

pytestmark = pytest.mark.processes

Look = Callable[[str], None]

NAME = "<b>for</b> مرحبا 🎈 " + "n" * 240


def test_an_admin_makes_a_key_which_is_shown_once_and_revokes_it(
    tab: Page, log_in: Callable[..., str], look: Look, seqd: Callable[..., Ended]
) -> None:
    tab.goto("/keys")
    expect(tab.get_by_text("This gateway has no key yet")).to_be_visible()
    expect(tab.get_by_label("What it may do")).to_have_value("admin")
    look("keys_none")
    own = log_in("ops", "admin")
    tab.get_by_role("link", name="Keys").click()
    tab.get_by_label("Tenant").fill("no tenant")
    tab.get_by_label("Whom or what").fill(NAME)
    tab.get_by_label("Days").fill("30")
    tab.get_by_role("button", name="Make the key").click()
    expect(tab.get_by_text("The tenant is 'no tenant'; allowed: 1 to 64 letters")).to_be_visible()
    expect(tab.get_by_label("Whom or what")).to_have_value(NAME)
    look("keys_refused")

    tab.get_by_label("Tenant").fill("acme")
    tab.get_by_role("button", name="Make the key").click()
    secret = tab.get_by_label("Its secret").input_value()
    look("key_made")
    assert secret.startswith("seqd-")
    assert secret not in tab.url + str(tab.context.cookies())
    tab.get_by_role("link", name="I have copied it").click()
    assert secret not in tab.content()
    row = tab.get_by_role("row").filter(has_text="acme")
    expect(row).to_contain_text(f"{NAME}acmeread")
    look("keys")

    row.get_by_role("link").click()
    expect(tab.get_by_text("read: see its tenant's jobs and models")).to_be_visible()
    look("key")
    tab.get_by_role("button", name="Revoke").click()
    expect(tab.get_by_text("It cannot be undone.")).to_be_visible()
    tab.get_by_role("button", name="Revoke key_").click()
    expect(tab.locator(".told")).to_contain_text("of the tenant acme.")
    acts = {act["action"]: act for act in reversed(seqd("audit", "--json").json())}
    assert acts["keys.new"]["details"]["key"] == acts["keys.revoke"]["details"]["key"] == own
    assert acts["keys.new"]["details"]["role"] == "read"
    assert secret not in str(acts)


def test_who_revokes_its_own_key_is_warned_and_logged_out(
    tab: Page, services: RunningServices, log_in: Callable[..., str]
) -> None:
    own = log_in("ops", "admin")
    tab.goto(f"/keys/{own}")
    tab.get_by_role("button", name="Revoke").click()
    expect(tab.get_by_text("the one with which you are logged in")).to_be_visible()
    tab.get_by_role("button", name="Revoke key_").click()

    expect(tab.get_by_label("Key of this gateway")).to_be_visible()
    expect(tab.locator(".told")).to_contain_text(f"Revoked {own}")
    assert [one["name"] for one in tab.context.cookies()] == ["seqd_token"]
