"""Who calls a command, for what it writes down: the rules of operators, and a model's history."""

import os
import pwd
import socket


def caller() -> str:
    """Return who calls, as `user@host`."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
