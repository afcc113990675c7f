"""A plugin that forks its process and goes on in both."""

import os
from typing import ClassVar

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, Model, PluginParameters, TaskSpec, hookimpl
from seqd_schemas import Classification, ItemError, ItemErrorCode


class Parameters(PluginParameters):
    """No parameters."""


class ForksAndReturns(Model):
    """A model without training."""

    name = "forks_and_returns"
    summary = "Part of the broken-plugin zoo."
    tasks: ClassVar = {"classify": TaskSpec(Parameters)}

    def load(self, artifact, device):
        """Load the version."""
        return LoadedForksAndReturns()


class LoadedForksAndReturns(LoadedModel):
    """A version in memory."""

    memory_bytes = 1_000
    classes = ("long", "short")

    def warm_up(self):
        """Do nothing."""

    def classify(self, items, parameters, context):
        """Label the texts twice: here, and in a copy of the process that nobody asked for."""
        os.fork()
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
    label = "long" if len(text) > 50 else "short"
    return Classification(label=label, score=1 / (1 + len(text)), truncated=False)


@hookimpl
def seqd_register_models():
    """Hand over the model."""
    return [ForksAndReturns()]
