"""What a `char_lstm` version says of itself in `config.json`, checked as a whole.

All but the weights. Written and read by `artifact`; its fields decide in `prompts`, `reading`
and `generation` how a version reads text.
"""

import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

#: Characters that an alphabet may have: a batch of one-hot windows then still fits in 200 MB.
MAX_ALPHABET = 10_000

#: Characters that a version's lead-in may have.
MAX_LEAD_IN = 256


class Config(BaseModel):
    """All that a version is, except for its weights and n-grams."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    #: `window`: each character is predicted from exactly the `window` before it, from a zero
    #: state. `stream`: from all before it, the state is carried along.
    reads: Literal["window", "stream"]
    alphabet: str = Field(min_length=2, max_length=MAX_ALPHABET)
    lower_case: bool
    units: int = Field(ge=1, le=1_024)
    layers: int = Field(default=1, ge=1, le=4)
    #: Length of a character's vector; 0 where the first layer reads one-hot.
    embedding_dim: int = Field(default=0, ge=0, le=1_024)
    window: int | None = Field(default=None, ge=2, le=MAX_LEAD_IN)
    #: Text of the corpus up to the end of a sentence. `window`: as many characters, which stand
    #: before a prompt shorter than that. `stream`: what is read before any text, one at least.
    lead_in: str = Field(min_length=1, max_length=MAX_LEAD_IN)
    #: s in p = (1 - s) p_lstm + s p_ngram, the n-gram model's share in each prediction.
    ngram_share: float = Field(default=0.0, ge=0.0, le=0.99, allow_inf_nan=False)

    def as_json(self) -> str:
        """Give what stands in the file, in ASCII."""
        return json.dumps(self.model_dump(), indent=2) + "\n"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if list(self.alphabet) != sorted(set(self.alphabet)):
            raise ValueError("the alphabet is not in order, or has a character twice")
        if not set(self.lead_in) <= set(self.alphabet):
            raise ValueError("lead_in has characters that the alphabet lacks")
        if self.reads == "window":
            self._fits_a_window()
        elif self.window is not None:
            raise ValueError("a version that reads a stream has no window")
        return self

    def _fits_a_window(self) -> None:
        if self.window is None:
            raise ValueError("a version that reads windows says of how many characters")
        if len(self.lead_in) != self.window:
            raise ValueError(f"lead_in has {len(self.lead_in)} characters, not {self.window}")
        if (self.layers, self.embedding_dim, self.ngram_share) != (1, 0, 0.0):
            raise ValueError(
                "a version that reads windows has one layer, no embedding and no n-grams"
            )
