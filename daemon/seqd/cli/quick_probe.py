"""The probes as orchestrators run them, without the libraries of the command line.

They run every few seconds beside each worker, and these libraries take 0.2 s of processor time a
call. So the plain forms `seqd probe live`, `ready` and `model NAME`, of the worker that the
environment names, or of this host's, are answered here. With any option, or where something is
missing or wrong, `seqd.cli.probe` does all of it, and says what is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from seqd.local.probes import Answer, AskedModel, all_of_host, asked_model, liveness, readiness
from seqd.local.run_files import HEARTBEAT, READINESS, RunFolder, read_readiness


def quick_answer(arguments: Sequence[str], variables: Mapping[str, str]) -> Answer | None:
    """Return the answer to `seqd probe ARGUMENTS`; None where that takes the whole command line."""
    worker, data_dir = variables.get("SEQD_WORKER"), variables.get("SEQD_DATA_DIR")
    if not data_dir:
        return None
    folder = RunFolder(Path(data_dir))
    try:
        return _answer(folder, worker or "", arguments)
    except (_TakesMore, ValueError):
        return None


class _TakesMore(Exception):
    """The settings are needed, or it is no plain form."""


def _answer(folder: RunFolder, worker: str, arguments: Sequence[str]) -> Answer:
    models: list[AskedModel] | None = None
    match arguments:
        case ["live"] | ["ready"]:
            probe = arguments[0]
        case ["model", name]:
            probe, models = "ready", [asked_model(name)]
        case _:
            raise _TakesMore

    def lease_s(worker: str) -> float:
        said = read_readiness(folder.file(worker, READINESS))
        if said is not None:
            return said.lease_s
        if folder.file(worker, HEARTBEAT).exists():
            raise _TakesMore
        return 0.0  # there is no heartbeat whose age would count

    def ask(worker: str) -> Answer:
        if probe == "live":
            return liveness(folder, worker, lease_s(worker))
        return readiness(folder, worker, lease_s(worker), models)

    return ask(worker) if worker else all_of_host(folder, lease_s, ask)
