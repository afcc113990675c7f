"""What a function returns for a text, and the outcome that becomes of it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel

from seqd.errors import PluginFault, wire_text
from seqd.hookspecs import WorkItem
from seqd_schemas import Classification, ItemError, ItemErrorCode, Text

#: Characters that a label may have, and a text that is written.
MAX_LABEL_CHARS = 256
MAX_TEXT_CHARS = 1_048_576

_T = TypeVar("_T")


def drawn(given: Iterable[_T], due: int) -> list[_T]:
    """Return what was given, and of more than is due one more: a generator may have no end."""
    return list(islice(given, due + 1))


def count_in_words(made: Sequence[object], due: int) -> str:
    """Return how many outcomes were `drawn`."""
    return str(len(made)) if len(made) <= due else f"more than {due}"


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a text. Raises ValueError for a score or a label that no result can hold."""

    label: str
    #: Probability of the label, from 0 to 1.
    score: float = 1.0
    #: Each class's probability, where the function knows them.
    probabilities: Mapping[str, float] | None = None
    #: Share of the text's words that the model does not know, from 0 to 1.
    unknown_share: float = 0.0

    def __post_init__(self) -> None:
        """Check what a type checker does not, in the function that made it."""
        if not isinstance(self.label, str) or not 1 <= len(self.label) <= MAX_LABEL_CHARS:
            raise ValueError(
                f"the label is {self.label!r:.80}; allowed: a text of 1 to {MAX_LABEL_CHARS} "
                "characters"
            )
        if any("\ud800" <= character <= "\udfff" for character in self.label):
            raise ValueError(f"the label is {self.label!r:.80}, which has a lone surrogate")
        shares = {"score": self.score, "unknown_share": self.unknown_share}
        for name, share in (shares | dict(self.probabilities or {})).items():
            if not (math.isfinite(share) and 0.0 <= share <= 1.0):
                raise ValueError(f"{name!r} of the label is {share!r:.80}; allowed: 0.0 to 1.0")


class BadItem(ValueError):
    """Raised for a text that has no outcome, with the reason; returned in a list of outcomes."""


def refusal_of(item: WorkItem) -> ItemError | None:
    """Return why no function gets a text, which is no Unicode text; None for one that is."""
    if item.text.isascii():
        return None
    try:
        item.text.encode()
    except UnicodeEncodeError as error:
        return ItemError(
            code=ItemErrorCode.DECODE_ERROR,
            message=f"Character {error.start} of the text is a lone surrogate, which is no "
            "character. Send valid text.",
        )
    return None


def bad_item(error: BadItem) -> ItemError:
    """Return the outcome of a text that the function has refused."""
    message = str(error) or "The model has no outcome for this text."
    return ItemError(code=ItemErrorCode.INVALID_INPUT, message=wire_text(message))


def classification(value: object, where: str, *, is_truncated: bool) -> Classification:
    """Return a label as the contract has it. Raises PluginFault for anything else."""
    try:
        made = Label(value) if isinstance(value, str) else value
    except ValueError as error:
        raise PluginFault(f"{where} gave a label that none can be: {error}.") from None
    if not isinstance(made, Label):
        raise PluginFault(f"{where} gave {value!r:.80}. A classifier gives a Label, or a str.")
    shares = made.probabilities
    return Classification(
        label=made.label,
        # NumPy's numbers are floats to a type checker, and none to JSON.
        score=float(made.score),
        truncated=is_truncated,
        unknown_share=float(made.unknown_share),
        probabilities=(
            None if shares is None else {str(name): float(one) for name, one in shares.items()}
        ),
    )


def output(value: object, kind: type[BaseModel], where: str) -> BaseModel:
    """Return the output of a task of the plugin's own. Raises PluginFault for anything else."""
    if kind is Text and isinstance(value, str):
        return Text(text=text(value, where))
    if not isinstance(value, kind):
        raise PluginFault(f"{where} gave {value!r:.80}. It states that it gives {kind.__name__}.")
    return value


def text(value: object, where: str) -> str:
    """Return a text that was written. Raises PluginFault for anything else, and for a long one."""
    if not isinstance(value, str):
        raise PluginFault(f"{where} gave {value!r:.80}. It gives a str, or yields parts of one.")
    check_length(len(value), where)
    return value


def check_length(chars: int, where: str) -> None:
    """Raise PluginFault where so many characters were written that no result can hold them."""
    if chars > MAX_TEXT_CHARS:
        raise PluginFault(
            f"{where} wrote {chars:,} characters; allowed: {MAX_TEXT_CHARS:,}. Give it a "
            "parameter `length`, which a text is cut to."
        )
