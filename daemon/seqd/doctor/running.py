"""Runs checks one after the other, and notes what could not be looked at and why."""

from collections.abc import Iterable

from redis.exceptions import RedisError, ResponseError

from seqd.doctor.findings import Check, NotChecked, Report, Unchecked, sentence
from seqd.errors import (
    RedisNoPermission,
    RedisUnreachable,
    SeqdError,
)
from seqd.ledger.denials import denial_of


def run_checks(checks: Iterable[Check]) -> Report:
    """Return what the checks find; one that cannot look is noted, and the others go on.

    Once Redis has gone away none of the rest waits for it again.
    """
    report, gone = Report(), ""
    for check in checks:
        why = gone
        if not why:
            try:
                # One by one: what is found before it fails counts.
                for found in check.run():
                    report.findings.append(found)
            except RedisUnreachable as error:
                why = gone = f"Redis went away meanwhile: {error}"
            except (NotChecked, SeqdError, RedisError, OSError) as error:
                why = reason_of(error)
        if why:
            report.not_checked.append(Unchecked(check.name, sentence(why).rstrip(".")))
        else:
            report.checked.append(check.name)
    return report


def reason_of(error: Exception) -> str:
    """Return why something could not be done, such as `the user lacks +info`."""
    denial = denial_of(error.__cause__ if isinstance(error, RedisNoPermission) else error)  # type: ignore[arg-type]
    if denial is not None:
        if denial.is_of_key:
            return f"the user may not use the key {denial.key or 'of it'}"
        return f"the user lacks +{denial.command or 'a command'}"
    if isinstance(error, ResponseError) and "unknown command" in str(error).lower():
        return f"the server does not know the command ({str(error).partition(', with args')[0]})"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
