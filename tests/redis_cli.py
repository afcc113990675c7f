"""A stand-in for `redis-cli` where no wheel brings one: `-h HOST -p PORT [--raw] COMMAND …`.

The password stands in `REDISCLI_AUTH`.

Only for tests of the READMEs. Prints bulk replies as they are, and lists one element a line.
"""

import os
import sys

import redis


def show(reply: object) -> None:
    """Print a reply, nested lists flattened."""
    if isinstance(reply, list | tuple):
        for part in reply:
            show(part)
    elif isinstance(reply, dict):
        for part in reply.items():
            show(part)
    elif isinstance(reply, bytes):
        sys.stdout.buffer.write(reply + b"\n")
    elif reply is not None:
        sys.stdout.buffer.write(f"{reply}\n".encode())


def main(arguments: list[str]) -> None:
    """Run one command."""
    assert arguments[0:4:2] == ["-h", "-p"], "the READMEs name the server by -h and -p"
    command = [word for word in arguments[4:] if word != "--raw"]
    host, port, password = arguments[1], int(arguments[3]), os.environ.get("REDISCLI_AUTH")
    with redis.Redis(host, port, password=password, protocol=2, socket_timeout=30) as client:
        show(client.execute_command(*command))


if __name__ == "__main__":
    main(sys.argv[1:])
