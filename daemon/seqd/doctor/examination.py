"""`examine` looks at everything: at Redis and the fleet, and at this machine beside that.

Without Redis the machine is examined all the same.
"""

from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Final

from seqd.doctor.devices import device_checks
from seqd.doctor.findings import Finding, Report, Unchecked
from seqd.doctor.fleet import fleet_checks
from seqd.doctor.machine import machine_checks, plugin_checks
from seqd.doctor.redis import redis_checks
from seqd.doctor.server import Running, Server, open_server, run_checks
from seqd.doctor.store import store_checks

if TYPE_CHECKING:
    from seqd.ledger.acl import Role
    from seqd.settings import Settings


#: Seconds after which what hangs is not waited for any more, but for reading all bytes of a store.
_LONGEST_S: Final = 50.0
_LONGEST_DEEP_S: Final = 3_600.0


def examine(settings: "Settings", *, deep: bool = False, role: "Role | None" = None) -> Report:
    """Return what is wrong with Redis, the fleet and this machine, the worst first.

    With `deep` all bytes of all stored versions are read. `role` is whose rights the user of Redis
    must have; None stands for those of any.
    Raises nothing for what is wrong: also a Redis that does not answer is a finding.
    """
    until_s = monotonic() + (_LONGEST_DEEP_S if deep else _LONGEST_S)
    # What takes seconds begins at once: processes that load plugins, or compute on GPUs.
    here = [
        Running(checks)
        for checks in (
            plugin_checks(settings),
            device_checks(settings),
            store_checks(settings, deep=deep),
            machine_checks(settings),
        )
    ]
    opened = open_server(settings)
    report = Report()
    with opened.redis if isinstance(opened, Server) else nullcontext():
        of_redis, of_fleet = _of_redis(opened, role)
    report.add(of_redis)
    # A disk that is full is why a route is not served, so it stands above that.
    for running in here:
        report.add(running.report(until_s))
    report.add(of_fleet)
    return report


def _of_redis(opened: Server | Finding, role: "Role | None") -> tuple[Report, Report]:
    """Return what is found of the server, and of the fleet."""
    if isinstance(opened, Finding):
        why = "Redis does not answer"
        skipped = [Unchecked("Redis", why), Unchecked("the fleet", why)]
        return (
            Report(findings=[opened], checked=["redis connection"], not_checked=skipped),
            Report(),
        )
    report = Report(checked=["redis connection"])
    report.add(run_checks(redis_checks(opened, role)))
    return report, run_checks(fleet_checks(opened))
