"""A plugin whose scores are no numbers."""

import math
from typing import ClassVar

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import Classification, ItemError, ItemErrorCode


class Parameters(PluginParameters):
    """No parameters."""


class GivesNan(Model):
    """A model without training."""

    name = "gives_nan"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Load the version."""
        return LoadedGivesNan()


class LoadedGivesNan(LoadedModel):
    """A version in memory."""

    memory_bytes = 1_000
    classes = ("long", "short")

    def warm_up(self):
        """Do nothing."""

    def classify(self, items, parameters, context):
        """Return a score that is no number."""
        outcomes = []
        for item in items:
            if context.stop_requested():
                raise Stopped
            outcomes.append(one(item.text))
        return outcomes


def one(text):
    """Return the label of a text, or an error for one that is no text."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        message = "The text has a lone surrogate, which is no character. Send valid text."
        return ItemError(code=ItemErrorCode.DECODE_ERROR, message=message)
    # As of a softmax that overflows; without pydantic's checks, which would refuse it.
    return Classification.model_construct(
        type="classification",
        label="long",
        score=math.nan,
        truncated=False,
        probabilities=None,
        unknown_share=0.0,
        uncertain=False,
    )


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [GivesNan()]
