"""The printed rights: for people, for a file of users, for programs."""

import hashlib
import json

import pytest

from cli_builders import here
from readme_blocks import ROOT
from seqd.ledger.acl import (
    Access,
    Role,
    rights_of,
    setuser_line,
)
from seqd_schemas import Keys

KEYS = Keys("seqd")


def test_a_producer_may_add_to_the_inbox_and_read_what_became_of_it():
    assert setuser_line("shop", Role.INBOX, KEYS) == (
        "ACL SETUSER shop on clearselectors resetkeys resetchannels -@all '%W~seqd:inbox' "
        "'%R~seqd:inbox:answers' '%R~seqd:limits' '%R~seqd:job:{*}*' '+client|setinfo' +hexists "
        "+hget +ping +select +xadd +xlen +xread"
    )


def test_redis_6_gets_no_rule_that_it_does_not_know():
    rules = rights_of(Role.CLIENT, KEYS).rules((6, 2))

    assert not [rule for rule in rules if rule.startswith("%") or "waitaof" in rule]
    assert "clearselectors" not in rules
    # One that another covers, since there is none for reading alone.
    assert "~seqd:worker:*" in rules and "~seqd:worker:*:leases" not in rules


def test_a_line_of_the_file_of_users_has_the_hash_of_the_password(tmp_path, capsys):
    secret = tmp_path / "secret"
    secret.write_text("pass word\n")

    ended = here(
        capsys, "redis", "acl", "--role", "exporter", "--user", "metrics", "--file",
        "--password-file", str(secret),
    )  # fmt: skip

    digest = hashlib.sha256(b"pass word").hexdigest()
    assert ended.out.startswith(f"user metrics on #{digest} clearselectors resetkeys ")
    assert "'" not in ended.out


def test_json_has_the_rules_one_by_one(capsys):
    ended = here(capsys, "redis", "acl", "--role", "inbox", "--prefix", "mine", "--json")

    shown = json.loads(ended.out)
    assert (shown["role"], shown["user"], shown["prefix"]) == ("inbox", "inbox", "mine")
    assert "%W~mine:inbox" in shown["rules"] and "+xadd" in shown["rules"]
    assert shown["line"] == setuser_line("inbox", Role.INBOX, Keys("mine"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--role", "boss"],
            "--role is 'boss'; allowed: worker, client, operator, gateway, exporter, doctor, inbox",
        ),
        (
            ["--role", "inbox", "--user", "a b"],
            "The name of the user is 'a b'; allowed are 1 to 64 letters, digits and _ . @ -.",
        ),
        (
            ["--role", "inbox", "--server-version", "6.0"],
            "--server-version is 6.0; seqd needs 6.2 or newer.",
        ),
        (
            ["--role", "inbox", "--server-version", "new"],
            "--server-version is 'new'; write it like 6.2 or 7.2.4.",
        ),
        (
            ["--role", "inbox", "--file"],
            "--file needs --password-file: a file with the user's password, or - to read it from "
            "standard input. Only its hash is printed.",
        ),
        (
            ["--role", "inbox", "--password-file", "x"],
            "--password-file is for --file; without it no password is printed.",
        ),
        (
            ["--role", "inbox", "--file", "--password-file", "/nowhere/at/all"],
            "--password-file /nowhere/at/all cannot be read: No such file or directory.",
        ),
        (
            ["--role", "inbox", "--file", "--password-file", "/dev/null"],
            "--password-file /dev/null must hold one password on one line, of 4,096 bytes at most.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_printed_is_refused_with_what_to_do(capsys, options, message):
    ended = here(capsys, "redis", "acl", *options)

    assert ended.status == 2
    assert message in ended.err


def test_the_table_of_the_guide_says_what_each_role_may():
    guide = (ROOT / "docker" / "security.md").read_text(encoding="utf-8")
    section = guide.partition("## Users and rights")[2].partition("\n## ")[0]
    rows = {
        row[1].strip("` "): (row[3].strip(), row[4].strip())
        for line in section.splitlines()
        if (row := line.split("|"))[1:2] and row[1].strip("` ") in list(Role)
    }

    assert rows == {str(role): _cells(role) for role in Role}


def _cells(role: Role) -> tuple[str, str]:
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
    commands = ", ".join(f"`{name}`" for name in rights.commands)
    return commands.replace("|", " "), keys
