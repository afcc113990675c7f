"""The record of a measured text: its interval by the spread between its parts, and its sample."""

import math
from collections.abc import Mapping, Sequence
from statistics import stdev

import pytest

from seqd.cli.models.text_models import MeasuredText, text_evaluation
from seqd.errors import InvalidData
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
from seqd_schemas import DataFingerprint, GeneratedSample, Generation, ItemError

CPU = Device(slot="cpu:0", kind="cpu", threads=1)


class NoParameters(PluginParameters):
    """None."""


class Digits(LoadedModel):
    """Needs as many bits a character as the mean of a text's digits; writes what it is told."""

    memory_bytes = 1

    def __init__(self, written: str | None = None) -> None:
        self._written = written
        self.measured: list[str] = []

    def warm_up(self) -> None:
        return None

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


class DigitsModel(Model):
    """A model that writes."""

    name = "digits"
    summary = "Digits."
    tasks = {"generate": TaskSpec(NoParameters)}  # noqa: RUF012

    def load(self, artifact: Artifact, device: Device) -> LoadedModel:
        return Digits()


def measured(text: str, loaded: Digits, **figures: float) -> MeasuredText:
    data = DataFingerprint(description="digits.txt", records=len(text), sha256="0" * 64)
    return MeasuredText(loaded, CPU, text, {"bits_per_char": 2.0} | figures, data, is_learnt=True)


def test_the_interval_is_that_of_the_mean_of_the_parts():
    bits = [1, 2, 3, 2] * 5
    text = "".join(str(one) * 600 for one in bits)

    record = text_evaluation(DigitsModel(), measured(text, Digits()))

    half = 1.959963984540054 * stdev(bits) / math.sqrt(20)
    figure = record.metrics["bits_per_char"]
    assert (figure.low, figure.high) == pytest.approx((2.0 - half, 2.0 + half))
    assert (figure.method, record.items, record.is_training_data) == ("normal", 12_000, True)


def test_of_a_long_text_parts_are_measured_and_the_interval_is_that_of_all_of_it():
    bits = [1, 2, 3, 2] * 5
    text = "".join(str(one) * 10_000 for one in bits)
    loaded = Digits()

    record = text_evaluation(DigitsModel(), measured(text, loaded))

    assert [len(part) for part in loaded.measured] == [2_500] * 20
    assert [part[0] for part in loaded.measured] == [str(one) for one in bits]
    half = 1.959963984540054 * stdev(bits) / math.sqrt(200_000 / 2_500)
    figure = record.metrics["bits_per_char"]
    assert (figure.low, figure.high) == pytest.approx((2.0 - half, 2.0 + half))


@pytest.mark.parametrize("text", ["1" * 9_999, "1" * 11_400 + "x" * 600])
def test_a_short_text_or_one_with_a_part_that_cannot_be_measured_has_no_interval(text):
    record = text_evaluation(DigitsModel(), measured(text, Digits()))

    figure = record.metrics["bits_per_char"]
    assert (figure.value, figure.low, figure.method) == (2.0, None, None)


def test_figures_that_are_not_finite_are_left_out():
    record = text_evaluation(DigitsModel(), measured("1", Digits(), perplexity_per_char=math.inf))

    assert set(record.metrics) == {"bits_per_char"}


def test_what_it_writes_is_kept_with_its_prompt_and_cut():
    record = text_evaluation(DigitsModel(), measured("1" * 100, Digits("2" * 500)))

    assert record.sample is not None
    assert (record.sample.prompt, record.sample.text) == ("1" * 32, "2" * 200)


def test_a_model_that_fails_to_write_has_figures_without_a_sample():
    record = text_evaluation(DigitsModel(), measured("1" * 100, Digits(None)))

    assert record.sample is None
    assert record.metrics["bits_per_char"].value == 2.0
