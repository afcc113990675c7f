"""Reports of plugin checks, examples that authors declare, and where a plugin is looked for."""

from math import nan
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from decorated_builders import model_of
from seqd.errors import InvalidInput, InvalidRequest
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    TaskSpec,
)
from seqd.models.agreement import brief, close, with_values
from seqd.models.catalog import built_in_version
from seqd.models.loading import PluginSource
from seqd.models.source_folders import source_of
from seqd.plugin import Label, classifier
from seqd.plugin import model as decorated
from seqd.testing.checks.catalog import Part, checks_of, known_ids
from seqd.testing.checks.examples import PluginExamples, author_method, examples_of
from seqd.testing.checks.failures import place_of
from seqd.testing.checks.running import check_plugin
from seqd.testing.checks.subjects import Version, small_parameters
from seqd_schemas import Classification, Embedding, GeneratedSample, Generation, Vector


@pytest.mark.parametrize("part", [Part.DESCRIPTION, Part.TRAINING, Part.STARTER])
def test_each_check_of_a_part_has_an_id_of_its_own_and_a_sentence(part: Part):
    checks = checks_of(part)

    assert len({check.id for check in checks}) == len(checks) >= 3
    assert all(check.meaning.endswith(".") for check in checks)


def test_the_examples_of_a_test_go_before_those_of_the_model():
    of_model = PluginExamples(texts=("a", "b"), expected_failures={"D2": "why"})

    both = PluginExamples(texts=("c",)).over(of_model)

    assert both == PluginExamples(texts=("c",), expected_failures={"D2": "why"})


def test_an_expected_failure_of_a_check_that_there_is_not_is_refused():
    gone = {"O1": "why", "O4": "why"}  # there were such
    examples = PluginExamples(expected_failures={**gone, "B9": "why"})

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

    place = place_of(version.method("classify"), {"test_plugin_check_reports"})

    assert place is not None
    assert place.function.endswith("<locals>.blamed")


def test_an_object_of_a_module_is_found_by_its_name_there_and_another_is_refused():
    source = source_of(a_plugin_object)

    assert source.address == f"{__name__}:a_plugin_object"
    assert Path(source.import_folders[0], *__name__.split(".")).with_suffix(".py") == Path(__file__)
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
