"""`seqd probe`: whether a worker of this machine lives, or is ready.

It reads files and asks no Redis. `quick_answer` answers its plain forms at less cost.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from seqd.local.probes import Answer
    from seqd.local.run_files import RunFolder

app = typer.Typer(
    help="Probe a worker of this machine: exit 0 for yes, 1 for no. Asks no Redis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_Name = Annotated[
    str,
    typer.Option(
        "--name",
        envvar="SEQD_WORKER",
        help="Name of the worker. Without it all workers of this host are asked.",
    ),
]
_DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="SEQD_DATA_DIR", help="The worker's folder of data."),
]


@app.command()
@shown
def live(name: _Name = "", data_dir: _DataDir = None) -> Found:
    """Say whether the worker lives: it has given a sign of life within SEQD_LEASE_S.

    For a liveness probe: a worker that is not alive has to be started again.
    """
    from seqd.local.probes import liveness

    folder = _folder(data_dir)
    return _answered(
        "live", name, folder, lambda worker: liveness(folder, worker, _lease_s(folder, worker))
    )


@app.command()
@shown
def ready(
    name: _Name = "",
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            help="Models that must be warm, such as imdb_lstm,markov. Without it those of the "
            "worker's SEQD_REQUIRED_MODELS.",
        ),
    ] = None,
    data_dir: _DataDir = None,
) -> Found:
    """Say whether the worker takes work and has its models warm: loaded, and run once.

    For a readiness probe and a startup probe. It is no while a worker starts, drains, or has a
    sick device.
    """
    from seqd.local.probes import readiness

    asked = None if models is None else [one.strip() for one in models.split(",") if one.strip()]
    folder = _folder(data_dir)

    def ask(worker: str) -> "Answer":
        return readiness(folder, worker, _lease_s(folder, worker), asked)

    return _answered("ready", name, folder, ask)


def _folder(data_dir: Path | None) -> "RunFolder":
    from seqd.local.run_files import RunFolder

    return RunFolder(options.read_settings().data_dir if data_dir is None else data_dir)


def _lease_s(folder: "RunFolder", name: str) -> float:
    """Return by how much a heartbeat may be old: as the worker says, or else as the settings do."""
    from seqd.local.run_files import READINESS, read_readiness

    said = read_readiness(folder.file(name, READINESS))
    return options.read_settings().lease_s if said is None else said.lease_s


def _answered(probe: str, name: str, folder: "RunFolder", ask: "Callable[[str], Answer]") -> Found:
    from seqd.local.probes import all_of_host

    if name:
        answer = ask(name)
    else:
        answer = all_of_host(folder, lambda worker: _lease_s(folder, worker), ask)
    said = {"probe": probe, "worker": name or None, "ok": answer.is_yes, "reason": answer.sentence}
    return Found(
        said,
        lambda _: Screen(to_stderr=not answer.is_yes).say(answer.sentence),
        status=0 if answer.is_yes else 1,
    )
