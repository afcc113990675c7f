"""The parameters of a generation by `char_lstm`.

Bounds and descriptions only: their JSON Schema is what clients check a request against.
"""

from typing import ClassVar, Literal

from pydantic import Field

from seqd_modelkit.generation_parameters import (
    GenerationParameters,
    Length,
    Temperature,
    Temperatures,
    TopK,
    TopP,
)

#: Some ten seconds of work.
_MAX_CHARACTERS_PER_PROMPT = 1_000_000


class GenerateParameters(GenerationParameters):
    """How to continue prompts."""

    max_characters_per_prompt: ClassVar[int] = _MAX_CHARACTERS_PER_PROMPT

    length: Length = Field(
        default=400,
        description="Characters of each sample at most; with samples and temperatures multiplied "
        f"in, at most {_MAX_CHARACTERS_PER_PROMPT:,} for each prompt.",
    )
    temperature: Temperature | Temperatures = Field(
        default=0.5,
        description="One temperature, or a list of 1 to 8: 0 always takes the most probable "
        "character, 1 follows the model, above 1 is bolder.",
    )
    top_k: TopK = Field(
        default=0,
        description="Draw from this many most probable characters only; 0 draws from all.",
    )
    top_p: TopP = Field(
        default=1.0,
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
    unknown: Literal["skip", "refuse"] = Field(
        default="skip",
        description="What to do about characters of a prompt that the model does not know: skip "
        "and count them, or refuse the prompt.",
    )
