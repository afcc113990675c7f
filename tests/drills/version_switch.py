"""`python -m drills.version_switch SEED …`: versions go in and out of service under load.

A bulk job and one single-review job after another run on a model by its bare name, while versions
are promoted, tried as canaries, rolled back and removed and workers are killed, at random. Each
item has exactly one result. Each single job runs on the version that was in service when it was
handed in; while a command changes that, on the one before or behind it. Each result of a job that
takes part in a canary names one of its two versions, and that of no other job names one. Then, with
nobody killed, how long single jobs take in the 5 s after a switch, beside all before the first.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from checkout import use_checkout
from drills.load import DEADLINE_S, seqd
from endless.judgement import judged
from seqd.client import Client
from seqd_schemas import Item, JobState
from up_builders import Up, running_up
from worker_fixtures import wait_until

MODEL = "topics"
WORDS = {"sport": "striker goal match cup", "politics": "law vote budget minister"}

#: Items of the bulk job, changes of a seed, and seconds between two of them.
BULK_ITEMS, CHANGES, PAUSE_S = 100_000, 24, 1.0


@dataclass
class Switch:
    """A change of the version in service, by a command."""

    before: int
    after: int
    began_s: float
    ended_s: float = float("inf")


@dataclass
class Single:
    """A job of one review."""

    sent_s: float
    took_s: float
    version: int | None
    state: JobState
    #: The candidate of a canary that it takes part in, and what its result names.
    candidate: int | None = None
    named: int | None = None

    @property
    def is_named_rightly(self) -> bool:
        """True where the result names one of the two versions, or none where there is one."""
        if self.candidate is None:
            return self.named is None
        return self.named in (self.version, self.candidate)


@dataclass
class Watched:
    """What has been in service when, and the single jobs."""

    switches: list[Switch] = field(default_factory=list)
    singles: list[Single] = field(default_factory=list)

    def wrong(self, first: int) -> list[Single]:
        """Return the single jobs that ran on a version that was not in service, or failed."""
        return [
            one
            for one in self.singles
            if one.state is not JobState.COMPLETED
            or one.version not in self._allowed(one, first)
            or not one.is_named_rightly
        ]

    def _allowed(self, one: Single, first: int) -> set[int]:
        serving, allowed = first, set[int]()
        for switch in self.switches:
            if switch.began_s > one.sent_s + one.took_s:
                break
            if switch.ended_s >= one.sent_s:
                allowed |= {switch.before, switch.after}
            serving = switch.after
        done = [switch for switch in self.switches if switch.ended_s < one.sent_s]
        return allowed | {done[-1].after if done else first} if allowed else {serving}


class Fleet:
    """A `seqd up` with two workers, a model with versions, and commands on it."""

    def __init__(self, up: Up, seed: int) -> None:
        self._up = up
        self._drawn = random.Random(seed)
        self.settings = up.settings
        self.watched = Watched()
        self._train_file = up.settings.data_dir / "train.jsonl"
        with self._train_file.open("w") as file:
            for number in range(80):
                label = list(WORDS)[number % 2]
                file.write(json.dumps({"text": f"{WORDS[label]} {number}", "label": label}) + "\n")
        self.train("imdb_lstm", "--as", MODEL)
        for _ in range(3):
            self.train(MODEL)
        self.first = self.serving = 1

    def train(self, *words: str) -> None:
        """Make a version."""
        self.seqd(
            "train",
            *words,
            "--data",
            str(self._train_file),
            "--preset",
            "tutorial",
            "--param",
            "epochs=2",
        )

    def change(self, *, kills: bool) -> str:
        """Change something at random; return what."""
        what = self._drawn.choice(
            ["promote", "promote", "canary", "rollback", "rm", *(["kill"] if kills else [])]
        )
        with Client(settings=self.settings) as client:
            entry = client.catalog()[MODEL]
            workers = client.workers()
        versions = [one.version for one in entry.versions]
        others = [one for one in versions if one != self.serving]
        if what == "kill":
            with suppress(ProcessLookupError):  # killed before, and not replaced yet
                os.kill(self._drawn.choice(workers).pid, signal.SIGKILL)
            return what
        if what == "rm" and len(others) > 2:
            self.seqd("models", "rm", f"{MODEL}@{self._drawn.choice(others)}", may_fail=True)
            self.train(MODEL)
            return what
        if what == "canary":
            ref = f"{MODEL}@{self._drawn.choice(others)}"
            self.seqd("models", "promote", ref, "--share", "30%")
            return what
        if what == "rollback" and entry.rollout is not None:
            # A canary that workers were killed with may have ended by itself meanwhile.
            ref = f"{MODEL}@{entry.rollout.version}"
            self.seqd("models", "promote", ref, "--share", "0%", may_fail=True)
            return "end of a canary"
        if what == "rollback":
            told = json.loads(self.seqd("models", "history", MODEL, "--json"))
            back = [
                one["from_version"]
                for one in told
                if one.get("to_version") == self.serving
                and one.get("from_version") != self.serving
                and not one.get("is_rollback")
            ]
            if back and back[-1] in versions:
                self.switch(back[-1], "models", "rollback", MODEL)
                return what
        version = self._drawn.choice(others)
        self.switch(version, "models", "promote", f"{MODEL}@{version}")
        return "promote"

    def switch(self, version: int, *words: str) -> None:
        """Put a version in service by a command, and note when that was."""
        switch = Switch(self.serving, version, time.monotonic())
        self.watched.switches.append(switch)
        self.seqd(*words)
        switch.ended_s = time.monotonic()
        self.serving = version

    def seqd(self, *words: str, may_fail: bool = False) -> str:
        """Run a command; return what it prints."""
        return seqd(self._up, *words, may_fail=may_fail)

    @contextmanager
    def single_jobs(self) -> Iterator[None]:
        """Hand one single-review job in after another while the block runs."""
        is_over = Event()
        errors: list[BaseException] = []

        def run() -> None:
            try:
                with Client(settings=self.settings) as client:
                    number = 0
                    while not is_over.wait(0.02):
                        number += 1
                        began_s = time.monotonic()
                        job = client.classify(
                            [f"goal {number}"], model=MODEL, priority="interactive"
                        )
                        record = job.wait(timeout_s=DEADLINE_S)
                        took_s = time.monotonic() - began_s
                        named = [result.version for result in job.results()]
                        tried = record.rollout.version if record.rollout else None
                        self.watched.singles.append(
                            Single(began_s, took_s, record.version, record.state, tried, named[0])
                        )
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

        thread = Thread(target=run, name="single-jobs")
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
        if errors:
            raise errors[0]


def run(seed: int) -> bool:
    """Run a seed; print a row, and return whether nothing was wrong."""
    with tempfile.TemporaryDirectory(prefix="seqd-drill-") as name:
        folder = Path(name)
        with running_up(
            folder,
            plugins="imdb_lstm",
            slots="all@cpu:0,all@cpu:1",
            ready_s=150.0,
            lease_s=5.0,
            heartbeat_s=1.0,
        ) as up:
            fleet = Fleet(up, seed)
            with Client(settings=up.settings) as client, fleet.single_jobs():
                wait_until(lambda: len(fleet.watched.singles) > 20, "single jobs run", DEADLINE_S)
                fleet.seqd("models", "promote", f"{MODEL}@2", "--share", "30%")
                bulk = client.classify(_bulk(fleet), model=MODEL)
                done: list[str] = []
                for _ in range(CHANGES):
                    time.sleep(PAUSE_S)
                    done.append(fleet.change(kills=True))
                record = bulk.wait(timeout_s=DEADLINE_S)
                result = judged(bulk.results(), BULK_ITEMS)
                assert record.version == fleet.first, record
                assert record.rollout is not None, record
                named = Counter(one.version for one in bulk.results())
                # None: computed by the version of the job, once the canary was ended.
                assert set(named) <= {fleet.first, record.rollout.version, None}, named
            wrong = fleet.watched.wrong(fleet.first)
            for one in wrong[:5]:
                print(f"wrong: {one}", file=sys.stderr)
            calm = _calm(fleet)
    told = ", ".join(f"{done.count(what)} {what}" for what in sorted(set(done)))
    print(
        f"| {seed} | {result.items:,} | {result.lost} | {result.doubled} | {result.failed} | "
        f"{named[2]:,} | {len(fleet.watched.singles)} | {len(wrong)} | {told} | {calm} |",
        flush=True,
    )
    return result.is_clean and not wrong


def _bulk(fleet: Fleet) -> Iterator[Item]:
    """Yield the bulk job's items, spread over the time of the changes."""
    began_s = time.monotonic()
    for number in range(1, BULK_ITEMS + 1):
        if number % 1_000 == 0:
            due_s = began_s + number / BULK_ITEMS * CHANGES * PAUSE_S
            time.sleep(max(0.0, due_s - time.monotonic()))
        yield Item(custom_id=f"row-{number}", text=f"goal vote {number}")


def _calm(fleet: Fleet) -> str:
    """Return how long single jobs take after a switch, beside those before, with nobody killed."""
    quiet = Watched()
    fleet.watched, fleet.first = quiet, fleet.serving
    with Client(settings=fleet.settings) as client, fleet.single_jobs():
        bulk = client.classify(_bulk(fleet), model=MODEL)
        time.sleep(8)
        for _ in range(3):
            others = [one.version for one in client.catalog()[MODEL].versions]
            version = next(one for one in others if one != fleet.serving)
            fleet.switch(version, "models", "promote", f"{MODEL}@{version}")
            time.sleep(5)
        bulk.cancel()
    first_s = quiet.switches[0].began_s
    before = sorted(one.took_s for one in quiet.singles if one.sent_s < first_s)
    p99_s = before[int(0.99 * (len(before) - 1))]
    after = [
        one.took_s
        for one in quiet.singles
        if any(0 <= one.sent_s - switch.ended_s < 5 for switch in quiet.switches)
    ]
    return f"{1000 * p99_s:.0f} ms | {1000 * max(after):.0f} ms | {max(after) / p99_s:.2f}"


HEAD = (
    "| seed | items | lost | doubled | failed | by the canary | single jobs | of a wrong version "
    "| changes | 99th percentile before | slowest in 5 s after | ratio |\n" + "|---" * 12 + "|"
)


def main(arguments: Sequence[str]) -> int:
    """Run the seeds; return the exit status."""
    use_checkout()
    print(HEAD, flush=True)
    passed = [run(int(seed)) for seed in arguments or ["1"]]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
