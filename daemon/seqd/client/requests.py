"""Requests: what a caller asks for, as validated jobs. Sends nothing.

A new job, a sweep, many jobs of one text each, and a job that continues an ended one: a retry of
its failed items, or a training from its last checkpoint. The ended job stays as it is, and knows
the one that continues it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TypedDict

from pydantic import ConfigDict, TypeAdapter, ValidationError

from seqd.errors import InvalidRequest, JobsRefused, SeqdError, WrongState, wire_text
from seqd.inputs.paths import check_url
from seqd.ledger.jobs import JOB
from seqd.ledger.submissions import Accepted, new_job_id
from seqd.objects import is_url
from seqd.validation import faults_of, shown
from seqd_schemas import (
    OUTPUT_FORMAT,
    FileSource,
    Item,
    ItemChunk,
    Job,
    JobAction,
    JobId,
    JobRecord,
    JobState,
    ModelReference,
    NamedSource,
    ParameterValue,
    Priority,
    RefusedItem,
    SweepJob,
    TrainJob,
    UploadSource,
    engine_of,
    has_upload,
    output_folder_of,
)

_EVENT_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")
_JOB_ID: TypeAdapter[str] = TypeAdapter(JobId, config=ConfigDict(defer_build=True))


class JobOptions(TypedDict, total=False):
    """What every kind of job can be given; see the fields of the same names in the schema."""

    #: The plugin's own parameters, by name.
    parameters: "Mapping[str, ParameterValue] | None"
    #: Which work goes first; `NORMAL` when left out.
    priority: Priority
    #: On whose account the job runs; `default` when left out.
    tenant: str
    #: Sending the same request with the same input and key again gives the same job; any other
    #: under that key raises IdempotencyConflict.
    idempotency_key: str | None
    #: Up to 16 notes of the caller's own.
    metadata: Mapping[str, str] | None
    #: Seconds for which the ended job and its results are kept; a week when left out.
    results_ttl_s: int
    #: Seconds in which the job must end, from its acceptance; else it expires.
    expires_in_s: int | None
    #: Units that may be worked on at once; the operator's limit when left out.
    max_running_units: int | None
    #: True waits until the server has the job on its disk, where it can say so (WAITAOF, from
    #: Redis 7.2 on); False does not. When left out, jobs of more than one unit wait: a smaller
    #: one is usually done before the disk would answer. The handle's `durable` has the answer.
    durable: bool | None
    #: The job's identifier; a new one when left out.
    job_id: str | None


class RecordOptions(JobOptions, total=False):
    """What a job can be given whose items may be records; many jobs of one item each take these."""

    #: Field with a record's identifier; `custom_id` when left out. An `id` is taken too.
    id_field: str
    #: Field with a record's text; `text` when left out.
    text_field: str


class ItemOptions(RecordOptions, total=False):
    """What a job of any number of items can be given."""

    #: Number of items, where the input does not tell; for the ETA alone.
    expected_items: int | None
    #: Of a FileSource: the folder into which workers write the results, in the place of Redis; an
    #: absolute path, as they see it.
    output_folder: str | None


class LabelOptions(TypedDict, total=False):
    """What a classification can be asked of its labels; see the same names in `ClassifyJob`."""

    #: Score below which a result is `uncertain`; it keeps label and score.
    min_score: float | None
    #: New names for labels of the model, by its own; the probabilities of those with one name are
    #: added.
    label_map: Mapping[str, str] | None


class ClassifyOptions(ItemOptions, LabelOptions, total=False):
    """What a classification can be given."""


class WritingOptions(ItemOptions, total=False):
    """What a job whose outputs may be texts can be given."""

    #: Let the handle's `stream` give the texts while they are written.
    stream: bool


class ClassifyEachOptions(RecordOptions, LabelOptions, total=False):
    """What many classifications of one text each can be given."""


class AnswerOptions(TypedDict, total=False):
    """What one item can be given whose answer is waited for."""

    #: The plugin's own parameters, by name.
    parameters: "Mapping[str, ParameterValue] | None"
    #: On whose account the job runs; `default` when left out.
    tenant: str
    #: Seconds to wait for the answer; 30 when left out, None for no end.
    timeout_s: float | None


class PredictOptions(AnswerOptions, LabelOptions, total=False):
    """What one text can be given whose classification is waited for."""


class _MakingOptions(JobOptions, total=False):
    #: What to make a new model with, such as `imdb_lstm`.
    plugin: str | None
    #: Named parameters, which the others override.
    preset: str | None
    #: Labels to move to the new version; of a sweep, to the best one.
    labels: Sequence[str]


class TrainOptions(_MakingOptions, total=False):
    """What a training can be given; see the fields of the same names in `TrainJob`."""

    #: Field with a record's text; `text` when left out.
    text_field: str
    #: Field with a record's class; `label` when left out.
    label_field: str


class SweepOptions(_MakingOptions, total=False):
    """What a sweep can be given; see the fields of the same names in `SweepJob`."""

    #: What to validate on; else the plugin holds some of the data out.
    held_out: FileSource | NamedSource | None
    #: Figure that says which version is best; `validation_accuracy` or its like when left out.
    metric: str | None


#: What the jobs of a kind can be given.
_OPTIONS: Mapping[str, type] = {
    "classify": ClassifyOptions,
    "generate": WritingOptions,
    "run": WritingOptions,
    "train": TrainOptions,
    "sweep": SweepOptions,
}

#: Options that are the client's business alone.
_NOT_SENT = (
    *("job_id", "durable"),
    *("id_field", "text_field", "label_field", "expected_items"),
)

#: What pydantic would show as a pattern, in words.
_ALLOWED = {
    "model": "NAME, NAME@3 (a version) or NAME@production (a label)",
    "held_out": "an iterable of texts or records, a FileSource or a NamedSource",
    "labels": "names of lower-case letters, digits, `_` and `-`",
    "grid": "1 to 8 parameters, each with values that differ, of 256 combinations at most",
    "metric": "the name of a figure, such as validation_accuracy",
    "preset": "a name of lower-case letters, digits, `_` and `-`",
    "tenant": "1 to 64 letters, digits, `_`, `.` and `-`",
    "idempotency_key": "1 to 128 characters, none of them a control character",
    "metadata": "up to 16 names, each with a text of up to 512 characters",
    "results_ttl_s": "60 seconds to 366 days",
    "expires_in_s": "1 second to 366 days",
    "max_running_units": "1 to 1,000,000",
    "priority": "interactive, normal or bulk",
    "min_score": "a score from 0 to 1",
    "task": "the name of a task that the model has, such as embed",
    "label_map": "up to 256 labels of the model, each with its new name of 1 to 256 characters",
}

#: What names the model of a training or a sweep, which makes a version of it.
_A_MODEL_TO_TRAIN = "a name of up to 40 of a-z 0-9 _ with a letter in front, without a version"

#: Options that no two jobs can share.
_OF_ONE_JOB = ("job_id", "idempotency_key")


def job_of(kind: str, model: str, options: JobOptions, **fields: object) -> Job:
    """Make a job; raises InvalidRequest, which names the field and what is allowed.

    And InvalidInput for a URL that names nothing in a bucket of S3.
    """
    refuse_unknown(options, _OPTIONS.get(kind, JobOptions))
    given = {
        name: value
        for name, value in options.items()
        if name not in _NOT_SENT and value is not None
    }
    if "output_folder" in given:
        given["format"] = OUTPUT_FORMAT
        if not isinstance(fields.get("source"), FileSource):
            raise InvalidRequest(
                "output_folder is for a job of items whose input is a FileSource, which workers "
                "read. Leave it out, or name the file so."
            )
    for place in (
        given.get("output_folder"),
        *(getattr(one, "path", "") for one in fields.values()),
    ):
        if isinstance(place, str) and is_url(place):
            check_url(place)  # before it is stored, for it may hold a secret
    try:
        return JOB.validate_python({"kind": kind, "model": model, **given, **fields})
    except ValidationError as error:
        fault = faults_of(error)[0]
        parts = [part for part in fault.field.split(".") if part not in ("", kind)] or ["kind"]
        value = shown(kind) if parts == ["kind"] else fault.value
        allowed = _ALLOWED.get(parts[0], fault.allowed)
        if parts[0] == "model" and kind in ("train", "sweep"):
            allowed = _A_MODEL_TO_TRAIN
        raise InvalidRequest(
            wire_text(f"{'.'.join(parts)} is {value}; allowed: {allowed}.")
        ) from None


def refuse_unknown(options: Mapping[str, object], known: type) -> None:
    """Raise InvalidRequest for an option that is none of those that a TypedDict knows."""
    names = known.__annotations__.keys()
    if unknown := options.keys() - names:
        known_ones = ", ".join(sorted(names))
        raise InvalidRequest(f"There is no option {min(unknown)!r}. Known options: {known_ones}.")


def items_job(kind: str, items: object, model: str, options: ItemOptions, **fields: object) -> Job:
    """Make a job of items, which are uploaded unless workers read them of a file."""
    if isinstance(items, FileSource):
        _refuse_other_fields(items, options)
        return job_of(kind, model, options, source=items, **fields)
    expected_items = options.get("expected_items")
    if expected_items is None and isinstance(items, Sequence):
        expected_items = len(items)
    source = UploadSource(expected_items=expected_items)
    return job_of(kind, model, options, source=source, **fields)


def each_job(kind: str, model: str, options: RecordOptions, **fields: object) -> Job:
    """Make the job that many are like, each of one item that is uploaded."""
    refuse_unknown(options, ClassifyEachOptions if kind == "classify" else RecordOptions)
    for name in _OF_ONE_JOB:
        if options.get(name) is not None:
            raise InvalidRequest(
                f"{name} is {options.get(name)!r}, for many jobs; allowed: none. Give each job an "
                "identifier of its own with `job_ids`: sent again, it makes no second job."
            )
    return job_of(kind, model, options, source=UploadSource(expected_items=1), **fields)


def training_of(data: object, model: str, options: TrainOptions, held_out: object) -> Job:
    """Make the request of a training; data that is no source travels by upload."""
    if isinstance(data, FileSource) and isinstance(held_out, FileSource | NamedSource | None):
        _refuse_other_fields(data, options)
    return job_of(
        "train",
        model,
        options,
        source=_as_source(data),
        held_out=None if held_out is None else _as_source(held_out),
        plugin=_plugin_of(model, options),
    )


def checked_id(job_id: str) -> str:
    """Return the identifier if a job may have it; raises InvalidRequest."""
    try:
        return _JOB_ID.validate_python(job_id)
    except ValidationError:
        raise InvalidRequest(
            f"The job's identifier is {shown(job_id)}; allowed: 1 to 64 letters, digits, `_` and "
            "`-`, the first a letter or digit."
        ) from None


def sweep_of(
    data: object, model: str, grid: Mapping[str, Sequence[ParameterValue]], options: SweepOptions
) -> Job:
    """Make the request of a sweep; raises InvalidRequest, which names what is wrong."""
    if not isinstance(data, FileSource | NamedSource):
        raise InvalidRequest(
            f"The data of a sweep is of type {type(data).__name__}; allowed: a FileSource that the "
            "workers can read, or a NamedSource of the plugin. Put the records into a file: each "
            "of the trainings reads them anew."
        )
    lists = {}
    for name, values in grid.items() if isinstance(grid, Mapping) else ():
        if isinstance(values, str | bytes) or not isinstance(values, Sequence):
            raise InvalidRequest(
                f"The values of {name!r} are one {type(values).__name__}; allowed: a list of the "
                "values to try."
            )
        lists[name] = list(values)
    plugin = _plugin_of(model, options)
    return job_of("sweep", model, options, source=data, grid=lists or grid, plugin=plugin)


def inputs_of(
    entries: Iterable[Item | RefusedItem], job_ids: Iterable[str] | None
) -> Iterator[tuple[str, ItemChunk]]:
    """Yield the identifier and the whole input of each job.

    Raises InvalidRequest for an identifier that no job can have, and where there are fewer of them
    than entries, or more.
    """
    if job_ids is None:
        for entry in entries:
            yield new_job_id(), _only(entry)
        return
    for item, job_id in zip_longest(entries, job_ids):
        if item is None or job_id is None:
            more, fewer = ("job_ids", "items") if item is None else ("items", "job_ids")
            raise InvalidRequest(f"There are more {more} than {fewer}; one each is due.")
        yield checked_id(job_id), _only(item)


def refusal_of(
    inputs: Sequence[tuple[str, ItemChunk]], outcomes: Sequence[Accepted | SeqdError]
) -> JobsRefused | None:
    """Sum up which jobs were refused, and why; None when none was."""
    refused = {
        job_id: outcome
        for (job_id, _), outcome in zip(inputs, outcomes, strict=True)
        if isinstance(outcome, SeqdError)
    }
    if not refused:
        return None
    accepted = [outcome.job_id for outcome in outcomes if isinstance(outcome, Accepted)]
    return JobsRefused(accepted, refused)


def retry_of(record: JobRecord) -> Job:
    """Ask for an ended job's failed items once more: same version, parameters and tenant.

    Raises InvalidRequest for a training and a job of another engine, WrongState for one that has
    not ended.
    """
    if isinstance(record.job, TrainJob):
        raise InvalidRequest(
            f"Job {record.job_id} is a training, which is {record.state}: it has no items to "
            f"retry. {_of_a_training(record)}"
        )
    if engine := engine_of(record.job):
        raise InvalidRequest(
            f"Job {record.job_id} was computed by the engine {shown(engine)}, not by workers. To "
            "have done what has no result nor error, give the same command again with --resume; to "
            "compute all of it again, name a new folder."
        )
    if not record.state.is_terminal:
        raise WrongState(
            f"Job {record.job_id} is {record.state}; only the failed items of a job that has ended "
            f"can be retried. {_towards_its_end(record)}"
        )
    is_referring = output_folder_of(record.job) is not None
    if not is_referring or record.state is JobState.COMPLETED:
        _refuse_incomplete(record)
    if record.sealed and record.counts.succeeded == record.counts.total:
        raise WrongState(f"Job {record.job_id} has no failed items: there is nothing to retry.")
    if isinstance(record.job, SweepJob):
        return _continuing(record)  # whoever knows them names its combinations
    if is_referring:
        return _continuing(record)  # workers read the file again, and keep what has a result
    undone = record.counts.total - record.counts.succeeded
    return _continuing(record, source=UploadSource(expected_items=undone))


def replay_of(first: JobRecord, last: JobRecord, *, current_version: bool = False) -> Job:
    """Ask for failed items of a job once more, whose last retry is `last`, or that itself.

    On the version that `last` had, or on the one in service. Raises WrongState where the job ended
    before its input was complete, and for a job by reference.
    """
    if output_folder_of(last.job) is not None:
        raise WrongState(
            f"Job {last.job_id} has its items in a file that workers read. Have those without a "
            f"result done: seqd jobs retry {last.job_id}"
        )
    _refuse_incomplete(first)
    changes: dict[str, object] = {"model": last.model} if current_version else {}
    if isinstance(last.job, SweepJob):
        return _continuing(last, **changes)
    return _continuing(last, source=UploadSource(), **changes)


def _refuse_incomplete(record: JobRecord) -> None:
    if not record.sealed:
        raise WrongState(
            f"Job {record.job_id} ended before its input was complete, so a retry would leave out "
            "what had not been read. Hand the whole job in again; what was done stays readable."
        )


def resumption_of(record: JobRecord) -> Job:
    """Ask for an ended training to be continued from its last checkpoint.

    Raises WrongState for a training that completed, and for anything but a training.
    """
    if not isinstance(record.job, TrainJob):
        raise WrongState(
            f"Job {record.job_id} is {record.state}; only a paused job, or a training that ended "
            f"early, can be resumed. {rest_told(record)}".rstrip()
        )
    if record.state is JobState.COMPLETED:
        raise WrongState(f"Training {record.job_id} is completed: nothing is left to resume.")
    if not has_its_input(record):
        raise WrongState(
            f"Training {record.job_id} cannot be resumed: its data was not uploaded completely "
            "before it ended. Hand the training in again with all of it."
        )
    return _continuing(record)


def has_its_input(record: JobRecord) -> bool:
    """True unless an upload was cut off, or still is under way: such a job cannot be continued."""
    return record.sealed or not has_upload(record.job)


def rest_told(record: JobRecord) -> str:
    """Say how to do what a job left undone that ended early; '' where that cannot be done."""
    if record.continued_by is not None:
        return f"The job that continues it: seqd jobs show {record.continued_by}"
    if not record.state.is_terminal or record.state is JobState.COMPLETED:
        return ""
    if isinstance(record.job, TrainJob):
        return f"The rest: seqd jobs resume {record.job_id}" if has_its_input(record) else ""
    if engine_of(record.job):
        return "The rest: the same command with --resume"
    may_retry = record.sealed or output_folder_of(record.job) is not None
    return f"The rest: seqd jobs retry {record.job_id}" if may_retry else ""


def _of_a_training(record: JobRecord) -> str:
    if record.state is JobState.COMPLETED:
        return f"The version that it made: seqd jobs show {record.job_id}"
    may_resume = record.state.may(JobAction.RESUME)
    if not (record.state.is_terminal or may_resume):
        return f"Watch it: seqd jobs watch {record.job_id}"
    if record.continued_by is not None:
        return f"The job that continues it: seqd jobs show {record.continued_by}"
    if may_resume or has_its_input(record):
        return f"Resume it: seqd jobs resume {record.job_id}"
    return "Its data was not uploaded completely: hand the training in again with all of it."


def _towards_its_end(record: JobRecord) -> str:
    if record.state.may(JobAction.RESUME):
        return f"Resume it (seqd jobs resume {record.job_id}) or cancel it first."
    return f"Wait for its end: seqd jobs watch {record.job_id}"


def _continuing(record: JobRecord, **changes: object) -> Job:
    model = str(ModelReference(record.model, record.version))
    # Its idempotency key stands for the ended job, and its time for that one's time.
    fields = {"model": model, "continues": record.job_id, "idempotency_key": None}
    return record.job.model_copy(update={**fields, "expires_in_s": None, **changes})


def _refuse_other_fields(source: FileSource, options: Mapping[str, object]) -> None:
    """Raise InvalidRequest for names of fields that are not those by which a file is read."""
    for name in ("id_field", "text_field", "label_field"):
        own = getattr(source, name)
        if options.get(name, own) != own:
            raise InvalidRequest(
                f"{name} is {shown(options[name])}, and that of the FileSource is {own!r}; "
                "allowed: that of the FileSource, by which workers read it."
            )


def _plugin_of(model: str, options: _MakingOptions) -> str | None:
    """Return what a model is to be made with; None for that of its own name."""
    plugin = options.get("plugin")
    return None if plugin == model else plugin


def _as_source(data: object) -> object:
    return data if isinstance(data, FileSource | NamedSource) else UploadSource()


def _only(entry: Item | RefusedItem) -> ItemChunk:
    # Validated when it was made.
    return ItemChunk.model_construct(type="items", first_index=0, items=(entry,))


def checked_event_id(event_id: str) -> str:
    """Return the identifier if an event may have it; raises InvalidRequest."""
    parts = _EVENT_ID.fullmatch(event_id) if isinstance(event_id, str) else None
    if parts is None or any(int(part) >= 2**64 for part in parts.groups()):
        raise InvalidRequest(
            f"after is {shown(event_id)}; allowed: the id of an event, such as '1796013784137-0', "
            "or '0-0' for all that are kept."
        )
    return event_id
