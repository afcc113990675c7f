"""What a probe answers about a worker of this machine, from the files in `run/` alone.

`liveness` is of its process: a worker that is not alive has to be started again. `readiness` is of
its models: one that is not ready is at work on it, or needs an operator. Neither asks Redis, whose
outage is no fault of a worker, and mends itself.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from seqd.local.run_files import (
    CORDONED,
    DRAINING,
    HEARTBEAT,
    READINESS,
    ModelReadiness,
    Readiness,
    RunFolder,
    Unfitness,
    read_heartbeat,
    read_readiness,
)

#: A model that is asked for: its name, and a version unless the one in service is meant.
_ASKED = re.compile(r"([a-z][a-z0-9_]{0,39})(?:@([0-9]{1,9}))?")

#: The code of all that a sick device keeps from running; a value of `UnfitCode`.
_DEVICE_FAULT: Final = "device_fault"


@dataclass(frozen=True, slots=True)
class Answer:
    """Yes or no, and the reason in a sentence."""

    is_yes: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A model that a probe asks for. `version` None means the one in service."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def asked_model(text: str) -> AskedModel:
    """Return the model that `NAME` or `NAME@VERSION` asks for. Raises ValueError."""
    match = _ASKED.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no model; allowed: a name, or name@3 (a version)")
    return AskedModel(match[1], None if match[2] is None else int(match[2]))


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
    folder: RunFolder, worker: str, lease_s: float, models: Sequence[AskedModel] | None = None
) -> Answer:
    """Return whether a worker takes work and has the models warm: loaded, and run once.

    `models` None asks for those that the worker was started with (SEQD_REQUIRED_MODELS).
    """
    alive = liveness(folder, worker, lease_s)
    if not alive.is_yes:
        return alive
    if folder.file(worker, DRAINING).exists():
        return Answer(False, f"Worker {worker} was asked to end, and claims nothing more.")
    if folder.file(worker, CORDONED).exists():
        return Answer(False, f"Worker {worker} is cordoned, and claims nothing.")
    said = read_readiness(folder.file(worker, READINESS))
    if said is None:
        return Answer(False, f"Worker {worker} is starting: it has not said yet what it can run.")
    return readiness_said(worker, said, models)


def readiness_said(
    worker: str, said: Readiness, models: Sequence[AskedModel] | None = None
) -> Answer:
    """Return whether a worker that lives, and was not asked to end or to wait, is ready."""
    if said.state != "ready":
        return Answer(False, f"Worker {worker} is {said.state}; {_loaded_of(said)}.")
    sick = next((one for one in said.unfit if one.code == _DEVICE_FAULT), None)
    if sick is not None:
        return Answer(False, f"Worker {worker} claims nothing: {_sentence(sick.message)}")
    if models is None:
        models = [AskedModel(name) for name in said.required]
    return _models_are_warm(worker, said, models)


def _models_are_warm(worker: str, said: Readiness, models: Sequence[AskedModel]) -> Answer:
    warm = []
    for asked in models:
        entry = said.models.get(asked.name)
        if entry is None:
            has = ", ".join(said.models) or "none"
            return Answer(False, f"Worker {worker} has no model {asked.name}; it has: {has}.")
        why_not = _why_not_warm(said, entry, asked)
        if why_not:
            return Answer(False, f"Worker {worker} is not ready for {asked}: {_sentence(why_not)}")
        warm.append(_name_of(entry, asked))
    also = f"; warm: {', '.join(warm)}" if warm else ""
    return Answer(True, f"Worker {worker} is ready{also}.")


def _why_not_warm(said: Readiness, entry: ModelReadiness, asked: AskedModel) -> str:
    """Return the reason; an empty text where there is none."""
    if not entry.serves:
        return _reason(said.unfit, asked.name, None)
    version = entry.in_service if asked.version is None else asked.version
    if version is None:
        return "its store has no version of it"
    reason = _reason(said.unfit, asked.name, version)
    if reason or version in entry.loaded:
        return reason
    return f"version {version} is not loaded; {_loaded_of(said)}"


def _reason(unfit: Sequence[Unfitness], model: str, version: int | None) -> str:
    return next(
        (
            f"{one.code}: {one.message}"
            for one in unfit
            if (one.model, one.version) == (model, version)
        ),
        "",
    )


def _name_of(entry: ModelReadiness, asked: AskedModel) -> str:
    if not entry.serves:
        return f"{asked.name} (trains)"
    version = entry.in_service if asked.version is None else asked.version
    return f"{asked.name}@{version}"


def _loaded_of(said: Readiness) -> str:
    names = [f"{name}@{version}" for name, one in said.models.items() for version in one.loaded]
    return f"loaded: {', '.join(names) or 'none'}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
