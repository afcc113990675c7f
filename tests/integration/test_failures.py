"""What failed can be found, understood, and tried again once its cause is mended."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import a_failure
from cli_builders import here, use_ledger
from seqd.client import Client, JobHandle
from seqd.errors import WrongState
from seqd.ledger import Ledger, connect
from seqd.models.store import ModelStore
from seqd_schemas import ItemFailure, Keys
from worker_fixtures import Cluster, publish_file, wait_until

pytestmark = pytest.mark.processes

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    client = cluster.client()
    yield client
    client.purge_failures(every=True)


@pytest.fixture
def shell(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    use_ledger(monkeypatch, cluster.commands, columns=100, has_store=True)


def failed(client: Client, *texts: object, **options: object) -> JobHandle:
    """Hand a job in, and wait for its end."""
    job = client.classify(texts, **{"model": "echo"} | options)  # type: ignore[arg-type]
    job.wait()
    return job


def failed_training(client: Client) -> JobHandle:
    data = [{"text": "a", "label": "b"}]
    job = client.train(data, model="echo", parameters={"trick": "bug"})
    wait_until(lambda: job.record().state.is_terminal, "the training has failed")
    return job


def replay_one(client: Client, **wanted: object) -> JobHandle:
    """Replay what failed of one job; return the job that tries it again."""
    (done,) = client.replay(**wanted)  # type: ignore[arg-type]
    assert done.new_job_id is not None
    return client.job(done.new_job_id)


def outcomes(job: JobHandle) -> list[str]:
    """Return the labels and codes of a job's results, with those of its retries."""
    return [
        result.error.code.value if isinstance(result, ItemFailure) else result.output.label
        for result in job.merged_results()
    ]


def ids_of(job: JobHandle) -> list[str]:
    job.wait()
    return [result.custom_id for result in job.results()]


def test_what_a_plugin_raised_is_told_with_its_traceback_and_input(client: Client) -> None:
    job, training = failed(client, "good", "raise", "bad"), failed_training(client)

    letters = {letter.code: letter for letter in client.failures(job=job.job_id)}
    (of_training,) = client.failures(job=training.job_id)

    raised = letters["plugin_error"]
    assert set(letters) == {"plugin_error", "invalid_input"}
    assert (raised.model, raised.task, raised.items) == ("echo", "classify", 1)
    assert (raised.worker, raised.custom_ids) == ("shared", ("row-2",))
    assert re.search(
        r"  seqd_light\.py, line \d+, in _raises\n"
        r'    raise ValueError\("this text was made to break the plugin"\)\n'
        r"ValueError: this text was made to break the plugin$",
        raised.traceback,
    ), raised.traceback
    assert "/" not in raised.traceback.partition("\n")[0]
    assert [item.text for item in client.failure_items(raised.id)] == ["raise"]
    assert letters["invalid_input"].traceback == ""
    said = (of_training.scope, of_training.task, of_training.code)
    assert said == ("job", "train", "plugin_fault")
    assert "ValueError: this training was made to fail" in of_training.traceback


def test_items_are_replayed_once_their_cause_is_mended(
    cluster: Cluster, client: Client, cure: Path
) -> None:
    job = failed(client, "a", "uncured", "b", "uncured", "bad")
    wanted = {"code": "plugin_error", "job": job.job_id}
    cure.touch()

    planned = client.replay(**wanted, dry_run=True)
    retried = replay_one(client, **wanted)

    assert [(one.items, one.new_job_id) for one in planned] == [(2, None)]
    (act,) = cluster.operator().audit(1, action="failures.replay")
    assert act.details == {**wanted, "jobs": "1"}
    record = retried.wait()
    assert (record.job.continues, record.version) == (job.job_id, job.record().version)
    assert ids_of(retried) == ["row-2", "row-4"]
    assert outcomes(job) == ["a", "uncured", "b", "uncured", "invalid_input"]
    replayed = client.failures(**wanted)
    assert [letter.replayed_by for letter in replayed] == [retried.job_id]
    assert client.replay(**wanted) == []


def test_what_one_replay_left_out_is_replayed_by_the_next_and_what_succeeded_is_not(
    client: Client, cure: Path
) -> None:
    job = failed(client, "uncured", "raise", "bad")
    cure.touch()
    first = replay_one(client, code="invalid_input", job=job.job_id)
    first.wait()

    second = replay_one(client, code="plugin_error", job=job.job_id)

    assert second.wait().job.continues == first.job_id
    assert ids_of(second) == ["row-1", "row-2"]
    assert outcomes(job) == ["uncured", "plugin_error", "invalid_input"]
    with pytest.raises(WrongState, match=f"the whole: seqd jobs results {job.job_id} --merged$"):
        outcomes(first)
    third = replay_one(client, code="plugin_error", job=second.job_id)
    assert ids_of(third) == ["row-2"]


@pytest.fixture
def broken(cluster: Cluster, client: Client) -> Iterator[int]:
    """A version of `echo`, beside the one in service, that breaks with each text."""
    store = cluster.settings.store_dir
    version = publish_file(store, "echo", "echo.json", '{"records": 1, "trick": "raise"}')

    def is_published() -> bool:
        return version in [one.version for one in client.catalog()["echo"].versions]

    wait_until(is_published, "the version is published")
    yield version
    ModelStore(store, {}).remove("echo", version)
    wait_until(lambda: not is_published(), "other tests do not find the version")


def test_items_are_replayed_on_the_version_in_service(client: Client, broken: int) -> None:
    job = failed(client, "a", "b", model=f"echo@{broken}")

    again = replay_one(client, job=job.job_id, current_version=True)

    assert again.wait().version != broken
    assert outcomes(job) == ["a", "b"]


def test_a_job_that_failed_as_a_whole_is_replayed_with_all_that_was_undone(
    cluster: Cluster, client: Client, cure: Path
) -> None:
    texts = (
        ["uncured"] + [f"t{n}" for n in range(1, 8)] + ["held"] + [f"t{n}" for n in range(9, 24)]
    )
    job = client.classify(texts, model="echo")
    wait_until(lambda: job.record().counts.succeeded == 7, "the first unit is done")
    wait_until(lambda: job.record().sealed, "the input is complete")
    with connect(str(cluster.settings.redis_url)) as redis:
        ledger = Ledger(redis, cluster.settings)
        ledger.control.fail(job.job_id, a_failure())
    letters = client.failures(job=job.job_id)
    assert [(one.scope, one.items) for one in letters] == [("job", 16), ("items", 1)]
    groups = client.failure_groups(job=job.job_id)
    assert (groups.items, groups.jobs) == (1, 1)
    cure.touch()

    again = replay_one(client, ids=[one.id for one in letters])

    assert again.wait().counts.succeeded == 17
    assert outcomes(job) == texts


@pytest.mark.usefixtures("shell")
def test_a_training_is_replayed_without_a_word_of_items_or_of_results(
    client: Client, capsys: Capture
) -> None:
    job = failed_training(client)

    listed = here(capsys, "failures", "list", "--job", job.job_id).out
    planned = here(capsys, "failures", "replay", "--job", job.job_id, "--dry-run").out
    done = here(capsys, "failures", "replay", "--job", job.job_id, "--yes").out

    (letter,) = client.failures(job=job.job_id)
    assert "plugin_fault  train echo  1 job\n" in listed
    assert planned == f"1 job would be tried again.\nJob {job.job_id}\n"
    assert done == (
        "1 job (1 dead letter) will be tried again on the versions that failed.\n"
        f"What failed of job {job.job_id} is tried again by job {letter.replayed_by}.\n"
    )
    again = client.job(str(letter.replayed_by))
    wait_until(lambda: again.record().state.is_terminal, "it has failed as well")


@pytest.mark.usefixtures("shell")
def test_a_replay_promises_nothing_of_what_it_could_not_send(
    client: Client, capsys: Capture
) -> None:
    unreadable = failed(client, "good", {"custom_id": "empty"})
    names = [*(f"i{number}" for number in range(50)), "i0"]
    cut_off = client.classify([{"custom_id": name, "text": "good"} for name in names], model="echo")
    wait_until(lambda: cut_off.record().state.is_terminal, "it has failed")

    planned = {
        job: here(capsys, "failures", "replay", "--job", job, "--dry-run")
        for job in (unreadable.job_id, cut_off.job_id)
    }

    assert [one.status for one in planned.values()] == [2, 2]
    assert [one.out for one in planned.values()] == [
        f"Job {unreadable.job_id} was left: Nothing of job {unreadable.job_id} can be tried again: "
        "each item meant has succeeded since, or had no text that could be read. Mend the input, "
        "and hand it in again.\n",
        f"Job {cut_off.job_id} was left: Job {cut_off.job_id} ended before its input was complete, "
        "so a retry would leave out what had not been read. Hand the whole job in again; what was "
        "done stays readable.\n",
    ]


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("text", "advises"), [("bad", False), ({"custom_id": "empty"}, False), ("raise", True)]
)
def test_a_job_advises_a_retry_where_another_try_may_mend_an_error(
    client: Client, capsys: Capture, text: object, advises: bool
) -> None:
    job = failed(client, "good", text)

    shown = here(capsys, "jobs", "show", job.job_id).out

    assert (f"seqd jobs retry {job.job_id}" in shown) is advises
    assert f"seqd jobs results {job.job_id}" in shown


def test_a_job_whose_retry_runs_or_that_is_gone_is_left_and_its_dead_letter_outlives_it(
    cluster: Cluster, client: Client
) -> None:
    operator = cluster.operator()
    job, gone = failed(client, "raise"), failed(client, "raise")
    gone.remove()
    operator.pause_model("echo")
    try:
        retried = client.retry(job)
        retried.pause()

        (runs,) = client.replay(job=job.job_id)
    finally:
        operator.resume_model("echo")
    retried.cancel()
    (letter,) = client.failures(job=gone.job_id)
    (is_gone,) = client.replay(ids=[letter.id])

    assert runs.new_job_id is None
    assert runs.left_because == f"Job {retried.job_id} is paused. Wait for its end, or cancel it."
    assert client.failure_items(letter.id) == []
    assert is_gone.left_because == f"Job {gone.job_id} is not kept any more, nor are its items."


def test_a_retry_whose_first_job_was_lost_is_left(client: Client, cluster: Cluster) -> None:
    job = failed(client, "raise")
    retried = client.retry(job)
    retried.wait()
    with connect(str(cluster.settings.redis_url)) as redis:
        redis.delete(Keys(cluster.settings.prefix).job(job.job_id))

    (left,) = client.replay(job=retried.job_id)

    assert left.new_job_id is None
    assert left.left_because == (
        f"Job {job.job_id}, which is continued by {retried.job_id}, is not kept any more, so the "
        "results of both cannot be read as one. Those that are left: "
        f"seqd jobs results {retried.job_id}"
    )


@pytest.mark.usefixtures("shell")
def test_a_command_replays_what_it_has_shown_and_nothing_that_came_since(
    cluster: Cluster, client: Client, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = cluster.operator()
    job, other = (failed(client, "raise", tenant="late") for _ in range(2))
    operator.pause_model("echo")
    try:
        retried = client.retry(other)
        retried.pause()
    finally:
        operator.resume_model("echo")
    monkeypatch.setattr("seqd.cli.options.ask", lambda *_: retried.cancel())  # as it is asked

    done = here(capsys, "failures", "replay", "--tenant", "late")

    (letter,) = client.failures(job=job.job_id)
    assert "1 item of 1 job (1 dead letter) will be tried again" in done.out
    assert f"{job.job_id} is tried again by job {letter.replayed_by}." in done.out
    assert f"Job {other.job_id} was left: Job {retried.job_id} is paused." in done.out
    assert client.failures(job=other.job_id)[0].replayed_by is None


@pytest.mark.usefixtures("shell")
def test_the_commands_list_show_replay_and_purge(
    client: Client, capsys: Capture, cure: Path
) -> None:
    job = failed(client, "uncured", "uncured", "good", tenant="shop")

    listed = here(capsys, "failures", "list", "--tenant", "shop")
    lines = listed.out.splitlines()
    (letter,) = client.failures(tenant="shop")
    assert lines[0] == "1 cause, 2 failed items, 1 job"
    assert lines[2] == f"plugin_error  classify echo@{letter.version}  2 items, 1 job"
    assert lines[3].startswith("  The model plugin raised ValueError: this text breaks the plugin ")
    assert listed.out.endswith(f"in 1 dead letter\n  seqd failures show {letter.id}\n")

    shown = here(capsys, "failures", "show", letter.id).out
    assert "\ninput of item row-1\nuncured\n" in shown
    assert "\ntraceback, in the plugin\n" in shown
    assert f"\nOnce it is mended, try it again: seqd failures replay {letter.id}\n" in shown

    asked = here(capsys, "failures", "replay", letter.id)
    assert asked.status == 2
    assert asked.out == (
        "2 items of 1 job (1 dead letter) will be tried again on the versions that failed. "
        "What has no readable text is left out.\n"
    )
    assert asked.err == (
        "error[unconfirmed]: Nothing was done. Say --yes to replay them, or --dry-run to look.\n"
    )

    for options in (("--yes",), ("--yes", "--again")):
        done = here(capsys, "failures", "replay", letter.id, *options)
        assert done.status == 0
        assert re.search(
            rf"^What failed of job {job.job_id} is tried again by job \S+\.$",
            done.out,
            re.MULTILINE,
        )
        new_job = client.failure(letter.id).replayed_by
        assert new_job is not None
        client.job(new_job).wait()
        cure.touch()
    assert outcomes(job) == ["uncured", "uncured", "good"]

    again = here(capsys, "failures", "replay", letter.id, "--yes")
    assert again.out == (
        "No dead letter matches that was not replayed before (--again for those).\n"
    )
    purged = here(capsys, "failures", "purge", "--tenant", "shop", "--yes")
    assert purged.out.splitlines()[-1] == "2 dead letters removed."


@pytest.mark.usefixtures("shell")
def test_all_dead_letters_are_meant_where_it_is_said_and_else_it_is_asked_which(
    client: Client, capsys: Capture
) -> None:
    client.purge_failures(every=True)
    failed(client, "raise")

    for action in ("replay", "purge"):
        refused = here(capsys, "failures", action, "--yes")
        assert refused.status == 2
        assert refused.err.startswith(
            f"error[invalid_request]: It is not said which dead letters to {action}: name ids, "
        )
    replayed = here(capsys, "failures", "replay", "--all", "--dry-run", "--json")
    purged = here(capsys, "failures", "purge", "--all", "--yes", "--json")
    empty = here(capsys, "failures", "purge", "--all", "--yes")

    assert [one["items"] for one in json.loads(replayed.out)] == [1]
    assert purged.json() == {"purged": 1, "found": 1}
    assert (empty.status, empty.out) == (0, "No dead letter matches.\n")
    assert [client.purge_failures(every=True), client.replay(every=True)] == [0, []]


@pytest.mark.usefixtures("shell")
def test_status_and_a_job_say_that_something_failed_and_hostile_text_reaches_no_terminal(
    client: Client, capsys: Capture
) -> None:
    evil = "\x1b[2J\x9b31m\u202e[red]x[/red]\nforged: line"
    job = failed(
        client,
        {"custom_id": "i\u202e\u2028[b]", "text": "raise"},
        {"custom_id": "2", "text": evil + "nan"},
    )
    (letter,) = client.failures(job=job.job_id)

    assert "\nDead letters of what failed: " in here(capsys, "status").out
    assert json.loads(here(capsys, "status", "--json").out)["failures"] >= 1
    said = f"\nWhat failed, and why: seqd failures list --job {job.job_id}\n"
    assert said in here(capsys, "jobs", "show", job.job_id).out
    for command in (("list", "--job", job.job_id), ("list", "--each"), ("show", letter.id)):
        for more in ((), ("--json",)):
            printed = here(capsys, "failures", *command, *more)
            assert printed.status == 0
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028]", printed.out)
