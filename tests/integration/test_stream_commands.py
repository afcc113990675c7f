"""`seqd generate` prints a text while it is written, into a pipe too, and in the end all of it."""

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from cli_builders import Ended, clean_environment, here
from seqd.client import Client
from seqd_schemas import Generation, ItemSuccess, JobState
from worker_fixtures import Cluster

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: A text of about five seconds, in twenty steps: its reader may be late on a busy machine.
SLOW = ("--length", "2000", "--param", "step_chars=100", "--param", "delay_ms=250")
QUICK = ("--length", "40")
TIMEOUT_S = 120.0


def variables(cluster: Cluster) -> dict[str, str]:
    settings = cluster.settings
    return {
        "SEQD_REDIS_URL": str(settings.redis_url),
        "SEQD_PREFIX": settings.prefix,
        "SEQD_DATA_DIR": str(settings.data_dir),
        "COLUMNS": "200",
    }


def start(cluster: Cluster, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "seqd", "generate", "echo", *arguments],
        env=clean_environment(**variables(cluster), PYTHONUTF8="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


Generate = Callable[..., Ended]


@pytest.fixture
def generate(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Generate:
    """Return the command, which runs in this process."""
    for name, value in variables(cluster).items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: here(capsys, "generate", "echo", *arguments)


def rest_of(program: "subprocess.Popen[str]") -> tuple[str, str]:
    """Wait for the end of a program of whose output some was read; returns the rest, and stderr.

    Not `communicate`, which would leave out what has come beyond what was asked for.
    """
    assert program.stdout is not None
    assert program.stderr is not None
    with program.stdout, program.stderr:
        out, err = program.stdout.read(), program.stderr.read()
    program.wait(timeout=TIMEOUT_S)
    return out, err


def newest_texts(client: Client) -> list[str]:
    """Return all texts of the newest job, in order."""
    return [
        sample.text
        for result in client.job(client.jobs(1)[0].job_id).results()
        if isinstance(result, ItemSuccess) and isinstance(result.output, Generation)
        for sample in result.output.samples
    ]


def test_a_text_goes_down_the_pipe_while_it_is_written(cluster: Cluster) -> None:
    client = cluster.client()
    before = len(client.jobs(10_000))
    program = start(cluster, "--prompt", "the ", *SLOW)
    assert program.stdout is not None

    first = program.stdout.read(len("the ") + 300)
    state_by_then = client.jobs(1)[0].state
    rest, err = rest_of(program)

    assert len(client.jobs(10_000)) == before + 1
    assert state_by_then is JobState.RUNNING, err
    assert first + rest == f"the {newest_texts(client)[0]}\n"
    assert program.returncode == 0


def test_texts_stand_in_the_order_of_the_prompts_though_one_fails(
    cluster: Cluster, generate: Generate
) -> None:
    ended = generate("one", "bad", "two", *QUICK)

    first, second = newest_texts(cluster.client())
    # What there was of the one that failed is printed where it came before its end.
    one, two = re.escape(f"one{first}"), re.escape(f"two{second}")
    assert re.fullmatch(rf"{one}\n\n(bad.*\n\n)?{two}\n", ended.out)
    assert "1 of 3 items has no result:" in ended.err
    assert "row-2  invalid_input: this text was made bad" in ended.err
    assert ended.status == 2
