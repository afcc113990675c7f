"""What a probe answers about a worker of this machine, from the files in `run/` alone.

`liveness` is of its process: a worker that is not alive has to be started again. `readiness` is of
its models: one that is not ready is at work on it, or needs an operator. Neither asks Redis, whose
outage is no fault of a worker, and mends itself.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from seqd.local.run_files import (
    DRAINING,
    HEARTBEAT,
    READINESS,
    Readiness,
    RunFolder,
    read_heartbeat,
    read_readiness,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes or no, and the reason in a sentence."""

    is_yes: bool
    sentence: str


def workers_of_host(folder: RunFolder) -> list[str]:
    """Return the workers of this host that have their names from seqd, as `cpu:0@HOST-1a2b3c`."""
    host = os.uname().nodename
    return [name for name in folder.workers() if name.rpartition("@")[2].startswith(f"{host}-")]


def all_of_host(
    folder: RunFolder, lease_s: Callable[[str], float], ask: Callable[[str], Answer]
) -> Answer:
    """Return whether the answer is yes for each worker of this host that lives, and one does.

    A container that was killed leaves files of workers that are no more, in a folder that outlives
    it: those are not asked. `lease_s` says by how much a worker's heartbeat may be old.
    """
    names = workers_of_host(folder)
    living = [name for name in names if liveness(folder, name, lease_s(name)).is_yes]
    answers = [ask(name) for name in living or names]
    if not answers:
        return Answer(
            False,
            f"No worker of host {os.uname().nodename} has a heartbeat in {folder.path}: none has "
            "started yet, or they have names of their own; then give --name or SEQD_WORKER.",
        )
    return min(answers, key=lambda answer: answer.is_yes)


def liveness(folder: RunFolder, worker: str, lease_s: float) -> Answer:
    """Return whether a worker lives.

    It does while its last heartbeat is at most `lease_s` old: later its work is another's anyway.
    """
    heartbeat = read_heartbeat(folder.file(worker, HEARTBEAT))
    if heartbeat is None:
        return Answer(
            False,
            f"No worker {worker} has a heartbeat in {folder.path}: it has "
            "not started yet, it has ended, or it has another SEQD_DATA_DIR or --name.",
        )
    age_s = monotonic() - heartbeat.at_s
    process = f", process {heartbeat.pid}" if heartbeat.pid else ""
    said = f"Worker {worker}{process}, heartbeat {age_s:.1f} s ago"
    if 0 <= age_s <= lease_s:
        return Answer(True, f"{said}.")
    return Answer(False, f"{said}; allowed: {lease_s:g} s (SEQD_LEASE_S).")


def readiness(
    folder: RunFolder, worker: str, lease_s: float, models: Sequence[str] | None = None
) -> Answer:
    """Return whether a worker takes work and has the models warm: loaded, and run once.

    `models` None asks for those that the worker was started with (SEQD_REQUIRED_MODELS).
    """
    alive = liveness(folder, worker, lease_s)
    if not alive.is_yes:
        return alive
    if folder.file(worker, DRAINING).exists():
        return Answer(False, f"Worker {worker} was asked to end, and claims nothing more.")
    said = read_readiness(folder.file(worker, READINESS))
    if said is None:
        return Answer(False, f"Worker {worker} is starting: it has not said yet what it can run.")
    return readiness_said(worker, said, models)


def readiness_said(worker: str, said: Readiness, models: Sequence[str] | None = None) -> Answer:
    """Return whether a worker that lives, and was not asked to end, is ready."""
    if said.why_not:
        return Answer(False, f"Worker {worker} {_sentence(said.why_not)}")
    asked = said.required if models is None else models
    for name in asked:
        if name in said.cold:
            why = _sentence(said.cold[name])
            return Answer(False, f"Worker {worker} is not ready for {name}: {why}")
        if name not in said.warm:
            has = ", ".join(sorted([*said.warm, *said.cold])) or "none"
            return Answer(False, f"Worker {worker} has no model {name}; it has: {has}.")
    also = f"; warm: {', '.join(said.warm[name] for name in asked)}" if asked else ""
    return Answer(True, f"Worker {worker} is ready{also}.")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def quick_answer(arguments: Sequence[str], variables: Mapping[str, str]) -> Answer | None:
    """Return the answer to `seqd probe ARGUMENTS`; None where that takes the whole command line.

    Probes run every few seconds beside each worker, and the command line's libraries take 0.2 s of
    processor time a call. So `live` and `ready`, of the worker that the environment names or of
    this host's, need none of them; with any option, or where something is wrong, others do.
    """
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
