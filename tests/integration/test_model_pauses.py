"""Models that operators pause or disable: nothing of them is begun, on any worker."""

import json
import re
from collections.abc import Iterator

import pytest

from cli_builders import here, use_ledger
from ledger_fixtures import Environment
from seqd.client import Client, ModelDisabled, NoWorker
from seqd.errors import InvalidRequest, WrongState
from seqd.ledger import connect
from seqd_schemas import MAX_PAUSED_MODELS, ModelPause, WaitingCode
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes


def a_pause(model: str = "imdb_lstm", **fields: object) -> ModelPause:
    return ModelPause.model_validate({"model": model, "by": "ana@h1", "at_ms": 1} | fields)


def test_a_disabled_model_stays_disabled_when_somebody_pauses_it(environment: Environment) -> None:
    pauses = environment.ledger.model_pauses
    pauses.pause(a_pause(disabled=True, reason="bad labels"))

    with pytest.raises(WrongState) as refused:
        pauses.pause(a_pause(by="ben@h2"))

    assert re.fullmatch(
        r"Model imdb_lstm is disabled by ana@h1 since [0-9: -]+: bad labels\. It begins no unit "
        r"as it is, and a pause would let it take new jobs again: nothing is changed\. To have it "
        r"take them, and wait, `seqd models resume imdb_lstm` first\.",
        str(refused.value),
    ), str(refused.value)
    with pytest.raises(ModelDisabled):
        environment.submit_units(1)
    assert pauses.pause(a_pause(disabled=True, reason="still")), "it is disabled anew"
    assert pauses.resume("imdb_lstm") and pauses.pause(a_pause())
    assert environment.submit_units(1)


def test_a_rule_takes_the_place_of_the_one_before_and_too_many_are_refused(
    environment: Environment,
) -> None:
    pauses = environment.ledger.model_pauses
    changed = [pauses.pause(a_pause()), pauses.pause(a_pause()), pauses.pause(a_pause(reason="x"))]
    for number in range(MAX_PAUSED_MODELS - 1):
        pauses.pause(a_pause(f"m{number}"))

    with pytest.raises(InvalidRequest, match="257 models would be paused; allowed: 256"):
        pauses.pause(a_pause("one_more"))

    assert changed == [True, False, True]
    assert len(pauses.all()) == MAX_PAUSED_MODELS
    assert [pauses.resume("m0"), pauses.resume("m0")] == [True, False]


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    client = cluster.operator()
    yield client
    client.resume_model("echo")


@pytest.fixture
def commands(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    use_ledger(monkeypatch, cluster.commands, columns=300, has_store=True)


@pytest.mark.usefixtures("commands")
def test_a_job_of_a_paused_model_waits_says_why_and_goes_on(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    paused = here(capsys, "models", "pause", "echo", "--reason", "bad answers")
    job = client.classify(["a"], model="echo")
    with pytest.raises(NoWorker, match=r"Model echo is paused by .*: bad answers"):
        job.wait(timeout_s=120, no_worker_timeout_s=0.2)
    shown = {name: here(capsys, *name.split()).out for name in ("models list", "status")}
    said = here(capsys, "models", "show", "echo").out
    (waiting,) = [one.waiting for one in client.open_jobs() if one.job_id == job.job_id]
    resumed = here(capsys, "models", "resume", "echo")

    assert paused.out == (
        "echo is paused: no further unit of its jobs is begun.\n"
        "Let it go on: seqd models resume echo\n"
    )
    assert "1 worker, paused" in shown["models list"]
    assert ": bad answers. If it may go on: `seqd models resume echo`." in shown["status"]
    assert ": bad answers. Let it go on: seqd models resume echo" in said
    assert waiting is None or waiting.code == WaitingCode.MODEL_PAUSED
    assert resumed.out == "echo goes on.\n"
    assert job.wait(timeout_s=120).counts.succeeded == 1


@pytest.mark.usefixtures("commands")
def test_a_job_that_is_resumed_whose_model_is_paused_is_told_to_wait(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.pause_model("echo")
    job = client.classify(["a"], model="echo")
    wait_until(lambda: job.record().waiting is not None, "the job is said to wait")
    job.pause()

    resumed = here(capsys, "jobs", "resume", job.job_id)

    assert re.fullmatch(
        rf"Job {job.job_id} is not paused any more, and waits: Model echo is paused by .*\. Its "
        rf"jobs go on by `seqd models resume echo`\. Watch it: seqd jobs watch {job.job_id}\n",
        resumed.out,
    ), resumed.out


@pytest.mark.usefixtures("commands")
def test_a_model_that_was_disabled_is_told_also_where_nobody_confirms_that_its_jobs_are_cancelled(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    client.pause_model("echo")
    job = client.classify(["a"], model="echo")

    refused = here(capsys, "models", "disable", "echo", "--cancel-jobs", "--json")

    told = json.loads(refused.out)
    assert (refused.status, told["model"], told["disabled"]) == (2, "echo", True)
    assert "Say --yes to cancel them" in refused.err
    job.cancel()


@pytest.mark.usefixtures("commands")
def test_a_disabled_model_refuses_the_client_the_command_and_the_inbox_alike(
    client: Client, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = client.classify(["a"] * 2, model="echo", parameters={"delay_ms": 1})
    waits.wait(timeout_s=120)
    disabled = here(capsys, "models", "disable", "echo", "--cancel-jobs", "--yes", "--json")

    typed = here(capsys, "classify", "--text", "a", "--model", "echo")
    with pytest.raises(ModelDisabled):
        client.predict("a", model="echo")
    request = {"kind": "classify", "model": "echo", "source": {"type": "inline", "items": [
        {"custom_id": "a", "text": "a"}]}}  # fmt: skip
    inbox = cluster.settings.keys.inbox()
    with connect(str(cluster.settings.redis_url)) as redis:
        redis.xadd(inbox, {"id": "by-inbox", "job": json.dumps(request)})
    rejected = client.job("by-inbox")
    events = list(rejected.events(timeout_s=120))

    told = json.loads(disabled.out)
    assert (told["model"], told["disabled"], told["action"]) == ("echo", True, "cancel")
    assert typed.status == 2
    assert typed.err.startswith("error[model_disabled]: Model echo takes no new jobs: disabled by ")
    assert events[-1].failure.code == "model_disabled"  # type: ignore[union-attr]
