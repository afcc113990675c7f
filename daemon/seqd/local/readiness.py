"""What a worker's child says in a file that it can run, for probes, which ask no Redis for it.

The child replaces the file as a whole when something has changed, and its node removes it when the
child has ended: so a file that is there is that of a child that runs, or ran a moment ago. What is
no readiness, or of another release and lacks a field, counts as no file.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

#: Bytes that are read at most: 64 versions that are unfit, with a sentence each, take less.
_MOST_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelReadiness:
    """One model that the slot can run."""

    #: The slot classifies or generates with it, or runs another task that takes items.
    serves: bool
    #: The slot trains it.
    trains: bool
    #: The version that the bare name means in this worker's store; None where it has none.
    in_service: int | None
    #: Versions in memory, each warmed up.
    loaded: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unfitness:
    """A version that the worker cannot run now; its trainings where that is None."""

    model: str
    version: int | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """A worker as its child last wrote it down."""

    pid: int
    #: `starting`, `ready` or `draining`; a worker at work is ready, too.
    state: str
    #: Seconds by which its heartbeat may be old.
    lease_s: float
    #: Models without which it is not ready, as its settings name them.
    required: tuple[str, ...]
    models: Mapping[str, ModelReadiness]
    unfit: tuple[Unfitness, ...]


def write_readiness(path: Path, readiness: Readiness, *, is_ready: bool) -> None:
    """Replace the file. Where that fails, none is left, and the OSError is raised.

    `is_ready` and `lease_s` come first, for `docker/seqd-probe.sh`, which reads no more than that.
    """
    first = {"is_ready": is_ready, "lease_s": readiness.lease_s}
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(first | asdict(readiness)), encoding="utf-8")
        draft.replace(path)
    except OSError:
        # What an old one says may not hold any more.
        for left in (path, draft):
            with suppress(OSError):
                left.unlink(missing_ok=True)
        raise


def read_readiness(path: Path) -> Readiness | None:
    """Return what the file says; None where it is missing or makes no sense."""
    try:
        with path.open("rb") as file:
            said = json.loads(file.read(_MOST_BYTES))
        return Readiness(
            pid=int(said["pid"]),
            state=str(said["state"]),
            lease_s=float(said["lease_s"]),
            required=tuple(map(str, said["required"])),
            models={str(name): _model_of(one) for name, one in said["models"].items()},
            unfit=tuple(_unfitness_of(one) for one in said["unfit"]),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _model_of(said: Mapping[str, object]) -> ModelReadiness:
    loaded, in_service = said["loaded"], said["in_service"]
    if not isinstance(loaded, list):
        raise TypeError(f"loaded is {loaded!r}, not a list")
    return ModelReadiness(
        serves=said["serves"] is True,
        trains=said["trains"] is True,
        in_service=in_service if isinstance(in_service, int) else None,
        loaded=tuple(map(int, loaded)),
    )


def _unfitness_of(said: Mapping[str, object]) -> Unfitness:
    version = said["version"]
    return Unfitness(
        model=str(said["model"]),
        version=version if isinstance(version, int) else None,
        code=str(said["code"]),
        message=str(said["message"]),
    )
