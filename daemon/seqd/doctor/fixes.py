"""What `seqd doctor --fix` does: it removes what nobody needs, and says so.

It touches no job and no result, ends no process, changes no setting of Redis, and lifts nothing
that an operator has set.
"""

from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from seqd.doctor.files import IsOpen, stale_files
from seqd.doctor.findings import Report, counted, listed, sentence
from seqd.doctor.running import reason_of
from seqd.errors import SeqdError

if TYPE_CHECKING:
    from seqd.doctor.server import Server
    from seqd.settings import Settings

_DAY_MS = 24 * 3_600 * 1_000


def fix(settings: "Settings", server: "Server | None", is_open: IsOpen) -> Report:
    """Remove stale files of this machine, and stale names of workers; return what was done."""
    report = Report()
    for stale in stale_files(settings, is_open):
        names = listed([path.name for path in stale.paths])
        try:
            stale.remove()
        except OSError as error:
            report.not_fixed.append(sentence(f"{stale.what} are still there: {reason_of(error)}"))
        else:
            report.fixed.append(sentence(f"Removed {stale.what}: {names}"))
    if server is not None:
        try:
            _forget_names(server, report)
        except (SeqdError, RedisError) as error:
            report.not_fixed.append(
                sentence(f"Names of workers that are gone are still in Redis: {reason_of(error)}")
            )
    return report


def _forget_names(server: "Server", report: Report) -> None:
    fleet = server.ledger.fleet
    now_ms = fleet.now_ms()
    stale = [name for name, seen in fleet.silent_workers().items() if now_ms - seen > _DAY_MS]
    if stale:
        server.ledger.audit.note("doctor.fix", details={"names": len(stale)})
        fleet.prune()
        report.fixed.append(
            sentence(
                f"Removed {counted(len(stale), 'name')} of workers that are gone: {listed(stale)}"
            )
        )
