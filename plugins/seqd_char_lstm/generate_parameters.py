"""What may be asked of a generation of `char_lstm`.

Descriptions and bounds only: their JSON Schema is what clients check a request against. Read by
`generation`; what a training may be asked is in `train_parameters`, which takes the bounds of
seeds and temperatures from here.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from seqd.hookspecs import PluginParameters

MAX_SEED = 2**32 - 1

#: Characters that all samples of one prompt may have together: they are one result, and some ten
#: seconds of work.
MAX_CHARACTERS_PER_PROMPT = 1_000_000

Temperature = Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)]
Temperatures = Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=8)]

StopText = Annotated[str, StringConstraints(min_length=1, max_length=64)]
StopTexts = Annotated[tuple[StopText, ...], Field(max_length=4)]


class GenerateParameters(PluginParameters):
    """How to continue prompts; `sampling` says how the ways to choose go together."""

    length: int = Field(
        default=400,
        ge=1,
        le=100_000,
        description="Characters of each sample at most; with samples and temperatures multiplied "
        f"in, at most {MAX_CHARACTERS_PER_PROMPT:,} for each prompt.",
    )
    temperature: Temperature | Temperatures = Field(
        default=0.5,
        description="One temperature, or a list of 1 to 8: 0 always takes the most probable "
        "character, 1 follows the model, above 1 is bolder.",
    )
    top_k: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Draw from this many most probable characters only; 0 draws from all.",
    )
    top_p: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Draw from the fewest most probable characters that together have this "
        "probability, at the temperature and after top_k; 1 draws from all.",
    )
    repetition_penalty: float = Field(
        default=1.0,
        ge=1.0,
        le=10.0,
        allow_inf_nan=False,
        description="Raise the probabilities of the last 16 characters to this power before the "
        "temperature; 1 leaves them as they are.",
    )
    stop: StopText | StopTexts = Field(
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
    unknown: Literal["skip", "refuse"] = Field(
        default="skip",
        description="What to do about characters of a prompt that the model does not know: skip "
        "and count them, or refuse the prompt.",
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
