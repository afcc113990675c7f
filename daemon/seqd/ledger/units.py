"""A unit of work as a worker holds it. Made by a claim in `work`; says nothing by itself."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """A claimed unit: `intake`, `train`, the number of a chunk of items, or a part of one."""

    job_id: str
    name: str
    #: Fencing token: higher than that of any earlier claim of this unit.
    attempt: int
    #: Earlier attempts that ended without a word from their worker.
    crashes: int
    blob: bytes
    #: True when this claim started the job.
    started_job: bool

    @property
    def is_part(self) -> bool:
        """True for a part of a unit that was split to find the item that kills its worker."""
        return ":" in self.name
