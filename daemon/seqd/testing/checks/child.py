"""What a child does that runs checks: it loads a plugin, and checks one part of one of its models.

`running` sends the spec and reads what is told.
"""

import faulthandler
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import cast

from seqd.authoring.messages import Begun, Found, Has, Outcomes, Report, RunChecks
from seqd.errors import PluginFault, VersionDiffers
from seqd.hookspecs import Artifact, Model
from seqd.kinds import TRAIN
from seqd.models.catalog import built_in_version
from seqd.models.registry import Registry
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
from seqd.testing.checks.examples import PluginExamples, author_packages, examples_of
from seqd.testing.checks.failures import (
    CheckFailed,
    DoesNotApply,
    failure_of,
    place_in,
    place_of,
)
from seqd.testing.checks.importing import load_observed
from seqd.testing.checks.outcome_checks import outcomes_as_json
from seqd.testing.checks.report import CheckState, loads_result
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


@dataclass
class Child:
    """A child at work."""

    spec: RunChecks
    #: Is told each report, at once.
    say: Callable[[Report], None]
    #: The descriptor that its stacks are written to.
    stacks: int
    #: The packages of the author's files, once the plugin is loaded.
    packages: Collection[str] = ()

    def within(self, seconds: float) -> None:
        """Have the process ended, with its stacks written, unless this is called again by then."""
        faulthandler.dump_traceback_later(seconds, exit=True, file=self.stacks)

    def describe(self) -> None:
        """Load the plugin, tell its models and their parts, and check the descriptions."""
        self.within(self.spec.limit_s)
        registry, imported = load_observed(self.spec.source)
        declared: dict[str, PluginExamples] = {}
        try:
            declared = {name: examples_of(model) for name, model in registry.models.items()}
        except PluginFault as error:
            imported.reason = str(error)
        loads = loads_result(self.spec.source.name)
        if imported.reason:
            found = {"seen": imported.reason, "place": imported.place, "state": CheckState.FAILED}
            loads, declared = loads.model_copy(update=found), {}
        self.say(Found(result=loads))
        for name, of_model in declared.items():
            model = registry.model(name)
            self.packages = author_packages(self.spec.source.module, model)
            examples = self.spec.examples.over(of_model)
            parts = tuple(parts_of(model, has_folder=self.spec.version_folder is not None))
            expected = dict(examples.expected_failures)
            self.say(Has(model=name, parts=parts, expected=expected))
            make = partial(Description, model, imported, examples)
            self.run_all(name, checks_of(Part.DESCRIPTION), make)

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

        self.run_all(model.name, wanted, make)

    def tell_outcomes(self) -> None:
        """Tell the outcomes of a version."""
        self.within(self.spec.limit_s)
        model, registry = self._model()
        version = cast("Version", self._subject(model, registry))
        self.say(Outcomes(by_task=outcomes_as_json(version)))

    def run_all(
        self, model: str, checks: "Sequence[Check[object]]", make: Callable[[], object]
    ) -> None:
        """Run checks one after another, and tell how each ended."""
        for check in checks:
            self.say(Begun(id=check.id))
            self.within(self.spec.limit_s * check.limit_factor)
            started = monotonic()
            passed = check.result(model, self.spec.part, CheckState.PASSED)
            outcome = self._outcome(check, make) | {"seconds": round(monotonic() - started, 3)}
            result = passed.model_copy(update=outcome)
            self.say(Found(result=result))
            if check.id == FIRST and result.state is CheckState.FAILED:
                break

    def _outcome(self, check: "Check[object]", make: Callable[[], object]) -> dict[str, object]:
        """Run a check, and return what its result has where it has not passed."""
        try:
            with OneProcess():
                check.run(make())
        except DoesNotApply as reason:
            return {"state": CheckState.DID_NOT_APPLY, "why": str(reason)}
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  a plugin may also call sys.exit()
            failure = failure_of(error)
            place = place_of(failure.at, self.packages) if failure.at is not None else None
            return {
                "state": CheckState.FAILED,
                "seen": failure.seen,
                "cure": failure.cure,
                "place": place or place_in(error, self.packages),
            }
        return {}

    def _model(self) -> tuple[Model, Registry]:
        registry, imported = load_observed(self.spec.source)
        if imported.reason:
            raise CheckFailed(imported.reason, "")
        model = registry.model(self.spec.model)
        self.packages = author_packages(self.spec.source.module, model)
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
        version = Version(model, artifact, own, examples, self.spec)
        # As a worker does, so that no check pays for what is compiled at first.
        self.within(self.spec.limit_s * _LOADING_FACTOR)
        version.loaded.warm_up()
        self.within(self.spec.limit_s)
        return version

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


def run_checks(spec: RunChecks, say: Callable[[Report], None], stacks: int) -> None:
    """Do what a spec says; `say` is told what comes of it, `stacks` where the plugin hangs."""
    child = Child(spec, say, stacks)
    {"describe": child.describe, "checks": child.check, "outcomes": child.tell_outcomes}[
        spec.mode
    ]()
    faulthandler.cancel_dump_traceback_later()
