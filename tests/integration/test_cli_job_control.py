"""What the commands say of jobs that are paused, continued and removed, on a real ledger."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cli_builders import clean_environment, here, use_ledger
from seqd.cli.following import cancelling, detach_from
from seqd.cli.ui.screen import Screen
from seqd.client import JobHandle
from seqd.errors import WrongState
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
    return {"SEQD_REDIS_URL": cluster.settings.redis_url, "SEQD_PREFIX": cluster.settings.prefix}


def an_ended(cluster: Cluster, *texts: object) -> JobHandle:
    """A job that a worker has done."""
    job = cluster.client().classify(list(texts), model="echo")  # type: ignore[arg-type]
    job.wait(timeout_s=30)
    return job


def a_cancelled_training(cluster: Cluster) -> JobHandle:
    """A training that no worker began."""
    job = cluster.client().train(WORDS, model="echo")
    job.cancel()
    return job


def save_a_checkpoint(cluster: Cluster, job: JobHandle) -> None:
    """Let a checkpoint of a job count, as a worker does."""
    assert cluster.settings.redis_url is not None
    with connect(cluster.settings.redis_url) as redis:
        redis.hset(cluster.settings.keys.job(job.job_id), "checkpoints", "c1:" + "0" * 64)


@pytest.fixture
def no_worker(empty_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A cluster that knows what workers can run and has none."""
    empty_cluster.publish_catalog()
    use_ledger(monkeypatch, empty_cluster.settings)
    return empty_cluster


def test_a_retry_of_a_retry_writes_the_results_of_the_whole(
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    use_ledger(monkeypatch, cluster.settings)
    first = an_ended(cluster, "good", "bad", "fine", {"custom_id": "empty"})
    out = tmp_path / "all.jsonl"

    detached = here(capsys, "jobs", "retry", first.job_id, "--detach")
    retry = detached.out.strip()
    cluster.client().job(retry).wait(timeout_s=30)
    again = here(capsys, "jobs", "retry", first.job_id)
    second = here(capsys, "jobs", "retry", retry, "--out", str(out))

    of_both = f"seqd jobs results {first.job_id} --merged"
    assert f"The results of the whole: {of_both}\n" in detached.err
    left_out = "1 failed item was not sent again: it has no text that could be read.\n"
    assert left_out in detached.err
    assert again.err == (
        f"error[wrong_state]: Job {first.job_id} was already continued by job {retry}. Retry that "
        f"one: seqd jobs retry {retry}; then all results: {of_both}\n"
    )
    assert second.status == 2
    assert f"{out}: 2 results, in input order\n" in second.out
    assert [json.loads(line)["custom_id"] for line in out.read_text().splitlines()] == [
        "row-1",
        "row-3",
    ]


def test_a_merged_summary_counts_what_the_results_hold(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    use_ledger(monkeypatch, cluster.settings)
    first = an_ended(cluster, "a", "bad", "b", "a")
    cluster.client().retry(first.job_id).wait(timeout_s=30)

    merged = here(capsys, "jobs", "results", first.job_id, "--merged")

    assert merged.status == 2
    assert len(merged.out.splitlines()) == 4
    assert merged.err.splitlines()[:2] == [
        f"3 classified by echo@{first.record().version} (with its retries): 2 a, 1 b",
        "1 of 4 items has no result:",
    ]


def test_where_no_failed_item_has_a_text_there_is_nothing_to_retry(cluster: Cluster):
    job = an_ended(cluster, "good", {"custom_id": "empty"})

    with pytest.raises(WrongState) as refused:
        cluster.client().retry(job.job_id)

    assert str(refused.value) == (
        f"No failed item of job {job.job_id} has a text that could be read: there is nothing to "
        "retry. Mend the input, and hand it in as a new job."
    )


def test_all_jobs_are_removed_that_can_be_and_the_others_are_told(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    client = no_worker.client()
    ended, runs, last = (client.classify(["a"], model="echo") for _ in range(3))
    ended.cancel()
    last.cancel()

    removed = here(capsys, "jobs", "rm", ended.job_id, "nobody", runs.job_id, last.job_id)

    assert removed.status == 2
    assert removed.out == f"Job {ended.job_id} is removed.\nJob {last.job_id} is removed.\n"
    unknown, open_job = removed.err.splitlines()
    assert unknown.startswith("error[unknown_job]: No job 'nobody'.")
    assert open_job.startswith(f"error[wrong_state]: Job {runs.job_id} is queued; only a job that")


def test_a_job_whose_retry_is_open_is_not_removed(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    client = no_worker.client()
    first = client.classify(["a"], model="echo")
    first.cancel()
    retry = client.retry(first.job_id)

    removed = here(capsys, "jobs", "rm", first.job_id)

    assert removed.status == 2
    assert removed.err.startswith(
        f"error[wrong_state]: Job {first.job_id} is continued by {retry.job_id}, which has not"
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
        waiting.wait(timeout=60)
    finally:
        waiting.kill()
        waiting.wait()

    job_id = retry.job_id
    assert told == f"Job {job_id} is paused; it goes on with: seqd jobs resume {job_id}\n"
    assert json.loads(given.read_text())["error"]["code"] == "cancelled"


def test_an_ended_job_is_not_said_to_run_by_itself(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
):
    job = an_ended(cluster, "good")

    detach_from(job, Screen(to_stderr=True), as_json=False)

    printed = capsys.readouterr()
    assert printed.out == f"{job.job_id}\n"
    assert printed.err == (
        f"It is completed already. Its results: seqd jobs results {job.job_id}\n"
    )


def test_a_job_that_expired_in_its_upload_is_told_with_what_to_do(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    job = no_worker.client().classify(["a", "b"], model="echo", expires_in_s=1)
    job.results().__next__()  # waits until it has expired

    detach_from(job, Screen(to_stderr=True), as_json=False)
    left = capsys.readouterr()
    watched = here(capsys, "jobs", "watch", job.job_id)

    said = (
        f"Job {job.job_id} expired after 1 s with 0 of 2 items done. The rest: seqd jobs retry "
        f"{job.job_id}\n"
    )
    assert (left.out, left.err) == (f"{job.job_id}\n", said)
    assert watched.err == f"error[job_expired]: {said}"


def test_a_resumed_training_without_a_checkpoint_starts_from_the_beginning(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    first = a_cancelled_training(no_worker)

    resumed = here(capsys, "jobs", "resume", first.job_id)

    new = no_worker.client().job(first.job_id).record().continued_by
    assert resumed.out == (
        f"Job {first.job_id} has no checkpoint; job {new} starts from the beginning.\n"
        f"Watch it: seqd jobs watch {new}\n"
    )


def test_a_resumed_training_continues_from_a_checkpoint_of_any_job_before_it(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    first = a_cancelled_training(no_worker)
    save_a_checkpoint(no_worker, first)
    client = no_worker.client()
    second = client.resume(first.job_id)
    second.cancel()

    resumed = here(capsys, "jobs", "resume", second.job_id)

    new = second.record().continued_by
    assert resumed.out == (
        f"Job {new} continues job {second.job_id} from its last checkpoint.\n"
        f"Watch it: seqd jobs watch {new}\n"
    )


def test_an_interrupted_training_says_how_to_continue_it(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    job = no_worker.client().train(WORDS, model="echo")

    with pytest.raises(typer.Exit), cancelling(job, Screen(to_stderr=True)):
        raise KeyboardInterrupt

    assert capsys.readouterr().err == (
        f"Cancelled job {job.job_id}. Continue it: seqd jobs resume {job.job_id}\n"
    )


def test_the_audit_has_no_cancel_of_a_job_that_had_failed_by_itself(no_worker: Cluster):
    def breaks_off():
        yield from ["a"] * 20_000
        raise LookupError("the rest is away")

    client = no_worker.client()
    failed, open_job = (
        client.classify(breaks_off(), model="echo"),
        client.classify(["a"], model="echo"),
    )
    wait_until(lambda: failed.record().state is JobState.FAILED, "it fails")

    for job in (failed, open_job):
        with pytest.raises(LookupError), cancelling(job, Screen(to_stderr=True)):
            raise LookupError

    acts = {(act.action, act.target) for act in client.audit(100, action="jobs")}
    assert ("jobs.cancel", open_job.job_id) in acts
    assert ("jobs.cancel", failed.job_id) not in acts


def test_a_job_that_is_not_paused_is_left_as_it_is_by_resume(
    no_worker: Cluster, capsys: pytest.CaptureFixture[str]
):
    job = no_worker.client().classify(["a"], model="echo")

    resumed = here(capsys, "jobs", "resume", job.job_id)

    assert resumed.status == 0
    assert resumed.out == f"Job {job.job_id} is queued already; nothing was changed.\n"


def test_the_whole_ends_where_another_job_has_taken_the_place_of_one(no_worker: Cluster):
    client = no_worker.client()
    first = client.classify(["a"], model="echo")
    first.cancel()
    second = client.retry(first.job_id)
    second.cancel()
    third = client.retry(second.job_id)

    assert third.origin().job_id == first.job_id
    first.remove()
    assert third.origin().job_id == second.job_id
    client.classify(["b"], model="echo", job_id=first.job_id)
    assert third.origin().job_id == second.job_id
