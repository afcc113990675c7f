"""Checks that a version gives the same again: loaded twice, in another process, from a store."""

import json
import shutil

from pydantic import BaseModel

from seqd.models.store import ModelStore
from seqd.models.version_files import MANIFEST_NAME, VersionDraft
from seqd.testing.checks.authored import author_method
from seqd.testing.checks.catalog import Checks
from seqd.testing.checks.failures import CheckFailed, DoesNotApply
from seqd.testing.checks.outcome_checks import cure_of_chance, must_repeat
from seqd.testing.checks.subjects import Version
from seqd.testing.contexts import CPU

CHECKS: Checks[Version] = Checks("outcomes")


@CHECKS.add("D2", "Another process gives the same outcomes.", limit_factor=2)
def in_another_process(version: Version) -> None:
    """Load the version in a process of its own, whose hashes of texts are others."""
    from seqd.testing.checks.children import outcomes_in_a_child

    assert version.spec is not None, "a child has one"
    here = outcomes_as_json(version)
    there = outcomes_in_a_child(version.spec)
    for task, outcomes in here.items():
        if outcomes == there.get(task):
            continue
        must_repeat(version, task)
        pairs = zip(outcomes, there.get(task, []), strict=False)
        first, other = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        raise CheckFailed(
            f"{task} gives {first[:120]} in one process and {other[:120]} in another",
            f"{cure_of_chance(version)} Python's own hash() of a text differs from process to "
            "process.",
            version.method(task),
        )


def outcomes_as_json(version: Version) -> dict[str, list[str]]:
    """Return the outcomes of five items of each task, as JSON."""
    return {
        task: [_as_json(outcome) for outcome in version.run(task, version.items(task, 5))]
        for task in version.tasks
    }


def _as_json(outcome: object) -> str:
    if isinstance(outcome, BaseModel):
        return json.dumps(outcome.model_dump(mode="json"), sort_keys=True)
    return repr(outcome)


@CHECKS.add("V1", "A version that went through a model store gives the same outcomes.")
def through_a_store(version: Version) -> None:
    """Publish the version's files into a store, and load them from there."""
    manifest = version.artifact.manifest
    if not (version.artifact.folder / MANIFEST_NAME).is_file():
        raise DoesNotApply("no files")
    store = ModelStore(version.folder / "store", {})
    draft = store.new_folder(manifest.model, "checks")
    for name in manifest.files:
        shutil.copyfile(version.artifact.folder / name, draft / name)
    published = store.publish(draft, VersionDraft.of(manifest))
    loaded = version.model.load(store.open(manifest.model, published.version), CPU)
    for task in version.tasks:
        items = version.items(task, 5)
        if version.run(task, items) != version.run(task, items, loaded=loaded):
            must_repeat(version, task)
            raise CheckFailed(
                f"{task} gives other outcomes once the version was published into a store",
                "Read nothing but artifact.folder and artifact.manifest in load().",
                author_method(version.model, "load"),
            )
