"""`PluginChecks`: a class for an author's tests, which makes a test of each check.

    import seqd_hello
    from seqd.testing import PluginChecks

    class TestHello(PluginChecks):
        plugin = seqd_hello

The checks of a part run, in processes of their own, when the first test of it does; only those
whose tests have been selected. The id of each is in the test's name: `pytest -k B3`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from seqd.errors import InvalidInput, SeqdError
from seqd.hookspecs import Model
from seqd.models.loading import PluginSource
from seqd.models.registry import Registry
from seqd.models.source_folders import source_of
from seqd.testing.checks.catalog import Part, checks_of
from seqd.testing.checks.examples import PluginExamples, examples_of
from seqd.testing.checks.report import CheckResult, CheckState
from seqd.testing.checks.running import LIMIT_S, Run, missing_of
from seqd.testing.checks.subjects import parts_of

_PARAMETER: Final = "seqd_check"


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    """A check that is a test: of which part of which model, and why it does not apply, if so."""

    id: str
    model: str
    part: Part
    why_not: str = ""

    def __str__(self) -> str:
        """Return what stands in the test's name."""
        return f"{self.model}-{self.part}-{self.id}"


class PluginChecks:
    """Tests of one plugin; derive a class whose name begins with `Test`."""

    # Not ClassVar, or mypy refuses `plugin = seqd_hello` in a derived class.

    #: The module of the plugin, its plugin object, or a decorated function.
    plugin: object = None
    #: Texts, records and data that the plugin takes, where those that are made up will not do.
    examples: PluginExamples = PluginExamples()
    #: Why a check is expected to fail, by its id; its test is then an xfail with this reason.
    expected_failures: Mapping[str, str] = {}
    #: Folder of a version, for a model that is not trained and ships none.
    version_folder: Path | None = None
    #: Seconds that one check may take; those of trainings ten times as long.
    limit_s: float = LIMIT_S

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a test of each check that there is of this plugin."""
        if _PARAMETER in metafunc.fixturenames:
            planned = list(_planned(type(self)))
            metafunc.parametrize(_PARAMETER, planned, ids=[str(check) for check in planned])

    def test_plugin(self, seqd_check: PlannedCheck, request: pytest.FixtureRequest) -> None:
        """Fail where the check of this name did."""
        if seqd_check.why_not:
            pytest.skip(seqd_check.why_not)
        result = _result_of(type(self), seqd_check, request)
        reasons = {**_declared(type(self), seqd_check.model), **self.expected_failures}
        if result.state is CheckState.DID_NOT_APPLY:
            pytest.skip(result.why)
        if result.state is CheckState.FAILED and result.id in reasons:
            pytest.xfail(reasons[result.id])
        if result.state is CheckState.FAILED:
            pytest.fail("\n".join(result.lines()), pytrace=False)


def _planned(tests: type[PluginChecks]) -> Iterator[PlannedCheck]:
    """Yield the checks of a plugin; of one that does not load, that it does not."""
    registry = _registry_of(tests)
    yield PlannedCheck("L1", _source_of(tests).name, Part.DESCRIPTION)
    for name, model in registry.models.items():
        parts = parts_of(model, has_folder=tests.version_folder is not None)
        why_not = missing_of(parts)
        for part in (Part.DESCRIPTION, *parts, *why_not):
            for check in checks_of(part):
                yield PlannedCheck(check.id, name, part, why_not.get(part, ""))


def _source_of(tests: type[PluginChecks]) -> PluginSource:
    if tests.plugin is None:
        raise InvalidInput(
            f"{tests.__name__} names no plugin. Give it a line such as `plugin = seqd_hello`."
        )
    return tests.plugin if isinstance(tests.plugin, PluginSource) else source_of(tests.plugin)


def _registry_of(tests: type[PluginChecks]) -> Registry:
    """Load the plugin's descriptions here, where it is imported already."""
    source = _source_of(tests)
    loads = None if tests.plugin is source else lambda: tests.plugin
    return Registry.alone([source.model_copy(update={"loads": loads})])


def _declared(tests: type[PluginChecks], model: str) -> Mapping[str, str]:
    """Return the expected failures that the model itself declares."""
    models: Mapping[str, Model] = _registry_of(tests).models
    return examples_of(models[model]).expected_failures if model in models else {}


#: Results by class, model and part; those of the descriptions under the model "".
_RESULTS: dict[tuple[type[PluginChecks], str, Part], list[CheckResult]] = {}


def _result_of(
    tests: type[PluginChecks], wanted: PlannedCheck, request: pytest.FixtureRequest
) -> CheckResult:
    """Return a check's result; the first one that is asked for runs those of its part."""
    model = "" if wanted.part is Part.DESCRIPTION else wanted.model
    key = (tests, model, wanted.part)
    if key not in _RESULTS:
        run = Run(_source_of(tests), tests.examples, tests.version_folder, tests.limit_s)
        with run:
            try:
                if wanted.part is Part.DESCRIPTION:
                    _RESULTS[key] = list(run.describe().results)
                else:
                    ids = _selected(tests, wanted, request)
                    _RESULTS[key] = run.part(wanted.model, wanted.part, ids)
            except SeqdError as error:
                pytest.fail(str(error), pytrace=False)
    for result in _RESULTS[key]:
        if (result.id, result.model) == (wanted.id, wanted.model):
            return result
    for result in _RESULTS[key]:
        if result.state is CheckState.FAILED:  # for which the others were not run
            return result
    pytest.fail(
        f"{wanted.id} was not run: the process of the checks found no model {wanted.model!r}, "
        "which there is here. Have the plugin bring the same models in each process.",
        pytrace=False,
    )


def _selected(
    tests: type[PluginChecks], wanted: PlannedCheck, request: pytest.FixtureRequest
) -> set[str]:
    """Return the ids of the part's checks whose tests are in this run."""
    selected = {wanted.id}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.cls is tests:
            planned = getattr(item, "callspec", None)
            check = planned.params.get(_PARAMETER) if planned is not None else None
            if isinstance(check, PlannedCheck) and (check.model, check.part) == (
                wanted.model,
                wanted.part,
            ):
                selected.add(check.id)
    return selected
