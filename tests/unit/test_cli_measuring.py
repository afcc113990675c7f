"""`seqd models evaluate` of a model that writes text: its figures, its warnings, its mistakes."""

import json
import math
from collections.abc import Mapping

import pytest

from cli_builders import here
from seqd.cli.models.measured_items import Asked
from seqd.cli.models.text_models import TextModel, measure_text, print_measured
from seqd.cli.ui.screen import Screen
from seqd.errors import InvalidData, InvalidInput, InvalidRequest, PluginFault
from seqd.hookspecs import (
    Artifact,
    Device,
    LoadedModel,
    Model,
    PluginParameters,
    RunContext,
    TaskSpec,
    TrainContext,
    TrainedModel,
)
from seqd.inputs.datasets import FileDataset
from seqd.testing import train_to_artifact
from seqd_schemas import FileFormat, FileSource

pytestmark = pytest.mark.usefixtures("own_environment")


class HalvingParameters(PluginParameters):
    """None."""


class Speechless(LoadedModel):
    """A model that measures nothing."""

    memory_bytes = 1

    def warm_up(self) -> None:
        return None


class Halving(Speechless):
    """Knows as many bits of a character as a text has different ones, by a coin for each."""

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        context.batch(
            items=1, real_tokens=len(text), computed_tokens=1, vectorise_s=0.0, compute_s=0.0
        )
        return {"bits_per_char": float(len(set(text))), "unknown_share": 0.25}


class Adapting(Halving):
    """Knows half of that when it learns from the text."""

    def measure_adapting(self, text: str, context: RunContext) -> Mapping[str, float]:
        return {"bits_per_char": self.measure(text, context)["bits_per_char"] / 2}


class Endless(Halving):
    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        return super().measure(text, context) | {"bits_per_char": math.inf}


class Broken(Halving):
    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        raise ValueError("it broke")


class HalvingModel(Model):
    """A model of which each version is loaded as a class says."""

    name = "halving"
    summary = "Halves."
    tasks = {  # noqa: RUF012
        "train": TaskSpec(HalvingParameters),
        "generate": TaskSpec(HalvingParameters),
    }

    def __init__(self, loaded: type[LoadedModel]) -> None:
        self._loaded = loaded

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return self._loaded()

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        (context.folder / "half.json").write_text(json.dumps(context.data.text()))
        return TrainedModel(metrics={})


@pytest.fixture
def text(tmp_path):
    """Ninety letters a, and ten different ones."""
    path = tmp_path / "text.txt"
    path.write_text("a" * 90 + "bcdefghijk")
    return path


@pytest.fixture
def measure(text):
    """Return what measures the text with a version that was trained on another one."""

    def measure(
        last: float | None = None,
        *,
        as_json: bool = False,
        adapts: bool = False,
        loaded: type[LoadedModel] = Halving,
        learnt: str = "another text",
        **parameters: float,
    ) -> None:
        source = text.parent / "learnt.txt"
        source.write_text(learnt)
        data = FileDataset(FileSource(path=str(source), format=FileFormat.LINES))
        model = HalvingModel(loaded)
        artifact = train_to_artifact(model, {}, data, text.parent / "store")
        manifest = artifact.manifest.model_copy(update={"parameters": parameters})
        version = TextModel(model, Artifact(artifact.folder, manifest))
        asked = Asked(file=str(text), last=last, adapts=adapts)
        screen = Screen(is_beside_json=as_json)
        print_measured(version, asked, measure_text(version, asked, screen), screen)

    return measure


def test_the_figures_of_a_text_are_printed_with_their_perplexity(capsys, measure):
    measure()

    assert capsys.readouterr().out.splitlines() == [
        "model                halving@1",
        "data                 text.txt, 100 characters",
        "bits per char        11",
        "perplexity per char  2,048",
        "unknown share        0.2500",
    ]


def test_a_model_that_adapts_is_measured_while_it_learns_and_no_other_is(capsys, measure):
    measure(loaded=Adapting, adapts=True)

    assert capsys.readouterr().out.splitlines() == [
        "model                halving@1",
        "data                 text.txt, 100 characters, adaptive",
        "bits per char        5.5000",
        "perplexity per char  45.2548",
    ]
    with pytest.raises(InvalidRequest, match=r"^halving@2 does not adapt: .*leave --adaptive away"):
        measure(adapts=True)


@pytest.mark.parametrize(
    ("as_json", "said"),
    [(False, "perplexity per char  infinite"), (True, '"bits_per_char": null')],
)
def test_what_is_infinite_is_said_in_words_and_is_null_as_json(capsys, measure, as_json, said):
    measure(loaded=Endless, as_json=as_json)

    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("held_out", "last", "warning"),
    [
        ({}, None, "it is asked: the figures are better than on a text that is new to it.\n"),
        ({"validation_split": 0.1}, None, "It held the last 0.1 of it out: --last 0.1 is fair.\n"),
        ({"validation_split": 0.1}, 0.2, "It held the last 0.1 of it out: --last 0.1 is fair.\n"),
        ({"validation_split": 0.1}, 0.1, ""),
    ],
)
def test_a_text_that_was_learnt_from_is_warned_of_but_for_what_was_held_out(
    capsys, measure, text, held_out, last, warning
):
    measure(last, as_json=True, learnt=text.read_text(), **held_out)

    told = capsys.readouterr().err
    assert told.startswith(
        "halving@1 was trained on this text, so it knows what" if warning else ""
    )
    assert told.endswith(warning) and bool(told) is bool(warning)


@pytest.mark.parametrize(
    ("content", "last", "loaded", "error", "message"),
    [
        (b"", None, Halving, InvalidInput, "text.txt is empty; at least one entry is due"),
        (bytes(range(256)), None, Halving, InvalidInput, "text.txt is not UTF-8 text: "),
        (b"abc", 0.0, Halving, InvalidRequest, "--last is 0; allowed: a share above 0 up to 1"),
        (b"abc", math.nan, Halving, InvalidRequest, "--last is nan; allowed"),
        (b"abc", 1e-18, Halving, InvalidData, "the text has no characters; at least one is due"),
        (
            b"abc",
            None,
            Broken,
            PluginFault,
            "measuring with halving@1 failed: ValueError: it broke",
        ),
        (
            b"abc",
            None,
            Speechless,
            InvalidRequest,
            "halving measures no texts: its plugin has no LoadedModel.measure",
        ),
    ],
)
def test_a_text_that_cannot_be_measured_is_refused(
    measure, text, content, last, loaded, error, message
):
    text.write_bytes(content)

    with pytest.raises(error) as raised:
        measure(last, loaded=loaded)

    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("markov", "--plot", "a.png"),
            "--plot is for models that classify; 'markov' writes text, leave it away",
        ),
        (
            ("markov", "--map-label", "neg=negative"),
            "--map-label is for models that classify; 'markov' writes text, leave it away",
        ),
    ],
)
def test_options_of_the_other_kind_of_model_are_refused(capsys, text, arguments, message):
    ended = here(capsys, "models", "evaluate", *arguments, "--data", str(text))

    assert ended.status == 2
    assert ended.err == f"error[invalid_request]: {message}\n"
