"""Pause, resume, expire, retry and remove with real workers, and with none; and as commands."""

import json
from pathlib import Path

import pytest

from cli_builders import here
from seqd.client import Client, JobHandle
from seqd.errors import JobExpired
from seqd.settings import Settings
from seqd_schemas import ItemErrorCode, ItemFailure, ItemSuccess, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: 12 units of 8 items, of which the third is held until the plugin is cured.
TEXTS = ["held" if number == 20 else f"text {number}" for number in range(96)]


def labels(results: list[ItemSuccess | ItemFailure]) -> list[str]:
    """Each result's label, or the code of its error."""
    return [
        result.output.label if isinstance(result, ItemSuccess) else str(result.error.code)  # type: ignore[union-attr]
        for result in results
    ]


def after_the_first_unit(client: Client, **options: object) -> JobHandle:
    """A job of which a unit is done, and another held."""
    job = client.classify(TEXTS, model="echo", **options)  # type: ignore[arg-type]
    wait_until(lambda: job.record().sealed, "its input is complete")
    next(job.results())
    return job


def on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make commands of this process use a cluster's ledger."""
    assert settings.redis_url is not None
    monkeypatch.setenv("SEQD_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("SEQD_PREFIX", settings.prefix)
    monkeypatch.setenv("COLUMNS", "200")


def test_a_paused_job_stands_still_after_the_unit_in_hand_and_then_goes_on(
    cluster: Cluster, cure: Path
):
    job = after_the_first_unit(cluster.client())

    job.pause()
    cure.touch()
    cluster.workers[0].wait_until_idle()
    stopped_at = job.record().counts.done
    job.resume()

    assert 24 <= stopped_at < 96
    assert job.record().state in (JobState.RUNNING, JobState.COMPLETED)
    assert labels(list(job.results())) == TEXTS
    assert [event.event for event in job.events()].count("paused") == 1


@pytest.mark.slow
def test_a_job_whose_time_runs_out_keeps_what_was_done(cluster: Cluster):
    job = cluster.client().classify(TEXTS * 10, model="echo", expires_in_s=3)

    results = list(job.results())

    given = labels(results)
    assert len(results) == 960
    assert given.index("expired") > 0
    assert set(given[given.index("expired") :]) == {"expired"}
    assert isinstance(results[-1], ItemFailure)
    assert results[-1].error.code is ItemErrorCode.EXPIRED
    with pytest.raises(JobExpired) as expired:
        job.wait()
    assert str(expired.value) == (
        f"Job {job.job_id} expired after 3 s with {given.index('expired')} of 960 items done. The "
        f"rest: seqd jobs retry {job.job_id}"
    )


def test_a_job_expires_with_no_worker_up(empty_cluster: Cluster):
    empty_cluster.publish_catalog()
    job = empty_cluster.client().classify(TEXTS, model="echo", expires_in_s=1)

    with pytest.raises(JobExpired):
        job.wait(timeout_s=30)

    assert job.record().counts.expired == 96


def test_a_retry_does_what_a_cancel_left_undone_and_both_read_as_one(cluster: Cluster, cure: Path):
    client = cluster.client()
    first = after_the_first_unit(client)
    first.cancel()
    cancelled = first.record().counts.cancelled

    cure.touch()
    again = client.retry(first.job_id)

    assert 0 < cancelled <= 88
    assert labels(list(first.merged_results())) == TEXTS
    record = again.wait(timeout_s=30)
    assert record.counts.total == record.counts.succeeded == cancelled
    assert first.record().continued_by == again.job_id
    assert record.version == first.record().version


def test_an_item_that_fails_again_keeps_its_error_and_can_be_retried_again(cluster: Cluster):
    client = cluster.client()
    first = client.classify(["good", "bad", "fine", "bad"], model="echo")
    first.wait(timeout_s=30)

    second = client.retry(first.job_id)
    second.wait(timeout_s=30)
    third = client.retry(second.job_id)
    third.wait(timeout_s=30)

    assert [client.job(job.job_id).record().counts.total for job in (second, third)] == [2, 2]
    merged = list(first.merged_results())
    assert labels(merged) == ["good", "invalid_input", "fine", "invalid_input"]
    assert [result.custom_id for result in merged] == ["row-1", "row-2", "row-3", "row-4"]


def test_commands_pause_resume_retry_and_remove(
    cluster: Cluster,
    cure: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    on(cluster.settings, monkeypatch)
    job = after_the_first_unit(cluster.client())
    out = tmp_path / "all.jsonl"

    paused = here(capsys, "jobs", "pause", job.job_id)
    resumed = here(capsys, "jobs", "resume", job.job_id)
    cancelled = here(capsys, "jobs", "cancel", job.job_id)
    undone = job.record().counts.cancelled
    cure.touch()
    retried = here(capsys, "jobs", "retry", job.job_id, "--out", str(out))
    shown = here(capsys, "jobs", "show", job.job_id)
    merged = here(capsys, "jobs", "results", job.job_id, "--merged")
    removed = here(capsys, "jobs", "rm", job.job_id)

    assert paused.out.startswith(f"Job {job.job_id} is paused, with ")
    assert paused.out.endswith(f"Let it go on: seqd jobs resume {job.job_id}\n")
    assert resumed.out == f"Job {job.job_id} is running. Watch it: seqd jobs watch {job.job_id}\n"
    assert cancelled.status == 0
    assert f"{undone} of {undone} retried items have a result now." in retried.out
    assert f"{out}: 96 results, in input order" in retried.out
    assert (retried.status, merged.status) == (0, 0)
    assert "The job that continues it: seqd jobs show " in shown.out
    of_file = [json.loads(line)["output"]["label"] for line in out.read_text().splitlines()]
    of_pipe = [json.loads(line)["output"]["label"] for line in merged.out.splitlines()]
    assert of_file == of_pipe == TEXTS
    assert removed.out == f"Job {job.job_id} is removed.\n"


def test_a_command_that_has_nothing_to_do_says_so_in_one_line(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    on(cluster.settings, monkeypatch)
    client = cluster.client()
    sound = client.classify(["good"], model="echo")
    unreadable = client.classify(["good", {"custom_id": "empty"}], model="echo")
    for job in (sound, unreadable):
        job.wait(timeout_s=30)
    runs = client.classify(TEXTS, model="echo")

    not_paused = here(capsys, "jobs", "resume", runs.job_id)
    runs.cancel()
    late = here(capsys, "jobs", "resume", sound.job_id)
    without_failure = here(capsys, "jobs", "retry", sound.job_id)
    without_text = here(capsys, "jobs", "retry", unreadable.job_id)

    assert [one.status for one in (late, without_failure, without_text, not_paused)] == [2, 2, 2, 0]
    assert late.err == (
        f"error[wrong_state]: Job {sound.job_id} is completed; only a paused job, or a training "
        "that ended early, can be resumed.\n"
    )
    assert without_failure.err == (
        f"error[wrong_state]: Job {sound.job_id} has no failed items: there is nothing to retry.\n"
    )
    assert without_text.err == (
        f"error[wrong_state]: No failed item of job {unreadable.job_id} has a text that could be "
        "read: there is nothing to retry. Mend the input, and hand it in as a new job.\n"
    )
    assert not_paused.out.endswith(" already; nothing was changed.\n")
