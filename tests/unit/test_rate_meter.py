"""A slot's rates: summed by queue, and written down now and then."""

import pytest

from clock_fixtures import HeldClock
from seqd.errors import JobFailed
from seqd.ledger import Ledger, connect
from seqd.testing import running_services
from seqd.worker.counting import RateMeter
from seqd_schemas import FileSource
from worker_fixtures import wait_until


def test_claims_of_a_queue_are_one_note():
    notes: list[tuple[str, int, float, int]] = []
    meter = RateMeter(lambda *note: notes.append(note))
    meter.add("a", 8, 0.5, 1)
    meter.add("b", 1, 2.0)
    meter.add("a", 4, 0.25, 2)

    meter.note()
    meter.note()

    assert notes == [("a", 12, 0.75, 3), ("b", 1, 2.0, 0)]


def test_many_small_jobs_are_noted_once_a_second():
    clock, notes = HeldClock(), list[tuple[str, int, float, int]]()
    meter = RateMeter(lambda *note: notes.append(note), clock=clock)
    for _ in range(30):
        meter.add("a", 1, 0.1)
        meter.note(if_due=True)
        clock.now_s += 0.1

    assert len(notes) == 2
    # What was not noted yet waits for the next heartbeat.
    assert sum(items for _, items, _, _ in notes) < 30
    meter.note()
    assert sum(items for _, items, _, _ in notes) == 30


@pytest.mark.processes
def test_reading_a_file_is_no_part_of_what_an_item_takes(redis_server, tmp_path):
    path = tmp_path / "twice.jsonl"
    path.write_text('{"custom_id": "a", "text": "fine"}\n' * 2)
    models = {"film": str, "book": str}
    with running_services(models, redis_url=redis_server.url) as services:
        client = services.client(input_roots=(tmp_path,))
        backlog = Ledger(connect(services.redis_url), services.settings).backlog

        # It is read and nothing of it is computed.
        job = client.classify(FileSource(path=str(path)), model="film")
        with pytest.raises(JobFailed):
            job.wait(timeout_s=120)
        client.classify(["fine"], model="book").wait(timeout_s=120)

        wait_until(lambda: backlog.rates() != {}, "what was measured is noted")
        assert list(backlog.rates()) == ["classify.book@1"]
