"""`seqd probe`: whether a worker of this machine lives, or is ready.

It reads files and asks no Redis. `quick_answer` answers its plain forms at less cost.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.local.probes import Answer, all_of_host, liveness, readiness
from seqd.local.run_files import READINESS, RunFolder, read_readiness

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


@shown
def live(name: _Name = "", data_dir: _DataDir = None) -> Found:
    """Say whether the worker lives: it has given a sign of life within SEQD_LEASE_S.

    For a liveness probe: a worker that is not alive has to be started again.
    """
    folder = _folder(data_dir)
    return _answered(
        "live", name, folder, lambda worker: liveness(folder, worker, _lease_s(folder, worker))
    )


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
    asked = None if models is None else [one.strip() for one in models.split(",") if one.strip()]
    folder = _folder(data_dir)

    def ask(worker: str) -> Answer:
        return readiness(folder, worker, _lease_s(folder, worker), asked)

    return _answered("ready", name, folder, ask)


def _folder(data_dir: Path | None) -> RunFolder:
    return RunFolder(options.read_settings().data_dir if data_dir is None else data_dir)


def _lease_s(folder: RunFolder, name: str) -> float:
    """Return by how much a heartbeat may be old: as the worker says, or else as the settings do."""
    said = read_readiness(folder.file(name, READINESS))
    return options.read_settings().lease_s if said is None else said.lease_s


def _answered(probe: str, name: str, folder: RunFolder, ask: Callable[[str], Answer]) -> Found:
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
