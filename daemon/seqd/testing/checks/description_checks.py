"""Checks of a model's description, and of what importing its plugin costs; no model is loaded."""

from dataclasses import dataclass

from seqd.hookspecs import Model, WorkItem
from seqd.models.made_records import with_record
from seqd.testing.checks.catalog import Checks
from seqd.testing.checks.examples import PluginExamples, author_object
from seqd.testing.checks.failures import CheckFailed, DoesNotApply
from seqd.testing.checks.importing import ImportRecord
from seqd.testing.checks.subjects import made_text

#: Seconds that an import may take besides what seqd imports itself.
IMPORT_LIMIT_S = 1.0


@dataclass
class Description:
    """A model's description, and what importing its plugin did."""

    model: Model
    imported: ImportRecord
    examples: PluginExamples


CHECKS: Checks[Description] = Checks()


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


@CHECKS.add("O3", "What a task of your own takes and gives is published as JSON Schemas.")
def records_are_published(description: Description) -> None:
    """Make a record of each task of the plugin's own. One with an open schema is not loaded."""
    own = {task: spec for task, spec in description.model.tasks.items() if spec.output is not None}
    if not own:
        raise DoesNotApply("no task of its own")
    for task, spec in own.items():
        if not spec.summary:
            raise CheckFailed(
                f"nobody is told what {task} does",
                "Say it in a sentence: TaskSpec(summary=...).",
                author_object(description.model),
            )
        given = description.examples.records.get(task, ())
        if spec.input and with_record(WorkItem(0, made_text(1)), spec.input, given) is None:
            raise CheckFailed(
                f"no record of {spec.input.__name__} could be made by its schema",
                'Give model_config = ConfigDict(json_schema_extra={"examples": [{...}]}).',
                spec.input,
            )
