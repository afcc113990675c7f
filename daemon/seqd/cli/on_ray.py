"""`--engine ray`: a file is classified by a cluster of Ray into a folder.

Where there is a daemon, it is a job there; none is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from time import time
from typing import TYPE_CHECKING

from seqd.cli import options
from seqd.cli.bulk import bulk_view
from seqd.cli.by_reference import place_of, say_end, source_of
from seqd.cli.handing_in import HandIn
from seqd.cli.output_options import OutputOptions
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.summary import BulkOutcome, say_headline
from seqd.client import Client
from seqd.client.requests import ClassifyOptions, job_of
from seqd.errors import (
    InvalidRequest,
    LibraryMissing,
    OutputExists,
    OutputUnwritable,
    RedisUnreachable,
)
from seqd_schemas import ClassifyJob, JobRecord, Progress

if TYPE_CHECKING:
    from seqd.batch.on_ray import RayJob

#: Options of a job that a cluster of Ray keeps to, and the one that is always given; and those that
#: the ledger keeps to, where there is one.
_KEPT = {"output_folder", "parameters", "priority"}
_KEPT_BY_THE_LEDGER = {"tenant", "metadata", "expires_in_s", "results_ttl_s"}


def classify_on_ray(
    file: str | None,
    texts: Sequence[str],
    model: str,
    fields: Mapping[str, str],
    *,
    address: str | None,
    given: ClassifyOptions,
    output: OutputOptions,
    screen: Screen,
) -> int:
    """Classify a file in the cluster at an address; return the exit status."""
    folder = given.get("output_folder")
    if folder is None:
        raise InvalidRequest("--engine ray needs --output-folder, where its actors put the results")
    _refuse_lost(given, _KEPT | _KEPT_BY_THE_LEDGER)
    if find_spec("ray") is None:
        raise LibraryMissing("Ray is not installed here: pip install 'seqd[ray]'")
    source = source_of(file, texts, fields, output)
    given["output_folder"] = folder = place_of(folder)
    with _client() or nullcontext() as client:
        if client is None:
            _refuse_lost(given, _KEPT)
        from seqd.batch.on_ray import RayJob

        asked = job_of("classify", model, given, source=source, engine="ray")
        assert isinstance(asked, ClassifyJob), "its kind says so"
        job = RayJob(asked, resumes=output.resume)
        with (
            job.connected(address),
            _handed_in(job, client, screen),
            bulk_view(screen, lambda: job.record) as view,
        ):
            record = job.run(lambda so_far: view.show(_progress_of(so_far)))
            view.finish(record)
    say_headline(screen, BulkOutcome(record))
    return say_end(screen, record, folder, "To compute them again, name a new folder.")


def _refuse_lost(given: ClassifyOptions, kept: set[str]) -> None:
    """Raise InvalidRequest for what is given and kept to by nobody."""
    lost = [
        f"--{name.replace('_', '-')}" for name, one in given.items() if one and name not in kept
    ]
    if lost:
        raise InvalidRequest(
            f"--engine ray has no use for {', '.join(lost)}, which only a daemon keeps to. Leave "
            "it out, or leave --engine out"
        )


def _client() -> Client | None:
    """Return a client of the daemon; None where no Redis is set and none runs here."""
    try:
        client = options.open_client()
    except RedisUnreachable:
        return None
    client.workers()  # one that is set answers, or nothing is begun
    return client


@contextmanager
def _handed_in(job: "RayJob", client: Client | None, screen: Screen) -> Iterator[None]:
    """Have a job in the ledger, if there is one, for a `with` block, and end it as that ends."""
    if client is None:
        yield
        return

    send = partial(job.hand_in, client)
    with HandIn(client=client, screen=screen, send=send, has_folder=True).begun() as begun:
        try:
            yield
        except (OutputExists, OutputUnwritable) as error:  # no worker goes on with it
            begun.handle.fail(error)
            raise


def _progress_of(record: JobRecord) -> Progress:
    # Without the rate since the start, most of which Ray may take to begin.
    now_ms = int(time() * 1_000)
    return Progress(job_id=record.job_id, at_ms=now_ms, counts=record.counts, rate_per_s=0.0)
