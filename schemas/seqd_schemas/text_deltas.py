"""Text deltas: what a worker publishes of a generation's texts while it writes them.

A bounded, short-lived feed; the truth is the results. Deltas of one sample come in order. A unit
that is started again, since its worker was killed, publishes the same texts again from the start:
a reader leaves out what it has, by `offset`, and takes from the results what was trimmed away.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from seqd_schemas.base import Count, CustomId, WireModel

#: Most deltas in one entry of the stream, and most characters of one delta.
MAX_DELTAS = 4_096
MAX_DELTA_CHARS = 16_384

#: A unit's number, or a part of a unit that was split: `3`, `3:8:12`.
UnitName = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(:[0-9]{1,9}:[0-9]{1,9})?$")]


class TextDelta(WireModel):
    """The next characters of one sample."""

    custom_id: CustomId = Field(description="The caller's name for the item.")
    sample: Count = Field(description="Index of the sample among those of its item, from 0.")
    offset: Count = Field(description="Characters of the sample before this delta.")
    text: str = Field(min_length=1, max_length=MAX_DELTA_CHARS, description="The characters.")


class TextDeltas(WireModel):
    """Deltas of the texts of one unit; one entry of a job's stream of text deltas."""

    unit: UnitName = Field(description="The unit that is worked on.")
    attempt: int = Field(ge=1, description="Which start of the unit it is.")
    deltas: tuple[TextDelta, ...] = Field(
        min_length=1, max_length=MAX_DELTAS, description="The deltas, in order."
    )
