"""Files in and out of commands on a real ledger: forms, pipes, full disks, interrupts, --resume."""

import json
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from cli_builders import Ended, clean_environment, here, here_in
from seqd.client import JobHandle
from seqd.ledger import Ledger, connect
from seqd_schemas import JobState
from top_builders import on_a_terminal
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _on_the_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(cluster).items():
        monkeypatch.setenv(name, value)


def variables(cluster: Cluster) -> dict[str, str]:
    assert cluster.settings.redis_url is not None
    prefix = cluster.settings.prefix
    return {"SEQD_REDIS_URL": cluster.commands.redis_url, "SEQD_PREFIX": prefix, "COLUMNS": "200"}


class Commands:
    """Commands in a folder, as programs or in this process; programs that are left are ended."""

    def __init__(self, cluster: Cluster, folder: Path, run: Callable[..., Ended]) -> None:
        self._environment = clean_environment(**variables(cluster))
        self.folder = folder
        #: Runs a command in this process; it is given what it reads as `stdin`.
        self.run = run
        self._programs: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, shell: str = "") -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "seqd", *arguments]
        program = subprocess.Popen(
            ["/bin/sh", "-c", f'{shell}; exec "$@"', "sh", *command] if shell else command,
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._programs.append(program)
        return program

    def run_on_a_full_disk(self, *arguments: str) -> Ended:
        return ended(self.start(*arguments, shell="ulimit -f 8"))

    def close(self) -> None:
        for program in self._programs:
            if program.poll() is None:
                program.kill()
            program.communicate()


def ended(program: "subprocess.Popen[str]") -> Ended:
    out, err = program.communicate(timeout=120)
    return Ended(program.returncode, out, err)


@pytest.fixture
def commands(
    cluster: Cluster,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Commands]:
    started = Commands(cluster, tmp_path, here_in(tmp_path, capsys, monkeypatch))
    yield started
    started.close()


def a_csv(folder: Path, rows: int = 200) -> Path:
    path = folder / "reviews.csv"
    lines = "".join(f"id-{number},text {number},{number % 6}\n" for number in range(rows))
    path.write_text(f"id,text,stars\n{lines}")
    return path


def a_csv_that_is_held(folder: Path, rows: int = 200) -> str:
    """Name a file whose last row is not done before the plugin is cured."""
    path = a_csv(folder, rows)
    path.write_text(path.read_text().replace(f"text {rows - 1},", "held,"))
    return path.name


def noted_job(cluster: Cluster, out: Path) -> JobHandle:
    """Return the job of a command that writes a file, once it is there."""
    note = out.with_name(f".{out.name}.job")
    wait_until(note.exists, "the job is noted")
    job = cluster.client().job(json.loads(note.read_text())["job_id"])
    wait_until(lambda: any(one.job_id == job.job_id for one in cluster.client().jobs(50)), "a job")
    return job


def half_done(commands: Commands, cluster: Cluster, *arguments: str) -> JobHandle:
    """Return the job of a command that is in the middle of its items, and has all of a file."""
    out = Path(arguments[arguments.index("--out") + 1])
    job = noted_job(cluster, commands.folder / out)
    wait_until(lambda: job.record().counts.done > 0, "some items are done")
    if "-" not in arguments:
        wait_until(lambda: job.record().sealed, "the input is complete")
    return job


def give(program: "subprocess.Popen[str]", text: str) -> None:
    """Write to a program's input, which stays open."""
    assert program.stdin is not None
    program.stdin.write(text)
    program.stdin.flush()


def texts_of(count: int, first: int = 0) -> str:
    return "".join(f"text {number}\n" for number in range(first, first + count))


def ids_in(path: Path) -> list[str]:
    return [line.partition(",")[0] for line in path.read_text().splitlines()[1:]]


def all_ids(rows: int = 200) -> list[str]:
    return [f"id-{number}" for number in range(rows)]


def test_a_pipe_that_ends_late_has_results_before(commands: Commands) -> None:
    program = commands.start("classify", "-", "-m", "echo")
    assert program.stdout is not None

    give(program, texts_of(2_000))
    first = json.loads(program.stdout.readline())
    give(program, "the last\n")
    done = ended(program)

    assert first["custom_id"] == "line-1"
    assert done.status == 0, done.err
    assert json.loads(done.out.splitlines()[-1])["output"]["label"] == "the last"


def test_a_small_job_that_lasts_is_named_on_a_terminal(cluster: Cluster, cure: Path) -> None:
    words = ("classify", "--text", "held", "-m", "echo")
    with on_a_terminal(words, variables(cluster)) as terminal:
        terminal.until_shown(". Ctrl-C cancels it; --detach-on-interrupt would leave")
        cure.touch()

        assert terminal.end() == 0

    assert terminal.written.count(b"Ctrl-C cancels it") == 1


def test_a_killed_command_is_resumed_with_no_result_twice_and_none_missing(
    commands: Commands, cluster: Cluster, cure: Path, tmp_path: Path
) -> None:
    source = a_csv_that_is_held(tmp_path)
    arguments = ("classify", source, "-m", "echo", "--out", "r.csv", "--keep", "stars")
    program = commands.start(*arguments)
    job = half_done(commands, cluster, *arguments)

    program.kill()
    program.wait()
    left = sorted(path.name for path in tmp_path.iterdir())
    cure.touch()
    resumed = commands.run(*arguments, "--resume")

    assert left == [".r.csv.job", ".r.csv.part", ".r.errors.csv.part", "reviews.csv"]
    assert resumed.status == 0, resumed.err
    assert ids_in(tmp_path / "r.csv") == all_ids()
    assert (tmp_path / "r.csv").read_text().splitlines()[8] == "id-7,1,text 7,1.0"
    assert job.record().state is JobState.COMPLETED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.csv", "reviews.csv"]


def test_an_interrupt_that_comes_when_the_job_has_completed_says_how_its_output_is_written(
    commands: Commands, cluster: Cluster, cure: Path, tmp_path: Path
) -> None:
    arguments = ("classify", a_csv_that_is_held(tmp_path), "-m", "echo", "--out", "r.csv")
    program = commands.start(*arguments)
    job = half_done(commands, cluster, *arguments)

    program.send_signal(signal.SIGSTOP)
    cure.touch()
    job.wait()
    program.terminate()
    program.send_signal(signal.SIGCONT)
    stopped = ended(program)
    resumed = commands.run(*arguments, "--resume")

    assert stopped.status == 143
    assert stopped.out.splitlines()[-1] == (
        f"Job {job.job_id} had already completed by then. Go on: the same command with --resume."
    )
    assert resumed.status == 0, resumed.err
    assert ids_in(tmp_path / "r.csv") == all_ids()


@pytest.mark.parametrize(
    ("options", "number", "status", "state", "said"),
    [
        (
            ("--detach-on-interrupt",),
            signal.SIGTERM,
            143,
            JobState.RUNNING,
            "Job {job} waits for the rest of its input, for 15 minutes, and fails without it. Go "
            "on: the same command with --resume.",
        ),
        (
            (),
            signal.SIGINT,
            130,
            JobState.CANCELLED,
            "Not all of its input had been sent: the same command with --resume begins anew. With "
            "--detach-on-interrupt it would go on where it was.",
        ),
    ],
    ids=["detached", "cancelled"],
)
def test_an_interrupted_pipe_does_not_hold_the_command_which_says_how_to_go_on(
    commands: Commands,
    cluster: Cluster,
    options: tuple[str, ...],
    number: signal.Signals,
    status: int,
    state: JobState,
    said: str,
) -> None:
    arguments = ("classify", "-", "-m", "echo", "--out", "r.jsonl", *options)
    program = commands.start(*arguments)
    give(program, texts_of(2_000))
    job = half_done(commands, cluster, *arguments)

    program.send_signal(number)
    program.wait(timeout=120)  # while the pipe is open

    stopped = ended(program)
    record = job.record()
    assert (stopped.status, record.state) == (status, state), (stopped, record.failure)
    assert said.format(job=job.job_id) in stopped.out.splitlines()
    job.cancel()


def test_an_upload_that_waits_for_the_workers_does_not_hold_an_interrupted_command(
    commands: Commands, cluster: Cluster, tmp_path: Path
) -> None:
    texts = "\n".join(secrets.token_hex(500) for _ in range(400))  # more than may wait
    (tmp_path / "much.txt").write_text(texts)
    arguments = ("classify", "much.txt", "-m", "echo", "--set", "delay_ms=200", "--out", "r.csv")
    small = "export SEQD_MAX_PENDING_BYTES=65536"
    program = commands.start(*arguments, "--detach-on-interrupt", shell=small)
    job = noted_job(cluster, tmp_path / "r.csv")
    wait_until(lambda: job.record().counts.done > 0, "some items are done")

    program.send_signal(signal.SIGINT)
    stopped = ended(program)

    assert stopped.status == 130
    assert f"Job {job.job_id} waits for the rest of its input, for 15 minutes" in stopped.out
    assert not job.record().sealed  # it was not sent to its end first
    job.cancel()


@pytest.mark.parametrize(
    "words",
    [("jobs", "list"), ("jobs", "list", "--json"), ("plugins", "list", "--json")],
    ids=" ".join,
)
def test_a_view_whose_reader_has_gone_ends_with_the_status_of_that(
    commands: Commands, words: tuple[str, ...]
) -> None:
    program = commands.start(*words)
    assert program.stdout is not None
    assert program.stderr is not None

    program.stdout.close()
    program.stdout = None

    assert (program.stderr.read(), program.wait(timeout=120)) == ("", 141)


@pytest.mark.parametrize(
    ("options", "state"),
    [
        (("--out", "-"), JobState.CANCELLED),
        (("--detach-on-interrupt",), JobState.RUNNING),
    ],
    ids=["cancelled", "detached"],
)
def test_a_reader_that_has_had_enough_is_taken_as_ctrl_c(
    commands: Commands, cluster: Cluster, options: tuple[str, ...], state: JobState
) -> None:
    source = a_csv_that_is_held(commands.folder, 2_000)
    program = commands.start("classify", source, "-m", "echo", *options)
    assert program.stdout is not None
    assert program.stderr is not None

    program.stdout.readline()
    program.stdout.close()
    program.stdout = None
    said = program.stderr.read().splitlines()
    status = program.wait(timeout=120)

    job = cluster.client().job(cluster.client().jobs(1)[0].job_id)
    assert (status, job.record().state) == (141, state)
    assert "Nobody reads the output any more." in said
    if state is JobState.RUNNING:
        job.cancel()
        assert said[-1].startswith(f"Watch it: seqd jobs watch {job.job_id}.")
    else:
        assert re.fullmatch(rf"Cancelled job {job.job_id} with [\d,]+ of [\d,]+ items.*", said[-2])
        assert said[-1] == f"What was done: seqd jobs results {job.job_id}"


def test_a_command_whose_job_lacks_input_or_is_not_kept_begins_anew_and_says_no_more_than_that(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, note = tmp_path / "r.csv", tmp_path / ".r.csv.job"
    arguments = ("classify", str(a_csv(tmp_path)), "-m", "echo", "--out", str(out))
    client = cluster.client()
    cancelled, abandoned = (
        client.classify((f"text {n}" for n in count()), model="echo") for _ in range(2)
    )
    cancelled.cancel()
    abandoned.let_go()
    with connect(str(cluster.settings.redis_url)) as redis:
        ledger = Ledger(redis, cluster.settings)
        ledger.control.fail_abandoned(0.0, ledger.fleet.now_ms() + 60_000)
    failure = abandoned.record().failure

    said = {}
    for job_id, option in (
        (abandoned.job_id, "--resume"),
        (cancelled.job_id, "--force"),
        ("nobody-has-this", "--force"),
    ):
        note.write_text(json.dumps({"job_id": job_id}))
        said[job_id] = here(capsys, *arguments, option).err
        assert ids_in(out) == all_ids()

    assert failure is not None
    assert failure.code == "upload_abandoned"
    for job_id, state in ((abandoned.job_id, "failed"), (cancelled.job_id, "cancelled")):
        assert said[job_id].splitlines()[0] == (
            f"Job {job_id} is {state} and did not have all of its input: it begins anew."
        )
    assert "resume" not in "".join(said.values())


@pytest.mark.parametrize("key", [(), ("--idempotency-key", "k")], ids=["its own", "one there"])
def test_a_command_that_is_not_resumed_begins_anew_and_says_what_it_leaves(
    commands: Commands, cluster: Cluster, tmp_path: Path, key: tuple[str, ...]
) -> None:
    command = ("classify", a_csv(tmp_path).name, "-m", "echo", *key)
    if key:
        assert commands.run(*command, "--detach").status == 0
    arguments = (*command, "--out", "r.jsonl")
    full = commands.run_on_a_full_disk(*arguments)
    job_id = re.search(r"Job (\S+) keeps its results", full.err)
    assert job_id is not None, full.err
    job = cluster.client().job(job_id[1])
    if job.record().sealed:
        job.wait()
    state = job.record().state

    again = commands.run(*arguments)

    assert again.status == 0
    assert again.err.splitlines()[0] == (
        f"Job {job_id[1]}, noted for this output, is {state}: with its input, --resume would "
        "have gone on with it."
    )


@pytest.mark.parametrize("rows", [200, 5_000], ids=["of one request", "of several"])
def test_a_full_disk_loses_nothing_and_another_input_is_refused_until_that_of_before_is_back(
    commands: Commands, cluster: Cluster, tmp_path: Path, rows: int
) -> None:
    source = a_csv(tmp_path, rows)
    arguments = ("classify", source.name, "-m", "echo", "--out", "r.jsonl")

    full = commands.run_on_a_full_disk(*arguments)
    left = sorted(path.name for path in tmp_path.iterdir())

    job_id = re.search(r"Job (\S+) keeps its results", full.err)
    assert job_id is not None, full.err
    assert full.status == 2
    assert full.err.splitlines()[-1] == (
        "error[output_unwritable]: --out is 'r.jsonl', which cannot be written (File too large). "
        "Name a file in a folder that exists, is yours, and has room. "
        f"Job {job_id[1]} keeps its results. Go on: the same command with --resume, or elsewhere: "
        f"seqd jobs results {job_id[1]} --out FILE"
    )
    assert left == [".r.jsonl.job", "reviews.csv"]

    job = cluster.client().job(job_id[1])
    if job.record().sealed:
        job.wait()
    whole = source.read_text()
    source.write_text(whole.replace("text 0,", "TEXT 0,"))
    another = commands.run(*arguments, "--resume")
    source.write_text(whole)
    resumed = commands.run(*arguments, "--resume")

    assert another.status == 2
    # By its digest where the job has all of it, by the request that it makes where it has not.
    refused = (
        r"error\[invalid_input\]: (the input, the model or an option is another|.* is not the)"
    )
    assert re.search(refused, another.err)
    assert (": if this input is its own, its results are" in another.err) == (rows == 5_000)
    assert f"seqd jobs results {job_id[1]}" in another.err or rows == 200
    assert resumed.status == 0, resumed.err
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == rows
    assert job.record().state is JobState.COMPLETED


def test_a_cancelled_job_is_resumed_by_the_same_command_with_the_same_input_alone(
    commands: Commands, cluster: Cluster, cure: Path, tmp_path: Path
) -> None:
    command, out = ("classify", "-", "-m", "echo"), ("--out", "r.csv")
    program = commands.start(*command, *out)
    held = f"{texts_of(149)}held\n"
    give(program, held)
    assert program.stdin is not None
    program.stdin.close()
    program.stdin = None
    job = noted_job(cluster, tmp_path / "r.csv")
    wait_until(lambda: job.record().sealed, "the input is complete")
    program.send_signal(signal.SIGINT)
    stopped = ended(program)

    refused = [
        commands.run(*command, *changed, *out, "--resume", stdin=stdin)
        for changed, stdin in (
            ((), texts_of(150, first=1)),
            ((), "text 0\n"),
            (("--set", "note=another"), held),
            (("-m", "echo@latest"), held),
        )
    ]
    left = sorted(path.name for path in tmp_path.iterdir())
    cure.touch()
    resumed = commands.run(*command, *out, "--resume", stdin=held)

    assert stopped.status == 130, stopped.err
    assert re.search(rf"Cancelled job {job.job_id} with \d+ of 150 items done\.", stopped.out)
    assert stopped.out.splitlines()[-1] == "Go on: the same command with --resume."
    assert {(one.status, one.err) for one in refused} == {
        (
            2,
            "error[invalid_input]: the input, the model or an option is another than in the "
            f"command that is to be resumed, whose job is {job.job_id}. Begin anew: the same "
            "command without --resume\n",
        )
    }
    assert left == [".r.csv.job"]
    assert resumed.status == 0, resumed.err
    assert f"does what job {job.job_id} has left undone." in resumed.err
    assert (tmp_path / "r.csv").read_text().splitlines()[1:] == [
        *(f"line-{number + 1},text {number},1.0" for number in range(149)),
        "line-150,held,1.0",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_a_folder_of_input_may_hold_the_output_but_no_label_of_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("neg/0.txt", "pos/0.txt", "pos/1.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"a text of {name}")
    (tmp_path / "other").mkdir()

    within = here(capsys, "classify", ".", "-m", "echo", "--out", "r.jsonl")
    in_label = here(capsys, "classify", ".", "-m", "echo", "--out", "pos/r.jsonl")
    monkeypatch.chdir(tmp_path / "other")
    without_labels = here(capsys, "classify", ".", "-m", "echo", "--out", "r.jsonl")

    assert within.status == 0, within.err
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert [json.loads(one)["custom_id"] for one in lines] == ["neg/0", "pos/0", "pos/1"]
    assert in_label == Ended(
        2,
        "",
        "error[invalid_request]: --out is 'pos/r.jsonl', which is in a label folder of the input; "
        "name a file outside of it\n",
    )
    assert without_labels.err.endswith(
        f"{tmp_path}/other holds no LABEL/*.txt, such as pos/0_9.txt; that is what is due here\n"
    )
