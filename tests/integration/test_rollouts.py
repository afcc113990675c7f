"""Canaries and shadows beside real workers: what answers which item, and how a roll-out ends.

Each test has a model of its own, whose version 1 is in service and whose version 2 is tried. A
version puts its number in front of each label, so that a label says what computed it.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cli_builders import Ended, here, use_ledger
from seqd.client import Client
from seqd.errors import InvalidRequest, WrongState
from seqd.models.store import ModelStore
from seqd_schemas import ItemFailure, ItemSuccess, JobRollout
from store_builders import publish
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

Models = Callable[..., Ended]
TEXTS = {f"item-{number}": f"text {number}" for number in range(400)}


@pytest.fixture(scope="module")
def client(module_cluster: Cluster) -> Client:
    return module_cluster.operator()


@pytest.fixture(scope="module")
def store(module_cluster: Cluster) -> ModelStore:
    return ModelStore(module_cluster.settings.store_dir, {})


@pytest.fixture(autouse=True)
def models(
    module_cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Models:
    """The command `seqd models` on a machine that shares the cluster's Redis alone."""
    use_ledger(monkeypatch, module_cluster.commands)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    return lambda *words: here(capsys, "models", *words)


def a_model(store: ModelStore, client: Client, trick: str = "") -> str:
    """Publish two versions of a new model, of which the second has a trick."""
    name = f"m_{secrets.token_hex(4)}"
    for number, its_trick in ((1, ""), (2, trick)):
        content = {"records": 1, "prefix": f"{number}:", "trick": its_trick}
        publish(store, name, "echo", json.dumps(content))

    def is_published() -> bool:
        entry = client.catalog().get(name)
        return entry is not None and entry.labels == {"production": 1, "latest": 2}

    wait_until(is_published, "the model is published")
    client.classify(["a"], model=name).wait(timeout_s=120)  # loaded, as a model in use is
    return name


@pytest.fixture
def trying(models: Models, store: ModelStore, client: Client) -> Callable[..., str]:
    """Publishes a model whose version 2 is tried, by options of the command."""

    def begin(*options: str, trick: str = "") -> str:
        name = a_model(store, client, trick)
        ended = models("promote", f"{name}@2", *options)
        assert ended.status == 0, ended.err
        return name

    return begin


def items_of(texts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"custom_id": name, "text": text} for name, text in texts.items()]


def results_of(
    client: Client, model: str, texts: Mapping[str, str] = TEXTS
) -> tuple[str, dict[str, ItemSuccess | ItemFailure]]:
    job = client.classify(items_of(texts), model=model)
    job.wait(timeout_s=120)
    return job.job_id, {result.custom_id: result for result in job.results()}


def test_a_canary_answers_its_share_of_the_items_is_counted_and_promoted(
    module_cluster: Cluster,
    client: Client,
    store: ModelStore,
    models: Models,
    trying: Callable[..., str],
) -> None:
    model = trying("--share", "25%", "--reason", "more data")

    job_id, results = results_of(client, model)

    record = client.job(job_id).record()
    assert record.version == 1
    assert record.rollout is not None
    assert (record.rollout.version, record.rollout.share) == (2, 0.25)
    candidates = {name for name in TEXTS if record.rollout.takes(job_id, name)}
    assert 50 <= len(candidates) <= 150
    assert {name for name, result in results.items() if result.version == 2} == candidates
    for name, result in results.items():
        assert result.ok
        assert result.output.label == f"{result.version}:{TEXTS[name]}"
    counts = module_cluster.rollout_counts(store, model, 400)
    assert (counts[1].items, counts[2].items) == (400 - len(candidates), len(candidates))
    assert (counts[1].errors, counts[2].errors) == (0, 0)
    shown = models("show", model).out
    assert f"Canary of {model}@2 since " in shown
    assert f"It answers 25% of the items of new jobs on {model}, by " in shown
    told = models("show", model, "--json").json()
    assert told["rollout"]["version"] == 2
    assert sum(one["items"] for one in told["rollout_counts"]) == 400

    # Jobs that name a version take no part.
    for ref, version in ((f"{model}@1", 1), (f"{model}@candidate", 2), (f"{model}@latest", 2)):
        job_id, results = results_of(client, ref, {f"i{number}": "text" for number in range(40)})
        record = client.job(job_id).record()
        assert (record.version, record.rollout) == (version, None)
        assert {result.version for result in results.values()} == {None}

    ended = models("promote", f"{model}@2", "--share", "100%")

    assert ended.out == f"{model}@2 is in service, after {model}@1.\n"
    assert store.rollout(model) is None
    assert store.labels(model) == {"production": 2, "latest": 2}
    assert client.classify(["a"], model=model).record().version == 2
    change = store.history(model)[-1]
    assert change.rollout is not None
    assert (change.from_version, change.to_version, change.rollout.version) == (1, 2, 2)
    assert models("rollback", model).status == 0
    assert store.labels(model)["production"] == 1


def test_a_shadow_leaves_the_answers_and_is_counted(
    module_cluster: Cluster, client: Client, store: ModelStore, trying: Callable[..., str]
) -> None:
    model = trying("--shadow", "50%")

    job_id, results = results_of(client, model)

    rollout = client.job(job_id).record().rollout
    assert rollout is not None
    shadowed = sum(rollout.takes(job_id, name) for name in TEXTS)
    assert all(result.ok and result.output.label.startswith("1:") for result in results.values())
    counts = module_cluster.rollout_counts(store, model, 400 + shadowed)
    assert (counts[1].items, counts[2].items) == (400, shadowed)
    assert counts[2].differing == shadowed  # each label begins with the version's number
    assert counts[2].busy_s > 0
    assert counts[2].p50_ms > 0


@pytest.mark.parametrize("option", ["--share", "--shadow"])
def test_a_streamed_text_is_that_of_the_version_that_answers(
    option: str, client: Client, trying: Callable[..., str]
) -> None:
    model = trying(option, "99%")

    parameters = {"length": 64, "delay_ms": 20}
    job = client.generate(["prompt"], model=model, stream=True, parameters=parameters)
    streamed = "".join(delta.text for delta in job.stream())
    (result,) = job.results()

    rollout = job.record().rollout
    assert rollout is not None and result.ok
    is_candidate = option == "--share" and rollout.takes(job.job_id, result.custom_id)
    assert streamed == result.output.samples[0].text
    assert streamed.startswith("2:" if is_candidate else "1:")


@pytest.mark.parametrize("trick", ["raise", "bad"])
def test_what_a_canary_cannot_answer_the_version_in_service_answers(
    trick: str, client: Client, trying: Callable[..., str]
) -> None:
    model = trying("--share", "50%", "--max-error-rate", "100%", trick=trick)

    _, results = results_of(client, model)

    assert all(result.ok and result.version == 1 for result in results.values())


def test_a_canary_with_too_many_errors_ends_by_itself(
    client: Client, store: ModelStore, trying: Callable[..., str]
) -> None:
    model = trying("--share", "25%", trick="bad")

    results_of(client, model)
    wait_until(lambda: client.catalog()[model].rollout is None, "its end is published")
    _, later = results_of(client, model)

    assert store.rollout(model) is None
    assert {result.version for result in later.values()} == {None}
    assert "candidate" not in store.labels(model)
    ended = store.history(model)[-1]
    assert (ended.from_version, ended.to_version) == (1, 1)
    assert ended.by.startswith("worker ")
    assert "items failed with it and not with" in ended.why
    assert ended.why.endswith("allowed: 1.000%")


def test_a_canary_that_kills_its_worker_costs_no_item(
    client: Client, store: ModelStore, trying: Callable[..., str]
) -> None:
    model = trying("--share", "90%", trick="exit")

    _, results = results_of(client, model, {f"i{number}": "text" for number in range(8)})

    assert [result.ok for result in results.values()] == [True] * 8
    wait_until(lambda: store.rollout(model) is None, "it is aborted")


def test_a_retry_keeps_each_item_with_its_version_and_what_both_cannot_answer_is_no_error_of_one(
    module_cluster: Cluster,
    client: Client,
    store: ModelStore,
    models: Models,
    trying: Callable[..., str],
) -> None:
    model, texts = trying("--share", "50%"), {f"i{number}": "bad" for number in range(40)}
    job = client.classify(items_of(texts), model=model)
    job.wait(timeout_s=120)
    counts = module_cluster.rollout_counts(store, model, 40)
    assert (counts[1].errors, counts[2].errors) == (40, 0)
    models("promote", f"{model}@2")
    again = client.retry(job)
    again.wait(timeout_s=120)

    retried = client.retry(again, items=dict.fromkeys(texts, "good"))
    retried.wait(timeout_s=120)

    rollout = job.record().rollout
    assert rollout is not None
    assert retried.record().rollout == JobRollout(**dict(rollout) | {"seed": job.job_id})
    found = {result.custom_id: result.version for result in retried.results()}
    assert found == {f"i{n}": 2 if rollout.takes(job.job_id, f"i{n}") else 1 for n in range(40)}


def test_rollback_ends_a_canary_for_jobs_that_run_too_and_the_candidate_goes_when_they_have_ended(
    client: Client, store: ModelStore, models: Models, trying: Callable[..., str]
) -> None:
    model, texts = trying("--share", "50%"), [f"t{number}" for number in range(160)]
    options = {"parameters": {"delay_ms": 20}, "max_running_units": 1}
    running = client.classify(texts, model=model, **options)  # type: ignore[arg-type]
    wait_until(lambda: running.record().counts.done > 0, "it runs")
    running.pause()  # so that some units are begun after the command

    ended = models("rollback", model, "--reason", "not today")
    refused = models("rm", f"{model}@2")
    client.resume(running.job_id)

    assert ended.out == f"The canary of {model}@2 is ended; {model}@1 answers all items.\n"
    assert refused.err.startswith(
        f"error[version_in_use]: {model}@2 is what job {running.job_id} runs on: it is not removed."
    )
    results = [result for result in running.results() if result.ok]
    assert len(results) == 160
    assert {result.output.label[:2] for result in results[-40:]} == {"1:"}
    assert store.history(model)[-1].why == f"canary of {model}@2 aborted: not today"
    assert client.classify(["a"], model=model).record().rollout is None
    assert models("rm", f"{model}@2").out == f"{model}@2 is removed.\n"


def test_a_program_without_the_store_tries_a_version_and_ends_that(
    module_cluster: Cluster, client: Client, store: ModelStore
) -> None:
    name = a_model(store, client)
    model = client.model(name)

    begun = model.canary(2, 0.25, max_error_rate=0.02, reason="more data")
    results_of(client, name)
    module_cluster.rollout_counts(store, name, 400)

    assert begun.rollout == model.rollout == store.rollout(name)
    assert begun.rollout is not None
    assert (begun.rollout.share, begun.rollout.max_error_rate) == (0.25, 0.02)
    assert sum(one.items for one in model.rollout_counts()) == 400
    with pytest.raises(WrongState) as raised:
        model.shadow(1, 0.5)
    assert str(raised.value) == (
        f"{name}@1 is in service already, and answers all items; nothing is changed"
    )
    assert model.end_rollout(reason="too slow").rollout == begun.rollout
    assert (model.rollout, model.rollout_counts()) == (None, [])
    assert [one.why for one in model.history()[-2:]] == [
        f"canary of {name}@2 with 25% of the items: more data",
        f"canary of {name}@2 aborted: too slow",
    ]


def test_what_is_tried_and_damaged_is_ended_by_each_command_though_it_is_published_no_more(
    module_cluster: Cluster,
    client: Client,
    store: ModelStore,
    models: Models,
    trying: Callable[..., str],
) -> None:
    for command in ("rollback {0}", "promote {0}@2 --share 0%"):
        model = trying("--share", "25%")
        (module_cluster.settings.store_dir / model / "2" / "manifest.json").write_text("{")
        client.model(model).label(1, "kept")  # which has its versions published anew
        assert [one.version for one in client.model(model).versions] == [1]

        ended = models(*command.format(model).split())

        said = f"The canary of {model}@2 is ended; {model}@1 answers all items.\n"
        assert (ended.out, ended.err) == (said, ""), command
        assert store.rollout(model) is None, command


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), True, "5%"])
def test_a_share_that_is_none_is_refused_before_anything_is_ordered(
    client: Client, share: float
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        client.model("echo").canary(2, share)

    said = str(raised.value)
    assert said.endswith("; allowed: a number above 0 and at most 1, such as 0.05.")


def test_a_version_that_is_not_tried_is_not_ended_and_json_has_what_is(
    store: ModelStore, models: Models, trying: Callable[..., str]
) -> None:
    model = trying("--shadow", "50%")
    rollout = store.rollout(model)

    wrong = models("promote", f"{model}@1", "--share", "0%")
    ended = models("rollback", model, "--json")

    assert wrong.err == (
        f"error[wrong_state]: {model}@2 is tried, and not {model}@1; nothing is changed\n"
    )
    assert rollout is not None
    due = {"model": model, "in_service": 1, "ended": rollout.model_dump(mode="json")}
    assert ended.json() == due
    assert store.rollout(model) is None
