"""What the commands say of jobs that are paused, continued and removed, on a real ledger."""

import json
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import typer

from cli_builders import clean_environment, here, use_ledger
from seqd.cli.handing_in import Begun, HandIn
from seqd.cli.ui.screen import Screen
from seqd.client import JobHandle
from seqd.ledger import connect
from seqd_schemas import FileSource, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: Training data that no worker is there to look for.
WORDS = FileSource(path="/data/words.txt")


@pytest.fixture(autouse=True)
def _wide_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def environment_of(cluster: Cluster) -> dict[str, str]:
    """Variables that make commands use a cluster's ledger."""
    assert cluster.settings.redis_url is not None
    return {"SEQD_REDIS_URL": cluster.commands.redis_url, "SEQD_PREFIX": cluster.settings.prefix}


def an_ended(cluster: Cluster, *texts: object) -> JobHandle:
    """A job that a worker has done."""
    job = cluster.client().classify(list(texts), model="echo")  # type: ignore[arg-type]
    job.wait(timeout_s=120)
    return job


@pytest.fixture
def no_worker(empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster that knows what workers can run and has none."""
    empty_cluster.publish_catalog()
    use_ledger(monkeypatch, empty_cluster.commands)
    return empty_cluster


def test_a_retry_of_a_retry_writes_the_results_of_the_whole(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    use_ledger(monkeypatch, cluster.commands)
    first = an_ended(cluster, "good", "bad", "fine", {"custom_id": "empty"})
    out = tmp_path / "all.jsonl"

    detached = here(capsys, "jobs", "retry", first.job_id, "--detach")
    retry = detached.out.strip()
    cluster.client().job(retry).wait(timeout_s=120)
    again = here(capsys, "jobs", "retry", first.job_id)
    second = here(capsys, "jobs", "retry", retry, "--out", str(out))
    merged = here(capsys, "jobs", "results", first.job_id, "--merged")

    of_both = f"seqd jobs results {first.job_id} --merged"
    assert f"The results of the whole: {of_both}\n" in detached.err
    left_out = "1 failed item was not sent again: it has no text that could be read.\n"
    assert left_out in detached.err
    assert again.err == (
        f"error[wrong_state]: Job {first.job_id} was already continued by job {retry}. What that "
        f"one leaves undone: seqd jobs retry {retry}. All results: {of_both}\n"
    )
    assert second.status == merged.status == 2
    assert merged.err.splitlines()[:2] == [
        f"2 classified by echo@{first.record().version} (with its retries): 1 fine, 1 good",
        "2 of 4 items have no result:",
    ]
    assert f"{out}: 2 results, in input order\n" in second.out
    assert [json.loads(line)["custom_id"] for line in out.read_text().splitlines()] == [
        "row-1",
        "row-3",
    ]


def test_all_jobs_are_removed_that_can_be_and_the_others_are_told(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    client = no_worker.client()
    ended, runs, retried, last = (client.classify(["a"], model="echo") for _ in range(4))
    for job in (ended, retried, last):
        job.cancel()
    retry = client.retry(retried.job_id)

    ids = (ended.job_id, "nobody", runs.job_id, retried.job_id, last.job_id)
    removed = here(capsys, "jobs", "rm", *ids)

    assert removed.status == 2
    assert removed.out == f"Job {ended.job_id} is removed.\nJob {last.job_id} is removed.\n"
    unknown, open_job, continued = removed.err.splitlines()
    assert unknown.startswith("error[unknown_job]: No job 'nobody'.")
    assert open_job.startswith(f"error[wrong_state]: Job {runs.job_id} is queued; only a job that")
    assert continued.startswith(
        f"error[wrong_state]: Job {retried.job_id} is continued by {retry.job_id}, which has not"
    )


def test_whoever_waits_for_a_paused_retry_is_told_how_to_resume_it(
    no_worker: Cluster, tmp_path: Path
):
    client = no_worker.client()
    first = client.classify(["a"], model="echo")
    first.cancel()
    retry = client.retry(first.job_id)
    retry.pause()
    command = [sys.executable, "-m", "seqd", "jobs", "results", first.job_id, "--merged"]
    said, given = tmp_path / "stderr", tmp_path / "stdout"

    with said.open("w") as err, given.open("w") as out:
        environment = clean_environment(**environment_of(no_worker))
        waiting = subprocess.Popen(command, env=environment, stdout=out, stderr=err)
    try:
        wait_until(lambda: said.read_text().endswith("\n"), "it says what it waits for")
        told = said.read_text()
        retry.cancel()
        waiting.wait(timeout=120)
    finally:
        waiting.kill()
        waiting.wait()

    job_id = retry.job_id
    assert told == f"Job {job_id} is paused; it goes on with: seqd jobs resume {job_id}\n"
    assert json.loads(given.read_text())["error"]["code"] == "cancelled"


def test_a_resumed_training_continues_from_the_last_checkpoint_of_those_before_it_or_begins_anew(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    assert no_worker.settings.redis_url is not None
    client = no_worker.client()
    first = client.train(WORDS, model="echo")
    first.cancel()

    anew = here(capsys, "jobs", "resume", first.job_id)
    second = client.job(str(first.record().continued_by))
    with connect(no_worker.settings.redis_url) as redis:  # as a worker does
        redis.hset(no_worker.settings.keys.job(second.job_id), "checkpoints", "c1:" + "0" * 64)
    second.cancel()
    third = client.resume(second.job_id)
    third.cancel()
    goes_on = here(capsys, "jobs", "resume", third.job_id)

    fourth = third.record().continued_by
    assert anew.out == (
        f"Job {first.job_id} has no checkpoint; job {second.job_id} starts from the beginning.\n"
        f"Watch it: seqd jobs watch {second.job_id}\n"
    )
    assert goes_on.out == (
        f"Job {fourth} continues job {third.job_id} from its last checkpoint.\n"
        f"Watch it: seqd jobs watch {fourth}\n"
    )


def test_a_command_that_breaks_off_fails_its_job_with_the_reason_unless_that_has_failed_by_itself(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    def breaks_off():
        yield from ["a"] * 20_000
        raise LookupError("the rest is away")

    client, screen = no_worker.client(), Screen(to_stderr=True)
    failed = client.classify(breaks_off(), model="echo")
    open_job, training = client.classify(["a"], model="echo"), client.train(WORDS, model="echo")
    wait_until(lambda: failed.record().state is JobState.FAILED, "it fails")

    def begun(job: JobHandle) -> AbstractContextManager[Begun]:
        return HandIn(client=client, screen=screen, send=lambda _: job).begun()

    for job in (failed, open_job):
        with pytest.raises(LookupError), begun(job):
            raise LookupError
    with pytest.raises(typer.Exit), begun(training):
        raise KeyboardInterrupt

    codes = [job.record().failure.code for job in (failed, open_job)]
    assert codes == ["upload_failed", "stopped"]
    assert open_job.record().failure.message == "Its sender ended by LookupError()."
    targets = {act.target for act in no_worker.operator().audit(100, action="jobs.cancel")}
    assert targets & {failed.job_id, open_job.job_id, training.job_id} == {training.job_id}
    assert capsys.readouterr().err == (
        f"Cancelled job {training.job_id}. Continue it: seqd jobs resume {training.job_id}\n"
    )
