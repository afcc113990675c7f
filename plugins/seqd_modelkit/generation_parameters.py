"""The parameters of text generation that mean the same for every model.

Bounds and descriptions only: their JSON Schema is what clients check a request against. A model's
own parameters derive from `GenerationParameters`, and declare a field again only where its default
or its description is another.
"""

from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from seqd.hookspecs import PluginParameters
from seqd_schemas import OutputBound

MAX_SEED = 2**32 - 1

Length = Annotated[int, Field(ge=1, le=100_000)]
Temperature = Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)]
Temperatures = Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=8)]
TopK = Annotated[int, Field(ge=0, le=1_000_000)]
TopP = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
StopSequence = Annotated[str, StringConstraints(min_length=1, max_length=64)]
StopSequenceList = Annotated[tuple[StopSequence, ...], Field(max_length=4)]


class GenerationParameters(PluginParameters):
    """How to continue prompts."""

    #: Characters that all samples of one prompt may have together: they are one result.
    max_characters_per_prompt: ClassVar[int] = 1_000_000

    length: Length = Field(default=400, description="Symbols of each sample at most.")
    temperature: Temperature | Temperatures = Field(
        default=1.0,
        description="One temperature, or a list of 1 to 8: 0 always takes the most probable "
        "symbol, 1 follows the model, above 1 is bolder.",
    )
    top_k: TopK = Field(
        default=0, description="Draw from this many most probable symbols only; 0 draws from all."
    )
    top_p: TopP = Field(
        default=1.0,
        description="Draw from the fewest most probable symbols that together have this "
        "probability, at the temperature; 1 draws from all.",
    )
    stop: StopSequence | StopSequenceList = Field(
        default=(),
        description="One text, or a list of up to 4, each of 1 to 64 characters: a sample ends "
        "before the first of them that it comes to.",
    )
    samples: int = Field(
        default=1, ge=1, le=64, description="Samples of each prompt at each temperature."
    )
    seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="Same seed, same prompts: same samples."
    )

    @classmethod
    def output(cls, *, characters_per_symbol: int = 1) -> OutputBound:
        """Return what one prompt can make a model write, as a TaskSpec states it."""
        return OutputBound(
            factors=("length", "samples"),
            lists=("temperature",),
            characters_per_symbol=characters_per_symbol,
            max_characters=cls.max_characters_per_prompt,
        )

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperatures in the order asked for, also where one was given alone."""
        given = self.temperature
        return given if isinstance(given, tuple) else (given,)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop sequences, also where one was given alone."""
        return self.stop if isinstance(self.stop, tuple) else (self.stop,)

    @model_validator(mode="after")
    def _fits_a_result(self) -> Self:
        characters = self.length * self.samples * len(self.temperatures)
        if characters > self.max_characters_per_prompt:
            raise ValueError(
                f"length {self.length:,} x samples {self.samples} x {len(self.temperatures)} "
                f"temperatures are {characters:,} characters for each prompt; at most "
                f"{self.max_characters_per_prompt:,} are allowed. Ask for fewer samples a job."
            )
        return self
