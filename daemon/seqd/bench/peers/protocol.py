"""How a bench talks to a peer: a JSON object a line, in on stdin, out on stdout.

    {"do": "prepare", "reviews": "…"}   →   {"reviews": 5000}
    {"do": "run"}                       →   {"seconds": 2.4}

Where a library is missing the answer is `{"missing_library": "onnxruntime"}`. The program ends
with its input, so none is left behind when a bench is killed. What libraries print goes to stderr.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

Command = Callable[[Mapping[str, Any]], Mapping[str, object]]


def serve(commands: Mapping[str, Command]) -> None:
    """Do what is asked for, one line at a time, until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = commands[request["do"]](request)
        except ModuleNotFoundError as error:
            answer = {"missing_library": error.name}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
