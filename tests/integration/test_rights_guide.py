"""The operators' guide on users and rights: its commands are run, its table is held to the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from readme_blocks import ROOT, blocks_of
from redis_fixtures import LOOPBACK, PrivateServer, server_binaries
from seqd.ledger import connect
from seqd.ledger.acl import Access, Role, rights_of
from seqd.ledger.rights import missing_rights
from seqd_schemas import Keys

GUIDE = ROOT / "docker" / "security.md"
KEYS = Keys("seqd")


def section() -> str:
    text = GUIDE.read_text(encoding="utf-8")
    return text.partition("## Users and rights")[2].partition("\n## ")[0]


def test_the_table_of_roles_says_what_each_may() -> None:
    rows = {
        row[1].strip("` "): (int(row[3]), row[4].strip())
        for line in section().splitlines()
        if (row := line.split("|"))[1:2] and row[1].strip("` ") in list(Role)
    }

    assert rows == {str(role): _cells(role) for role in Role}


def _cells(role: Role) -> tuple[int, str]:
    rights = rights_of(role, KEYS)
    by_access = {
        access: [key.pattern for key in rights.keys if key.access is access] for access in Access
    }
    read = len(by_access[Access.READ])
    if by_access[Access.ALL] == ["seqd:*"]:
        keys = "all under the prefix"
    elif by_access[Access.ALL] == [KEYS.durability_mark()]:
        keys = f"`{KEYS.durability_mark()}`; {read} more for reading alone"
    elif by_access[Access.ALL]:
        keys = f"{len(by_access[Access.ALL])} patterns; {read} more for reading alone"
        keys += ", and the audit for adding to it"
    elif by_access[Access.WRITE]:
        (written,) = by_access[Access.WRITE]
        keys = f"`{written}` for writing alone, {read} for reading alone"
    else:
        keys = f"{read} for reading alone"
    return len(rights.commands), keys


@pytest.mark.slow
@pytest.mark.processes
@pytest.mark.parametrize("binary", server_binaries())
def test_the_file_of_users_that_the_guide_makes_gives_each_role_its_rights(
    binary, tmp_path: Path
) -> None:
    (block,) = [block for block in blocks_of(GUIDE, "sh") if "users.acl" in block.text]
    version = "6.2" if binary.version < (7, 0) else "7.2"
    command = f"{sys.executable} -P -m seqd redis acl --server-version {version}"
    script = block.text.replace("seqd redis acl", command)
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True, timeout=90)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.is_file()} == {0o600}

    folder = tmp_path / "server"
    folder.mkdir()
    server = PrivateServer(binary, folder)
    config = folder / "redis.conf"
    lines = [line for line in config.read_text().splitlines() if "requirepass" not in line]
    config.write_text("\n".join([*lines, f"aclfile {tmp_path}/users.acl", ""]))
    admin = _url(tmp_path, "admin", server.port)
    try:
        server.start_as(admin)
        for role in Role:
            with connect(_url(tmp_path, role, server.port), role=role) as redis:
                assert missing_rights(redis, role, KEYS) == []
        with (
            connect(f"redis://{LOOPBACK}:{server.port}/0") as redis,
            pytest.raises(Exception) as no,
        ):
            redis.ping()
        assert re.search("Authentication required", str(no.value))
    finally:
        server.stop()


def _url(folder: Path, user: str, port: int) -> str:
    password = (folder / f"{user}.password").read_text().strip()
    return f"redis://{user}:{password}@{LOOPBACK}:{port}/0"
