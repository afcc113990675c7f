"""Commands that hand jobs in with all options of the client, and list and show them."""

import json
import re
from pathlib import Path

import pytest

from cli_builders import Ended, here, use_ledger
from seqd.client import JobHandle
from seqd.errors import RedisUnreachable
from seqd.ledger import connect
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

ALL = (
    *("--tenant", "shop", "--idempotency-key", "k1", "--priority", "bulk"),
    *("--metadata", "batch=7", "--metadata", "by=me=you", "--expires-in", "600"),
    *("--max-running-units", "2", "--results-ttl", "3600", "--job-id", "from-a-shell"),
    *("--no-durable", "--expected-items", "1"),
)


@pytest.fixture(autouse=True)
def _of_the_cluster(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
    use_ledger(monkeypatch, cluster.commands, columns=300, has_store=True)


NO_RESULTS = (
    "error[invalid_request]: a command that does not wait (--no-wait) writes no results, so "
    "options of the output have no use: leave them out, and read the results later by `seqd jobs "
    "results JOB --out FILE`. To wait, and leave the job running at Ctrl-C: --detach-on-interrupt\n"
)


def ids_of(ended: Ended) -> list[str]:
    return [record["job_id"] for record in json.loads(ended.out)]


def test_each_option_of_a_command_is_in_the_request(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    own = ("--min-score", "0.5", "--map-label", "a=b", "--probabilities")
    ended = here(capsys, "classify", "--text", "a", "--model", "echo", "--no-wait", *ALL, *own)

    assert (ended.status, ended.out) == (0, "from-a-shell\n")
    job = cluster.client().job("from-a-shell").record().job
    left_out = {"kind", "model", "source", "continues", "format", "output_folder", "engine"}
    assert job.model_dump(exclude=left_out) == {
        "parameters": {"probabilities": True},
        "priority": "bulk",
        "tenant": "shop",
        "idempotency_key": "k1",
        "metadata": {"batch": "7", "by": "me=you"},
        "expires_in_s": 600,
        "max_running_units": 2,
        "results_ttl_s": 3600,
        "min_score": 0.5,
        "label_map": {"a": "b"},
    }
    assert job.source.model_dump() == {"type": "upload", "expected_items": 1}


def test_a_job_that_nobody_waits_for_may_be_streamed(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    ended = here(capsys, "generate", "echo", "abc", "--stream", "--no-wait")

    job = cluster.client().job(ended.out.strip())
    assert job.record().job.stream  # type: ignore[union-attr]
    assert "".join(delta.text for delta in job.stream()) == "cba"


OF_THE_OUTPUT = [
    *(("--out", "r.csv"), ("--out-format", "csv"), ("--errors", "e.csv"), ("--columns", "label")),
    *(("--keep", "text"), ("--force",), ("--resume",), ("--detach-on-interrupt",)),
]


def test_a_command_that_does_not_wait_takes_no_options_of_the_output(
    capsys: pytest.CaptureFixture[str],
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    first = cluster.client().classify(["bad"], model="echo")
    first.wait(timeout_s=120)
    before = [job.job_id for job in cluster.client().jobs(50)]

    ended = [
        here(capsys, *command, name, *output)
        for command in (("classify", "--text", "a", "-m", "echo"), ("generate", "echo", "abc"))
        for name in ("--no-wait", "--detach")
        for output in OF_THE_OUTPUT
    ]
    retried = [
        here(capsys, "jobs", "retry", first.job_id, "--no-wait", *output)
        for output in (("--out", "r.csv"), ("--columns", "label"), ("--force",))
    ]

    refused = Ended(2, "", NO_RESULTS)
    assert [one for one in [*ended, *retried] if one != refused] == []
    assert [job.job_id for job in cluster.client().jobs(50)] == before
    assert first.continuation() is None
    assert list(tmp_path.iterdir()) == []


def test_results_of_a_training_take_no_options_of_items(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    job = cluster.client().train([{"text": "a", "label": "b"}], model="echo")
    given = ("--columns", "label", "--errors", "e.jsonl", "--merged")

    refused = here(capsys, "jobs", "results", job.job_id, *given)
    job.cancel()

    assert refused == Ended(
        2,
        "",
        f"error[invalid_request]: job {job.job_id} is a training, it has no items; leave --errors "
        "and --columns and --merged away\n",
    )


def test_jobs_that_were_removed_are_told_also_where_redis_goes_away_in_between(
    capsys: pytest.CaptureFixture[str], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = cluster.client().classify(["a"], model="echo")
    job.wait(timeout_s=120)
    whole = JobHandle.remove

    def remove(handle: JobHandle) -> None:
        if handle.job_id != job.job_id:
            raise RedisUnreachable("No server answers.")
        whole(handle)

    monkeypatch.setattr(JobHandle, "remove", remove)

    ended = here(capsys, "jobs", "rm", job.job_id, "other", "another", "--json")

    assert (ended.status, json.loads(ended.out)) == (2, {"removed": [job.job_id]})
    assert ended.err.count("No server answers.") == 1


def test_a_prompt_that_is_the_name_of_a_file_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.txt").write_text("abc\n")

    taken = here(capsys, "generate", "echo", "prompts.txt", "xyz", "--no-stream")
    meant = here(capsys, "generate", "echo", "--prompt", "prompts.txt", "--no-stream")
    read = here(capsys, "generate", "echo", "--prompts", "prompts.txt", "--json")

    told = "'prompts.txt' was taken as a prompt. For those in the file: --prompts prompts.txt\n"
    assert taken.status == 0
    assert taken.err.startswith(told)
    assert taken.err.count("was taken as a prompt") == 1
    assert "txt.stpmorp" in taken.out
    assert "was taken as a prompt" not in meant.err + read.err
    assert json.loads(read.out)["output"]["samples"][0]["text"] == "cba"


@pytest.mark.parametrize("text", ["the sea is", "sea"])
def test_a_text_in_the_place_of_the_model_is_told_how_it_is_given(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    ended = here(capsys, "generate", text)

    quoted = "'the sea is'" if " " in text else text
    assert ended.status == 2
    assert ended.err.endswith(f" To continue it as a text: seqd generate --prompt {quoted}\n")


def test_jobs_are_listed_by_what_they_have_in_common(capsys: pytest.CaptureFixture[str]) -> None:
    notes = ("--metadata", "list=one", "--tenant", "shell-lister")
    here(capsys, "classify", "--text", "a", "-m", "echo", "--job-id", "one", *notes)
    here(capsys, "generate", "echo", "a", "--job-id", "two", *notes)

    both = here(capsys, "jobs", "list", "--tenant", "shell-lister", "--since", "1h", "--json")
    one = here(
        capsys, "jobs", "list", "--kind", "classify", "--model", "echo", "--state", "completed",
        "--metadata", "list=one", "--since", "2026-01-01", "--json",
    )  # fmt: skip
    none = here(capsys, "jobs", "list", "--tenant", "shell-lister", "--state", "paused")

    assert ids_of(both) == ["two", "one"]
    assert ids_of(one) == ["one"]
    assert none.out == "No jobs.\n"


def test_a_job_is_shown_with_its_times_attempts_worker_and_rate(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    texts = [part for number in range(100) for part in ("--text", f"text {number}")]
    here(capsys, "classify", *texts, "--model", "echo", "--job-id", "shown")

    lines = here(capsys, "jobs", "show", "shown").out.splitlines()
    shown = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if " " in line}
    record = json.loads(here(capsys, "jobs", "show", "shown", "--json").out)

    worker = cluster.workers[0].name
    assert shown["workers"] == f"{worker} claimed the first unit"
    assert {"created", "started", "ended", "waited", "took"} <= set(shown)
    assert shown["rate"].endswith(" items a second")
    assert int(shown["attempts"]) == record["activity"]["attempts"] > 0
    assert record["activity"]["first_worker"] == worker
    assert record["job_id"] == "shown"


def test_a_small_job_whose_attempts_are_kept_no_more_says_so(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    here(capsys, "classify", "--text", "a", "--model", "echo", "--job-id", "small")
    keys = cluster.settings.keys
    with connect(str(cluster.settings.redis_url)) as redis:
        redis.delete(keys.attempts("small"), keys.events("small"))  # as they go by themselves

    shown = here(capsys, "jobs", "show", "small").out
    as_json = json.loads(here(capsys, "jobs", "show", "small", "--json").out)

    assert re.search(r"^attempts +not known any more: the job is a small one$", shown, re.M)
    assert as_json["activity"]["attempts"] is None


def test_the_parameters_of_a_model_are_those_that_its_workers_publish(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = here(capsys, "models", "params", "echo@production", "--task", "train")
    lines = [line.split() for line in shown.out.splitlines()]

    assert shown.status == 0
    assert lines[0] == ["echo", "train"]
    assert lines[1] == ["parameter", "default", "what", "it", "is"]
    assert lines[2] == ["epochs", "2", "Epochs.", "Allowed:", "1", "to", "1000."]
    assert shown.out.splitlines()[-1] == "preset quick: epochs=1"


def test_the_parameters_of_a_model_are_json_for_programs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = json.loads(here(capsys, "models", "params", "echo", "--json").out)

    assert shown["model"] == "echo"
    assert set(shown["tasks"]) == {"classify", "generate", "train"}
    assert shown["tasks"]["classify"][0] == {
        "name": "delay_ms",
        "type": "number",
        "default": 0,
        "required": False,
        "allowed": "0 to 60000",
        "description": "Milliseconds an item takes.",
    }
    assert shown["presets"] == {"quick": {"epochs": 1}}


def test_parameters_of_a_task_that_a_model_lacks_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = here(capsys, "models", "params", "echo", "--task", "predict")

    assert (ended.status, ended.err) == (
        2,
        "error[invalid_request]: --task is 'predict'; allowed for echo: classify, generate, "
        "train\n",
    )
