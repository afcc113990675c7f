"""The tutorial's way to a Markov chain: a dictionary of dictionaries, filled in plain Python."""

import time
from pathlib import Path


class Program:
    def __init__(self, text: str) -> None:
        self.text = Path(text).read_text(encoding="utf-8").lower()

    def run(self) -> float:
        """Count what follows each character; gives seconds."""
        began = time.perf_counter()
        self.counts()
        return time.perf_counter() - began

    def counts(self) -> dict[str, dict[str, int]]:
        chain: dict[str, dict[str, int]] = {}
        for place in range(len(self.text) - 1):
            state, follower = self.text[place], self.text[place + 1]
            if state not in chain:
                chain[state] = {}
            if follower not in chain[state]:
                chain[state][follower] = 0
            chain[state][follower] += 1
        return chain
