"""What may be asked of a generation by `markov`.

Descriptions and bounds only: their JSON Schema is what clients check a request against.
Read by `generation`.
"""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from seqd.hookspecs import PluginParameters

#: Characters that all samples of one prompt may have together; each takes a byte or more in
#: a result.
MAX_CHARACTERS_PER_PROMPT = 2_000_000

#: Characters that a sample may have, which the wire holds; words are stopped by it, not characters.
MAX_CHARACTERS_PER_SAMPLE = 1_000_000

MAX_LENGTH = 100_000

Temperature = Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)]
Temperatures = Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=8)]

StopText = Annotated[str, StringConstraints(min_length=1, max_length=64)]
StopTexts = Annotated[tuple[StopText, ...], Field(max_length=4)]


class GenerateParameters(PluginParameters):
    """How to continue prompts."""

    length: int = Field(
        default=400,
        ge=1,
        le=MAX_LENGTH,
        description="Symbols of each sample at most: characters, or words of a version that "
        "writes words; with samples and temperatures multiplied in, at most "
        f"{MAX_CHARACTERS_PER_PROMPT:,} for each prompt.",
    )
    temperature: Temperature | Temperatures = Field(
        default=1.0,
        description="One temperature, or a list of 1 to 8: 0 always takes the most probable "
        "symbol, 1 follows the model, above 1 is bolder.",
    )
    top_k: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Draw from this many most probable symbols only; 0 draws from all.",
    )
    top_p: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Draw from the fewest most probable symbols that together have this "
        "probability, at the temperature; 1 draws from all.",
    )
    stop: StopText | StopTexts = Field(
        default=(),
        description="One text, or a list of up to 4, each of 1 to 64 characters: a sample ends "
        "before the first of them that it comes to.",
    )
    sentences: int = Field(
        default=1,
        ge=0,
        le=1_000,
        description="Sentences that end a sample; 0 writes on to the length. For versions that "
        "know sentences; others do not look at it.",
    )
    samples: int = Field(
        default=1, ge=1, le=64, description="Samples of each prompt at each temperature."
    )
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Same seed, same prompts: same samples."
    )
    max_copied: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Characters in a row that a sample may have from the training text; what has "
        "more is thrown away and written anew. 0 allows any.",
    )
    tries: int = Field(
        default=20,
        ge=1,
        le=1_000,
        description="How often a sample is written at most, until it keeps to max_copied.",
    )

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperatures in the order asked for, also where one was given alone."""
        given = self.temperature
        return given if isinstance(given, tuple) else (given,)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts, also where one was given alone."""
        return self.stop if isinstance(self.stop, tuple) else (self.stop,)

    @property
    def max_characters(self) -> int:
        """Characters that each sample may have, so that all of them fit a result."""
        share = MAX_CHARACTERS_PER_PROMPT // (self.samples * len(self.temperatures))
        return min(share, MAX_CHARACTERS_PER_SAMPLE)

    @model_validator(mode="after")
    def _fits_a_result(self) -> Self:
        characters = self.length * self.samples * len(self.temperatures)
        if characters > MAX_CHARACTERS_PER_PROMPT:
            raise ValueError(
                f"length {self.length:,} x samples {self.samples} x {len(self.temperatures)} "
                f"temperatures are {characters:,} characters for each prompt; at most "
                f"{MAX_CHARACTERS_PER_PROMPT:,} are allowed. Ask for fewer samples a job."
            )
        return self
