"""Given a worker that serves one model, when another's own task is asked for, then it is left."""

import pytest

from seqd_schemas import JobState, WaitingCode
from task_fixtures import TaskCluster
from worker_fixtures import wait_for_reason

pytestmark = pytest.mark.processes


@pytest.mark.slow
def test_own_tasks_of_models_that_nobody_serves_wait_and_are_in_the_autoscale_signal(
    own_task_cluster: TaskCluster,
) -> None:
    worker = own_task_cluster.start_ready("w1", serves=("stars",))
    client = own_task_cluster.client()

    done = client.run(["a"], model="stars", task="score").wait(timeout_s=120)
    job = client.run(["a", "b", "c"], model="vectors", task="embed")
    waiting, status = wait_for_reason(job), worker.known_status()

    assert done.state is JobState.COMPLETED
    assert status.left_out == ("mirror", "pairs", "places", "topics", "vectors")
    assert waiting.code is WaitingCode.NOT_PLACED
    assert waiting.message == (
        "No worker that is up serves vectors. These could embed with it, and a placement or "
        "SEQD_SERVES has them leave it to others: w1. `seqd models place` lists placements, `seqd "
        "models place vectors --anywhere` ends that of vectors; or start a worker that serves it."
    )
    assert own_task_cluster.starts_of_units(job.job_id) == []
    (left,) = (r for r in client.work_left() if (r.task, r.model) == ("embed", "vectors"))
    assert (left.items, left.is_measured) == (3, False)
    assert left.seconds == left.unserved_s == pytest.approx(3 * 0.05)
