"""Workers that read files for the ingest, each by its own steps, and compute nothing."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from builders import a_classify_job
from ledger_fixtures import CLASSIFY, Environment, queues_of
from seqd.ledger.blobs import unpack_items
from seqd.ledger.work import Claim
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.ingest import Ingest
from seqd.worker.ingest_ranges import RangeReader
from seqd_schemas import FileSource, ItemChunk

UNIT_ITEMS = 4


class Reader:
    """A worker that reads files, whoever ingests them."""

    def __init__(
        self, environment: Environment, name: str, root: Path, shared_bytes: int = 2**40
    ) -> None:
        self.name = name
        self.environment = environment
        self.is_stopped = False
        #: Called in front of each unit that is read.
        self.at_unit = lambda: None
        tools: dict[str, Any] = dict.fromkeys(("store", "cache"))
        context = WorkerContext(
            ledger=environment.ledger,
            identity=SimpleNamespace(name=name, slot=SimpleNamespace(name="cpu:0")),  # type: ignore[arg-type]
            registry=SimpleNamespace(  # type: ignore[arg-type]
                is_observed=lambda hook: False
            ),
            leases=SimpleNamespace(should_end=lambda: self.at_unit(), given_up=lambda unit: None),  # type: ignore[arg-type]
            drain=SimpleNamespace(is_raised=lambda: self.is_stopped),  # type: ignore[arg-type]
            max_attempts=3,
            routes=(CLASSIFY,),
            fitness=SimpleNamespace(  # type: ignore[arg-type]
                queues=lambda: queues_of((CLASSIFY,))
            ),
            **tools,
        )
        settings = Settings(input_roots=(root,), shared_file_bytes=shared_bytes)
        self.ingest = Ingest(context, settings)
        self.ranges = RangeReader(context, settings)

    def claim(self, job_id: str) -> Claim | None:
        """Take the ingest, where it is to be had, in front of all units."""
        redis, todo = self.environment.redis, self.environment.keys.todo(job_id)
        names = [name for name in redis.zrange(todo, 0, -1) if name != b"ingest"]
        redis.zrem(todo, "", *names)
        return self.ingest.resume() or self.environment.claim(self.name)

    def ingest_slice(self, job_id: str) -> bool:
        """Do a slice of the ingest, where it is to be had."""
        claim = self.claim(job_id)
        if claim is not None:
            assert claim.units[0].name == "ingest"
            self.ingest.run(claim)
        return claim is not None


def submitted(environment: Environment, path: Path, unit_items: int = UNIT_ITEMS) -> str:
    job = a_classify_job(source=FileSource(path=str(path)))
    return environment.submit(job, unit_items=unit_items)


def jsonl(count: int, first: int = 0, text: str = "text") -> bytes:
    numbers = range(first, first + count)
    lines = (json.dumps({"custom_id": f"c{n}", "text": f"{text} {n}"}) for n in numbers)
    return ("\n".join(lines) + "\n").encode()


def chunks_in(environment: Environment, job_id: str) -> list[ItemChunk]:
    """Return the units of a job's input, in their order."""
    stored = environment.redis.hgetall(environment.keys.input(job_id))
    return [unpack_items(stored[str(number).encode()]) for number in range(len(stored))]
