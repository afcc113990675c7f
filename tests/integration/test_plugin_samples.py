"""`seqd plugins show` and `seqd models show` of a fleet: what they print is enough to call a model.

The plugins of these workers are installed nowhere else.
"""

import subprocess
import sys

import pytest
import redis

from checkout import python_path
from cli_builders import clean_environment, here
from inbox_builders import Producer, a_job_id
from seqd_schemas import JobState
from task_fixtures import TaskCluster
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

#: A model with each kind of task: of a kind of its own, of a training, of texts and of records.
TASKS = {
    "classify": "echo",
    "generate": "echo",
    "train": "echo",
    "embed": "vectors",
    "compare": "pairs",
}
#: What the programs print of what came out.
PRINTED = {
    "classify": "label",
    "generate": "samples",
    "train": "echo",
    "embed": "vector",
    "compare": "overlap",
}


@pytest.fixture
def fleet(cluster: Cluster, task_cluster: TaskCluster, monkeypatch: pytest.MonkeyPatch):
    """Return the cluster that has a task, which commands of this process now ask."""

    def fleet(task: str) -> Cluster:
        one = task_cluster if TASKS[task] != "echo" else cluster
        for name, value in variables_of(one).items():
            monkeypatch.setenv(name, value)
        return one

    return fleet


def variables_of(cluster: Cluster) -> dict[str, str]:
    settings = cluster.settings
    return {"SEQD_REDIS_URL": str(settings.redis_url), "SEQD_PREFIX": settings.prefix}


def sample_of(capsys: pytest.CaptureFixture[str], task: str, client: str) -> str:
    ended = here(capsys, "models", "show", TASKS[task], "--sample", client, "--task", task)
    assert ended.status == 0, ended.err
    return ended.out


def run(cluster: Cluster, *command: str) -> str:
    roots = cluster.settings.input_roots
    assert roots is not None
    ended = subprocess.run(
        command,
        env=clean_environment(**variables_of(cluster), PYTHONPATH=python_path()),
        cwd=roots[0],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    "task", [pytest.param(one, marks=[] if one == "compare" else pytest.mark.slow) for one in TASKS]
)
def test_the_samples_in_python_and_for_a_shell_run(
    fleet, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = fleet(task)
    seqd = f'seqd() {{ "{sys.executable}" -m seqd "$@"; }}\n'

    printed = run(cluster, sys.executable, "-c", sample_of(capsys, task, "python"))
    run(cluster, "sh", "-ec", seqd + sample_of(capsys, task, "shell"))

    assert PRINTED[task] in printed


@pytest.mark.parametrize("task", TASKS)
def test_the_sample_for_the_inbox_is_accepted_and_completes(
    fleet, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = fleet(task)
    sample = sample_of(capsys, task, "inbox")
    roots = cluster.settings.input_roots
    assert roots is not None
    data = roots[0] / "train.jsonl"
    data.write_text('{"text": "a", "label": "b"}\n{"text": "c", "label": "d"}\n')

    with redis.Redis.from_url(str(cluster.settings.redis_url)) as connection:
        producer = Producer(connection, cluster.settings.keys)
        job_id = a_job_id()
        entry = producer.add_job(sample.replace("/data/train.jsonl", str(data)), job_id)
        assert producer.answer_to(entry).failure is None
    record = cluster.client().job(job_id).wait(timeout_s=30)

    assert record.state is JobState.COMPLETED


def test_a_plugin_that_is_not_installed_here_and_its_models_are_shown_from_the_fleet(
    fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet("compare")
    monkeypatch.setenv("COLUMNS", "80")

    shown = here(capsys, "plugins", "show", "tasks")
    model = here(capsys, "models", "show", "vectors")
    record = here(capsys, "plugins", "show", "pairs", "--json").json()

    assert (shown.status, shown.err) == (0, "")
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == "plugin tasks"
    assert "workers shared" in lines
    for line in (
        "pairs compare, input: records",
        "left (required) One text. Allowed: a text of 0 to 10000 characters.",
        "weight 1.0 What the score is times. Allowed: 0 to 100.",
        "pairs compare, output: Comparison",
        "overlap number Share of the words in both, times weight. Allowed: 0 to",
        "A text must not be empty.",
        "A unit of work has 64 items.",
    ):
        assert line in lines
    assert max(map(len, shown.out.splitlines())) <= 80
    compare = record["contract"]["pairs"]["compare"]
    assert [field["name"] for field in compare["input"]] == ["left", "right", "weight"]
    assert compare["limits"] == ["A unit of work has 64 items."]
    assert "vectors embed, output: Embedding256" in model.out
    assert "delay_ms" in model.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tasks", "--sample", "perl"), "--sample is 'perl'; allowed: python, shell, inbox"),
        (
            ("tasks", "--sample", "shell", "--task", "compair"),
            "--task is 'compair'; allowed: compare, embed, find, mirror, score, tag. Did you mean "
            "'compare'?",
        ),
        (("pairs", "--task", "compare"), "--task is for a sample. Give --sample CLIENT, or leave "),
        (("taks",), "no plugin or model named 'taks'. Plugins here: "),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    fleet, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet("compare")

    ended = here(capsys, "plugins", "show", *arguments)

    assert ended.status == 2
    assert said in ended.err
    if arguments == ("taks",):
        assert "Plugins on workers: " in ended.err
        assert "Did you mean 'tasks'?" in ended.err
