"""Types of the training parameters that mean the same for every model: bounds and descriptions.

A model declares a field with one of these and its own default, `epochs: Epochs = 10`; where it has
more to say, `Field(default=10, description=…)` overrides the description. The names are Keras's,
where Keras has one.
"""

from typing import Annotated

from pydantic import Field

Epochs = Annotated[
    int, Field(ge=1, le=1_000, description="Times that training goes through all of the data.")
]
BatchSize = Annotated[
    int, Field(ge=1, le=4_096, description="Examples that one optimizer step learns from.")
]
LearningRate = Annotated[
    float, Field(gt=0.0, le=1.0, allow_inf_nan=False, description="Learning rate of the optimizer.")
]
ValidationSplit = Annotated[
    float,
    Field(
        ge=0.0,
        le=0.5,
        allow_inf_nan=False,
        description="Share of the data that is held out and validated on after each epoch. Not "
        "used when held-out data is given: then all of the data is trained on.",
    ),
]
Patience = Annotated[
    int,
    Field(
        ge=0,
        le=1_000,
        description="Early stopping: end after so many epochs without a lower validation loss, "
        "and keep the best epoch's weights; 0: go through all epochs.",
    ),
]
ClipNorm = Annotated[
    float,
    Field(
        ge=0.0,
        le=1_000.0,
        allow_inf_nan=False,
        description="Global norm that the gradients of a step are clipped to; 0: no clipping.",
    ),
]
EmaMomentum = Annotated[
    float,
    Field(
        ge=0.0,
        lt=1.0,
        allow_inf_nan=False,
        description="Momentum of an exponential moving average of the weights, which the version "
        "then has; 0: the weights of the last step.",
    ),
]
Dropout = Annotated[
    float,
    Field(
        ge=0.0,
        le=0.9,
        allow_inf_nan=False,
        description="Share of a layer's inputs that a training step leaves out.",
    ),
]
Seed = Annotated[
    int,
    Field(
        ge=0,
        le=2**32 - 1,
        description="Seed of the initial weights, the order of the data, dropout and samples.",
    ),
]
