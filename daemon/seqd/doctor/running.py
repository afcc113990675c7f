"""Runs checks one after the other, and notes what could not be looked at and why.

Those of this machine run beside the others, in a thread that may hang: a share that is away holds
up whoever looks at it for ever.
"""

from collections.abc import Iterable
from threading import Thread
from time import monotonic

from redis.exceptions import RedisError, ResponseError

from seqd.doctor.findings import Check, NotChecked, Report, Unchecked, sentence
from seqd.errors import (
    RedisNoPermission,
    RedisUnreachable,
    SeqdError,
)
from seqd.ledger.denials import denial_of


class Running:
    """Checks that run by themselves, from now on."""

    def __init__(self, checks: Iterable[Check]) -> None:
        self._checks = list(checks)
        self._report = Report()
        self._thread = Thread(target=self._run, name="seqd-doctor", daemon=True)
        self._thread.start()

    def report(self, until_s: float) -> Report:
        """Return what they find; of those that have not ended by then (monotonic), that they hang.

        What they find later is lost.
        """
        self._thread.join(max(0.0, until_s - monotonic()))
        found = Report()
        found.add(self._report)
        looked_at = {*found.checked, *(one.what for one in found.not_checked)}
        why = "it took too long: a disk, a driver or a plugin hangs"
        found.not_checked += [
            Unchecked(one.name, why) for one in self._checks if one.name not in looked_at
        ]
        return found

    def _run(self) -> None:
        run_checks(self._checks, self._report)


def run_checks(checks: Iterable[Check], report: Report | None = None) -> Report:
    """Return what the checks find; one that cannot look is noted, and the others go on.

    It is added to `report` where that is given. Once Redis has gone away none of the rest waits for
    it again.
    """
    report = Report() if report is None else report
    gone = ""
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
    denial = denial_of(error.__context__ if isinstance(error, RedisNoPermission) else error)  # type: ignore[arg-type]
    if denial is not None:
        if denial.is_of_key:
            return f"the user may not use the key {denial.key or 'of it'}"
        return f"the user lacks +{denial.command or 'a command'}"
    if isinstance(error, ResponseError) and "unknown command" in str(error).lower():
        return f"the server does not know the command ({str(error).partition(', with args')[0]})"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__
