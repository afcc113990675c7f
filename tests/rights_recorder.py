"""What each user of a server does: its commands, scripts and keys, as MONITOR shows them."""

import hashlib
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import redis

from seqd.ledger.acl import all_scripts
from seqd.ledger.scripts import source_of
from worker_fixtures import wait_until

_LINE = re.compile(rb"^\d+\.\d+ \[\d+ (?P<who>[^\]]+)\] (?P<words>.*)$", re.DOTALL)
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')


@dataclass
class Deeds:
    """What one user has done."""

    #: Commands in small letters, those that have subcommands as `script|load`.
    commands: set[str] = field(default_factory=set)
    scripts: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


class Recorder:
    """Records, from its begin to its end, what the users of a server do."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._admin = redis.Redis.from_url(url, protocol=2)
        self._names = {
            hashlib.sha1(source_of(name).encode()).hexdigest(): name for name in all_scripts()
        }
        self._users: dict[str, str] = {}
        #: Connection, its user by then, and the first words of each command.
        self._lines: list[tuple[str, str, list[str]]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)

    def __enter__(self) -> Self:
        settings = self._admin.connection_pool.connection_kwargs
        self._socket = socket.create_connection((settings["host"], settings["port"]))
        self._file = self._socket.makefile("rb")
        for command in (f"AUTH {settings['password']}", "MONITOR"):
            self._socket.sendall(f"{command}\r\n".encode())
            assert self._file.readline() == b"+OK\r\n"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        mark = f"end-of-recording-{id(self)}"
        self._admin.echo(mark)
        wait_until(lambda: self._is_over.is_set(), "all is recorded")
        self._thread.join()
        self._file.close()
        self._socket.close()
        self._admin.close()

    def deeds(self) -> Mapping[str, Deeds]:
        """Return what each user has done."""
        found: dict[str, Deeds] = defaultdict(Deeds)
        caller = "default"
        probes = {who for who, _, words in self._lines if _is_trial(words)}
        for who, user, words in self._lines:
            if who in probes:  # who looks at its rights has used none of them
                continue
            if who != "lua":
                caller = user
            mine = found[caller]
            name = words[0].lower()
            if name in ("script", "client", "config", "acl", "xgroup"):
                name = f"{name}|{words[1].lower()}"
            mine.commands.add(name)
            if name == "evalsha":
                mine.scripts.add(self._names.get(words[1], words[1]))
            mine.keys |= set(_keys(words))
        return found

    def _record(self) -> None:
        for line in self._file:
            match = _LINE.match(line.removeprefix(b"+").rstrip(b"\r\n"))
            assert match is not None, line
            who = match["who"].decode()
            words = [word.decode("latin-1") for word in _WORD.findall(match["words"])]
            if words[0].lower() == "echo" and words[1].startswith("end-of-recording"):
                self._is_over.set()
                return
            if [word.lower() for word in words[:2]] == ["client", "setinfo"]:
                # What redis-py sends first: the address may have been that of another before.
                self._users.pop(who, None)
            if who != "lua" and who not in self._users:
                self._note_users()
            self._lines.append((who, self._users.get(who, "?"), words[:6]))

    def _note_users(self) -> None:
        for client in self._admin.client_list():
            self._users[client["addr"]] = client["user"]


def _keys(words: list[str]) -> list[str]:
    return [word for word in words[1:6] if ":" in word and len(word) < 200]


def _is_trial(words: list[str]) -> bool:
    """Return True for what tries a right: a script that nobody has, or a job that nobody has."""
    tried = "".join(words[1:2])
    return tried == "0" * 40 or tried.endswith(":job:{rights}")
