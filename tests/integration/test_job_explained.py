"""A job explained: its units, who has them, what it waits for, and where one item stands."""

import json
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from builders import a_chunk, a_classify_job, a_worker_status
from cli_builders import here, use_ledger
from ledger_fixtures import Environment, disturbed
from seqd.admission import Admitted
from seqd.cli.explain import print_explanation
from seqd.cli.ui.screen import Screen
from seqd.client import Client
from seqd.client.explaining.reading import explained
from seqd.client.explaining.records import Explanation
from seqd.errors import UnknownItem, UnknownJob
from seqd.ledger.units import Death, Unit
from seqd.local.caller import caller
from seqd_schemas import (
    DeathCause,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    JobState,
    ModelPause,
    RefusedItem,
)
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes


def explain(environment: Environment, job_id: str, item: str | None = None) -> Explanation:
    return environment.ledger.transport.run(explained(environment.ledger, job_id, item))


def publish(environment: Environment, worker: str, **changes: object) -> None:
    """Publish a worker that can classify with version 3 of imdb_lstm."""
    plugin = {"name": "imdb_lstm", "models": ("imdb_lstm",), "state": "ready", "version": "1"}
    plugin |= {"distribution": "seqd-imdb-lstm"}
    status = a_worker_status(
        worker=worker,
        plugins=(plugin,),
        versions={"imdb_lstm": (3,)},
        reads=2,
        **changes,
    )
    environment.ledger.fleet.publish_worker(status, ttl_s=60)


def test_units_are_told_with_who_has_them_and_each_item_with_where_it_stands(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(environment, "worker-a")
    environment.submit_units(3, job_id="j1")
    environment.commit(environment.claim_unit("worker-a"), errored=1)
    environment.claim_unit("worker-a")
    environment.ledger.backlog.note_rate("classify.imdb_lstm@3", 10, 20.0)

    found = explain(environment, "j1")
    print_explanation(Screen(), found)
    items = [explain(environment, "j1", f"item-{number}").item for number in (1, 0, 2, 4)]

    assert (found.state, found.kind, found.model) == (JobState.RUNNING, "classify", "imdb_lstm@3")
    units = found.units
    assert (units.known, units.done, units.in_hand, units.waiting) == (3, 1, 1, 1)
    (held,) = found.in_hand
    assert (held.unit, held.worker, held.attempt, held.is_worker_up) == ("1", "worker-a", 1, True)
    assert held.lease_left_s is not None and 0 < held.lease_left_s <= environment.settings.lease_s
    assert [moment.what for moment in found.timeline] == ["accepted", "started", "progress"]
    assert re.fullmatch(
        r"Job j1 runs: 1 unit in hand on 1 worker, 1 of 3 are done; about .* to its end\.",
        found.headline,
    )
    assert found.errors == {"plugin_error": 1}
    assert "plugin_error 1. See: seqd failures list --job j1" in capsys.readouterr().out
    stands = [(item.unit, item.state, item.units_read) for item in items if item]
    assert stands == [
        ("0", "errored", 1),
        ("0", "succeeded", 1),
        ("1", "in_hand", 2),
        ("2", "waiting", 3),
    ]
    assert items[0] is not None and items[0].error_code is not None
    assert items[2] is not None and items[2].message == "worker-a has it in hand, attempt 1."
    with pytest.raises(UnknownItem, match=r"no item 'item-9' in its 3 units"):
        explain(environment, "j1", "item-9")


def test_a_job_that_ends_while_it_is_read_is_told_as_it_was_at_one_moment(
    environment: Environment,
) -> None:
    publish(environment, "worker-a")
    told = list[Explanation]()

    for moment in range(20):  # more than it reads
        environment.submit_units(2, job_id=f"j{moment}")
        environment.commit(environment.claim_unit("worker-a"))
        left, reads = environment.claim_unit("worker-a"), count()

        def end_at(at: int = moment, unit: Unit = left, reads: Iterator[int] = reads) -> None:
            if next(reads) == at:
                environment.commit(unit)

        reading = disturbed(explained(environment.ledger, f"j{moment}"), end_at)
        told.append(environment.ledger.transport.run(reading))

    assert [one.state for one in (told[0], told[-1])] == [JobState.COMPLETED, JobState.RUNNING]
    for one in told:
        done_and_held = (1, 1) if one.state is JobState.RUNNING else (2, 0)
        assert (one.units.done, one.units.in_hand) == done_and_held, one.headline


def test_an_entry_that_is_no_item_is_told_with_why_it_was_refused(environment: Environment) -> None:
    publish(environment, "worker-a")
    error = ItemError(code=ItemErrorCode.INVALID_INPUT, message="It has no text.")
    chunk = ItemChunk(first_index=0, items=(RefusedItem(custom_id="row-1", refused=error),))
    environment.submit(a_classify_job(), job_id="j1", chunk=chunk, sealed=True)

    item = explain(environment, "j1", "row-1").item

    assert item is not None
    assert (item.state, item.message) == (
        "errored",
        "It was refused, and is counted with its unit: It has no text.",
    )


def test_a_unit_whose_workers_died_is_told_with_the_cause_and_when_it_is_tried_again(
    environment: Environment,
) -> None:
    publish(environment, "worker-a")
    environment.submit_units(1, job_id="j1")
    for _ in range(2):
        environment.claim_unit("worker-a")
        death = Death(DeathCause.OUT_OF_MEMORY, "The kernel ended it.")
        environment.ledger.work.release_worker("worker-a", crashed=True, death=death)

    found = explain(environment, "j1", "item-1")

    (unit,) = found.tried_again
    assert (unit.unit, unit.attempts, unit.crashes) == ("0", 2, 2)
    assert (unit.death_cause, unit.death_message) == ("out_of_memory", "The kernel ended it.")
    assert unit.due_in_s is not None and unit.due_in_s > 0
    assert found.units.backing_off == 1
    assert found.waits_for[0].code == "back_off"
    assert found.item is not None
    assert (found.item.state, found.item.death_cause) == ("backing_off", "out_of_memory")


def test_a_host_without_the_version_of_a_job_is_told_with_it(environment: Environment) -> None:
    publish(environment, "worker-a", host="h2")
    environment.ledger.submissions.submit(
        a_classify_job(model="topics"),
        Admitted(3, 2, plugin="imdb_lstm"),
        job_id="j1",
        chunk=a_chunk(),
        sealed=True,
    )

    (answer,) = explain(environment, "j1").workers

    assert (answer.code, answer.message) == (
        "missing",
        "its store had no topics@3 on h2 at its last heartbeat: see SEQD_DATA_DIR there",
    )


def test_an_upload_is_told_to_wait_for_memory_of_redis_until_there_is_some(
    environment: Environment,
) -> None:
    publish(environment, "worker-a")
    environment.submit(chunk=a_chunk(), job_id="j1")
    environment.ledger.fleet.publish_limits(environment.settings)
    used = int(environment.redis.info("memory")["used_memory"])

    with environment.full_redis(int(used * 1.2)):
        environment.append("j1", 1)
        short = explain(environment, "j1")
    environment.append("j1", 1)
    enough = explain(environment, "j1")

    (reason,) = [one for one in short.waits_for if one.code == "redis_full"]
    assert reason.message == (
        "its upload is not complete: 2 items by now, its client waits for memory of Redis, whose "
        "share for new work is used up (SEQD_MAX_MEMORY_SHARE)"
    )
    (reason,) = [one for one in enough.waits_for if one.code == "upload"]
    assert reason.message.endswith(": 4 items by now, its client is still sending")


def test_a_job_of_a_paused_model_waits_for_it_with_who_paused_it_and_why(
    environment: Environment,
) -> None:
    publish(environment, "worker-a")
    environment.submit_units(1, job_id="j1")
    pause = {"model": "imdb_lstm", "by": "ana@h1", "at_ms": 1, "reason": "wrong labels"}
    environment.ledger.model_pauses.pause(ModelPause.model_validate(pause))

    found = explain(environment, "j1")

    assert [reason.code for reason in found.waits_for] == ["model_paused"]
    assert re.fullmatch(
        r"Job j1 is queued: Model imdb_lstm is paused by ana@h1 since .{16}: wrong labels\. Its "
        r"jobs go on by `seqd models resume imdb_lstm`\.",
        found.headline,
    )
    assert found.left_s is None

    environment.ledger.control.pause("j1")
    codes = [reason.code for reason in explain(environment, "j1").waits_for]
    assert codes == ["paused", "model_paused"]


def test_a_paused_job_is_told_with_who_paused_it(environment: Environment) -> None:
    for job_id in ("j1", "j2", "j3"):
        environment.submit_units(1, a_classify_job(metadata={"name": job_id}), job_id=job_id)
    with Client(settings=environment.settings) as client:
        client.job("j1").pause()
        client.pause_jobs(metadata={"name": "j2"})
    environment.ledger.control.pause("j3")  # by somebody who does not say who it is

    told = [explain(environment, job_id).headline for job_id in ("j1", "j2", "j3")]

    me = re.escape(caller())
    assert re.match(rf"Job j1 is paused: it has been paused for .+ s by {me}: no unit", told[0])
    assert re.search(rf" s by {me}, with all that match metadata.name=j2: no unit", told[1])
    assert re.search(r"it has been paused for [0-9.]+ s: no unit", told[2])


def test_an_unknown_job_is_told_with_the_one_that_was_meant(environment: Environment) -> None:
    environment.submit_units(1, job_id="reviews-monday")

    with pytest.raises(UnknownJob, match=r"Did you mean 'reviews-monday'\?$"):
        explain(environment, "reviews-mondy")
    with pytest.raises(UnknownJob, match=r"The newest jobs: reviews-monday\.$"):
        explain(environment, "x1")


def test_a_job_of_a_million_items_lists_twenty_units(environment: Environment) -> None:
    publish(environment, "worker-a")
    environment.submit_units(1, job_id="j1")
    keys = environment.keys
    environment.redis.hset(
        keys.leases("j1"), mapping={str(unit): f"2 gone-{unit}" for unit in range(2_000)}
    )
    environment.redis.hset(keys.attempts("j1"), mapping=dict.fromkeys(map(str, range(2_000)), 2))

    found = explain(environment, "j1")

    assert (found.units.in_hand, len(found.in_hand)) == (2_000, 20)
    assert (found.units.tried_again, len(found.tried_again)) == (2_000, 20)
    assert len(json.dumps(found.as_json())) < 50_000


@pytest.fixture
def shell(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    use_ledger(monkeypatch, cluster.commands)
    yield cluster


def test_the_command_says_how_a_job_ended(
    shell: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(settings=shell.settings) as client:
        job = client.classify(["a", "bad"], model="echo")
        job.wait(timeout_s=120)

    ended = here(capsys, "explain", job.job_id, "--item", "row-2")
    printed = json.loads(here(capsys, "explain", job.job_id, "--item", "row-2", "--json").out)

    assert ended.status == 0, ended.err
    first, *rest = ended.out.splitlines()
    assert re.fullmatch(
        rf"Job {job.job_id} completed in [0-9.]+ s after a wait of [0-9.]+ s: "
        r"1 succeeded, 1 errored of 2 items\.",
        first,
    )
    assert any(line.startswith("Item row-2, number 2: errored. ") for line in rest)
    assert any(line.startswith("- It is kept for ") for line in rest)
    assert (printed["item"]["state"], printed["state"]) == ("errored", "completed")
    assert printed["item"]["result"]["error"]["code"] == printed["item"]["error_code"]


def test_logs_that_are_elsewhere_are_told_with_whose_they_are(
    shell: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = shell.client().classify(["a"], model="echo")
    job.wait(timeout_s=120)
    first = job.activity().first_worker

    ended = here(capsys, "logs", job.job_id, "--folder", str(tmp_path))

    assert (ended.status, ended.out) == (0, "")
    assert ended.err.splitlines()[:2] == [
        f"0 records. Read: 0 files of 0 logs in {tmp_path}.",
        f"Not in these logs: {first}.",
    ]


def test_logs_of_a_job_that_is_none_are_refused_with_the_logs_that_there_are(
    shell: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cpu-0.log").write_text("2026-11-30 08:00:00,000 INFO seqd.x done job=gone\n")

    ended = here(capsys, "logs", "cpu-0", "--folder", str(tmp_path))
    kept = here(capsys, "logs", "gone", "--folder", str(tmp_path))

    assert (ended.status, ended.out) == (2, "")
    assert "error[unknown_job]: No job 'cpu-0'. " in ended.err
    assert ended.err.endswith(" Lines of a worker: seqd logs --worker NAME. There are: cpu-0.\n")
    assert (kept.status, kept.out.count("job=gone")) == (0, 1)
