"""The pages of models, as a browser shows them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from builders import a_worker_status
from gateway_builders import new_key
from seqd.client import Client
from seqd.hookspecs import LabelledRecord
from seqd.ledger import Ledger, connect
from seqd.testing import RunningServices, StubModel
from seqd_schemas import KeyRole, UnfitVersion

Look = Callable[[str], None]

FEW = 4


def trained(records: Sequence[LabelledRecord]) -> Mapping[str, float]:
    """Return a better figure for more records, and none for few."""
    if len(records) < FEW:
        return {}
    return {"validation_accuracy": 0.5 + len(records) / 100, "records": float(len(records))}


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": StubModel(classify=lambda text: "positive", train=trained)}


def train(services: RunningServices, model: str, *records: int) -> None:
    """Train a version of a model of the tenant `acme` on each number of records."""
    with Client(settings=services.settings) as client:
        for number in records:
            data = [{"text": f"text {one}", "label": "a"} for one in range(number)]
            client.train(data, model=model, plugin="imdb_lstm", tenant="acme").trained_version()


@pytest.fixture(scope="module")
def topics(services: RunningServices) -> None:
    """Make a model `topics` with two versions, of which the first serves."""
    train(services, "topics", 8, 16)


@pytest.mark.usefixtures("topics")
def test_the_best_version_is_found_and_put_in_service_and_taken_back(tab: Page, look: Look) -> None:
    tab.goto("/models")
    look("models")

    tab.get_by_role("link", name="topics").click()
    expect(tab.get_by_role("row", name="2 (latest)")).to_contain_text("best")
    tab.get_by_label("First version").select_option("1")
    tab.get_by_label("Second version").select_option("2")
    tab.get_by_role("button", name="Compare").click()
    better = tab.get_by_role("row", name="validation accuracy 0.5800 0.6600 topics@2")
    expect(better).to_be_visible()
    expect(tab.get_by_role("row", name="records 8 16 -")).to_be_visible()  # nobody knows
    look("model")

    expect(tab.get_by_role("button", name="Roll back")).to_be_hidden()  # nothing was there before
    tab.get_by_label("Why, for its history").fill("more accurate <b>")
    tab.get_by_role("button", name="Promote").click()
    expect(tab.get_by_text("validation_accuracy 0.6600")).to_be_visible()
    look("promotion")
    tab.get_by_role("button", name="Put topics@2 in service").click()
    expect(tab.get_by_text("topics@2 is in service.")).to_be_visible()
    expect(tab.get_by_text("The best by its figures, topics@2, is in service.")).to_be_visible()
    expect(tab.get_by_role("row", name="1 → 2")).to_contain_text("more accurate <b>")

    tab.get_by_role("button", name="Roll back").click()
    expect(tab.get_by_text("topics@2 goes out of service, topics@1 comes back")).to_be_visible()
    tab.get_by_role("button", name="Roll back").click()
    expect(tab.get_by_text("topics@1 is in service.")).to_be_visible()


def test_the_best_version_is_found_where_another_one_has_no_figures(
    tab: Page, services: RunningServices
) -> None:
    train(services, "mixed", FEW - 1, 16, 8)

    tab.goto("/models/mixed")

    expect(tab.get_by_role("row", name="best")).to_contain_text("0.6600")


@pytest.mark.usefixtures("topics")
def test_a_model_is_paused_and_resumed(tab: Page) -> None:
    tab.goto("/models/topics")
    tab.get_by_role("button", name="Pause").click()
    tab.get_by_role("button", name="Pause topics").click()
    expect(tab.get_by_text("It is paused by")).to_be_visible()
    tab.get_by_role("button", name="Resume").click()
    expect(tab.get_by_text("topics goes on.")).to_be_visible()


@pytest.mark.usefixtures("topics")
def test_a_promotion_that_another_one_came_before_changes_nothing(
    tab: Page, services: RunningServices, look: Look
) -> None:
    tab.goto("/models/topics")
    tab.get_by_label("Version", exact=True).select_option("2")
    with Client(settings=services.settings) as client:
        client.model("topics").promote(2)

    tab.get_by_role("button", name="Promote").click()

    expect(tab.get_by_role("alert")).to_contain_text("Nothing was changed: topics@2 has come")
    look("model-refused")


def test_who_promotes_is_told_who_cannot_run_it_and_what_it_did_when_it_was_tried(
    tab: Page, services: RunningServices, look: Look
) -> None:
    train(services, "heavy", 8, 16)
    with Client(settings=services.settings) as client, connect(services.redis_url) as redis:
        client.model("heavy").canary(2, 0.5)
        unfit = UnfitVersion(
            model="heavy", version=2, code="no_memory", message="It takes 9 GB", since_ms=1
        )
        worker = a_worker_status(worker="cpu:0@small-1", unfit=(unfit,))
        Ledger(redis, services.settings).fleet.publish_worker(worker, 3_600)

    tab.goto("/models/heavy")
    tab.get_by_role("button", name="Promote").click()
    expect(tab.get_by_text("heavy@2 has had 0 items, of which 0 failed.")).to_be_visible()
    why = "cpu:0@small-1 cannot run heavy@2: no_memory: It takes 9 GB."
    expect(tab.get_by_text(f"{why} This is refused until")).to_be_visible()
    look("promotion-risky")
    fields = tab.locator("main input[type=hidden]").all()
    form = {one.get_attribute("name") or "": one.input_value() for one in fields}
    refused = tab.request.post("/models/heavy/promote", form=form)
    assert f'role="alert">{why} Nothing is changed.' in refused.text()
    tab.get_by_role("link", name="No, go back").click()

    tab.get_by_role("button", name="End the canary").click()
    tab.get_by_role("button", name="End the canary").click()
    expect(tab.get_by_text("heavy@1 is in service.")).to_be_visible()


@pytest.mark.usefixtures("topics")
def test_a_model_of_another_tenant_is_not_there(gateway: str, services: RunningServices) -> None:
    key = new_key(services, "reviews", KeyRole.OPERATE)
    with httpx.Client(base_url=gateway, cookies={"seqd_key": key}) as other:
        assert "topics" not in other.get("/models").text
        theirs, none = other.get("/models/topics"), other.get("/models/topicz")
        assert (theirs.status_code, none.status_code) == (404, 404)
        assert theirs.text.replace("topics", "topicz") == none.text
