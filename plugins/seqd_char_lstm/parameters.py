"""The parameters of `char_lstm`: what may be asked of a training and of a generation.

Descriptions and bounds only: their JSON Schema is what clients check a request against, so
nothing here computes. Read by `training` and `generation`.
"""

from typing import Annotated

from pydantic import Field

from seqd.hookspecs import PluginParameters

MAX_SEED = 2**32 - 1

Temperature = Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)]
Temperatures = Annotated[tuple[Temperature, ...], Field(min_length=1, max_length=8)]


class TrainParameters(PluginParameters):
    """How to train; the defaults are the preset `tutorial`."""

    epochs: int = Field(default=10, ge=1, le=1_000, description="Passes over all windows.")
    lower_case: bool = Field(
        default=True, description="Lower-case the text, and later the prompts as well."
    )
    window: int = Field(
        default=40, ge=2, le=256, description="Characters that the model reads to predict the next."
    )
    step: int = Field(
        default=3, ge=1, le=1_000, description="Characters from one training window to the next."
    )
    units: int = Field(default=128, ge=1, le=1_024, description="Units of the LSTM layer.")
    batch_windows: int = Field(
        default=128, ge=1, le=4_096, description="Windows that one optimizer step learns from."
    )
    learning_rate: float = Field(
        default=0.01, gt=0.0, le=1.0, allow_inf_nan=False, description="Step size of RMSprop."
    )
    sample_length: int = Field(
        default=400,
        ge=0,
        le=4_096,
        description="Characters of each sample written after an epoch; 0 writes none.",
    )
    sample_temperatures: Temperatures = Field(
        default=(0.2, 0.5, 1.0, 1.2), description="Temperatures of the samples after an epoch."
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=MAX_SEED,
        description="Decides initial weights, order of the windows, and samples.",
    )


class GenerateParameters(PluginParameters):
    """How to continue prompts."""

    length: int = Field(default=400, ge=1, le=10_000, description="Characters of each sample.")
    temperature: Temperature | Temperatures = Field(
        default=0.5,
        description="One temperature, or a list of 1 to 8: 0 always takes the most probable "
        "character, 1 follows the model, above 1 is bolder.",
    )
    samples: int = Field(
        default=1, ge=1, le=16, description="Samples of each prompt at each temperature."
    )
    seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="Same seed, same prompts: same samples."
    )

    @property
    def temperatures(self) -> tuple[float, ...]:
        """The temperatures in the order asked for, also where one was given alone."""
        given = self.temperature
        return given if isinstance(given, tuple) else (given,)
