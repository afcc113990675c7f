"""The parameters of a training and of a generation by `markov` and `markov_words`.

Bounds and descriptions only: their JSON Schema is what clients check a request against.
"""

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from seqd.hookspecs import PluginParameters
from seqd_modelkit.generation_parameters import GenerationParameters, Length
from seqd_modelkit.training_parameters import ValidationSplit
from seqd_schemas import ParameterValue

#: Characters that all samples of one prompt may have together; each takes a byte or more in
#: a result.
MAX_CHARACTERS_PER_PROMPT = 2_000_000

#: Characters that a sample may have, which the wire holds; words are stopped by it, not characters.
MAX_CHARACTERS_PER_SAMPLE = 1_000_000

#: Characters that a sample may have for each of its words, the spaces between them included.
CHARACTERS_PER_SYMBOL = 128

_WEIGHT = re.compile(r"(.+)=(\d{1,6}(?:\.\d{1,6})?)", re.DOTALL)

#: The first-order chain of the tutorial: how often each character follows each other.
_TUTORIAL: dict[str, ParameterValue] = {
    "level": "characters",
    "order": 1,
    "smoothing": "none",
    "lower_case": True,
    "sentences": False,
    "validation_split": 0.0,
}

PRESETS: dict[str, dict[str, ParameterValue]] = {
    "best": {"smoothing": "mixing"},
    "fast": {},
    "tutorial": _TUTORIAL,
}

# Unsmoothed text reads better: of the words that `best` writes in Nietzsche's style 56% (of 3,000)
# never followed the two before. So the starter is `sentences`, though `best` predicts better: 1.80
# bits a character held out, against 2.36.
WORD_PRESETS: dict[str, dict[str, ParameterValue]] = {
    "best": {},
    "sentences": {"smoothing": "none"},
}

LabelWeight = Annotated[str, Field(min_length=3, max_length=512)]


class TrainParameters(PluginParameters):
    """How to count and to smooth; the defaults are the preset `fast`. Counting has no seed."""

    level: Literal["characters", "words"] = Field(
        default="characters", description="What the symbols are: characters, or words and marks."
    )
    order: int = Field(
        default=5, ge=1, le=8, description="Symbols before it that the next one depends on."
    )
    smoothing: Literal["none", "additive", "witten_bell", "kneser_ney", "mixing"] = Field(
        default="kneser_ney",
        description="How what was not seen gets a probability; kneser_ney is the interpolated "
        "modified one, none gives none. mixing learns to mix 16 kinds of contexts, and looks at no "
        "order: of running text of characters it predicts best, and takes the longest.",
    )
    additive: float = Field(
        default=0.1,
        ge=1e-6,
        le=1_000.0,
        allow_inf_nan=False,
        description="What additive smoothing adds to each count.",
    )
    lower_case: bool = Field(
        default=True, description="Lower-case the text, and later the prompts as well."
    )
    sentences: bool = Field(
        default=False,
        description="Take the text as sentences, each with a beginning and an end: what is "
        "written then begins where a sentence may begin, and ends where one may end.",
    )
    sentence_ends: Literal["punctuation", "lines"] = Field(
        default="punctuation",
        description="What ends a sentence: a mark such as . ! or ? before blanks and no small "
        "letter, and a blank line; or each line. A record always ends one.",
    )
    min_count: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Leave out sequences of 2 symbols and more that are rarer.",
    )
    max_vocabulary: int = Field(
        default=50_000,
        ge=100,
        le=1_000_000,
        description="Words and marks that are kept, the most frequent; the others are unknown.",
    )
    keep_text: bool = Field(
        default=True,
        description="Keep the text in the version, up to 50,000,000 symbols, so that copies of it "
        "can be found in what is written.",
    )
    validation_split: ValidationSplit = Field(
        default=0.1,
        description="Last part of the data that is measured on and not learnt from, where no data "
        "is held out otherwise.",
    )
    label_weights: tuple[LabelWeight, ...] = Field(
        default=(),
        max_length=64,
        description='Weights of the records of a label, such as ["kant=2", "hume=0.5"]: each '
        "label is counted apart, and the counts are added up by weight. 1 for all others.",
    )

    @model_validator(mode="after")
    def _can_be_mixed(self) -> Self:
        wrong = {
            "level=words": self.level == "words",
            "sentences": self.sentences,
            "label_weights": self.label_weights,
            "min_count": self.min_count > 1,
            "keep_text=false": not self.keep_text,
        }
        given = [name for name, is_given in wrong.items() if is_given]
        if self.smoothing == "mixing" and given:
            raise ValueError(
                f"smoothing=mixing does not go with {', '.join(given)}: it takes running text of "
                "characters, whole, and keeps it. Leave one of them away."
            )
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Weights by label."""
        matches = [_WEIGHT.fullmatch(entry) for entry in self.label_weights]
        return {match[1]: float(match[2]) for match in matches if match}

    @field_validator("label_weights")
    @classmethod
    def _are_weights(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            match = _WEIGHT.fullmatch(entry)
            if match is None or not float(match[2]):
                raise ValueError(
                    f"{entry!r} is no weight; write LABEL=WEIGHT with a number from 0.000001 to "
                    "999999, such as kant=2.5"
                )
        labels = [entry.rpartition("=")[0] for entry in entries]
        if len(set(labels)) < len(labels):
            raise ValueError("a label has two weights; give it one")
        return entries


class WordTrainParameters(TrainParameters):
    """The same for words, in sentences; the defaults are the preset `best` of `markov_words`."""

    level: Literal["characters", "words"] = Field(
        default="words", description="What the symbols are: characters, or words and marks."
    )
    order: int = Field(
        default=2, ge=1, le=8, description="Symbols before it that the next one depends on."
    )
    lower_case: bool = Field(
        default=False, description="Lower-case the text, and later the prompts as well."
    )
    sentences: bool = Field(
        default=True,
        description="Take the text as sentences, each with a beginning and an end: what is "
        "written then begins where a sentence may begin, and ends where one may end.",
    )


class GenerateParameters(GenerationParameters):
    """How to continue prompts."""

    max_characters_per_prompt: ClassVar[int] = MAX_CHARACTERS_PER_PROMPT

    length: Length = Field(
        default=400,
        description="Symbols of each sample at most: characters, or words of a version that "
        "writes words; with samples and temperatures multiplied in, at most "
        f"{MAX_CHARACTERS_PER_PROMPT:,} for each prompt.",
    )
    sentences: int = Field(
        default=1,
        ge=0,
        le=1_000,
        description="Sentences that end a sample; 0 writes on to the length. For versions that "
        "know sentences; others do not look at it.",
    )
    max_copied: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Characters in a row that a sample may have from the training text; what has "
        "more is thrown away and written anew. 0 allows any.",
    )
    tries: int = Field(
        default=20,
        ge=1,
        le=1_000,
        description="How often a sample is written at most, until it keeps to max_copied.",
    )

    @property
    def max_characters(self) -> int:
        """Characters that each sample may have, so that all of them fit a result."""
        share = MAX_CHARACTERS_PER_PROMPT // (self.samples * len(self.temperatures))
        return min(share, MAX_CHARACTERS_PER_SAMPLE, self.length * CHARACTERS_PER_SYMBOL)
