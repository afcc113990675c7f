"""`seqd status` and `seqd jobs list` of many jobs and of several tenants, on a real ledger."""

import json
import re
import time

import pytest

from builders import a_chunk, a_classify_job, a_train_job, a_worker_status
from cli_builders import here, use_ledger
from ledger_fixtures import CLASSIFY, Environment
from seqd import __version__

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def _commands_use_the_ledger(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    use_ledger(monkeypatch, environment.settings)


def test_status_lists_ten_open_jobs_and_says_how_many_more_there_are(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        environment.submit_units(1, job_id=f"j{number:02}")

    shown = here(capsys, "status").out.splitlines()
    read = json.loads(here(capsys, "status", "--json").out)

    assert sum(line.startswith("j") and line[1:3].isdigit() for line in shown) == 10
    assert "and 2 more: seqd jobs list" in shown
    assert len(read["open_jobs"]) == 12


def test_work_that_is_left_stands_as_in_the_table_of_queues_and_whether_any_can_do_it(
    environment: Environment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    environment.ledger.backlog.note_rate(f"{CLASSIFY}@3", items=10, seconds=462.5)
    environment.submit_units(2)
    environment.submit(a_train_job(), version=None, sealed=True)

    alone = _queues(here(capsys, "status").out)
    served = a_worker_status(worker="w1", versions={"imdb_lstm": (3,)})
    environment.ledger.fleet.publish_worker(served, ttl_s=60)
    environment.claim_unit("w1", (CLASSIFY,))
    beside = _queues(here(capsys, "status").out)

    train = ["train", "imdb_lstm", "nobody can run it", "1", "~10:00", "never"]
    assert alone == [["classify", "imdb_lstm", "nobody can run it", "4", "3:05", "never"], train]
    assert beside == [["classify", "imdb_lstm", "moving", "2", "3:05", "3:05"], train]


def _queues(shown: str) -> list[list[str]]:
    """Return task, model, state, what waits, what is left and when it ends of each queue."""
    lines = shown.splitlines()
    names, *rows = lines[next(n for n, line in enumerate(lines) if line.startswith("task ")) :]
    wanted = [re.split("  +", names).index(name) for name in _OF_QUEUES]
    cells = [re.split("  +", row) for row in rows if row.startswith(("classify ", "train "))]
    return [[row[at] for at in wanted] for row in cells]


_OF_QUEUES = ("task", "model", "state", "waiting", "work left", "ends in")


def test_status_says_when_no_worker_is_of_the_commands_release(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for number, version in enumerate(("0.0.1", __version__)):
        worker = a_worker_status(worker=f"w{number}", seqd_version=version)
        environment.ledger.fleet.publish_worker(worker, ttl_s=60)
        said.append(here(capsys, "status").out)

    line = f"The workers are of seqd 0.0.1, this command of {__version__}: docker/upgrade.md\n"
    assert [line in shown for shown in said] == [True, False]


def test_ages_are_by_the_servers_clock_whatever_this_machines_says(
    environment: Environment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = environment.ledger.fleet.now_ms()
    worker = a_worker_status(worker="w1", started_at_ms=now_ms, seen_at_ms=now_ms)
    environment.ledger.fleet.publish_worker(worker, ttl_s=60)
    environment.submit_units(1, job_id="j1")
    monkeypatch.setattr(time, "time_ns", lambda: (now_ms + 3_600_000) * 1_000_000)

    status = here(capsys, "status").out.splitlines()
    listed = here(capsys, "jobs", "list").out.splitlines()

    rows = [line for line in (*status, *listed) if line.startswith(("w1 ", "j1 "))]
    assert len(rows) == 3
    assert all(re.search(r" [0-9] s$", row) for row in rows), rows


def test_status_counts_what_had_to_make_room(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"memory": 1_200, "within_hour": 40}
    environment.redis.hset(environment.keys.evictions(), mapping=counts)

    shown = here(capsys, "status").out
    read = json.loads(here(capsys, "status", "--json").out)

    assert (
        "Ended jobs removed before their time, to make room: 0 of tenants that kept too much, "
        "1,200 when Redis was short of memory; 40 of them within an hour of their end"
    ) in " ".join(shown.split())
    assert read["evicted_jobs"] == {"tenant_kept_bytes": 0, "memory": 1_200, "within_hour": 40}


def test_a_limit_that_somebody_has_written_by_hand_is_told_in_a_sentence(
    environment: Environment,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment.redis.hset(environment.keys.limits(), "memory_share", "much")

    ended = here(capsys, "status")

    assert ended.status == 0
    assert caplog.messages == [
        f"memory_share of {environment.keys.limits()} in Redis is b'much', which is no number: "
        "nothing is refused for want of memory until a worker starts"
    ]


def test_the_tenants_of_jobs_are_listed_where_there_are_several(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.submit_units(1, a_classify_job(tenant="acme"), job_id="j1")
    alone = here(capsys, "jobs", "list").out.splitlines()
    environment.submit_units(1, a_classify_job(tenant="shop"), job_id="j2")
    beside = here(capsys, "jobs", "list").out.splitlines()
    status = here(capsys, "status").out.splitlines()

    assert "tenant" not in alone[0].split()
    assert beside[0].split()[:3] == ["job", "tenant", "kind"]
    assert [line.split()[:2] for line in beside[1:3]] == [["j2", "shop"], ["j1", "acme"]]
    assert beside[0] in status


def test_the_list_of_jobs_tells_an_upload_that_is_not_complete_and_one_that_was_abandoned(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = environment.submit(chunk=a_chunk(), job_id="silent")
    environment.submit(chunk=a_chunk(), job_id="sending")
    now_ms = environment.ledger.fleet.now_ms()
    environment.redis.zadd(environment.keys.uploads(), {silent: now_ms - 900_001})
    environment.ledger.control.fail_abandoned(900.0, now_ms)

    listed = here(capsys, "jobs", "list").out.splitlines()

    rows = {line.split()[0]: line for line in listed[1:]}
    assert "failed: upload_abandoned" in rows["silent"]
    assert "0/2, upload not complete" in rows["silent"]
    assert "0/2, upload not complete" in rows["sending"]


def test_an_empty_list_says_whether_nothing_is_there_or_nothing_matches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = [
        here(capsys, *command).out
        for command in (
            ("audit",),
            ("audit", "--who", "ops"),
            ("failures", "list"),
            ("failures", "list", "--each"),
            ("failures", "list", "--model", "echo"),
        )
    ]

    assert said == [
        "Nobody has changed anything that is still written down.\n",
        "No act is written down that matches.\n",
        "There are no dead letters.\n",
        "There are no dead letters.\n",
        "There are no dead letters that match.\n",
    ]
