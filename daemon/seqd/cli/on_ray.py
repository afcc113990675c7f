"""`--engine ray`: a file is classified by a cluster of Ray into a folder, without a daemon."""

from importlib.util import find_spec
from time import time
from typing import TYPE_CHECKING

from seqd.cli.by_reference import place_of, say_end, source_of
from seqd.cli.output_options import OutputOptions
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidRequest, LibraryMissing
from seqd_schemas import OUTPUT_FORMAT, ClassifyJob, JobRecord, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seqd.client.requests import ClassifyOptions

#: Options of a job that a cluster of Ray keeps to, and the one that is always given.
_KEPT = {"output_folder", "parameters", "priority"}


def classify_on_ray(
    file: str | None,
    texts: "Sequence[str]",
    model: str,
    fields: "Mapping[str, str]",
    *,
    address: str | None,
    given: "ClassifyOptions",
    output: OutputOptions,
    screen: Screen,
) -> int:
    """Classify a file in the cluster at an address; return the exit status."""
    folder = given.get("output_folder")
    if folder is None:
        raise InvalidRequest("--engine ray needs --output-folder, where its actors put the results")
    lost = [
        f"--{name.replace('_', '-')}" for name, one in given.items() if one and name not in _KEPT
    ]
    if lost:
        raise InvalidRequest(
            f"--engine ray has no use for {', '.join(lost)}, which only a daemon keeps to. Leave "
            "it out, or leave --engine out"
        )
    if find_spec("ray") is None:
        raise LibraryMissing("Ray is not installed here: pip install 'seqd[ray]'")
    source, folder = source_of(file, texts, fields, output), place_of(folder)
    from seqd.batch.on_ray import RayJob
    from seqd.cli.bulk import bulk_view
    from seqd.cli.ui.summary import BulkOutcome, say_headline

    job = RayJob(
        ClassifyJob(
            model=model,
            source=source,
            output_folder=folder,
            format=OUTPUT_FORMAT,
            parameters=given.get("parameters") or {},
        ),
        resumes=output.resume,
    )
    with bulk_view(screen, lambda: job.record) as view:
        record = job.run(address, lambda so_far: view.show(_progress_of(so_far)))
        view.finish(record)
    say_headline(screen, BulkOutcome(record))
    return say_end(screen, record, folder, "They are computed anew in another folder alone.")


def _progress_of(record: JobRecord) -> Progress:
    now_ms = int(time() * 1_000)
    seconds = max((now_ms - (record.started_at_ms or now_ms)) / 1_000, 0.001)
    rate_per_s = max(record.counts.done / seconds, 0.001)
    return Progress(job_id=record.job_id, at_ms=now_ms, counts=record.counts, rate_per_s=rate_per_s)
