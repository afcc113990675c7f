"""Runs the command line for tests: in this process, or as a program beside a running daemon."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from seqd.cli.app import app
from seqd.cli.completion import answer
from seqd.cli.exits import run
from seqd.local.endpoint import ENDPOINT_NAME, read_endpoint
from seqd.settings import Settings
from seqd_schemas import (
    Classification,
    ClassifyJob,
    Counts,
    FileSource,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobRecord,
    JobState,
    Priority,
)

START_TIMEOUT_S = 120.0

#: What moves a terminal's cursor, and colours its text.
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> object:
        return json.loads(self.out)


def here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run a command in this process."""
    status = status_of(*arguments)
    printed = capsys.readouterr()
    return Ended(status, printed.out, printed.err)


def shell_answered(capsys: pytest.CaptureFixture[str]) -> Ended:
    """Answer, in this process, what the variables of a shell's completion ask."""
    status = answer(lambda: app((), prog_name="seqd"), os.environ)
    return Ended(status, *capsys.readouterr())


def status_of(*arguments: str) -> int:
    """Run a command in this process, and return how it ended."""
    try:
        return run(lambda: app(arguments, prog_name="seqd"))
    except SystemExit as ended:
        return int(ended.code or 0)


def use_ledger(
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    *,
    columns: int = 200,
    has_store: bool = False,
) -> None:
    """Have commands of this process use the server and the names of a ledger, and its store."""
    monkeypatch.setenv("SEQD_REDIS_URL", str(settings.redis_url))
    monkeypatch.setenv("SEQD_PREFIX", settings.prefix)
    monkeypatch.setenv("COLUMNS", str(columns))
    if has_store:
        monkeypatch.setenv("SEQD_DATA_DIR", str(settings.data_dir))


def here_in(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Return what runs commands in this process, in a folder and on the data that it has.

    Each is given its words, and what it reads as `stdin`.
    """
    monkeypatch.setenv("SEQD_DATA_DIR", str(folder))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(folder)

    def run(*arguments: str, stdin: str | bytes = "") -> Ended:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        with io.TextIOWrapper(io.BytesIO(content)) as pipe:
            monkeypatch.setattr("sys.stdin", pipe)
            return here(capsys, *arguments)

    return run


def records_in(text: str) -> list[dict[str, Any]]:
    """Return the records of JSON Lines."""
    return [json.loads(line) for line in text.splitlines()]


def last_line_of(drawn: str) -> str:
    """Return the last line of a terminal that was drawn on, without its colours."""
    return [line for line in _ESCAPES.sub("", drawn).splitlines() if line.strip()][-1]


def clean_environment(**variables: str) -> dict[str, str]:
    """Return this process's variables without anybody's settings, and with the given ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEQD_")}
    return kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | variables


@dataclass(frozen=True)
class Installation:
    """A data folder, and the commands run on it."""

    data_dir: Path
    #: Of the daemon and the commands, beside those of the folder.
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return clean_environment(**{"SEQD_DATA_DIR": str(self.data_dir), **self.variables})

    def port_url(self) -> str:
        """Return the address of the port on which its server listens, too."""
        endpoint = read_endpoint(self.data_dir / "redis" / ENDPOINT_NAME)
        assert endpoint is not None and endpoint.port_url is not None
        return endpoint.port_url

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "seqd", *arguments],
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.data_dir,
        )

    def seqd(self, *arguments: str, stdin: str | None = None) -> Ended:
        program = self.start(*arguments)
        try:
            out, err = program.communicate(stdin, timeout=240)
        except subprocess.TimeoutExpired:
            program.kill()
            raise
        return Ended(program.returncode, out, err)


@contextmanager
def running_daemon(data_dir: Path, *options: str, **variables: str) -> Iterator[Installation]:
    """Run `seqd up` in a folder until the block ends; its log is `up.log` there."""
    installation = Installation(data_dir, variables)
    log = data_dir / "up.log"
    with log.open("w") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "seqd", "up", *options],
            env=installation.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while "Ready after" not in log.read_text():
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield installation
    finally:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(timeout=120)
        except subprocess.TimeoutExpired:
            up.kill()
            up.wait()
    assert up.returncode == 0, log.read_text()


def a_success(
    custom_id: str = "a", label: str = "positive", score: float = 0.9, *, uncertain: bool = False
) -> ItemSuccess:
    output = Classification(label=label, score=score, truncated=False, uncertain=uncertain)
    return ItemSuccess(custom_id=custom_id, output=output)


def a_failure(
    custom_id: str = "b",
    message: str = "text is empty.",
    code: ItemErrorCode = ItemErrorCode.INVALID_INPUT,
) -> ItemFailure:
    return ItemFailure(custom_id=custom_id, error=ItemError(code=code, message=message))


def a_record(**changes: object) -> JobRecord:
    """A classification of four items by version 0, which runs."""
    record = JobRecord(
        job_id="j1",
        kind="classify",
        model="imdb_lstm",
        version=0,
        state=JobState.RUNNING,
        counts=Counts(total=4, processing=4),
        sealed=True,
        unit_items=512,
        units=1,
        units_done=0,
        priority=Priority.NORMAL,
        tenant="default",
        created_at_ms=1,
        job=ClassifyJob(model="imdb_lstm", source=FileSource(path="/data/reviews.jsonl")),
    )
    return record.model_copy(update=changes)
