"""Dead letters, as a browser shows them: by their cause, one in full, tried again and removed."""

from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cli_builders import Ended
from seqd.client import Client
from seqd.testing import RunningServices
from seqd_schemas import JobRecord

pytestmark = pytest.mark.processes

Look = Callable[[str], None]

MARKUP = "<script>alert(1)</script> مرحبا 🎈"

#: Set once the plugin is mended.
mended = Event()


def review(text: str) -> str:
    if "bad" in text and not mended.is_set():
        raise ValueError(f"not a review: {text!r}")
    return "positive"


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": review}


@pytest.fixture
def failed(services: RunningServices) -> Iterator[Callable[..., JobRecord]]:
    """Runs reviews to their end, on a tenant's account; of each job with "bad" some fail."""
    mended.clear()
    with Client(settings=services.settings) as client:

        def ran(tenant: str, *texts: str) -> JobRecord:
            job = client.classify(texts, tenant=tenant)
            job.wait()
            return job.record()

        yield ran
        client.purge_failures(every=True)


def test_dead_letters_are_found_by_cause_read_replayed_and_removed(
    tab: Page, failed: Callable[..., JobRecord], look: Look
) -> None:
    job = failed("acme", "fine", f"bad {MARKUP}")
    failed("acme", "bad as well")

    tab.goto("/failures")
    expect(tab.get_by_text("2 dead letters: 1 cause, 2 failed items, 2 jobs.")).to_be_visible()
    look("failures")
    tab.get_by_label("Code").fill("no_such")
    tab.get_by_role("button", name="Filter").click()
    expect(tab.get_by_text("There are no dead letters that match.")).to_be_visible()
    tab.get_by_label("Code").fill("")
    tab.get_by_label("Tenant").fill("acme")
    tab.get_by_label("Tenant").press("Enter")
    tab.get_by_role("link", name="plugin_error").click()
    look("failures_of_one_cause")
    row = tab.get_by_role("row").filter(has_text=job.job_id)
    row.get_by_role("link").click()

    expect(tab.get_by_text(f"bad {MARKUP}", exact=True)).to_be_visible()
    expect(tab.get_by_text("Once it is mended, try it again: seqd failures")).to_be_visible()
    look("failure")

    mended.set()
    tab.get_by_role("link", name="All with this cause").click()
    tab.get_by_label("on the version in service").check()
    tab.get_by_role("button", name="Try again").click()
    plan = "2 items of 2 jobs (2 dead letters) will be tried again on the version in service."
    expect(tab.get_by_text(plan)).to_be_visible()
    look("failures_replay_question")
    tab.get_by_role("button", name="Try them again").click()
    expect(tab.locator(".told")).to_contain_text(f"What failed of job {job.job_id} is tried again")

    tab.get_by_role("button", name="Remove").click()
    expect(tab.get_by_text("2 dead letters will be removed; jobs and results stay")).to_be_visible()
    tab.get_by_role("button", name="Remove 2 dead letters").click()
    expect(tab.locator(".told")).to_have_text("2 dead letters removed.")
    expect(tab.get_by_text("There are no dead letters.")).to_be_visible()
    expect(tab.get_by_role("button", name="Remove")).to_have_count(0)


def test_a_filter_that_nothing_can_match_is_told_in_its_place(
    tab: Page, services: RunningServices
) -> None:
    tab.goto("/")
    tab.goto("/failures?code=plugin_error")
    tab.get_by_label("Model").fill("No Model")
    tab.get_by_role("button", name="Filter").click()

    expect(tab.get_by_text("model is 'No Model'; allowed: NAME, or NAME@3")).to_be_visible()
    expect(tab.get_by_label("Code")).to_have_value("plugin_error")


def test_a_tenant_sees_and_acts_on_its_own_dead_letters_alone(
    tab: Page,
    failed: Callable[..., JobRecord],
    log_in: Callable[..., str],
    seqd: Callable[..., Ended],
) -> None:
    failed("other", "bad")
    (theirs,) = seqd("failures", "list", "--each", "--json").json()
    log_in("acme", "operate")

    for path in ("/failures", f"/failures?like={theirs['id']}", "/failures?tenant=other"):
        tab.goto(path)
        expect(tab.get_by_text("There are no dead letters")).to_be_visible()
    for what in ({"id": theirs["id"]}, {"like": theirs["id"]}, {"tenant": "other"}, {}):
        for act in ("replay", "purge"):
            tab.goto("/failures")
            token = tab.locator("input[name=token]").first.get_attribute("value")
            form = {**what, "token": token, "sure": "yes"}
            answer = tab.request.post(f"/failures/{act}", form=form, max_redirects=0)
            assert answer.status == 303, (what, act)
    assert tab.request.get(f"/failures/{theirs['id']}").status == 404
    (kept,) = seqd("failures", "list", "--each", "--json").json()
    assert kept == theirs
