"""Finds stop texts in a text that is still being written.

Of several stop texts the one counts whose last character comes first, of those with the same last
character the one that begins first: as if each had been looked for after every character. Pure;
used by `drafts`.
"""

from collections.abc import Sequence


class StopTexts:
    """Up to a few short texts, none of them empty; or none at all."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(texts)
        self._longest = max(map(len, texts), default=0)
        #: All beginnings of stop texts but the whole ones.
        self._beginnings = {text[:length] for text in texts for length in range(1, len(text))}

    def find(self, text: str, searched: int) -> int | None:
        """Where the first stop text begins; None when there is none.

        None ends within the first `searched` characters, as an earlier search has shown.
        """
        since = max(0, searched - self._longest + 1)
        found = []
        for stop in self._texts:
            place = text.find(stop, since)
            if place >= 0:
                found.append((place + len(stop), place))
        return min(found)[1] if found else None

    def held(self, text: str) -> int:
        """Characters at the end of a text that may turn out to begin a stop text."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if text[-length:] in self._beginnings:
                return length
        return 0
