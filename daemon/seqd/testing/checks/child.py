"""The program of a child: loads a plugin and runs some checks of one part of one of its models.

    python -P -m seqd.testing.checks.child SPEC

`children` writes the spec and reads what comes of it.
"""

import faulthandler
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Literal, TextIO, cast

from pydantic import BaseModel, ConfigDict, JsonValue

from seqd.errors import PluginFault, VersionDiffers
from seqd.hookspecs import Artifact, Model
from seqd.kinds import TRAIN
from seqd.models.catalog import built_in_version
from seqd.models.registry import Registry
from seqd.models.source_folders import PluginSource
from seqd.models.store import ModelStore
from seqd.models.version_files import (
    MANIFEST_NAME,
    VersionDraft,
    no_data,
    open_folder,
    read_manifest,
    seal_folder,
)
from seqd.plugin.calls import OneProcess
from seqd.testing.checks.catalog import FIRST, Check, Part, checks_of
from seqd.testing.checks.description_checks import Description
from seqd.testing.checks.examples import PluginExamples, examples_of
from seqd.testing.checks.failures import (
    CheckFailed,
    DoesNotApply,
    failure_of,
    place_in,
    place_of,
    roots_of,
)
from seqd.testing.checks.importing import load_observed
from seqd.testing.checks.repetition_checks import outcomes_as_json
from seqd.testing.checks.report import CheckState
from seqd.testing.checks.subjects import (
    Training,
    Version,
    parts_of,
    small_parameters,
    tiny_data,
)
from seqd.testing.training import train_to_artifact

#: Times the usual limit that training a version for its checks may take.
_TRAINING_FACTOR = 10.0

#: And loading a version and warming it up, which may compile.
_LOADING_FACTOR = 4.0

_NO_DATA = "none: a folder that was given to the checks"


class ChildSpec(BaseModel):
    """What a child is to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: `describe` runs the checks of all descriptions; `outcomes` gives a version's for D2.
    mode: Literal["describe", "checks", "outcomes"]
    source: PluginSource
    examples: PluginExamples
    files: dict[str, str]
    limit_s: float
    model: str = ""
    part: Part = Part.DESCRIPTION
    checks: tuple[str, ...] = ()
    #: Where the part's checks keep their files, shared by the children of the part.
    folder: str = ""
    version_folder: str | None = None


@dataclass
class Events:
    """What the child tells, one line of JSON an event."""

    file: TextIO

    def tell(self, event: str, **more: JsonValue) -> None:
        """Write an event, so that it is there even if the process ends right after."""
        self.file.write(json.dumps({"event": event, **more}) + "\n")
        self.file.flush()


@dataclass
class Child:
    """A child at work."""

    spec: ChildSpec
    events: Events
    stacks: TextIO
    roots: list[Path] = field(default_factory=list)

    def within(self, seconds: float) -> None:
        """Have the process ended, with its stacks written, unless this is called again by then."""
        faulthandler.dump_traceback_later(seconds, exit=True, file=self.stacks)

    def describe(self) -> None:
        """Load the plugin, tell its models and their parts, and check the descriptions."""
        self.events.tell("started", id="L1")
        self.within(self.spec.limit_s)
        registry, imported = load_observed(self.spec.source)
        place = imported.place.model_dump() if imported.place else None
        declared: dict[str, PluginExamples] = {}
        try:
            declared = {name: examples_of(model) for name, model in registry.models.items()}
        except PluginFault as error:
            imported.reason = str(error)
        self.events.tell("loaded", reason=imported.reason, place=place)
        for name, of_model in declared.items():
            model = registry.model(name)
            self.roots = roots_of([type(model).__module__, self.spec.source.module])
            examples = self.spec.examples.over(of_model)
            has_folder = self.spec.version_folder is not None
            parts: list[JsonValue] = [part.value for part in parts_of(model, has_folder=has_folder)]
            expected: dict[str, JsonValue] = dict(examples.expected_failures)
            self.events.tell("model", model=name, parts=parts, expected=expected)
            make = partial(Description, model, imported, examples)
            self.run_all(checks_of(Part.DESCRIPTION), make)

    def check(self) -> None:
        """Load the plugin and run the checks of one part of a model."""
        self.within(self.spec.limit_s)
        model, registry = self._model()
        wanted = [check for check in checks_of(self.spec.part) if check.id in self.spec.checks]
        subject: list[object] = []

        def make() -> object:
            if not subject:
                subject.append(self._subject_or_reason(model, registry))
            if isinstance(subject[0], DoesNotApply):
                raise subject[0]
            return subject[0]

        self.run_all(wanted, make)

    def tell_outcomes(self) -> None:
        """Tell the outcomes of a version."""
        self.within(self.spec.limit_s)
        model, registry = self._model()
        version = cast("Version", self._subject(model, registry))
        outcomes: dict[str, JsonValue] = {
            task: list(texts) for task, texts in outcomes_as_json(version).items()
        }
        self.events.tell("outcomes", outcomes=outcomes)

    def run_all(self, checks: "Sequence[Check[object]]", make: Callable[[], object]) -> None:
        """Run checks one after another, and tell how each ended."""
        for check in checks:
            self.events.tell("started", id=check.id)
            factor = check.limit_factor
            self.within(self.spec.limit_s * factor)
            started = monotonic()
            outcome = self._outcome(check, make)
            seconds = round(monotonic() - started, 3)
            self.events.tell("ended", id=check.id, seconds=seconds, **outcome)
            if check.id == FIRST and outcome["state"] == CheckState.FAILED:
                break
        faulthandler.cancel_dump_traceback_later()

    def _outcome(self, check: "Check[object]", make: Callable[[], object]) -> dict[str, JsonValue]:
        try:
            with OneProcess():
                check.run(make())
        except DoesNotApply as reason:
            return {"state": CheckState.DID_NOT_APPLY, "why": str(reason)}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a plugin may also call sys.exit()
            failure = failure_of(error)
            place = place_of(failure.at, self.roots) if failure.at is not None else None
            place = place or place_in(error.__traceback__, self.roots)
            return {
                "state": CheckState.FAILED,
                "seen": failure.seen,
                "cure": failure.cure,
                "place": place.model_dump() if place else None,
            }
        return {"state": CheckState.PASSED}

    def _model(self) -> tuple[Model, Registry]:
        registry, imported = load_observed(self.spec.source)
        if imported.reason:
            raise CheckFailed(imported.reason, "")
        model = registry.model(self.spec.model)
        self.roots = roots_of([type(model).__module__, self.spec.source.module])
        return model, registry

    def _subject_or_reason(self, model: Model, registry: Registry) -> object:
        try:
            return self._subject(model, registry)
        except VersionDiffers:
            return DoesNotApply("V1 failed: what is saved is not what was trained")

    def _subject(self, model: Model, registry: Registry) -> object:
        folder = Path(self.spec.folder)
        own = folder / f"files-{os.getpid()}"
        own.mkdir(parents=True)
        examples = self.spec.examples.over(examples_of(model))
        if self.spec.part is Part.TRAINING:
            return Training(model, own, examples)
        artifact = self._artifact(model, registry, folder, examples)
        version = Version(model, artifact, own, examples, self._spec_for_another())
        # As a worker does, so that no check pays for what is compiled at first.
        self.within(self.spec.limit_s * _LOADING_FACTOR)
        version.loaded.warm_up()
        self.within(self.spec.limit_s)
        return version

    def _spec_for_another(self) -> dict[str, JsonValue]:
        return cast("dict[str, JsonValue]", self.spec.model_dump(mode="json", exclude={"files"}))

    def _artifact(
        self, model: Model, registry: Registry, folder: Path, examples: PluginExamples
    ) -> Artifact:
        if self.spec.part is Part.STARTER:
            assert model.starter is not None
            return open_folder(model.starter, model.name, 0)
        if self.spec.part is Part.BUILT_IN:
            return built_in_version(model, registry.plugin_of(model.name).version)
        if self.spec.part is Part.FOLDER:
            return _given_version(model, Path(str(self.spec.version_folder)), folder / "given")
        store = ModelStore(folder / "trained", {})
        if store.numbers(model.name):  # by the first process of this part, unless it failed
            return store.open(model.name, 1)
        self.within(self.spec.limit_s * _TRAINING_FACTOR)
        parameters = small_parameters(model, TRAIN, examples)
        artifact = train_to_artifact(model, parameters, tiny_data(examples), folder / "trained")
        self.within(self.spec.limit_s)
        return artifact


def _given_version(model: Model, given: Path, copy: Path) -> Artifact:
    """Return the author's folder as an artifact; one without a manifest gets one, in a copy."""
    if (given / MANIFEST_NAME).is_file():
        return open_folder(given, model.name, read_manifest(given).version)
    if not copy.exists():
        shutil.copytree(given, copy)
        draft = VersionDraft(model=model.name, plugin_version="0", data=no_data(_NO_DATA))
        seal_folder(copy, draft, 1)
    return open_folder(copy, model.name, 1)


def main() -> None:
    """Do what the spec says, which is a file."""
    spec = ChildSpec.model_validate_json(Path(sys.argv[1]).read_bytes())
    stacks = Path(spec.files["stacks"]).open("w", encoding="utf-8")  # noqa: SIM115  for good
    faulthandler.enable(stacks)
    events = Events(Path(spec.files["events"]).open("w", encoding="utf-8"))  # noqa: SIM115
    child = Child(spec, events, stacks)
    modes = {"describe": child.describe, "checks": child.check, "outcomes": child.tell_outcomes}
    modes[spec.mode]()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    # What the plugin left running must not keep the process.
    os._exit(0)
