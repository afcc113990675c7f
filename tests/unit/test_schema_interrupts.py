"""A Ctrl-C that comes while a record's validator is built is one, a moment later."""

import signal
from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from seqd_schemas import WireAdapter, from_stored
from seqd_schemas.base import WireModel


class Interrupting:
    """A value at which the signal comes where pydantic looks at it, each time."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:  # pydantic loses what is raised in here
        signal.raise_signal(self.number)
        return 1

    def __repr__(self) -> str:  # and wraps what is raised in here
        signal.raise_signal(self.number)
        return "interrupting"


class OfInterrupting:
    """A literal whose building is interrupted."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.literal_schema(["a", Interrupting(self.number)])


def test_a_record_raises_it_and_is_built():
    class Record(WireModel):
        kind: Annotated[str, OfInterrupting(signal.SIGINT)] = "a"

    with pytest.raises(KeyboardInterrupt):
        Record(kind="a")

    assert Record(kind="a").kind == "a"


def test_what_reads_stored_records_raises_it_too():
    interrupted = Annotated[str, OfInterrupting(signal.SIGINT)]
    adapter: WireAdapter[str] = WireAdapter(interrupted, config=ConfigDict(defer_build=True))

    with pytest.raises(KeyboardInterrupt):
        from_stored(adapter, '"a"')

    assert from_stored(adapter, '"a"') == "a"


def test_a_handler_of_sigterm_is_called_once_and_stays(monkeypatch: pytest.MonkeyPatch):
    called: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: called.append(number))
    try:

        class Record(WireModel):
            kind: Annotated[str, OfInterrupting(signal.SIGTERM)] = "a"

        assert Record(kind="a").kind == "a"
        assert called == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert called == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)
