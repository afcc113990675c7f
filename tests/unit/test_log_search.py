"""What `seqd logs` finds in logs: of a job, of a worker, in text and JSON, also set aside."""

import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from cli_builders import here
from seqd.local.log_search import MAX_LINES_BEHIND, LogSearch, Wanted

DAY = "2026-11-27"


def a_line(second: int, message: str, level: str = "INFO") -> str:
    return f"{DAY} 08:00:{second:02},000 {level} seqd.test {message}"


def a_json_line(second: int, message: str, **fields: object) -> str:
    at = f"{DAY}T08:00:{second:02}.000"
    return json.dumps(
        {"at": at, "level": "ERROR", "logger": "seqd.x", "message": message, **fields}
    )


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    return path


def found(folder: Path, **wanted: object) -> list[str]:
    search = LogSearch([folder], Wanted(**wanted))
    return [f"{record.source} {record.message}" for record in search.records()]


def test_the_lines_of_a_job_come_from_all_logs_by_time(tmp_path):
    write(tmp_path, "cpu-0.log.1", a_line(1, "first job=j1"), a_line(2, "job=j2"))
    write(tmp_path, "cpu-0.log", a_line(5, "last job=j1 unit=2"), a_line(6, "job=j11 job=aj1"))
    write(tmp_path, "cpu-1.log", a_json_line(3, "third", job="j1"), a_json_line(4, "x", job="j2"))
    write(tmp_path, "cpu-1.log", a_json_line(4, "fourth", jobs=["j0", "j1"]))
    write(tmp_path, "notes.txt", a_line(1, "job=j1"))

    assert found(tmp_path, job="j1") == [
        "cpu-0 first job=j1",
        "cpu-1 third",
        "cpu-1 fourth",
        "cpu-0 last job=j1 unit=2",
    ]


def test_the_lines_of_a_traceback_come_with_their_record_and_are_bounded(tmp_path):
    behind = [f"  line {number}" for number in range(1_000)]
    write(tmp_path, "cpu-0.log", a_line(1, "failed job=j1"), *behind, a_line(2, "other"))
    write(tmp_path, "cpu-1.log", a_json_line(3, "failed", job="j1", exception=["ValueError: no"]))

    first, second = LogSearch([tmp_path], Wanted("j1")).records()

    assert first.lines == behind[:MAX_LINES_BEHIND]
    assert second.lines == ["  ValueError: no"]


def test_the_lines_of_a_worker_are_those_behind_its_start(tmp_path):
    starts = [f"worker starts: worker=cpu-0@here-00000{n} slot=cpu:0 host=here" for n in (1, 2)]
    write(
        tmp_path,
        "cpu-0.log",
        a_line(1, starts[0]).replace("seqd.test", "seqd.worker.node"),
        a_line(2, "of the first"),
        a_line(3, starts[1]).replace("seqd.test", "seqd.worker.node"),
        a_line(4, f"of the second {starts[0]}"),
    )
    write(tmp_path, "cpu-1.log", a_json_line(5, "other", worker="cpu-1@here-000003", slot="cpu:1"))

    assert found(tmp_path, worker="cpu-0@here-000001")[1:] == ["cpu-0 of the first"]
    assert len(found(tmp_path, worker="cpu-0@here-000002")) == 2
    assert len(found(tmp_path, worker="cpu:0")) == 4
    assert found(tmp_path, worker="cpu:1") == found(tmp_path, worker="cpu-1") == ["cpu-1 other"]


def test_new_lines_are_found_also_where_the_log_is_set_aside_meanwhile(tmp_path):
    log = write(tmp_path, "cpu-0.log", a_line(1, "one job=j1"))
    search = LogSearch([tmp_path], Wanted("j1"))

    def messages() -> list[str]:
        # A record ends with the next one, or with a look that finds nothing new.
        return [one.message for _ in range(2) for one in search.new_records()]

    assert [one.message for one in search.records()] == ["one job=j1"]
    assert messages() == []
    write(tmp_path, "cpu-0.log", a_line(2, "two job=j1"), a_line(3, "three job=j2"))
    assert messages() == ["two job=j1"]
    write(tmp_path, "cpu-0.log", a_line(4, "four job=j1"))
    log.rename(tmp_path / "cpu-0.log.1")
    write(tmp_path, "cpu-0.log", a_line(5, "five job=j1"))
    write(tmp_path, "cpu-1.log", a_line(6, "six job=j1"))
    assert messages() == ["four job=j1", "five job=j1", "six job=j1"]


@hypothesis.given(
    st.lists(
        st.binary(max_size=80)
        | st.just(b'{"at": "", "jobs": 1, "exception": 2}')
        | st.just(b"[" * 9_999)
    )
)
@hypothesis.settings(hypothesis.settings.get_profile("quick"))
def test_whatever_a_log_holds_it_is_read(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("logs")
    (folder / "cpu-0.log").write_bytes(b"\n".join([*lines, a_line(1, "end job=j1").encode()]))

    assert found(folder, job="j1")[-1] == "cpu-0 end job=j1"


@pytest.mark.parametrize("job", [(), ("j1",)])
def test_the_command_says_how_to_read_the_journal_where_it_has_found_no_log(
    tmp_path, capsys, monkeypatch, job
):
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    missing = here(capsys, "logs", *job)
    (tmp_path / "logs").mkdir()
    empty = here(capsys, "logs", *job)

    command = "`journalctl -u 'seqd*' --grep j1` under systemd" if job else "-u 'seqd*'` under"
    assert (missing.status, empty.status) == (2, 0)
    assert command in missing.err
    assert command in empty.err


def test_a_worker_that_is_in_no_log_is_refused_with_those_that_are(tmp_path, capsys):
    write(tmp_path, "cpu-0.log", a_json_line(1, "one", worker="cpu-0@here-000001", slot="cpu:0"))

    unknown = here(capsys, "logs", "--worker", "cpu:1", "--folder", str(tmp_path))
    quiet = here(
        capsys, *("logs", "--worker", "cpu:0", "--folder", str(tmp_path), "--level", "critical")
    )

    assert (unknown.status, quiet.status) == (2, 0)
    assert (
        "error[unknown_worker]: No log that was read is of a worker or slot 'cpu:1'. Did you mean "
        "'cpu:0'? There are: cpu-0, cpu-0@here-000001, cpu:0. `seqd up` writes logs to "
    ) in unknown.err


def test_the_command_prints_the_log_in_front_and_escapes_what_a_log_holds(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("SEQD_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    (tmp_path / "logs").mkdir()
    write(tmp_path / "logs", "cpu-0.log", a_line(1, "job=j1 \x1b[2J redis://me:secret@here/0"))
    write(tmp_path / "logs", "train-cpu.log", a_json_line(2, "failed", job="j1", unit="3"))

    ended = here(capsys, "logs", "j1")
    as_json = here(capsys, "logs", "j1", "--json", "--level", "error")

    assert ended.out.splitlines() == [
        f"cpu-0      {DAY} 08:00:01,000 INFO seqd.test job=j1 \\x1b[2J redis://me:***@here/0",
        f"train-cpu  {DAY} 08:00:02,000 ERROR seqd.x failed job=j1 unit=3",
    ]
    read, unknown = ended.err.splitlines()
    assert read == f"2 records. Read: 2 files of 2 logs in {tmp_path}/logs."
    assert unknown.startswith("Which workers had the job is not known: ")
    printed = json.loads(as_json.out)
    assert (printed["message"], printed["log"], printed["unit"]) == ("failed", "train-cpu", "3")


def test_no_password_is_printed_whatever_field_of_a_line_has_it(capsys, tmp_path):
    url = "redis://ana:secret@h:6379/0"
    write(tmp_path, "cpu-0.log", a_json_line(1, url, url=url, jobs=["j1", url], exception=url))

    printed = [here(capsys, "logs", "--folder", str(tmp_path), *more) for more in ([], ["--json"])]

    assert all("redis://" in one.out and "secret" not in one.out for one in printed)


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_times_at_the_ends_of_the_calendar_are_printed(capsys, tmp_path, options):
    times = ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "9999-12-30T23:59:59")
    lines = (json.dumps({"at": at, "message": "job=j1", "logger": "x"}) for at in times)
    write(tmp_path, "cpu-0.log", *lines)

    ended = here(capsys, "logs", "--folder", str(tmp_path), *options)

    assert (ended.status, len(ended.out.splitlines())) == (0, 3), ended.err
    assert "9999-12-30" in ended.out and "1970" not in ended.out
