"""Reports of plugin checks, examples that authors declare, and where a plugin is looked for."""

from pathlib import Path
from typing import ClassVar

import pytest

from decorated_builders import model_of
from seqd.errors import InvalidInput, InvalidRequest
from seqd.models.catalog import built_in_version
from seqd.models.loading import PluginSource
from seqd.models.source_folders import source_of
from seqd.plugin import Label, classifier
from seqd.plugin import model as decorated
from seqd.testing.checks.catalog import known_ids
from seqd.testing.checks.examples import PluginExamples, author_method, examples_of
from seqd.testing.checks.failures import place_of
from seqd.testing.checks.running import check_plugin
from seqd.testing.checks.subjects import Version


def test_an_expected_failure_of_a_check_that_there_is_not_is_refused():
    gone = {"O1": "why", "O4": "why"}  # there were such
    examples = PluginExamples(expected_failures={**gone, "B9": "why"})

    with pytest.raises(InvalidRequest, match="names the check 'B9', which there is not") as refused:
        check_plugin(PluginSource(name="hello", address="hello"), examples=examples)

    assert "A1" in str(refused.value)
    assert "B9" not in known_ids()


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


def test_the_function_to_blame_is_the_one_that_the_author_has_decorated(tmp_path):
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
