"""`seqd redis`: what a user of Redis needs to do its part, and nothing beyond."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from redis.exceptions import ResponseError

from seqd.cli import options
from seqd.cli.showing import Found, shown
from seqd.errors import REDIS_ERRORS, InvalidRequest
from seqd.ledger import acl as rights
from seqd.ledger.acl import NEWEST, Role, Version
from seqd.ledger.redis import connect, redis_errors
from seqd.ledger.rights import OPTIONAL, missing_rights
from seqd.local.endpoint import redis_url_of
from seqd.local.redis_access import RedisAccess
from seqd.settings import Settings

#: Longest password that is read, in bytes.
_MAX_PASSWORD_BYTES = 4_096


@shown
def acl(
    role: Annotated[
        str,
        typer.Option(
            "--role", help="worker, client, operator, gateway, exporter, doctor or inbox."
        ),
    ],
    user: Annotated[
        str, typer.Option("--user", help="Name of the user. Without it that of the role.")
    ] = "",
    prefix: Annotated[
        str | None, typer.Option("--prefix", help="Prefix of the keys, in place of SEQD_PREFIX.")
    ] = None,
    server_version: Annotated[
        str,
        typer.Option(
            "--server-version",
            help="Version of the server, such as 6.2. Without it SEQD_REDIS_URL is asked, and 7.2 "
            "is taken where that does not tell.",
        ),
    ] = "",
    file: Annotated[
        bool, typer.Option("--file", help="Print a line of the file that `aclfile` names.")
    ] = False,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="File with the user's password, for --file; - reads."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Print which rights the user of SEQD_REDIS_URL lacks."),
    ] = False,
) -> Found:
    """Print the least rights of a role, as the command of Redis that gives them to a user.

    `seqd redis acl --role worker | redis-cli` gives them. A password is given by --file, or by
    hand: nothing here prints one.

    With --check the exit status is 1 where a right is missing that the role cannot do without.
    """
    settings = options.read_settings(prefix=prefix)
    named = _role(role)
    if check:
        return _check(named, prefix=prefix)
    version = _version(server_version) if server_version else _version_of_server(settings)
    name = rights.checked_user(user or named.value)
    if password_file is not None and not file:
        raise InvalidRequest("--password-file is for --file; without it no password is printed.")
    keys = settings.keys
    if file:
        line = rights.users_acl_line(name, named, keys, _password(password_file), version)
    else:
        line = rights.setuser_line(name, named, keys, version)
    given = rights.rights_of(named, keys)
    found: dict[str, object] = {"role": named.value, "user": name, "prefix": settings.prefix}
    found |= {"rules": given.rules(version), "line": line}
    # As it is, however long it is: Redis reads it.
    return Found(found, lambda screen: typer.echo(line))


def _check(role: Role, *, prefix: str | None) -> Found:
    settings = options.read_settings(prefix=prefix)
    access = RedisAccess.of(settings)
    with connect(redis_url_of(settings), access=access, role=role) as connection:
        lacking = missing_rights(connection, role, settings.keys)
    missing = [right for right in lacking if right[1:] not in OPTIONAL]
    optional = [right for right in lacking if right[1:] in OPTIONAL]
    told = [f"Missing: {' '.join(missing) or 'none'}"]
    told += [f"Missing, and not needed: {' '.join(optional)}"] if optional else []
    return Found(
        {"role": role.value, "missing": missing, "missing_optional": optional},
        "\n".join(told),
        status=1 if missing else 0,
    )


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        raise InvalidRequest(f"--role is {name!r}; allowed: {', '.join(Role)}") from None


def _version(text: str) -> Version:
    parts = text.split(".")
    if not 2 <= len(parts) <= 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidRequest(f"--server-version is {text!r}; write it like 6.2 or 7.2.4.")
    version = (int(parts[0]), int(parts[1]))
    if version < (6, 2):
        raise InvalidRequest(f"--server-version is {text}; seqd needs 6.2 or newer.")
    return version


def _version_of_server(settings: Settings) -> Version:
    """Return the version of the server of SEQD_REDIS_URL; the newest where it does not tell."""
    if settings.redis_url is None:
        return NEWEST

    try:
        url, access = redis_url_of(settings), RedisAccess.of(settings)
        with connect(url, retries=0, access=access) as connection, redis_errors(connection):
            told = connection.info("server")
    except (*REDIS_ERRORS, ResponseError):
        return NEWEST
    known = re.match(r"(\d+)\.(\d+)", str(told.get("redis_version")))
    return NEWEST if known is None else (int(known[1]), int(known[2]))


def _password(path: Path | None) -> str:
    if path is None:
        raise InvalidRequest(
            "--file needs --password-file: a file with the user's password, or - to read it from "
            "standard input. Only its hash is printed."
        )
    try:
        if str(path) == "-":
            found = sys.stdin.buffer.read(_MAX_PASSWORD_BYTES + 1)
        else:
            with path.open("rb") as opened:
                found = opened.read(_MAX_PASSWORD_BYTES + 1)
        password = found.decode().rstrip("\r\n")
    except OSError as error:
        raise InvalidRequest(f"--password-file {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"--password-file {path} is no text in UTF-8.") from None
    if not password or len(found) > _MAX_PASSWORD_BYTES or "\n" in password:
        raise InvalidRequest(
            f"--password-file {path} must hold one password on one line, of "
            f"{_MAX_PASSWORD_BYTES:,} bytes at most."
        )
    return password
