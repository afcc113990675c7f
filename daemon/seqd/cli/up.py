"""`seqd up`: a Redis server where none is given, and a worker on each slot, until Ctrl-C.

Only shows what happens and connects the parts: `seqd.local` has the server, `seqd.local`
the workers. The demo runs the same `Daemon` with a display of its own.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli.options import read_settings, warn_of_unknown_variables
from seqd.errors import InvalidSettings

if TYPE_CHECKING:
    from seqd.cli.rendering.fleet_log import FleetLog
    from seqd.settings import Settings


def up(
    slots: Annotated[
        str | None,
        typer.Option("--slots", help="Slots, such as cpu:0,cpu:1,train@cpu or gpu:0. Or auto."),
    ] = None,
    redis_port: Annotated[
        int | None,
        typer.Option("--redis-port", help="Port of the server that is started; 0 is a free one."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Folder of models, jobs and logs, in place of the usual."),
    ] = None,
) -> None:
    """Start a Redis server, unless SEQD_REDIS_URL names one, and a worker on each slot.

    Ctrl-C or SIGTERM stops all of it in order; a second one at once.

    Jobs that had not ended go on at the next start.
    """
    warn_of_unknown_variables()
    # Absolute: the server and the workers run in other folders.
    folder = None if data_dir is None else data_dir.absolute()
    settings = read_settings(slots=slots, redis_port=redis_port, data_dir=folder)
    if redis_port is not None and settings.redis_url is not None:
        raise InvalidSettings(
            f"--redis-port is {redis_port}, the port of a server to start, but SEQD_REDIS_URL "
            "names one that runs. Leave one of the two away"
        )
    raise typer.Exit(_run(settings, is_elsewhere=data_dir is not None))


def _run(settings: "Settings", *, is_elsewhere: bool) -> int:
    from seqd.cli.daemon import Daemon
    from seqd.cli.rendering.fleet_log import FleetLog
    from seqd.local import running_server
    from seqd.local.slots import parse_slots

    slots = parse_slots(settings.slots)
    with running_server(settings) as url:
        log = FleetLog(slots)
        daemon = Daemon(settings, url, slots, log.show)
        daemon.check_server()
        _greet(log, settings, url, is_elsewhere=is_elsewhere)
        status = daemon.run()
    log.say("Stopped." if status == 0 else "No worker is left; see above.")
    return status


def _greet(log: "FleetLog", settings: "Settings", url: str, *, is_elsewhere: bool) -> None:
    from seqd.local import without_password

    whose = "embedded" if settings.redis_url is None else "SEQD_REDIS_URL"
    log.say(f"Redis    {without_password(url)} ({whose})")
    log.say(f"Data     {settings.data_dir}")
    log.say(f"Slots    {', '.join(slot.name for slot in log.slots)}")
    if is_elsewhere:
        log.say(f"Elsewhere, say: export SEQD_DATA_DIR={settings.data_dir}")
