"""Finds stop texts in a text that is still being written, and holds back what may begin one.

Of several stop texts the one counts whose last character comes first, of those with the same last
character the one that begins first: as if each had been looked for after every character. So it
does not matter in what pieces a text comes. Pure; used by `samples`.
"""

from collections.abc import Sequence


class StopTexts:
    """A few short texts, none of them empty; or none at all."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._longest = max(map(len, texts), default=0)
        #: All beginnings of stop texts but the whole ones.
        self._beginnings = {text[:length] for text in texts for length in range(1, len(text))}

    def find(self, text: str) -> int | None:
        """Where the first stop text begins, None where there is none."""
        places = ((text.find(stop), len(stop)) for stop in self.texts)
        found = [(place + length, place) for place, length in places if place >= 0]
        return min(found)[1] if found else None

    def held(self, text: str) -> int:
        """Count the characters at the end of a text that may turn out to begin a stop text."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            if text[-length:] in self._beginnings:
                return length
        return 0


class HeldBack:
    """One text as it is let out: never a character of a stop text."""

    def __init__(self, stops: StopTexts) -> None:
        self._stops = stops
        self._waiting = ""
        #: True once a stop text came; nothing comes out after it.
        self.is_stopped = False

    def add(self, text: str) -> str:
        """Take what was written next, and give what is certain now."""
        if self.is_stopped or not self._stops.texts:
            return "" if self.is_stopped else text
        self._waiting += text
        place = self._stops.find(self._waiting)
        if place is not None:
            self.is_stopped = True
            return self._waiting[:place]
        certain = len(self._waiting) - self._stops.held(self._waiting)
        out, self._waiting = self._waiting[:certain], self._waiting[certain:]
        return out

    def rest(self) -> str:
        """Give what was held back, now that nothing more comes."""
        return "" if self.is_stopped else self._waiting
