"""Writes the embedded server's configuration file, the only place of its password on disk
besides the endpoint file; both can be read by their owner alone.

A file and not arguments, because every user of a machine can list the arguments.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from seqd.server.binaries import ServerBinary
from seqd.server.ports import LOOPBACK

CONFIG_NAME = "redis.conf"
LOG_NAME = "redis.log"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What differs from one embedded server to the next."""

    folder: Path
    port: int
    password: str

    def lines(self, binary: ServerBinary) -> list[str]:
        """Give the lines of the configuration file."""
        return [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            "protected-mode yes",
            f"requirepass {self.password}",
            "daemonize no",
            "supervised no",
            f"dir {_quoted(self.folder)}",
            f"logfile {_quoted(self.folder / LOG_NAME)}",
            # A crash of the machine loses at most a second; the ledger redoes that much.
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            # A job's event stream is set aside as one node, of which most jobs need little: with
            # the default of 4,096 a job of one item takes 8.4 kB of memory, so 5.3 kB (Redis 6.2).
            "stream-node-max-bytes 1024",
            # Jobs must never be evicted; a full server refuses, and the client says so.
            "maxmemory-policy noeviction",
            f"maxmemory {_half_of_memory_bytes()}",
            *_unsafe_off(binary),
        ]


def write_config(config: ServerConfig, binary: ServerBinary) -> Path:
    """Write the file, readable by its owner alone, and give its path."""
    path = config.folder / CONFIG_NAME
    write_private(path, "\n".join(config.lines(binary)) + "\n")
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, with mode 0600 from its first byte on."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    aside.replace(path)


def _unsafe_off(binary: ServerBinary) -> list[str]:
    # 7.0 has switches for what can crash the server or run code in it; 6.2 has only names.
    if binary.version >= (7, 0):
        switches = ("enable-protected-configs", "enable-debug-command", "enable-module-command")
        return [f"{switch} no" for switch in switches]
    return ['rename-command DEBUG ""', 'rename-command MODULE ""']


def _half_of_memory_bytes() -> int:
    # The other half is for the models, and for the copy-on-write of an AOF rewrite.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
