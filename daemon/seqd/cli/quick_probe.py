"""The probes as orchestrators run them, without the libraries of the command line.

They run every few seconds beside each worker, and these libraries take 0.2 s of processor time a
call. So the plain forms `seqd probe live` and `ready`, of the worker that the environment names, or
of this host's, are answered here. With any option, or where something is missing or wrong,
`seqd.cli.probe` does all of it, and says what is.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from seqd.local.probes import Answer, all_of_host, liveness, readiness
from seqd.local.run_files import HEARTBEAT, READINESS, RunFolder, read_readiness


def quick_answer(arguments: Sequence[str], variables: Mapping[str, str]) -> Answer | None:
    """Return the answer to `seqd probe ARGUMENTS`; None where that takes the whole command line."""
    worker, data_dir = variables.get("SEQD_WORKER"), variables.get("SEQD_DATA_DIR")
    if not data_dir or arguments not in (["live"], ["ready"]):
        return None
    folder = RunFolder(Path(data_dir))

    def ask(worker: str) -> Answer:
        lease_s = _lease_s(folder, worker)
        is_live = arguments == ["live"]
        return (liveness if is_live else readiness)(folder, worker, lease_s)

    try:
        return ask(worker) if worker else all_of_host(folder, partial(_lease_s, folder), ask)
    except _TakesMore:
        return None


class _TakesMore(Exception):
    """The settings are needed."""


def _lease_s(folder: RunFolder, worker: str) -> float:
    said = read_readiness(folder.file(worker, READINESS))
    if said is not None:
        return said.lease_s
    if folder.file(worker, HEARTBEAT).exists():
        raise _TakesMore
    return 0.0  # there is no heartbeat whose age would count
