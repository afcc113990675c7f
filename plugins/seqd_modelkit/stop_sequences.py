"""Finds stop sequences in a text that is still being generated.

Of several stop sequences the one counts whose last character comes first, and of those with the
same last character the one that begins first: as if each had been looked for after every character.
So the result does not depend on the text deltas that a text comes in.
"""

from collections.abc import Sequence


class StopSequences:
    """A few short texts, none of them empty; or none at all."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._longest = max(map(len, texts), default=0)
        #: All proper prefixes of the stop sequences.
        self._prefixes = {text[:length] for text in texts for length in range(1, len(text))}

    def find(self, text: str, searched: int = 0) -> int | None:
        """Return where the first stop sequence begins, None where there is none.

        `searched` characters at the beginning were searched before: no stop sequence ends there.
        """
        since = max(0, searched - self._longest + 1)
        places = ((text.find(stop, since), len(stop)) for stop in self.texts)
        found = [(place + length, place) for place, length in places if place >= 0]
        return min(found)[1] if found else None

    def held(self, text: str) -> int:
        """Return how many characters at the end of a text may turn out to begin a stop sequence."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if text[-length:] in self._prefixes:
                return length
        return 0


class StopSequenceFilter:
    """Passes one text on, delta by delta, up to its first stop sequence."""

    def __init__(self, stops: StopSequences) -> None:
        self._stops = stops
        self._held = ""
        #: True once a stop sequence came; nothing is passed on after it.
        self.is_stopped = False

    def add(self, text: str) -> str:
        """Take the next delta, and return what can no longer be part of a stop sequence."""
        if self.is_stopped or not self._stops.texts:
            return "" if self.is_stopped else text
        self._held += text
        place = self._stops.find(self._held)
        if place is not None:
            self.is_stopped = True
            return self._held[:place]
        certain = len(self._held) - self._stops.held(self._held)
        out, self._held = self._held[:certain], self._held[certain:]
        return out

    def rest(self) -> str:
        """Return what was held back, once the text has ended without a stop sequence."""
        return "" if self.is_stopped else self._held
