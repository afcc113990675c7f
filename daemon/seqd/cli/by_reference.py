"""`--output-folder`: a job whose file workers read, and whose results they write, themselves."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from seqd.cli.bulk import bulk_view, following
from seqd.cli.exits import MISTAKE, OK
from seqd.cli.handing_in import Begun, HandIn
from seqd.cli.output_options import OutputOptions
from seqd.cli.readers import choice
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_json
from seqd.cli.ui.summary import SHOWN_ERRORS, BulkOutcome, say_headline
from seqd.client import Client, JobHandle
from seqd.client.requests import ItemOptions
from seqd.errors import IdempotencyConflict, InvalidInput, InvalidRequest, SeqdError
from seqd.inputs.parts import MANIFEST, PartFolder, owner_of, read_part, real_folder
from seqd.ledger.blobs import lines_in
from seqd.ledger.submissions import new_job_id
from seqd.objects import is_url
from seqd_schemas import FileFormat, FileSource, ItemFailure, JobRecord, JobState

#: What to do where the cause is rather in the command than in the items.
_NONE_SUCCEEDED = (
    "None has a result. Where an option is the cause, such as --text-field, give the command again "
    "with the right one, and a new folder."
)


def hand_in(
    client: Client,
    source: FileSource,
    folder: str,
    send: Callable[[Client, FileSource], JobHandle[Any]],
    *,
    output: OutputOptions,
    given: ItemOptions,
    screen: Screen,
    detach: bool,
) -> int:
    """Hand a job in, and wait for its end unless it is detached; return the exit status.

    `send` hands it in by the options that are `given`.
    """
    given["output_folder"] = folder = place_of(folder)

    def send_as(job_id: str) -> JobHandle[Any]:
        given["job_id"] = job_id
        return send(client, source)

    handing = HandIn(
        client=client,
        screen=screen.on_stderr() if detach else screen,
        send=send_as,
        job_id=given.get("job_id"),
        leaves=output.leaves,
        has_folder=True,
    )
    if detach:
        handing.detached()
        return OK

    def begin(sending: HandIn) -> Begun:
        return _begun(sending, folder, resumes=output.resume)

    with handing.waited_for(begin) as begun:
        handle = begun.handle
        with bulk_view(screen, handle.record) as view:
            with following(handle, view.show):
                record = handle.wait()
            view.finish(record)
    say_headline(screen, BulkOutcome(record, view.was_paused))
    retry = f"Once their cause is mended: seqd jobs retry {record.job_id}"
    return say_end(screen, record, folder, retry)


def say_end(screen: Screen, record: JobRecord, folder: str, retry: str) -> int:
    """Say how many have an error, the first ones, how to `retry` them, and where all is.

    Returns the exit status.
    """
    counts = record.counts
    if counts.errored:
        first = _first_errors(folder)
        more = "" if not first else ":" if len(first) == counts.errored else ", the first ones:"
        screen.say(
            f"{counts.errored:,} have an error instead, in their place{more or '.'}", "yellow"
        )
        for failure in first:
            screen.say(f"  {failure.custom_id}  {failure.error.code}: {failure.error.message}")
        screen.say(retry if counts.succeeded else _NONE_SUCCEEDED)
    screen.say(f"The results, part by part: {folder}/{MANIFEST}")
    if screen.is_beside_json:
        print_json({"job": record, "manifest": f"{folder}/{MANIFEST}"})
    return MISTAKE if counts.errored else OK


def _first_errors(folder: str) -> list[ItemFailure]:
    """Return some errors of a job that has ended; none where its folder cannot be read here."""
    found = list[ItemFailure]()
    with suppress(SeqdError, OSError, ValueError):
        with closing(PartFolder(real_folder(folder))) as opened:
            manifest = json.loads(opened.read(MANIFEST))
        for part in manifest["parts"]:
            if not part["errors"]:
                continue
            content = read_part(folder, part["name"], part["sha256"])
            results = (line.result for line in lines_in(content.splitlines()))
            found += [result for result in results if isinstance(result, ItemFailure)]
            if len(found) >= SHOWN_ERRORS:
                break
    return found[:SHOWN_ERRORS]


def source_of(
    file: str | None, texts: Sequence[object], fields: Mapping[str, str], output: OutputOptions
) -> FileSource:
    """Return the file as workers see it. Raises InvalidRequest."""
    if output != OutputOptions(resume=output.resume, leaves=output.leaves):
        raise InvalidRequest(
            "--output-folder takes the results as workers write them, as JSON Lines, so other "
            "options of the output have no use: leave them out, or use --out"
        )
    if texts or file in (None, "-"):
        raise InvalidRequest("--output-folder needs a file, which the workers read themselves")
    form = choice("--format", fields["format"], FileFormat)
    names = {name: field for name, field in fields.items() if name != "format"}
    return FileSource(path=place_of(str(file)), format=FileFormat(form), **names)


def place_of(typed: str) -> str:
    """Return the absolute path, or the URL, that is typed."""
    return typed.rstrip("/") if is_url(typed) else str(Path(typed).absolute())


def _begun(sending: HandIn, folder: str, *, resumes: bool) -> Begun:
    """Hand the job in, or with `--resume` go on with that whose folder it is."""
    owner = owner_of(folder) if resumes else None
    if owner is None:
        return sending.sent(sending.job_id or new_job_id())
    handle: JobHandle[Any] = sending.client.job(owner)
    try:
        sending.sent(handle.origin().job_id)  # which is there, so it is compared
    except IdempotencyConflict:
        raise InvalidInput(
            f"the file, the model or an option is another than in the command that {folder} is of, "
            f"whose job is {owner}. Name a new folder, and leave out --resume"
        ) from None
    while (later := handle.continuation()) is not None:
        handle = later
    record = handle.record()
    has_all = record.state is JobState.COMPLETED and not record.counts.errored
    if record.state.is_terminal and not has_all:
        handle = sending.client.retry(handle.job_id)
    sending.screen.say(f"Job {handle.job_id} goes on with what is in {folder}.")
    return Begun(handle)
