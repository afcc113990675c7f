"""What a worker is told of a unit that it claims: who had it before, and how they died."""

from dataclasses import dataclass
from typing import Self

from seqd_schemas import DeathCause


@dataclass(frozen=True, slots=True)
class UnitFaults:
    """That workers released a unit since they were not fit for it."""

    count: int
    #: Seconds since the first of them did.
    age_s: float
    #: The last of them.
    worker: str


#: Causes by the word in front of a noted death; a later release may know others.
_CAUSES = {cause.value: cause for cause in DeathCause}


@dataclass(frozen=True, slots=True)
class Death:
    """How the last worker died that died with a unit in hand."""

    cause: DeathCause
    #: A sentence, or two.
    message: str

    @property
    def is_silent(self) -> bool:
        """True where its plugin had not asked whether to stop for too long."""
        return self.cause in (DeathCause.HANG, DeathCause.WATCHDOG)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what `str` wrote; None for ''."""
        word, _, message = text.partition(" ")
        return cls(_CAUSES.get(word, DeathCause.UNKNOWN), message) if message else None

    def __str__(self) -> str:
        return f"{self.cause.value} {self.message}"


@dataclass(frozen=True, slots=True)
class Unit:
    """A claimed unit: `ingest`, `train`, the number of a chunk of items, or a part of one."""

    job_id: str
    name: str
    #: Fencing token: higher than that of any earlier claim of this unit.
    attempt: int
    #: Earlier attempts whose worker died or went silent.
    crashes: int
    blob: bytes
    #: True when this claim started the job.
    started_job: bool
    #: Seconds from the making of the job to this claim.
    job_age_s: float = 0.0
    #: None of a unit that no worker has released since it was not fit for it, as of nearly all.
    faults: UnitFaults | None = None
    #: None where no worker died with it, or it is not known how.
    death: Death | None = None
    #: Who claimed it.
    worker: str = ""

    @property
    def is_part(self) -> bool:
        """True for a part of a unit that was split to find the item that kills its worker."""
        return ":" in self.name
