"""The pages of workers and plugins, as a browser shows them: who is sick, and who may act on it."""

from collections.abc import Callable, Iterator
from time import time
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from builders import a_catalog_entry, a_worker_status
from cli_builders import Ended
from gateway_builders import new_key
from seqd.ledger import Ledger, connect
from seqd.testing import RunningServices
from seqd_schemas import (
    ChildDeath,
    DeathCause,
    KeyRole,
    PluginState,
    PluginStatus,
    UnfitVersion,
    WorkerStatus,
)

Look = Callable[[str], None]

SICK = "gpu:0@rack<b>7</b>-ab12cd"


@pytest.fixture(scope="module")
def ledger(services: RunningServices) -> Iterator[Ledger]:
    with connect(services.redis_url) as redis:
        yield Ledger(redis, services.settings)


@pytest.fixture(scope="module")
def sick(ledger: Ledger) -> WorkerStatus:
    """A worker of another machine that is up, and lacks much."""
    now_ms = int(time() * 1_000)
    plugin = PluginStatus(name="topics", distribution="shop-topics", version="2.1", state="ready")
    worker = a_worker_status(
        worker=SICK,
        slot="gpu:0",
        host="rack<b>7</b>",
        started_at_ms=now_ms - 100_000,
        seen_at_ms=now_ms,
        labels={"pool": "a"},
        plugins=(
            plugin,
            plugin.model_copy(
                update={"name": "words", "state": PluginState.BROKEN, "reason": "no numpy"}
            ),
        ),
        models_loaded=("secret@1",),
        loaded_bytes={"secret@1": 12_000_000},
        versions={"secret": (1,), "only_here": (1,)},
        unfit=(
            UnfitVersion(
                model="secret",
                version=2,
                code="no_memory",
                message="It takes 9 GB, and 3 are free",
                since_ms=now_ms - 50_000,
            ),
        ),
        deaths=(
            ChildDeath(
                at_ms=now_ms - 60_000, cause="out_of_memory", message="killed at 4 GB", pid=77
            ),
        ),
        death_counts={DeathCause.OUT_OF_MEMORY: 3},
    )
    entry = a_catalog_entry(model="secret", owner="other")
    ledger.fleet.publish_worker(worker, 3_600)
    assert ledger.fleet.publish_catalog([entry], {})
    return worker


def test_the_sick_worker_comes_first_and_its_page_says_what_ails_it(
    tab: Page, sick: WorkerStatus, look: Look
) -> None:
    tab.goto("/workers")
    expect(tab.get_by_role("row").nth(1)).to_contain_text(SICK)
    expect(tab.get_by_role("cell", name="ready, 1 unfit")).to_be_visible()
    expect(tab.locator(".findings")).to_contain_text("cannot run secret@2: no_memory")
    look("workers")
    tab.get_by_label("State").select_option("unfit (1)")
    tab.get_by_role("button", name="Show").click()
    expect(tab.get_by_role("region", name="Workers").get_by_role("row")).to_have_count(1 + 1)

    tab.get_by_role("link", name=SICK).click()

    expect(tab.get_by_role("heading", name=SICK)).to_be_visible()
    for told in ("It takes 9 GB, and 3 are free", "killed at 4 GB", "no numpy", "12.0 MB"):
        expect(tab.get_by_role("cell", name=told)).to_be_visible()
    expect(tab.locator(".findings")).to_contain_text("died within the last hour by out_of_memory")
    look("worker")


def test_a_worker_is_cordoned_after_a_question_and_the_rule_is_ended(
    tab: Page, sick: WorkerStatus, ledger: Ledger, seqd: Callable[..., Ended], look: Look
) -> None:
    beside = sick.model_copy(update={"worker": f"gpu:0@{sick.host}-beside"})
    ledger.fleet.publish_worker(beside, 3_600)
    tab.goto("/workers?text=pool%3Da")
    tab.get_by_role("link", name=SICK).click()
    tab.get_by_label("Why, for whoever looks at the workers").fill("its memory")

    tab.get_by_role("button", name="Cordon").click()
    expect(tab.get_by_text("No other worker that is up can classify only_here@1")).to_be_visible()
    expect(tab.get_by_text(f"It means {SICK}, {beside.worker} now.")).to_be_visible()
    expect(tab.get_by_text(f"It means 2 workers, not {SICK} alone.")).to_be_visible()
    ledger.fleet.forget_worker(beside.worker)
    look("workers-question")
    assert ledger.cordons.rules() == []
    tab.get_by_role("button", name=f"Cordon gpu:0@{sick.host}").click()

    expect(tab.get_by_text(f"The rule stands: cordon gpu:0@{sick.host}.")).to_be_visible()
    expect(tab.get_by_role("button", name="Cordon", exact=True)).to_be_hidden()
    (rule,) = ledger.cordons.rules()
    assert (rule.target, rule.reason) == (f"slot:gpu:0@{sick.host}", "its memory")
    tab.goto("/workers")
    expect(tab.get_by_role("cell", name="its memory")).to_be_visible()
    look("workers-rules")
    tab.get_by_role("button", name=f"Uncordon gpu:0@{sick.host}").click()
    tab.get_by_role("button", name=f"Uncordon gpu:0@{sick.host}").click()
    expect(tab.get_by_text(f"Uncordoned gpu:0@{sick.host}.")).to_be_visible()
    assert ledger.cordons.rules() == []
    told = seqd("audit").out
    assert "workers.cordon" in told
    assert "workers.uncordon" in told


def test_plugins_are_told_with_where_they_are_broken_or_missing(
    tab: Page, sick: WorkerStatus, look: Look
) -> None:
    tab.goto("/plugins")

    expect(tab.get_by_text(f"The plugin words is broken on {SICK}: no numpy")).to_be_visible()
    expect(tab.get_by_role("row", name="topics 2.1 ready")).to_contain_text(SICK)
    expect(tab.get_by_role("row", name="stubs - absent")).to_contain_text(SICK)
    look("plugins")


def test_a_tenant_sees_workers_without_what_is_anothers_and_may_not_act(
    gateway: str, services: RunningServices, sick: WorkerStatus
) -> None:
    cookies = {"seqd_key": new_key(services, "shop", KeyRole.OPERATE)}
    with httpx.Client(base_url=gateway, cookies=cookies, timeout=120) as web:
        pages = [web.get(path) for path in ("/workers", f"/workers/{quote(SICK)}", "/plugins")]
        refused = web.post("/workers", data={"target": "host:x"})
        unknown = web.get("/workers/nobody")
        beyond = web.get("/workers?offset=900")

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert not any("secret" in page.text or "Uncordon" in page.text for page in pages)
    assert "no numpy" in pages[1].text
    assert (refused.status_code, unknown.status_code, beyond.status_code) == (403, 404, 200)
