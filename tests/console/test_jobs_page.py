"""The page of jobs, as a browser shows it, and what it does to them."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from seqd.client import Client
from seqd.gateway.app import gateway_app
from seqd.ledger import Ledger, connect
from seqd.testing import RunningServices, running_services
from seqd_schemas import KeyRole
from service_guide import serving

pytestmark = pytest.mark.processes

Look = Callable[[str], None]


@pytest.fixture
def client(services: RunningServices) -> Iterator[Client]:
    with Client(settings=services.settings) as client:
        yield client


def shown(tab: Page) -> list[str]:
    return tab.locator("tbody tr td:first-child").all_inner_texts()


def test_jobs_are_found_by_what_they_have_in_common_and_followed(
    tab: Page, client: Client, look: Look
) -> None:
    ended = [job.job_id for job in client.classify_each(["fine"] * 60)]
    for job_id in ended:
        client.job(job_id).wait()
    client.pause_model("imdb_lstm")
    waiting = client.classify(["fine", "bad", "raise"], metadata={"for": "<b>Zoë</b> ☕"})

    tab.goto("/jobs")
    first = shown(tab)
    tab.get_by_role("link", name="Older").click()
    expect(tab.locator("tbody tr")).to_have_count(11)
    assert sorted(first + shown(tab)) == sorted([*ended, waiting.job_id])
    tab.get_by_role("link", name="Newest").click()
    expect(tab.locator("tbody tr")).to_have_count(50)

    tab.get_by_label("queued").check()
    tab.get_by_label("paused").check()
    tab.get_by_label("Kind").select_option("classify")
    tab.get_by_label("Model, or version").fill("imdb_lstm")
    tab.get_by_label("Within").select_option("the last hour")
    tab.get_by_label("metadata NAME=VALUE").fill("for=<b>Zoë</b> ☕")
    tab.get_by_role("button", name="Show").click()
    expect(tab.locator("tbody tr")).to_have_count(1)
    expect(tab.get_by_label("queued")).to_be_checked()
    expect(tab.get_by_label("metadata NAME=VALUE")).to_have_value("for=<b>Zoë</b> ☕")
    expect(tab.locator("tbody")).to_contain_text("0/3")
    look("jobs-filtered")

    tab.goto("/jobs?text=" + waiting.job_id[:-1])
    expect(tab.get_by_role("button", name="Cancel all …")).to_be_visible()
    expect(tab.get_by_role("button", name="Retry failed items of all …")).to_have_count(0)
    client.resume_model("imdb_lstm")
    expect(tab.get_by_role("row").filter(has_text=waiting.job_id)).to_contain_text("3/3, 1 error")
    expect(tab.get_by_role("button", name="Retry failed items of all …")).to_be_visible()
    whole = tab.request.get(f"/jobs?text={waiting.job_id}", max_redirects=0)
    assert whole.headers["location"] == f"/jobs/{waiting.job_id}"
    look("jobs")

    tab.goto("/jobs?model=No+model")
    expect(tab.get_by_text("model is 'No model'; allowed: NAME, or NAME@3")).to_be_visible()


def test_a_search_that_stops_says_so_and_goes_on_from_there(tab: Page, client: Client) -> None:
    written = client.generate(["once"], model="char_lstm")
    written.wait()
    client.pause_model("imdb_lstm")
    list(client.classify_each(["fine"] * 1_100))

    tab.goto("/jobs?kind=generate")
    expect(tab.get_by_text("There may be older ones that match.")).to_be_visible()
    assert shown(tab) == []
    expect(tab.get_by_role("heading", name="All that match")).to_have_count(0)
    tab.get_by_role("link", name="Search on").click()

    expect(tab.get_by_role("link", name=written.job_id)).to_be_visible()
    client.cancel_jobs(kind="classify")
    client.resume_model("imdb_lstm")


def test_an_act_on_all_that_match_leaves_alone_what_came_after_the_count(
    tab: Page, client: Client, look: Look
) -> None:
    client.pause_model("imdb_lstm")
    counted = [client.classify(["fine"], metadata={"batch": "7"}) for _ in range(2)]

    def act(name: str) -> None:
        tab.goto("/jobs?text=batch%3D7&since=1d")
        tab.get_by_role("button", name=f"{name} all …").click()

    act("Cancel")
    expect(tab.get_by_text("Cancel 2 jobs (2 queued)?")).to_be_visible()
    look("jobs-question")
    later = client.classify(["fine"], metadata={"batch": "7"})
    tab.get_by_role("button", name="Cancel 2 jobs").click()
    expect(tab.get_by_role("status").filter(has_text="2 jobs were cancelled.")).to_be_visible()
    assert [job.record().state for job in [*counted, later]] == ["cancelled"] * 2 + ["queued"]

    for name, told in (
        ("Pause", "1 job was paused."),
        ("Resume", "1 job was resumed."),
        ("Retry failed items of", "2 jobs were retried."),
        ("Cancel", "3 jobs were cancelled."),
        ("Remove", "5 jobs were removed."),
    ):
        act(name)
        tab.locator("main button").click()
        expect(tab.get_by_role("status").filter(has_text=told)).to_be_visible()
    expect(tab.get_by_role("heading", name="All that match")).to_have_count(0)
    client.resume_model("imdb_lstm")


def form_of(web: httpx.Client, path: str, fields: dict[str, str]) -> httpx.Response:
    """Send a form as a page of the console does."""
    web.get("/login")
    return web.post(path, data={"token": web.cookies["seqd_token"], **fields})


def test_a_job_is_acted_on_by_itself(gateway: str, client: Client) -> None:
    client.pause_model("imdb_lstm")
    job = client.classify(["fine"])

    with httpx.Client(base_url=gateway, follow_redirects=False, timeout=100) as web:

        def act(job_id: str, action: str, sure: str = "") -> str:
            path = f"/jobs/{job_id}/{action}"
            reply = form_of(web, path, {"sure": sure})
            return reply.headers.get("location", reply.text)

        assert act(job.job_id, "pause") == f"/jobs/{job.job_id}"
        assert job.record().state == "paused"
        assert act(job.job_id, "resume") == f"/jobs/{job.job_id}"
        assert f"Cancel job {job.job_id}?" in act(job.job_id, "cancel")
        assert job.record().state == "queued"
        assert act(job.job_id, "cancel", "yes") == f"/jobs/{job.job_id}"
        (retried,) = re.fullmatch("/jobs/(.+)", act(job.job_id, "retry")).groups()  # type: ignore[union-attr]
        assert job.record().continued_by == retried
        assert "Remove job" in act(retried, "remove")
        assert act(retried, "cancel", "yes") == f"/jobs/{retried}"
        assert act(retried, "remove", "yes") == "/jobs"
        assert retried not in {one.job_id for one in client.jobs()}
    client.resume_model("imdb_lstm")


def test_a_key_sees_and_changes_jobs_of_its_tenant_alone_by_its_role(
    models: Mapping[str, Any],
) -> None:
    with (
        running_services(models) as services,  # others have no keys
        connect(str(services.settings.redis_url)) as redis,
        Client(settings=services.settings) as client,
        serving(gateway_app(services.settings)) as address,
        httpx.Client(base_url=address, timeout=100) as web,
    ):
        keys = Ledger(redis, services.settings).api_keys
        client.pause_model("imdb_lstm")
        rival = client.classify(["fine"], tenant="rival")
        own = client.classify(["fine"], tenant="shop")

        def act(role: KeyRole, path: str, **fields: str) -> httpx.Response:
            web.cookies.set("seqd_key", keys.new("shop", role).secret)
            return form_of(web, path, fields)

        refused = [
            (KeyRole.READ, "/jobs", {"action": "cancel"}, 403),
            (KeyRole.SUBMIT, "/jobs", {"action": "pause"}, 403),
            (KeyRole.SUBMIT, f"/jobs/{own.job_id}/pause", {}, 403),
            (KeyRole.READ, f"/jobs/{own.job_id}/cancel", {"sure": "yes"}, 403),
            (KeyRole.OPERATE, f"/jobs/{rival.job_id}/cancel", {"sure": "yes"}, 404),
        ]
        for role, path, fields, status in refused:
            assert act(role, path, **fields).status_code == status, (role, path)
        assert (
            "Cancel 1 job (1 queued)?"
            in act(KeyRole.SUBMIT, "/jobs", action="cancel", tenant="rival").text
        )
        page = web.get("/jobs?tenant=rival").text
        assert own.job_id in page
        assert rival.job_id not in page
        assert "No job matches." in web.get(f"/jobs?text={rival.job_id}").text
        assert [name for name in ("Cancel", "Pause", "Remove") if f"{name} all" in page] == [
            "Cancel"
        ]
        act(KeyRole.SUBMIT, "/jobs", action="remove")
        assert "None matches that could be removed." in web.get("/jobs").text
