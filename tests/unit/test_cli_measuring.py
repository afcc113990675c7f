"""`seqd models evaluate` of a model that writes text: its figures, its warnings, its mistakes."""

import math
from collections.abc import Mapping, Sequence
from statistics import stdev

import pytest

from cli_builders import here
from seqd.cli.models.measured_items import Asked
from seqd.cli.models.text_models import (
    MeasuredText,
    TextModel,
    measure_text,
    print_measured,
    text_evaluation,
)
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
    WorkItem,
)
from seqd.inputs.datasets import FileDataset
from seqd.models.store import ModelStore
from seqd.testing import CPU
from seqd_schemas import (
    DataFingerprint,
    FileFormat,
    FileSource,
    GeneratedSample,
    Generation,
    ItemError,
)
from store_builders import publish

pytestmark = pytest.mark.usefixtures("own_environment")


class NoParameters(PluginParameters):
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


class Digits(Speechless):
    """Needs as many bits a character as the mean of a text's digits; writes what it is told."""

    def __init__(self, written: str | None = None) -> None:
        self._written = written
        self.measured: list[str] = []

    def measure(self, text: str, context: RunContext) -> Mapping[str, float]:
        self.measured.append(text)
        if "x" in text:
            raise InvalidData("it has no digits")
        return {"bits_per_char": sum(map(int, text)) / len(text)}

    def generate(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> Sequence[Generation | ItemError]:
        if self._written is None:
            raise ValueError("it broke")
        samples = (GeneratedSample(text=self._written, temperature=1.0, seed=0),)
        return [Generation(prompt=item.text, samples=samples) for item in items]


class Writer(Model):
    """A model of which each version is loaded as a class says."""

    name = "halving"
    summary = "Halves."
    tasks = {"generate": TaskSpec(NoParameters)}  # noqa: RUF012

    def __init__(self, loaded: type[LoadedModel]) -> None:
        self._loaded = loaded

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return self._loaded()


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
        data = FileDataset(FileSource(path=str(source), format=FileFormat.LINES)).fingerprint()
        store = ModelStore(text.parent / "store", {})
        number = publish(store, "halving", data=data, parameters=parameters)
        version = TextModel(Writer(loaded), store.open("halving", number))
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


# The record of a measured text: its interval by the spread between its parts, and its sample.


def measured(text: str, loaded: Digits, **figures: float) -> MeasuredText:
    data = DataFingerprint(description="digits.txt", records=len(text), sha256="0" * 64)
    return MeasuredText(loaded, CPU, text, {"bits_per_char": 2.0} | figures, data, is_learnt=True)


def test_the_interval_is_that_of_the_mean_of_the_parts():
    bits = [1, 2, 3, 2] * 5
    text = "".join(str(one) * 600 for one in bits)

    record = text_evaluation(Writer(Digits), measured(text, Digits()))

    half = 1.959963984540054 * stdev(bits) / math.sqrt(20)
    figure = record.metrics["bits_per_char"]
    assert (figure.low, figure.high) == pytest.approx((2.0 - half, 2.0 + half))
    assert (figure.method, record.items, record.is_training_data) == ("normal", 12_000, True)


def test_of_a_long_text_parts_are_measured_and_the_interval_is_that_of_all_of_it():
    bits = [1, 2, 3, 2] * 5
    text = "".join(str(one) * 10_000 for one in bits)
    loaded = Digits()

    record = text_evaluation(Writer(Digits), measured(text, loaded))

    assert [len(part) for part in loaded.measured] == [2_500] * 20
    assert [part[0] for part in loaded.measured] == [str(one) for one in bits]
    half = 1.959963984540054 * stdev(bits) / math.sqrt(200_000 / 2_500)
    figure = record.metrics["bits_per_char"]
    assert (figure.low, figure.high) == pytest.approx((2.0 - half, 2.0 + half))


@pytest.mark.parametrize("text", ["1" * 9_999, "1" * 11_400 + "x" * 600])
def test_a_short_text_or_one_with_a_part_that_cannot_be_measured_has_no_interval(text):
    record = text_evaluation(Writer(Digits), measured(text, Digits()))

    figure = record.metrics["bits_per_char"]
    assert (figure.value, figure.low, figure.method) == (2.0, None, None)


def test_figures_that_are_not_finite_are_left_out():
    record = text_evaluation(Writer(Digits), measured("1", Digits(), perplexity_per_char=math.inf))

    assert set(record.metrics) == {"bits_per_char"}


def test_what_it_writes_is_kept_with_its_prompt_and_cut():
    record = text_evaluation(Writer(Digits), measured("1" * 100, Digits("2" * 500)))

    assert record.sample is not None
    assert (record.sample.prompt, record.sample.text) == ("1" * 32, "2" * 200)


def test_a_model_that_fails_to_write_has_figures_without_a_sample():
    record = text_evaluation(Writer(Digits), measured("1" * 100, Digits(None)))

    assert record.sample is None
    assert record.metrics["bits_per_char"].value == 2.0
