"""Who hands work in sends a wakeup where none is on its way, and no other."""

import pytest

from builders import a_chunk, a_classify_job
from ledger_fixtures import CLASSIFY, Environment
from seqd.ledger.submissions import BatchTemplate

pytestmark = pytest.mark.processes


def submit_small_jobs(environment: Environment, *names: str) -> None:
    template = BatchTemplate(a_classify_job(), version=3, unit_items=256, client="client-1")
    environment.ledger.submissions.submit_each(template, [(name, a_chunk(1)) for name in names])


def test_many_jobs_that_come_together_send_one_wakeup(environment: Environment) -> None:
    submit_small_jobs(environment, "a", "b", "c")

    assert environment.notified == [CLASSIFY]


def test_jobs_that_come_behind_a_wakeup_send_none(environment: Environment) -> None:
    environment.queue_wakeup(CLASSIFY)

    submit_small_jobs(environment, "a", "b")
    environment.submit(chunk=a_chunk())

    assert environment.notified == []
