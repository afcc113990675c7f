"""Parameters of a classification; light, so that a description may import it."""

from pydantic import Field

from seqd.hookspecs import PluginParameters


class ClassificationParameters(PluginParameters):
    """What a classification reports beside label and score."""

    probabilities: bool = Field(
        default=False, description="True: the output has the probability of each class."
    )
