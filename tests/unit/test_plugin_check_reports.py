"""Reports of plugin checks, examples that authors declare, and where a plugin is looked for."""

import sys
from math import nan
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from pydantic import Field

from decorated_builders import model_of
from seqd.errors import InvalidInput, InvalidRequest, PluginFault
from seqd.hookspecs import (
    PLUGIN_API_VERSION,
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
)
from seqd.models.agreement import with_values
from seqd.models.built_in import built_in_version
from seqd.models.closeness import brief, close
from seqd.plugin import Label, classifier
from seqd.plugin import model as decorated
from seqd.testing.checks import CheckResult, CheckState, PluginExamples, Report, source_of
from seqd.testing.checks.authored import author_method
from seqd.testing.checks.catalog import Part, checks_of, known_ids
from seqd.testing.checks.examples import examples_of
from seqd.testing.checks.failures import place_of
from seqd.testing.checks.importing import load_observed
from seqd.testing.checks.report import Place
from seqd.testing.checks.running import check_plugin
from seqd.testing.checks.sources import PluginSource
from seqd.testing.checks.subjects import Version, small_parameters
from seqd_schemas import Classification, Embedding, GeneratedSample, Generation, Vector


def a_result(state: CheckState, **more: object) -> CheckResult:
    fields = {"id": "B1", "model": "hello", "part": "built-in", "meaning": "One each."}
    return CheckResult.model_validate({**fields, "state": state, **more})


def a_report(*results: CheckResult) -> Report:
    return Report(plugin="hello", api_version="1.2", results=results)


def test_the_closing_line_counts_what_ran_and_gives_the_reasons_for_the_rest():
    report = a_report(
        *[a_result(CheckState.PASSED)] * 30,
        a_result(CheckState.FAILED),
        *[a_result(CheckState.DID_NOT_APPLY, why="no train")] * 4,
    )

    assert report.closing_line() == (
        "31 checks ran: 30 passed, 1 failed; 4 did not apply (no train)"
    )


def test_a_failure_says_what_was_seen_where_and_what_to_do_and_one_that_is_expected_does_not():
    place = Place(file="hello.py", line=12, function="Hello.classify")
    failed = a_result(CheckState.FAILED, seen="4 of 7", place=place, cure="Return seven.")
    expected = a_result(CheckState.EXPECTED_FAILURE, why="its library draws")

    assert a_report(failed, expected).failed == [failed]
    assert a_report(failed, expected).lines() == [
        "B1 hello (built-in): One each.",
        "  seen: 4 of 7",
        "  at:   hello.py:12, in Hello.classify",
        "  do:   Return seven.",
        "2 checks ran: 0 passed, 1 failed, 1 failed as expected",
    ]


@pytest.mark.parametrize("part", [Part.DESCRIPTION, Part.TRAINING, Part.STARTER])
def test_each_check_of_a_part_has_an_id_of_its_own_and_a_sentence(part: Part):
    checks = checks_of(part)

    assert len({check.id for check in checks}) == len(checks) >= 4
    assert all(check.meaning.endswith(".") for check in checks)
    assert all((1, 0) <= check.since <= PLUGIN_API_VERSION for check in checks)


def test_the_examples_of_a_test_go_before_those_of_the_model():
    of_model = PluginExamples(texts=("a", "b"), expected_failures={"D2": "why"})

    both = PluginExamples(texts=("c",)).over(of_model)

    assert both == PluginExamples(texts=("c",), expected_failures={"D2": "why"})


def test_examples_with_an_unknown_name_are_refused_with_the_known_ones():
    with pytest.raises(PluginFault) as refused:
        examples_of(SimpleNamespace(name="hello", checks={"text": ["a"]}))

    assert str(refused.value).startswith("model 'hello': its `checks` cannot be read: text")
    assert str(refused.value).endswith(
        "Known names: texts, records, data, parameters, expected_failures."
    )


def test_an_expected_failure_of_a_check_that_there_is_not_is_refused():
    examples = PluginExamples(expected_failures={"B9": "why"})

    with pytest.raises(InvalidRequest, match="names the check 'B9', which there is not") as refused:
        check_plugin(PluginSource(name="hello", address="hello"), examples=examples)

    assert "A1" in str(refused.value)
    assert "B9" not in known_ids()


def test_outcomes_are_close_within_rounding_alone():
    def scored(score: float) -> Classification:
        return Classification.model_construct(label="a", score=score)

    def embedded(*numbers: float) -> Embedding:
        return Embedding(vector=Vector(numbers))

    def written(text: str) -> Generation:
        sample = GeneratedSample(text=text, temperature=1.0, finish_reason="length", seed=1)
        return Generation(prompt="a", samples=(sample,))

    assert close(scored(0.5), scored(0.500_000_1))
    assert close(scored(nan), scored(nan))
    assert not close(scored(0.5), scored(0.51))
    assert close(embedded(1, 2), embedded(1, 2))
    assert not close(embedded(1, 2), embedded(2, 1))
    assert not close(written("b"), written("c"))
    assert not close(scored(0.5), embedded(1))
    assert brief(scored(0.5)) == "Classification(label='a', score=0.5)"


def test_a_decorated_class_and_function_declare_their_examples_as_an_attribute():
    @decorated("known", summary="Known.")
    class Known:
        checks: ClassVar = {"texts": ["a", "b", "c"]}

        def classify(self, text: str) -> Label:
            return Label("x")

    @classifier("named", summary="Named.")
    def named(text: str) -> Label:
        return Label("x")

    named.checks = {"expected_failures": {"D2": "why"}}

    assert examples_of(model_of(Known)).texts == ("a", "b", "c")
    assert examples_of(model_of(named)).expected_failures == {"D2": "why"}
    assert author_method(model_of(Known), "load") is Known


def test_the_function_to_blame_is_the_one_that_the_author_has_decorated(tmp_path: Path):
    @classifier("blamed", summary="Blamed.")
    def blamed(text: str) -> Label:
        return Label("x")

    model = model_of(blamed)
    version = Version(model, built_in_version(model, "1"), tmp_path, PluginExamples())

    place = place_of(version.method("classify"), [Path(__file__).resolve()])

    assert place is not None
    assert place.function.endswith("<locals>.blamed")


def test_the_code_that_python_keeps_of_a_first_import_is_nothing_that_the_plugin_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "seqd_kept").mkdir()
    (tmp_path / "seqd_kept" / "__init__.py").write_text("from seqd_kept.inner import words\n")
    (tmp_path / "seqd_kept" / "inner.py").write_text(
        "from pathlib import Path\n\nwords = Path('/dev/null').read_bytes()\n"
    )

    _, imported = load_observed(
        PluginSource(name="kept", address="seqd_kept", path=(str(tmp_path),))
    )

    assert imported.opened == ["open /dev/null"]
    assert list((tmp_path / "seqd_kept" / "__pycache__").glob("inner.*.pyc"))


def test_an_object_of_a_module_is_found_by_its_name_there_and_another_is_refused():
    source = source_of(a_plugin_object)

    assert source.address == f"{__name__}:a_plugin_object"
    assert source.file == str(Path(__file__).resolve())
    with pytest.raises(InvalidInput, match="has no name in a module"):
        source_of(lambda: None)


class APlugin:
    """A plugin object."""


a_plugin_object = APlugin()


class Warmth(PluginParameters):
    length: int = Field(default=400, ge=1, le=100, description="Characters.")
    temperature: float = Field(default=1.0, ge=0, le=10, description="Heat.")
    step: str = Field(default="", max_length=8, description="A name that others have for a number.")


def test_a_check_gives_a_task_only_values_that_a_job_could_give_it():
    given = with_values(Warmth(), {"length": 30, "temperature": (0.5, 1.5), "samples": 2})

    assert given == Warmth(length=30)


def test_small_parameters_are_given_where_a_number_is_due():
    class Warm(Model):
        name = "warm"
        summary = "Warms."
        tasks: ClassVar = {"generate": TaskSpec(Warmth)}

        def load(self, artifact: Artifact, device: Device) -> LoadedModel:
            raise NotImplementedError

    assert small_parameters(Warm(), "generate", PluginExamples()) == Warmth(length=12)
