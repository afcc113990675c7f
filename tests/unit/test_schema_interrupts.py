"""A Ctrl-C that comes while a record's validator is built is one, and no error of the schema."""

from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, SchemaError, core_schema

from seqd_schemas import from_stored
from seqd_schemas.base import WirePart


class Interrupting:
    """A value of a literal at which Ctrl-C comes when it is looked at, the first time."""

    has_come = False

    def __repr__(self) -> str:
        if not Interrupting.has_come:
            Interrupting.has_come = True
            raise KeyboardInterrupt
        return "interrupting"


class OfInterrupting:
    """A literal whose building is interrupted."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.literal_schema(["a", Interrupting()])


class Interrupted(WirePart):
    kind: Annotated[str, OfInterrupting()] = "a"


def test_a_record_raises_it_and_is_built_the_next_time():
    Interrupting.has_come = False

    with pytest.raises(KeyboardInterrupt):
        Interrupted(kind="a")

    assert Interrupted(kind="a").kind == "a"


def test_what_reads_stored_records_raises_it_too():
    Interrupting.has_come = False
    adapter = TypeAdapter(Annotated[str, OfInterrupting()], config=ConfigDict(defer_build=True))

    with pytest.raises(KeyboardInterrupt):
        from_stored(adapter, '"a"')

    assert from_stored(adapter, '"a"') == "a"


def test_an_error_of_the_schema_stays_one():
    class Broken:
        def __get_pydantic_core_schema__(
            self, source: Any, handler: GetCoreSchemaHandler
        ) -> CoreSchema:
            return core_schema.literal_schema([])

    class Record(WirePart):
        kind: Annotated[str, Broken()] = "a"

    with pytest.raises(SchemaError):
        Record(kind="a")
