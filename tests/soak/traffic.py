"""The mixed work of a soak: small jobs, bulk, files, streams, trainings, cancels, faults, inbox.

Each kind of work is a function that does it once and checks what came out; a thread each does it
again and again, with a pause, until the soak is over. The pauses leave the machine idle for a good
part of the time, so that what waits does not grow.
"""

import json
import random
import secrets
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from redis import Redis

from seqd.cli.demo.sample_data import compose_reviews, compose_text
from seqd.client import Client
from seqd.errors import JobCancelled
from seqd_schemas import Classification, FileSource, ItemFailure, ItemSuccess, JobState, Keys
from soak.hosts import Hosts

#: Seconds for which an ended job is kept: the least that is allowed, so that the keys level off.
KEPT_S = 60
#: Seconds that any single job may take; more is a job that is stuck.
JOB_S = 300.0
VERSIONS_KEPT = 3
REVIEWS = 4_000
FILE_LINES = 12_000


@dataclass
class Traffic:
    """Work under way, and what has been done so far."""

    hosts: Hosts
    folder: Path
    #: Items that have come out as they had to, by kind of work.
    items: Counter[str] = field(default_factory=Counter)
    #: What went wrong, as tracebacks; the first one ends the soak.
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reviews = [review.text for review in compose_reviews(REVIEWS)]
        self._file = self.folder / "reviews.jsonl"
        with self._file.open("w", encoding="utf-8") as file:
            for number in range(FILE_LINES):
                text = self._reviews[number % REVIEWS]
                file.write(json.dumps({"custom_id": f"line-{number}", "text": text}) + "\n")
        self._text = compose_text(20_000)
        self._ended = Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Do all kinds of work until the block ends; wait then until each is done."""
        threads = [
            Thread(target=self._repeat, args=(work, pause_s), name=f"soak-{work.__name__}")
            for work, pause_s in self._kinds()
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(JOB_S)

    def wait(self, seconds: float) -> bool:
        """Wait; return False at once where something went wrong."""
        deadline = time.monotonic() + seconds
        while not self.faults and (left_s := deadline - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.2))
        return not self.faults

    def _kinds(self) -> list[tuple[Callable[[Client, random.Random], int], float]]:
        """Return the kinds of work, each with the seconds between two rounds."""
        return [
            (self.small_jobs, 0.3),
            (self.bulk, 3.0),
            (self.file, 10.0),
            (self.streams, 1.0),
            (self.trainings, 5.0),
            (self.cancels, 4.0),
            (self.failing_items, 2.0),
            (self.dying_children, 30.0),
            (self.inbox, 1.0),
            (self.new_clients, 1.0),
        ]

    def _repeat(self, work: Callable[[Client, random.Random], int], pause_s: float) -> None:
        choice = random.Random(work.__name__)
        while not self._ended.is_set() and not self.faults:
            try:
                self.items[work.__name__] += work(self.hosts.client, choice)
            except Exception:  # noqa: BLE001  whatever it is, it ends the soak
                self.faults.append(f"{work.__name__}: {traceback.format_exc()}")
            self._ended.wait(pause_s)

    def small_jobs(self, client: Client, choice: random.Random) -> int:
        """Thirty reviews, each a job of its own."""
        texts = choice.sample(self._reviews, 30)
        jobs = client.classify_each(texts, results_ttl_s=KEPT_S, tenant="small")
        for ended in client.as_completed(jobs, timeout_s=JOB_S):
            (result,) = ended.results()
            _expect(isinstance(result, ItemSuccess), result)
        return len(jobs)

    def bulk(self, client: Client, choice: random.Random) -> int:
        """An uploaded job of some thousand reviews."""
        job = client.classify(iter(self._reviews), results_ttl_s=KEPT_S, tenant="bulk")
        return _all_labelled(job.results(), len(self._reviews))

    def file(self, client: Client, choice: random.Random) -> int:
        """A job whose file the workers read."""
        source = FileSource(path=str(self._file))
        job = client.classify(source, results_ttl_s=KEPT_S, tenant="file", priority="bulk")
        return _all_labelled(job.results(), FILE_LINES)

    def streams(self, client: Client, choice: random.Random) -> int:
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
        _expect(characters >= 400, characters)
        return len(prompts)

    def trainings(self, client: Client, choice: random.Random) -> int:
        """A training with its events; older versions are removed, as an operator would."""
        job = client.train(
            [self._text], model="markov", preset=None, results_ttl_s=KEPT_S, tenant="trainings"
        )
        events = sum(1 for _ in job.events())
        record = job.wait(JOB_S)
        _expect(record.state is JobState.COMPLETED and events > 2, record)
        store = self.hosts.first.store
        for number in sorted(store.numbers("markov"))[:-VERSIONS_KEPT]:
            shutil.rmtree(store.folder_of("markov") / str(number))
        return 1

    def cancels(self, client: Client, choice: random.Random) -> int:
        """A job that is cancelled while it runs, and one before."""
        job = client.classify(iter(self._reviews * 2), results_ttl_s=KEPT_S, tenant="cancels")
        time.sleep(choice.uniform(0, 0.5))
        job.cancel()
        with suppress(JobCancelled):
            job.wait(JOB_S)
        record = job.record()
        _expect(record.state in (JobState.CANCELLED, JobState.COMPLETED), record)
        return 1

    def failing_items(self, client: Client, choice: random.Random) -> int:
        """A job one of whose items in ten makes the plugin raise, and its retry."""
        texts = [
            f"fault {secrets.token_hex(8)}" if n % 10 == 0 else f"well {n}" for n in range(300)
        ]
        job = client.classify(texts, model="raising", results_ttl_s=KEPT_S, tenant="failing")
        failed = sum(isinstance(result, ItemFailure) for result in job.results())
        _expect(failed == 30, failed)
        again = client.retry(job.job_id)
        failed = sum(isinstance(result, ItemFailure) for result in again.results())
        _expect(failed == 30, failed)
        return len(texts)

    def dying_children(self, client: Client, choice: random.Random) -> int:
        """A job one of whose items ends the process that works on it."""
        place = choice.randrange(40)
        texts = ["fault" if number == place else f"well {number}" for number in range(40)]
        job = client.classify(texts, model="dying", results_ttl_s=KEPT_S, tenant="dying")
        failed = [at for at, result in enumerate(job.results()) if isinstance(result, ItemFailure)]
        _expect(failed == [place], failed)
        return len(texts)

    def inbox(self, client: Client, choice: random.Random) -> int:
        """A job that comes by the inbox, and an entry that is none."""
        keys = Keys()
        job_id = f"inbox-{secrets.token_hex(6)}"
        items = [{"custom_id": "one", "text": choice.choice(self._reviews)}]
        request = {
            "kind": "classify",
            "model": "imdb_lstm",
            "source": {"type": "inline", "items": items},
            "results_ttl_s": KEPT_S,
        }
        with Redis.from_url(self.hosts.url) as redis:
            redis.xadd(keys.inbox(), {"id": f"{job_id}-not", "job": "this is no job"})
            redis.xadd(keys.inbox(), {"id": job_id, "job": json.dumps(request)})
            deadline = time.monotonic() + JOB_S
            while not redis.exists(keys.job(job_id)):
                _expect(time.monotonic() < deadline, "the inbox was not answered")
                time.sleep(0.05)
        return _all_labelled(client.job(job_id).results(), 1)

    def new_clients(self, client: Client, choice: random.Random) -> int:
        """A client that comes, asks once and leaves."""
        with Client(self.hosts.url) as other:
            job = other.classify([choice.choice(self._reviews)], results_ttl_s=KEPT_S)
            return _all_labelled(job.results(), 1)


def _all_labelled(results: Iterator[ItemSuccess | ItemFailure], count: int) -> int:
    labelled = sum(
        isinstance(result, ItemSuccess) and isinstance(result.output, Classification)
        for result in results
    )
    _expect(labelled == count, labelled)
    return labelled


def _expect(holds: bool, found: object) -> None:
    if not holds:
        raise AssertionError(f"not as it must be: {found!r:.500}")
