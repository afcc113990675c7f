"""Checks of a model's description, and of what importing its plugin costs; no model is loaded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import BaseModel, ValidationError

from seqd.errors import InvalidParameters
from seqd.hookspecs import Model, TaskSpec, WorkItem
from seqd.models.made_records import with_record
from seqd.models.task_schemas import task_schema
from seqd.parameters import check_parameters
from seqd.testing.checks.authored import author_object
from seqd.testing.checks.catalog import Checks
from seqd.testing.checks.examples import PluginExamples
from seqd.testing.checks.failures import CheckFailed, DoesNotApply
from seqd.testing.checks.importing import ImportRecord
from seqd.testing.checks.subjects import made_text
from seqd_schemas import Task

#: Seconds that an import may take besides what seqd imports itself.
IMPORT_LIMIT_S = 1.0


@dataclass
class Description:
    """A model's description, and what importing its plugin did."""

    model: Model
    imported: ImportRecord
    examples: PluginExamples


CHECKS: Checks[Description] = Checks("description")


@CHECKS.add("I1", "Importing and describing open nothing and import no deep-learning library.")
def opens_nothing(description: Description) -> None:
    """Read what was opened and imported while the plugin was."""
    imported = description.imported
    if imported.opened:
        raise CheckFailed(
            f"importing and describing does this: {', '.join(imported.opened[:3])}",
            "Open files, connections and processes inside load() or train().",
            author_object(description.model),
        )
    if imported.heavy:
        raise CheckFailed(
            f"importing and describing imports {', '.join(imported.heavy)}",
            "Import them inside load() or train(), in a module of their own.",
            author_object(description.model),
        )


@CHECKS.add("I2", "Importing takes less than a second.")
def imports_quickly(description: Description) -> None:
    """Read what the import took, and which modules took it."""
    imported = description.imported
    if imported.seconds > IMPORT_LIMIT_S:
        slowest = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in imported.slow_modules)
        raise CheckFailed(
            f"it takes {imported.seconds:.1f} s{slowest and f'; most of it: {slowest}'}",
            "Work, wait and import slow libraries inside load() or train(): each command and each "
            "process pays.",
            imported.slowest or author_object(description.model),
        )


@CHECKS.add("O1", "Every parameter is described and bounded; unknown ones are refused.")
def parameters_are_bounded(description: Description) -> None:
    """Give each parameter a value beyond each bound, and each task an unknown parameter."""
    model = description.model
    for task, spec in model.tasks.items():
        silent = [name for name, one in spec.parameters.model_fields.items() if not one.description]
        if silent:
            raise CheckFailed(
                f"{task} has parameters without a description: {', '.join(silent)}",
                "Give each a Field(description=...).",
                spec.parameters,
            )
        _check_refused(model, task, {"no_such_parameter": 1}, "derive it from PluginParameters")
    for task, name, bound, beyond in _bounds(model):
        _check_refused(model, task, {name: bound + beyond}, "its bounds have to hold in the class")


def _bounds(model: Model) -> Iterator[tuple[Task, str, float, int]]:
    """Yield (task, parameter, bound, step beyond it) for each numeric bound."""
    for task, spec in model.tasks.items():
        for name, field in spec.parameters.model_json_schema().get("properties", {}).items():
            for bound, beyond in (("minimum", -1), ("maximum", 1)):
                if bound in field:
                    yield task, name, field[bound], beyond


def _check_refused(model: Model, task: Task, wrong: dict[str, float], cure: str) -> None:
    """Check that the class and its JSON Schema both refuse a value."""
    parameters = model.tasks[task].parameters
    by_class: Callable[[], object] = lambda: parameters.model_validate(wrong)  # noqa: E731
    by_schema: Callable[[], object] = lambda: check_parameters(  # noqa: E731
        parameters.model_json_schema(), dict(wrong), model=model.name, task=task
    )
    for said, refuse in (("class", by_class), ("JSON Schema", by_schema)):
        try:
            refuse()
        except (ValidationError, InvalidParameters):
            continue
        raise CheckFailed(
            f"the {said} of {task}'s parameters takes {wrong}",
            f"Correct {parameters.__name__}: {cure}.",
            parameters,
        )


@CHECKS.add("O3", "What a task of your own takes and gives is published as JSON Schemas.")
def records_are_published(description: Description) -> None:
    """Make the schemas of each task of the plugin's own, and a record with an unknown field."""
    own = {task: spec for task, spec in description.model.tasks.items() if spec.output is not None}
    if not own:
        raise DoesNotApply("no task of its own")
    for task, spec in own.items():
        published = task_schema(spec)
        for schema in filter(None, (published.input, published.result)):
            try:
                Draft202012Validator.check_schema(schema)
            except SchemaError as error:
                raise CheckFailed(
                    f"a schema of {task} is none: {error.message}",
                    "Use plainer types.",
                    spec.output,
                ) from None
        if not spec.summary:
            raise CheckFailed(
                f"nobody is told what {task} does",
                "Say it in a sentence: TaskSpec(summary=...).",
                author_object(description.model),
            )
        if spec.input is not None:
            _check_input(task, spec, spec.input, description.examples)


def _check_input(
    task: Task, spec: TaskSpec, record: type[BaseModel], examples: PluginExamples
) -> None:
    made = with_record(WorkItem(0, made_text(1)), record, examples.records.get(task, ()))
    if made is None or made.record is None:
        raise CheckFailed(
            f"no record of {record.__name__} could be made by its schema",
            'Give model_config = ConfigDict(json_schema_extra={"examples": [{...}]}).',
            record,
        )
    wrong = {**made.record.model_dump(), "no_such_field": 1}
    try:
        record.model_validate(wrong)
    except ValidationError:
        return
    raise CheckFailed(
        f"{task} takes a record with a field that {record.__name__} does not declare",
        'Give it model_config = ConfigDict(extra="forbid").',
        record,
    )
