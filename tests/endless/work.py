"""What an endless run gives the daemon to do: twelve kinds of work, each judged when it is done.

A kind does one round of its work and returns what came of it; a thread each does it again and
again, with a pause, until the run is over. The pauses leave the machine idle for a good part of the
time, so that what waits does not grow. `large` and `reviews` are what faults are aimed at: one job
after the other, each over the same items.
"""

import gzip
import json
import random
import secrets
import shutil
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event, Lock, Thread

from redis import Redis, RedisError

from endless.fleet import STEERED, Fleet, patiently
from endless.judgement import Tally, judged
from seqd.cli.demo.sample_data import compose_reviews, compose_text
from seqd.client import Client, JobHandle
from seqd.errors import REDIS_ERRORS, JobCancelled, NoFitWorker, OrderUnfinished, WrongState
from seqd_schemas import (
    Classification,
    FileSource,
    Item,
    ItemFailure,
    ItemSuccess,
    JobState,
)
from worker_fixtures import wait_until

#: Seconds for which an ended job is kept: the least that is allowed, so that the keys level off.
KEPT_S = 60
#: Seconds that any single job may take; more is a job that is stuck.
JOB_S = 300.0
VERSIONS_KEPT = 3
#: What a round may raise under faults, though it is nobody's mistake: it is begun anew.
INTERRUPTED = (RedisError, *REDIS_ERRORS, NoFitWorker, OrderUnfinished, WrongState)
FILE_LINES = 12_000

#: The kinds of each sort of work, with the seconds between two rounds. Under faults there is no
#: item that kills its process: it would do so at each of very many attempts.
KINDS = {
    "mixed": {
        "small_jobs": 0.3,
        "bulk": 3.0,
        "file": 10.0,
        "streams": 1.0,
        "trainings": 5.0,
        "cancels": 4.0,
        "failing_items": 2.0,
        "dying_children": 30.0,
        "inbox": 1.0,
        "new_clients": 1.0,
        "versions": 2.0,
    },
    "pace": {"large": 0.0},
    "reviews": {"large": 0.0},
}


@dataclass(frozen=True)
class Reviews:
    """Reviews with their identifiers, read anew each time: their texts are not kept."""

    read: Callable[[], Iterator[tuple[str, str]]]

    @classmethod
    def composed(cls, count: int) -> "Reviews":
        """Make some up."""
        texts = [review.text for review in compose_reviews(count)]
        return cls(lambda: ((f"review-{n}", text) for n, text in enumerate(texts)))

    @classmethod
    def of_file(cls, path: Path, limit: int | None) -> "Reviews":
        """Take JSON Lines, gzipped, of `id` and `text`."""

        def read() -> Iterator[tuple[str, str]]:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                for line in islice(lines, limit):
                    row = json.loads(line)
                    yield row["id"], row["text"]

        return cls(read)

    def items(self) -> Iterator[Item]:
        """Yield them as items of a job."""
        return (Item(custom_id=name, text=text) for name, text in self.read())


@dataclass
class Work:
    """Work under way, and what has been done so far."""

    fleet: Fleet
    folder: Path
    #: Items of a job of kind `large`, and the milliseconds that 512 of them take.
    items: int
    unit_ms: float
    #: What jobs of reviews are made of.
    reviews: Reviews
    #: True where Redis and workers are taken away meanwhile.
    is_disturbed: bool = False
    #: What came of each kind.
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    #: What went wrong, as tracebacks; the first one ends the run.
    errors: list[str] = field(default_factory=list)
    #: The job of kind `large`, while it is worked on.
    large_job: JobHandle | None = None
    large_jobs: int = 0

    def __post_init__(self) -> None:
        self._texts = [text for _, text in islice(self.reviews.read(), 4_000)]
        self._file = self.folder / "reviews.jsonl"
        self._text = compose_text(20_000)
        self._ids: list[str] = []
        self._labels: dict[str, str] = {}
        self._ended = Event()
        #: Held while somebody breaks something, and while results are read.
        self.at_rest = Lock()

    def learn_labels(self) -> None:
        """Learn from an undisturbed job which labels the reviews must get."""
        job = self.fleet.client.classify(self.reviews.items(), model="imdb_lstm")
        self._labels = {
            result.custom_id: result.output.label
            for result in job.results()
            if isinstance(result, ItemSuccess) and isinstance(result.output, Classification)
        }
        self._ids = [name for name, _ in self.reviews.read()]
        assert list(self._labels) == self._ids, "an undisturbed job has not labelled each review"
        with self._file.open("w", encoding="utf-8") as file:
            for number in range(FILE_LINES):
                text = self._texts[number % len(self._texts)]
                file.write(json.dumps({"custom_id": f"row-{number + 1}", "text": text}) + "\n")

    @contextmanager
    def running(self, kinds: dict[str, float]) -> Iterator[None]:
        """Do these kinds of work until the block ends; wait then until each is done."""
        threads = [
            Thread(target=self._repeat, args=(name, pause_s), name=f"endless-{name}")
            for name, pause_s in kinds.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(JOB_S)
                if thread.is_alive():
                    self.errors.append(f"{thread.name} did not end within {JOB_S:g} s")

    def wait(self, seconds: float) -> bool:
        """Wait; return False at once where something went wrong."""
        deadline = time.monotonic() + seconds
        while not self.errors and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.2))
        return not self.errors

    def _repeat(self, name: str, pause_s: float) -> None:
        choice = random.Random(name)
        while not self._ended.is_set() and not self.errors:
            try:
                tally = getattr(self, name)(self.fleet.client, choice)
            except Exception as error:  # noqa: BLE001  whatever it is, it ends the run
                if self.is_disturbed and isinstance(error, INTERRUPTED):
                    continue
                self.errors.append(f"{name}: {traceback.format_exc()}")
                return
            self.tallies[name].add(tally)
            if not tally.is_clean:
                self.errors.append(f"{name}: {tally}")
            self._ended.wait(pause_s)

    def _label(self, place: int) -> str:
        """Return the label of a job's review: these are the first ones, again and again."""
        return self._labels[self._ids[place % len(self._texts)]]

    def large(self, client: Client, choice: random.Random) -> Tally:
        """A job of very many texts, or of all reviews, at which faults are aimed."""
        self.large_jobs += 1
        name = f"large-{self.large_jobs}"
        # The connections may have been cut since the last call; the name makes it one job.
        job = patiently(lambda: self._hand_in(client, name))
        self.large_job = job
        while not patiently(job.record).state.is_terminal:
            time.sleep(0.05)
        with self.at_rest:
            self.large_job = None
            if self._labels:
                ids, labels = self._ids, self._labels
                return judged(job.results(), len(ids), ids=ids, label=lambda n: labels[ids[n]])
            return judged(job.results(), self.items, label=lambda place: f"text {place}")

    def _hand_in(self, client: Client, name: str) -> JobHandle:
        if self._labels:
            count = len(self._ids)
            items = self.reviews.items()
            return client.classify(items, model="imdb_lstm", expected_items=count, job_id=name)
        return client.classify(
            (f"text {place}" for place in range(self.items)),
            model="pace",
            parameters={"unit_ms": self.unit_ms},
            expected_items=self.items,
            job_id=name,
        )

    def small_jobs(self, client: Client, choice: random.Random) -> Tally:
        """Thirty reviews, each a job of its own."""
        places = choice.sample(range(len(self._texts)), 30)
        texts = [self._texts[place] for place in places]
        jobs = client.classify_each(texts, results_ttl_s=KEPT_S, tenant="small")
        numbers = {job.job_id: number for number, job in enumerate(jobs)}
        tally = Tally()
        for ended in client.as_completed(jobs, timeout_s=JOB_S):
            number = numbers[ended.job_id]
            label, ids = self._label(places[number]), [f"row-{number + 1}"]
            tally.add(judged(ended.results(), 1, ids=ids, label=lambda _, label=label: label))
        tally.lost += len(texts) - tally.items
        return tally

    def bulk(self, client: Client, choice: random.Random) -> Tally:
        """An uploaded job of some thousand reviews."""
        job = client.classify(iter(self._texts), results_ttl_s=KEPT_S, tenant="bulk")
        return judged(job.results(), len(self._texts), label=self._label)

    def file(self, client: Client, choice: random.Random) -> Tally:
        """A job whose file the workers read."""
        source = FileSource(path=str(self._file))
        job = client.classify(source, results_ttl_s=KEPT_S, tenant="file", priority="bulk")
        return judged(job.results(), FILE_LINES, label=self._label)

    def streams(self, client: Client, choice: random.Random) -> Tally:
        """Texts that are read while they are written."""
        prompts = ["the ", "and so ", "in the morning "]
        job = client.generate(
            prompts,
            model="markov@0",
            stream=True,
            parameters={"length": 400, "seed": choice.randrange(2**32)},
            results_ttl_s=KEPT_S,
        )
        characters = sum(len(streamed.text) for streamed in job.stream())
        assert characters >= 400, characters
        return judged(job.results(), len(prompts))

    def trainings(self, client: Client, choice: random.Random) -> Tally:
        """A training with its events; older versions are removed, as an operator would."""
        job = client.train(
            [self._text], model="markov", preset=None, results_ttl_s=KEPT_S, tenant="trainings"
        )
        events = sum(1 for _ in job.events())
        record = job.wait(JOB_S)
        assert record.state is JobState.COMPLETED and events > 2, record
        versions = (self.fleet.first.up.settings.store_dir / "markov").glob("[0-9]*")
        for version in sorted(versions, key=lambda path: int(path.name))[:-VERSIONS_KEPT]:
            shutil.rmtree(version)
        return Tally(1)

    def cancels(self, client: Client, choice: random.Random) -> Tally:
        """A job that is cancelled while it runs, or before."""
        job = client.classify(iter(self._texts * 2), results_ttl_s=KEPT_S, tenant="cancels")
        time.sleep(choice.uniform(0, 0.5))
        job.cancel()
        with suppress(JobCancelled):
            job.wait(JOB_S)
        record = job.record()
        assert record.state in (JobState.CANCELLED, JobState.COMPLETED), record
        return Tally(1)

    def failing_items(self, client: Client, choice: random.Random) -> Tally:
        """A job one of whose items in ten makes the plugin raise, and its retry."""
        fails = range(0, 300, 10)
        texts = [f"fault {secrets.token_hex(8)}" if n in fails else f"well {n}" for n in range(300)]
        job = client.classify(texts, model="pace", results_ttl_s=KEPT_S, tenant="failing")
        tally = judged(job.results(), len(texts), label=texts.__getitem__, fails=fails)
        failed = [f"row-{place + 1}" for place in fails]
        again = client.retry(job.job_id).results()
        tally.add(judged(again, len(failed), ids=failed, fails=range(len(failed))))
        return tally

    def dying_children(self, client: Client, choice: random.Random) -> Tally:
        """A job one of whose items ends the process that works on it."""
        fault = choice.randrange(40)
        texts = ["fault" if number == fault else f"well {number}" for number in range(40)]
        job = client.classify(texts, model="dying", results_ttl_s=KEPT_S, tenant="dying")
        return judged(job.results(), len(texts), label=texts.__getitem__, fails=[fault])

    def inbox(self, client: Client, choice: random.Random) -> Tally:
        """A job that comes by the inbox, and an entry that is none."""
        keys = self.fleet.settings.keys
        job_id = f"inbox-{secrets.token_hex(6)}"
        request = {
            "kind": "classify",
            "model": "imdb_lstm",
            "source": {"type": "inline", "items": [{"custom_id": "row-1", "text": self._texts[0]}]},
            "results_ttl_s": KEPT_S,
        }
        with Redis.from_url(self.fleet.url) as redis:
            redis.xadd(keys.inbox(), {"id": f"{job_id}-not", "job": "this is no job"})
            redis.xadd(keys.inbox(), {"id": job_id, "job": json.dumps(request)})
            wait_until(lambda: bool(redis.exists(keys.job(job_id))), "the inbox answers", JOB_S)
        return judged(client.job(job_id).results(), 1, label=self._label)

    def new_clients(self, client: Client, choice: random.Random) -> Tally:
        """A client that comes, asks once and leaves."""
        with Client(self.fleet.url) as other:
            job = other.classify([self._texts[0]], results_ttl_s=KEPT_S)
            return judged(job.results(), 1, label=self._label)

    def versions(self, client: Client, choice: random.Random) -> Tally:
        """Jobs on a model by its bare name, amid which another version is tried or put in service.

        Each runs on the version that was in service when it was handed in.
        """
        model = client.model(STEERED)
        if model.rollout is not None:  # left by a round that was interrupted
            model.end_rollout()
        before = model.in_service
        others = [one.version for one in model.versions if one.version != before]
        other, texts = choice.choice(others), [f"text {number}" for number in range(2_000)]
        tally = Tally()

        def hand_in() -> JobHandle:
            # The first is read last, when the others have ended.
            return client.classify(
                texts, model=STEERED, results_ttl_s=int(JOB_S), tenant="versions"
            )

        first = hand_in()
        model.canary(other, 0.3)
        shared = hand_in()
        tally.add(judged(shared.results(), len(texts)))
        computed_by = {(result.version, _prefix_of(result)) for result in shared.results()}
        assert computed_by == {(before, f"{before}"), (other, f"{other}")}, computed_by
        model.end_rollout()
        model.promote(other)
        second = hand_in()
        if choice.random() < 0.5:
            model.rollback()
            other = before
        for job, version in ((first, before), (hand_in(), other)):
            tally.add(judged(job.results(), len(texts), label=f"{version}:text {{}}".format))
        assert second.wait(JOB_S).state is JobState.COMPLETED
        return tally


def _prefix_of(result: ItemSuccess | ItemFailure) -> str:
    assert isinstance(result, ItemSuccess) and isinstance(result.output, Classification), result
    return result.output.label.partition(":")[0]
