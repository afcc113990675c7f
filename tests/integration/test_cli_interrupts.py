"""Ctrl-C and SIGTERM at each moment at which a command hands its job in, on a real ledger."""

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread, main_thread
from types import FrameType

import pytest

import seqd
from cli_builders import Ended, here_in, use_ledger
from seqd.client import Client, JobHandle
from seqd.errors import UnknownJob
from seqd_schemas import JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

#: Where the commands' own code is.
COMMANDS = f"{Path(seqd.__file__).parent}/cli/"


@contextmanager
def interrupted(number: signal.Signals, line: int, after: Callable[[], bool]) -> Iterator[None]:
    """Send this process a signal in front of a line of a command's own code, counted `after`."""
    left, has_begun = line, False

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal left, has_begun
        if not frame.f_code.co_filename.startswith(COMMANDS):
            return None
        if event == "line":
            has_begun = has_begun or after()
            left -= has_begun
            if left == 0:
                sys.settrace(None)
                signal.raise_signal(number)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


class Interrupted:
    """Commands of this process that are interrupted; no worker does their jobs."""

    def __init__(self, cluster: Cluster, folder: Path, run: Callable[..., Ended]) -> None:
        self._client = cluster.client()
        self._note = folder / ".r.csv.job"
        self.run = run
        (folder / "texts.txt").write_text("".join(f"text {number}\n" for number in range(40)))

    def at(self, line: int, number: signal.Signals, *options: str, has_job: bool) -> Ended:
        """Run a command that is interrupted once its job is noted, or is there."""
        self._note.unlink(missing_ok=True)
        with interrupted(number, line, self._is_there if has_job else self._note.exists):
            return self.run("classify", "texts.txt", "-m", "echo", "--out", "r.csv", *options)

    def once_it_waits(self, *command: str) -> tuple[Ended, JobState]:
        """Send SIGTERM to a command once its job is there; return how the job ended, too."""
        found = list[JobHandle]()

        def is_there() -> bool:
            found.extend(self._client.job(one.job_id) for one in self._client.open_jobs())
            return bool(found)

        def send() -> None:
            wait_until(is_there, "its job")
            signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)

        sender = Thread(target=send)
        sender.start()
        ended = self.run(*command)
        sender.join()
        return ended, found[0].record().state

    @property
    def job(self) -> JobHandle:
        """The job that is noted."""
        return self._client.job(json.loads(self._note.read_text())["job_id"])

    def _is_there(self) -> bool:
        try:
            return self._note.exists() and bool(self.job.record())
        except UnknownJob:
            return False


@pytest.fixture
def commands(
    empty_cluster: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Interrupted:
    empty_cluster.publish_catalog()
    run = here_in(tmp_path, capsys, monkeypatch)
    use_ledger(monkeypatch, empty_cluster.commands)
    return Interrupted(empty_cluster, tmp_path, run)


def test_an_interrupt_between_the_note_and_the_job_names_the_job_and_the_way_on(
    commands: Interrupted,
) -> None:
    for line in (1, 8):
        ended = commands.at(line, signal.SIGTERM, has_job=False)

        job_id = commands.job.job_id
        assert ended == Ended(
            143,
            "",
            f"Interrupted while job {job_id} was handed in. Whether it is there: seqd jobs show "
            f"{job_id}. Either way the same command with --resume goes on\n",
        )


def test_an_interrupt_as_soon_as_the_job_is_there_cancels_it_and_says_so(
    commands: Interrupted,
) -> None:
    for line in range(1, 34, 8):
        ended = commands.at(line, signal.SIGINT, has_job=True)

        assert ended.status == 130, (line, ended.err)
        assert f"Cancelled job {commands.job.job_id} with 0 of " in ended.out, line
        assert commands.job.record().state is JobState.CANCELLED, line


def test_an_interrupt_as_soon_as_the_job_is_there_leaves_it_where_that_was_asked_for_and_says_so(
    commands: Interrupted,
) -> None:
    for line in range(1, 34, 8):
        ended = commands.at(line, signal.SIGTERM, "--detach-on-interrupt", has_job=True)

        record = commands.job.record()
        goes_on = "goes on. Go on: the same"
        does = goes_on if record.sealed else "waits for the rest of its input, for"
        assert ended.status == 143, (line, ended.err)
        assert f"Job {record.job_id} {does}" in ended.out, line
        assert record.state is JobState.QUEUED, line


def test_an_interrupt_while_a_training_a_sweep_or_a_retry_is_handed_in_names_the_job(
    commands: Interrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labelled.csv").write_text("text,label\nfine,pos\n")

    def interrupt(*_: object, **__: object) -> JobHandle:
        raise KeyboardInterrupt

    for method in ("train", "sweep", "retry"):
        monkeypatch.setattr(Client, method, interrupt)
    training = ("echo", "--data", "labelled.csv", "--job-id", "j1")
    told = "Interrupted while job j1 was handed in. Whether it is there: seqd jobs show j1\n"
    again = "Interrupted while job j1 was retried. What continues it: seqd jobs show j1\n"

    assert commands.run("train", *training) == Ended(130, "", told)
    assert commands.run("sweep", *training, "--set", "epochs=1,2") == Ended(130, "", told)
    assert commands.run("jobs", "retry", "j1") == Ended(130, "", again)


def test_an_interrupt_while_a_training_a_sweep_or_a_retry_is_handed_in_cancels_it_once_it_is_there(
    commands: Interrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labelled.csv").write_text("text,label\nfine,pos\n")

    def interrupting(send: Callable[..., JobHandle]) -> Callable[..., JobHandle]:
        def interrupted(*given: object, **named: object) -> JobHandle:
            signal.raise_signal(signal.SIGINT)
            return send(*given, **named)

        return interrupted

    for method in ("train", "sweep", "retry"):
        monkeypatch.setattr(Client, method, interrupting(getattr(Client, method)))
    training = ("echo", "--data", "labelled.csv", "--job-id")

    trained = commands.run("train", *training, "j1", "--detach")
    swept = commands.run("sweep", *training, "j2", "--set", "epochs=1,2")
    commands.run("classify", "texts.txt", "-m", "echo", "--detach", "--job-id", "j3")
    commands.run("jobs", "cancel", "j3")
    retried = commands.run("jobs", "retry", "j3")

    assert trained.status == swept.status == retried.status == 130
    assert trained.err.startswith("Cancelled job j1."), trained  # its data may be on their way
    assert swept.out.startswith("Cancelled job j2 with 0 of ")
    assert re.fullmatch(r"Cancelled job \S+ with 0 of [0-9]+ items done\.\n", retried.err), retried


def test_an_interrupt_while_a_job_is_handed_in_ends_the_wait_for_a_redis_that_is_away(
    empty_cluster: Cluster, commands: Interrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labelled.csv").write_text("text,label\nfine,pos\n")
    monkeypatch.setenv("SEQD_OUTAGE_S", "3600")

    def losing_redis(send: Callable[..., JobHandle]) -> Callable[..., JobHandle]:
        def interrupted(client: Client, *given: object, **named: object) -> JobHandle:
            client.workers()  # a server that has answered is waited for
            proxy.refuse()
            signal.raise_signal(signal.SIGTERM)
            return send(client, *given, **named)

        return interrupted

    for method in ("classify", "train"):
        monkeypatch.setattr(Client, method, losing_redis(getattr(Client, method)))
    told = "Interrupted while job j1 was handed in. Whether it is there: seqd jobs show j1\n"
    for command in (
        "train echo --data labelled.csv",
        "classify labelled.csv -m echo --detach",
    ):
        with TcpProxy(str(empty_cluster.commands.redis_url)) as proxy:
            monkeypatch.setenv("SEQD_REDIS_URL", proxy.url)
            ended = commands.run(*command.split(), "--job-id", "j1")

        assert ended == Ended(143, "", told), command


def test_sigterm_cancels_what_a_command_waits_for_whatever_command_it_is(
    commands: Interrupted, tmp_path: Path
) -> None:
    (tmp_path / "labelled.csv").write_text("text,label\nfine,pos\n")

    for command in ("classify labelled.csv -m echo", "models evaluate echo --data labelled.csv"):
        ended, state = commands.once_it_waits(*command.split())

        assert (ended.status, state) == (143, JobState.CANCELLED), command


def test_an_interrupt_is_obeyed_that_a_library_turns_into_an_error_of_its_own(
    commands: Interrupted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_pydantic_does(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as interrupt:
            raise ValueError(f"Error calling function: {interrupt!r}") from None

    monkeypatch.setattr(JobHandle, "result_lines", as_pydantic_does)

    ended = commands.run("classify", "texts.txt", "-m", "echo", "--out", "r.csv")

    assert ended.status == 143
    assert f"Cancelled job {commands.job.job_id}" in ended.out
    assert commands.job.record().state is JobState.CANCELLED
