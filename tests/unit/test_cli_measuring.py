"""`seqd models evaluate` of a model that writes text: its figures, its warnings, its mistakes."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cli_builders import here
from seqd.cli.models.evaluate import TextModel, measure_text
from seqd.errors import InvalidData, InvalidInput, InvalidRequest, PluginFault, SeqdError
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

FIELDS = {"format": "auto", "text_field": "text"}


class HalvingParameters(PluginParameters):
    """None."""


class Halving(LoadedModel):
    """Knows as many bits of a character as a text has different ones, by a coin for each."""

    memory_bytes = 1

    def __init__(self, told: Mapping[str, float] | None) -> None:
        self._told = told

    def warm_up(self) -> None:
        return None

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        if self._told is None:
            raise ValueError("it broke")
        context.batch(
            items=1, real_tokens=len(text), computed_tokens=1, vectorise_s=0.0, compute_s=0.0
        )
        return {"bits_per_char": float(len(set(text))), "unknown_share": 0.25} | dict(self._told)


class HalvingModel(Model):
    """A model whose `measure` can be told what to give."""

    name = "halving"
    summary = "Halves."
    tasks = {  # noqa: RUF012
        "train": TaskSpec(HalvingParameters),
        "generate": TaskSpec(HalvingParameters),
    }
    told: Mapping[str, float] | None = {}
    loaded: type[LoadedModel] = Halving

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return Halving(self.told) if self.loaded is Halving else Speechless()

    def train(self, parameters: PluginParameters, context: TrainContext) -> TrainedModel:
        (context.folder / "half.json").write_text(json.dumps(context.data.text()))
        return TrainedModel(metrics={})


class Speechless(LoadedModel):
    """A model that measures nothing."""

    memory_bytes = 1

    def warm_up(self) -> None:
        return None


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Ninety letters a, and ten different ones."""
    path = tmp_path / "text.txt"
    path.write_text("a" * 90 + "bcdefghijk")
    return path


@pytest.fixture
def writer(tmp_path: Path) -> TextModel:
    return a_writer(tmp_path, "another text")


def a_writer(folder: Path, learnt: str, **parameters: float) -> TextModel:
    model = HalvingModel()
    source = folder / "learnt.txt"
    source.write_text(learnt)
    data = FileDataset(FileSource(path=str(source), format=FileFormat.LINES))
    artifact = train_to_artifact(model, {}, data, folder / "store")
    manifest = artifact.manifest.model_copy(update={"parameters": parameters})
    return TextModel(model, Artifact(artifact.folder, manifest))


def test_the_figures_of_a_text_are_printed_with_their_perplexity(
    capsys: pytest.CaptureFixture[str], writer: TextModel, text: Path
) -> None:
    measure_text(writer, str(text), None, FIELDS, as_json=False)

    assert capsys.readouterr().out.splitlines() == [
        "model                halving@1",
        "data                 text.txt, 100 characters",
        "bits per char        11",
        "perplexity per char  2,048",
        "unknown share        0.2500",
    ]


def test_the_last_share_of_a_text_is_its_end(
    capsys: pytest.CaptureFixture[str], writer: TextModel, text: Path
) -> None:
    measure_text(writer, str(text), 0.1, FIELDS, as_json=True)

    assert json.loads(capsys.readouterr().out) == {
        "model": "halving@1",
        "data": "text.txt",
        "last": 0.1,
        "characters": 10,
        "bits_per_char": 10.0,
        "perplexity_per_char": 1_024.0,
        "unknown_share": 0.25,
    }


def test_what_is_infinite_is_said_in_words_and_is_null_as_json(
    capsys: pytest.CaptureFixture[str], writer: TextModel, text: Path
) -> None:
    HalvingModel.told = {"bits_per_char": math.inf}
    try:
        measure_text(writer, str(text), None, FIELDS, as_json=False)
        measure_text(writer, str(text), None, FIELDS, as_json=True)
    finally:
        HalvingModel.told = {}

    out = capsys.readouterr().out
    assert "perplexity per char  infinite" in out
    assert '"bits_per_char": null' in out


@pytest.mark.parametrize(
    ("held_out", "last", "warning"),
    [
        ({}, None, "it is asked: the figures are better than on a text that is new to it.\n"),
        ({"validation_split": 0.1}, None, "It held the last 0.1 of it out: --last 0.1 is fair.\n"),
        ({"validation_split": 0.1}, 0.2, "It held the last 0.1 of it out: --last 0.1 is fair.\n"),
        ({"validation_split": 0.1}, 0.1, None),
    ],
)
def test_a_text_that_was_learnt_from_is_warned_of_but_for_what_was_held_out(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: Path,
    held_out: dict[str, float],
    last: float | None,
    warning: str | None,
) -> None:
    writer = a_writer(tmp_path, text.read_text(), **held_out)

    measure_text(writer, str(text), last, FIELDS, as_json=True)

    told = capsys.readouterr().err
    if warning is None:
        assert told == ""
    else:
        assert told.startswith("halving@1 was trained on this text, so it knows what")
        assert told.endswith(warning)


@pytest.mark.parametrize(
    ("content", "last", "error", "message"),
    [
        (b"", None, InvalidInput, "text.txt is empty; at least one entry is due"),
        (bytes(range(256)), None, InvalidInput, "text.txt is not UTF-8 text: "),
        (b"abc", 0.0, InvalidRequest, "--last is 0; allowed: a share above 0 up to 1"),
        (b"abc", float("nan"), InvalidRequest, "--last is nan; allowed"),
        (b"abc", 1e-18, InvalidData, "the text has no characters; at least one is due"),
    ],
)
def test_a_text_that_cannot_be_measured_is_refused(
    writer: TextModel,
    text: Path,
    content: bytes,
    last: float | None,
    error: type[SeqdError],
    message: str,
) -> None:
    text.write_bytes(content)

    with pytest.raises(error) as raised:
        measure_text(writer, str(text), last, FIELDS, as_json=False)

    assert message in str(raised.value)


def test_a_plugin_that_breaks_is_named(writer: TextModel, text: Path) -> None:
    HalvingModel.told = None
    try:
        with pytest.raises(PluginFault) as raised:
            measure_text(writer, str(text), None, FIELDS, as_json=False)
    finally:
        HalvingModel.told = {}

    assert str(raised.value) == "measuring with halving@1 failed: ValueError: it broke"


def test_a_model_that_measures_nothing_is_told_so(
    writer: TextModel, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HalvingModel, "loaded", Speechless)

    with pytest.raises(InvalidRequest) as raised:
        measure_text(writer, str(text), None, FIELDS, as_json=False)

    assert str(raised.value) == ("halving measures no texts: its plugin has no LoadedModel.measure")


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
        (
            ("imdb_lstm", "--last", "0.1"),
            "--last is for models that write text, and 'imdb_lstm' is none here",
        ),
    ],
)
def test_options_of_the_other_kind_of_model_are_refused(
    capsys: pytest.CaptureFixture[str], text: Path, arguments: tuple[str, ...], message: str
) -> None:
    ended = here(capsys, "models", "evaluate", *arguments, "--data", str(text))

    assert ended.status == 2
    assert ended.err == f"error[invalid_request]: {message}\n"
