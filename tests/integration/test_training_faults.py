"""Trainings whose workers die, freeze or are drained, and disks that are full or damaged."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqd.client import Client, JobHandle
from seqd.errors import JobFailed
from seqd.ledger import Ledger, connect
from seqd.models.store import ModelStore
from seqd_schemas import Epoch, JobState, Log
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

RECORDS = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}]


class Environment:
    """An empty cluster, and what its trainings wrote into their diary."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.data_dir = cluster.settings.data_dir
        self.store = ModelStore(cluster.settings.store_dir, {})
        self.client: Client = cluster.client()
        assert cluster.settings.redis_url is not None
        self.ledger = Ledger(connect(cluster.settings.redis_url), cluster.settings)
        self._folder = folder

    def train(self, epochs: int, step_ms: float, trick: str = "", **options) -> JobHandle:
        """Hand a training in, which begins a new diary."""
        self._diary = self._folder / f"diary-{len(list(self._folder.glob('diary-*')))}"
        self._diary.touch()
        parameters = {"epochs": epochs, "step_ms": step_ms, "trick": trick}
        parameters["diary"] = str(self._diary)
        return self.client.train(RECORDS, model="echo", parameters=parameters, **options)

    def diary(self) -> list[str]:
        return self._diary.read_text().splitlines()

    def steps(self) -> list[int]:
        """Return the steps that were begun, in the order in which they were."""
        return [int(line.split()[1]) for line in self.diary() if line.startswith("step")]

    def steps_of_last_begin(self) -> list[int]:
        """Return the steps of the training that began last."""
        diary = self.diary()
        begun = len(diary) - diary[::-1].index("begin")
        return [int(line.split()[1]) for line in diary[begun:] if line.startswith("step")]

    def wait_for(self, line: str) -> None:
        wait_until(lambda: line in self.diary(), f"{line!r} in {self.diary()}")

    def wakeups_being_answered(self) -> list[bytes]:
        """Return the delivery tags of the messages that Celery has not acknowledged."""
        prefix = self.cluster.settings.prefix
        return list(self.ledger.redis.hkeys(f"{prefix}:unacked"))

    def checkpoint_files(self, job: JobHandle) -> list[Path]:
        """Return the files of the checkpoints that count, newest first."""
        folder = self.data_dir / "checkpoints" / job.job_id
        records = self.ledger.checkpoints.of(job.job_id)
        return [folder / record.name / "checkpoint.json" for record in records]

    def staged(self, job: JobHandle) -> list[Path]:
        """Return the half versions of a training."""
        return [folder for folder, job_id in self.store.staged() if job_id == job.job_id]

    def wait_until_nothing_is_left_of(self, job: JobHandle) -> None:
        wait_until(lambda: not self._files_of(job), "its files are cleared away")

    def _files_of(self, job: JobHandle) -> list[str]:
        # Not by `rglob`, which fails at a folder that is cleared away meanwhile.
        names = (name for _, *both in os.walk(self.data_dir) for part in both for name in part)
        return [name for name in names if job.job_id in name]


@pytest.fixture
def environment(empty_cluster: Cluster, tmp_path: Path) -> Iterator[Environment]:
    """A cluster without a worker, to do harm in."""
    environment = Environment(empty_cluster, tmp_path)
    yield environment
    environment.ledger.redis.close()


@pytest.fixture
def running(cluster: Cluster, tmp_path: Path) -> Iterator[Environment]:
    """The cluster that all tests share, with its worker, which comes to no harm."""
    environment = Environment(cluster, tmp_path)
    yield environment
    environment.ledger.redis.close()


def epochs_told(job: JobHandle) -> list[int]:
    return [event.epoch for event in job.events() if isinstance(event, Epoch)]


def log_lines(job: JobHandle) -> list[str]:
    return [event.message for event in job.events() if isinstance(event, Log)]


def start_two(cluster: Cluster, **settings: object) -> list[LiveWorker]:
    workers = [cluster.start("w1", **settings), cluster.start("w2", **settings)]
    return [worker.wait_until_ready() for worker in workers]


def test_a_training_goes_on_from_its_last_checkpoint_when_its_worker_is_frozen_or_killed(
    environment: Environment,
):
    workers = start_two(environment.cluster)
    job = environment.train(epochs=12, step_ms=500, trick="deaf")
    # In a step, after which it saves: between save and report another refusal would come first.
    environment.wait_for("step 3")
    zombie = environment.cluster.wait_for_holder(job.job_id, workers)

    zombie.freeze()
    wait_until(lambda: environment.diary().count("begin") == 2, "the other worker took over")
    environment.wait_for("saved 4")
    zombie.thaw()
    # The other worker clears the folder that the zombie may be writing into: then the zombie saves
    # nothing, and is refused when it reports its next step.
    refusals = (
        f"A checkpoint of training {job.job_id} is refused",
        f"of job {job.job_id} is not ours any more",
    )
    wait_until(
        lambda: any(refusal in zombie.whole_log() for refusal in refusals),
        "the zombie's checkpoint is refused",
    )

    assert job.wait(timeout_s=120).state is JobState.COMPLETED
    # Each step once, but for those in hand when the worker froze.
    assert len(environment.steps()) <= 12 + 2
    assert [line for line in environment.diary() if line.startswith("saved")].count("saved 12") <= 2
    assert environment.store.numbers("echo") == [1, 2]

    job = environment.train(epochs=8, step_ms=500)
    environment.wait_for("saved 3")
    environment.cluster.wait_for_holder(job.job_id, workers).kill()
    told = epochs_told(job)

    record = job.record()
    assert record.state is JobState.COMPLETED
    assert environment.diary().count("begin") == 2
    # The step in hand is done again; none that a checkpoint holds is.
    assert sorted(set(environment.steps())) == list(range(1, 9))
    assert len(environment.steps()) <= 9
    assert told == list(range(1, 9))
    assert "The training goes on from its last checkpoint." in log_lines(job)
    assert record.training is not None
    manifest = environment.store.open("echo", record.training.version).manifest
    assert manifest.job_id == job.job_id
    # Those of the killed worker too, which the checkpoint carried: the event stream is bounded.
    assert [one.epoch for one in manifest.epochs] == list(range(1, 9))
    assert all(one.metrics == {"loss": 0.5} for one in manifest.epochs)
    environment.wait_until_nothing_is_left_of(job)


def test_neither_a_training_nor_a_retry_that_outlasts_celerys_visibility_timeout_runs_twice(
    environment: Environment,
):
    cluster, client = environment.cluster, environment.client
    cluster.publish_catalog()
    # A unit that is to be tried again long after the timeout, and after the training has begun: a
    # timer in the ledger, and no message that Celery hands out again.
    later = client.classify(["later"], model="echo@1")
    claim = environment.ledger.work.claim("one that gives up", ["classify.echo@1"])
    assert claim is not None
    began = time.monotonic()
    assert environment.ledger.work.release_unit(claim.units[0], wait_s=14.0)
    for name in ("w1", "w2", "w3"):
        cluster.start(name, visibility_timeout_s=2)
    for worker in cluster.workers:
        worker.wait_until_ready()
    job = environment.train(epochs=1_000, step_ms=50)
    environment.wait_for("saved 1")
    found: list[bytes] = []

    def others_wait() -> bool:
        found[:] = environment.wakeups_being_answered()
        return len(found) == 1

    wait_until(others_wait, "the others wait for wakeups")
    (wakeup,) = found

    # Celery looks every 10 s for wakeups that have been answered for so long, and redelivers them.
    wait_until(lambda: wakeup not in environment.wakeups_being_answered(), "Celery redelivers it")
    redelivered_at = environment.steps()[-1]
    environment.wait_for(f"saved {redelivered_at + 10}")
    job.cancel()
    done = [result.output.label for result in later.results()]
    waited_s = time.monotonic() - began

    assert environment.diary().count("begin") == 1
    assert environment.steps() == list(range(1, environment.steps()[-1] + 1))
    assert done == ["later"]
    assert waited_s > 13.9
    assert cluster.starts_of_units(later.job_id) == [2]


def a_cancelled_training(running: Environment, cure: Path, **options) -> JobHandle:
    """Cancel a training in its fourth epoch; one that resumes it is not held any more."""
    cure.unlink(missing_ok=True)
    job = running.train(epochs=6, step_ms=0, trick="held", **options)
    running.wait_for("saved 3")
    job.cancel()
    wait_until(lambda: running.staged(job) == [], "the worker let go of it")
    cure.touch()
    return job


def test_a_cancelled_training_is_gone_on_from_by_the_job_that_resumes_it(
    running: Environment, cure: Path
):
    before = running.store.numbers("echo"), running.store.labels("echo")
    cancelled = a_cancelled_training(running, cure, labels=["resumed"], held_out=["good"])
    versions, labels = running.store.numbers("echo"), running.store.labels("echo")
    learnt = int(running.diary()[-1].split()[1])

    resumed = running.client.resume(cancelled.job_id)
    told = epochs_told(resumed)

    assert (versions, labels) == before
    assert resumed.record().state is JobState.COMPLETED
    assert resumed.job_id != cancelled.job_id
    # The step in hand at the cancel counts for nothing: its checkpoint came too late.
    first = running.steps_of_last_begin()[0]
    assert first <= learnt + 1
    assert told == list(range(first, 7))
    assert log_lines(resumed) == [
        f"The training goes on from a checkpoint of {cancelled.job_id}.",
        "learnt 2 records",
        "validated on ['good'] of the held-out upload",
    ]
    labels = running.store.labels("echo")
    # A busy machine may cancel it as it publishes: its number goes to no other then.
    assert labels["resumed"] == labels["latest"] > versions[-1]


def test_a_paused_training_releases_its_worker_and_goes_on_where_it_was(
    running: Environment, cure: Path
):
    job = running.train(epochs=8, step_ms=0, trick="held")
    running.wait_for("saved 3")

    job.pause()
    list(running.client.classify(["a"], model="echo").results())
    steps_when_paused = running.steps()
    cure.touch()
    running.client.resume(job.job_id)

    assert job.wait(timeout_s=120).state is JobState.COMPLETED
    assert steps_when_paused == [1, 2, 3]
    assert running.steps() == list(range(1, 9))
    names = [event.event for event in job.events()]
    assert names.count("paused") == names.count("resumed") == 1


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_gone_on_from_where_there_is_one(
    running: Environment, cure: Path
):
    cancelled = a_cancelled_training(running, cure)
    newest, before = running.checkpoint_files(cancelled)
    newest.write_bytes(newest.read_bytes().replace(b"learnt", b"earned"))
    learnt = before.read_text().partition('"learnt": ')[2].partition(",")[0]

    resumed = running.client.resume(cancelled.job_id)

    assert resumed.wait(timeout_s=120).state is JobState.COMPLETED
    assert epochs_told(resumed) == list(range(int(learnt) + 1, 7))
    (line,) = [line for line in log_lines(resumed) if "checkpoint" in line]
    assert line.startswith(f"{newest} is not the file that was saved: its SHA-256 should be ")
    assert line.endswith("The training goes on from the checkpoint before it.")

    # Where all are damaged, the training fails and says what to do.
    cancelled = a_cancelled_training(running, cure)
    newest, before = running.checkpoint_files(cancelled)
    newest.unlink()
    before.write_bytes(before.read_bytes()[:-1])
    resumed = running.client.resume(cancelled.job_id)
    with pytest.raises(JobFailed) as raised:
        resumed.wait(timeout_s=120)

    failure = raised.value.failure
    assert (failure.code, failure.retryable) == ("checkpoint_damaged", False)
    assert failure.message.startswith(
        f"No checkpoint of training {cancelled.job_id} can be gone on from. {newest} cannot be "
        f"read: No such file or directory; {before} is not the file that was saved: "
    )
    assert failure.message.endswith(
        "Hand the training in again without `continues`, and it begins anew."
    )
    assert running.store.find_by_run("echo", resumed.job_id) is None


def test_a_disk_that_is_full_at_a_checkpoint_fails_the_training_which_goes_on_later(
    environment: Environment,
):
    worker = environment.cluster.start_ready()
    job = environment.train(epochs=6, step_ms=600, trick="ballast")
    environment.wait_for("saved 2")
    child = worker.child_pid()
    soft, hard = resource.prlimit(child, resource.RLIMIT_FSIZE)
    resource.prlimit(child, resource.RLIMIT_FSIZE, (64 * 1024, hard))

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=120)
    resource.prlimit(child, resource.RLIMIT_FSIZE, (soft, hard))

    failure = raised.value.failure
    assert (failure.code, failure.retryable) == ("no_fit_worker", True)
    assert failure.message.startswith(
        "No worker that is up can run the training of echo. w1: unwritable: a training cannot "
        f"write {environment.data_dir}/checkpoints/{job.job_id}: File too large. "
    )
    assert environment.store.numbers("echo") == [1]
    wait_until(lambda: environment.staged(job) == [], "half the version is cleared away")
    assert len(environment.checkpoint_files(job)) == 2

    resumed = environment.client.resume(job.job_id)
    assert resumed.wait(timeout_s=120).state is JobState.COMPLETED
    assert environment.diary().count("step 1") == 1

    # Nor does a store that may not be written lose or win anything.
    versions = environment.store.numbers("echo")
    staging = environment.cluster.settings.store_dir / ".staging"
    staging.rmdir()
    staging.write_text("root may write everywhere, but not into a file as if it were a folder")

    with pytest.raises(JobFailed) as raised:
        environment.train(epochs=1, step_ms=0).wait(timeout_s=120)

    assert raised.value.failure.code == "no_fit_worker"
    assert str(staging) in raised.value.failure.message
    assert environment.store.numbers("echo") == versions


def make_sick(environment: Environment, worker: LiveWorker, sick: str) -> None:
    (environment.data_dir / f"sick-{worker.name}").write_text(sick)


def all_are_fit_after_a_training(environment: Environment) -> bool:
    environment.train(epochs=1, step_ms=0).wait(timeout_s=120)
    return not any(worker.unfit for worker in environment.ledger.fleet.workers())


def test_a_training_goes_on_elsewhere_from_its_checkpoint_when_its_worker_becomes_unfit(
    environment: Environment,
):
    workers = start_two(environment.cluster, unfit_grace_s=30.0)
    for sick in ("disk", "memory", "cuda"):
        (environment.data_dir / "cured").unlink(missing_ok=True)
        job = environment.train(epochs=6, step_ms=0, trick="held")
        environment.wait_for("saved 3")
        worker = environment.cluster.wait_for_holder(job.job_id, workers)

        make_sick(environment, worker, f"train {sick}\nwarm_up {sick}")
        (environment.data_dir / "cured").touch()

        assert job.wait(timeout_s=120).state is JobState.COMPLETED
        assert environment.diary().count("begin") == 2
        assert environment.steps() == list(range(1, 7))
        assert environment.cluster.crashes(job.job_id) == 0
        make_sick(environment, worker, "")
        # Who was unfit says so until it has trained again.
        wait_until(lambda: all_are_fit_after_a_training(environment), "both can train")
