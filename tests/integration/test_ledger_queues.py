"""How the queues and the fleet stand, as they are read from the ledger."""

import pytest

from builders import a_catalog_entry, a_classify_job, a_worker_status
from ledger_fixtures import CLASSIFY, Environment
from seqd.ledger.overview import MAX_JOBS
from seqd.queue_states import QueueState, WorkerCounts
from seqd_schemas import Failure, FileSource, ModelPause, queue_of

pytestmark = pytest.mark.processes

QUEUE = queue_of(CLASSIFY, 3)


def see_worker(environment: Environment) -> None:
    status = a_worker_status(worker="w", versions={"imdb_lstm": (3,)})
    environment.ledger.fleet.publish_worker(status)


def the_queue(environment: Environment) -> QueueState:
    (state,) = environment.ledger.queues.states()
    return state


def test_a_queue_says_what_waits_what_was_done_and_who_can_run_it(environment: Environment) -> None:
    see_worker(environment)
    environment.submit_units(3)
    environment.ledger.backlog.note_rate(QUEUE, 600, 1.0, 60)

    waiting = the_queue(environment)
    environment.claim_unit("w")
    claimed = the_queue(environment)

    assert (waiting.waiting_items, waiting.items_in_hand) == (6, 0)
    assert waiting.workers == WorkerCounts(idle=1)
    assert (waiting.items_done, waiting.errors) == (600, 60)
    # 600 items in the last second, spread over the two that a rate is of at least.
    assert waiting.rate_per_s == pytest.approx(300, rel=0.05)
    assert waiting.errors_per_s == pytest.approx(30, rel=0.05)
    assert (claimed.state, claimed.waiting_items, claimed.items_in_hand) == ("moving", 4, 2)


def test_what_was_done_adds_up_and_what_is_recent_begins_anew_after_a_rest(
    environment: Environment,
) -> None:
    backlog, key = environment.ledger.backlog, environment.keys.work_done()
    backlog.note_rate(QUEUE, 100, 1.0, 1)
    backlog.note_rate(QUEUE, 50, 1.0)
    row = environment.redis.hget(key, QUEUE).decode().split()
    items, errors, recent = int(row[0]), int(row[1]), float(row[2])

    rested = environment.ledger.fleet.now_ms() - 61_000
    environment.redis.hset(key, QUEUE, f"150 1 140 1 {rested - 9_000} {rested}")
    see_worker(environment)
    resting = environment.ledger.queues.states()
    backlog.note_rate(QUEUE, 30, 1.0)

    assert (items, errors, recent) == (150, 1, pytest.approx(150, rel=0.01))
    assert resting == []
    assert float(environment.redis.hget(key, QUEUE).split()[2]) == 30


def test_a_queue_of_the_catalog_without_work_is_idle_and_one_of_paused_jobs_is_paused(
    environment: Environment,
) -> None:
    environment.ledger.fleet.publish_catalog([a_catalog_entry()])
    idle = the_queue(environment)

    environment.ledger.control.pause(environment.submit_units(2))

    assert (idle.state, idle.rate_per_s) == ("idle", 0.0)
    paused = the_queue(environment)
    assert (paused.state, paused.paused_items) == ("paused", 4)


def test_what_waits_for_a_paused_model_is_told_as_paused_and_by_whom(
    environment: Environment,
) -> None:
    environment.submit_units(2)
    pause = ModelPause(model="imdb_lstm", by="ana@h1", at_ms=1, reason="wrong labels")
    environment.ledger.model_pauses.pause(pause)

    state = the_queue(environment)

    assert (state.state, state.paused_items, state.waiting_items) == ("paused", 4, 0)
    assert state.model_pause.endswith(
        ": wrong labels. Its jobs go on by `seqd models resume imdb_lstm`."
    )


def test_by_tenant_each_has_its_own_row(environment: Environment) -> None:
    environment.submit_units(2, a_classify_job(tenant="acme"))
    environment.submit_units(1, a_classify_job(tenant="beta"))

    acme, beta = environment.ledger.queues.states(by_tenant=True)

    assert [(one.tenant, one.waiting_items, one.state) for one in (acme, beta)] == [
        ("acme", 4, "unserved"),
        ("beta", 2, "unserved"),
    ]
    assert acme.reason == "No worker is up: `seqd up` starts them."


def test_what_somebody_has_written_over_is_left_out(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.redis.hset(environment.keys.work_done(), QUEUE, "quick")
    environment.redis.hset(environment.keys.job(job_id), "total", "many")

    state = the_queue(environment)

    assert (state.waiting_items, state.items_done, state.paused_items) == (2, 0, 0)


@pytest.mark.parametrize("name", ["rates", "work_done"])
def test_what_was_done_is_noted_again_where_somebody_has_written_over_the_key(
    environment: Environment, name: str
) -> None:
    environment.redis.set(getattr(environment.keys, name)(), "by hand")

    environment.ledger.backlog.note_rate(QUEUE, 600, 1.0, 60)

    environment.submit_units(1)
    state = the_queue(environment)
    assert (state.items_done, state.errors) == (600, 60)
    assert environment.ledger.backlog.rates()[QUEUE].items == 600


def test_what_somebody_has_written_over_by_a_value_of_another_type_is_read_as_empty(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    environment.submit_units(1)
    keys = environment.keys
    environment.redis.set(keys.rates(), "by hand")
    environment.redis.rpush(keys.work_done(), "by hand")

    state = the_queue(environment)

    assert (state.waiting_items, state.items_done) == (2, 0)
    assert environment.ledger.backlog.rates() == {}
    assert [record.getMessage() for record in caplog.records] == [
        f"the key {key} of {what} has a value of another type than seqd writes, and is read as "
        f"empty. Remove it, and seqd begins it anew: redis-cli del {key}"
        for key, what in (
            (keys.rates(), "measured rates"),
            (keys.work_done(), "work that was done"),
            (keys.rates(), "measured rates"),
        )
    ]


def test_an_overview_has_the_newest_jobs_the_failures_and_numbers_of_the_rest(
    environment: Environment,
) -> None:
    see_worker(environment)
    environment.redis.zadd(environment.keys.workers(), {"gone": environment.ledger.fleet.now_ms()})
    with_errors = environment.submit_units(1)
    environment.commit(environment.claim_unit("w"), errored=1)
    sound = environment.submit_units(1)
    environment.commit(environment.claim_unit("w"))
    failed = environment.submit(a_classify_job(source=FileSource(path="/gone.jsonl")))
    failure = Failure(code="unreadable_input", message="It is gone.")
    environment.ledger.control.fail(failed, failure)
    jobs = [environment.submit_units(1) for _ in range(MAX_JOBS + 5)]
    environment.claim_unit("w")

    overview = environment.ledger.overviews.read()

    assert [one.job_id for one in overview.failures] == [failed, with_errors]
    assert overview.failure_count == 2
    assert sound not in {one.job_id for one in overview.failures}
    assert overview.open_jobs == MAX_JOBS + 5
    # Jobs of one millisecond are in the order of their identifiers.
    age = {job: (environment.ledger.jobs.get(job).created_at_ms, job) for job in jobs}
    newest = sorted(jobs, key=lambda job: age[job], reverse=True)[:MAX_JOBS]
    assert [one.job_id for one in overview.jobs] == newest
    assert (overview.units_in_hand, list(overview.silent)) == ({"w": 1}, ["gone"])
    assert overview.memory_bytes is not None and overview.inbox.entries == 0
