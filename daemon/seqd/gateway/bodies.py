"""What the bodies of requests have in common."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from seqd.client import AsyncJob
from seqd.client.requests import ItemOptions
from seqd.errors import InvalidRequest
from seqd_schemas import (
    MAX_INLINE_ITEMS,
    MAX_RECORD_FIELDS,
    MAX_TEXT_CHARS,
    ItemError,
    Parameters,
    ParameterValue,
    Priority,
)

Out = TypeVar("Out")

#: A body of a response.
Answer: TypeAlias = dict[str, object]

#: What pydantic calls the two forms of `Texts` where it says of which one a fault is.
ONE: Final = "one text"
SEVERAL: Final = "several texts"

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
_Several = Annotated[list[Text], Field(min_length=1, max_length=MAX_INLINE_ITEMS)]
#: One text, or several. The tags keep a fault to the one of both that was meant.
Texts = Annotated[
    Annotated[Text, Tag(ONE)] | Annotated[_Several, Tag(SEVERAL)],
    Discriminator(lambda given: SEVERAL if isinstance(given, list) else ONE),
]

#: Levels of a body whose entries are counted: down to the fields of a record, which hold anything.
_LEVELS: Final = 5
#: Entries that they may have: as many records as may be, with as many fields, and what is beside.
_MOST_ENTRIES: Final = MAX_INLINE_ITEMS * (MAX_RECORD_FIELDS + 4)

#: Seconds for which a request waits for its answer.
ANSWER_S: Final = 60.0


def bounded(body: object) -> object:
    """Return a body that has no more entries than any may have; raises InvalidRequest.

    Each may be an error: those of one body of 16 MB held a gateway up for minutes.
    """
    inside, entries = [body], 0
    for _ in range(_LEVELS):
        found = [one for one in inside if isinstance(one, dict | list)]
        entries += sum(map(len, found))
        if entries > _MOST_ENTRIES or any(len(one) > MAX_INLINE_ITEMS for one in found):
            raise InvalidRequest(
                f"An object or list of the body has more than {MAX_INLINE_ITEMS:,} entries, or all "
                f"have more than {_MOST_ENTRIES:,}. Upload a file: POST /v1/files."
            )
        inside = [
            each for one in found for each in (one.values() if isinstance(one, dict) else one)
        ]
    return body


class RequestBody(BaseModel):
    """A request's body: closed, so that a typing mistake never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    _bounded = model_validator(mode="before")(bounded)


class ModelRequest(RequestBody):
    """A request to a model."""

    model: str = Field(max_length=128, description="NAME, NAME@3 (a version) or NAME@LABEL.")
    parameters: Parameters = Field(default_factory=dict)
    """The model's own parameters, by name; `/v1/models/NAME` has their schema."""


def waited_for(tenant: str, parameters: Mapping[str, ParameterValue]) -> ItemOptions:
    """Return the options of a job whose results a request waits for.

    Nobody computes what nobody waits for any more, and its results are kept for the shortest time.
    """
    return {
        "tenant": tenant,
        "parameters": parameters,
        "priority": Priority.INTERACTIVE,
        "expires_in_s": int(ANSWER_S) + 1,
        "results_ttl_s": 60,
    }


async def answers_of(job: AsyncJob[Out]) -> list[Out | ItemError]:
    """Return the output of each item, in order, or its error; raises TimeoutError."""
    async with asyncio.timeout(ANSWER_S):
        return [one.output if one.ok else one.error async for one in job.results()]


def head_of(prefix: str, kind: str, name: str, created_s: int, model: str) -> Answer:
    """Return what the answer of a model begins with."""
    return {"id": f"{prefix}-{name}", "object": kind, "created": created_s, "model": model}


def page_of(found: Sequence[Answer], limit: int) -> Answer:
    """Return a page of a list, of which one more than fits was asked for."""
    data = found[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(found) > limit,
    }
