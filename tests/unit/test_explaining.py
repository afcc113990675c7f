"""What an explanation says of made records: its headline, its reasons, and what is next."""

import json
from dataclasses import replace
from typing import Any

import pytest

from builders import a_classify_job, a_failure, a_worker_status
from cli_builders import a_record
from seqd.cli.explain import print_explanation
from seqd.cli.ui.screen import Screen
from seqd.client.explaining.reasons import Facts, answers_of, left_s, waits_for, why_not
from seqd.client.explaining.sentences import explanation
from seqd.ledger.unit_states import HeldUnit, Holdings, TriedUnit, UnitStates
from seqd.ledger.units import Death
from seqd.scaling import Rate
from seqd_schemas import (
    ClaimInHand,
    Cordon,
    Counts,
    DeathCause,
    JobRecord,
    JobState,
    Progress,
    Resumed,
    Step,
    WorkerStatus,
)

NOW_MS = 1_000_000
QUEUE = "classify.imdb_lstm@3"
COUNTS = Counts(total=4, processing=4)


def a_job(**changes: object) -> JobRecord:
    """A classification of four items by version 3, which waits."""
    fields: dict[str, object] = {"version": 3, "state": JobState.QUEUED, "units": 2}
    return a_record(job=a_classify_job(), **fields | changes)


def states(**changes: object) -> UnitStates:
    """Two units that wait."""
    fields: dict[str, Any] = {
        "now_ms": NOW_MS,
        "state": None,
        "known": None,
        "done": None,
        "workers": {},
        "held": (),
        "claimable": 2,
        "backing_off": 0,
        "next_due_s": None,
        "attempts": 0,
        "tried_again": 0,
        "tried": (),
        "crashes": 0,
        "is_partial": False,
        "upload_silent_s": None,
        "upload_waits": "",
        "max_units": None,
        "queue": QUEUE,
        "unread_items": 0,
        "is_ingest_open": False,
        "events": (),
    }
    return UnitStates(**fields | changes)


def a_worker(name: str = "w1", **changes: object) -> WorkerStatus:
    """A worker that can run version 3."""
    plugin = {"name": "imdb", "models": ("imdb_lstm",), "state": "ready", "version": "1"}
    plugin |= {"distribution": "seqd-imdb"}
    fields = {"worker": name, "plugins": (plugin,), "versions": {"imdb_lstm": (3,)}, "reads": 2}
    return a_worker_status(**fields | changes)


def headline(facts: Facts) -> str:
    return explanation(facts).headline


HELD = HeldUnit("0", "w1", 1, 20.0)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (
            Facts(a_job(), states(), [a_worker()], rates={QUEUE: Rate(10, 20.0, 1)}),
            "Job j1 is queued: 1 worker can run it, and one takes its next unit in a moment; about "
            "8.0 s to its end.",
        ),
        (
            Facts(a_job(state=JobState.FAILED, failure=a_failure()), states(claimable=0)),
            "Job j1 failed: plugin_fault: It broke.",
        ),
    ],
    ids=["in a moment", "failed"],
)
def test_the_headline_is_the_state_and_the_first_reason_for_it(facts, sentence):
    assert headline(facts) == sentence


BROKEN = {"name": "imdb", "models": ("imdb_lstm",), "state": "broken", "reason": "no module x."}
DISABLED = {"name": "imdb", "models": ("imdb_lstm",), "state": "disabled"}
OF_A_PLUGIN = {"version": "1", "distribution": "seqd-imdb"}
UNFIT = {
    "model": "imdb_lstm",
    "version": 3,
    "code": "load_failed",
    "message": "No file.",
    "since_ms": 1,
}


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (
            {"cordon": Cordon(phase="cordoned", since_ms=1, reason="repair")},
            "cordoned",
            "cordoned by an operator: repair",
        ),
        ({"state": "draining"}, "draining", "it drains, and ends"),
        (
            {"state": "starting"},
            "starting",
            "it is starting, and imports its plugins before it takes jobs",
        ),
        (
            {"state": "starting", "loading": ("imdb_lstm@3", "markov@0")},
            "starting",
            "it is starting, and loads imdb_lstm@3 and 1 more before it takes jobs",
        ),
        ({"plugins": (), "versions": {}}, "no_plugin", "it has no plugin with the model imdb_lstm"),
        (
            {"plugins": (BROKEN | OF_A_PLUGIN,), "versions": {}},
            "broken",
            "its plugin imdb is broken: no module x",
        ),
        (
            {"plugins": (DISABLED | OF_A_PLUGIN,), "versions": {}},
            "disabled",
            "its plugin imdb is disabled by its settings",
        ),
        (
            {"tasks": ("train",), "slot": "train@cpu"},
            "slot",
            "its slot train@cpu does not take the task classify of imdb_lstm",
        ),
        (
            {"left_out": ("imdb_lstm",)},
            "left_out",
            "a placement or SEQD_SERVES has it leave this model to others",
        ),
        ({}, "", ""),
        ({"versions": {"imdb_lstm": (1, 2)}, "unfit": (UNFIT,)}, "load_failed", "No file"),
        (
            {"versions": {"imdb_lstm": (1, 2)}},
            "missing",
            "its store has no such version (it can run 1, 2)",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_each_worker_says_why_it_cannot_run_a_job(changes, code, message):
    worker = a_worker(**changes)

    why = why_not(worker, Facts(a_job(), states(), [worker]))

    assert why == ((code, message) if code else None)


def test_those_that_can_run_it_come_first_and_say_what_they_do():
    workers = [a_worker("a", state="starting"), a_worker("b"), a_worker("c")]
    holdings = Holdings({"c": {"j1": 1, "x": 1}}, {"x": "shop"})

    answers = answers_of(Facts(a_job(), states(), workers, holdings))

    assert [(answer.worker, answer.code, answer.message) for answer in answers[:2]] == [
        ("b", "idle", "idle, it has nothing in hand"),
        ("c", "busy", "busy with this job (50%), job x of tenant shop (50%)"),
    ]
    assert [answer.can_run for answer in answers] == [True, True, False]


def test_a_job_waits_for_all_that_keeps_it_the_first_reason_first():
    facts = Facts(
        a_job(sealed=False),
        states(
            workers={"gone": 2, "w1": 1},
            next_due_s=3.0,
            backing_off=2,
            max_units=3,
            upload_silent_s=2.0,
            upload_waits="memory",
        ),
        [a_worker()],
        Holdings({"w1": {"other": 1}}, {"other": "shop"}),
        tenants=["shop", "default"],
    )

    assert [reason.code for reason in waits_for(facts)] == [
        "dead_worker",
        "busy",
        "back_off",
        "max_units",
        "redis_full",
        "turn",
    ]
    messages = {reason.code: reason.message for reason in waits_for(facts)}
    assert messages["dead_worker"] == (
        "units are held by workers that are not heard of: gone (2 units)"
    )
    assert messages["turn"] == (
        "2 tenants have work in the same queue, each gets its share by weight in turn: default, "
        "shop"
    )


def test_a_tenant_learns_no_names_of_others():
    facts = Facts(
        a_job(),
        states(),
        [a_worker()],
        Holdings({"w1": {"x": 2, "y": 1, "z": 1}}, {"x": "shop", "y": "shop", "z": "default"}),
        tenants=["shop", "default"],
        only_tenant="default",
    )

    (answer,) = answers_of(facts)
    busy, turn = waits_for(facts)

    told = "busy with jobs of other tenants (75%), job z of tenant default (25%)"
    assert (answer.message, "x" in busy.message) == (told, False)
    assert turn.message.startswith("2 tenants have work in the same queue")
    assert "shop" not in busy.message + turn.message


@pytest.mark.parametrize(
    ("silent_s", "waits", "does"),
    [
        (2.0, "", "its client is still sending"),
        (2.0, "tenant", "its client waits, since its tenant has as much waiting as it may"),
        (2.0, "workers", "its client waits, since as much of it waits in Redis as may"),
        (70.0, "memory", "its client has not been heard of for 70 s"),
    ],
)
def test_an_upload_is_told_with_what_its_client_does(silent_s, waits, does):
    where = states(claimable=0, upload_silent_s=silent_s, upload_waits=waits)

    (reason,) = waits_for(Facts(a_job(sealed=False), where, [a_worker()]))

    told = f"its upload is not complete: 4 items by now, {does}"
    assert (reason.code, reason.message) == ("upload", told)


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.CANCELLED])
def test_more_units_may_come_until_a_job_has_ended(state, capsys):
    print_explanation(Screen(), explanation(Facts(a_job(sealed=False, state=state), states())))

    assert ("more may come" in capsys.readouterr().out) == (state is JobState.RUNNING)


def test_a_file_that_is_not_read_to_its_end_is_told_with_who_reads_it():
    reads = HeldUnit("ingest", "w1", 1, 20.0)
    of_a_file = states(claimable=0, held=(reads,), is_ingest_open=True, unread_items=900)

    (reason,) = waits_for(Facts(a_job(sealed=False), of_a_file, [a_worker()]))

    assert (reason.code, reason.message) == (
        "reading",
        "its file is not read to the end, about 900 items are left: w1 reads it",
    )


def a_step(age_ms: int) -> Step:
    """Return an event by which a training ends 12 s later."""
    return Step(job_id="j1", at_ms=NOW_MS - age_ms, done=1, total=2, metrics={}, eta_s=12.0)


def test_the_time_left_is_what_a_training_itself_reports():
    event = a_step(age_ms=2_000)

    assert left_s(Facts(a_job(), states(events=(event,)), [a_worker()])) == (10.0, True)
    assert left_s(Facts(a_job(), states(events=(event,)))) == (None, False)


@pytest.mark.parametrize(
    ("held_s", "expected"),
    [(0.0, 12.0), (5.0, 7.0), (11.0, 1.0), (12.0, None), (70.0, None)],
)
def test_the_time_left_of_a_unit_in_hand_goes_down_and_is_not_known_where_it_takes_longer(
    held_s, expected
):
    job = a_job(units=1, state=JobState.RUNNING, counts=COUNTS)
    in_hand = states(claimable=0, workers={"w1": 1}, held=(HELD,))
    claim = ClaimInHand(job_id="j1", unit="0", units=1, since_ms=NOW_MS - int(1_000 * held_s))

    found = left_s(Facts(job, in_hand, [a_worker(claim=claim)], rates={QUEUE: Rate(10, 30.0, 1)}))

    assert found == (expected, expected is not None)


def test_a_worker_with_a_unit_of_the_job_is_not_idle_where_it_has_just_committed_that():
    job = a_job(state=JobState.RUNNING)
    in_hand = states(claimable=1, workers={"w1": 1}, held=(HELD,))

    (answer,) = explanation(Facts(job, in_hand, [a_worker()])).workers

    assert (answer.code, answer.message) == ("busy", "busy with this job (100%)")


def test_a_worker_that_has_ended_by_a_drain_is_none_that_is_up():
    drained = a_worker("w2", state="draining", cordon=Cordon(phase="drained", since_ms=1))

    found = explanation(Facts(a_job(), states(), [a_worker(), drained]))

    assert (found.workers_up, found.workers_able) == (1, 1)
    assert [answer.code for answer in found.workers] == ["idle"]


def test_nobody_knows_how_long_a_job_takes_that_a_worker_died_with():
    rates = {QUEUE: Rate(10, 30.0, 1)}

    assert left_s(Facts(a_job(), states(crashes=1), [a_worker()], rates=rates)) == (None, False)


PROGRESS = Progress(job_id="j1", at_ms=NOW_MS, counts=COUNTS, rate_per_s=1.0, eta_s=90.0)


@pytest.mark.parametrize("event", [a_step(age_ms=20_000), PROGRESS])
def test_a_time_that_is_over_or_a_mean_with_pauses_in_it_is_reckoned_anew(event):
    facts = Facts(a_job(), states(events=(event,)), [a_worker()], rates={QUEUE: Rate(10, 20.0, 1)})

    assert left_s(facts) == (8.0, True)


def a_hostile_explanation() -> Facts:
    forged = "x\n\x1b[2Jjob"
    death = Death(DeathCause.SIGNAL, forged)
    tried = TriedUnit("0", 3, 2, 1, forged, death, 4.0, None)
    held = HeldUnit("0", forged, 2, -1.0)
    record = a_job(state=JobState.RUNNING, expires_at_ms=NOW_MS + 9_000)
    return Facts(
        record,
        states(workers={forged: 1}, held=(held,), tried=(tried,), tried_again=1),
        [a_worker()],
    )


def test_what_others_wrote_reaches_no_terminal_as_it_is(capsys):
    found = explanation(a_hostile_explanation())

    print_explanation(Screen(), found)

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "- unit 0: x\\n\\x1b[2Jjob, which is not heard of any more, attempt 2" in printed
    assert ", 1 in hand, 2 waiting, 1 claimed again\n" in printed
    assert "last by x\\n\\x1b[2Jjob, again in 4.0 s. Last death: signal: " in printed
    assert json.loads(json.dumps(found.as_json()))["tried_again"][0]["death_cause"] == "signal"
    assert found.next[-1] == (
        "It expires in 9.0 s unless it has ended; undone items then get `expired`."
    )


def held_by(worker: str, lease_s: float, *workers: WorkerStatus, **changes: Any) -> Facts:
    """A job whose one unit is held by a worker, with a lease of so many seconds more."""
    held = HeldUnit("0", worker, 1, lease_s)
    unit = states(workers={worker: 1}, held=(held,), claimable=changes.pop("claimable", 0))
    unit = replace(unit, events=changes.pop("events", ()))
    record = a_job(state=JobState.RUNNING, started_at_ms=1)
    return Facts(record, unit, workers, **changes)


@pytest.mark.parametrize(("job_id", "told"), [("j1", {"held_s": 30.0}), ("j0", {})])
def test_programs_get_for_how_long_a_unit_is_held_where_its_worker_has_said_so(job_id, told):
    claim = ClaimInHand(job_id=job_id, unit="0", units=1, since_ms=NOW_MS - 30_000)

    found = explanation(held_by("w1", 20.0, a_worker(claim=claim)))

    (row,) = json.loads(json.dumps(found.as_json()))["in_hand"]
    assert {name: row[name] for name in row if name == "held_s"} == told


UNHEARD = "Job j1 stands still: units are held by workers that are not heard of: gone (1 unit)."
OVER = "The lease of unit 0 on gone ran out 3 min ago, and no worker has released it: "
STOPPED = a_worker(state="draining", stopped_pid=7)
LONG_AGO = Progress(job_id="j1", at_ms=NOW_MS - 900_000, counts=COUNTS, rate_per_s=1.0)
RESUMED = Resumed(job_id="j1", at_ms=NOW_MS - 5_000, counts=COUNTS)
SILENT = (
    "w2 has not been heard of for 75 s, as while it computes without letting its other threads "
    "run. It keeps its units, and is ended if it stays silent until its "
    "SEQD_MAX_SILENT_S."
)


@pytest.mark.parametrize(
    ("facts", "first", "then", "row"),
    [
        (
            held_by("gone", 20.0, a_worker()),
            UNHEARD,
            "The lease of unit 0 on gone runs out in 20 s; then another worker takes it.",
            "gone, which is not heard of any more",
        ),
        (
            held_by("gone", -180.0, a_worker()),
            UNHEARD,
            f"{OVER}see the logs of workers for `reconciler`.",
            "",
        ),
        (
            held_by("gone", -180.0, a_worker(), no_writes="it is a read-only replica"),
            "Job j1 ",
            f"{OVER}Redis takes no writes.",
            "- unit 0: gone, which cannot report, lease over for 3 min",
        ),
        (
            held_by("gone", -180.0, a_worker(), claimable=5, rates={QUEUE: Rate(10, 20.0, 1)}),
            "Job j1 is running: 1 worker can run it, and one takes its next unit in a moment",
            "",
            "",
        ),
        (
            held_by("w2", 23.0, a_worker("w2"), a_worker("w3"), unheard={"w2": 75.0, "w3": 40.0}),
            "Job j1 runs: 1 unit in hand on 1 worker",
            SILENT,
            "- unit 0: w2, which computes and reports nothing, lease for 23 s more",
        ),
        (
            held_by("w1", 20.0, a_worker(), events=(LONG_AGO,)),
            "Job j1 has made no progress for 15 min: 1 unit in hand on 1 worker, 0 of 2 are done.",
            "",
            "",
        ),
        (
            held_by("w1", 20.0, STOPPED),
            "Job j1 stands still: No worker that is up can classify imdb_lstm now. w1: its ",
            "",
            "",
        ),
        (
            held_by("w1", 20.0, STOPPED, a_worker("w2")),
            "Job j1 stands still: w1 has 1 unit in hand, and its process 7 is stopped, by a signal",
            "",
            "",
        ),
        (
            held_by("w1", 20.0, STOPPED, a_worker("w2"), claimable=1),
            "Job j1 is running: 1 worker can run it, and one takes its next unit in a moment",
            "",
            "",
        ),
        (
            held_by("w1", 20.0, a_worker(), events=(RESUMED, LONG_AGO)),
            "Job j1 runs: ",
            "",
            "",
        ),
    ],
    ids=[
        *("lease runs", "long over", "no writes", "others wait"),
        *("computes", "no progress", "stopped", "another stopped", "others run", "resumed"),
    ],
)
def test_a_job_in_hand_says_whether_it_goes_on_and_what_becomes_of_its_units(
    facts, first, then, row, capsys
):
    found = explanation(facts)
    print_explanation(Screen(), found)

    assert found.headline.startswith(first)
    assert not then or found.next[0] == then
    assert row in capsys.readouterr().out
