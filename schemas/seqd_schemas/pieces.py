"""Texts on their way: pieces that a worker publishes while it writes them.

A feed for whoever waits, bounded and short-lived; the truth is the results. Pieces of one sample
come in order. A unit that is begun again, since its worker was killed, writes the same texts again
from the start: a reader leaves out what it has, by `offset`, and takes from the results what was
trimmed away before it came.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from seqd_schemas.base import Count, CustomId, WireModel, WirePart

#: Pieces that travel together at most, and characters of one.
MAX_PIECES = 4_096
MAX_PIECE_CHARS = 16_384

#: A unit's number, or a part of a unit that was split: `3`, `3:8:12`.
UnitName = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(:[0-9]{1,9}:[0-9]{1,9})?$")]


class TextPiece(WirePart):
    """What a sample goes on with."""

    custom_id: CustomId = Field(description="The caller's name for the item.")
    sample: Count = Field(description="The sample's place among those of its item, from 0.")
    offset: Count = Field(description="Characters of the sample in front of this piece.")
    text: str = Field(min_length=1, max_length=MAX_PIECE_CHARS, description="The piece.")


class TextPieces(WireModel):
    """What a unit's texts go on with; one entry of a job's stream of pieces."""

    unit: UnitName = Field(description="The unit that is worked on.")
    attempt: int = Field(ge=1, description="Which start of the unit it is.")
    pieces: tuple[TextPiece, ...] = Field(
        min_length=1, max_length=MAX_PIECES, description="The pieces, in order."
    )
