"""What comes out of a call of plugin code."""

import pytest

from seqd.errors import Stopped
from seqd.models.plugin_calls import PluginCall


class Unreadable(ValueError):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def test_an_exception_passes_as_it_is():
    error = Stopped("asked to stop")

    with pytest.raises(Stopped) as raised, PluginCall():
        raise error

    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit("usage: plugin FILE"), "usage: plugin FILE"),
        (GeneratorExit(), ""),
        (Unreadable(), "its text cannot be read"),
    ],
)
def test_what_is_none_or_cannot_be_read_becomes_one_of_the_same_name(
    error: BaseException, said: str
):
    with pytest.raises(RuntimeError) as raised, PluginCall():
        raise error

    assert type(raised.value).__name__ == type(error).__name__
    assert str(raised.value) == said


def test_an_exception_whose_cause_cannot_be_read_goes_without_it():
    with pytest.raises(RuntimeError) as raised, PluginCall():
        raise ValueError("a bad text") from Unreadable()

    assert str(raised.value) == "a bad text"
    assert raised.value.__cause__ is None
