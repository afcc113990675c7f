"""Tables that show a version to people: the successors of a context, or the frequent symbols."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqd.errors import InvalidInput
from seqd.hookspecs import Distribution, Inspection
from seqd_markov.data import CharacterTokenizer, Ids, WordTokenizer, without_spaces
from seqd_markov.model import Version
from seqd_markov.ngrams.model import NgramModel
from seqd_markov.ngrams.smoothing import Smoothing

if TYPE_CHECKING:
    from seqd_modelkit.mixing.model import Mixture

#: Rows of the overview, and of the successors of a context at most.
_OVERVIEW_STATES, _SUCCESSORS = 20, 100

#: Symbols that a message lists at most.
_LISTED = 100

#: Characters that are hard to type in a shell, by how they may be written.
_ESCAPES = {"\\n": "\n", "\\r": "\r", "\\t": "\t"}


def overview(version: Version) -> Inspection:
    """Return the most frequent symbols, each with its most probable successor."""
    model, tokenizer = version.model, version.tokenizer
    if not isinstance(model, NgramModel):
        return _predictions(version, model, "")
    first, last = (int(arc) for arc in model.arcs.starts[:2])
    frequent = np.argsort(-model.arcs.counts[first:last], kind="stable")
    rows = [_overview_row(version, int(arc)) for arc in frequent[:_OVERVIEW_STATES]]
    return Inspection(
        title=f"The {len(rows)} most frequent of {tokenizer.symbols:,} {version.config.level}; "
        f"{model.states - 1:,} contexts of up to {model.order} are known, and "
        f"{model.ngrams[-1]:,} sequences of {model.order + 1}",
        columns=("state", "occurrences", "successors", "most probable", "probability"),
        rows=tuple(rows),
    )


def transitions(version: Version, focus: str) -> Inspection:
    """Return the successors of the context `focus`, the most frequent first.

    `focus` is a text of one or more characters or words. Of an unknown context the longest known
    suffix is shown. `probability` is the relative frequency, and `smoothed` the model's probability
    where it knows no longer context. Raises InvalidInput, which lists the known symbols, where the
    last symbol is unknown.
    """
    model, ids = version.model, _ids_of(version, focus)
    if not isinstance(model, NgramModel):
        return _predictions(version, model, focus)
    state = model.state_after(ids)
    if not state:
        raise InvalidInput(_unknown(version, focus))
    successors = _successors_of(version, state)
    rows = [
        (successor.name, successor.count, successor.share, successor.smoothed)
        for successor in successors[:_SUCCESSORS]
    ]
    shown = f"the {len(rows)} most frequent of " if len(rows) < len(successors) else ""
    total = sum(successor.count for successor in successors)
    # Kneser-Ney's lower orders serve longer contexts that were never seen.
    is_lower = model.smoothing is Smoothing.KNESER_NEY and len(model.context(state)) < model.order
    is_plain = model.smoothing is Smoothing.NONE or is_lower
    columns = ("successor", "count", "probability", "smoothed")
    return Inspection(
        title=f"After {_where(version, ids, state)}: {shown}{len(successors):,} successors in "
        f"{total:,} transitions",
        columns=columns[:3] if is_plain else columns,
        rows=tuple(row[:3] if is_plain else row for row in rows),
        distribution=Distribution(names="successor", shares="probability"),
    )


def _predictions(version: Version, mixture: "Mixture", focus: str) -> Inspection:
    """Return what may follow a text, by a version that mixes contexts."""
    chances = mixture.probabilities(mixture.state_after(_ids_of(version, focus)))
    best = np.argsort(-chances, kind="stable")[:_SUCCESSORS]
    return Inspection(
        title=f"After {focus or 'nothing'!r}: the {len(best)} most probable of "
        f"{len(chances):,} characters",
        columns=("successor", "probability"),
        rows=tuple((version.tokenizer.shown(int(at)), float(chances[at])) for at in best),
        distribution=Distribution(names="successor", shares="probability"),
    )


def listed(symbols: Sequence[str]) -> str:
    """Return the first symbols for a message, quoted, and how many more there are."""
    shown = " ".join(map(repr, symbols[:_LISTED]))
    more = len(symbols) - _LISTED
    return shown if more <= 0 else f"{shown} and {more:,} more"


@dataclass(frozen=True)
class _Successor:
    """A symbol that was counted after a context."""

    name: str
    count: float | int
    share: float
    smoothed: float


def _overview_row(version: Version, arc: int) -> tuple[str | float | int, ...]:
    name = version.tokenizer.shown(int(version.chain.arcs.symbols[arc]))
    successors = _successors_of(version, arc + 1)
    best = (successors[0].name, successors[0].share) if successors else ("", 0.0)
    return name, _whole(version.chain.arcs.counts[arc]), len(successors), *best


def _successors_of(version: Version, state: int) -> list[_Successor]:
    """Return the successors of a state, the most frequent first, equals by id."""
    model = version.chain
    arcs = slice(int(model.arcs.starts[state]), int(model.arcs.starts[state + 1]))
    symbols, counts = model.arcs.symbols[arcs], model.arcs.counts[arcs].astype(np.float64)
    shares = counts / counts.sum()
    smoothed = model.probabilities(np.array([state]))[0][symbols]
    return [
        _Successor(
            version.tokenizer.shown(int(symbols[index])),
            _whole(counts[index]),
            float(shares[index]),
            float(smoothed[index]),
        )
        for index in np.argsort(-counts, kind="stable")
    ]


def _ids_of(version: Version, focus: str) -> Ids:
    """Return the ids of a focus, which may have escapes and <begin>."""
    tokenizer = version.tokenizer
    if focus == "<begin>" and tokenizer.begin is not None:
        return np.array([tokenizer.begin])
    if isinstance(tokenizer, CharacterTokenizer):
        if focus == "space":
            focus = " "
        for written, character in _ESCAPES.items():
            focus = focus.replace(written, character)
        return tokenizer.encode(focus)
    ids = tokenizer.encode(focus)
    if len(ids) == 1 and ids[0] < 0 and isinstance(tokenizer, WordTokenizer):
        # A mark keeps its spaces in the vocabulary: take its most frequent spelling.
        same = [
            symbol
            for symbol, word in enumerate(tokenizer.vocabulary)
            if without_spaces(word) == focus
        ]
        return np.array(same[:1] or [-1])
    return ids


def _where(version: Version, ids: Ids, state: int) -> str:
    """Return a context for people, and which part of the focus it is."""
    context = version.chain.context(state)
    shown = _quoted(version, context)
    looked_at = min(len(ids), version.chain.order)
    if len(context) < looked_at:
        return f"{shown or 'nothing'}, the longest known ending of {_quoted(version, ids)}"
    if looked_at < len(ids):
        return f"{shown}, the last {looked_at} {version.config.level} of {_quoted(version, ids)}"
    return shown


def _quoted(version: Version, ids: Ids) -> str:
    tokenizer = version.tokenizer
    unknown = int((ids < 0).sum())
    if len(ids) and ids[0] == tokenizer.begin:
        rest = _quoted(version, ids[1:])
        return f"<begin> {rest}".strip()
    if unknown:
        return " ".join(map(tokenizer.shown, ids.tolist()))
    return repr(tokenizer.decode(ids)) if len(ids) else ""


def _unknown(version: Version, focus: str) -> str:
    tokenizer = version.tokenizer
    if isinstance(tokenizer, CharacterTokenizer):
        known: Sequence[str] = tokenizer.vocabulary
        kind, help_ = "characters", "\\n, \\r, \\t and space may be written so."
    else:
        assert isinstance(tokenizer, WordTokenizer)
        known, kind = list(map(without_spaces, tokenizer.vocabulary)), "words"
        help_ = "Capital letters count, unless the version is lower-cased."
    return (
        f"No state {focus!r}. The chain knows {len(known):,} {kind}: {listed(known)}. End with one "
        f"of them; {help_}"
    )


def _whole(count: float) -> float | int:
    """Return a count as an integer, unless weights made it fractional."""
    return int(count) if float(count).is_integer() else float(count)
