"""One entry of a bulk job's input: an item to work on, or the reason why it is not one.

A bad line of a file becomes a `RefusedItem`, which keeps its position and becomes an error record;
the other items are computed.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from seqd_schemas.base import MAX_TEXT_CHARS, Count, CustomId, WireModel
from seqd_schemas.failures import ItemError


class Item(WireModel):
    """One review to classify, or one prompt to continue."""

    custom_id: CustomId = Field(description="The caller's name for the item, unique in the job.")
    text: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
    """The review or the prompt, as Unicode text."""
    index: Count | None = None
    """Position from which its random numbers come; null: its position in the job. A retry has that
    of the job that was handed in first."""


class RefusedItem(WireModel):
    """An input entry that could not become an item, in its place in the order."""

    custom_id: CustomId = Field(description="The caller's name for it, else `line-N` or `row-N`.")
    refused: ItemError = Field(description="Why it is not an item.")


class LabelledText(WireModel):
    """One record of a training set that travels through Redis."""

    text: Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARS)]
    """The text to learn from."""
    label: Annotated[str, StringConstraints(max_length=256)] | None = None
    """Its class, where the model learns classes."""


class ItemChunk(WireModel):
    """One unit's share of an uploaded input; stored as JSON that zstd or zlib has compressed."""

    type: Literal["items"] = Field(default="items", description="What the chunk holds.")
    first_index: Count = Field(description="Position of the first entry in the whole job.")
    # From left to right, as most are items: trying both takes twice as long, and at most one fits.
    items: tuple[Annotated[Item | RefusedItem, Field(union_mode="left_to_right")], ...] = Field(
        max_length=65_536
    )
    """The entries, in input order."""


class TextChunk(WireModel):
    """A share of an uploaded training set; stored as JSON that zstd or zlib has compressed."""

    type: Literal["texts"] = Field(default="texts", description="What the chunk holds.")
    held_out: bool = False
    """True of data to validate on, which stands behind what to learn."""
    texts: tuple[LabelledText, ...] = Field(max_length=65_536, description="The records, in order.")
