"""How a version reads a prompt: text of any language in, the ids that its network is given out.

The rules, in their order:

- A prompt is lower-cased, when the version was trained on lower-cased text.
- Characters that the version does not know are left out and counted, or the prompt is refused,
  as the job says.
- Before it stands the version's lead-in, text of the corpus up to the end of a sentence, so that a
  prompt begins a sentence and an empty one is a beginning too.
- Of both together the last characters are read: as many as the window has, or `MAX_READ` of a
  version that carries its state, which remembers nothing from further back.

A lone surrogate is no character, and an error for any version. Used by `generation`.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from seqd_char_lstm.config import Config
from seqd_char_lstm.text import UNKNOWN, Alphabet, Ids
from seqd_schemas import ItemError, ItemErrorCode

#: Characters that are read of a prompt at most, 0.1 s of work for one alone; `reading` has what
#: half as many cost in exactness.
MAX_READ: Final = 1_024

#: Characters that an error message lists at most.
_LISTED_CHARACTERS = 100


@dataclass(frozen=True)
class Prompt:
    """A prompt as it is read."""

    ids: Ids  # (characters,), one at least
    unknown_characters: int


class Prompts:
    """Reads prompts for one version."""

    def __init__(self, config: Config) -> None:
        self._alphabet = Alphabet(config.alphabet)
        self._lower_case = config.lower_case
        self._lead_in = self._alphabet.encode(config.lead_in)
        self._most = config.window or MAX_READ

    def read(self, prompt: str, unknown: Literal["skip", "refuse"]) -> Prompt | ItemError:
        """Read a prompt by the rules above."""
        if not is_unicode(prompt):
            return ItemError(
                code=ItemErrorCode.DECODE_ERROR,
                message="The prompt has a lone surrogate, which is no character. Send valid text.",
            )
        cased = self.cased(prompt)
        ids = self._alphabet.encode(cased)
        known = ids[ids != UNKNOWN]
        if len(known) < len(ids) and unknown == "refuse":
            return ItemError(code=ItemErrorCode.INVALID_INPUT, message=self._refusal(cased))
        read = np.concatenate([self._lead_in, known])[-self._most :]
        return Prompt(read, len(ids) - len(known))

    def cased(self, text: str) -> str:
        """Lower-case a text where the training text was."""
        return text.lower() if self._lower_case else text

    def cost(self, characters: int) -> int:
        """Characters that are read of a prompt with so many."""
        return min(len(self._lead_in) + characters, self._most)

    def _refusal(self, cased: str) -> str:
        known = self._alphabet.characters
        return (
            f"The prompt has {_listed(self._alphabet.unknown_in(cased))}, which the model does not "
            f"know. It knows {len(known)} characters: {_listed(known)}. Leave the others out, or "
            "send unknown=skip."
        )


def is_unicode(text: str) -> bool:
    """False for a text with a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(characters: str) -> str:
    shown = " ".join(repr(character) for character in characters[:_LISTED_CHARACTERS])
    more = len(characters) - _LISTED_CHARACTERS
    return shown if more <= 0 else f"{shown} and {more:,} more"
