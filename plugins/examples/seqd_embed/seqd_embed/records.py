"""What the tasks take and give: parameters, the record of `similar`, and both outputs."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from seqd.hookspecs import PluginParameters
from seqd_schemas import Dimensions, Embedding, TaskOutput, Vector

#: Numbers of a vector.
DIMENSIONS: Final = 256

#: Characters that are read of a text.
MAX_CHARS: Final = 100_000

#: Candidates that one query may have, and characters of each.
MAX_CANDIDATES: Final = 1_000
MAX_CANDIDATE_CHARS: Final = 10_000


class TrainParameters(PluginParameters):
    """How a version is trained."""

    min_texts: int = Field(
        default=2,
        ge=1,
        le=1_000_000,
        description="Texts that a word or n-gram has to be in; a rarer one counts as not seen.",
    )


class EmbedParameters(PluginParameters):
    """No parameters."""


class SimilarParameters(PluginParameters):
    """How many candidates are given."""

    top: int = Field(default=5, ge=1, le=100, description="Matches to give, the best first.")


class Embedding256(Embedding):
    """The text as a vector of 256 numbers, whose length is 1."""

    vector: Annotated[Vector, Dimensions(DIMENSIONS)] = Field(description="The vector.")


class Query(BaseModel):
    """A text, and those to choose from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = Field(
        min_length=1, max_length=MAX_CANDIDATE_CHARS, description="The text to find others like."
    )
    candidates: tuple[Annotated[str, Field(max_length=MAX_CANDIDATE_CHARS)], ...] = Field(
        min_length=1, max_length=MAX_CANDIDATES, description="The texts to choose from."
    )


class Match(TaskOutput):
    """A candidate, and how like the query it is."""

    index: int = Field(
        ge=0, lt=MAX_CANDIDATES, description="Its place among the candidates, from 0."
    )
    cosine: float = Field(
        ge=-1, le=1, description="The cosine of its vector and the query's: 1 for the same words."
    )


class Matches(TaskOutput):
    """The candidates that are most like the query."""

    matches: tuple[Match, ...] = Field(max_length=100, description="The matches, the best first.")
