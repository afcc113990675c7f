"""The tutorial's way to a chain: a dictionary of dictionaries, filled character by character.

Counts what follows each character and turns the counts into probabilities, in plain Python.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqd.bench.peers.protocol import serve

Chain = dict[str, dict[str, float]]


class PythonCounting:
    """The text."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Read the text."""
        self._text = Path(asked["text"]).read_text(encoding="utf-8").lower()
        return {"characters": len(self._text)}

    def run(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Count all of it, and then turn counts into probabilities; gives the seconds of both."""
        began = time.perf_counter()
        chain = self.counts()
        counted_s = time.perf_counter() - began
        for followers in chain.values():
            total = sum(followers.values())
            for follower in followers:
                followers[follower] /= total
        return {"seconds": counted_s, "whole_s": time.perf_counter() - began, "states": len(chain)}

    def counts(self) -> Chain:
        """Count what follows each character."""
        chain: Chain = {}
        for place in range(len(self._text) - 1):
            state, follower = self._text[place], self._text[place + 1]
            if state not in chain:
                chain[state] = {}
            if follower not in chain[state]:
                chain[state][follower] = 0
            chain[state][follower] += 1
        return chain


if __name__ == "__main__":
    peer = PythonCounting()
    serve({"prepare": peer.prepare, "run": peer.run})
