"""The parameters of `markov`: what may be asked of a training and of a generation.

Descriptions and bounds only: their JSON Schema is what clients check a request against.
Read by `training` and `generation`.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from seqd.hookspecs import PluginParameters

#: Characters that all samples of one prompt may have together; each takes a byte or more in
#: a result.
MAX_CHARACTERS_PER_PROMPT = 2_000_000

Temperature = Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)]
Temperatures = Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=8)]


class TrainParameters(PluginParameters):
    """How to count; the defaults are the preset `tutorial`. Counting has no seed."""

    lower_case: bool = Field(
        default=True, description="Lower-case the text, and later the prompts as well."
    )


class GenerateParameters(PluginParameters):
    """How to continue prompts."""

    length: int = Field(
        default=400,
        ge=1,
        le=100_000,
        description="Characters of each sample; with samples and temperatures multiplied in, "
        f"at most {MAX_CHARACTERS_PER_PROMPT:,} for each prompt.",
    )
    temperature: Temperature | Temperatures = Field(
        default=1.0,
        description="One temperature, or a list of 1 to 8: 0 always takes the most probable "
        "character, 1 follows the chain, above 1 is bolder.",
    )
    samples: int = Field(
        default=1, ge=1, le=64, description="Samples of each prompt at each temperature."
    )
    seed: int = Field(
        default=0, ge=0, le=2**32 - 1, description="Same seed, same prompts: same samples."
    )

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperatures in the order asked for, also where one was given alone."""
        given = self.temperature
        return given if isinstance(given, tuple) else (given,)

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
