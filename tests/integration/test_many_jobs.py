"""Jobs that are counted and steered by a filter: in steps, whatever happens between two of them."""

import asyncio
import io
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from async_builders import run
from builders import a_chunk, a_classify_job
from cli_builders import Ended, here, use_ledger
from ledger_fixtures import Environment
from seqd.admission import Admitted
from seqd.client import AsyncClient, Client, JobsActedOn
from seqd.errors import InvalidRequest
from seqd.ledger import connect
from seqd.ledger.job_filter import job_filter
from seqd.ledger.many_jobs import ACTED_AT_ONCE, LOOKED_AT_ONCE, Selection
from seqd.ledger.submissions import BatchTemplate
from seqd_schemas import JobAction, JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

Run = Callable[..., Ended]


def hand_in(environment: Environment, count: int, tenant: str = "acme") -> None:
    """Hand in jobs of one item each, in few round trips."""
    template = BatchTemplate(a_classify_job(tenant=tenant), Admitted(3, 2), "")
    jobs = ((f"{tenant}-{n}", a_chunk(1)) for n in range(count))
    environment.ledger.submissions.submit_each(template, jobs)


@pytest.fixture
def client(environment: Environment) -> Iterator[Client]:
    with Client(settings=environment.settings) as opened:
        yield opened


@pytest.fixture
def command(
    environment: Environment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run a command on this ledger, without a terminal."""
    use_ledger(monkeypatch, environment.settings, columns=80, has_store=True)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return lambda *words: here(capsys, "jobs", *words)


def test_two_thousand_jobs_are_paused_resumed_cancelled_and_removed_by_a_filter(
    environment: Environment, client: Client
) -> None:
    hand_in(environment, 2_000)
    hand_in(environment, 30, "other")
    steps: list[int] = []

    counted = client.count_jobs("pause", tenant="acme")
    paused = client.pause_jobs(id_begins="acme-", on_step=lambda at: steps.append(at.acted_on))
    left = environment.redis.hgetall(environment.keys.work_left())
    resumed = client.resume_jobs(tenant="acme", model="imdb_lstm@3")
    cancelled = client.cancel_jobs(tenant="acme", states=["queued", "completed"])
    removed = client.remove_jobs(tenant="acme")

    assert counted.groups == {("queued", "imdb_lstm", "acme"): 2_000}
    assert [one.acted_on for one in (paused, resumed, cancelled, removed)] == [2_000] * 4
    assert max(b - a for a, b in zip([0, *steps], steps, strict=False)) <= 32
    assert left == environment.redis.hgetall(environment.keys.work_left())
    assert left == {b"classify.imdb_lstm@3": b"30"}
    assert {record.state for record in environment.ledger.jobs.newest(99)} == {JobState.QUEUED}
    assert environment.redis.zcard(environment.keys.jobs()) == 30


def test_jobs_that_come_behind_the_count_are_left_and_those_that_end_or_go_are_no_error(
    environment: Environment, client: Client
) -> None:
    hand_in(environment, 40)
    counted = client.count_jobs("cancel", tenant="acme")
    environment.wait_for_clock(counted.until_ms)
    environment.submit(a_classify_job(tenant="acme"), job_id="later", chunk=a_chunk(1), sealed=True)

    def interfere(done: JobsActedOn) -> None:
        if done.acted_on == ACTED_AT_ONCE[JobAction.CANCEL]:
            environment.ledger.control.cancel("acme-39")
            environment.redis.delete(environment.keys.job("acme-38"))

    done = client.cancel_jobs(tenant="acme", counted=counted, on_step=interfere)

    assert (counted.jobs, done.acted_on, done.gone, done.refused) == (40, 38, 1, {})
    assert environment.record("later").state is JobState.QUEUED


def test_a_walk_goes_on_where_the_job_of_its_cursor_is_gone_and_many_have_one_creation(
    environment: Environment,
) -> None:
    hand_in(environment, LOOKED_AT_ONCE + 50)
    index = environment.keys.open_jobs()
    names = [f"acme-{n}".encode() for n in range(LOOKED_AT_ONCE + 50)]
    environment.redis.zadd(index, dict.fromkeys(names, 1_000), xx=True)
    selection = Selection(JobAction.CANCEL, job_filter({"states": ["queued"]}))
    many = environment.ledger.many_jobs

    first = many.count(selection, b"")
    environment.redis.zrem(index, first.cursor.partition(b" ")[2])
    second = many.count(selection, first.cursor)

    counts = [sum(step.groups.values()) for step in (first, second)]
    assert counts == [LOOKED_AT_ONCE, 50]
    assert second.cursor == b""


def test_one_job_that_is_continued_is_refused_and_the_others_are_acted_on(
    environment: Environment, client: Client
) -> None:
    hand_in(environment, 4)

    cancelled = client.cancel_jobs(tenant="acme")
    retry = a_classify_job(tenant="b", continues="acme-2")
    environment.submit(retry, job_id="next", chunk=a_chunk(1), sealed=True)
    removed = client.remove_jobs(tenant="acme")

    assert (cancelled.acted_on, cancelled.refused) == (4, {})
    assert (removed.acted_on, removed.refused) == (3, {"continued": 1})
    assert removed.first_refused["continued"] == (
        "acme-2",
        "Job next continues it, has not ended, and needs what is kept of it.",
    )


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({}, "No filter is given, so all jobs would be meant. Give one, such as "),
        ({"every": True, "tenant": "a"}, "every=True means all jobs: leave the filters out, or "),
        ({"states": ["completed"]}, "A job that is completed cannot be cancelled; allowed "),
        ({"colour": "red"}, "There is no filter 'colour'. Known filters: "),
        # As of a variable that is not set: it is none, and not all.
        ({"tenant": ""}, "tenant is ''; allowed: the name of a tenant."),
    ],
    ids=str,
)
def test_a_filter_that_means_nothing_or_all_is_refused(
    client: Client, filters: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.cancel_jobs(**filters)  # type: ignore[arg-type]

    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cancel",), "no job is named: give its id, or filters as `seqd jobs list` "),
        (("rm",), "no job is named: give its id, or filters as `seqd jobs list` "),
        (("cancel", "j1", "--tenant", "a"), "jobs are named by id and by options (filters, "),
        (("pause", "--all", "--tenant", "a"), "--all means all jobs: leave the filters out, or "),
        (("cancel", "--state", "queued", "--tenant", "", "--yes"), "tenant is ''; allowed: "),
    ],
    ids=str,
)
def test_a_command_that_names_no_jobs_or_twice_is_refused(
    command: Run, words: tuple[str, ...], message: str
) -> None:
    ended = command(*words)

    assert ended.status == 2
    assert ended.err.startswith(f"error[invalid_request]: {message}")


def test_a_command_without_a_terminal_refuses_with_the_count_and_acts_with_yes(
    environment: Environment, command: Run
) -> None:
    hand_in(environment, 120)

    unasked = command("cancel", "--tenant", "acme")
    dry = command("cancel", "--tenant", "acme", "--dry-run")
    done = command("cancel", "--tenant", "acme", "--yes", "--json")
    again = command("cancel", "--tenant", "acme", "--yes")

    assert (unasked.status, unasked.out) == (2, "")
    assert unasked.err == (
        "error[unconfirmed]: 120 jobs match, and none was cancelled. Say --yes to cancel them, or "
        "--dry-run to see which they are.\n"
    )
    assert dry.out.splitlines()[-1] == "120 jobs would be cancelled."
    record = json.loads(done.out)
    assert (record["matched"], record["acted_on"], record["finished"]) == (120, 120, True)
    assert (again.status, again.out) == (
        0,
        "No job matches that could be cancelled; 0 jobs looked at.\n",
    )


class Terminal(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "acted_on"), [("120\n", 120), ("12\n", 0)], ids=["same", "other"]
)
def test_of_many_jobs_a_person_types_the_number(
    environment: Environment,
    command: Run,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    acted_on: int,
) -> None:
    hand_in(environment, 120)
    monkeypatch.setattr("sys.stdin", Terminal(typed))

    ended = command("pause", "--model", "imdb_lstm")

    paused = environment.ledger.jobs.newest(200, job_filter({"states": ["paused"]}))
    assert len(paused) == acted_on
    assert "Pause 120 jobs? Type 120 to go on" in ended.err
    assert " 120  queued  imdb_lstm  acme" in ended.err
    assert ended.status == (0 if acted_on else 1)


def test_ctrl_c_stops_between_two_steps_and_the_same_command_goes_on(
    environment: Environment, command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(environment, 1_500)
    acted_on = "seqd.cli.many_jobs.Progress.acted_on"

    with monkeypatch.context() as during:
        # It comes while the first step is shown.
        during.setattr(acted_on, lambda *_: signal.raise_signal(signal.SIGINT))
        stopped = command("cancel", "--tenant", "acme", "--yes")
    left = environment.redis.zcard(environment.keys.open_jobs())
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    again = command("cancel", "--tenant", "acme", "--yes")

    assert (stopped.status, left) == (130, 1_500 - ACTED_AT_ONCE[JobAction.CANCEL])
    assert stopped.out.endswith(" The same command goes on with the rest.\n")
    assert again.out == f"{left:,} jobs were cancelled.\n"
    assert re.findall(r"1,0\d\d (jobs looked at|of [\d,]+ jobs)", again.err) == [
        "jobs looked at",
        f"of {left:,} jobs",
    ]


def test_retry_by_filter_makes_one_job_for_each_that_has_failed_items(cluster: Cluster) -> None:
    client = cluster.operator()
    failed = [client.classify(["a", "raise"], model="echo", tenant="again") for _ in range(3)]
    sound = client.classify(["a"], model="echo", tenant="again")
    for job in (*failed, sound):
        job.wait(timeout_s=120)

    counted = client.count_jobs("retry", tenant="again")
    steps: list[int] = []
    done = client.retry_jobs(
        tenant="again", counted=counted, on_step=lambda done: steps.append(done.acted_on)
    )
    twice = client.retry_jobs(tenant="again", counted=counted)

    assert (counted.jobs, done.acted_on, twice.acted_on) == (3, 3, 0)
    # Jobs of one millisecond have no order: one that is sound may be looked at in front.
    assert [acted_on for acted_on in dict.fromkeys(steps) if acted_on] == [1, 2, 3]
    continued = [job.record().continued_by for job in failed]
    assert all(continued)
    for job_id in continued:  # other tests share the worker
        client.job(str(job_id)).wait(timeout_s=120)


def test_a_retry_whose_input_cannot_be_read_to_its_end_is_told_of(cluster: Cluster) -> None:
    client = cluster.client()
    job = client.classify(["raise"] * 40, model="echo", tenant="half")
    job.wait(timeout_s=120)
    with closing(connect(str(cluster.settings.redis_url))) as redis:
        redis.hset(cluster.settings.keys.failed(job.job_id), "4", b"no blob")

    done = client.retry_jobs(tenant="half", states=["completed"])

    assert (done.acted_on, done.refused) == (0, {"invalid_input": 1})


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()], ids=repr)
def test_the_audit_has_what_was_done_when_a_walk_is_stopped(
    environment: Environment, client: Client, error: BaseException
) -> None:
    hand_in(environment, 2)

    def stop(done: JobsActedOn) -> None:
        raise error

    with pytest.raises(type(error)):
        client.cancel_jobs(tenant="acme", on_step=stop)

    acts = [(one.action, one.outcome, one.details) for one in client.audit()]
    assert acts == [("jobs.cancel", "stopped", {"acted_on": "2"}), ("jobs.cancel", "", {})]


def test_a_walk_that_is_cancelled_ends_as_that_though_redis_is_away(
    environment: Environment,
) -> None:
    hand_in(environment, 2)

    async def cancelled() -> None:
        settings = environment.settings.model_copy(
            update={"redis_url": proxy.url, "outage_s": 3600.0}
        )
        async with AsyncClient(settings=settings) as client:
            await client.cancel_jobs(tenant="acme", on_step=cancel)

    def cancel(done: JobsActedOn) -> None:
        proxy.refuse()
        raise asyncio.CancelledError

    with (
        TcpProxy(str(environment.settings.redis_url)) as proxy,
        pytest.raises(asyncio.CancelledError),
    ):
        run(cancelled())
