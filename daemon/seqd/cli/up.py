"""`seqd up` and `seqd worker`: run a Redis server with a worker on each slot, or one worker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli.exits import BAD_CONFIG, print_error
from seqd.cli.options import read_settings, tell_unknown_variables
from seqd.errors import InvalidSettings, LibraryMissing, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seqd.cli.fleet_log import FleetLog
    from seqd.local.redis_server import RunningServer
    from seqd.local.slots import Slot
    from seqd.settings import Settings


MAX_PORT = 65_535

#: Seconds that all plugins together may take to load; workers give their child as long.
PLUGINS_LOAD_S = 180.0

Serves = Annotated[
    str | None,
    typer.Option(
        "--serves",
        metavar="MODEL,…",
        help="Models to serve and keep in memory, such as topics,imdb_lstm; no others.",
    ),
]


def up(
    slots: Annotated[
        str | None,
        typer.Option("--slots", help="Slots, such as cpu:0,cpu:1,train@cpu or gpu:0. Or auto."),
    ] = None,
    redis_port: Annotated[
        int | None,
        typer.Option("--redis-port", help="Port of the server that is started; 0: a Unix socket."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Folder of models, jobs and logs, in place of the usual."),
    ] = None,
    serves: Serves = None,
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Serve HTTP, too: seqd gateway.")
    ] = False,
) -> None:
    """Start a Redis server, unless SEQD_REDIS_URL names one, and a worker on each slot.

    Ctrl-C or SIGTERM stops all of it in order; a second one at once.

    Jobs that had not ended go on at the next start.
    """
    # Absolute: the server and the workers run in other folders.
    folder = None if data_dir is None else data_dir.absolute()
    try:
        settings, parsed = _plan(slots, redis_port, folder, serves)
    except InvalidSettings as error:
        print_error(error)
        raise typer.Exit(BAD_CONFIG) from None
    _warn_of_limits()
    if gateway:
        _require_gateway()
    status = _run_all(settings, parsed, is_elsewhere=data_dir is not None, has_gateway=gateway)
    raise typer.Exit(status)


def worker(
    slot: Annotated[
        str,
        typer.Option(
            "--slot",
            help="What it works on: cpu:0 and gpu:0 serve, train@cpu trains, all@gpu:1 does both.",
        ),
    ] = "cpu:0",
    name: Annotated[
        str,
        typer.Option("--name", envvar="SEQD_WORKER", help="Its name. Without it one is made."),
    ] = "",
    serves: Serves = None,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C, on the Redis of SEQD_REDIS_URL or of `seqd up`."""
    try:
        tell_unknown_variables(refuses_slips=True)
        status = _run_worker(slot, name, serves)
    except UserError as error:
        # This status says to whoever restarts workers: do not. An absent Redis may come back.
        failed = print_error(error)
        status = failed if error.retryable else BAD_CONFIG
    raise typer.Exit(status)


def _plan(
    slots: str | None, redis_port: int | None, data_dir: Path | None, serves: str | None
) -> "tuple[Settings, Sequence[Slot]]":
    """Return what is to run. Raises InvalidSettings for what no restart can mend."""
    from seqd.local.pinning import slots_here
    from seqd.local.redis_address import check_redis_url

    tell_unknown_variables(refuses_slips=True)
    settings = read_settings(slots=slots, redis_port=redis_port, data_dir=data_dir, serves=serves)
    if settings.redis_url is not None:
        check_redis_url(settings.redis_url)
        if settings.redis_port:
            given = "SEQD_REDIS_PORT" if redis_port is None else "--redis-port"
            raise InvalidSettings(
                f"{given} is {settings.redis_port}, the port of a server to start, but "
                "SEQD_REDIS_URL names one that runs. Leave one of the two away"
            )
    slots_to_start = slots_here(settings.slots)
    last_port = settings.worker_metrics_port + len(slots_to_start) - 1
    if settings.worker_metrics_port and last_port > MAX_PORT:
        raise InvalidSettings(
            f"SEQD_WORKER_METRICS_PORT is {settings.worker_metrics_port}, and the last of "
            f"{len(slots_to_start)} slots would have port {last_port}; allowed: {MAX_PORT}"
        )
    check_required_plugins(settings)
    return settings, slots_to_start


def check_required_plugins(settings: "Settings", load_s: float = PLUGINS_LOAD_S) -> None:
    """Raise InvalidSettings, with each plugin's state and reason, where one is not ready.

    They are loaded in a process of their own: one that ends its process at its import must not end
    `seqd up`, and what a plugin keeps in memory would be kept for as long as that runs.
    """
    if not settings.required_plugins:
        return
    from seqd.models.apart import Ended, plugins_here

    here = plugins_here(settings, load_s)
    if not isinstance(here, Ended):
        if here.required:
            raise InvalidSettings(here.required)
        return
    named = f"SEQD_REQUIRED_PLUGINS is {', '.join(settings.required_plugins)}, and"
    if here.is_late:
        raise InvalidSettings(
            f"{named} the plugins here were not loaded within {load_s:g} s{here.stood}. "
            "`seqd plugins list` loads them too; SEQD_DISABLED_PLUGINS leaves one out."
        )
    raise InvalidSettings(
        f"{named} a plugin here ended the process that loads plugins, with {here.how}: "
        f"{here.last_line}"
    )


def _require_gateway() -> None:
    from importlib.util import find_spec

    if missing := next((name for name in ("fastapi", "uvicorn") if not find_spec(name)), None):
        error = LibraryMissing(
            f"--gateway needs {missing}, which is not installed: pip install 'seqd[gateway]'"
        )
        raise typer.Exit(print_error(error))


def _warn_of_limits() -> None:
    """Say before the start what the system will not let its processes have."""
    from seqd.doctor.machine import limit_checks
    from seqd.doctor.server import run_checks

    for found in run_checks(limit_checks()).findings:
        typer.echo(f"warning: {found.what} {found.why} {found.do}", err=True)


def _run_all(
    settings: "Settings", slots: "Sequence[Slot]", *, is_elsewhere: bool, has_gateway: bool
) -> int:
    from contextlib import nullcontext

    from seqd.cli.daemon import Daemon, watchdog_of
    from seqd.cli.fleet_log import FleetLog
    from seqd.local.gateway_process import GatewayProcess
    from seqd.local.redis_server import running_server

    with running_server(settings) as server:
        log = FleetLog(slots, settings.serves)
        watchdog = watchdog_of(server.embedded, log.show_server)
        gateway = GatewayProcess(settings, server.url, log.say) if has_gateway else None
        daemon = Daemon(
            settings,
            server.url,
            slots,
            log.show,
            watchdog=watchdog,
            on_look=log.show_troubles,
            periodic_task=gateway.look if gateway else lambda: None,
        )
        daemon.check_server()
        _greet(log, settings, server, is_elsewhere=is_elsewhere)
        if gateway is not None:
            log.say(f"Gateway  {settings.gateway_url}/v1")
            log.say(f"Console  {settings.gateway_url}/")
        with gateway or nullcontext():
            status = daemon.run()
    log.say("Stopped." if status == 0 else "No worker is left; see above.")
    return status


def _greet(
    log: "FleetLog", settings: "Settings", server: "RunningServer", *, is_elsewhere: bool
) -> None:
    from seqd.masking import without_password

    whose = "SEQD_REDIS_URL" if server.embedded is None else "embedded"
    also = (
        f", also on port {server.embedded.port}" if server.embedded and settings.redis_port else ""
    )
    log.say(f"Redis    {without_password(server.url)} ({whose}{also})")
    log.say(f"Data     {settings.data_dir}")
    log.say(f"Slots    {', '.join(slot.name for slot in log.slots)}")
    for line in _undone(log.slots):
        log.say(line)
    if is_elsewhere:
        log.say(f"Elsewhere, say: export SEQD_DATA_DIR={settings.data_dir}")


def _undone(slots: "Sequence[Slot]") -> list[str]:
    """Return a line for what no slot does: jobs of that kind wait for other workers."""
    from seqd.kinds import SERVED_TASKS, TRAIN
    from seqd.serving import slot_for

    names = [slot.name for slot in slots]
    lines = []
    for task, what in ((TRAIN, "trains"), (SERVED_TASKS[0], "serves models")):
        if not any(slot.does(task) for slot in slots):
            wanted = ",".join([*names, slot_for(task, names[0])])
            lines.append(f"No slot here {what}: `--slots {wanted}` has one that does.")
    return lines


def _run_worker(slot: str, name: str, serves: str | None) -> int:
    from seqd.local.endpoint import redis_url_of
    from seqd.local.pinning import pin_worker
    from seqd.local.slots import parse_slot
    from seqd.worker.celery_environment import remove_celery_variables

    remove_celery_variables()
    from seqd.settings import ROOTS
    from seqd.worker.node import run_node  # imports Celery

    settings = read_settings()
    pinned = pin_worker(parse_slot(slot), settings.device)
    # By hand, beside `seqd up`, it joins the embedded server, which only its own user can reach
    # and name files to.
    roots = {name: getattr(settings, name) for name in ROOTS}
    if settings.redis_url is None:
        roots = {name: (Path("/"),) if one is None else one for name, one in roots.items()}
    joined = {
        "slot": slot,
        "worker": name,
        "redis_url": redis_url_of(settings),
        "serves": serves,
    }
    return run_node(read_settings(**joined, **roots), pinned, name)
