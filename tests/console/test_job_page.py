"""The page of a job and those of its results, as a browser shows them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ClassVar

import httpx
import pytest
from playwright.sync_api import Page, expect

from plugin_builders import a_worker_of
from seqd.client import Client
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
    TrainContext,
    TrainedModel,
    hookimpl,
)
from seqd.ledger import Ledger, connect
from seqd.testing import RunningServices
from seqd_schemas import Item, ItemError, ItemErrorCode, KeyRole

Look = Callable[[str], None]

#: Names that a page must show as they are.
MARKUP = "<script>alert('x')</script><b>bold</b>"
NAMES = (MARKUP, "😀 smile", "שלום עולם", "n" * 128)
#: A label, and metadata, of the length that a label may have.
LONG = (MARKUP + "😀 שלום ").ljust(256, "x")[:256]

#: What lets a training go on by an epoch, and a text by a word.
STEPS = SimpleQueue[str]()


def judge(text: str) -> object:
    """Return a label; refuse some texts."""
    if text.startswith("refuse"):
        return ItemError(code=ItemErrorCode.INVALID_INPUT, message=f"{MARKUP} is no review")
    if text == "raise":
        raise ValueError("not a review")
    return LONG if text == "long" else "positive"


def tell(prompt: str) -> Iterator[str]:
    """Continue a prompt by what the test says."""
    while word := STEPS.get(timeout=60):
        yield word


class Written(LoadedModel):
    """A version of it."""

    memory_bytes = 1

    def warm_up(self) -> None:
        pass


class Novelist(Model):
    """A model that is trained at the test's pace."""

    name = "novelist"
    summary = "Writes what it is told."
    tasks: ClassVar[Mapping[str, TaskSpec]] = {
        "train": TaskSpec(PluginParameters),
        "generate": TaskSpec(PluginParameters),
    }

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return Written()

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        list(context.data.records())
        for epoch in range(1, 4):
            context.step(epoch * 10, 30, loss=2 / epoch)
            context.epoch(epoch, 3, 1.5, loss=2 / epoch, validation_loss=2.2 / epoch)
            context.sample(epoch, 0.5, "Once", STEPS.get(timeout=60))
        (context.folder / "model.json").write_text("{}")
        return TrainedModel(metrics={"loss": 0.6667})


class NovelistPlugin:
    """The plugin that brings it."""

    @hookimpl
    def seqd_register_models(self) -> list[Model]:
        return [Novelist()]


@pytest.fixture(scope="module")
def models() -> Mapping[str, Any]:
    return {"imdb_lstm": judge, "char_lstm": tell}


@pytest.fixture
def client(services: RunningServices) -> Iterator[Client]:
    with services.client() as client:
        yield client
        services.cancel_open_jobs()


def test_a_job_that_waits_says_why_and_shows_its_errors_and_results_once_it_has_run(
    tab: Page, services: RunningServices, client: Client, look: Look, tmp_path: Path
) -> None:
    texts = ["fine", "long", "refuse 1", "raise"]
    named = [Item(custom_id=name, text=text) for name, text in zip(NAMES, texts, strict=True)]
    more = [Item(custom_id=f"more-{one}", text="fine") for one in range(60)]
    client.pause_model("imdb_lstm", reason="for the test")
    job = client.classify([*named, *more], model="imdb_lstm", metadata={"note": LONG})
    job.uploaded()

    tab.goto(f"/jobs/{job.job_id}")
    expect(tab.get_by_role("heading", name="Waits for")).to_be_visible()
    expect(tab.get_by_role("listitem").filter(has_text="for the test")).to_be_visible()
    command = tab.get_by_role("listitem").locator("code")
    expect(command).to_have_text("seqd models resume imdb_lstm")
    expect(tab.get_by_label("0 of 64 items done")).to_have_attribute("value", "0.0")
    for name in ("Pause", "Cancel"):
        expect(tab.get_by_role("button", name=name, exact=True)).to_be_visible()
    look("job-waiting")

    client.resume_model("imdb_lstm")
    expect(tab.get_by_label("64 of 64 items done")).to_be_visible()
    for name in ("Retry what failed", "Remove"):
        expect(tab.get_by_role("button", name=name)).to_be_visible()
    expect(tab.get_by_role("button", name="Cancel")).to_have_count(0)
    errors = tab.get_by_role("region", name="Errors by their cause")
    expect(errors.get_by_role("link", name="invalid_input")).to_be_visible()
    expect(errors.get_by_text(f"{MARKUP} is no review")).to_be_visible()
    expect(tab.get_by_text(LONG).first).to_be_visible()
    expect(tab.locator("#connection")).to_have_text("")
    look("job-done")

    tab.get_by_role("link", name="All results").click()
    expect(tab.get_by_role("row")).to_have_count(1 + 50)
    look("job-results")
    tab.get_by_role("link", name="Those that failed: 2").click()
    expect(tab.get_by_role("row")).to_have_count(1 + 2)
    look("job-results-failed")
    tab.get_by_role("link", name="All results").click()
    tab.get_by_role("link", name="After these").click()
    expect(tab.get_by_role("row")).to_have_count(1 + 14)
    for name in NAMES:
        tab.get_by_label("Item").fill(name)
        tab.get_by_role("button", name="Find").click()
        expect(tab.locator(".notice")).to_contain_text(f"Item {name}: ")
    expect(tab.get_by_text("raised ValueError: not a review")).to_be_visible()
    look("job-item")
    tab.get_by_label("Item").fill("nobody")
    tab.get_by_role("button", name="Find").click()
    expect(tab.get_by_text(f"Job {job.job_id} has no item 'nobody'")).to_be_visible()

    with tab.expect_download() as kept:
        tab.get_by_role("link", name="Download").click()
    assert kept.value.suggested_filename == f"{job.job_id}.jsonl"
    kept.value.save_as(tmp_path / "results.jsonl")
    written = (tmp_path / "results.jsonl").read_bytes()
    assert written == b"".join(line.json + b"\n" for line in job.result_lines())


def test_a_text_grows_on_the_page_while_it_is_written(
    tab: Page, client: Client, look: Look
) -> None:
    STEPS.put("It was a dark ")
    job = client.generate(["Once"], model="char_lstm", priority="interactive", stream=True)

    tab.goto(f"/jobs/{job.job_id}")
    text = tab.locator(".output")
    expect(text).to_have_text("It was a dark ")
    STEPS.put(f"and {MARKUP} night.")
    expect(text).to_have_text(f"It was a dark and {MARKUP} night.")
    look("job-text")

    STEPS.put("")
    results = tab.get_by_role("region", name="First results")
    expect(results.get_by_text(f"It was a dark and {MARKUP} night.")).to_be_visible()


def test_a_training_is_watched_to_its_end(
    tab: Page, services: RunningServices, client: Client, look: Look
) -> None:
    settings = services.settings.model_copy(update={"worker": "novelists"})
    worker = a_worker_of("novelist", NovelistPlugin(), settings)
    services.stop_worker()
    worker.start()
    try:
        job = client.train([{"text": "Once"}], model="novelist")
        tab.goto(f"/jobs/{job.job_id}")
        expect(tab.get_by_label("1 of 3 epochs done")).to_have_attribute("value", "0.3333")
        curve = tab.get_by_role("img", name="loss, from epoch 1 to epoch 1: training 2")
        expect(curve).to_be_visible()

        STEPS.put(f"upon a time {MARKUP} 😀 שלום")
        expect(tab.get_by_role("heading", name="After epoch 1")).to_be_visible()
        expect(tab.locator(".output")).to_have_text(f"upon a time {MARKUP} 😀 שלום")
        expect(tab.get_by_label("2 of 3 epochs done")).to_be_visible()
        look("job-training")

        STEPS.put("in a land")
        STEPS.put("far away")
        expect(tab.get_by_role("heading", name="After epoch 3")).to_be_visible()
        to_version = tab.get_by_role("link", name="novelist@1")
        expect(to_version).to_have_attribute("href", "/models/novelist")
        expect(tab.get_by_role("img", name="from epoch 1 to epoch 3")).to_be_visible()
        expect(tab.locator("#connection")).to_have_text("")
        look("job-trained")
    finally:
        worker.close()
        services.start_worker()


def test_a_job_of_another_tenant_is_not_there(
    gateway: str, services: RunningServices, client: Client
) -> None:
    job = client.classify(["fine"], model="imdb_lstm", tenant="acme")
    with connect(services.redis_url) as redis:
        keys = Ledger(redis, services.settings).api_keys
        own, other = (keys.new(tenant, KeyRole.READ) for tenant in ("acme", "other"))
        for path in ("", "/results", "/results?item=row-1", "/results.jsonl"):
            pages = [
                httpx.get(f"{gateway}/jobs/{job.job_id}{path}", cookies={"seqd_key": made.secret})
                for made in (own, other)
            ]
            assert [page.status_code for page in pages] == [200, 404], path
            assert f"There is no job {job.job_id}" in pages[1].text
            assert 'action="/jobs/' not in pages[0].text.replace('class="filter" action', "")
        for made in (own, other):
            keys.revoke(made.key.id)
