"""A file classified by Ray Data, in place of a daemon: the same items, parts and manifest.

The program that starts it cuts the file into units and writes the manifest at the end. Actors on
the nodes of the cluster read the units, and put their parts once; so a unit that is computed again,
because its node was lost, leaves one file. Where there is a ledger, the program keeps it told.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from seqd.batch.held_job import HeldJob, process_name
from seqd.batch.predictor import Predictor
from seqd.errors import InvalidInput, InvalidRequest, OutputExists, OutputUnwritable, SeqdError
from seqd.inputs.items import ItemRules
from seqd.inputs.many_files import InputFiles, is_pattern
from seqd.inputs.parquet_rows import opened_file
from seqd.inputs.parts import (
    MANIFEST,
    PartFolder,
    is_of_ray,
    owner_by_ray,
    owner_of,
    part_name,
    real_folder,
)
from seqd.inputs.paths import shown
from seqd.inputs.reading import InputFile
from seqd.ledger.blobs import PartReference, UnitReference, json_lines
from seqd.ledger.failures import failure_lines
from seqd.ledger.ranges import IngestPosition
from seqd.ledger.units import Unit
from seqd.objects import is_url
from seqd.worker.ingest_ranges import ReferenceUnits
from seqd.worker.references import entries_of, manifest, part_reference, results_in
from seqd_schemas import (
    ClassifyJob,
    Counts,
    FileSource,
    JobRecord,
    JobState,
    ModelReference,
    from_stored,
    to_stored,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from seqd.client import Client, JobHandle

_Row = dict[str, Any]

#: Blocks at most that Ray has the units in; it tries one again, and tells of its end, as a whole.
_MAX_BLOCKS = 2_000

#: Seconds within which the head of a cluster answers.
_ANSWER_S = 5.0

#: What a client of HTTP/2, as gRPC is, says first, with settings of which none is set.
_SETTINGS, _FRAME_HEAD_BYTES = b"\4", 9
_HTTP2_BEGIN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _SETTINGS + b"\0\0\0\0\0"

#: What may be missing where a head answers and refuses.
_ON_TOKENS = (
    "If its cluster asks for a token, the command needs RAY_AUTH_MODE=token, and the cluster's "
    "token in ~/.ray/auth_token or RAY_AUTH_TOKEN"
)

#: Seconds between two looks at the ledger, which tell of a cancel.
_LOOK_S = 1.0

#: What of a job decides about its results, beside the units of its file.
_DECIDES = {"model", "parameters", "source"}

#: Of a processor, for an actor: those that have all of them leave none to Ray's own tasks.
_CPUS_OF_ACTOR = 0.5


def _source_of(job: ClassifyJob) -> FileSource:
    assert isinstance(job.source, FileSource), "it was made with one"
    return job.source


def _folder_of(job: ClassifyJob) -> str:
    """Return where the parts go, a path or a URL."""
    return real_folder(job.output_folder or "")


def _file_of(job: ClassifyJob) -> InputFile:
    """Open the file of a job. Raises InvalidInput."""
    source = _source_of(job)
    rules = ItemRules(id_field=source.id_field, text_field=source.text_field)
    kind = InputFiles if is_pattern(source.path) else opened_file
    # A command may read wherever its user may.
    bucket = source.path.split("/")[:3]
    roots = ("/".join(bucket),) if is_url(source.path) else (Path("/"),)
    return kind(source, roots=roots, rules=rules)


class PartWriter:
    """One actor: it has the version in memory, and the file open."""

    def __init__(self, job: ClassifyJob, predictor: Predictor[Any]) -> None:
        self._job = job
        self._predictor = predictor

    # At the first unit: of what an actor raises as it is made Ray keeps a text alone.
    @cached_property
    def _file(self) -> InputFile:
        return _file_of(self._job)

    def __call__(self, batch: "dict[str, NDArray[np.object_]]") -> dict[str, list[str]]:
        """Return the part of one unit, made or found, and the records of its failed items, as JSON.

        Raises errors of seqd.
        """
        (unit,), (reference,) = batch["unit"], batch["reference"]
        try:
            part, failed = self._part(int(unit), from_stored(UnitReference, str(reference)))
            return {"unit": [unit], "part": [to_stored(part)], "failed": [failed]}
        except SeqdError as error:
            raise error from None  # the libraries' own may tell of credentials
        except OSError as error:
            host = socket.gethostname()
            raise OutputUnwritable(
                f"{shown(_folder_of(self._job))} cannot be used on {host} ({error.strerror}). All "
                "nodes need the file and the folder under one path"
            ) from None

    def _part(self, unit: int, reference: UnitReference) -> tuple[PartReference, str]:
        name = part_name(unit, None)
        with closing(PartFolder(_folder_of(self._job))) as folder:
            try:
                content = folder.read(name)
            except FileNotFoundError:
                entries = entries_of(self._file, reference, _source_of(self._job).path)
                results = self._predictor.results_of(entries)
                content = folder.put_once(name, b"".join(json_lines(results)))
        results = results_in(content)
        if len(results) != reference.size:
            raise InvalidInput(
                f"{shown(_folder_of(self._job))}/{name} is there, and has other results than this "
                "job's. Leave the folder to the job"
            )
        here = Unit("", str(unit), 1, 0, b"", started_job=False, worker=process_name())
        part = part_reference(name, content, results, reference.first_index, reference.checksum)
        return part, failure_lines(here, results, {})


class RayJob:
    """A job that runs in a cluster of Ray, for as long as the command that has made it."""

    def __init__(self, job: ClassifyJob, *, resumes: bool) -> None:
        """Check the model, the file and the folder, which is taken once a cluster has answered.

        It may be that of the same request on the same bytes: with `resumes`, what it has is kept.
        Raises InvalidInput, OutputExists, OutputUnwritable, and what `Predictor` raises.
        """
        self._predictor = Predictor(job.model, parameters=job.parameters)
        job = job.model_copy(update={"model": self._predictor.model})
        with closing(_file_of(job)) as file:
            self._units = list(_units_of(file, self._predictor.unit_items))
        said = [job.model_dump_json(include=_DECIDES), *map(to_stored, self._units)]
        digest = sha256("\n".join(said).encode()).hexdigest()
        self._job, self._folder, self._owner = job, _folder_of(job), owner_by_ray(digest)
        self._held: HeldJob | None = None
        #: The job as it is, as a daemon would tell it.
        self.record = self._record(job)
        self._check_folder(resumes=resumes)

    def _record(self, job: ClassifyJob) -> JobRecord:
        version, items = ModelReference.parse(self._predictor.model), self._units[-1]
        total = items.first_index + items.size
        now_ms = _now_ms()
        return JobRecord(
            job_id=self._owner,
            kind=job.kind,
            model=version.name,
            version=version.version,
            state=JobState.RUNNING,
            counts=Counts(total=total, processing=total),
            sealed=True,
            unit_items=self._predictor.unit_items,
            units=len(self._units),
            units_done=0,
            priority=job.priority,
            tenant=job.tenant,
            created_at_ms=now_ms,
            started_at_ms=now_ms,
            job=job,
        )

    def _check_folder(self, *, resumes: bool) -> None:
        name, owner = shown(self._folder), owner_of(self._folder)
        if owner is None or (owner == self._owner and resumes):
            return
        if owner == self._owner:
            raise OutputExists(
                f"{name} holds results. Name a new folder; or have the same command, on the same "
                "file, go on with it: --resume"
            )
        raise OutputExists(
            f"{name} holds the results of another file, model or option. Name a new folder"
            if is_of_ray(owner)
            else f"{name} holds the results of job {shown(owner)}, which a daemon's workers "
            "computed. Name a new folder"
        )

    @contextmanager
    def connected(self, address: str | None) -> Iterator[None]:
        """Have a connection to a cluster, and the folder, during a `with` block.

        `address` is that of the cluster's head; without one, Ray begins a cluster on this machine,
        or takes the one that RAY_ADDRESS names.
        """
        _connect(address or os.environ.get("RAY_ADDRESS"))
        import ray

        try:
            PartFolder.claim(self._folder, self._owner, ())
            yield
        finally:
            ray.shutdown()

    def hand_in(self, client: "Client", job_id: str) -> "JobHandle[Any]":
        """Have it be a job of the ledger, too, from now on."""
        self._held = HeldJob(client.job(job_id), self.record)
        self._note(job_id=job_id)
        return self._held.handle

    def run(self, show: Callable[[JobRecord], None]) -> JobRecord:
        """Compute all units, and write the manifest; return the record of the ended job.

        `show` is called as units are done. Raises JobCancelled and its like where somebody else has
        ended it.
        """
        parts = []
        for row in self._rows():
            part = from_stored(PartReference, row["part"])
            parts.append(part)
            self._count(part)
            if len(parts) == len(self._units):
                self._write_manifest(parts)
            if self._held is not None:  # the last one completes the job
                self._held.commit(int(row["unit"]), part, row["failed"])
            show(self.record)
        return self.record

    def _write_manifest(self, parts: Sequence[PartReference]) -> None:
        self._note(state=JobState.COMPLETED, ended_at_ms=_now_ms())
        parts = sorted(parts, key=lambda part: part.first_index)
        with closing(PartFolder(self._folder)) as folder:
            folder.replace(MANIFEST, manifest(self.record, parts))
            folder.keep_only([part.name for part in parts], of_jobs=())

    def _rows(self) -> Iterator[_Row]:
        """Yield what actors return of units, each as it is done."""
        keep = None if self._held is None else self._held.keep
        try:
            yield from _read_aside(self._computed(), keep)
        except SeqdError:
            raise
        except Exception as error:  # noqa: BLE001 - Ray wraps what an actor raises
            raise _raised_by(error) from None

    def _computed(self) -> Iterator[_Row]:
        import ray

        blocks = min(len(self._units), _MAX_BLOCKS)
        rows = [
            {"unit": number, "reference": to_stored(unit)}
            for number, unit in enumerate(self._units)
        ]
        actors = min(blocks, self._actors(ray.cluster_resources()))
        done = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
            PartWriter,
            fn_constructor_args=[self._job, self._predictor],
            batch_format="numpy",
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
            **self._device(),
        )
        yield from done.iter_rows()

    def _device(self) -> dict[str, float]:
        return {"num_gpus": 1} if self._predictor.needs_gpu else {"num_cpus": _CPUS_OF_ACTOR}

    def _actors(self, resources: Mapping[str, float]) -> int:
        """Return how many actors the cluster has room for: one a processor, or one a GPU."""
        kind = "GPU" if self._predictor.needs_gpu else "CPU"
        count = int(resources.get(kind, 0))
        if not count:
            raise InvalidRequest(f"The cluster of Ray has no {kind}, which the model needs")
        return count

    def _count(self, part: PartReference) -> None:
        counts, errored = self.record.counts, sum(part.errors.values())
        self._note(
            units_done=self.record.units_done + 1,
            counts=Counts(
                total=counts.total,
                succeeded=counts.succeeded + part.items - errored,
                errored=counts.errored + errored,
                processing=counts.processing - part.items,
            ),
        )

    def _note(self, **changed: object) -> None:
        self.record = self.record.model_copy(update=changed)


def _read_aside(rows: Iterable[_Row], look: Callable[[], None] | None) -> Iterator[_Row]:
    """Yield what another thread reads, and `look` once a second, also while nothing comes."""
    read: SimpleQueue[_Row | BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            for row in rows:
                read.put(row)
            read.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again by who reads
            read.put(error)

    Thread(target=run, name="seqd-ray", daemon=True).start()
    looks_at = monotonic()
    while True:
        if look is not None and monotonic() >= looks_at:
            look()
            looks_at = monotonic() + _LOOK_S
        try:
            row = read.get(timeout=_LOOK_S)
        except Empty:
            continue
        if row is None:
            return
        if isinstance(row, BaseException):
            raise row
        yield row


def _units_of(file: InputFile, unit_items: int) -> Iterator[UnitReference]:
    """Yield where the units of a file are. Raises InvalidInput."""
    if not file.has_cheap_places:
        raise InvalidInput(
            "the file is compressed, or a folder; allowed with --engine ray: a plain file of JSON "
            "Lines, CSV or lines. Decompress it"
        )
    begins = IngestPosition(0, 0, 0, 0, file.state.size_bytes, file.state.modified_ns, 0)
    units = ReferenceUnits(file, begins, unit_items)
    while (unit := units.unit()) is not None:
        assert isinstance(unit.packed, UnitReference), "it is of a job by reference"
        yield unit.packed
        units.advance()


def _connect(address: str | None) -> None:
    """Connect this process to a cluster. Raises InvalidRequest where there is none."""
    if address is not None and ":" in address:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:  # Ray would try for more than ten minutes
            with socket.create_connection((host, int(port)), _ANSWER_S) as connection:
                _check_speaks_grpc(connection)
        except (OSError, ValueError, OverflowError) as error:
            raise InvalidRequest(
                f"No cluster of Ray answers at {shown(address)} ({error}). Name the address of its "
                "head, HOST:PORT, or none for a cluster of this machine alone"
            ) from None
    # What it logs is about itself: the command tells how far the job is, and what went wrong.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Else who still reads as the job is cancelled would begin a cluster of its own.
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.raise_original_map_exception = False, True
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
    except Exception as error:  # noqa: BLE001 - of many kinds
        said = str(error).partition("\n")[0]
        hint = "" if address is None else f". {_ON_TOKENS}"
        raise InvalidRequest(
            f"Ray could not be begun ({type(error).__name__}: {said}){hint}"
        ) from None


def _check_speaks_grpc(connection: socket.socket) -> None:
    """Raise OSError where what listens is no head: those begin with settings of HTTP/2."""
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return  # it speaks first once it has seen a certificate
    connection.sendall(_HTTP2_BEGIN)
    if connection.recv(_FRAME_HEAD_BYTES)[3:4] != _SETTINGS:
        raise OSError("what listens there is no head")


def _raised_by(error: BaseException) -> SeqdError:
    """Return the error of seqd that an error of Ray tells of; without one, what to do."""
    from ray.exceptions import RayError

    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, SeqdError) and not isinstance(inner, RayError):
            return inner
        inner = getattr(inner, "cause", None) or inner.__cause__
    return SeqdError(
        f"Ray has ended the job ({type(error).__name__}). The logs of its cluster tell why; the "
        "same command with --resume goes on"
    )


def _now_ms() -> int:
    return int(time() * 1_000)
