"""Where the time of a classification goes, from what the workers and the ledger have told.

Pure. A slot's time is the wall clock from the job's first claim to its end, times the slots; the
workers tell how much of it each stage took.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seqd.bench.report import Fact
from seqd_schemas import JobRecord, WorkTotals

#: What a worker tells apart, in the order of the work, each with what it is.
STAGES: Mapping[str, str] = {
    "claim_s": "claim: taking work from the ledger",
    "unpack_s": "unpack: reading its input",
    "vectorise_s": "vectorise: text to arrays",
    "compute_s": "compute: the network",
    "commit_s": "commit: results into the ledger",
}


@dataclass(frozen=True, slots=True)
class Spending:
    """One job: what its workers did for it, and the processor time of all who took part."""

    work: WorkTotals
    record: JobRecord
    slots: int
    #: Processor seconds by group of processes.
    cpu_s: Mapping[str, float]

    @property
    def queued_ms(self) -> float:
        """From the job's acceptance to its first claim."""
        return float((self.record.started_at_ms or 0) - self.record.created_at_ms)

    @property
    def slot_s(self) -> float:
        """What the slots had, in seconds, from the first claim to the end."""
        ended_ms, started_ms = self.record.ended_at_ms or 0, self.record.started_at_ms or 0
        return self.slots * max(1, ended_ms - started_ms) / 1000


def work_between(before: WorkTotals, after: WorkTotals) -> WorkTotals:
    """Give what was done between two readings."""
    old, new = before.model_dump(), after.model_dump()
    return WorkTotals(**{name: new[name] - old[name] for name in new})


def time_facts(spent: Sequence[Spending]) -> list[Fact]:
    """Give each stage's share of the slots' time, and what is left."""
    had_s = sum(one.slot_s for one in spent)
    totals = [one.work.model_dump() for one in spent]
    shares = {name: sum(total[name] for total in totals) / had_s for name in STAGES}
    facts = [Fact(STAGES[name], "share", share) for name, share in shares.items()]
    # A stage may begin before the first claim is noted down: never less than nothing.
    rest = max(0.0, 1.0 - sum(shares.values()))
    return [*facts, Fact("the rest: waiting for input, and the daemon's own", "share", rest)]


def batch_facts(spent: Sequence[Spending]) -> list[Fact]:
    """Give the batches' mean size and their padding; nothing where the model tells of none."""
    batches = sum(one.work.batches for one in spent)
    computed = sum(one.work.computed_tokens for one in spent)
    if not batches or not computed:
        return []
    real = sum(one.work.real_tokens for one in spent)
    return [
        Fact("items a batch, mean", "count", sum(one.work.batch_items for one in spent) / batches),
        Fact("tokens computed in vain, padding", "share", 1 - real / computed),
    ]
