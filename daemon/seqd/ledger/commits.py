"""Records what came of units: one by one, or many in one step.

The script does the work; here results are packed, and what it answers is read. What is wrong with
one unit never touches another of the same step.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import ResponseError

from seqd.errors import RedisUnreachable
from seqd.ledger.blobs import pack, pack_results
from seqd.ledger.chunking import failed_items
from seqd.ledger.quarantine import quarantine_if_damaged
from seqd.ledger.scripts import Argument, Reply, Scripts, as_list, as_text
from seqd.ledger.units import Unit
from seqd_schemas import ItemChunk, ItemFailure, ItemSuccess, TrainingResult

#: Units and items of which one step commits at most: about 3 ms of the server's time.
COMMIT_UNITS = 64
COMMIT_ITEMS = 4_096


class CommitOutcome(StrEnum):
    """What a commit did."""

    COMMITTED = "committed"
    COMPLETED = "completed"
    DUPLICATE = "duplicate"
    ENDED = "ended"
    FENCED = "fenced"


class MiscountedResults(ResponseError):
    """A unit has another number of items than there are results: its input was replaced."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit, its results in the items' order, and its input, whose failed items are kept."""

    unit: Unit
    results: Sequence[ItemSuccess | ItemFailure]
    chunk: ItemChunk | None = None
    #: True where the results count only while the lease is held.
    fenced: bool = False


class Commits:
    """Records results."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def one(
        self,
        unit: Unit,
        results: Sequence[ItemSuccess | ItemFailure],
        chunk: ItemChunk | None = None,
        *,
        fenced: bool = False,
    ) -> CommitOutcome:
        """Record a unit's results, in the items' order. The first commit of a unit wins.

        One that is `fenced` counts only while the lease is held.

        Of `chunk`, the unit's input, the items that have errors are kept, so that they can be
        tried again. Raises MiscountedResults where the number of results is not the unit's.
        """
        (outcome,) = self.several([Finished(unit, results, chunk, fenced)])
        return _raised(outcome)

    def several(self, finished: Iterable[Finished]) -> list[CommitOutcome | MiscountedResults]:
        """Record the results of several units as `one` does each, many in one step.

        Units do not depend on each other: what is wrong with one is its own outcome.
        """
        outcomes: list[CommitOutcome | MiscountedResults] = []
        for batch in _batches(finished):
            outcomes += self._commit([(done.unit, _committed(done)) for done in batch])
        return outcomes

    def training(self, unit: Unit, result: TrainingResult) -> CommitOutcome:
        """Record the version that a training made; counts only while the lease is held."""
        text = result.model_dump_json()
        (outcome,) = self._commit([(unit, (text, 1, 0, 1, text, b""))])
        return _raised(outcome)

    def _commit(
        self, rows: Sequence[tuple[Unit, Sequence[Argument]]]
    ) -> list[CommitOutcome | MiscountedResults]:
        arguments: list[Argument] = []
        for unit, row in rows:
            arguments += (unit.job_id, unit.name, unit.attempt, *row)
        try:
            reply = as_list(self._scripts.call("commit", *arguments))
        except ResponseError as error:
            if len(rows) > 1:  # what jobs share is damaged: each alone says which is to blame
                return [outcome for row in rows for outcome in self._commit([row])]
            reply = [f"error {error}".encode()]
        units = [unit for unit, _ in rows]
        return [self._outcome(*answer) for answer in zip(units, reply, strict=True)]

    def _outcome(self, unit: Unit, answer: Reply) -> CommitOutcome | MiscountedResults:
        what, _, reason = as_text(answer).partition(" ")
        if what != "error":
            outcome = CommitOutcome(what)
            if outcome is CommitOutcome.ENDED:
                why = ValueError("its state is none that a job can have")
                quarantine_if_damaged(self._scripts, unit.job_id, why)
            return outcome
        if reason.startswith("seqd: "):
            return MiscountedResults(reason)
        try:
            self._scripts.raise_error(reason)
        except ResponseError as error:
            quarantine_or_raise(self._scripts, unit, error)
        return CommitOutcome.ENDED


def quarantine_or_raise(scripts: Scripts, unit: Unit, error: ResponseError) -> None:
    """Put a unit's job in quarantine if it is damaged. Raises RedisUnreachable if it is sound.

    Then something else of the ledger is damaged, or Redis says what we do not know. The job
    is not to blame, and its unit is tried again when the lease has run out.
    """
    if not quarantine_if_damaged(scripts, unit.job_id, error):
        raise RedisUnreachable(
            f"Redis refused what came of unit {unit.name} of job {unit.job_id}, which is "
            f"sound: {error}. The unit is tried again."
        ) from error


def _batches(finished: Iterable[Finished]) -> Iterator[list[Finished]]:
    """Cut into what goes into one step: few enough items that Redis is not held up."""
    held, items = list[Finished](), 0
    for done in finished:
        if held and (len(held) == COMMIT_UNITS or items + len(done.results) > COMMIT_ITEMS):
            yield held
            held, items = [], 0
        held.append(done)
        items += len(done.results)
    if held:
        yield held


def _committed(done: Finished) -> Sequence[Argument]:
    """Give what `commit.lua` takes of a unit behind its lease."""
    succeeded = sum(isinstance(result, ItemSuccess) for result in done.results)
    errored = len(done.results) - succeeded
    failed = failed_items(done.chunk, done.results) if done.chunk and errored else None
    blob = b"" if failed is None else pack(failed)
    return (pack_results(done.results), succeeded, errored, int(done.fenced), "", blob)


def _raised(outcome: CommitOutcome | MiscountedResults) -> CommitOutcome:
    if isinstance(outcome, MiscountedResults):
        raise outcome
    return outcome
