"""Shows a version to a person: what follows a context, or the most frequent symbols.

Tables only, no output. Called by the model's description (`seqd_markov.Markov`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqd.errors import InvalidInput
from seqd.hookspecs import Distribution, Inspection
from seqd_markov.artifact import Version
from seqd_markov.tokens import Characters, Ids, Words
from seqd_markov.words import core_of
from seqd_ngrams import Smoothing

#: Rows of the overview, and of what follows a context at most.
_OVERVIEW_STATES, _SUCCESSORS = 20, 100

#: Symbols that a message lists at most.
_LISTED = 100

#: How a character that a shell does not easily pass on may be written.
_WRITTEN = {"\\n": "\n", "\\r": "\r", "\\t": "\t"}


def overview(version: Version) -> Inspection:
    """The most frequent symbols, each with what most probably follows it."""
    model, tokens = version.model, version.tokens
    first, last = (int(place) for place in model.arcs.starts[:2])
    frequent = np.argsort(-model.arcs.counts[first:last], kind="stable")
    rows = [_overview_row(version, int(arc)) for arc in frequent[:_OVERVIEW_STATES]]
    return Inspection(
        title=f"The {len(rows)} most frequent of {tokens.symbols:,} {version.config.level}; "
        f"{model.states - 1:,} contexts of up to {model.order} are known, and "
        f"{model.ngrams[-1]:,} sequences of {model.order + 1}",
        columns=("state", "occurrences", "successors", "most probable", "probability"),
        rows=tuple(rows),
    )


def transitions(version: Version, focus: str) -> Inspection:
    """What follows the context `focus`, the most frequent first.

    `focus` is a text of one character or word, or of several. Of a context that is not known the
    longest ending that is known is shown. `probability` is the share of the transitions, and
    `smoothed` what the version draws by where it knows no longer context. Raises InvalidInput,
    which lists the known symbols, where not even the last one is known.
    """
    model, ids = version.model, _ids_of(version, focus)
    state = model.state_after(ids)
    if not state:
        raise InvalidInput(_unknown(version, focus))
    followers = _followers(version, state)
    rows = [
        (follower.name, follower.count, follower.share, follower.smoothed)
        for follower in followers[:_SUCCESSORS]
    ]
    shown = f"the {len(rows)} most frequent of " if len(rows) < len(followers) else ""
    total = sum(follower.count for follower in followers)
    # What Kneser-Ney gives a shorter context is for longer ones that were never seen.
    is_lower = model.smoothing is Smoothing.KNESER_NEY and len(model.context(state)) < model.order
    is_plain = model.smoothing is Smoothing.NONE or is_lower
    columns = ("successor", "count", "probability", "smoothed")
    return Inspection(
        title=f"After {_where(version, ids, state)}: {shown}{len(followers):,} successors in "
        f"{total:,} transitions",
        columns=columns[:3] if is_plain else columns,
        rows=tuple(row[:3] if is_plain else row for row in rows),
        distribution=Distribution(names="successor", shares="probability"),
    )


def listed(symbols: Sequence[str]) -> str:
    """Name symbols in a message, quoted, and no more than a reader takes in."""
    shown = " ".join(map(repr, symbols[:_LISTED]))
    more = len(symbols) - _LISTED
    return shown if more <= 0 else f"{shown} and {more:,} more"


@dataclass(frozen=True)
class _Follower:
    """A symbol that was seen to follow a context."""

    name: str
    count: float | int
    share: float
    smoothed: float


def _overview_row(version: Version, arc: int) -> tuple[str | float | int, ...]:
    name = version.tokens.shown(int(version.model.arcs.symbols[arc]))
    followers = _followers(version, arc + 1)
    best = (followers[0].name, followers[0].share) if followers else ("", 0.0)
    return name, _whole(version.model.arcs.counts[arc]), len(followers), *best


def _followers(version: Version, state: int) -> list[_Follower]:
    """All that was seen to follow, the most frequent first, of equals in the order of ids."""
    model = version.model
    arcs = slice(int(model.arcs.starts[state]), int(model.arcs.starts[state + 1]))
    symbols, counts = model.arcs.symbols[arcs], model.arcs.counts[arcs].astype(np.float64)
    shares = counts / counts.sum()
    smoothed = model.probabilities(np.array([state]))[0][symbols]
    return [
        _Follower(
            version.tokens.shown(int(symbols[place])),
            _whole(counts[place]),
            float(shares[place]),
            float(smoothed[place]),
        )
        for place in np.argsort(-counts, kind="stable")
    ]


def _ids_of(version: Version, focus: str) -> Ids:
    """The ids of a focus, with the names that a shell can pass on."""
    tokens = version.tokens
    if focus == "<begin>" and tokens.begin is not None:
        return np.array([tokens.begin])
    if isinstance(tokens, Characters):
        if focus == "space":
            focus = " "
        for written, character in _WRITTEN.items():
            focus = focus.replace(written, character)
        return tokens.encode(focus)
    ids = tokens.encode(focus)
    if len(ids) == 1 and ids[0] < 0 and isinstance(tokens, Words):
        # A mark alone has its spaces in the vocabulary: take its most frequent way.
        same = [place for place, token in enumerate(tokens.vocabulary) if core_of(token) == focus]
        return np.array(same[:1] or [-1])
    return ids


def _where(version: Version, ids: Ids, state: int) -> str:
    """Name a context, and say how much of what was asked for it is."""
    context = version.model.context(state)
    shown = _quoted(version, context)
    looked_at = min(len(ids), version.model.order)
    if len(context) < looked_at:
        return f"{shown or 'nothing'}, the longest known ending of {_quoted(version, ids)}"
    if looked_at < len(ids):
        return f"{shown}, the last {looked_at} {version.config.level} of {_quoted(version, ids)}"
    return shown


def _quoted(version: Version, ids: Ids) -> str:
    tokens = version.tokens
    unknown = int((ids < 0).sum())
    if len(ids) and ids[0] == tokens.begin:
        rest = _quoted(version, ids[1:])
        return f"<begin> {rest}".strip()
    if unknown:
        return " ".join(map(tokens.shown, ids.tolist()))
    return repr(tokens.decode(ids)) if len(ids) else ""


def _unknown(version: Version, focus: str) -> str:
    tokens = version.tokens
    if isinstance(tokens, Characters):
        known: Sequence[str] = tokens.alphabet
        kind, help_ = "characters", "\\n, \\r, \\t and space may be written so."
    else:
        assert isinstance(tokens, Words)
        known, kind = [core_of(token) for token in tokens.vocabulary], "words"
        help_ = "Capital letters count, unless the version is lower-cased."
    return (
        f"No state {focus!r}. The chain knows {len(known):,} {kind}: {listed(known)}. End with one "
        f"of them; {help_}"
    )


def _whole(count: float) -> float | int:
    """A count as a whole number, unless weights have made it something else."""
    return int(count) if float(count).is_integer() else float(count)
