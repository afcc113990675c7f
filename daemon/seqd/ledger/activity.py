"""What goes on in a job: who works on it, how often its units were taken up, how fast it goes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from seqd.kinds import KINDS
from seqd.ledger.exchange import Command, Exchange, StreamEntry, pipeline
from seqd.ledger.jobs import read_events
from seqd.ledger.unit_states import unit_states_of, whole_number
from seqd_schemas import JobRecord, Keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd_schemas import Log


@dataclass(frozen=True, slots=True)
class JobActivity:
    """What goes on in a job at one moment."""

    #: Workers that hold units of it now, and how many each.
    workers: "Mapping[str, int]"
    #: The worker that claimed its first unit, where the event is kept that says so.
    first_worker: str | None
    #: Times that its units were claimed so far; None where that is not kept any more.
    attempts: int | None
    #: Units that were claimed more than once.
    units_tried_again: int
    #: Times that a worker died or went silent with one of them; of a completed job 0.
    crashes: int
    #: True where more units were claimed than are counted, `MAX_COUNTED` of `unit_states`.
    is_partial: bool
    #: Items done a second, from its start to its end or to now; None before its start.
    rate_per_s: float | None
    #: The last event that tells of a worker's death, where it is among the last ones.
    last_death: "Log | None" = None

    def as_json(self) -> dict[str, object]:
        """Return it as a program reads it."""
        death = self.last_death
        return {
            "workers": dict(self.workers),
            "first_worker": self.first_worker,
            "attempts": self.attempts,
            "units_tried_again": self.units_tried_again,
            "crashes": self.crashes,
            "is_partial": self.is_partial,
            "rate_per_s": self.rate_per_s,
            "last_death": None if death is None else death.model_dump(mode="json"),
        }


def activity_of(keys: Keys, record: JobRecord) -> Exchange[JobActivity]:
    """Read what goes on in a job."""
    states = yield from unit_states_of(keys, record.job_id)
    first, carried = yield from pipeline(
        (
            Command(("XRANGE", keys.events(record.job_id), "-", "+", "COUNT", 3)),
            Command(("HGET", keys.job(record.job_id), "carried")),
        )
    )
    begun = read_events(cast(list[StreamEntry], first))
    # Every unit that is done was claimed; of a small job that has ended it is not kept how often.
    is_kept = states.attempts > 0 or not record.units_done
    earlier = whole_number(cast(bytes | None, carried) or b"0")
    deaths = (one for one in states.events if one.event == "log" and one.cause is not None)
    return JobActivity(
        workers=states.workers,
        first_worker=next((one.worker for one in begun if one.event == "started"), None),
        attempts=states.attempts - earlier if is_kept else None,
        units_tried_again=states.tried_again,
        crashes=states.crashes,
        is_partial=states.is_partial,
        rate_per_s=_rate(record, states.now_ms),
        last_death=next(deaths, None),
    )


def _rate(record: JobRecord, now_ms: int) -> float | None:
    if record.started_at_ms is None or not KINDS[record.kind].has_items:
        return None
    seconds = ((record.ended_at_ms or now_ms) - record.started_at_ms) / 1000
    return record.counts.done / seconds if seconds > 0 else None
