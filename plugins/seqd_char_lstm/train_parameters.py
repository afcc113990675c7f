"""What may be asked of a training of `char_lstm`.

Descriptions and bounds only: their JSON Schema is what clients check a request against, so
nothing here computes. Read by `training` and what it calls; `presets` has sets of them.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from seqd.hookspecs import PluginParameters
from seqd_modelkit.generation_parameters import MAX_SEED, Temperatures

Mode = Literal["window", "stream"]

#: What a training in the other mode does not look at.
WINDOW_ONLY = ("window", "step", "batch_windows")
STREAM_ONLY = (
    "layers",
    "embedding_dim",
    "input_dropout",
    "dropout",
    "recurrent_dropout",
    "streams",
    "steps",
    "final_learning_rate",
    "warmup_steps",
    "weight_decay",
    "clipnorm",
    "averaging",
    "patience",
    "ngram_share",
)


class TrainParameters(PluginParameters):
    """How to train; the defaults are the preset `tutorial`.

    A training reads nothing of the other mode's, and says so where something of it was set.
    """

    mode: Mode = Field(
        default="window",
        description="window: the next character is learnt from the window before it, as in the "
        "tutorial; stream: from all before it, at each place of the text at once.",
    )
    epochs: int = Field(default=10, ge=1, le=1_000, description="Times that the text is read.")
    lower_case: bool = Field(
        default=True, description="Lower-case the text, and later the prompts as well."
    )
    min_count: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Characters that the text has less often than this are left out of it.",
    )
    units: int = Field(default=128, ge=1, le=1_024, description="Units of each LSTM layer.")
    learning_rate: float = Field(
        default=0.01,
        gt=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Step size: of RMSprop for windows; for streams the highest one of AdamW, "
        "0.002 to 0.005 as a rule.",
    )
    validation_split: float = Field(
        default=0.0,
        ge=0.0,
        le=0.5,
        allow_inf_nan=False,
        description="Share of the text, its end, that is measured and not learnt from. Not used "
        "when held-out data is given: then all of the text is learnt from.",
    )
    ngram_order: int = Field(
        default=5,
        ge=0,
        le=8,
        description="Characters that a Kneser-Ney model reads, which is fitted to the same text "
        "to compare the network with; 0: none is.",
    )
    half_precision: bool = Field(
        default=False,
        description="Keep the version's weights as 16-bit numbers, for half the file.",
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
        description="Decides initial weights, the order of learning, dropout, and samples.",
    )

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
    batch_windows: int = Field(
        default=128,
        ge=1,
        le=4_096,
        description="Windows that one optimizer step learns from (windows only).",
    )

    layers: int = Field(
        default=1, ge=1, le=4, description="LSTM layers, one above the other (streams only)."
    )
    embedding_dim: int = Field(
        default=64,
        ge=0,
        le=1_024,
        description="Numbers that stand for a character; 0: one for each character of the "
        "alphabet, one-hot (streams only).",
    )
    input_dropout: float = Field(
        default=0.0,
        ge=0.0,
        le=0.9,
        allow_inf_nan=False,
        description="Share of a character's numbers that training hides (streams only).",
    )
    dropout: float = Field(
        default=0.2,
        ge=0.0,
        le=0.9,
        allow_inf_nan=False,
        description="Share of a layer's outputs that training hides from the next layer and from "
        "the output layer (streams only).",
    )
    recurrent_dropout: float = Field(
        default=0.0,
        ge=0.0,
        le=0.9,
        allow_inf_nan=False,
        description="Share of the recurrent weights that a step of training leaves out; on a CPU "
        "only (streams only).",
    )
    streams: int = Field(
        default=64,
        ge=1,
        le=1_024,
        description="Parts of the text that are read side by side (streams only).",
    )
    steps: int = Field(
        default=64,
        ge=1,
        le=512,
        description="Characters of each stream that one optimizer step reads, and that gradients "
        "go back through (streams only).",
    )
    final_learning_rate: float = Field(
        default=1e-5,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Step size at the end, where it falls to as a cosine (streams only).",
    )
    warmup_steps: int = Field(
        default=50,
        ge=0,
        le=100_000,
        description="Steps over which the step size rises at the start (streams only).",
    )
    weight_decay: float = Field(
        default=1e-2,
        ge=0.0,
        le=1.0,
        allow_inf_nan=False,
        description="Share of each weight, but of no bias, that a step takes away, times its step "
        "size (streams only).",
    )
    clipnorm: float = Field(
        default=1.0,
        ge=0.0,
        le=1_000.0,
        allow_inf_nan=False,
        description="Length that a step's gradient is cut to, all weights together; 0: as it is "
        "(streams only).",
    )
    averaging: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        allow_inf_nan=False,
        description="What a running mean of the weights, which the version then has, keeps of "
        "itself at each step; 0: the weights of the last step (streams only).",
    )
    patience: int = Field(
        default=0,
        ge=0,
        le=1_000,
        description="Stop after so many epochs without a better held-out figure, and keep the "
        "best epoch's weights; 0: read the text `epochs` times (streams only).",
    )
    ngram_share: float = Field(
        default=0.0,
        ge=0.0,
        le=0.99,
        allow_inf_nan=False,
        description="The Kneser-Ney model's share in each prediction of the version; above 0 it "
        "is kept beside the network (streams only).",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.ngram_share and not self.ngram_order:
            raise ValueError(
                f"ngram_share is {self.ngram_share} of a model that ngram_order 0 does not fit; "
                "set ngram_order to 1 to 8, or ngram_share to 0"
            )
        if self.mode == "stream" and self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"final_learning_rate is {self.final_learning_rate}, above learning_rate "
                f"{self.learning_rate}; the step size falls, so it must not be greater"
            )
        return self

    def unused(self) -> tuple[str, ...]:
        """Name what was set to other than its default and belongs to the other mode."""
        others = WINDOW_ONLY if self.mode == "stream" else STREAM_ONLY
        fields = type(self).model_fields
        return tuple(name for name in others if getattr(self, name) != fields[name].default)
