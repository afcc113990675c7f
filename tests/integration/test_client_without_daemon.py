"""What a program is told that has no daemon."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from held_ports import Holder, hold_port

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Asks either client for a job.
PROGRAM = """
import asyncio, sys
from seqd.client import AsyncClient, Client

def blocking():
    with Client() as client:
        client.classify(["a"], model="echo")

async def asynchronous():
    async with AsyncClient() as client:
        await client.classify(["a"], model="echo")

blocking() if sys.argv[1] == "Client" else asyncio.run(asynchronous())
"""


def run(client: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    given = {f"SEQD_{name.upper()}": value for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, client],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path(), **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("client", ["Client", "AsyncClient"])
@pytest.mark.parametrize("has_address", [True, False], ids=["an address", "no address"])
def test_a_program_without_a_daemon_is_told_so_in_one_short_traceback(
    client: str, has_address: bool, tmp_path: Path
) -> None:
    holder = Holder()
    address = {"redis_url": f"redis://127.0.0.1:{hold_port(holder)}"} if has_address else {}

    ended = run(client, data_dir=str(tmp_path), **address)

    *calls, sentence = ended.stderr.splitlines()
    said = "No answer from Redis at 127.0.0.1" if has_address else "No Redis server runs for"
    assert sentence.startswith(f"seqd.errors.RedisUnreachable: {said}")
    assert len([line for line in calls if "seqd" in line and "File" in line]) <= 5, ended.stderr
    assert [line for line in calls if not line.startswith(" ")] == [
        "Traceback (most recent call last):"
    ]
