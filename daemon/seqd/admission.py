"""Admission: whether a job can be accepted, and on which version it runs, by the published catalog.

Pure: reads a request and what workers published, changes nothing, and needs no plugin. Client and
inbox both call it, so that they refuse the same things in the same words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NamedTuple, cast

from seqd.analysis.sweeps import combinations_of
from seqd.errors import (
    ArtifactDamaged,
    InvalidParameters,
    InvalidRequest,
    ModelNameTaken,
    UnknownModel,
)
from seqd.kinds import TRAIN
from seqd.parameters import Schema, check_parameters
from seqd.validation import did_you_mean, listed, shown
from seqd_schemas import (
    InlineSource,
    Job,
    JobRollout,
    ModelReference,
    NamedSource,
    ParameterValue,
    RecordsSource,
    RunJob,
    SweepJob,
    TrainJob,
    engine_of,
    task_of,
)

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry, OutputBound, TaskSchema


#: Characters that the items of one unit may make a model write, where it states what one can: a
#: commit stays far below what one call of Redis takes, and a killed worker loses little.
UNIT_OUTPUT_CHARACTERS = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AcceptedSchema:
    """What the results of a plugin's own task are, as it was when a job was accepted."""

    #: Digest of the schemas that they keep to.
    digest: str
    #: Bytes that the result of one item takes in Redis at least, where that is known, else 0.
    result_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that can run, and how."""

    #: The version that it runs on to its end; None for a training, which makes one.
    version: int | None
    #: Items that one unit should hold; 1 for a training, and for a sweep, whose items train.
    unit_items: int
    #: The plugin's model that the job's is made with: by it the job is routed.
    plugin: str | None = None
    #: The roll-out that it takes part in.
    rollout: JobRollout | None = None
    #: Of a plugin's own task, what its results are.
    task_schema: AcceptedSchema | None = None


def admit(job: Job, catalog: "Mapping[str, CatalogEntry]") -> Admitted:
    """Return how a job runs, after checking it against the catalog: entries by model name.

    Raises UnknownModel for a model, version or label that there is not, ModelNameTaken for a
    training with another plugin than the model's, ArtifactDamaged where its labels cannot be read,
    InvalidParameters for a preset or parameter, InvalidRequest for a task or named data set. Says
    what there is.
    """
    if engine := engine_of(job):
        raise InvalidRequest(
            f"engine is {shown(engine)}; allowed: none. A job of another engine is handed in by "
            "the command that runs it, and gone on with by its --resume: seqd classify FILE "
            "--output-folder FOLDER --engine ray. Without engine, workers run a job."
        )
    name, wanted = ModelReference.parse(job.model)
    plugin = job.plugin if isinstance(job, TrainJob | SweepJob) else None
    _check_plugin(name, plugin, catalog)
    # A training of a new model is checked by what its plugin's own model takes.
    entry = find_model(name if plugin is None or name in catalog else plugin, catalog)
    _check_task(job, entry, catalog)
    version = None
    if isinstance(job, TrainJob | SweepJob):
        _check_datasets(job, entry)
        _check_labels(job)
    else:
        version = resolve_version(entry, wanted)
    parameters = _merge_preset(job, entry)
    asked = task_of(job)
    task = entry.all_tasks[asked]
    if isinstance(job, SweepJob):
        _check_combinations(job, parameters, task, name)
    else:
        check_parameters(task.parameters, parameters, model=name, task=asked)
    if isinstance(job, TrainJob | SweepJob):
        return Admitted(version=version, unit_items=1, plugin=entry.made_with)
    if isinstance(job, RunJob):
        _check_input(job, task, name)
    return Admitted(
        version=version,
        unit_items=_unit_items(task, entry, parameters, asked),
        plugin=entry.made_with,
        rollout=_rollout_of(entry, wanted, version),
        task_schema=_accepted(task),
    )


def _accepted(task: "TaskSchema") -> AcceptedSchema | None:
    if task.digest is None:
        return None
    return AcceptedSchema(task.digest, least_result_bytes(task.result or {}))


def least_result_bytes(schema: Schema) -> int:
    """Return the bytes of the vectors of one output whose length is stated.

    Dense ones hardly compress: 256 random numbers are kept in 1,104 bytes. Other fields may be left
    out, empty, or compressed to nearly nothing, and count for nothing.
    """
    from seqd_schemas import FLOAT_BYTES, VECTOR_FORMAT  # here: most jobs have no vectors

    fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
    vectors = (
        fields[name]
        for name in cast("Sequence[str]", schema.get("required", ()))
        if fields.get(name, {}).get("format") == VECTOR_FORMAT
    )
    return sum(FLOAT_BYTES * prod(cast("list[int]", one.get("shape", [0]))) for one in vectors)


def has_text(task: "TaskSchema") -> bool:
    """Return True for a task of a plugin's own whose output has a text, which can be streamed."""
    fields = cast("Mapping[str, Schema]", (task.result or {}).get("properties", {}))
    text = fields.get("text", {})
    return text.get("type") == "string" and "format" not in text


def _check_input(job: RunJob, task: "TaskSchema", name: str) -> None:
    """Refuse texts where records are due, records where texts are, and a stream of no text."""
    if job.stream and not has_text(task):
        raise InvalidRequest(
            f"{name} {job.task} writes no text: `stream` is for tasks whose output has a field "
            "`text`. Read the results."
        )
    if isinstance(job.source, InlineSource) and task.input is not None:
        raise InvalidRequest(
            f"{name} {job.task} takes records with the fields {fields_of(task)}, and the source "
            'has texts. Use a source of the type "records".'
        )
    if isinstance(job.source, RecordsSource) and task.input is None:
        raise InvalidRequest(
            f"{name} {job.task} takes texts, and the source has records. Use a source of the type "
            '"inline", whose items have a `text`.'
        )


def fields_of(task: "TaskSchema") -> str:
    """Return the fields of a record that a task takes, in their order."""
    return ", ".join(cast("Mapping[str, Schema]", (task.input or {}).get("properties", {})))


def _rollout_of(
    entry: "CatalogEntry", wanted: int | str | None, version: int | None
) -> JobRollout | None:
    """Return the roll-out of a model, for a job on the version in service that names no other."""
    found = entry.rollout
    if found is None or wanted not in (None, "production") or found.serving != version:
        return None
    if all(summary.version != found.version for summary in entry.versions):
        return None
    return JobRollout(id=found.id, kind=found.kind, version=found.version, share=found.share)


def _check_plugin(name: str, plugin: str | None, catalog: "Mapping[str, CatalogEntry]") -> None:
    """Refuse a training with another plugin than that of the model, or with what is none."""
    if plugin is None:
        return
    known = catalog[name].made_with if name in catalog else plugin
    if plugin != known:
        raise ModelNameTaken(
            f"model {name!r} is made with {known}, and a model's plugin never changes: it cannot "
            f"be trained with {plugin!r}. Choose another name: --as NAME."
        )
    made_with = catalog[plugin].made_with if plugin in catalog else plugin
    if plugin != made_with:
        raise InvalidRequest(
            f"model {plugin!r} is made with {made_with}, and is no plugin's own: nothing is made "
            f"with it. Make {name!r} with {made_with!r}."
        )


class MostWritten(NamedTuple):
    """The most that one item makes a model write."""

    symbols: int
    #: No more than where the task cuts.
    characters: int
    #: What they come from, in words: `length 400 x samples 2 x 1 of temperature`.
    factors: str


def most_written(bound: "OutputBound", parameters: Mapping[str, object]) -> MostWritten:
    """Return the most that one item makes a model write; `parameters` are all, defaults too."""
    numbers = {name: _number(parameters.get(name)) for name in bound.factors}
    counts = {name: _length(parameters.get(name)) for name in bound.lists}
    symbols = prod(numbers.values()) * prod(counts.values())
    factors = [f"{name} {number:,}" for name, number in numbers.items()]
    factors += [f"{count} of {name}" for name, count in counts.items()]
    characters = min(symbols * bound.characters_per_symbol, bound.max_characters)
    return MostWritten(symbols, characters, " x ".join(factors))


def resolve_version(entry: "CatalogEntry", wanted: int | str | None) -> int:
    """Return the version that is meant by the part of a model reference after `@`.

    None means the label `production`: the version in service. Raises UnknownModel, also for a label
    of a version that is gone, and ArtifactDamaged where the labels cannot be read.
    """
    versions = [summary.version for summary in entry.versions]
    if not versions:
        adds = f"add its weights with `seqd models add FOLDER --plugin {entry.model}`"
        trains = f"train one with `seqd train {entry.model}`"
        how = trains if TRAIN in entry.tasks else adds
        raise UnknownModel(f"model {entry.model!r} has no version yet: {how}.")
    labels = {"latest": max(versions), **entry.labels}
    if isinstance(wanted, int):
        if wanted in versions:
            return wanted
        raise UnknownModel(_unknown_version(entry, wanted, versions, labels))
    if entry.labels_fault is not None:
        raise ArtifactDamaged(
            f"the labels of {entry.model} mean nothing now: {entry.labels_fault}, or ask for a "
            f"version, such as {entry.model}@{versions[-1]}."
        )
    if wanted is None and "production" not in labels:
        raise UnknownModel(
            f"no version of {entry.model} is in service. Put one there: seqd models promote "
            f"{entry.model}@{max(versions)}. Or ask for a version."
        )
    label = wanted or "production"
    if label not in labels:
        raise UnknownModel(_unknown_version(entry, label, versions, labels))
    if _is_gone(labels[label], versions):
        gone = _unknown_version(entry, labels[label], versions, labels)
        how = ""
        if label == "production":
            how = f" Put another one in service: seqd models promote {entry.model}@{max(versions)}."
        raise UnknownModel(f"the label {label!r} stands for a version that is gone: {gone}{how}")
    return labels[label]


def _is_gone(version: int, versions: Sequence[int]) -> bool:
    """Return True for a version that would be listed if it were there: the newest are."""
    from seqd_schemas import MAX_VERSIONS  # here: a client is imported without the fleet's records

    is_all = len(versions) < MAX_VERSIONS
    return version not in versions and (is_all or version > versions[0])


def find_model(name: str, catalog: "Mapping[str, CatalogEntry]") -> "CatalogEntry":
    """Return a published model. Raises UnknownModel, which names those that there are."""
    if not catalog:
        raise UnknownModel(
            f"no model named {name!r}: no worker has published a model yet. "
            "Start workers with `seqd up`; `seqd status` shows them."
        )
    if name not in catalog:
        raise UnknownModel(
            f"no model named {name!r}. Known models: {listed(catalog)}."
            f"{did_you_mean(name, catalog)} `seqd plugins list` shows plugins that failed to load; "
            "one that was installed since needs `seqd workers restart`."
        )
    return catalog[name]


def _check_task(job: Job, entry: "CatalogEntry", catalog: "Mapping[str, CatalogEntry]") -> None:
    task = task_of(job)
    if isinstance(job, RunJob) and task in entry.tasks:
        raise InvalidRequest(
            f"{task!r} is a kind of job of its own: hand in a job of the kind {task!r}, as "
            f"`seqd {task}` does, and none of the kind 'run'."
        )
    if task in entry.all_tasks:
        return
    able = [name for name, other in catalog.items() if task in other.all_tasks]
    raise InvalidRequest(
        f"model {entry.model!r} has no task {task!r}; its tasks: {listed(entry.all_tasks)}."
        f"{did_you_mean(task, entry.all_tasks)} Models with that task: {listed(able)}."
    )


def _check_datasets(job: TrainJob | SweepJob, entry: "CatalogEntry") -> None:
    for source in (job.source, job.held_out):
        if isinstance(source, NamedSource) and source.name not in entry.datasets:
            raise InvalidRequest(
                f"model {entry.model!r} knows no data set named {source.name!r}. "
                f"Its data sets: {listed(entry.datasets)}."
                f"{did_you_mean(source.name, entry.datasets)}"
            )


def _check_labels(job: TrainJob | SweepJob) -> None:
    if "latest" in job.labels:
        raise InvalidRequest(
            "the label 'latest' cannot be set: it always means the newest version, which the "
            "training makes anyway. Choose another, such as 'production'."
        )


def _check_combinations(
    job: SweepJob, fixed: Mapping[str, ParameterValue], task: "TaskSchema", model: str
) -> None:
    """Check each combination, so that none fails hours after the first began."""
    twice = sorted(job.grid.keys() & job.parameters.keys())
    if twice:
        raise InvalidParameters(
            f"{model} train: parameter {twice[0]!r} is swept and fixed; give it once."
        )
    combinations = combinations_of(job)
    if job.only is not None and len(combinations) < len(job.only):
        unknown = sorted(set(job.only) - {one.name for one in combinations})
        raise InvalidRequest(
            f"the sweep has no combination {listed(unknown[:1])}, which `only` names; name those "
            "of its grid, each once."
        )
    for combination in combinations:
        try:
            values = {**fixed, **combination.values}
            check_parameters(task.parameters, values, model=model, task=TRAIN)
        except InvalidParameters as error:
            raise InvalidParameters(f"combination {combination.name}: {error}") from None


def _unit_items(
    task: "TaskSchema", entry: "CatalogEntry", parameters: Mapping[str, ParameterValue], kind: str
) -> int:
    """Return the items of a unit, so that what they make the model write is bounded.

    Raises InvalidParameters where one item could make it write more than it may.
    """
    bound = task.output
    if bound is None:
        # Long vectors make small units, as long texts do; in JSON they are a third longer.
        each = least_result_bytes(task.result or {}) * 4 // 3
        return max(1, min(task.unit_items, UNIT_OUTPUT_CHARACTERS // max(1, each)))
    most = most_written(bound, {**_defaults(task.parameters), **parameters})
    if most.symbols > bound.max_characters:
        raise InvalidParameters(
            f"{entry.model} {kind}: {most.factors} are {most.symbols:,} symbols for each item; "
            f"allowed: {bound.max_characters:,}. Ask for fewer or shorter texts."
        )
    allowed = entry.max_output_characters
    if allowed is not None and most.characters > allowed:
        raise InvalidParameters(
            f"{entry.model} {kind}: {most.factors} can be {most.characters:,} characters for each "
            f"item; allowed: {allowed:,} (SEQD_MAX_OUTPUT_CHARACTERS of the workers). Ask for "
            "fewer or shorter texts."
        )
    return max(1, min(task.unit_items, UNIT_OUTPUT_CHARACTERS // max(1, most.characters)))


def _defaults(schema: Schema) -> dict[str, ParameterValue]:
    """Return the parameters that a request need not name, with what they are then."""
    fields = cast("Mapping[str, Mapping[str, ParameterValue]]", schema.get("properties", {}))
    return {name: field["default"] for name, field in fields.items() if "default" in field}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 1


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 1


def _merge_preset(job: Job, entry: "CatalogEntry") -> dict[str, ParameterValue]:
    if not isinstance(job, TrainJob | SweepJob) or job.preset is None:
        return dict(job.parameters)
    if job.preset not in entry.presets:
        raise InvalidParameters(
            f"model {entry.model!r} has no preset named {job.preset!r}. "
            f"Its presets: {listed(entry.presets)}.{did_you_mean(job.preset, entry.presets)}"
        )
    return {**entry.presets[job.preset], **job.parameters}


def _unknown_version(
    entry: "CatalogEntry", wanted: int | str, versions: list[int], labels: Mapping[str, int]
) -> str:
    what = f"version {wanted}" if isinstance(wanted, int) else f"label {wanted!r}"
    pointers = ", ".join(f"{label} → {version}" for label, version in sorted(labels.items()))
    numbers = ", ".join(str(version) for version in sorted(versions))
    return f"model {entry.model!r} has no {what}. Versions: {numbers}. Labels: {pointers}."
