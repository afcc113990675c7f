"""Shows a chain to a person: the transitions of one state, or the most frequent states.

Tables only, no output. Called by the model's description (`seqd_markov.Markov`).
"""

import numpy as np

from seqd.errors import InvalidInput
from seqd.hookspecs import Inspection
from seqd_markov.chain import Chain

#: Rows of the overview.
_OVERVIEW_STATES = 20

#: Characters that a message lists at most.
_LISTED_CHARACTERS = 100

#: How a character that a shell does not easily pass on may be written.
_WRITTEN = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "space": " "}


def overview(chain: Chain) -> Inspection:
    """The most frequent states, each with its most probable successor."""
    order = np.argsort(-chain.character_counts, kind="stable")[:_OVERVIEW_STATES]
    return Inspection(
        title=f"The {len(order)} most frequent of {len(chain.alphabet)} states; "
        f"{len(chain.counts):,} transitions are known",
        columns=("state", "occurrences", "successors", "most probable", "probability"),
        rows=tuple(_overview_row(chain, int(state)) for state in order),
    )


def transitions(chain: Chain, focus: str) -> Inspection:
    """All transitions out of the state `focus`, the most probable first.

    `focus` is one character, or one of the words \\n, \\r, \\t and space. Raises InvalidInput,
    which lists the known ones.
    """
    character = _WRITTEN.get(focus, focus)
    state = chain.state_of(character) if len(character) == 1 else None
    if state is None:
        raise InvalidInput(
            f"No state {focus!r}. The chain knows {len(chain.alphabet)} characters: "
            f"{listed(chain.alphabet)}. Name one of them; \\n, \\r, \\t and space may be "
            "written so."
        )
    places = _places(chain, state)
    return Inspection(
        title=f"After {character!r}: {len(places)} successors in "
        f"{int(chain.totals[state]):,} transitions",
        columns=("successor", "count", "probability"),
        rows=tuple(
            (
                repr(chain.alphabet[chain.successors[place]]),
                int(chain.counts[place]),
                float(chain.probabilities[place]),
            )
            for place in places
        ),
    )


def listed(characters: str) -> str:
    """Name characters in a message, quoted, and no more than a reader takes in."""
    shown = " ".join(repr(character) for character in characters[:_LISTED_CHARACTERS])
    more = len(characters) - _LISTED_CHARACTERS
    return shown if more <= 0 else f"{shown} and {more:,} more"


def _overview_row(chain: Chain, state: int) -> tuple[str | float | int, ...]:
    places = _places(chain, state)
    occurrences = int(chain.character_counts[state])
    if not len(places):
        return repr(chain.alphabet[state]), occurrences, 0, "", 0.0
    best = places[0]
    return (
        repr(chain.alphabet[state]),
        occurrences,
        len(places),
        repr(chain.alphabet[chain.successors[best]]),
        float(chain.probabilities[best]),
    )


def _places(chain: Chain, state: int) -> list[int]:
    """Places of the state's transitions, the most frequent first, of equals in code order."""
    first, last = (int(place) for place in chain.row_starts[state : state + 2])
    return [int(first + n) for n in np.argsort(-chain.counts[first:last], kind="stable")]
