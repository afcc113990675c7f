"""The probes as orchestrators run them, without the libraries of the command line.

They run every few seconds beside each worker, and these libraries take 0.2 s of processor time a
call. So the plain forms `seqd probe live`, `ready` and `model NAME`, of the worker that the
environment names, are answered here; with any option, or where something is missing or wrong,
`seqd.cli.probe` does all of it, and says what is.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from seqd.local.probes import Answer, asked_model, liveness, readiness
from seqd.local.readiness import read_readiness
from seqd.local.run_files import READINESS, RunFolder


def quick_answer(arguments: Sequence[str], variables: Mapping[str, str]) -> Answer | None:
    """Return the answer to `seqd probe ARGUMENTS`; None where that takes the whole command line."""
    worker, data_dir = variables.get("SEQD_WORKER"), variables.get("SEQD_DATA_DIR")
    if not worker or not data_dir:
        return None
    folder = RunFolder(Path(data_dir))
    said = read_readiness(folder.file(worker, READINESS))
    if said is None:  # how old its heartbeat may be is a setting
        return None
    match arguments:
        case ["live"]:
            return liveness(folder, worker, said.lease_s)
        case ["ready"]:
            return readiness(folder, worker, said.lease_s)
        case ["model", name]:
            try:
                return readiness(folder, worker, said.lease_s, [asked_model(name)])
            except ValueError:
                return None
    return None
