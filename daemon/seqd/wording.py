"""Counts, lists and times in the words of a sentence."""

from collections.abc import Iterable


def counted(number: int, noun: str) -> str:
    """Return a count with its noun, such as `1 item` or `2 items`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def first_of(names: Iterable[str], most: int = 5) -> str:
    """Return names joined by commas, the first of them, and how many more there are."""
    every = list(names)
    rest = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest


def span(seconds: float) -> str:
    """Return a time span in words, such as `0.8 s`, `40 s`, `3 min` or `2 h 5 min`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(hours / 24)} d"
