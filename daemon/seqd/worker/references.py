"""Jobs by reference: workers read their file, and write their results, themselves.

The ingest cuts the file and adds where each unit is (`ingest_ranges`). Whoever claims one reads it
here, in the state in which it was cut, and puts the results into a part file before it commits
where that is. The unit `ingest` goes on until all others are done: it writes the manifest, and the
job is complete. A retry does all of it again, and keeps what has a result.
"""

import errno
import json
import logging
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from itertools import islice
from pathlib import Path

from seqd.errors import InvalidInput, NoFitWorker, SeqdError
from seqd.inputs.file_state import changed
from seqd.inputs.parts import MANIFEST, PartFolder, output_place, part_name, read_part
from seqd.inputs.paths import shown
from seqd.inputs.reading import InputFile
from seqd.inputs.streams import FilePosition
from seqd.ledger.blobs import (
    PartReference,
    ResultLine,
    UnitReference,
    json_lines,
    lines_in,
    reference_in,
    unpack_lines,
)
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim
from seqd.settings import Settings
from seqd.worker.computing import Referred, UnitItems
from seqd.worker.context import WorkerContext
from seqd.worker.faults import reading_fault, sentence_of
from seqd.worker.ingest_ranges import file_of
from seqd.worker.outcomes import Results
from seqd_schemas import (
    FileSource,
    Item,
    ItemChunk,
    ItemFailure,
    ItemSuccess,
    Job,
    JobRecord,
    RefusedItem,
    output_folder_of,
    own_options,
)

log = logging.getLogger(__name__)

#: Files that a worker keeps open between claims.
MAX_OPEN = 8

#: Units whose results are looked up at once for the manifest.
_UNITS_AT_ONCE = 512

#: Seconds until files are tried again that could not be used on one machine; doubles, up to the
#: longest.
FIRST_FAULT_WAIT_S = 0.1
LONGEST_FAULT_WAIT_S = 5.0


class References:
    """The files and folders of jobs, as one worker has them."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        #: By their jobs: another job may mean what has taken a file's place since.
        self._files: OrderedDict[str, InputFile] = OrderedDict()

    def begin(self, job: Job, unit: Unit, file: InputFile, *, is_first: bool) -> None:
        """Claim the folder for a job by reference, or find it again once units are added.

        Does nothing for any other job. Raises what the job then fails of, or OSError.
        """
        output = output_folder_of(job)
        if output is None:
            return
        if not is_first:
            # It is there: where it is not seen, as on a host without the share, none is made.
            self._folder_of(job, unit.job_id).close()
            return
        if not file.has_cheap_places:
            assert isinstance(job.source, FileSource), "its schema says so"
            raise InvalidInput(
                f"{shown(job.source.path)} is compressed, or a folder, which workers cannot read "
                "from any place on; allowed with an output: a plain file of JSON Lines, CSV or "
                "lines, or one of Parquet. Decompress it, or leave the output folder out"
            )
        roots = self._settings.output_roots or ()
        folder = output_place(output, roots)
        for root in roots:
            is_of_it = isinstance(root, Path) and Path(folder).is_relative_to(root.resolve())
            if is_of_it and not Path(root).is_dir():
                raise FileNotFoundError(errno.ENOENT, "a folder open to jobs is away", str(root))
        PartFolder.claim(folder, unit.job_id, self._continued(unit.job_id))

    def _continued(self, job_id: str) -> set[str]:
        """Return the jobs that one continues. Raises InvalidInput where one asks for another thing.

        Whoever may hand a job in could take another tenant's folder otherwise, or keep its results.
        """
        jobs = self._context.ledger.jobs
        record = jobs.get(job_id)
        continued = jobs.kept(list(self._earlier(record.job)))
        for earlier in continued:
            if _asked(earlier) != _asked(record):
                raise InvalidInput(
                    f"the job continues {shown(earlier.job_id)}, which asks for something else, or "
                    "for another tenant. Retry that by `seqd jobs retry` or `client.retry`"
                )
        return {earlier.job_id for earlier in continued}

    def _earlier(self, job: Job) -> Iterator[str]:
        """Yield the jobs that one continues, the last first."""
        earlier = job.continues
        while earlier is not None:
            yield earlier
            earlier = self._context.ledger.jobs.continued(earlier)

    def read(self, claim: Claim, unit: Unit) -> UnitItems | None:
        """Return a unit with what it refers to; None of a unit that has its items itself.

        Raises InvalidInput where the file was changed since it was cut, and OSError where it is
        away here.
        """
        if output_folder_of(claim.job) is None:
            return None  # else what a client has sent would be read as a reference
        reference = reference_in(unit.blob, UnitReference)
        if reference is None:
            return None
        chunk = self._chunk(claim.job, unit.job_id, reference)
        referred = Referred(claim.job, reference)
        return UnitItems(unit, chunk, self._with_kept(referred, unit))

    def _chunk(self, job: Job, job_id: str, reference: UnitReference) -> ItemChunk:
        file = self._files.pop(job_id, None)
        if file is None:
            file = file_of(job, self._context, self._settings)
        self._files[job_id] = file
        if len(self._files) > MAX_OPEN:
            self._files.popitem(last=False)[1].close()
        assert isinstance(job.source, FileSource), "its schema says so"
        try:
            entries = entries_of(file, reference, job.source.path)
        except BaseException:
            self._files.pop(job_id).close()
            raise
        return ItemChunk.model_construct(
            type="items", first_index=reference.first_index, items=entries
        )

    def _with_kept(self, referred: Referred, unit: Unit) -> Referred:
        """Add the results that the jobs have which this one continues, of the same entries."""
        job, reference, jobs = referred.job, referred.reference, self._context.ledger.jobs
        rows = (jobs.row(earlier, unit.name, 0) for earlier in self._earlier(job))
        row = next(filter(None, rows), None)
        part = None if row is None else reference_in(row, PartReference)
        if part is None or (part.first_index, part.items, part.checksum) != (
            *(reference.first_index, reference.size, reference.checksum),
        ):
            return referred
        try:
            results = results_in(read_part(output_folder_of(job) or "", part.name, part.sha256))
        except InvalidInput as error:
            log.warning("computed again: unit=%s job=%s: %s", unit.name, unit.job_id, error)
            return referred
        kept = {n: one for n, one in enumerate(results) if isinstance(one, ItemSuccess)}
        return Referred(job, reference, kept, part)

    def written(self, items: UnitItems, results: Results) -> tuple[Results, PartReference | None]:
        """Put the results of a unit into its part file; return those that it has, and where it is.

        They are of who was first. None is written of a unit that has its items itself.
        """
        referred = items.referred
        if referred is None:
            return results, None
        if referred.part is not None and len(referred.kept) == len(items.chunk.items):
            return results, referred.part
        unit, job = items.unit, referred.job
        ours = b"".join(json_lines(results))
        name = part_name(int(unit.name), job.continues and unit.job_id)
        with closing(self._folder_of(job, unit.job_id)) as folder:
            content = folder.put_once(name, ours)
            if content != ours:
                results = results_in(content)
                ids = [entry.custom_id for entry in items.chunk.items]
                if [one.custom_id for one in results] != ids:
                    raise InvalidInput(
                        f"{shown(folder.name)}/{name} is there, and has other results than this "
                        "job's. Leave the folder to the job"
                    )
        reference = referred.reference
        part = part_reference(name, content, results, reference.first_index, reference.checksum)
        return results, part

    def is_whole(self, claim: Claim, unit: Unit, units: int) -> bool:
        """Return True for a job by reference once all `units` of its file are done.

        Then its manifest is written, too. Of any other job it is for others to say.
        """
        job, ledger = claim.job, self._context.ledger
        if output_folder_of(job) is None:
            return True
        record = ledger.jobs.get(unit.job_id)
        if record.units != units:
            return True  # Redis has lost some, as who seals the job will see
        if record.units_done < units:
            return False
        with closing(self._folder_of(job, unit.job_id)) as folder:
            parts = list(self._parts(record, folder))
        if ledger.jobs.get(unit.job_id).state.is_terminal:
            return True  # it was cancelled meanwhile, as who seals the job will see
        # Looked at again: who was frozen meanwhile may find the folder with a retry of the job.
        with closing(self._folder_of(job, unit.job_id)) as folder:
            folder.replace(MANIFEST, manifest(record, parts))
            ours = {unit.job_id, *self._earlier(job)}
            folder.keep_only([part.name for part in parts], of_jobs=ours)
        return True

    def _parts(self, record: JobRecord, folder: PartFolder) -> Iterator[PartReference]:
        """Yield the parts of a job in order; write that of a unit that was split meanwhile."""
        jobs, job_id, first = self._context.ledger.jobs, record.job_id, 0
        for begin in range(0, record.units, _UNITS_AT_ONCE):
            units = range(begin, min(begin + _UNITS_AT_ONCE, record.units))
            for unit, row in zip(units, jobs.outputs(job_id, units), strict=True):
                part = None if row is None else reference_in(row, PartReference)
                if part is None:
                    name = part_name(unit, record.job.continues and job_id)
                    part = self._joined(job_id, unit, folder, name, first)
                folder.refuse_gone(part.name, part.size_bytes)
                first += part.items
                yield part

    def _joined(
        self, job_id: str, unit: int, folder: PartFolder, name: str, first: int
    ) -> PartReference:
        lines, number = list[ResultLine](), 0
        while (row := self._context.ledger.jobs.row(job_id, unit, number)) is not None:
            lines += unpack_lines(row)
            number += 1
        content = b"".join(line.json + b"\n" for line in lines)
        folder.replace(name, content)  # one that is there counts for nothing: nobody committed it
        return part_reference(name, content, [line.result for line in lines], first, 0)

    def _folder_of(self, job: Job, job_id: str) -> PartFolder:
        """Open the folder of a job. Raises OSError where it is not there, or none of the job's."""
        path = output_place(output_folder_of(job) or "", self._settings.output_roots or ())
        folder = PartFolder(path)
        owner = folder.owner()
        if owner != job_id:
            folder.close()
            if owner is not None:
                raise InvalidInput(f"{shown(path)} is the folder of job {shown(owner)} by now")
            raise FileNotFoundError(errno.ENOENT, "it is not the folder that was given", path)
        return folder

    def fail_or_release(
        self, unit: Unit, error: Exception, what: str = "The input could not be read"
    ) -> None:
        """Release the unit where this machine cannot use what another may; else fail the job.

        Such as a share that is not mounted here. No job waits longer for it than `unfit_grace_s`.
        """
        code = reading_fault(error)
        count, age_s = (unit.faults.count, unit.faults.age_s) if unit.faults else (0, 0.0)
        if code is not None and age_s < self._settings.unfit_grace_s:
            log.error("%s here: job=%s code=%s: %s", what, unit.job_id, code, error)
            wait_s = min(FIRST_FAULT_WAIT_S * 2.0 ** min(count, 30), LONGEST_FAULT_WAIT_S)
            worker = self._context.identity.name
            self._context.ledger.work.release_unit(unit, wait_s=wait_s, faulted_by=worker)
            return
        if not isinstance(error, SeqdError):
            error = NoFitWorker(
                f"{what} on worker {self._context.identity.name}, nor on any that tried it before: "
                f"{sentence_of(error)}. Mend that and hand the job in again."
            )
        self._context.fail_job(unit, error)

    def close(self) -> None:
        """Close all files: nothing is to be done."""
        while self._files:
            self._files.popitem()[1].close()


def entries_of(
    file: InputFile, reference: UnitReference, path: str
) -> tuple[Item | RefusedItem, ...]:
    """Return the entries of a unit. Raises InvalidInput where they are not what was cut."""
    reader = file.reader(FilePosition(reference.offset, reference.line))
    entries = tuple(islice(file.items(reader), reference.size))
    end = reference.offset + reference.size_bytes
    if file.checksum(reference.offset, end) != reference.checksum:
        raise changed(path, f"lines behind line {reference.line:,} are others")
    return entries


def _asked(record: JobRecord) -> tuple[object, ...]:
    """Return what decides about a job's results, but for the version."""
    job = record.job
    return job.tenant, job.kind, record.model, job.parameters, job.source, own_options(job)


def results_in(content: bytes) -> list[ItemSuccess | ItemFailure]:
    """Return the results of a part; raises InvalidInput for what is none."""
    try:
        return [line.result for line in lines_in(content.split(b"\n")[:-1])]
    except ValueError as error:
        raise InvalidInput(f"a part of the results cannot be read: {sentence_of(error)}") from None


def part_reference(
    name: str,
    content: bytes,
    results: Sequence[ItemSuccess | ItemFailure],
    first_index: int,
    checksum: int,
) -> PartReference:
    """Return what is known of a part that is there; `checksum` is of the entries behind it."""
    failures = (one.error.code.value for one in results if isinstance(one, ItemFailure))
    return PartReference(
        name=name,
        size_bytes=len(content),
        sha256=sha256(content).hexdigest(),
        first_index=first_index,
        items=len(results),
        checksum=checksum,
        errors=dict(Counter(failures)),
    )


def manifest(record: JobRecord, parts: Sequence[PartReference]) -> bytes:
    """Return the manifest of a job whose parts are all there."""
    errors = sum((Counter(part.errors) for part in parts), Counter[str]())
    items, source = sum(part.items for part in parts), record.job.source
    of_record = {"job_id", "kind", "model", "version", "plugin_versions"}
    described = {
        **record.model_dump(mode="json", include=of_record),
        "source": source.path if isinstance(source, FileSource) else None,
        "items": items,
        "succeeded": items - errors.total(),
        "errored": errors.total(),
        "errors": errors,
        "parts": [part.model_dump() for part in parts],
    }
    return json.dumps(described, indent=1).encode() + b"\n"
