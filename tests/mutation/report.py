"""A table of verdicts by area, and the places that nobody noticed."""

from collections.abc import Iterable, Sequence

from mutation.run import FOUND, Outcome, Verdict


def show(verdicts: Sequence[Verdict]) -> str:
    """Return the report as text."""
    valid = [verdict for verdict in verdicts if verdict.outcome is not Outcome.INVALID]
    left = [verdict for verdict in valid if verdict.outcome not in FOUND]
    lines = [
        *_table(valid),
        "",
        f"{len(verdicts) - len(valid)} were no program and do not count.",
    ]
    for verdict in left:
        note = f" - perhaps: {verdict.doubt}" if verdict.doubt else ""
        lines += [
            "",
            f"{verdict.path}:{verdict.line} {verdict.outcome} ({verdict.rule}){note}",
            f"  - {verdict.before}",
            f"  + {verdict.after}",
        ]
    return "\n".join(lines)


def _table(verdicts: Sequence[Verdict]) -> Iterable[str]:
    """Yield a table in Markdown."""
    yield "| area | places | found | share |"
    yield "| --- | --- | --- | --- |"
    for name in [*dict.fromkeys(verdict.area for verdict in verdicts), "all"]:
        some = [one for one in verdicts if name in ("all", one.area)]
        found = sum(one.outcome in FOUND for one in some)
        share = f"{found / len(some):.0%}" if some else "-"
        yield f"| {name} | {len(some)} | {found} | {share} |"
