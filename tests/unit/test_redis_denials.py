"""What servers say of a missing right, each in its own way, becomes one sentence."""

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from seqd.ledger.denials import (
    Denial,
    DeniedCommand,
    denial_of,
    denied_in_script,
    no_permission,
)
from seqd.ledger.outage import Trouble
from seqd.ledger.redis import trouble_of


@pytest.mark.parametrize(
    ("error", "denial"),
    [
        # Redis 6.2
        (
            NoPermissionError(
                "this user has no permissions to run the 'set' command or its subcommand"
            ),
            Denial("set"),
        ),
        (
            DeniedCommand(
                "this user has no permissions to access one of the keys used as arguments",
                ("XREAD", "BLOCK", 100, b"STREAMS", b"seqd:events", "0"),
            ),
            Denial("xread", "seqd:events", is_of_key=True),
        ),
        # Redis 7.0 and newer, and Valkey
        (
            NoPermissionError("User u has no permissions to run the 'config|get' command"),
            Denial("config|get"),
        ),
        (
            DeniedCommand("No permissions to access a key", ("HGET", "seqd:limits", "a")),
            Denial("hget", "seqd:limits", is_of_key=True),
        ),
        (
            NoPermissionError(
                "Command # 2 (SET seqd:a 1) of pipeline caused error: No permissions to access a "
                "key"
            ),
            Denial("set", "seqd:a", is_of_key=True),
        ),
    ],
    ids=str,
)
def test_a_denied_command_or_key_is_known_from_any_server(error, denial):
    assert denial_of(error) == denial
    assert trouble_of(error) is Trouble.DENIED


@pytest.mark.parametrize(
    "text",
    [
        "seqd: a text that has no permissions to say anything",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "Command # 1 (SET a: has no permissions to run) of pipeline caused error: WRONGTYPE x",
        "unknown command `CONFIG`, with args beginning with: `GET`",
    ],
)
def test_any_other_error_denies_nothing(text):
    assert denial_of(ResponseError(text)) is None


@pytest.mark.parametrize(
    ("text", "denial"),
    [
        (
            "@user_script: 2: The user executing the script can't run this command or subcommand",
            Denial("", script="pause"),
        ),
        (
            "@user_script: 3: The user executing the script can't access at least one of the keys "
            "mentioned in the command arguments",
            Denial("", script="pause", is_of_key=True),
        ),
        (
            "ACL failure in script: User u has no permissions to run the 'hget' command",
            Denial("hget", script="pause"),
        ),
        (
            "ACL failure in script: No permissions to access a key",
            Denial("", script="pause", is_of_key=True),
        ),
    ],
)
def test_what_a_script_was_denied_is_named_with_the_script(text, denial):
    assert denied_in_script(ResponseError(text), "pause") == denial


@pytest.mark.parametrize(
    ("denial", "what"),
    [
        (Denial("config|get"), "the command CONFIG GET"),
        (Denial("hget", script="pause"), "the command HGET in the script 'pause'"),
        (Denial("hget", "a:b", is_of_key=True), "the key 'a:b' for HGET"),
        (
            Denial(script="pause", is_of_key=True),
            "a key of seqd's in the script 'pause'",
        ),
    ],
)
def test_the_message_says_what_is_missing_to_whom_and_what_to_do(denial, what):
    assert str(no_permission("h:1", "me", "client", denial)) == (
        f"Redis at h:1 does not permit the user 'me' {what}. Give the user the rights that "
        "`seqd redis acl --role client --user me` prints."
    )
