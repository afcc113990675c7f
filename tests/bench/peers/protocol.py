"""Runs the class `Program` of a module for a benchmark: `python -m bench.peers.protocol MODULE`.

A JSON array a line comes in on stdin, an answer goes out on stdout: `["prepare", {…}]` makes the
object, `["predict", {}]` calls its method. What libraries print goes to stderr.
"""

import json
import os
import sys
from collections.abc import Iterable
from importlib import import_module


def serve(module: str, lines: Iterable[str] = sys.stdin) -> None:
    """Do what is asked for, one line at a time, until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    for line in lines:
        do, arguments = json.loads(line)
        if do == "prepare":
            program, answer = import_module(module).Program(**arguments), None
        else:
            answer = getattr(program, do)(**arguments)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    serve(sys.argv[1])
