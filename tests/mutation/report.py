"""Tables of verdicts, by area and by kind of mistake, and the places that nobody noticed."""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mutation.run import Outcome, Verdict

_FOUND = (Outcome.CAUGHT, Outcome.TIMED_OUT)

#: What was looked at: (path, before, after) -> why it needs no test.
Accepted = dict[tuple[str, str, str], str]


def read_accepted(file: Path) -> Accepted:
    """Return the survivors that were looked at and left, with the reason."""
    if not file.exists():
        return {}
    rows = tomllib.loads(file.read_text(encoding="utf-8")).get("place", [])
    return {(row["path"], row["before"], row["after"]): row["reason"] for row in rows}


def show(verdicts: Sequence[Verdict], accepted: Accepted) -> str:
    """Return the report as text."""
    valid = [verdict for verdict in verdicts if verdict.outcome is not Outcome.INVALID]
    left = [verdict for verdict in valid if verdict.outcome not in _FOUND]
    lines = [
        *_table("area", valid, accepted, _language),
        "",
        *_table("mistake", valid, accepted, lambda verdict: verdict.rule),
        "",
        f"{len(verdicts) - len(valid)} were no program and do not count.",
    ]
    for verdict in left:
        reason = accepted.get(_key(verdict), "")
        note = reason or (f"perhaps: {verdict.doubt}" if verdict.doubt else "")
        lines += [
            "",
            f"{verdict.path}:{verdict.line} {verdict.outcome} ({verdict.rule}; "
            f"{verdict.ran} of {verdict.related} tests){' - ' + note if note else ''}",
            f"  - {verdict.before}",
            f"  + {verdict.after}",
        ]
    return "\n".join(lines)


def _language(verdict: Verdict) -> str:
    return f"{verdict.area}, Lua" if verdict.path.endswith(".lua") else verdict.area


def _key(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.path, verdict.before, verdict.after


def _table(
    title: str,
    verdicts: Sequence[Verdict],
    accepted: Accepted,
    key: Callable[[Verdict], str],
) -> Iterable[str]:
    head = f"{title:24} places  caught  timed out  survived  unreached  accepted  share caught"
    rows = [head]
    for name in [*sorted({key(verdict) for verdict in verdicts}), "all"]:
        some = [one for one in verdicts if name in ("all", key(one))]
        outcomes = Counter(one.outcome for one in some)
        looked_at = sum(one.outcome not in _FOUND and _key(one) in accepted for one in some)
        found = sum(outcomes[outcome] for outcome in _FOUND)
        share = f"{found / len(some):.0%}" if some else "-"
        rows.append(
            f"{name:24} {len(some):6}  {outcomes[Outcome.CAUGHT]:6}  "
            f"{outcomes[Outcome.TIMED_OUT]:9}  {outcomes[Outcome.SURVIVED]:8}  "
            f"{outcomes[Outcome.UNREACHED]:9}  {looked_at:8}  {share:>12}"
        )
    return rows
