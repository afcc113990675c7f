"""Celery never waits for us: what is to be done later stands in the ledger.

A message with a delay that is longer than the visibility timeout is handed out again and again,
in a loop, and is held in a worker's memory meanwhile.
"""

import ast
from pathlib import Path

#: Arguments by which a Celery message is delayed, and the call that does it by itself.
DELAYS = {"eta", "countdown", "expires"}
SENDERS = {"send_task", "apply_async", "retry", "signature", "si", "delay"}


def test_no_message_is_sent_with_a_delay() -> None:
    daemon = Path(__file__).parents[2] / "daemon"
    delayed = [
        f"{path.relative_to(daemon)}:{call.lineno} {name} with {keyword.arg}"
        for path in sorted(daemon.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and (name := _called(call)) in SENDERS
        for keyword in call.keywords
        if keyword.arg in DELAYS or keyword.arg is None
    ]

    assert delayed == [], "Put a unit back with `wait_s` instead: the ledger has timers."


def test_messages_are_sent_from_the_wakeup_alone() -> None:
    daemon = Path(__file__).parents[2] / "daemon"
    senders = {
        str(path.relative_to(daemon))
        for path in daemon.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and _called(call) in {"send_task", "apply_async", "lpush"}
    }

    assert senders == {"seqd/ledger/wakeup.py"}


def _called(call: ast.Call) -> str:
    """Return the name of what is called, without what it belongs to."""
    target = call.func
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
