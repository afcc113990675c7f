"""Who calls: for rules of operators, a model's history, and the audit."""

import os
import pwd
import socket
import sys
from pathlib import Path

from seqd.log_context import acting_for

#: The command that runs in this process; '' where none of ours does.
_command = ""


def caller() -> str:
    """Return who calls: the key of a request to the gateway, else `user@host`."""
    return str(acting_for.get().get("key") or f"{user_name()}@{socket.gethostname()}")


def user_name() -> str:
    """Return the name of the user whose process this is."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container
        return f"uid {os.getuid()}"


def name_command(command: str) -> None:
    """Say which command runs in this process, such as `seqd jobs cancel`."""
    global _command
    _command = command


def program() -> str:
    """Return the command that runs in this process, or the name of the program."""
    return _command or Path(sys.argv[0] if sys.argv else "").name or "python"
