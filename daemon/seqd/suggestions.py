"""The two phrases that an error message about a wrong name needs: what there is, what was meant.

Pure text. Called by everything that looks a name up for a caller: models, plugins, parameters,
presets, versions.
"""

from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Join names for a sentence, sorted; `none` when there are none."""
    return ", ".join(sorted(names)) or "none"


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Give ` Did you mean 'x'?` with a leading space, or nothing when no name is close.

    A `prefix` that all of them have makes none of them closer.
    """
    import difflib  # 3 ms, paid only by a request that is wrong

    rests = sorted(other.removeprefix(prefix) for other in known)
    close = difflib.get_close_matches(name.removeprefix(prefix), rests, n=1, cutoff=0.6)
    return f" Did you mean {prefix + close[0]!r}?" if close else ""
