"""Parameters of `char_lstm`, of a training with its presets and of a generation.

Bounds and descriptions only: their JSON Schema is what clients check a request against.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from seqd.hookspecs import PluginParameters
from seqd_modelkit.generation_parameters import (
    GenerationParameters,
    Length,
    Temperature,
    Temperatures,
    TopK,
    TopP,
)
from seqd_modelkit.training_parameters import (
    BatchSize,
    ClipNorm,
    Dropout,
    EmaMomentum,
    Epochs,
    LearningRate,
    Patience,
    Seed,
    ValidationSplit,
)
from seqd_schemas import ParameterValue

Mode = Literal["window", "stream"]

#: What a training in the other mode does not look at.
WINDOW_ONLY: Final = ("window", "step")
STREAM_ONLY: Final = (
    "layers",
    "embedding_dim",
    "input_dropout",
    "dropout",
    "recurrent_dropout",
    "steps",
    "final_learning_rate",
    "warmup_steps",
    "weight_decay",
    "clipnorm",
    "ema_momentum",
    "patience",
    "mixing",
)


class TrainParameters(PluginParameters):
    """How to train; the defaults are the preset `tutorial`.

    A training ignores the other mode's parameters, and logs those that were set.
    """

    mode: Mode = Field(
        default="window",
        description="window: the next character is learnt from the window before it, as in the "
        "tutorial; stream: from all before it, at each position of the text at once.",
    )
    epochs: Epochs = Field(default=10, description="Times that the text is read.")
    batch_size: BatchSize = Field(
        default=128,
        description="Rows of a batch: windows that one optimizer step learns from; for streams, "
        "the parts of the text that are read side by side.",
    )
    lower_case: bool = Field(
        default=True, description="Lower-case the text, and later the prompts as well."
    )
    min_count: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Characters that the text has less often than this are left out of it.",
    )
    units: int = Field(default=128, ge=1, le=1_024, description="Hidden units of each LSTM layer.")
    learning_rate: LearningRate = Field(
        default=0.01,
        description="Learning rate: of RMSprop for windows; for streams the peak of AdamW's, "
        "0.002 to 0.005 as a rule.",
    )
    validation_split: ValidationSplit = Field(
        default=0.0,
        description="Share of the text, its end, that is held out and validated on. Not used when "
        "held-out data is given: then all of the text is trained on.",
    )
    half_precision: bool = Field(
        default=False,
        description="Keep the version's weights as 16-bit numbers, for half the file.",
    )
    sample_length: int = Field(
        default=400,
        ge=0,
        le=4_096,
        description="Characters of each sample written after an epoch; 0: no samples.",
    )
    sample_temperatures: Temperatures = Field(
        default=(0.2, 0.5, 1.0, 1.2), description="Temperatures of the samples after an epoch."
    )
    seed: Seed = 0

    window: int = Field(
        default=40,
        ge=2,
        le=256,
        description="Characters that the model reads to predict the next (windows only).",
    )
    step: int = Field(
        default=3,
        ge=1,
        le=1_000,
        description="Characters from one training window to the next (windows only).",
    )

    layers: int = Field(
        default=1, ge=1, le=4, description="LSTM layers, one above the other (streams only)."
    )
    embedding_dim: int = Field(
        default=64,
        ge=0,
        le=1_024,
        description="Size of the embedding of a character; 0: one-hot (streams only).",
    )
    input_dropout: Dropout = Field(
        default=0.0, description="Dropout of the embedded characters (streams only)."
    )
    dropout: Dropout = Field(
        default=0.2,
        description="Dropout of each LSTM layer's outputs, before the next layer and the output "
        "layer (streams only).",
    )
    recurrent_dropout: Dropout = Field(
        default=0.0,
        description="DropConnect of the recurrent weights, one mask a step; on a CPU only "
        "(streams only).",
    )
    steps: int = Field(
        default=64,
        ge=1,
        le=512,
        description="Characters of each stream in a batch, which back-propagation through time is "
        "truncated to (streams only).",
    )
    final_learning_rate: float = Field(
        default=1e-5,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Learning rate of the last step, at the end of a cosine (streams only).",
    )
    warmup_steps: int = Field(
        default=50,
        ge=0,
        le=100_000,
        description="Steps of the linear warm-up of the learning rate (streams only).",
    )
    weight_decay: float = Field(
        default=1e-2,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="AdamW's weight decay, of matrices and not of biases (streams only).",
    )
    clipnorm: ClipNorm = Field(
        default=1.0,
        description="Global norm that the gradients of a step are clipped to; 0: no clipping "
        "(streams only).",
    )
    ema_momentum: EmaMomentum = Field(
        default=0.0,
        description="Momentum of an exponential moving average of the weights, which the version "
        "then has; 0: the weights of the last step (streams only).",
    )
    patience: Patience = Field(
        default=0,
        description="Early stopping: end after so many epochs without a lower validation loss, "
        "and keep the best epoch's weights; 0: go through all epochs (streams only).",
    )
    mixing: bool = Field(
        default=False,
        description="Have a model that mixes contexts learn the same text, which the version's "
        "network then predicts together with (streams only).",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.mode == "stream" and self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate is {self.final_learning_rate}, above learning_rate "
                f"{self.learning_rate}; the learning rate falls, so it must not be greater"
            )
        return self

    def unused(self) -> tuple[str, ...]:
        """Return the names of the other mode's parameters that have other than their defaults."""
        others = WINDOW_ONLY if self.mode == "stream" else STREAM_ONLY
        fields = type(self).model_fields
        return tuple(name for name in others if getattr(self, name) != fields[name].default)


# Presets write out all that their mode reads: a preset stays what it is when a default moves.

_TEMPERATURES: Final[list[bool | int | float | str | None]] = [0.2, 0.5, 1.0, 1.2]

_BEST: Final[Mapping[str, ParameterValue]] = {
    "mode": "stream",
    "epochs": 18,
    # What is compared with it, the tutorial and published figures, is lower-cased too.
    "lower_case": True,
    "min_count": 1,
    "units": 384,
    "layers": 1,
    "embedding_dim": 64,
    "input_dropout": 0.1,
    "dropout": 0.35,
    "recurrent_dropout": 0.05,
    "batch_size": 64,
    "steps": 32,
    "learning_rate": 0.004,
    "final_learning_rate": 1e-5,
    "warmup_steps": 50,
    "weight_decay": 0.01,
    "clipnorm": 1.0,
    "ema_momentum": 0.99,
    "validation_split": 0.1,
    "patience": 0,
    "mixing": True,
    "half_precision": True,
    "sample_length": 400,
    "sample_temperatures": _TEMPERATURES,
    "seed": 0,
}

#: Named sets of training parameters, as `seqd train char_lstm --preset NAME` takes them.
PRESETS: Final[Mapping[str, Mapping[str, ParameterValue]]] = {
    "tutorial": {
        "mode": "window",
        "epochs": 10,
        "lower_case": True,
        "min_count": 1,
        "window": 40,
        "step": 3,
        "units": 128,
        "batch_size": 128,
        "learning_rate": 0.01,
        "validation_split": 0.0,
        "half_precision": False,
        "sample_length": 400,
        "sample_temperatures": _TEMPERATURES,
        "seed": 0,
    },
    "fast": {
        **_BEST,
        "epochs": 12,
        "units": 256,
        "input_dropout": 0.0,
        "dropout": 0.2,
        "recurrent_dropout": 0.0,
        # As many characters a step as 32 streams of 32: a matrix product of 32 rows a core takes
        # little longer than one of 16.
        "steps": 16,
        "learning_rate": 0.008,
        "mixing": False,
    },
    "best": _BEST,
    # For a GPU, where its learner is Keras; it was not run on one.
    "large": {
        **_BEST,
        "epochs": 60,
        "units": 1_024,
        "layers": 3,
        "embedding_dim": 128,
        "input_dropout": 0.2,
        "dropout": 0.5,
        "recurrent_dropout": 0.0,
        "steps": 128,
        "learning_rate": 0.002,
        "warmup_steps": 400,
        "ema_momentum": 0.999,
        "patience": 8,
    },
}


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
