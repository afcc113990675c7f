"""Pause, resume, retry and remove as commands, beside a real worker."""

import json
from pathlib import Path

import pytest

from cli_builders import here, use_ledger
from seqd.client import Client, JobHandle
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: 12 units of 8 items, of which the third is held until the plugin is cured.
TEXTS = ["held" if number == 20 else f"text {number}" for number in range(96)]


def after_the_first_unit(client: Client, **options: object) -> JobHandle:
    """A job of which a unit is done, and another held."""
    job = client.classify(TEXTS, model="echo", **options)  # type: ignore[arg-type]
    wait_until(lambda: job.record().sealed, "its input is complete")
    next(job.results())
    return job


def test_commands_pause_resume_retry_and_remove(
    cluster: Cluster,
    cure: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
):
    use_ledger(monkeypatch, cluster.commands)
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
    use_ledger(monkeypatch, cluster.commands)
    client = cluster.client()
    unreadable = client.classify(["good", {"custom_id": "empty"}], model="echo")
    unreadable.wait(timeout_s=120)
    runs = client.classify(TEXTS, model="echo")

    not_paused = here(capsys, "jobs", "resume", runs.job_id)
    runs.cancel()
    ended_before = here(capsys, "jobs", "cancel", runs.job_id)
    without_text = here(capsys, "jobs", "retry", unreadable.job_id)

    assert (not_paused.status, without_text.status) == (0, 2)
    assert not_paused.out.endswith(" already; nothing was changed.\n")
    assert ended_before.out == (
        f"Job {runs.job_id} had ended before, as cancelled; nothing was changed.\n"
    )
    assert without_text.err == (
        f"error[wrong_state]: No failed item of job {unreadable.job_id} has a text that could be "
        "read: there is nothing to retry. Mend the input, and hand it in as a new job.\n"
    )
