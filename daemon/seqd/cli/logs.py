"""`seqd logs`: what workers have logged of a job, from the logs of a host or of a shared folder."""

import json
import logging
import re
import socket
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import completion, options, readers
from seqd.cli.showing import shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import print_line_of_json
from seqd.errors import SeqdError, UnknownJob, UnknownWorker
from seqd.escaping import one_line
from seqd.ledger.outage import waiting_at_most
from seqd.local.log_search import FoundRecord, LogSearch, Wanted, where_logs_are
from seqd.masking import mask_passwords
from seqd.validation import did_you_mean
from seqd.views.numbers import counted
from seqd.wording import first_of

#: Seconds between two looks for new lines with --follow.
_FOLLOW_S = 0.3

#: Widest name of a log in front of its lines.
_MOST_WIDTH = 24

#: Workers that are named whose logs are elsewhere.
_MOST_WORKERS = 10

_LEVELS = ("debug", "info", "warning", "error", "critical")
_HOST = re.compile(r".+@(.+)-[0-9a-f]{6}")


@shown
def logs(
    job: Annotated[
        str | None,
        typer.Argument(help="Only lines on this job.", autocompletion=completion.jobs),
    ] = None,
    worker: Annotated[
        str | None,
        typer.Option("--worker", metavar="NAME", help="Only lines of this worker, or slot."),
    ] = None,
    level: Annotated[
        str,
        readers.typed(
            "--level",
            by=readers.one_of(*_LEVELS),
            help="Least level: debug, info, warning, error or critical.",
        ),
    ] = "debug",
    folder: Annotated[
        list[Path] | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Folder of logs, such as one that hosts share; may be given again. Default: "
            "SEQD_DATA_DIR/logs.",
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with new lines, until Ctrl-C.")
    ] = False,
    *,
    screen: Screen,
) -> None:
    """Print what workers have logged of a job, merged by time, each line with its log in front.

    Reads the logs that `seqd up` writes on this host, also those set aside, as text and as JSON.
    Says whose logs are elsewhere.
    """
    settings = options.read_settings()
    folders = folder or [settings.data_dir / "logs"]
    search = LogSearch(folders, Wanted(job, worker, getattr(logging, level.upper())))
    width = max((len(name) for name in search.sources), default=0)
    printer = _Printer(min(width, _MOST_WIDTH), screen)
    screen = Screen(to_stderr=True)
    found = printer(search.records())
    screen.say(_what_was_read(search, found), "dim")
    if worker is not None and job is None and not found and worker not in search.names:
        raise UnknownWorker(
            f"No log that was read is of a worker or slot {worker!r}."
            f"{did_you_mean(worker, search.names)} {_that_there_are(search.names)} "
            f"{where_logs_are(None)}"
        )
    missing = [] if job is None else _elsewhere(job, search, screen, has_found=found > 0)
    if missing or not search.files:
        screen.say(where_logs_are(job), "yellow")
    while follow:
        time.sleep(_FOLLOW_S)
        printer(search.new_records())


class _Printer:
    """Prints records, and returns how many there were."""

    def __init__(self, width: int, screen: Screen) -> None:
        self._width = width
        self._screen = screen

    def __call__(self, records: Iterator[FoundRecord]) -> int:
        count = 0
        for record in records:
            count += 1
            if self._screen.is_beside_json:
                print_line_of_json(_json_of(record))
                continue
            for line in _text_of(record):
                self._screen.say(mask_passwords(f"{record.source:<{self._width}}  {line}"))
        return count


def _text_of(record: FoundRecord) -> list[str]:
    """Return the lines of a record, as a log in text has them."""
    about = " ".join(
        f"{name}={','.join(value) if isinstance(value, list) else value}"
        for name, value in record.fields.items()
        if name in ("job", "jobs", "unit", "model", "trace") and f"{name}=" not in record.message
    )
    at = _time_of(record.at_s) if record.at_s else "-"
    first = " ".join(filter(None, (at, record.level, record.logger, record.message, about)))
    return [one_line(first), *(one_line(line) for line in record.lines)]


def _json_of(record: FoundRecord) -> str:
    at = datetime.fromtimestamp(record.at_s)
    fields: dict[str, object] = {
        "at": at.astimezone().isoformat("T", "milliseconds") if record.at_s else None,
        "level": record.level,
        "logger": record.logger,
        "message": mask_passwords(record.message),
        "log": record.source,
        "worker": record.worker,
        "slot": record.slot,
        **{name: _masked(value) for name, value in record.fields.items()},
    }
    if record.lines:
        fields["exception"] = [mask_passwords(line.removeprefix("  ")) for line in record.lines]
    return json.dumps(fields, ensure_ascii=False)


def _masked(value: object) -> object:
    """Return a field of a line without passwords: a text, a list of texts, or a number."""
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return mask_passwords(value) if isinstance(value, str) else value


def _time_of(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).isoformat(" ", "milliseconds").replace(".", ",")


def _what_was_read(search: LogSearch, found: int) -> str:
    folders = ", ".join(map(str, search.folders))
    return (
        f"{counted(found, 'record')}. Read: {counted(search.files, 'file')} of "
        f"{counted(len(search.sources), 'log')} in {folders}."
    )


def _that_there_are(names: Iterable[str]) -> str:
    return f"There are: {first_of(sorted(names), _MOST_WORKERS) or 'none'}."


def _elsewhere(job: str, search: LogSearch, screen: Screen, *, has_found: bool) -> list[str]:
    """Return the workers of a job that have their log elsewhere, and say who they are.

    Raises UnknownJob for one that is neither in Redis nor in a log.
    """
    try:
        workers = _workers_of(job)
    except UnknownJob as error:
        if not has_found:
            raise UnknownJob(
                f"{error} Lines of a worker: seqd logs --worker NAME. "
                f"{_that_there_are(search.sources)}"
            ) from None
        screen.say(f"Which workers had the job is not known: {error}", "yellow")
        return []
    except SeqdError as error:
        screen.say(f"Which workers had the job is not known: {error}", "yellow")
        return []
    here, is_any_read = socket.gethostname(), bool(search.files)
    missing = [
        name
        for name in workers
        if name not in search.workers and not (is_any_read and host_of(name) == here)
    ]
    if missing:
        screen.say(f"Not in these logs: {first_of(missing, _MOST_WORKERS)}.", "yellow")
    return missing


def _workers_of(job: str) -> list[str]:
    """Return the workers that have units of a job in hand, had its first, or released some."""
    # Logs are read when Redis is away, too, and what they hold is printed by now.
    with waiting_at_most(0), options.open_client() as client:
        activity = client.job(job).activity()
        found = client.explain(job)
    names = [*activity.workers, *(one.released_by for one in found.tried_again)]
    return sorted({name for name in (*names, activity.first_worker) if name})


def host_of(worker: str) -> str | None:
    """Return the host of a worker by its name, `SLOT@HOST-NONCE`; None of any other name."""
    found = _HOST.fullmatch(worker)
    return None if found is None else found[1]
