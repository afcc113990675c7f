"""A table of verdicts by area, and the places that nobody noticed."""

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from mutation.run import FOUND, Outcome, Verdict

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
    left = [verdict for verdict in valid if verdict.outcome not in FOUND]
    lines = [
        *_table(valid, accepted),
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


def _key(verdict: Verdict) -> tuple[str, str, str]:
    return verdict.path, verdict.before, verdict.after


def _table(verdicts: Sequence[Verdict], accepted: Accepted) -> Iterable[str]:
    """Yield a table in Markdown; `accepted` counts those of the others that need no test."""
    yield "| area | places | found | share | unreached | accepted |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name in [*dict.fromkeys(verdict.area for verdict in verdicts), "all"]:
        some = [one for one in verdicts if name in ("all", one.area)]
        left = [one for one in some if one.outcome not in FOUND]
        found = len(some) - len(left)
        unreached = sum(one.outcome is Outcome.UNREACHED for one in left)
        looked_at = sum(_key(one) in accepted for one in left)
        share = f"{found / len(some):.0%}" if some else "-"
        yield f"| {name} | {len(some)} | {found} | {share} | {unreached} | {looked_at} |"
